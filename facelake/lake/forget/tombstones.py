"""What must not come back: tombstones, and leaving what they name out of whatever is written.

A tombstone says which faces of a video were forgotten, by the video's content, the instants and
the boxes. It holds no embedding, no picture and no name. `Lake.publish` goes by it, so whoever
writes honours it: an ingest, another model, an import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import read_table, write_table
from facelake.lake.layout import FORGOTTEN_FOLDER
from facelake.lake.stores.store import Store
from facelake.schema import TOMBSTONES, conform

VIDEO, TRACK, FACE = "video", "track", "face"
"""Scopes of a tombstone."""

# Two boxes of one instant that share this much are one face: the detector keeps no two that do.
SAME_FACE_IOU = 0.5
_OF_VIDEO = "-video.parquet"  # so that these are found without opening the others
_LEAST_REACH_S = 1e-6  # times are products in doubles


class ForgottenError(CatalogError):
    """A video that was forgotten as a whole and must not be written again."""


@dataclass(frozen=True)
class RunTables:
    """All that a run has written, or is about to write.

    Attributes
    ----------
    video
        The ``videos`` row.
    samples, faces, tracks, chips
        Rows of these tables; ``None`` where the run has none.
    """

    video: dict[str, Any]
    samples: pa.Table | None = None
    faces: pa.Table | None = None
    tracks: pa.Table | None = None
    chips: pa.Table | None = None


# Files ------------------------------------------------------------------------------------------


def tombstone_files(store: Store, content_id: str | None = None) -> list[str]:
    """Names of the tombstones of a video's content; ``None`` is of all."""
    names = [entry.name for entry in store.find(FORGOTTEN_FOLDER)]
    begin = "tombstone-" + ("" if content_id is None else f"{_mark(content_id)}-")
    return [name for name in names if name.rpartition("/")[2].startswith(begin)]


def read_tombstones(store: Store, content_id: str | None = None) -> pa.Table:
    """Rows of `schema.TOMBSTONES` of a video's content; ``None`` is all.

    Raises
    ------
    CatalogError
        One cannot be read, so that nobody knows what to leave out.
    """
    tables = [_read(store, name) for name in tombstone_files(store, content_id)]
    rows = pa.concat_tables([TOMBSTONES.empty_table(), *tables])
    return rows if content_id is None else rows.filter(pc.field("content_id") == content_id)


def forgotten_videos(store: Store) -> dict[str, str]:
    """The videos that were forgotten as a whole: id → content id."""
    told: dict[str, str] = {}
    for name in tombstone_files(store):
        if name.endswith(_OF_VIDEO):
            told[_video_of(name)] = _read(store, name)["content_id"][0].as_py()
    return told


def videos_with_tombstones(store: Store) -> frozenset[str]:
    """The ids of the videos of which something was forgotten."""
    return frozenset(_video_of(name) for name in tombstone_files(store))


def write_tombstone(
    store: Store, rows: pa.Table, *, video_id: str, tombstone_id: str, request: str
) -> None:
    """Put up the tombstone of one video.

    Parameters
    ----------
    rows
        From `video_rows` or `face_rows`.
    request
        What was named: ``identity``, ``face`` or ``video``.
    """
    n = len(rows)
    told = {
        "tombstone_id": [tombstone_id] * n,
        "created_utc": [datetime.now(UTC)] * n,
        "request": [request] * n,
    }
    table = pa.table(told | {name: rows[name] for name in rows.column_names}, schema=TOMBSTONES)
    (content_id,) = pc.unique(rows["content_id"]).to_pylist()
    tail = _OF_VIDEO if VIDEO in rows["scope"].to_pylist() else ".parquet"
    name = f"tombstone-{_mark(content_id)}-{tombstone_id}{tail}"
    write_table(table, store, f"{FORGOTTEN_FOLDER}/video_id={video_id}/{name}")


def _read(store: Store, name: str) -> pa.Table:
    try:
        return conform(read_table(store, name), TOMBSTONES)
    except CatalogError as error:
        raise CatalogError(
            f"{store.where(name)}: this tombstone must be readable, but is not, and what it names "
            "could come back; restore it, or delete it and forget the same faces again"
        ) from error


def _video_of(name: str) -> str:
    return name.split("/")[1].removeprefix("video_id=")


