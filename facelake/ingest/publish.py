"""Joining a video's stretches, and making it visible in the catalog."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import facelake
from facelake.ingest.task import Published, SourceFile, Task, Video
from facelake.lake import Lake, StagedStretch
from facelake.lake.forget.tombstones import ForgottenError
from facelake.schema import (
    CARRIED,
    CHIPS,
    DAMAGED,
    FACES,
    REFINED,
    SAMPLES,
    VIDEOS,
    VideoFacts,
    unpack_embeddings,
    with_embedding,
)
from facelake.tracks import add_tracks, link_tracks
from facelake.video import PYAV

STAGES = ("decode", "detect", "align", "embed", "write")


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
    before = lake.run_row(video.video_id, run) if lake.has_run(video.video_id, run) else None
    if before is not None and before["status"] != DAMAGED:
        staging.clear()  # a worker published it that died before it could say so
        return Published(
            video.video_id,
            before["status"],
            before["error"] or "",
            before["n_samples"],
            before["n_faces"],
        )
    start = time.perf_counter()
    stretches = list(staging.read(n_stretches, missing_ok=bool(reason)))
    row = _video_row(task, video) | _join_facts([s.facts for s in stretches])
    samples = _join_samples(stretches)
    n_decoded = pc.sum(pc.equal(samples["status"], "ok"), min_count=0).as_py()
    space, dim = task.pack.space, lake.dim(task.pack.space)
    faces = pa.concat_tables(
        [with_embedding(FACES, space, dim).empty_table(), *(s.faces for s in stretches)]
    )
    fragment = None if task.settings.embed == "all" else _number_on(stretches)
    faces, tracks = add_tracks(faces, samples, _link(faces, samples, fragment))
    status, error = _verdict(video.facts, row, n_decoded, len(samples), reason)
    row |= {
        "status": status,
        "error": error or None,
        "n_samples": len(samples),
        "n_undecodable": len(samples) - n_decoded,
        "n_faces": len(faces),
        "n_tracks": len(tracks),
        "n_refined": _count(samples["source"], REFINED),
        "n_carried": _count(samples["source"], CARRIED),
        "n_embedded": len(faces) - faces["embedding"].null_count,
        "write_s": row["write_s"] + time.perf_counter() - start,
    }
    chips = _join_chips(stretches) if task.settings.chips else None
    try:
        written = lake.publish(row, samples, faces, tracks, chips)
    except ForgottenError:  # while it was looked at
        staging.clear()
        raise
    staging.clear()
    return Published(
        video.video_id,
        status,
        error,
        len(samples),
        written["n_faces"],
        lake_s=time.perf_counter() - start,
    )


def failed_row(
    task: Task, video_id: str, content_id: str, files: tuple[SourceFile, ...], error: str
) -> dict[str, Any]:
    """The ``videos`` row of bytes that are no video."""
    return _common_row(task, video_id, content_id, files) | {"status": "failed", "error": error}


def _join_samples(stretches: list[StagedStretch]) -> pa.Table:
    """All samples; the first of a stretch is a new shot where the stretch before saw that."""
    tables, new_shot = [SAMPLES.empty_table()], False
    for stretch in stretches:
        samples = stretch.samples
        if len(tables) > 1 and len(samples):
            told = [new_shot, *samples["new_shot"].to_pylist()[1:]]
            column = samples.schema.get_field_index("new_shot")
            samples = samples.set_column(column, SAMPLES.field("new_shot"), pa.array(told))
        tables.append(samples)
        new_shot = bool(stretch.facts["new_shot_after"])
    return pa.concat_tables(tables)


def _join_chips(stretches: list[StagedStretch]) -> pa.Table:
    kept = [stretch.chips for stretch in stretches if stretch.chips is not None]
    return pa.concat_tables([CHIPS.empty_table(), *kept])


def _number_on(stretches: list[StagedStretch]) -> npt.NDArray[np.int64]:
    """The fragment of every face; each stretch numbers its own from 0."""
    numbers, begin = [np.empty(0, np.int64)], 0
    for stretch in stretches:
        own = stretch.faces["track_id"].to_numpy().astype(np.int64)
        numbers.append(own + begin)
        begin += int(own.max(initial=-1)) + 1
    return np.concatenate(numbers)


def _count(column: pa.ChunkedArray, value: str) -> int:
    return int(pc.sum(pc.equal(column, value), min_count=0).as_py())


def _link(
    faces: pa.Table, samples: pa.Table, fragment: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int32]:
    """The track of every face."""
    if not len(faces):
        return np.empty(0, np.int32)
    vectors = unpack_embeddings(faces["embedding"], missing_ok=True)
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    cut_s = samples["time_s"].filter(pc.fill_null(samples["new_shot"], fill_value=False))
    return link_tracks(
        faces["time_s"].to_numpy(), boxes, vectors, fragment=fragment, cut_s=cut_s.to_numpy()
    )


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
        total.update({name: facts[name] for name in (*STAGES, "n_bad_packets", "n_second_looks")})
    # A video that left decord half way was decoded by PyAV for a reason worth keeping.
    told = sorted(stretches, key=lambda facts: facts["decoder"] != PYAV)
    return {
        "decoder": told[0]["decoder"] if told else None,
        "decoder_reason": told[0]["decoder_reason"] if told else None,
        "provider": told[0]["provider"] if told else None,
        "n_bad_packets": int(total["n_bad_packets"]),
        "n_second_looks": int(total["n_second_looks"]),
        "engine_note": next((note for facts in stretches if (note := facts["engine_note"])), None),
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
