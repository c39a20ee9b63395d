"""What runs on a worker: read a file's index, look at a stretch, publish a video.

Dask gives "at least once"; exactly once comes from names. A stretch is staged under a name made of
the video's content, the settings and the models, and is not looked at again when it lies there.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from distributed import WorkerPlugin, get_worker

import facelake
from facelake.errors import CatalogError, EngineError, FacelakeError, PackError, VideoError
from facelake.faces import FaceEngine, Pack, find_pack
from facelake.faces.pack import file_sha256
from facelake.ingest.task import Indexed, Published, SourceFile, StretchDone, Task, Video
from facelake.ingest.watchdog import Watchdog
from facelake.lake import Lake, StagedStretch
from facelake.schema import (
    FACES,
    SAMPLES,
    TRACKS,
    VIDEOS,
    DecoderName,
    Face,
    Stretch,
    VideoFacts,
    face_id,
    pack_embeddings,
    unpack_embeddings,
    with_embedding,
)
from facelake.tracks import link_tracks, summarise_tracks
from facelake.video import PYAV, FrameReader, identify, index_video

MOST_ATTEMPTS = 2
UNREAD = "unread:"  # what the content id of a file begins with whose bytes nobody could read
STAGES = ("decode", "detect", "align", "embed", "write")


class EnginePlugin(WorkerPlugin):
    """Opens the sessions of a pack once per worker; they are never pickled."""

    idempotent = True  # another ingest on the same workers may be using them

    def __init__(self, task: Task) -> None:
        self.name = task.engine
        self._pack, self._settings, self._device = task.pack, task.settings, task.device
        self.engine: FaceEngine | None = None
        self.error = ""

    def setup(self, worker: Any) -> None:
        """Open the sessions; a failure is kept, to be told when the sessions are needed."""
        self._lock = threading.Lock()
        try:
            threads = max(1, int(worker.state.nthreads))
            self.engine = FaceEngine(
                _pack_here(self._pack), self._settings, device=self._device, threads=threads
            )
        except FacelakeError as error:
            self.error = str(error)
        _warm_up()

    def opened(self) -> FaceEngine:
        """The sessions.

        Raises
        ------
        EngineError
            They could not be opened here.
        """
        if self.engine is None:
            raise EngineError(f"{socket.gethostname()}: {self.error}")
        return self.engine

    def find(self, image: npt.NDArray[np.uint8], spent: dict[str, float]) -> list[Face]:
        """The faces of a frame; the seconds of each stage are added to ``spent``."""
        engine = self.opened()
        # The sessions have a thread for each of the worker's, so one frame at a time is as fast.
        with self._lock:
            before = dict(engine.seconds)
            faces = engine.find(image)
            for stage, seconds in engine.seconds.items():
                spent[stage] += seconds - before[stage]
        return faces


def _warm_up() -> None:
    """Have the first publishing import nothing: SciPy and pandas take a second of a short run."""
    boxes, vectors = np.eye(2, 4, 2), np.eye(2)
    link_tracks([0.0, 0.2], boxes, vectors)
    pa.table({"nothing": [None]})


def _pack_here(pack: Pack) -> Pack:
    """The same pack where this worker keeps it: another machine's folders may differ."""
    files = {pack.detector: pack.detector_sha256, pack.embedder: pack.embedder_sha256}
    if all(file.is_file() and file_sha256(file) == sha for file, sha in files.items()):
        return pack
    here = find_pack(pack.name)
    if (here.space, here.detector_id) != (pack.space, pack.detector_id):
        raise PackError(
            f"pack {pack.name!r}: every worker must have {pack.detector_id} and {pack.space}, but "
            f"{socket.gethostname()} has {here.detector_id} and {here.space}"
        )
    return here


def engine_state(name: str, dask_worker: Any = None) -> dict[str, Any]:
    """What a worker's sessions are: provider and dim, or the error that kept them away."""
    plugin: EnginePlugin = dask_worker.plugins[name]
    if plugin.engine is None:
        return {"error": plugin.error}
    return {"error": "", "provider": plugin.engine.provider, "dim": plugin.engine.dim}


def _plugin(task: Task) -> EnginePlugin:
    plugin = get_worker().plugins.get(task.engine)
    if not isinstance(plugin, EnginePlugin):
        raise EngineError(f"{socket.gethostname()}: this worker was given no face engine")
    return plugin


# Tasks ------------------------------------------------------------------------------------------


