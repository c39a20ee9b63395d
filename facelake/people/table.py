"""Clusters of tracks → the tables of people, their tracks and what labels contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.people.apart import Pairs
from facelake.people.labels import Clash, TrackNames, digest, is_anonymous
from facelake.schema import PEOPLE, PEOPLE_CONFLICTS, PEOPLE_TRACKS


@dataclass(frozen=True)
class Clustered:
    """Tracks and who is who among them.

    Attributes
    ----------
    tracks
        ``video_id``, ``path``, ``track_id``, ``start_s``, ``end_s``, ``n_faces``,
        ``best_face_id``, ``best_time_s``, ``quality`` and ``cos_to_mean_min`` as in
        `schema.PEOPLE_TRACKS`, one row each.
    templates
        Their mean embeddings, unit length, shape ``(n, dim)``, float32.
    cluster
        From `cluster_tracks`, shape ``(n,)``.
    names
        From `name_tracks`.
    apart
        From `find_apart`.
    threshold
        Lowest score at which tracks were joined.
    """

    tracks: pa.Table
    templates: npt.NDArray[np.float32]
    cluster: npt.NDArray[np.int64]
    names: TrackNames
    apart: Pairs
    threshold: float

    @property
    def n_people(self) -> int:
        """How many there are."""
        return int(self.cluster.max(initial=-1)) + 1

    def means(self) -> npt.NDArray[np.float32]:
        """The mean of each person's tracks, unit length, shape ``(n_people, dim)``, float32."""
        sums = _sums(self.templates, self.cluster, self.n_people)
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums


