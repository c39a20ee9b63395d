"""Tracks, labels and gallery → people: who appears, named or not, within and across videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.cluster import count_cores
from facelake.gallery import Probes
from facelake.lake import Lake
from facelake.lake.labels import read_labels
from facelake.lake.thresholds import read_threshold
from facelake.match import Negatives, score_identities
from facelake.people import (
    Clustered,
    FaceLabel,
    Pairs,
    cluster_tracks,
    find_apart,
    find_same_box,
    name_tracks,
    settle_labels,
    tabulate_people,
)
from facelake.query.spaces import choose_space
from facelake.schema import PEOPLE_TRACKS, unpack_embeddings

PEOPLE_THRESHOLD = 0.40
"""Lowest score of two people that are one; docs/people.md says how it was chosen."""

_OF_TRACK = ("video_id", "path", "track_id", "start_s", "end_s", "n_faces", "best_face_id",
             "best_time_s", "quality", "cos_to_mean_min")  # fmt: skip


@dataclass(frozen=True)
class FoundPeople:
    """Everybody who appears in a catalog.

    Attributes
    ----------
    people, tracks, conflicts
        Rows of `schema.PEOPLE`, `schema.PEOPLE_TRACKS` and `schema.PEOPLE_CONFLICTS`.
    space
        Whose embeddings were compared.
    threshold
        Lowest score at which tracks were joined.
    note
        Where that comes from; empty where it was given.
    n_left_out
        Faces that are in no track of the run that counts, and so are nobody's here.
    labelled
        Of each track that holds labelled faces, what is said of these.
    """

    people: pa.Table
    tracks: pa.Table
    conflicts: pa.Table
    space: str
    threshold: float
    note: str
    n_left_out: int
    labelled: Mapping[tuple[str, int], Sequence[FaceLabel]] = field(repr=False)


def find_people(
    lake: Lake,
    *,
    threshold: float | None = None,
    space: str | None = None,
    min_tracks: int = 1,
) -> FoundPeople:
    """Who appears in a catalog, whether or not anybody said who they are.

    Parameters
    ----------
    threshold
        Lowest score of the means of two people that are taken for one, in [−1, 1]; ``None`` is
        `PEOPLE_THRESHOLD`, or the one that the catalog keeps where that is higher.
    space
        Whose embeddings; ``None`` is the space of the videos.
    min_tracks
        Leave out people with fewer tracks; those that are named stay.

    Raises
    ------
    CatalogError
        Nothing is ingested yet, or there is no such space.
    ValueError
        The threshold is outside of [−1, 1], or ``min_tracks`` below 1.
    """
    if min_tracks < 1:
        raise ValueError(f"min_tracks must be at least 1, but is {min_tracks}")
    space = choose_space(lake, space, for_gallery=False)
    threshold, note = _choose_threshold(lake, space, threshold)
    seen = _read_tracks(lake, space)
    labels = list(settle_labels(read_labels(lake)).values())
    places = _place_labels(lake, space, seen, labels)
    names = name_tracks(labels, places, n_tracks=len(seen.tracks))
    cluster = cluster_tracks(
        seen.templates,
        threshold=threshold,
        apart=seen.apart,
        name_of=names.name_of,
        not_named=names.not_named,
    )
    found = Clustered(seen.tracks, seen.templates, cluster, names, seen.apart, threshold)
    identity, score = _nearest_identities(lake, space, found.means())
    people, tracks, conflicts = tabulate_people(found, identity=identity, score=score)
    everybody = FoundPeople(
        people=people,
        tracks=tracks,
        conflicts=conflicts,
        space=space,
        threshold=threshold,
        note=note,
        n_left_out=seen.n_left_out,
        labelled=_by_track(seen.tracks, labels, places),
    )
    kept = pc.or_(pc.greater_equal(people["n_tracks"], min_tracks), pc.is_valid(people["name"]))
    return _only(everybody, people.filter(kept))


def strangers(found: FoundPeople) -> FoundPeople:
    """Those without a name whose mean scores below the threshold with everybody enrolled."""
    people = found.people
    unlike = pc.less(pc.fill_null(people["score"], -1.0), found.threshold)
    people = people.filter(pc.and_(unlike, pc.is_null(people["name"])))
    return _only(found, people)


def _only(found: FoundPeople, people: pa.Table) -> FoundPeople:
    """Some of the people, and their tracks."""
    shown = pc.is_in(found.tracks["person_id"], people["person_id"].combine_chunks())
    return replace(found, people=people, tracks=found.tracks.filter(shown))


def _choose_threshold(lake: Lake, space: str, threshold: float | None) -> tuple[float, str]:
    if threshold is not None:
        return threshold, ""
    stored = read_threshold(lake, space)
    # A stored threshold is for one face against a few photos; here everybody meets everybody.
    if stored is not None and stored.threshold > PEOPLE_THRESHOLD:
        return stored.threshold, stored.note
    return PEOPLE_THRESHOLD, "default"


# Tracks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """The tracks of a catalog, and which of them share an instant."""

    tracks: pa.Table
    templates: npt.NDArray[np.float32]
    face_ids: pa.ChunkedArray  # of the faces that are in a track
    row: npt.NDArray[np.int64]  # of each such face, that of its track
    apart: Pairs
    n_left_out: int


def _read_tracks(lake: Lake, space: str) -> _Seen:
    videos = [row for row in lake.videos(space).sort_by("video_id").to_pylist() if row["n_samples"]]
    with ThreadPoolExecutor(2 * count_cores()) as pool:
        read = list(pool.map(partial(_read_video, lake, space), videos))
    n_left_out = sum(faces["row"].null_count for _, faces in read)
    read = [(tracks, faces.filter(pc.is_valid(faces["row"]))) for tracks, faces in read]
    empty = pa.schema([PEOPLE_TRACKS.field(name) for name in _OF_TRACK]).empty_table()
    tracks = pa.concat_tables([empty, *(tracks.select(_OF_TRACK) for tracks, _ in read)])
    vectors = [unpack_embeddings(tracks["embedding"]).astype(np.float32) for tracks, _ in read]
    rows, instants = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    first, moment = 0, 0
    for of_video, faces in read:
        rows.append(first + faces["row"].to_numpy())
        instants.append(moment + faces["instant"].to_numpy())
        first, moment = first + len(of_video), int(instants[-1].max(initial=moment)) + 1
    row, instant = np.concatenate(rows), np.concatenate(instants)
    names = pa.chunked_array([faces["face_id"].combine_chunks() for _, faces in read], pa.string())
    return _Seen(
        tracks=tracks,
        templates=_unit(np.concatenate([np.empty((0, lake.dim(space)), np.float32), *vectors])),
        face_ids=names,
        row=row,
        apart=find_apart(instant, row),
        n_left_out=n_left_out,
    )


def _read_video(lake: Lake, space: str, video: dict[str, Any]) -> tuple[pa.Table, pa.Table]:
    """The tracks of a video, with their best faces' time and quality; its faces, with their rows.

    The row of a face is that of its track; null where it is in none.
    """
    tracks = lake.tracks(video["video_id"], space)
    tracks = tracks.filter(pc.is_valid(tracks["embedding"])).sort_by("track_id")
    faces = lake.faces(
        video["video_id"], space, ["face_id", "pts", "time_s", "quality", "track_id"]
    )
    best = pc.index_in(tracks["best_face_id"], faces["face_id"].combine_chunks())
    n = len(tracks)
    for name, values in (
        ("video_id", pa.repeat(pa.scalar(video["video_id"]), n)),
        ("path", pa.repeat(pa.scalar(video["paths"][0]), n)),
        ("best_time_s", pc.coalesce(faces["time_s"].take(best), tracks["start_s"])),
        ("quality", pc.fill_null(faces["quality"].take(best), pa.scalar(0.0, pa.float32()))),
    ):
        tracks = tracks.append_column(PEOPLE_TRACKS.field(name), values)
    row = pc.index_in(faces["track_id"], tracks["track_id"].combine_chunks())
    instant = np.unique(faces["pts"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    columns = {"face_id": faces["face_id"], "row": row.cast(pa.int64()), "instant": instant}
    return tracks, pa.table(columns)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vectors with their lengths made one anew: float16 rounds them."""
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


