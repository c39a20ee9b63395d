"""The present corridor: spans → clips and timelines. Only here is a video opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import ExportError, VideoError
from facelake.export import (
    DEFAULT_TEMPLATE,
    ClipPlan,
    clip_table,
    plan_clips,
    write_clip,
    write_clip_table,
)
from facelake.lake import Lake
from facelake.lake.names import find_source
from facelake.plot import MAX_PANELS, plot_spans
from facelake.spans import examined_ranges

_COVERAGE = pa.schema(
    [("video_id", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]
)


def cut_clips(
    lake: Lake,
    spans: pa.Table,
    space: str,
    out: str | Path,
    *,
    pad_s: float = 0.0,
    template: str = DEFAULT_TEMPLATE,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[pa.Table, list[str]]:
    """A frame-exact clip of each span, and ``clips.csv`` beside them.

    Parameters
    ----------
    pad_s
        Seconds shown before and after; spans of one person that then overlap share a clip.
    template
        See `facelake.export.clip_name`.
    progress
        Called with the number of clips done and of all.

    Returns
    -------
    clips
        Rows of `schema.CLIPS`.
    errors
        A sentence for each clip that could not be cut; the others are there.

    Raises
    ------
    ExportError
        The folder cannot be made, or ``clips.csv`` not written.
    ValueError
        The template or the padding is none.
    """
    out = Path(out)
    videos = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    bounds = {name: (row["start_s"], _end_s(row)) for name, row in videos.items()}
    plans = plan_clips(spans, bounds=bounds, pad_s=pad_s, template=template)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{out}: the folder cannot be made ({error.strerror})") from error
    done, errors = [], []
    for number, plan in enumerate(plans):
        progress(number, len(plans))
        video = videos[plan.video_id]
        try:
            facts = write_clip(
                _source(plan, video),
                out / plan.clip,
                start_s=plan.cut_start_s,
                end_s=plan.cut_end_s,
                stream=video["stream"],
                assumed_fps=video["assumed_fps"],
            )
        except (ExportError, VideoError) as error:
            errors.append(str(error))
        else:
            done.append((plan, facts))
    progress(len(plans), len(plans))
    clips = clip_table(done)
    write_clip_table(clips, out / "clips.csv")
    return clips, errors


def draw_timeline(
    lake: Lake, spans: pa.Table, space: str, *, blind_s: float | None = None, **options: Any
) -> np.ndarray[Any, Any]:
    """The Axes of a timeline of these spans.

    Parameters
    ----------
    blind_s
        Neighbouring samples further apart than this have unexamined time between them; ``None``
        is 2 seconds, and always the usual distance of samples.
    options
        As in `facelake.plot.plot_spans`.
    """
    videos = lake.videos(space)
    if options.get("identities") is not None:
        spans = spans.filter(pc.is_in(spans["identity"], pa.array(options["identities"])))
    # Those that get a panel, in plot_spans' order: an archive's other samples need not be read.
    seen = set(spans["video_id"].to_pylist())
    rows = videos.select(["video_id", "paths"]).to_pylist()
    rows.sort(key=lambda row: (row["video_id"] not in seen, row["paths"][0], row["video_id"]))
    shown = [row["video_id"] for row in rows[: options.get("max_panels", MAX_PANELS)]]
    coverage = _coverage(lake, shown, space, blind_s)
    return plot_spans(spans, videos=videos, coverage=coverage, **options)


def _coverage(lake: Lake, video_ids: list[str], space: str, blind_s: float | None) -> pa.Table:
    """Examined time of the videos: ``video_id, start_s, end_s``, one row per unbroken range."""
    rows = []
    for video_id in video_ids:
        samples = lake.samples(video_id, space)
        samples = samples.filter(pc.field("status") == "ok")
        time_s, shown_s = samples["time_s"].to_numpy(), samples["shown_s"].to_numpy()
        # What lies between two samples counts as seen while they are no further apart than usual.
        usual_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0
        widest_s = max(2.0, 2.5 * usual_s) if blind_s is None else blind_s
        ranges = examined_ranges(time_s, shown_s, blind_s=widest_s)
        rows += [
            {"video_id": video_id, "start_s": start, "end_s": end}
            for start, end in zip(*(edge.tolist() for edge in ranges), strict=True)
        ]
    return pa.Table.from_pylist(rows, schema=_COVERAGE)


def _source(plan: ClipPlan, video: dict[str, Any]) -> Path:
    source = find_source(video)
    if source is not None:
        return source
    raise ExportError(
        f"{plan.path}: the video must still be there to be cut, but it is gone or changed; "
        "ingest it from its new place: its content is recognised and not looked at again"
    )


def _end_s(row: dict[str, Any]) -> float:
    """Where a video ends; of one without times nobody knows before it is read."""
    if row["assumed_fps"] or row["start_s"] is None:
        return float("inf")
    return float(row["start_s"] + row["duration_s"])