def tabulate_people(
    found: Clustered,
    *,
    identity: Sequence[str | None],
    score: npt.NDArray[np.float32],
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Everybody who appears, the tracks they are in, and what labels contradict.

    A person's id comes from the oldest label that names them, else from the least of their tracks'
    best faces: of all that could be taken, the least changes most rarely when tracks are added or
    taken away (Broder, On the resemblance and containment of documents, 1997).

    Parameters
    ----------
    identity, score
        Who of the gallery each person's mean is most like, and how much; length and shape
        ``(n_people,)``, ``None`` and NaN where nobody is enrolled.

    Returns
    -------
    people
        Rows of `schema.PEOPLE`, longest seen first.
    tracks
        Rows of `schema.PEOPLE_TRACKS`, in order of path and time.
    conflicts
        Rows of `schema.PEOPLE_CONFLICTS`.
    """
    names = _names(found)
    ids = _person_ids(found, names)
    means = found.means()
    fit = np.einsum("ij,ij->i", found.templates, means[found.cluster], dtype=np.float32)
    conflicts = _conflicts(found, ids)
    tracks = _tracks(found, ids, names, fit)
    people = _people(found, ids, names, fit).append_column(
        PEOPLE.field("identity"), pa.array(identity, pa.string())
    )
    people = people.append_column(
        PEOPLE.field("score"), pa.array(score, pa.float32(), mask=np.isnan(score))
    )
    told = Counter(conflicts["person_id"].to_pylist())
    counts = pa.array([told[one] for one in ids], pa.int64())
    people = people.append_column(PEOPLE.field("n_conflicts"), counts)
    order = [("seconds", "descending"), ("person_id", "ascending")]
    return people.select(PEOPLE.names).cast(PEOPLE).sort_by(order), tracks, conflicts


# Names and ids ----------------------------------------------------------------------------------


def _names(found: Clustered) -> list[str | None]:
    """What each person is called in labels, ``#``-names too."""
    names: list[str | None] = [None] * found.n_people
    for row in np.flatnonzero(found.names.name_of >= 0).tolist():
        names[found.cluster[row]] = found.names.names[found.names.name_of[row]]
    return names


def _shown(names: Sequence[str | None]) -> list[str | None]:
    return [None if name is None or is_anonymous(name) else name for name in names]


def _person_ids(found: Clustered, names: Sequence[str | None]) -> list[str]:
    """The id of each person, each once."""
    faces = np.array(found.tracks["best_face_id"].to_pylist(), object)
    order = np.lexsort((faces.astype(str), found.cluster))
    first = order[np.searchsorted(found.cluster[order], np.arange(found.n_people))]
    size = np.bincount(found.cluster, minlength=found.n_people)
    ids = [""] * found.n_people
    taken: set[str] = set()
    # Those that labels tell come first, then the larger: a part that was split off gets a new one.
    for person in sorted(range(len(ids)), key=lambda one: (names[one] is None, -size[one], one)):
        own = digest(str(faces[first[person]]))
        told = found.names.person_ids.get(names[person] or "", own)
        rest = "|".join(sorted(faces[found.cluster == person])) if {own, told} & taken else ""
        ids[person] = next(one for one in (told, own, digest(rest)) if one not in taken)
        taken.add(ids[person])
    return ids


# Tables -----------------------------------------------------------------------------------------


def _tracks(
    found: Clustered,
    ids: Sequence[str],
    names: Sequence[str | None],
    fit: npt.NDArray[np.float32],
) -> pa.Table:
    of = pa.array(found.cluster)
    columns = {name: found.tracks[name] for name in found.tracks.column_names} | {
        "person_id": pa.array(ids, pa.string()).take(of),
        "name": pa.array(_shown(names), pa.string()).take(of),
        "score": pa.array(fit),
    }
    table = pa.table([columns[name] for name in PEOPLE_TRACKS.names], schema=PEOPLE_TRACKS)
    order = ("path", "video_id", "start_s", "track_id")
    return table.sort_by([(name, "ascending") for name in order])


def _people(
    found: Clustered,
    ids: Sequence[str],
    names: Sequence[str | None],
    fit: npt.NDArray[np.float32],
) -> pa.Table:
    """All columns of `schema.PEOPLE` but those of the gallery and the conflicts."""
    tracks, cluster, n = found.tracks, found.cluster, found.n_people
    video, start_s, end_s = _place(tracks)
    first = _first_of_each(cluster, n, (start_s, video))
    last = _first_of_each(cluster, n, (-end_s, -video))
    best = _first_of_each(cluster, n, (-tracks["quality"].to_numpy(),))
    of_video = np.unique(np.column_stack([cluster, video]), axis=0)[:, 0]
    least = np.full(n, np.inf, np.float32)
    np.minimum.at(least, cluster, fit)

    def at(name: str, rows: npt.NDArray[np.intp]) -> pa.ChunkedArray:
        return tracks[name].take(pa.array(rows))

    return pa.table(
        {
            "person_id": pa.array(ids, pa.string()),
            "name": pa.array(_shown(names), pa.string()),
            "n_tracks": np.bincount(cluster, minlength=n),
            "n_faces": np.bincount(cluster, tracks["n_faces"].to_numpy(), n).astype(np.int64),
            "n_videos": np.bincount(of_video, minlength=n),
            "seconds": _seconds(cluster, video, start_s, end_s, n),
            "first_video_id": at("video_id", first),
            "first_s": start_s[first],
            "last_video_id": at("video_id", last),
            "last_s": end_s[last],
            "best_face_id": at("best_face_id", best),
            "best_video_id": at("video_id", best),
            "best_time_s": at("best_time_s", best),
            "cos_to_mean_min": least,
        }
    )


def _place(
    tracks: pa.Table,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Number of each track's video in order of path, its start and its end."""
    named = zip(tracks["path"].to_pylist(), tracks["video_id"].to_pylist(), strict=True)
    keys = [f"{path}\0{video}" for path, video in named]
    number = np.unique(np.array(keys, object), return_inverse=True)[1].astype(np.int64)
    return number, tracks["start_s"].to_numpy(), tracks["end_s"].to_numpy()


def _first_of_each(
    cluster: npt.NDArray[np.int64], n: int, keys: tuple[npt.NDArray[np.generic], ...]
) -> npt.NDArray[np.intp]:
    """The row of each cluster that comes first by the keys, the last of them first."""
    order = np.lexsort((*keys, cluster))
    return order[np.searchsorted(cluster[order], np.arange(n))]


def _seconds(
    cluster: npt.NDArray[np.int64],
    video: npt.NDArray[np.int64],
    start_s: npt.NDArray[np.float64],
    end_s: npt.NDArray[np.float64],
    n: int,
) -> npt.NDArray[np.float64]:
    """The time that the tracks of each cluster cover; where two overlap it counts once."""
    order = np.lexsort((start_s, video, cluster))
    seconds = np.zeros(n)
    place, reached = (-1, -1), 0.0
    for row in order.tolist():
        here = (int(cluster[row]), int(video[row]))
        begin = float(start_s[row]) if here != place else max(reached, float(start_s[row]))
        reached = max(begin, float(end_s[row]))
        seconds[cluster[row]] += reached - begin
        place = here
    return seconds


def _sums(
    templates: npt.NDArray[np.float32], cluster: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.float32]:
    order = np.argsort(cluster, kind="stable")
    begins = np.searchsorted(cluster[order], np.arange(n))
    if not n:
        return np.empty((0, templates.shape[1]), np.float32)
    return np.add.reduceat(templates[order], begins, axis=0)


# Conflicts --------------------------------------------------------------------------------------


def _conflicts(found: Clustered, ids: Sequence[str]) -> pa.Table:
    clashes = [*found.names.clashes, *_together(found), *_unlike(found)]
    return pa.Table.from_pylist([_row(found, ids, clash) for clash in clashes], PEOPLE_CONFLICTS)


def _row(found: Clustered, ids: Sequence[str], clash: Clash) -> dict[str, object]:
    row: dict[str, object] = {
        "kind": clash.kind, "name": clash.name, "face_id": clash.face_id, "what": clash.what,
    }  # fmt: skip
    if clash.track >= 0:
        row |= {name: found.tracks[name][clash.track].as_py() for name in ("video_id", "track_id")}
        row["person_id"] = ids[found.cluster[clash.track]]
    return row


def _together(found: Clustered) -> list[Clash]:
    """Tracks of one name that share an instant."""
    one, other = found.apart[:, 0], found.apart[:, 1]
    track_id = found.tracks["track_id"]
    return [
        Clash(
            "same_instant", int(a), found.names.names[found.names.name_of[a]], None,
            f"tracks {track_id[int(a)]} and {track_id[int(b)]} have this name and share an instant",
        )
        for a, b in found.apart[found.cluster[one] == found.cluster[other]].tolist()
    ]  # fmt: skip


def _unlike(found: Clustered) -> list[Clash]:
    """Tracks that only their label keeps with the others of their person."""
    sums = _sums(found.templates, found.cluster, found.n_people)
    size = np.bincount(found.cluster, minlength=found.n_people)
    clashes = []
    for row in np.flatnonzero(found.names.name_of >= 0).tolist():
        own = found.templates[row]
        others = sums[found.cluster[row]] - own
        length = float(np.linalg.norm(others))
        if size[found.cluster[row]] < 2 or length == 0.0:
            continue
        score = float(others @ own) / length
        if score < found.threshold:
            name = found.names.names[found.names.name_of[row]]
            what = f"this track scores {score:.2f} with the others of its name, below the threshold"
            clashes.append(Clash("unlike", row, name, None, what))
    return clashes