# Labels -----------------------------------------------------------------------------------------


def _place_labels(
    lake: Lake, space: str, seen: _Seen, labels: Sequence[FaceLabel]
) -> npt.NDArray[np.int64]:
    """The row of the track that each labelled face is in; −1 where it is in none."""
    asked = pa.array([label.face_id for label in labels], pa.string())
    at = pc.fill_null(pc.index_in(asked, seen.face_ids), -1).to_numpy().astype(np.int64)
    rows: npt.NDArray[np.int64] = np.append(seen.row, -1)[at]
    lost = np.flatnonzero(rows < 0).tolist()
    known = _TracksByName(seen.tracks)
    for number in lost:
        rows[number] = known.row_of(_same_face(lake, space, labels[number]))
    return rows


def _same_face(lake: Lake, space: str, label: FaceLabel) -> tuple[str, int] | None:
    """Video and track of the face that another detector saw where the labelled one was."""
    for video in lake.videos(space).to_pylist():
        if video["content_id"] != label.row["content_id"]:
            continue
        faces = lake.faces(video["video_id"], space, ["bbox_xyxy", "track_id"])
        faces = faces.filter(pc.field("pts") == label.row["pts"])
        boxes = np.array(faces["bbox_xyxy"].to_pylist(), np.float32).reshape(-1, 4)
        row = find_same_box(np.array(label.row["bbox_xyxy"]), boxes)
        track = None if row < 0 else faces["track_id"][row].as_py()
        return None if track is None else (video["video_id"], track)
    return None


