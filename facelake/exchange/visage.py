"""A catalog's videos as Visage's files, and Visage's files as videos of a catalog.

Visage names a frame by its number, a catalog by its pts: the video's packets say which is which,
so the video file must be there for both ways. Nothing is decoded or detected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import facelake
from facelake.errors import ExportError, SourceError, VideoError
from facelake.exchange.place import find_place, replacing_folder
from facelake.exchange.visage_files import (
    VisageVideo,
    find_visage,
    is_visage,
    read_visage,
    write_visage,
)
from facelake.lake import Lake
from facelake.lake.names import choose_videos, find_source
from facelake.schema import (
    DETECTED,
    FACES,
    SAMPLES,
    VIDEOS,
    Face,
    VideoFacts,
    VideoIndex,
    face_id,
    pack_embeddings,
    unpack_embeddings,
    video_name,
    with_embedding,
)
from facelake.tracks import add_tracks, link_tracks, stand_in_rows
from facelake.video import identify, index_video
from facelake.words import counted

DEFAULT_SPACE = "visage"
_EXAMINED = "facelake_examined"
_NAMING = 2  # part of a run's name: files that were imported before keep theirs
"""Key of metadata.json: the frames that were looked at, where they are not every k-th."""


# Out --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VisageReport:
    """What an export wrote.

    Attributes
    ----------
    path
        The folder, with one folder a video.
    n_videos, n_faces
        Written.
    left_out
        Ids of videos of which no frame could be looked at.
    """

    path: Path
    n_videos: int
    n_faces: int
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        words = f"{self.path}: {counted(self.n_faces, 'face')} of {counted(self.n_videos, 'video')}"
        return words + (
            f"; left out, for nothing in them could be looked at: {', '.join(self.left_out)}"
            if self.left_out
            else ""
        )


def export_visage(
    lake: Lake,
    to: str | Path,
    *,
    space: str,
    videos: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> VisageReport:
    """Write a folder a video as Visage does; they appear whole or not at all.

    A face without an embedding of its own gets that of the face that stands for it, and a vector
    of zeros where none does; ``/embedded`` in the HDF5 file says which are their own. Boxes are
    rounded to pixels and cut at the frame's edge, as that format has it.

    Parameters
    ----------
    to
        Folder for the videos' folders, which are named by ``video_id``.
    space
        Whose embeddings.
    videos
        Ids, paths or file names of the videos to write; ``None`` is all.
    overwrite
        Replace an earlier export, as a whole.
    progress
        Called with the number of videos done and of all.

    Raises
    ------
    ExportError
        The target is in the catalog, around it, or taken; a video's file is gone; h5py is missing.
    CatalogError
        A video is not in the catalog.
    """
    place = find_place(to, lake.where, overwrite=overwrite, is_export=is_visage)
    rows = choose_videos(lake.videos(space), videos).to_pylist()
    left_out = [row["video_id"] for row in rows if not row["n_samples"]]
    rows = [row for row in rows if row["n_samples"]]
    n_faces = 0
    with replacing_folder(place) as draft:
        for done, row in enumerate(rows):
            progress(done, len(rows))
            video = _to_visage(lake, row, space)
            write_visage(draft / row["video_id"], video)
            n_faces += len(video)
        progress(len(rows), len(rows))
    return VisageReport(Path(to), len(rows), n_faces, tuple(left_out))


def _to_visage(lake: Lake, row: dict[str, Any], space: str) -> VisageVideo:
    samples, faces = lake.read_video(row["video_id"], space)
    samples = samples.filter(pc.field("status") == "ok")
    path = _source(row)
    index = index_video(path)
    pts = _frame_pts(index, last_pts=int(pc.max(samples["pts"]).as_py() or 0))
    examined = _frame_numbers(samples["pts"].to_numpy(), pts, path)
    # Within a frame by score, as after its non-maximum suppression.
    faces = faces.sort_by([("pts", "ascending"), ("det_score", "descending")])
    frame_num = _frame_numbers(faces["pts"].to_numpy(), pts, path)
    stands_for = stand_in_rows(faces)
    vectors = unpack_embeddings(faces["embedding"], missing_ok=True).astype(np.float32)[stands_for]
    vectors[stands_for < 0] = 0.0
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    return VisageVideo(
        frame_num=frame_num,
        face_num=_rank_in_group(frame_num),
        bbox_xyxy=np.clip(boxes, 0, [row["width"], row["height"]] * 2).astype(np.float32),
        confidence=faces["det_score"].to_numpy(),
        embedding=vectors,
        embedded=stands_for == np.arange(len(faces)),
        metadata=_metadata(row, space, index.facts, examined, len(pts)),
    )


def _metadata(
    row: dict[str, Any],
    space: str,
    facts: VideoFacts,
    examined: npt.NDArray[np.int64],
    n_frames: int,
) -> dict[str, Any]:
    # Visage has one stride for a video. A catalog's samples lie where decoding is cheap and where
    # somebody comes or goes, so they are listed where no stride tells them.
    steps = np.diff(examined)
    frameskip = max(1, round(float(np.median(steps)))) if len(steps) else max(1, n_frames)
    regular = np.array_equal(examined, np.arange(0, n_frames, frameskip))
    duration_s = facts.duration_s or n_frames / (facts.assumed_fps or 25.0)
    return {
        "filepath": row["paths"][0],
        "width": facts.width,
        "height": facts.height,
        "fps": round(n_frames / duration_s, 3),
        "detector": row["detector"],
        "embedder": space,
        "framecount": n_frames,
        "frameskip": frameskip,
        "codec": facts.codec,
    } | ({} if regular else {_EXAMINED: examined.tolist()})


def _source(row: dict[str, Any]) -> Path:
    source = find_source(row)
    if source is not None:
        return source
    raise ExportError(
        f"{row['paths'][0]}: the video must still be there to number its frames, but it is gone or "
        "changed; ingest it from its new place, or choose other videos with --video"
    )


# In ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImportReport:
    """What an import brought.

    Attributes
    ----------
    space
        The embeddings' space.
    video_ids
        What is in the catalog now.
    n_faces, n_embedded
        Faces, and those of them with an embedding of their own.
    errors
        A sentence for each folder that could not be taken.
    """

    space: str
    video_ids: tuple[str, ...]
    n_faces: int
    n_embedded: int
    errors: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{counted(len(self.video_ids), 'video')}, {counted(self.n_faces, 'face')}, "
            f"{self.n_embedded:,} embedded, in the space {self.space}",
            *(f"  not imported: {error}" for error in self.errors),
        ]
        return "\n".join(lines)


def import_visage(
    root: str | Path,
    folder: str | Path,
    *,
    video: str | Path | None = None,
    space: str = DEFAULT_SPACE,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> ImportReport:
    """Put videos that Visage looked at into a catalog, as whole videos.

    Frame numbers become presentation times by the video's packets. Embeddings are brought to unit
    length; a vector of zeros is a face without one. What the format lacks is NaN (landmarks,
    ``align_rms``, ``sharpness``); ``quality`` is that of a frontal face of its size and score.
    Importing a folder again replaces what it brought before.

    Parameters
    ----------
    root
        The catalog, made where it is not there yet.
    folder
        A video's folder, or one that holds such folders.
    video
        The video's file; ``None`` is what metadata.json calls it. For one video's folder only.
    space
        Name for the model that made the embeddings; only those of one space are compared.
    progress
        Called with the number of videos done and of all.

    Raises
    ------
    SourceError
        The folder holds no such files, or the only video's do not fit each other, the video or the
        space. Of several videos the others are imported, and the report has the sentences.
    VideoError
        The only video cannot be read.
    ValueError
        A file is named for several videos, or the space's name is none.
    """
    if not re.fullmatch(r"\w[\w.-]*", space):
        raise ValueError(f"space must be letters, digits, '.', '_' and '-', but is {space!r}")
    folders = find_visage(Path(folder))
    if video is not None and len(folders) > 1:
        raise ValueError(
            f"{folder}: --video is for one video's folder, but this holds {len(folders)}; "
            "name one of them"
        )
    rows, errors = [], []
    for done, one in enumerate(folders):
        progress(done, len(folders))
        try:
            rows.append(_import(root, one, video, space))
        except (SourceError, VideoError) as error:
            if len(folders) == 1:
                raise
            errors.append(str(error))
    progress(len(folders), len(folders))
    return ImportReport(
        space=space,
        video_ids=tuple(row["video_id"] for row in rows),
        n_faces=sum(row["n_faces"] for row in rows),
        n_embedded=sum(row["n_embedded"] for row in rows),
        errors=tuple(errors),
    )


def _import(root: str | Path, folder: Path, video: str | Path | None, space: str) -> dict[str, Any]:
    """Publish one video; gives its ``videos`` row."""
    found = read_visage(folder)
    path = _find_video(folder, found.metadata["filepath"], video)
    index, content_id = index_video(path), identify(path)
    _refuse_other_video(found, index.facts, folder, path)
    pts = _frame_pts(index, n_frames=_counted_frames(found))
    if len(found) and found.frame_num[-1] >= len(pts):
        raise SourceError(
            f"{folder}: frame_num must be below the {len(pts):,} frames of {path}, but goes to "
            f"{found.frame_num[-1]:,}; name the video that was looked at with --video"
        )
    examined = _examined(found, len(pts), folder)
    vectors = _unit_length(found)
    lake = Lake.create(root)  # not before something is there to be put into it
    _note_space(lake, space, vectors.shape[1], found.metadata["embedder"], folder)
    samples = _sample_rows(found, index.facts, examined, pts)
    faces = _face_rows(found, content_id, space, vectors, pts, index.facts)
    faces, tracks = _with_tracks(faces, samples, vectors)
    row = _video_row(lake, found, index.facts, content_id, path, space) | {
        "n_samples": len(samples),
        "n_faces": len(faces),
        "n_tracks": len(tracks),
        "n_embedded": len(faces) - faces["embedding"].null_count,
    }
    lake.publish(row, samples, faces, tracks)
    return row


def _find_video(folder: Path, told: str, video: str | Path | None) -> Path:
    """The video's file: the named one, else the one of metadata.json, else one beside the folder.

    Visage runs in a container, where its path is not what it is outside.
    """
    if video is not None:
        return Path(video).expanduser().absolute()
    name = Path(told).name
    for path in (Path(told), folder / name, folder.parent / name):
        if name and path.is_file():
            return path.absolute()
    raise SourceError(
        f"{folder}: its video must be there to number the frames, but {told} is not; "
        "name it with --video"
    )


def _refuse_other_video(found: VisageVideo, facts: VideoFacts, folder: Path, path: Path) -> None:
    """Refuse a video of another size, and boxes that lie beyond the upright frame."""
    size = (found.metadata.get("width"), found.metadata.get("height"))
    other = None not in size and size not in (
        (facts.width, facts.height),
        (facts.height, facts.width),
    )
    beyond = (found.bbox_xyxy > np.array([facts.width, facts.height] * 2) + 1.0).any()
    if other or beyond:
        what = f"is {size[0]} × {size[1]}" if other else "has faces beyond that"
        raise SourceError(
            f"{folder}: must be of {path}, which is {facts.width} × {facts.height} pixels upright, "
            f"but {what}; name the video that was looked at with --video"
        )


def _examined(found: VisageVideo, n_frames: int, folder: Path) -> npt.NDArray[np.int64]:
    """Numbers of the frames that were looked at, increasing."""
    told = found.metadata.get(_EXAMINED)
    if told is None:
        numbers = np.arange(0, n_frames, found.metadata["frameskip"], dtype=np.int64)
    elif isinstance(told, list) and all(type(n) is int and 0 <= n < n_frames for n in told):
        numbers = np.array(told, np.int64)
    else:
        raise SourceError(
            f"{folder}: {_EXAMINED} in metadata.json must be a list of frame numbers from 0 to "
            f"{n_frames - 1}, but is not"
        )
    return np.union1d(numbers, found.frame_num)


def _unit_length(found: VisageVideo) -> npt.NDArray[np.float32]:
    """The embeddings at unit length; a row of NaN for a face that has none of its own."""
    length = np.linalg.norm(found.embedding.astype(np.float64), axis=1)
    known = found.embedded & np.isfinite(length) & (length > 0)
    vectors = np.full(found.embedding.shape, np.nan, np.float32)
    vectors[known] = found.embedding[known] / length[known, None]
    return vectors


def _note_space(lake: Lake, space: str, dim: int, embedder: str, folder: Path) -> None:
    pack = f"visage {embedder}"
    known = lake.spaces.get(space)
    if known is None:
        lake.add_space(
            space, dim=dim, pack=pack, licence="unknown: ask who made the model", embedder_sha256=""
        )
        return
    of_other = str(known.get("pack", "")).startswith("visage ") and known["pack"] != pack
    if known["dim"] != dim or of_other:
        raise SourceError(
            f"{folder}: embeddings of the space {space} must be of {known.get('pack')} with "
            f"{known['dim']} numbers, but are of {embedder} with {dim}; give another --space"
        )


# Rows -------------------------------------------------------------------------------------------


def _sample_rows(
    found: VisageVideo,
    facts: VideoFacts,
    examined: npt.NDArray[np.int64],
    pts: npt.NDArray[np.int64],
) -> pa.Table:
    n_samples, base = len(examined), facts.time_base
    end_pts = facts.end_pts if facts.assumed_fps is None else pts[-1] + _unit_pts(facts)
    shown = np.diff(np.append(pts, end_pts))[examined]
    columns = {
        "pts": pts[examined],
        "time_s": pts[examined] * base.numerator / base.denominator,
        "shown_s": shown * float(base),
        "n_faces": np.bincount(np.searchsorted(examined, found.frame_num), minlength=n_samples),
        "status": ["ok"] * n_samples,
        "source": [DETECTED] * n_samples,
        "new_shot": pa.nulls(n_samples, pa.bool_()),  # the format does not tell
    }
    return pa.table(columns).cast(pa.schema([SAMPLES.field(name) for name in columns]))


def _face_rows(
    found: VisageVideo,
    content_id: str,
    space: str,
    vectors: npt.NDArray[np.float32],
    pts: npt.NDArray[np.int64],
    facts: VideoFacts,
) -> pa.Table:
    at, n_faces = pts[found.frame_num], len(found)
    unknown = np.full(n_faces, np.nan, np.float32)
    columns = {
        "face_id": [
            face_id(content_id, int(time), box)
            for time, box in zip(at, found.bbox_xyxy, strict=True)
        ],
        "pts": at,
        "time_s": at * facts.time_base.numerator / facts.time_base.denominator,
        "bbox_xyxy": pa.FixedSizeListArray.from_arrays(found.bbox_xyxy.ravel(), 4),
        "det_score": found.confidence,
        "landmarks": pa.FixedSizeListArray.from_arrays(np.repeat(unknown, 10), 10),
        "align_rms": unknown,
        "sharpness": unknown,
        "quality": _quality(found),
        "track_id": pa.nulls(n_faces, pa.int32()),
        "embedded_face_id": pa.nulls(n_faces, pa.string()),
        "embedding": pack_embeddings(vectors),
    }
    schema = with_embedding(FACES, space, vectors.shape[1])
    return pa.table(columns).cast(pa.schema([schema.field(name) for name in columns]))


def _quality(found: VisageVideo) -> npt.NDArray[np.float32]:
    """Of each face, as if it looked into the camera: nobody knows its landmarks."""
    faces = (
        Face(box, float(score), np.empty((0, 2), np.float32), None, align_rms=0.0, sharpness=np.nan)
        for box, score in zip(found.bbox_xyxy, found.confidence, strict=True)
    )
    return np.array([face.quality for face in faces], np.float32)


def _with_tracks(
    faces: pa.Table, samples: pa.Table, vectors: npt.NDArray[np.float32]
) -> tuple[pa.Table, pa.Table]:
    """The faces with their track and who stands for them, and the tracks."""
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    return add_tracks(faces, samples, link_tracks(faces["time_s"].to_numpy(), boxes, vectors))


def _video_row(
    lake: Lake, found: VisageVideo, facts: VideoFacts, content_id: str, path: Path, space: str
) -> dict[str, Any]:
    known = lake.runs().select(["video_id", "content_id"]).to_pylist()
    names = {row["content_id"]: row["video_id"] for row in known}
    stat, told = path.stat(), found.metadata
    frameskip = told["frameskip"]
    rate = (facts.n_frames / facts.duration_s) if facts.duration_s else facts.assumed_fps
    settings = {"imported_from": "visage", "frameskip": frameskip}
    same = {field.name for field in fields(facts)} & set(VIDEOS.names)
    run = (_NAMING, content_id, "visage", told["detector"], told["embedder"], space)
    return {name: getattr(facts, name) for name in same} | {
        "video_id": names.get(content_id) or video_name(path.stem, content_id, names.values()),
        # The same files, found anew with another stride for one, take the place of these.
        "run": blake2b(repr(run).encode(), digest_size=6).hexdigest(),
        "content_id": content_id,
        "paths": [str(path)],
        "mtimes_ns": [stat.st_mtime_ns],
        "size_bytes": stat.st_size,
        "status": "ok",
        "time_base_num": facts.time_base.numerator,
        "time_base_den": facts.time_base.denominator,
        "start_s": facts.start_s,
        "duration_s": facts.duration_s,
        "settings": json.dumps(settings, sort_keys=True),
        "sample_fps": None if frameskip == 1 or not rate else rate / frameskip,
        "space": space,
        "pack": f"visage {told['embedder']}",
        "detector": told["detector"],
        "device": "imported",
        "n_undecodable": 0,
        "created_utc": datetime.now(UTC),
        "facelake_version": facelake.__version__,
    }


# Frames -----------------------------------------------------------------------------------------


def _frame_pts(index: VideoIndex, *, n_frames: int = 0, last_pts: int = 0) -> npt.NDArray[np.int64]:
    """The pts of every frame in order of presentation, which is how decoders count them.

    Where the file carries no times, frames are counted at its assumed rate, as the ingest does: as
    many as there are said to be, and up to a pts.
    """
    if index.facts.assumed_fps is None:
        return index.pts
    unit = _unit_pts(index.facts)
    n_frames = max(n_frames, round(last_pts / unit) + 1)
    return np.round(np.arange(n_frames) * unit).astype(np.int64)


def _unit_pts(facts: VideoFacts) -> float:
    """How far two frames of a file without times lie apart, in its time base."""
    return 1.0 / ((facts.assumed_fps or 25.0) * float(facts.time_base))


def _counted_frames(found: VisageVideo) -> int:
    told = found.metadata.get("framecount")
    return max(int(found.frame_num.max(initial=-1)) + 1, told if isinstance(told, int) else 0)


def _frame_numbers(
    wanted: npt.NDArray[np.int64], pts: npt.NDArray[np.int64], path: Path
) -> npt.NDArray[np.int64]:
    """The number of each frame."""
    numbers = np.searchsorted(pts, wanted)
    if (numbers >= len(pts)).any() or (pts[numbers] != wanted).any():
        raise ExportError(
            f"{path}: the catalog's instants must be frames of the video, but some are not; "
            "the video was changed since: ingest it again"
        )
    return numbers.astype(np.int64)


def _rank_in_group(number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place of each row among those of the same number, which lie next to each other."""
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    lengths = np.diff(np.append(begins, len(number)))
    return np.arange(len(number)) - np.repeat(begins, lengths)
