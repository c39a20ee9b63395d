"""What must go: which faces of which videos, in which files. Nothing is touched here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.forget.outputs import Clip, Row, find_clips
from facelake.forget.request import Request, Seeker
from facelake.gallery import plain_name
from facelake.lake import Lake
from facelake.lake.forget.rewrite import (
    orphans,
    read_run,
    run_files,
    scratch_files,
    video_files,
    video_of,
)
from facelake.lake.forget.tombstones import (
    VIDEO,
    RunTables,
    face_rows,
    find_forgotten,
    forgotten_videos,
    read_tombstones,
    video_rows,
    videos_with_tombstones,
)
from facelake.lake.labels import read_labels
from facelake.lake.names import no_such_video
from facelake.lake.stores.store import Entry
from facelake.schema import unpack_embeddings

Vectors = list[tuple[str, npt.NDArray[np.float16]]]
"""Embeddings, each array with its space."""


@dataclass(frozen=True)
class VideoPlan:
    """What must go of a video.

    Attributes
    ----------
    tombstone
        Rows for a new one; empty where only an earlier one is carried out.
    is_whole
        Whether the video goes as a whole.
    runs
        Those to write anew.
    time_s
        Of the faces that go, in seconds.
    files
        Names of the files that are replaced or go.
    face_ids
        The faces that go.
    vectors
        The embeddings that go.
    """

    video_id: str
    path: str
    tombstone: pa.Table
    is_whole: bool
    runs: tuple[str, ...]
    n_tracks: int
    n_chips: int
    time_s: npt.NDArray[np.float64]
    files: frozenset[str]
    face_ids: frozenset[str] = field(repr=False)
    vectors: Vectors = field(repr=False)

    @property
    def n_faces(self) -> int:
        """How many faces go."""
        return len(self.face_ids)


@dataclass(frozen=True)
class Plan:
    """What must go of a catalog.

    Attributes
    ----------
    exemplars
        Of the identity, and those that are faces that go, by space.
    labels
        Of the faces that go, and all that give the identity's name.
    about
        The videos whose unfinished work goes; ``None`` is every video's.
    n_other_files
        Files that go beside the videos': unfinished work, caches, files no row names.
    sizes
        Bytes of the catalog's files by name.
    """

    request: Request
    videos: tuple[VideoPlan, ...]
    exemplars: dict[str, pa.Table]
    labels: pa.Table
    clips: tuple[Clip, ...]
    about: frozenset[str] | None
    n_other_files: int
    sizes: dict[str, int]
    notes: tuple[str, ...]

    @property
    def vectors(self) -> Vectors:
        """All embeddings that go."""
        enrolled = [(space, _vectors(table)) for space, table in self.exemplars.items()]
        return [pair for video in self.videos for pair in video.vectors] + enrolled


def plan_forgetting(lake: Lake, request: Request) -> Plan:
    """What must go when a request is carried out; also what an interrupted one left undone.

    Raises
    ------
    GalleryError
        Nobody of this name is enrolled.
    CatalogError
        No such face or video is there, or a part cannot be read.
    ExportError
        A folder for clips is none.
    """
    runs = lake.runs().to_pylist()
    seeker = Seeker(lake, request, runs)
    earlier = read_tombstones(lake.store)
    entries = lake.store.find()
    forgotten = forgotten_videos(lake.store)
    videos = (
        *_plan_videos(lake, seeker, request.scope, runs, earlier),
        *_plan_remains(forgotten, runs, entries),
    )
    _refuse_unfound(request, seeker, runs, videos, earlier, forgotten)
    about = _about(lake, request, videos)
    owned = frozenset[str]().union(*(video.files for video in videos))
    loose = [e for e in orphans(entries, runs) if about is None or video_of(e) in about]
    return Plan(
        request=request,
        videos=videos,
        exemplars=_exemplars(lake, seeker, videos, earlier, forgotten),
        labels=_labels(lake, request, videos, earlier, forgotten),
        clips=tuple(find_clips(request.outputs, lambda row: _is_wanted(row, request, videos))),
        about=about,
        n_other_files=len({e.name for e in loose} - owned) + len(scratch_files(lake, about)),
        sizes={entry.name: entry.size_bytes for entry in entries},
        notes=tuple(_notes(request, runs, seeker)),
    )


def _about(lake: Lake, request: Request, videos: Sequence[VideoPlan]) -> frozenset[str] | None:
    # Whose faces lie in unfinished work nobody has looked at, so an identity takes all of it.
    if request.kind == "identity":
        return None
    return videos_with_tombstones(lake.store).union(video.video_id for video in videos)


def _exemplars(
    lake: Lake,
    seeker: Seeker,
    videos: Sequence[VideoPlan],
    earlier: pa.Table,
    forgotten: Collection[str],
) -> dict[str, pa.Table]:
    """The exemplars that go, by space: the identity's, and whosoever's that are faces that go.

    Those of earlier tombstones, too: an interrupted forgetting leaves exemplars for last.
    """
    faces = set(earlier["face_id"].to_pylist()).union(*(video.face_ids for video in videos))
    gone = pa.array(sorted(faces - {None}), pa.string())
    whole = {video.video_id for video in videos if video.is_whole} | set(forgotten)
    found = {}
    for space in sorted(lake.spaces):
        table = lake.exemplars(space)
        own = seeker.exemplars.get(space, table.slice(0, 0))["exemplar_id"].combine_chunks()
        mask = pc.is_in(table["exemplar_id"], own)
        mask = pc.or_(mask, pc.is_in(table["face_id"], gone))
        mask = pc.or_(mask, pc.is_in(table["video_id"], pa.array(sorted(whole), pa.string())))
        if pc.any(mask).as_py():
            found[space] = table.filter(mask)
    return found


def _labels(
    lake: Lake,
    request: Request,
    videos: Sequence[VideoPlan],
    earlier: pa.Table,
    forgotten: Collection[str],
) -> pa.Table:
    """The labels that go, also those that an interrupted forgetting has left."""
    labels = read_labels(lake)
    faces = set(earlier["face_id"].to_pylist()).union(*(video.face_ids for video in videos))
    whole = {video.video_id for video in videos if video.is_whole} | set(forgotten)
    names = [] if request.identity is None else [plain_name(request.identity)]
    mask = pc.is_in(labels["face_id"], pa.array(sorted(faces - {None}), pa.string()))
    mask = pc.or_(mask, pc.is_in(labels["video_id"], pa.array(sorted(whole), pa.string())))
    return labels.filter(pc.or_(mask, pc.is_in(labels["name"], pa.array(names, pa.string()))))


# Videos -----------------------------------------------------------------------------------------


def _plan_videos(
    lake: Lake, seeker: Seeker, scope: str, rows: list[dict[str, Any]], earlier: pa.Table
) -> Iterator[VideoPlan]:
    for video_id, of_video in groupby(rows, key=lambda row: row["video_id"]):
        runs = list(of_video)
        stones = earlier.filter(pc.field("content_id") == runs[0]["content_id"])
        is_gone = VIDEO in stones["scope"].to_pylist()
        if is_gone or video_id == seeker.video_id:
            yield _plan_whole(lake, runs, is_new=not is_gone)
            continue
        none = pa.array([], pa.string())
        found = pa.concat_arrays([none, *(seeker.face_ids(run) for run in runs)])
        if len(found) or len(stones):
            plan = _plan_faces(lake, runs, found, scope, stones)
            if plan.runs:
                yield plan


def _plan_whole(lake: Lake, rows: list[dict[str, Any]], *, is_new: bool) -> VideoPlan:
    tables = []
    for row in rows:
        try:
            tables.append(read_run(lake, row))
        except CatalogError:  # damaged: it goes all the same
            tables.append(RunTables(row))
    everything = [np.ones(_n_faces(run), bool) for run in tables]
    stone = video_rows(rows[0]["content_id"])[: int(is_new)]
    files = frozenset(entry.name for entry in video_files(lake, rows[0]["video_id"]))
    return _video_plan(tables, everything, stone, files, is_whole=True)


def _plan_remains(
    forgotten: dict[str, str], rows: Sequence[dict[str, Any]], entries: Sequence[Entry]
) -> Iterator[VideoPlan]:
    """What an interrupted forgetting left of videos that no row names any more."""
    known = {row["video_id"] for row in rows}
    left: dict[str, set[str]] = {}
    for entry in entries:
        if (video_id := video_of(entry)) in forgotten and video_id not in known:
            left.setdefault(video_id, set()).add(entry.name)
    for video_id, files in left.items():
        tables = [RunTables({"video_id": video_id, "paths": []})]
        stone = video_rows(forgotten[video_id])[:0]
        yield _video_plan(tables, [np.empty(0, bool)], stone, frozenset(files), is_whole=True)


def _plan_faces(
    lake: Lake, rows: list[dict[str, Any]], found: pa.Array, scope: str, stones: pa.Table
) -> VideoPlan:
    tables = [read_run(lake, row) for row in rows]
    stone = face_rows(tables, found, scope=scope)
    gone = [
        np.empty(0, bool)
        if run.faces is None
        else find_forgotten(run.faces, stone) | find_forgotten(run.faces, stones)
        for run in tables
    ]
    touched = [run.video for run, mask in zip(tables, gone, strict=True) if mask.any()]
    files = frozenset(name for row in touched for name in run_files(row))
    return _video_plan(tables, gone, stone, files)


def _video_plan(
    tables: Sequence[RunTables],
    gone: Sequence[npt.NDArray[np.bool_]],
    stone: pa.Table,
    files: frozenset[str],
    *,
    is_whole: bool = False,
) -> VideoPlan:
    lost = [_Lost.of(run, mask) for run, mask in zip(tables, gone, strict=True) if mask.any()]
    video = tables[0].video
    return VideoPlan(
        video_id=video["video_id"],
        path=next(iter(video["paths"]), ""),
        tombstone=stone,
        is_whole=is_whole,
        runs=tuple(one.run for one in lost),
        # What one run saw as two tracks may be one to another.
        n_tracks=max((one.n_tracks for one in lost), default=0),
        n_chips=sum(one.n_chips for one in lost),
        time_s=np.concatenate([np.empty(0), *(one.time_s for one in lost)]),
        files=files,
        face_ids=frozenset[str]().union(*(one.face_ids for one in lost)),
        vectors=[pair for one in lost for pair in one.vectors],
    )


@dataclass(frozen=True)
class _Lost:
    """What goes of a run."""

    run: str
    face_ids: frozenset[str]
    n_tracks: int
    n_chips: int
    time_s: npt.NDArray[np.float64]
    vectors: Vectors

    @classmethod
    def of(cls, run: RunTables, gone: npt.NDArray[np.bool_]) -> _Lost:
        faces = _table(run.faces).filter(pa.array(gone))
        tracks = _table(run.tracks)
        tracks = tracks.filter(pc.is_in(tracks["track_id"], faces["track_id"].combine_chunks()))
        chips = 0
        if run.chips is not None:
            named = pc.is_in(run.chips["face_id"], faces["face_id"].combine_chunks())
            chips = int(pc.sum(named, min_count=0).as_py())
        space = run.video["space"]
        return cls(
            run=run.video["run"],
            face_ids=frozenset(faces["face_id"].to_pylist()),
            n_tracks=len(pc.unique(faces["track_id"]).drop_null()),
            n_chips=chips,
            time_s=faces["time_s"].to_numpy(),
            vectors=[(space, _vectors(faces)), (space, _vectors(tracks))],
        )


def _table(table: pa.Table | None) -> pa.Table:
    assert table is not None  # a run with faces has both
    return table


def _n_faces(run: RunTables) -> int:
    return 0 if run.faces is None else len(run.faces)


def _vectors(table: pa.Table) -> npt.NDArray[np.float16]:
    return unpack_embeddings(table["embedding"].drop_null())


# Clips, and what to say -------------------------------------------------------------------------


def _is_wanted(row: Row, request: Request, videos: Sequence[VideoPlan]) -> bool:
    """Whether a clip goes: it is of the identity or the video, or shows one of the faces."""
    if request.kind == "identity":
        return row["identity"] == plain_name(request.identity or "")
    for video in videos:
        if row["video_id"] == video.video_id:
            start_s, end_s = float(row["clip_start_s"]), float(row["clip_end_s"])
            return video.is_whole or bool(
                ((start_s <= video.time_s) & (video.time_s < end_s)).any()
            )
    return False


def _refuse_unfound(
    request: Request,
    seeker: Seeker,
    runs: Sequence[dict[str, Any]],
    videos: Sequence[VideoPlan],
    earlier: pa.Table,
    forgotten: Collection[str],
) -> None:
    """Raise when what was named is neither there nor forgotten already."""
    is_known = seeker.video_id is not None or request.video in forgotten
    if request.video is not None and not is_known and not any(v.is_whole for v in videos):
        raise no_such_video(request.video, runs)
    known = set(earlier["face_id"].to_pylist())
    for video in videos:
        if not video.is_whole:
            known |= set(video.tombstone["face_id"].to_pylist())
    unknown = sorted(set(request.face_ids) - known)
    if unknown:
        raise CatalogError(
            f"{unknown[0]}: the catalog holds no such face; the column face_id of facelake spans "
            "and catalog.faces() names them"
        )


def _notes(request: Request, runs: Sequence[dict[str, Any]], seeker: Seeker) -> Iterator[str]:
    if not request.outputs:
        yield "clips were not looked for; name their folder with --outputs"
    yield "pictures, tables and copies outside of the catalog cannot be known"
    if request.kind == "identity":
        for space in sorted({run["space"] for run in runs} - seeker.exemplars.keys()):
            yield (
                f"nobody of this name is enrolled in {space}: what only that model saw stays; "
                "name it with --face"
            )