def _mark(content_id: str) -> str:
    """What a tombstone's name tells of the content, so that others need not be opened."""
    return hashlib.blake2b(content_id.encode(), digest_size=4).hexdigest()


# Rows -------------------------------------------------------------------------------------------

_ROWS = pa.schema([TOMBSTONES.field(name) for name in TOMBSTONES.names[3:]])


def video_rows(content_id: str) -> pa.Table:
    """The tombstone of a whole video."""
    return pa.Table.from_pylist([{"scope": VIDEO, "content_id": content_id}], schema=_ROWS)


def face_rows(runs: Sequence[RunTables], face_ids: pa.Array, *, scope: str) -> pa.Table:
    """The tombstone of faces of one video: they, and the same faces wherever a run has them.

    Two runs at different instants name the same face differently, so what is the same is found by
    time and box, until nothing more is found: exactly what the tombstone will keep out later.

    Parameters
    ----------
    runs
        Of one video, in any space.
    face_ids
        The faces to begin with.
    scope
        ``track`` takes whole tracks, ``face`` the faces alone.
    """
    seen = [(run, run.faces) for run in runs if run.faces is not None]
    gone = [pc.is_in(faces["face_id"], face_ids).to_numpy() for _, faces in seen]
    while True:
        rows = _rows_of(seen, gone, scope)
        found = [
            mask | find_forgotten(faces, rows) for (_, faces), mask in zip(seen, gone, strict=True)
        ]
        if sum(mask.sum() for mask in found) == sum(mask.sum() for mask in gone):
            return rows
        gone = found


def _rows_of(
    seen: Sequence[tuple[RunTables, pa.Table]], gone: Sequence[npt.NDArray[np.bool_]], scope: str
) -> pa.Table:
    tables, told = [_ROWS.empty_table()], set[tuple[str, ...]]()
    for (run, of_run), mask in zip(seen, gone, strict=True):
        for rows in _by_track(of_run, np.flatnonzero(mask), alone=scope == FACE):
            faces = of_run.take(pa.array(rows))
            names = tuple(faces["face_id"].to_pylist())
            if names not in told:  # the runs of two models hold the same faces
                told.add(names)
                number = [len(told) - 1] * len(faces)
                tables.append(_one_track(run, faces, pa.array(number, pa.int32()), scope))
    return pa.concat_tables(tables)


def _one_track(run: RunTables, faces: pa.Table, number: pa.Array, scope: str) -> pa.Table:
    columns: dict[str, Any] = {
        "scope": [scope] * len(faces),
        "content_id": [run.video["content_id"]] * len(faces),
        "track": number,
        "shown_s": shown_s(run.samples, faces),
    }
    same = {name: faces[name] for name in ("face_id", "pts", "time_s", "bbox_xyxy")}
    return pa.table(columns | same, schema=_ROWS)


def _by_track(
    faces: pa.Table, rows: npt.NDArray[np.intp], *, alone: bool
) -> Iterator[npt.NDArray[np.intp]]:
    """The rows of each track in order of time; a face without one is alone."""
    track_id = pc.fill_null(faces["track_id"], -1).to_numpy()[rows]
    time_s = faces["time_s"].to_numpy()[rows]
    single = np.ones(len(rows), bool) if alone else track_id < 0
    group = np.where(single, -1 - np.arange(len(rows)), track_id)
    order = np.lexsort((time_s, group))
    begins = np.flatnonzero(np.diff(group[order])) + 1
    yield from np.split(rows[order], begins) if len(rows) else []


def shown_s(samples: pa.Table | None, faces: pa.Table) -> pa.Array:
    """How long the frame of each face stays on screen, in seconds; 0 where no sample tells."""
    if samples is None:
        return pa.array(np.zeros(len(faces)))
    at = pc.index_in(faces["pts"], samples["pts"].combine_chunks())
    return pc.fill_null(samples["shown_s"].take(at), 0.0)


# Honouring --------------------------------------------------------------------------------------


def leave_out_forgotten(run: RunTables, tombstones: pa.Table) -> RunTables:
    """The run without the faces that tombstones name; the counts that it tells are lowered.

    Samples stay: that an instant was looked at stays true.

    Raises
    ------
    ForgottenError
        The video was forgotten as a whole.
    """
    if VIDEO in tombstones["scope"].to_pylist():
        raise ForgottenError(
            f"{run.video['video_id']}: this video was forgotten and is not put into the catalog "
            f"again; to lift that, delete its tombstones below {FORGOTTEN_FOLDER}/"
        )
    if run.faces is None or not len(tombstones):
        return run
    gone = find_forgotten(run.faces, tombstones)
    return without_faces(run, gone) if gone.any() else run


