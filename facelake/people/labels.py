"""What labels say: of each face, and of the tracks that the faces are in.

A label says of a face that it is somebody, that it is not, or takes back what was said of it. A
name that begins with ``#`` is nobody's: it only says that faces so called are one person.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

IS, IS_NOT, NONE = "is", "is_not", "none"
"""Kinds of a label."""

_ANONYMOUS = "#"
_ID_BYTES = 6


@dataclass(frozen=True)
class FaceLabel:
    """What holds of a labelled face.

    Attributes
    ----------
    row
        The newest label of this face, as a row of `schema.LABELS`.
    name
        Who it is; ``None`` where nobody says.
    not_names
        Who it is not.
    named_by
        The label that gave the name.
    """

    row: Mapping[str, Any]
    name: str | None = None
    not_names: frozenset[str] = frozenset()
    named_by: Mapping[str, Any] | None = None

    @property
    def face_id(self) -> str:
        """The face."""
        return str(self.row["face_id"])


@dataclass(frozen=True)
class Clash:
    """Labels that contradict each other, the pictures, or nothing that is there.

    Attributes
    ----------
    kind
        ``two_names``: of one track; ``not_named``: a track has a name that one of its faces does
        not; ``same_instant``: two tracks of one name share an instant; ``unlike``: a track scores
        below the threshold with the others of its name; ``lost``: the face is in no track.
    track
        Row of the track; −1 where there is none.
    face_id
        The face that was labelled; ``None`` where the track as a whole is meant.
    what
        One sentence.
    """

    kind: str
    track: int
    name: str
    face_id: str | None
    what: str


@dataclass(frozen=True)
class TrackNames:
    """What labels say of tracks, as `cluster_tracks` takes it.

    Attributes
    ----------
    names
        The names that are in use, sorted.
    name_of
        Of each track a row of ``names``, shape ``(n_tracks,)``, int64; −1 is none.
    not_named
        Pairs of a track and a name that it does not have, shape ``(k, 2)``, int64.
    person_ids
        The id that each name's person had when the name was first given.
    clashes
        What does not go together.
    """

    names: tuple[str, ...]
    name_of: npt.NDArray[np.int64]
    not_named: npt.NDArray[np.int64]
    person_ids: Mapping[str, str]
    clashes: tuple[Clash, ...] = field(default=())


def is_anonymous(name: str) -> bool:
    """Whether a name only says who is one person, and not who.

    Examples
    --------
    >>> is_anonymous("#3f21ab9c0d1e"), is_anonymous("Ann Lee")
    (True, False)
    """
    return name.startswith(_ANONYMOUS)


def anonymous_name(person_id: str) -> str:
    """The name that says which faces are one person, whoever it is."""
    return _ANONYMOUS + person_id


def digest(*parts: str) -> str:
    """12 hex digits made of texts, whose order does not matter."""
    told = "|".join(sorted(parts)).encode()
    return hashlib.blake2b(told, digest_size=_ID_BYTES).hexdigest()


def settle_labels(labels: pa.Table) -> dict[str, FaceLabel]:
    """What holds of each labelled face, by ``face_id``: the newest label counts.

    ``is`` gives the name and takes back that it is not so called; ``is_not`` takes the name back
    where it is the same and keeps others off; ``none`` takes back all of it.

    Parameters
    ----------
    labels
        Rows of `schema.LABELS`, in any order.
    """
    settled: dict[str, FaceLabel] = {}
    order = [("created_utc", "ascending"), ("label_id", "ascending")]
    for row in labels.sort_by(order).to_pylist():
        before = settled.get(row["face_id"], FaceLabel(row))
        settled[row["face_id"]] = _with_label(before, row)
    return {face: label for face, label in settled.items() if label.name or label.not_names}


def _with_label(before: FaceLabel, row: Mapping[str, Any]) -> FaceLabel:
    name, kind = row["name"], row["kind"]
    if kind == NONE:
        return FaceLabel(row)
    if kind == IS:
        return FaceLabel(row, name, before.not_names - {name}, row)
    is_taken_back = before.name == name
    return FaceLabel(
        row,
        None if is_taken_back else before.name,
        before.not_names | {name},
        None if is_taken_back else before.named_by,
    )


def name_tracks(labels: Sequence[FaceLabel], track: npt.ArrayLike, *, n_tracks: int) -> TrackNames:
    """The name of each track: the one that most of its labelled faces have, of equals the newest.

    Parameters
    ----------
    labels
        From `settle_labels`.
    track
        Row of the track that each label's face is in, length as ``labels``; −1 where it is in
        none.
    n_tracks
        How many tracks there are.
    """
    rows = np.asarray(track, np.int64).reshape(-1).tolist()
    by_track: dict[int, list[FaceLabel]] = {}
    for label, row in zip(labels, rows, strict=True):
        by_track.setdefault(row, []).append(label)
    clashes = [
        Clash("lost", -1, _said(label), label.face_id, "this labelled face is in no track")
        for label in by_track.pop(-1, [])
    ]
    voted = {row: name for row, found in by_track.items() if (name := _vote(found)) is not None}
    for row, found in sorted(by_track.items()):
        clashes += _clashes_within(row, found, voted.get(row))
    names = sorted({*voted.values(), *_not_names(by_track.values())})
    code = {name: number for number, name in enumerate(names)}
    name_of = np.full(n_tracks, -1, np.int64)
    name_of[list(voted)] = [code[name] for name in voted.values()]
    barred = {
        (row, code[name])
        for row, found in by_track.items()
        for name in _not_names([found]) - {voted.get(row, "")}
    }
    return TrackNames(
        tuple(names),
        name_of,
        np.array(sorted(barred), np.int64).reshape(-1, 2),
        _first_ids(labels),
        tuple(clashes),
    )


def _vote(labels: Iterable[FaceLabel]) -> str | None:
    """The name that most faces have; of equals the one that was given last."""
    named = [label for label in labels if label.name is not None]
    if not named:
        return None
    votes = Counter(label.name for label in named)
    return max(named, key=lambda one: (votes[one.name], *_when(one.named_by or {}))).name


def _clashes_within(row: int, labels: Sequence[FaceLabel], name: str | None) -> list[Clash]:
    found = []
    for label in labels:
        if label.name not in (None, name):
            what = f"a face of this track is called {label.name}, but most or the newest {name}"
            found.append(Clash("two_names", row, str(label.name), label.face_id, what))
        if name in label.not_names:
            what = f"this track is called {name}, but one of its faces is not {name}"
            found.append(Clash("not_named", row, str(name), label.face_id, what))
    return found


def _not_names(groups: Iterable[Iterable[FaceLabel]]) -> set[str]:
    return {name for labels in groups for label in labels for name in label.not_names}


def _said(label: FaceLabel) -> str:
    return label.name if label.name is not None else ", ".join(sorted(label.not_names))


def _first_ids(labels: Iterable[FaceLabel]) -> dict[str, str]:
    """Of each name the person's id in the oldest label that tells one."""
    found: dict[str, str] = {}
    given = [label.named_by for label in labels if label.named_by is not None]
    for row in sorted(given, key=_when):
        if row["person_id"]:
            found.setdefault(row["name"], row["person_id"])
    return found


def _when(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["created_utc"], row["label_id"]