def index_file(task: Task, file: SourceFile) -> Indexed:
    """Fingerprint a file and read its packets; what is wrong with it is a result, not an error."""
    content_id = unread_id(file)
    attempts = Lake.open(task.root).staging("index", content_id.removeprefix(UNREAD)[:16])
    with _writing(attempts.folder):
        n_before = attempts.begin(0, task.session)
    watchdog = Watchdog(task.stall_s)
    try:
        if n_before >= MOST_ATTEMPTS:
            return Indexed(file, content_id, None, _deadly("reads", n_before, task))
        watchdog.alive()
        content_id = identify(file.path, watchdog.alive)
        return Indexed(file, content_id, index_video(file.path, watchdog.alive))
    except VideoError as error:
        return Indexed(file, content_id, None, _without_path(error, file.path))
    finally:
        watchdog.stop()
        attempts.clear()


def unread_id(file: SourceFile) -> str:
    """What stands for the content id of a file whose bytes cannot be read; made of its path."""
    return UNREAD + sha256(os.fsencode(file.path)).hexdigest()


def look_at_stretch(task: Task, video: Video, stretch: Stretch) -> StretchDone:
    """Decode a stretch, find and embed its faces, and stage the rows.

    Raises
    ------
    EngineError, PackError, CatalogError
        What is not the video's fault: this worker cannot look at any, or nothing can be staged.
    """
    staging = Lake.open(task.root).staging(video.video_id, task.run_of(video.content_id))
    mark = _mark(stretch)
    facts = staging.facts(stretch.number)
    if facts is not None and facts.get("mark") == mark:
        n_samples, n_faces = int(facts["n_samples"]), int(facts["n_faces"])
        return StretchDone(video.video_id, stretch.number, n_samples, n_faces)
    with _writing(staging.folder):
        attempts = staging.begin(stretch.number, task.session)
    if attempts >= MOST_ATTEMPTS:
        message = _deadly("decodes", attempts, task)
        return StretchDone(video.video_id, stretch.number, 0, 0, message)
    # What killed a worker was most likely decord; PyAV is slower and does not hang.
    decoder = task.settings.decoder if attempts == 0 else PYAV
    watchdog = Watchdog(task.stall_s)
    try:
        watchdog.alive()
        staged = _examine(task, video, stretch, decoder, watchdog)
    except VideoError as error:
        message = _without_path(error, video.files[0].path)
        return StretchDone(video.video_id, stretch.number, 0, 0, message)
    finally:
        watchdog.stop()
        staging.end(stretch.number)
    staged.facts["mark"] = mark
    with _writing(staging.folder):
        staging.put(stretch.number, staged)
    return StretchDone(video.video_id, stretch.number, len(staged.samples), len(staged.faces))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A full disk is not the fault of the video that is looked at."""
    try:
        yield
    except OSError as error:
        raise CatalogError(
            f"{folder}: what was seen cannot be written ({error.strerror or error}); mend that and "
            "run the same command again, it goes on where this one stopped"
        ) from error


def _deadly(verb: str, attempts: int, task: Task) -> str:
    return (
        f"the worker that {verb} it dies or hangs (tried {attempts} times, "
        f"{task.stall_s:g} s without progress are too long)"
    )


def publish_video(task: Task, video: Video, n_stretches: int, reason: str = "") -> Published:
    """Join a video's stretches, link its faces into tracks, and make it visible in the catalog.

    Parameters
    ----------
    reason
        Why some stretches are missing; the others are published.
    """
    lake = Lake.open(task.root)
    run = task.run_of(video.content_id)
    staging = lake.staging(video.video_id, run)
    if lake.has_run(video.video_id, run):  # by a worker that died before it could say so
        staging.clear()
        row = lake.run_row(video.video_id, run)
        return Published(
            video.video_id, row["status"], row["error"] or "", row["n_samples"], row["n_faces"]
        )
    start = time.perf_counter()
    stretches = list(staging.read(n_stretches, missing_ok=bool(reason)))
    row = _video_row(task, video) | _join_facts([s.facts for s in stretches])
    samples = pa.concat_tables([SAMPLES.empty_table(), *(s.samples for s in stretches)])
    n_decoded = pc.sum(pc.equal(samples["status"], "ok"), min_count=0).as_py()
    space, dim = task.pack.space, lake.dim(task.pack.space)
    faces = pa.concat_tables(
        [with_embedding(FACES, space, dim).empty_table(), *(s.faces for s in stretches)]
    )
    faces, tracks = _add_tracks(faces, samples, space, dim)
    status, error = _verdict(video.facts, row, n_decoded, len(samples), reason)
    row |= {
        "status": status,
        "error": error or None,
        "n_samples": len(samples),
        "n_undecodable": len(samples) - n_decoded,
        "n_faces": len(faces),
        "n_tracks": len(tracks),
        "write_s": row["write_s"] + time.perf_counter() - start,
    }
    lake.publish(row, samples, faces, tracks)
    staging.clear()
    return Published(video.video_id, status, error, len(samples), len(faces))


def failed_row(
    task: Task, video_id: str, content_id: str, files: tuple[SourceFile, ...], error: str
) -> dict[str, Any]:
    """The ``videos`` row of bytes that are no video."""
    return _common_row(task, video_id, content_id, files) | {"status": "failed", "error": error}


# Looking ----------------------------------------------------------------------------------------


def _examine(
    task: Task, video: Video, stretch: Stretch, decoder: DecoderName, watchdog: Watchdog
) -> StagedStretch:
    plugin = _plugin(task)
    engine = plugin.opened()
    spent = dict.fromkeys(engine.seconds, 0.0)
    start = time.perf_counter()
    reader = FrameReader(video.files[0].path, video.facts, decoder=decoder, alive=watchdog.alive)
    seen: list[tuple[int, list[Face]]] = []
    for pts, image in reader.frames(stretch):
        seen.append((pts, plugin.find(image, spent)))
        watchdog.alive()
    elapsed = time.perf_counter() - start
    start = time.perf_counter()
    samples = _sample_rows(video.facts, stretch, seen)
    faces = _face_rows(task.pack.space, engine.dim, video, seen)
    facts: dict[str, str | int | float] = {
        "n_samples": len(samples),
        "n_faces": len(faces),
        "n_bad_packets": reader.n_bad_packets,
        "decoder": reader.decoder,
        "decoder_reason": reader.reason,
        "provider": engine.provider,
        "decode": elapsed - sum(spent.values()),
        "write": time.perf_counter() - start,
    }
    facts.update(spent)
    return StagedStretch(samples, faces, facts)


def _sample_rows(
    facts: VideoFacts, stretch: Stretch, seen: list[tuple[int, list[Face]]]
) -> pa.Table:
    """One row per instant that was looked at, or should have been and could not be decoded."""
    pts = np.array([pts for pts, _ in seen], np.int64)
    n_faces = np.array([len(faces) for _, faces in seen], np.int32)
    if len(stretch.want_pts):
        answered = np.searchsorted(stretch.want_pts, pts, side="right") - 1
        shown = stretch.want_shown_s[answered]
        lost = np.delete(np.arange(len(stretch.want_pts)), answered)
    else:
        shown = np.full(len(pts), 1.0 / (facts.assumed_fps or 25.0))
        lost = np.empty(0, np.int64)
    all_pts = np.concatenate([pts, stretch.want_pts[lost]])
    order = np.argsort(all_pts, kind="stable")
    columns = {
        "pts": all_pts,
        "time_s": _seconds(all_pts, facts),
        "shown_s": np.concatenate([shown, np.zeros(len(lost))]),
        "n_faces": np.concatenate([n_faces, np.zeros(len(lost), np.int32)]),
        "status": np.array(["ok"] * len(pts) + ["undecodable"] * len(lost), object),
        "source": np.array(["detected"] * len(pts) + ["none"] * len(lost), object),
    }
    return pa.table({name: column[order] for name, column in columns.items()}, schema=SAMPLES)


def _face_rows(space: str, dim: int, video: Video, seen: list[tuple[int, list[Face]]]) -> pa.Table:
    rows = [
        {
            "face_id": face_id(video.content_id, pts, face.bbox_xyxy),
            "pts": pts,
            "time_s": float(_seconds(np.array(pts), video.facts)),
            "bbox_xyxy": face.bbox_xyxy,
            "det_score": face.det_score,
            "landmarks": face.landmarks.ravel(),
            "align_rms": face.align_rms,
            "sharpness": face.sharpness,
            "quality": face.quality,
            "track_id": None,
        }
        for pts, faces in seen
        for face in faces
    ]
    vectors = [face.embedding for _, faces in seen for face in faces]
    packed = pack_embeddings(np.array(vectors, np.float32).reshape(len(rows), dim))
    schema = with_embedding(FACES, space, dim)
    table = pa.Table.from_pylist(rows, schema=FACES)
    return pa.table([*table.columns, packed], schema=schema)


def _seconds(pts: np.ndarray, facts: VideoFacts) -> np.ndarray:
    # One multiplication and one division: the nearest float64 to the exact time.
    return pts * facts.time_base.numerator / facts.time_base.denominator


# Publishing -------------------------------------------------------------------------------------


def _add_tracks(
    faces: pa.Table, samples: pa.Table, space: str, dim: int
) -> tuple[pa.Table, pa.Table]:
    """The faces with their track, and the tracks."""
    schema = with_embedding(TRACKS, space, dim)
    if not len(faces):
        return faces, schema.empty_table()
    vectors = unpack_embeddings(faces["embedding"])  # a view; a long film's float32 is gigabytes
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    time_s = faces["time_s"].to_numpy()
    track_id = link_tracks(time_s, boxes, vectors)
    at = np.searchsorted(samples["pts"].to_numpy(), faces["pts"].to_numpy())
    shown_s = samples["shown_s"].to_numpy()[at]
    found = summarise_tracks(track_id, time_s, shown_s, faces["quality"].to_numpy(), vectors)
    tracks = pa.table(
        {
            "track_id": found.track_id,
            "start_s": found.start_s,
            "end_s": found.end_s,
            "n_faces": found.n_faces,
            "best_face_id": faces["face_id"].take(found.best),
            "cos_to_mean_min": found.cos_to_mean_min,
            "embedding": pack_embeddings(found.embedding),
        },
        schema=schema,
    )
    column = faces.schema.get_field_index("track_id")
    return faces.set_column(column, FACES.field("track_id"), pa.array(track_id)), tracks


def _common_row(
    task: Task, video_id: str, content_id: str, files: tuple[SourceFile, ...]
) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "run": task.run_of(content_id),
        "content_id": content_id,
        "paths": [file.path for file in files],
        "mtimes_ns": [file.mtime_ns for file in files],
        "size_bytes": files[0].size_bytes,
        "settings": task.settings.to_json(),
        "sample_fps": task.settings.sample_fps,
        "space": task.pack.space,
        "pack": task.pack.name,
        "detector": task.pack.detector_id,
        "device": task.device,
        "n_samples": 0,
        "n_undecodable": 0,
        "n_bad_packets": 0,
        "n_faces": 0,
        "n_tracks": 0,
        "created_utc": datetime.now(UTC),
        "facelake_version": facelake.__version__,
    }


def _video_row(task: Task, video: Video) -> dict[str, Any]:
    row = _common_row(task, video.video_id, video.content_id, video.files)
    same = set(VIDEOS.names) & {field.name for field in fields(video.facts)}
    return (
        row
        | {name: getattr(video.facts, name) for name in same - {"n_bad_packets"}}
        | {
            "time_base_num": video.facts.time_base.numerator,
            "time_base_den": video.facts.time_base.denominator,
            "start_s": video.facts.start_s,
            "duration_s": video.facts.duration_s,
        }
    )


def _join_facts(stretches: list[dict[str, Any]]) -> dict[str, Any]:
    """What the stretches say together: sums of numbers, the least safe decoder's word."""
    total: Counter[str] = Counter()
    for facts in stretches:
        total.update({name: facts[name] for name in (*STAGES, "n_bad_packets")})
    # A video that left decord half way was decoded by PyAV for a reason worth keeping.
    told = sorted(stretches, key=lambda facts: facts["decoder"] != PYAV)
    return {
        "decoder": told[0]["decoder"] if told else None,
        "decoder_reason": told[0]["decoder_reason"] if told else None,
        "provider": told[0]["provider"] if told else None,
        "n_bad_packets": int(total["n_bad_packets"]),
        **{f"{stage}_s": float(total[stage]) for stage in STAGES},
    }


