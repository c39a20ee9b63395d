"""The evaluating corridor: spans and a truth, each a file or a table → what the spans are worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from facelake.evaluate import (
    COLLAR_S,
    MIN_IOU,
    WANTED,
    SpanEvaluation,
    Truth,
    VideoName,
    evaluate_spans,
    of_people,
    read_spans,
    read_truth,
    spans_from_table,
    truth_from_table,
)
from facelake.lake import Lake


@dataclass(frozen=True)
class TruthRules:
    """How a truth is taken.

    Attributes
    ----------
    visibilities
        Of faces that should be found; time of any other counts neither way.
    collar_s
        Time before and after each edge of the truth in which no second is counted, in seconds.
    min_iou
        Least intersection over union of two spans that match, in (0, 1].
    videos
        Only these, by path, file name, or either without its ending; empty is all.
    identities
        Only these people; empty is all.
    """

    visibilities: tuple[str, ...] = WANTED
    collar_s: float = COLLAR_S
    min_iou: float = MIN_IOU
    videos: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


def compare_with_truth(
    spans: str | Path | pa.Table,
    truth: str | Path | pa.Table,
    rules: TruthRules,
    *,
    looked_at: Sequence[VideoName] | None = None,
) -> tuple[SpanEvaluation, str]:
    """What spans are worth by a truth, and what the truth is called.

    Parameters
    ----------
    spans
        A file that `evaluate.read_spans` takes, or a table with its columns.
    truth
        A file that `evaluate.read_truth` takes, or a table with its columns.
    looked_at
        Videos of which the spans tell, also those without a span; ``None``: all of the truth's.

    Raises
    ------
    ValueError
        A table or a rule is wrong, or two videos cannot be told apart by their names.
    OSError
        A file cannot be read.
    """
    told = _restricted(_truth(truth, rules.visibilities), rules.videos, rules.identities)
    found = spans_from_table(spans) if isinstance(spans, pa.Table) else read_spans(spans)
    if rules.identities:
        found = of_people(found, rules.identities)
    judged = evaluate_spans(
        found, told, collar_s=rules.collar_s, min_iou=rules.min_iou, videos=looked_at
    )
    return judged, told.name


def videos_looked_at(lake: Lake, space: str) -> list[VideoName]:
    """The names of a catalog's videos, also of those without a face."""
    rows = lake.videos(space).select(["video_id", "paths"]).to_pylist()
    return [VideoName(row["paths"][0], row["video_id"]) for row in rows]


def _truth(truth: str | Path | pa.Table, visibilities: tuple[str, ...]) -> Truth:
    if isinstance(truth, pa.Table):
        return truth_from_table(truth, name="the truth", visibilities=visibilities)
    return read_truth(truth, visibilities=visibilities)


def _restricted(truth: Truth, videos: Collection[str], identities: Collection[str]) -> Truth:
    told = truth.only(videos) if videos else truth
    if not identities:
        return told
    return replace(told, appearances=tuple(of_people(told.appearances, identities)))