def find_forgotten(faces: pa.Table, tombstones: pa.Table) -> npt.NDArray[np.bool_]:
    """Which of a run's faces tombstones name, shape ``(n,)``.

    A face is a forgotten one when it has its name, or when its box at its instant is the forgotten
    one's: between two forgotten faces of one track the box is interpolated, so that looks at other
    instants are recognised. With scope ``track`` its whole track goes: it shows the same person.
    """
    at = pc.index_in(faces["face_id"], tombstones["face_id"].combine_chunks())
    scope = pc.fill_null(tombstones["scope"].take(at), "").to_numpy(zero_copy_only=False)
    alone, whole = scope == FACE, scope == TRACK
    seen = _Seen.of(faces)
    for mark in _marks(tombstones):
        (whole if mark.scope == TRACK else alone)[seen.same_as(mark)] = True
    track_id = pc.fill_null(faces["track_id"], -1).to_numpy()
    of_track = np.isin(track_id, track_id[whole]) & (track_id >= 0)
    gone: npt.NDArray[np.bool_] = alone | whole | of_track
    return gone


@dataclass(frozen=True)
class _Mark:
    """The forgotten faces of one track, in order of time."""

    scope: str
    time_s: npt.NDArray[np.float64]
    shown_s: npt.NDArray[np.float64]
    box: npt.NDArray[np.float32]


def _marks(tombstones: pa.Table) -> Iterator[_Mark]:
    faces = tombstones.filter(pc.is_valid(tombstones["face_id"]))
    if not len(faces):
        return
    by_track = [(name, "ascending") for name in ("tombstone_id", "track", "time_s")]
    known = [key for key in by_track if key[0] in faces.column_names]
    faces = faces.sort_by(known)
    keys = list(zip(*(faces[name].to_pylist() for name, _ in known[:-1]), strict=True))
    begins = [row for row in range(1, len(keys)) if keys[row] != keys[row - 1]]
    time_s, shown = faces["time_s"].to_numpy(), faces["shown_s"].to_numpy()
    box, scope = boxes(faces), faces["scope"].to_pylist()
    for rows in np.split(np.arange(len(keys)), begins):
        yield _Mark(scope[rows[0]], time_s[rows], shown[rows], box[rows])


@dataclass(frozen=True)
class _Seen:
    """A run's faces in order of time."""

    row: npt.NDArray[np.intp]
    time_s: npt.NDArray[np.float64]
    box: npt.NDArray[np.float32]

    @classmethod
    def of(cls, faces: pa.Table) -> _Seen:
        time_s = faces["time_s"].to_numpy()
        row = np.argsort(time_s, kind="stable")
        return cls(row, time_s[row], boxes(faces)[row])

    def same_as(self, mark: _Mark) -> npt.NDArray[np.intp]:
        """The rows of the faces that are where the forgotten one was."""
        # Half a frame: what two decoders make of one frame's time lies closer than two frames do.
        before, after = np.maximum(mark.shown_s[[0, -1]] / 2, _LEAST_REACH_S)
        begin = np.searchsorted(self.time_s, mark.time_s[0] - before, side="right")
        end = np.searchsorted(self.time_s, mark.time_s[-1] + after, side="left")
        time_s, box = self.time_s[begin:end], self.box[begin:end]
        expected = np.column_stack(
            [np.interp(time_s, mark.time_s, mark.box[:, side]) for side in range(4)]
        )
        return self.row[begin:end][_overlap(expected, box) >= SAME_FACE_IOU]


def boxes(faces: pa.Table) -> npt.NDArray[np.float32]:
    """The boxes of faces, shape ``(n, 4)``."""
    column = faces["bbox_xyxy"].combine_chunks()
    values: npt.NDArray[np.float32] = np.asarray(column.flatten().to_numpy(), np.float32)
    return values.reshape(-1, 4)