def _verdict(
    facts: VideoFacts, row: dict[str, Any], n_decoded: int, n_samples: int, reason: str
) -> tuple[str, str]:
    """Status of a video, and the sentence that goes with it."""
    n_bad = max(int(row["n_bad_packets"]), facts.n_bad_packets)
    said = {
        reason: bool(reason),
        f"{n_samples - n_decoded} of {n_samples} instants could not be decoded": (
            n_decoded < n_samples or not n_samples
        ),
        f"{n_bad} damaged packets": n_bad > 0,
        # One frame is within what writers round.
        f"{facts.n_missing} frames fewer than its header promises": facts.n_missing > 1,
    }
    doubts = "; ".join(sentence for sentence, holds in said.items() if holds)
    if not n_decoded:
        return "failed", doubts
    return ("partial" if doubts else "ok"), doubts


def _mark(stretch: Stretch) -> str:
    """Fingerprint of what a stretch is to look at."""
    told = (stretch.seek_pts, stretch.end_pts, stretch.sample_fps)
    return blake2b(stretch.want_pts.tobytes() + repr(told).encode(), digest_size=8).hexdigest()


def _without_path(error: Exception, path: str) -> str:
    """The sentence without the file's name, which the row's ``paths`` already tell."""
    return str(error).removeprefix(f"{path}: ")
