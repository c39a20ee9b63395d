"""What a person says of people → labels of their faces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.gallery import Outcome, plain_name
from facelake.lake import Lake
from facelake.lake.labels import add_labels, read_labels
from facelake.people import (
    IS,
    NONE,
    anonymous_name,
    digest,
    is_anonymous,
)
from facelake.query.enrol_faces import enrol_lake_faces
from facelake.query.people import FoundPeople
from facelake.schema import LABELS

LabelKind = Literal["is", "is_not", "none"]

_LEAST_PREFIX = 4  # digits of an id that may stand for it
_MOST_EXEMPLARS = 8
_FACE_COLUMNS = ("face_id", "pts", "time_s", "bbox_xyxy")


def find_person(found: FoundPeople, person: str) -> dict[str, Any]:
    """The row of `schema.PEOPLE` of the one who is meant.

    Parameters
    ----------
    person
        An id, its first digits, 4 or more, or a name.

    Raises
    ------
    CatalogError
        Nobody is meant, or several could be.
    """
    rows = found.people.to_pylist()
    name = plain_name(person)
    is_prefix = len(person) >= _LEAST_PREFIX
    for meant in (
        [row for row in rows if row["person_id"] == person],
        [row for row in rows if row["name"] == name],
        [row for row in rows if is_prefix and row["person_id"].startswith(person)],
    ):
        if len(meant) > 1:
            ids = ", ".join(row["person_id"] for row in meant)
            raise CatalogError(f"{person}: must mean one person, but could be {ids}; give the id")
        if meant:
            return dict(meant[0])
    known = [row["person_id"] for row in rows] + [row["name"] for row in rows if row["name"]]
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "facelake people lists them"
    raise CatalogError(f"{person}: nobody has this id or name at this threshold; {hint}")


# Saying -----------------------------------------------------------------------------------------


def name_person(
    lake: Lake, found: FoundPeople, person: str, name: str | None, **told: str | None
) -> pa.Table:
    """Say who somebody is; gives the labels that were added.

    The best face of each of their tracks is labelled, so that the name stays with each track
    whatever it is clustered with next; and every face that was called otherwise.

    Parameters
    ----------
    name
        ``None`` takes back whatever was said of their faces.
    told
        ``evidence`` and ``author``, for people to read.

    Raises
    ------
    CatalogError
        Nobody is meant, or several could be.
    ValueError
        The name is blank or begins with ``#``.
    """
    row = find_person(found, person)
    tracks = _tracks_of(found, row["person_id"])
    if name is None:
        said = [_Said(label.row, label.name or "", NONE) for label in _labels_in(found, tracks)]
    else:
        said = list(_called(lake, found, tracks, check_name(name)))
    return _write(lake, said, row["person_id"], **told)


def merge_people(
    lake: Lake, found: FoundPeople, people: Sequence[str], name: str | None, **told: str | None
) -> pa.Table:
    """Say that several people are one; gives the labels that were added.

    Parameters
    ----------
    name
        Who it is; ``None`` is the name that one of them has, or none: that they are one person is
        then all that is said.

    Raises
    ------
    CatalogError
        Somebody is not found, or they have several names and none is given.
    ValueError
        Fewer than two people are named.
    """
    rows = {row["person_id"]: row for row in (find_person(found, one) for one in people)}
    if len(rows) < 2:
        raise ValueError(f"two people or more must be named, but {len(rows)} is")
    names = sorted({row["name"] for row in rows.values() if row["name"]})
    if name is None and len(names) > 1:
        raise CatalogError(
            f"people who are one must have one name, but these are called {', '.join(names)}; say "
            "which it is (--name)"
        )
    first = next(iter(rows))
    called = check_name(name) if name is not None else (names or [anonymous_name(first)])[0]
    keeper = next((one for one in rows if rows[one]["name"] == called), first)
    tracks = [track for one in rows for track in _tracks_of(found, one)]
    return _write(lake, list(_called(lake, found, tracks, called)), keeper, **told)


def split_person(
    lake: Lake,
    found: FoundPeople,
    person: str,
    faces: Sequence[str],
    name: str | None,
    **told: str | None,
) -> pa.Table:
    """Say that some tracks of a person are somebody else's; gives the labels that were added.

    Both sides are labelled, each track of them, so that neither takes the other's again.

    Parameters
    ----------
    faces
        Any faces of these tracks, by ``face_id``.
    name
        Who that is; ``None`` where nobody knows: a person of their own then.

    Raises
    ------
    CatalogError
        Nobody is meant, or a face is in no track of theirs.
    ValueError
        All their tracks are named, or none, or the new name is the old one.
    """
    row = find_person(found, person)
    mine = _tracks_of(found, row["person_id"])
    away = _tracks_with(lake, found, mine, faces, row)
    rest = [track for track in mine if track not in away]
    if not away or not rest:
        raise ValueError(
            "some of a person's tracks must be named, and not all: "
            f"{len(away)} of {len(mine)} are; to say who all of them are, name the person"
        )
    new_id = digest("split", *(track["best_face_id"] for track in away))
    called = anonymous_name(new_id) if name is None else check_name(name)
    stays = row["name"] or anonymous_name(row["person_id"])
    if called == stays:
        raise ValueError(f"the tracks that are split off must get another name than {stays}")
    return pa.concat_tables(
        [
            _write(lake, list(_called(lake, found, away, called)), new_id, **told),
            _write(lake, list(_called(lake, found, rest, stays)), row["person_id"], **told),
        ]
    )


def label_face(
    lake: Lake, space: str, face_id: str, name: str | None, kind: LabelKind, **told: str | None
) -> pa.Table:
    """Say of one face who it is or is not, or take back what was said; gives the label.

    Raises
    ------
    CatalogError
        The space has no such face.
    ValueError
        There is no such kind, or the name is blank, missing, or given where none is wanted.
    """
    if kind not in get_args(LabelKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(LabelKind))}, but is {kind!r}")
    if (name is None) != (kind == NONE):
        raise ValueError("is and is_not need a name, and none takes no name")
    called = "" if name is None else check_name(name)
    face = next(_find_faces(lake, space, lake.iter_video_ids(space), [face_id]), None)
    if face is None:
        raise CatalogError(
            f"{face_id}: the catalog holds no such face in {space}; the column best_face_id of "
            "facelake people and catalog.faces() name them"
        )
    return _write(lake, [_Said(face, called, kind)], None, **told)


def enrol_person(
    lake: Lake, found: FoundPeople, person: str, identity: str | None
) -> tuple[Outcome, ...]:
    """Put a person into the gallery: the best faces of their best tracks, 8 at most.

    Parameters
    ----------
    identity
        Who they are enrolled as; ``None`` is their name.

    Raises
    ------
    CatalogError
        Nobody is meant, or several could be.
    ValueError
        They have no name and none is given.
    """
    row = find_person(found, person)
    identity = row["name"] if identity is None else identity
    if identity is None:
        raise ValueError(f"{person} has no name yet; say who they are enrolled as (--identity)")
    best = sorted(_tracks_of(found, row["person_id"]), key=lambda track: -track["quality"])
    faces = [track["best_face_id"] for track in best[:_MOST_EXEMPLARS]]
    return enrol_lake_faces(lake, check_name(identity), space=found.space, face_ids=faces)


def check_name(name: str) -> str:
    """The name as it is kept and compared.

    Raises
    ------
    ValueError
        It is blank, or begins with ``#``.
    """
    plain = plain_name(name)
    if not plain or is_anonymous(plain):
        raise ValueError(f"a name must not be blank nor begin with #, but is {name!r}")
    return plain


# Tracks and their faces -------------------------------------------------------------------------

Track = dict[str, Any]


def _tracks_of(found: FoundPeople, person_id: str) -> list[Track]:
    tracks: list[Track] = found.tracks.filter(pc.field("person_id") == person_id).to_pylist()
    return tracks


def _labels_in(found: FoundPeople, tracks: Sequence[Track]) -> list[Any]:
    return [one for track in tracks for one in found.labelled.get(_key(track), ())]


def _key(track: Track) -> tuple[str, int]:
    return track["video_id"], track["track_id"]


def _tracks_with(
    lake: Lake,
    found: FoundPeople,
    tracks: Sequence[Track],
    faces: Sequence[str],
    person: Mapping[str, Any],
) -> list[Track]:
    """The tracks among these that hold some faces."""
    best = {track["best_face_id"]: _key(track) for track in tracks}
    wanted = {best[face] for face in faces if face in best}
    left = [face for face in faces if face not in best]
    videos = dict.fromkeys(track["video_id"] for track in tracks) if left else {}
    columns = (*_FACE_COLUMNS, "track_id")
    keys = {_key(track) for track in tracks}
    for face in _find_faces(lake, found.space, iter(videos), left, columns):
        key = (face["video_id"], face["track_id"])
        if key in keys:
            wanted.add(key)
            left.remove(face["face_id"])
    if left:
        who = person["name"] or person["person_id"]
        raise CatalogError(
            f"{left[0]}: must be a face of {who}, but is in no track of theirs; facelake people "
            f"tracks {person['person_id']} lists these"
        )
    return [track for track in tracks if _key(track) in wanted]


def _find_faces(
    lake: Lake,
    space: str,
    video_ids: Iterator[str],
    face_ids: Sequence[str],
    columns: Sequence[str] = _FACE_COLUMNS,
) -> Iterator[dict[str, Any]]:
    """Rows of faces with their ``video_id`` and ``content_id``, video by video."""
    wanted = pa.array(face_ids, pa.string())
    for video_id in video_ids:
        faces = lake.faces(video_id, space, columns)
        faces = faces.filter(pc.is_in(faces["face_id"], wanted))
        if len(faces):
            content_id = lake.runs_of(video_id, space)[0]["content_id"]
            for row in faces.to_pylist():
                yield row | {"video_id": video_id, "content_id": content_id}


# Labels -----------------------------------------------------------------------------------------


class _Said:
    """A face, as a row that tells where it is, and what is said of it."""

    def __init__(self, face: Mapping[str, Any], name: str, kind: str) -> None:
        self.face, self.name, self.kind = face, name, kind


def _called(lake: Lake, found: FoundPeople, tracks: Sequence[Track], name: str) -> Iterator[_Said]:
    """What makes each of these tracks bear a name."""
    best: dict[str, list[str]] = {}
    for track in tracks:
        labels = {one.face_id: one for one in found.labelled.get(_key(track), ())}
        for one in labels.values():
            if one.name != name and (one.name is not None or name in one.not_names):
                yield _Said(one.row, name, IS)
        known = labels.get(track["best_face_id"])
        if known is None or (known.name is None and name not in known.not_names):
            best.setdefault(track["video_id"], []).append(track["best_face_id"])
    for video_id, face_ids in best.items():
        for face in _find_faces(lake, found.space, iter([video_id]), face_ids):
            yield _Said(face, name, IS)


def _write(
    lake: Lake,
    said: Sequence[_Said],
    person_id: str | None,
    *,
    evidence: str | None = None,
    author: str | None = None,
) -> pa.Table:
    """Add the labels; gives them, rows of `schema.LABELS`."""
    before = read_labels(lake)
    last = dict(zip(before["face_id"].to_pylist(), before["label_id"].to_pylist(), strict=True))
    now = datetime.now(UTC)
    rows = []
    for one in said:
        place = ("face_id", "video_id", "content_id", "pts", "time_s", "bbox_xyxy")
        face_id = one.face["face_id"]
        what = f"{face_id}|{one.kind}|{one.name}|{now.isoformat()}|{author}"
        row = {name: one.face[name] for name in place} | {
            "label_id": hashlib.blake2b(what.encode(), digest_size=8).hexdigest(),
            "name": one.name,
            "kind": one.kind,
            "person_id": person_id,
            "evidence": evidence,
            "author": author,
            "created_utc": now,
            "replaces": last.get(face_id),
        }
        rows.append(row)
    table = pa.Table.from_pylist(rows, LABELS)
    add_labels(lake, table)
    return table
