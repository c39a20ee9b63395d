"""Carrying out a plan, and looking whether anything is left."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.forget.outputs import remove_clips
from facelake.forget.plan import Plan
from facelake.forget.report import FORGOTTEN, ForgetReport
from facelake.lake import Lake
from facelake.lake.forget.rewrite import clear_up, refuse_writers, remove_video, rewrite_run
from facelake.lake.forget.tombstones import write_tombstone
from facelake.lake.forget.traces import find_bytes, find_likenesses
from facelake.lake.labels import drop_labels

SAME_SCORE = 0.9999  # two embeddings this much alike are of one picture


def carry_out(lake: Lake, plan: Plan) -> ForgetReport:
    """Forget what is planned, then look through every file for it.

    Interrupted at any point, a catalog is whole, and the same request goes on with the rest. What
    it is found by goes last: a video's name with the video, an identity's with its exemplars.

    Raises
    ------
    CatalogError
        Somebody is writing into the catalog, or it cannot be written.
    """
    _put_up_tombstones(lake, plan)
    clear_up(lake, plan.about)
    remove_clips(plan.clips)
    for video in plan.videos:
        if video.is_whole:
            remove_video(lake, video.video_id)
        for run in () if video.is_whole else video.runs:
            rewrite_run(lake, video.video_id, run)
    _drop_labels(lake, plan.labels)
    for space, exemplars in plan.exemplars.items():
        lake.drop_exemplars(exemplars["exemplar_id"].to_pylist(), space)
    return _report(plan, left=tuple(_find_traces(lake, plan)))


def report_plan(plan: Plan) -> ForgetReport:
    """What a plan would do."""
    return _report(plan, is_dry_run=True)


def _drop_labels(lake: Lake, labels: pa.Table) -> None:
    gone = labels["label_id"].combine_chunks()
    if len(gone):
        drop_labels(
            lake, lambda rows: pc.is_in(rows["label_id"], gone).to_numpy(zero_copy_only=False)
        )


def _put_up_tombstones(lake: Lake, plan: Plan) -> None:
    tombstone_id = secrets.token_hex(4)
    with lake.clearing() as is_alone:
        refuse_writers(lake, is_alone=is_alone)
        for video in plan.videos:
            if len(video.tombstone):
                write_tombstone(
                    lake.store,
                    video.tombstone,
                    video_id=video.video_id,
                    tombstone_id=tombstone_id,
                    request=plan.request.kind,
                )


def _report(plan: Plan, *, left: tuple[str, ...] = (), is_dry_run: bool = False) -> ForgetReport:
    clips = Counter(clip.video_id for clip in plan.clips)
    rows = [
        {
            "video_id": video.video_id,
            "path": video.path,
            "n_faces": video.n_faces,
            "n_tracks": video.n_tracks,
            "n_chips": video.n_chips,
            "n_clips": clips.pop(video.video_id, 0),
            "n_files": len(video.files & plan.sizes.keys()),
            "size_bytes": sum(plan.sizes.get(name, 0) for name in video.files),
        }
        for video in plan.videos
    ]
    nothing = dict.fromkeys(FORGOTTEN.names, 0)
    rows += [nothing | {"video_id": of, "path": "", "n_clips": n} for of, n in clips.items()]
    return ForgetReport(
        table=pa.Table.from_pylist(rows, schema=FORGOTTEN),
        n_exemplars=sum(len(table) for table in plan.exemplars.values()),
        n_labels=len(plan.labels),
        n_other_files=plan.n_other_files,
        notes=plan.notes,
        left=left,
        is_dry_run=is_dry_run,
    )


def _find_traces(lake: Lake, plan: Plan) -> Iterator[str]:
    by_space: dict[str, list[npt.NDArray[np.float16]]] = {}
    for space, vectors in plan.vectors:
        by_space.setdefault(space, []).append(vectors)
    for space, arrays in by_space.items():
        vectors = np.concatenate(arrays)
        told = set()
        for name, what in find_likenesses(lake, space, vectors, min_score=SAME_SCORE):
            told.add(name)
            yield f"{lake.store.where(name)}: {what} is the same picture; forget that, too"
        raw = {row.tobytes() for row in vectors}
        for store in (lake.store, lake.scratch):
            for name in find_bytes(store, raw):
                if store is lake.scratch or name not in told:
                    yield f"{store.where(name)}: holds an embedding that was forgotten; delete it"
