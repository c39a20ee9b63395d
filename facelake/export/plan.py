"""The clips to cut, as a table before anything is cut, and ``clips.csv`` after."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from facelake.atomic import replacing
from facelake.errors import ExportError
from facelake.export.names import DEFAULT_TEMPLATE, clip_name
from facelake.schema import CLIPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from facelake.export.clips import ClipFacts


@dataclass(frozen=True)
class ClipPlan:
    """A clip to cut: one span, or several whose padded intervals overlap.

    Attributes
    ----------
    clip
        File name within the folder.
    start_s, end_s
        What was found: from the first span's start to the last one's end, in seconds.
    cut_start_s, cut_end_s
        What shall be cut: the same with padding, within the video.
    score_mean
        Over the hits of all its spans.
    """

    clip: str
    video_id: str
    path: str
    identity: str
    start_s: float
    end_s: float
    cut_start_s: float
    cut_end_s: float
    score_max: float
    score_mean: float
    n_hits: int


def plan_clips(
    spans: pa.Table,
    *,
    bounds: Mapping[str, tuple[float, float]],
    pad_s: float = 0.0,
    template: str = DEFAULT_TEMPLATE,
) -> list[ClipPlan]:
    """The clips that show the spans, in order of path, time and identity.

    Padding is presentation: it comes after merging and never changes a span. Spans of one video
    and identity whose padded intervals overlap become one clip; spans that only touch do not.

    Parameters
    ----------
    spans
        Columns as in `facelake.schema.SPANS`.
    bounds
        Start and end of each video by ``video_id``, in seconds. Padding ends there; a span never
        loses time to them.
    pad_s
        Seconds shown before and after, 0 or more.
    template
        See `facelake.export.names.clip_name`; ``{video}`` is the file's name without its ending.

    Raises
    ------
    ValueError
        ``pad_s`` is negative or not finite, the template is refused, or a video has no bounds.
    """
    if not 0 <= pad_s < math.inf:
        raise ValueError(f"pad_s must be 0 or more seconds, but is {pad_s}")
    merged: list[ClipPlan] = []
    ordered = sorted(
        (_padded(row, bounds, pad_s) for row in spans.to_pylist()),
        key=lambda plan: (plan.path, plan.video_id, plan.identity, plan.cut_start_s, plan.end_s),
    )
    for plan in ordered:
        if merged and _overlap(merged[-1], plan):
            merged[-1] = _joined(merged[-1], plan)
        else:
            merged.append(plan)
    merged.sort(key=lambda plan: (plan.path, plan.video_id, plan.start_s, plan.identity))
    taken: set[str] = set()
    return [replace(plan, clip=_name(plan, template, n, taken)) for n, plan in enumerate(merged, 1)]


def clip_table(done: Iterable[tuple[ClipPlan, ClipFacts]]) -> pa.Table:
    """Finished clips as a table with the columns of `facelake.schema.CLIPS`."""
    rows = [
        vars(plan)
        | {
            "clip_start_s": facts.start_s,
            "clip_end_s": facts.end_s,
            "n_frames": facts.n_frames,
            "has_audio": facts.has_audio,
        }
        for plan, facts in done
    ]
    return pa.Table.from_pylist([{name: row[name] for name in CLIPS.names} for row in rows], CLIPS)


def write_clip_table(clips: pa.Table, path: str | Path) -> None:
    """``clips.csv``: RFC 4180, UTF-8, one row per clip; whole or not at all.

    Numbers have as many digits as it takes to read the same value back; true and false are
    ``true`` and ``false``.

    Parameters
    ----------
    clips
        As `clip_table` gives it.

    Raises
    ------
    ValueError
        The columns are not those of `facelake.schema.CLIPS`.
    ExportError
        The file cannot be written.
    """
    if not clips.schema.equals(CLIPS):
        raise ValueError(
            f"clips must have the columns {CLIPS.names} with their types, "
            f"but have {clips.schema.names}"
        )
    try:
        with replacing(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(CLIPS.names)
            for row in clips.to_pylist():
                writer.writerow([_cell(row[field.name], field.type) for field in CLIPS])
    except OSError as error:
        raise ExportError(f"{path}: the table could not be written ({error})") from error


def _padded(
    row: dict[str, Any], bounds: Mapping[str, tuple[float, float]], pad_s: float
) -> ClipPlan:
    video_id = row["video_id"]
    if video_id not in bounds:
        raise ValueError(f"bounds must hold every video of the spans, but {video_id} is missing")
    first, last = bounds[video_id]
    start, end = row["start_s"], row["end_s"]
    return ClipPlan(
        clip="",
        video_id=video_id,
        path=row["path"],
        identity=row["identity"],
        start_s=start,
        end_s=end,
        cut_start_s=min(start, max(first, start - pad_s)),
        cut_end_s=max(end, min(last, end + pad_s)),
        score_max=row["score_max"],
        score_mean=row["score_mean"],
        n_hits=row["n_hits"],
    )


def _overlap(one: ClipPlan, following: ClipPlan) -> bool:
    return (
        (one.path, one.video_id, one.identity)
        == (following.path, following.video_id, following.identity)
    ) and following.cut_start_s < one.cut_end_s


def _joined(one: ClipPlan, other: ClipPlan) -> ClipPlan:
    n_hits = one.n_hits + other.n_hits
    weighed = one.score_mean * one.n_hits + other.score_mean * other.n_hits
    return replace(
        one,
        start_s=min(one.start_s, other.start_s),
        end_s=max(one.end_s, other.end_s),
        cut_end_s=max(one.cut_end_s, other.cut_end_s),
        score_max=max(one.score_max, other.score_max),
        score_mean=weighed / n_hits if n_hits else one.score_mean,
        n_hits=n_hits,
    )


def _name(plan: ClipPlan, template: str, n: int, taken: set[str]) -> str:
    return clip_name(
        template,
        video=PurePath(plan.path).stem,
        identity=plan.identity,
        start_s=plan.start_s,
        end_s=plan.end_s,
        score_max=plan.score_max,
        n=n,
        taken=taken,
    )


def _cell(value: Any, kind: pa.DataType) -> str:
    if value is None:
        return ""
    if pa.types.is_boolean(kind):
        return "true" if value else "false"
    if pa.types.is_float32(kind):
        return str(np.float32(value))  # 0.7 and not 0.699999988079071
    return str(value)
