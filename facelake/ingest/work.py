"""What runs on a worker: read a file's index, look at a stretch.

Dask gives "at least once"; exactly once comes from names. A stretch is staged under a name made of
the video's content, the settings and the models, and is not looked at again when it lies there.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b, sha256

from facelake.errors import EngineError, VideoError
from facelake.ingest.engines import Eyes, engine_plugin
from facelake.ingest.look import Looker
from facelake.ingest.rows import chip_rows, face_rows, sample_rows
from facelake.ingest.task import Indexed, SourceFile, StretchDone, Task, Video
from facelake.ingest.watchdog import Watchdog
from facelake.lake import StagedStretch, Staging
from facelake.schema import DecoderName, Stretch
from facelake.video import PYAV, FrameReader, identify, index_video

MOST_ATTEMPTS = 2
UNREAD = "unread:"  # what the content id of a file begins with whose bytes nobody could read


def index_file(task: Task, file: SourceFile) -> Indexed:
    """Fingerprint a file and read its packets; what is wrong with it is a result, not an error."""
    content_id = unread_id(file)
    attempts = Staging.open(task.root, "index", content_id.removeprefix(UNREAD)[:16])
    n_before = attempts.begin(0, task.session)
    watchdog = Watchdog(task.stall_s)
    try:
        if n_before >= MOST_ATTEMPTS:
            return Indexed(file, content_id, None, _deadly("reads", task))
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
    staging = Staging.open(task.root, video.video_id, task.run_of(video.content_id))
    mark = _mark(stretch)
    facts = staging.facts(stretch.number)
    if facts is not None and facts.get("mark") == mark:
        n_samples, n_faces = int(facts["n_samples"]), int(facts["n_faces"])
        return StretchDone(video.video_id, stretch.number, n_samples, n_faces)
    attempts = staging.begin(stretch.number, task.session)
    if attempts >= MOST_ATTEMPTS:
        message = _deadly("decodes", task)
        return StretchDone(video.video_id, stretch.number, 0, 0, message)
    # What killed a worker was most likely decord; PyAV is slower and does not hang.
    decoder = task.settings.decoder if attempts == 0 else PYAV
    engine_plugin(task).opened()  # a worker without sessions is no fault of the video
    watchdog = Watchdog(task.stall_s)
    try:
        watchdog.alive()
        staged = _examine(task, video, stretch, decoder, watchdog)
    except (EngineError, VideoError) as error:
        staging.end(stretch.number)
        message = _without_path(error, video.files[0].path)
        return StretchDone(video.video_id, stretch.number, 0, 0, message)
    finally:
        watchdog.stop()
    staged.facts["mark"] = mark
    start = time.perf_counter()
    staging.put(stretch.number, staged)  # which ends the attempt, too
    return StretchDone(
        video.video_id,
        stretch.number,
        len(staged.samples),
        len(staged.faces),
        lake_s=time.perf_counter() - start,
    )


def _deadly(verb: str, task: Task) -> str:
    # To be asked once more, as when another stretch kills this worker, is not to try once more.
    return (
        f"the worker that {verb} it dies or hangs (tried {MOST_ATTEMPTS} times, "
        f"{task.stall_s:g} s without progress are too long)"
    )


def _examine(
    task: Task, video: Video, stretch: Stretch, decoder: DecoderName, watchdog: Watchdog
) -> StagedStretch:
    """Look at a stretch; where the sessions fail, once more with one frame and face at a time."""
    try:
        return _examine_once(task, video, stretch, decoder, watchdog)
    except EngineError as error:
        engine_plugin(task).reopen(str(error))
        return _examine_once(task, video, stretch, decoder, watchdog)


def _examine_once(
    task: Task, video: Video, stretch: Stretch, decoder: DecoderName, watchdog: Watchdog
) -> StagedStretch:
    plugin = engine_plugin(task)
    engine, eyes = plugin.opened(), Eyes(plugin)
    reader = FrameReader(
        video.files[0].path,
        video.facts,
        decoder=decoder,
        sample_fps=stretch.sample_fps,
        alive=watchdog.alive,
        cores=plugin.threads,
    )
    looker = Looker(reader, video.facts, task.settings, eyes, watchdog.alive, cores=plugin.threads)
    looks, new_shot_after = looker.examine(stretch)
    start = time.perf_counter()
    samples = sample_rows(video.facts, stretch, looks)
    faces = face_rows(video.content_id, task.pack.space, engine.dim, looks)
    chips = chip_rows(video.content_id, looks) if task.settings.chips else None
    facts: dict[str, str | int | float] = {
        "n_samples": len(samples),
        "n_faces": len(faces),
        "n_bad_packets": reader.n_bad_packets,
        "n_second_looks": eyes.n_second_looks,
        "new_shot_after": int(new_shot_after),
        "decoder": reader.decoder,
        "decoder_reason": reader.reason,
        "provider": engine.provider,
        "engine_note": engine.note,
        "decode": looker.decode_s,
        "write": time.perf_counter() - start,
    }
    facts.update(eyes.seconds)
    return StagedStretch(samples, faces, facts, chips)


def _mark(stretch: Stretch) -> str:
    """Fingerprint of what a stretch is to look at."""
    told = (stretch.seek_pts, stretch.end_pts, stretch.sample_fps)
    return blake2b(stretch.want_pts.tobytes() + repr(told).encode(), digest_size=8).hexdigest()


def _without_path(error: Exception, path: str) -> str:
    """The sentence without the file's name, which the row's ``paths`` already tell."""
    return str(error).removeprefix(f"{path}: ")