class _TracksByName:
    """Rows of tracks by video and number."""

    def __init__(self, tracks: pa.Table) -> None:
        self._row = {key: row for row, key in enumerate(_keys(tracks))}

    def row_of(self, key: tuple[str, int] | None) -> int:
        return -1 if key is None else self._row.get(key, -1)


def _keys(tracks: pa.Table) -> Iterator[tuple[str, int]]:
    yield from zip(tracks["video_id"].to_pylist(), tracks["track_id"].to_pylist(), strict=True)


def _by_track(
    tracks: pa.Table, labels: Sequence[FaceLabel], rows: npt.NDArray[np.int64]
) -> dict[tuple[str, int], list[FaceLabel]]:
    keys = list(_keys(tracks))
    found: dict[tuple[str, int], list[FaceLabel]] = {}
    for label, row in zip(labels, rows.tolist(), strict=True):
        if row >= 0:
            found.setdefault(keys[row], []).append(label)
    return found


# Gallery ----------------------------------------------------------------------------------------


def _nearest_identities(
    lake: Lake, space: str, means: npt.NDArray[np.float32]
) -> tuple[list[str | None], npt.NDArray[np.float32]]:
    """Who of the gallery each person's mean is most like, and how much."""
    exemplars = lake.exemplars(space)
    gallery = Probes.of(exemplars) if len(exemplars) else None
    if gallery is None or not len(gallery.names) or not len(means):
        return [None] * len(means), np.full(len(means), np.nan, np.float32)
    match = score_identities(
        means,
        gallery.vectors,
        gallery.identity_of,
        n_identities=len(gallery.names),
        negatives=Negatives(gallery.negatives, gallery.negative_of),
    )
    names = gallery.names.tolist()
    return [names[one] if one >= 0 else None for one in match.identity.tolist()], match.score