def _overlap(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes, row by row."""
    corner, opposite = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.prod(np.maximum(opposite - corner, 0.0), axis=1)
    area = sum(np.prod(np.maximum(box[:, 2:] - box[:, :2], 0.0), axis=1) for box in (one, other))
    overlap: npt.NDArray[np.float64] = shared / np.maximum(area - shared, 1e-12)
    return overlap


# Without ----------------------------------------------------------------------------------------


def without_faces(run: RunTables, gone: npt.NDArray[np.bool_]) -> RunTables:
    """The run without some of its faces, and without everything that was made of them."""
    assert run.faces is not None
    lost, faces = run.faces.filter(pa.array(gone)), run.faces.filter(pa.array(~gone))
    tracks = _remaining_tracks(run, lost, faces)
    video = run.video | {
        "n_faces": run.video["n_faces"] - len(lost),
        "n_tracks": run.video["n_tracks"] - (len(run.tracks or ()) - len(tracks or ())),
    }
    if video.get("n_embedded") is not None:
        video["n_embedded"] -= len(lost) - lost["embedding"].null_count
    return replace(
        run,
        video=video,
        samples=_fewer_faces(run.samples, lost),
        faces=_stood_for_again(faces, lost["face_id"]),
        tracks=tracks,
        chips=_without(run.chips, lost["face_id"]),
    )


def _without(table: pa.Table | None, face_ids: pa.ChunkedArray) -> pa.Table | None:
    if table is None:
        return None
    return table.filter(pc.invert(pc.is_in(table["face_id"], face_ids.combine_chunks())))


def _fewer_faces(samples: pa.Table | None, lost: pa.Table) -> pa.Table | None:
    """The samples, which say how many faces were found, saying how many there are."""
    if samples is None:
        return None
    pts, count = np.unique(lost["pts"].to_numpy(), return_counts=True)
    n_faces = samples["n_faces"].to_numpy().copy()
    at = np.searchsorted(pts, samples["pts"].to_numpy()).clip(0, len(pts) - 1)
    n_faces -= np.where(pts[at] == samples["pts"].to_numpy(), count[at], 0).astype(n_faces.dtype)
    return _with_column(samples, "n_faces", pa.array(n_faces))


def _stood_for_again(faces: pa.Table, lost: pa.ChunkedArray) -> pa.Table:
    """The faces, those whose stand-in went with the one of their track that is nearest now."""
    orphaned = pc.is_in(faces["embedded_face_id"], lost.combine_chunks()).to_numpy()
    if not orphaned.any():
        return faces
    names, time_s = faces["face_id"].to_pylist(), faces["time_s"].to_numpy()
    track_id = pc.fill_null(faces["track_id"], -1).to_numpy()
    known = pc.is_valid(faces["embedding"]).to_numpy()
    told = faces["embedded_face_id"].to_pylist()
    for row in np.flatnonzero(orphaned):
        others = np.flatnonzero(known & (track_id == track_id[row]) & (track_id >= 0))
        nearest = others[np.argmin(np.abs(time_s[others] - time_s[row]))] if len(others) else None
        told[row] = None if nearest is None else names[nearest]
    return _with_column(faces, "embedded_face_id", pa.array(told, pa.string()))


def _remaining_tracks(run: RunTables, lost: pa.Table, faces: pa.Table) -> pa.Table | None:
    """The tracks that still have faces; one that lost some is told anew, without its mean.

    The mean was made of forgotten faces, too: it is a likeness of them.
    """
    if run.tracks is None:
        return None
    track_id = pc.fill_null(faces["track_id"], -1).to_numpy()
    touched = set(pc.unique(lost["track_id"]).to_pylist()) - {None}
    rows = []
    for row in run.tracks.to_pylist():
        if row["track_id"] not in touched:
            rows.append(row)
            continue
        left = faces.filter(pa.array(track_id == row["track_id"]))
        if len(left):
            rows.append(row | _told_anew(run, left))
    return pa.Table.from_pylist(rows, schema=run.tracks.schema)


def _told_anew(run: RunTables, faces: pa.Table) -> dict[str, Any]:
    time_s = faces["time_s"].to_numpy()
    last = int(np.argmax(time_s))
    return {
        "start_s": float(time_s.min()),
        "end_s": float(time_s[last] + shown_s(run.samples, faces)[last].as_py()),
        "n_faces": len(faces),
        "best_face_id": faces["face_id"][int(np.argmax(faces["quality"].to_numpy()))].as_py(),
        "cos_to_mean_min": None,
        "embedding": None,
    }


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values)
