"""The algebra over spans of people: rows of `schema.SPANS` in, rows of `schema.SPANS` out.

The times are those of `algebra.tables`. The other columns keep their meaning as far as they can:

======================  ============================  ===========================  ==============
column                  of ``a & b``                  of ``a | b``, `coalesce`     of ``a - b``
======================  ============================  ===========================  ==============
``identity``            ``Ann & Bob``                 ``Ann | Bob``                that of a
``score_max``           the smaller of the two        the largest                  that of a
``score_mean``          the smaller of the two        over the hits of all         that of a
``n_hits, n_samples``   the smaller of the two        the sum                      those of a
``start_after_s``       the later of the two          of the row that starts it    null if cut
``end_before_s``        the earlier of the two        of the row that ends it      null if cut
``best_face_id``        of the row that scores less   of the row that scores most  that of a
``path``                that of a                     of the first row             that of a
======================  ============================  ===========================  ==============
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from facelake.algebra import intervals, tables
from facelake.algebra.intervals import SAME_S, Runs
from facelake.algebra.names import name_pairs, name_runs
from facelake.algebra.rows import number_values, read_times, refuse_length, with_times
from facelake.schema import SPANS

if TYPE_CHECKING:
    import numpy.typing as npt


def and_spans(a: pa.Table, b: pa.Table) -> pa.Table:
    """The time in which both are on screen: a row for each two rows that overlap.

    Parameters
    ----------
    a, b
        Rows of `schema.SPANS`.

    Raises
    ------
    ValueError
        A column is missing or holds nulls, a time is not finite, or a row ends before it starts.
    """
    pairs = intervals.find_overlaps(*read_times(a, b, by=tables.BY))
    names, who = name_pairs(a["identity"], b["identity"], pairs.row_a, pairs.row_b)
    video = number_values(a, by=["path", "video_id"])[pairs.row_a]
    order = np.lexsort((pairs.end_s, who, pairs.start_s, video))
    row_a, row_b = pairs.row_a[order], pairs.row_b[order]
    columns = {name: a[name].take(pa.array(row_a)) for name in ("video_id", "path")}
    columns["identity"] = names.take(pa.array(who[order]))
    columns |= {"start_s": pairs.start_s[order], "end_s": pairs.end_s[order]}
    for name in ("score_max", "score_mean", "n_hits", "n_samples"):
        columns[name] = np.minimum(a[name].to_numpy()[row_a], b[name].to_numpy()[row_b])
    for name, latest in zip(_BRACKET, (np.fmax, np.fmin), strict=True):
        columns[name] = _nullable(latest(_floats(a[name])[row_a], _floats(b[name])[row_b]))
    is_less = b["score_max"].to_numpy()[row_b] < a["score_max"].to_numpy()[row_a]
    weaker = pa.array(np.where(is_less, len(a) + row_b, row_a))
    both = pa.concat_tables([side.select(_BEST) for side in (a, b)])
    return pa.table(columns | {name: both[name].take(weaker) for name in _BEST}, schema=SPANS)


def or_spans(a: pa.Table, b: pa.Table) -> pa.Table:
    """The time in which either is on screen, as the fewest rows; arguments as in `and_spans`."""
    both = pa.concat_tables([a, b])
    (times,) = read_times(both, by=tables.BY)
    runs = intervals.join_runs(times)
    side = np.repeat([0, 1], [len(a), len(b)])
    names = pa.table({"side": side, "identity": both["identity"]}).take(pa.array(runs.order))
    return _merged(both, runs, name_runs(names, _number_runs(runs)))


def minus_spans(a: pa.Table, b: pa.Table) -> pa.Table:
    """What is left of each row of a without the time of b; arguments as in `and_spans`.

    Its scores, hits and best face are still those of the whole row.
    """
    pieces = intervals.cut_out(*read_times(a, b, by=tables.BY))
    left = with_times(a.take(pa.array(pieces.row)), pieces.start_s, pieces.end_s)
    for name, is_cut in zip(_BRACKET, (pieces.starts_late, pieces.ends_early), strict=True):
        left = _with_bracket(left, name, np.where(is_cut, np.nan, _floats(left[name])))
    return in_span_order(left)


def coalesce_spans(spans: pa.Table, *, gap_s: float = 0.0) -> pa.Table:
    """Spans of one identity that overlap, touch, or are at most ``gap_s`` apart, as one.

    Parameters
    ----------
    spans
        Rows of `schema.SPANS`.
    gap_s
        In seconds, 0 or more.

    Raises
    ------
    ValueError
        As in `and_spans`, or ``gap_s`` is negative.
    """
    refuse_length("gap_s", gap_s, finite=False)
    (times,) = read_times(spans, by=["video_id", "identity"])
    runs = intervals.join_runs(times, gap_s=gap_s)
    return _merged(spans, runs, spans["identity"].take(pa.array(runs.order[runs.first])))


def dilate_spans(
    spans: pa.Table,
    *,
    before_s: float = 0.0,
    after_s: float = 0.0,
    bounds: pa.Table | None = None,
) -> pa.Table:
    """Each span longer at its ends, and its brackets with them; as `tables.dilate`.

    Parameters
    ----------
    spans
        Rows of `schema.SPANS`.
    before_s, after_s
        By how much, 0 or more seconds.
    bounds
        ``video_id``, ``start_s`` and ``end_s`` of the videos; ``None`` knows of none.

    Raises
    ------
    ValueError
        As in `and_spans`, or a length is negative or not finite.
    """
    grown = tables.dilate(spans, before_s=before_s, after_s=after_s, bounds=bounds)
    first_s, last_s = tables.find_bounds(grown, bounds)
    start_after_s = np.maximum(_floats(grown["start_after_s"]) - before_s, first_s)
    end_before_s = np.minimum(_floats(grown["end_before_s"]) + after_s, last_s)
    is_known = start_after_s < grown["start_s"].to_numpy()
    grown = _with_bracket(grown, "start_after_s", np.where(is_known, start_after_s, np.nan))
    end_s = grown["end_s"].to_numpy()
    grown = _with_bracket(grown, "end_before_s", np.maximum(end_before_s, end_s))
    return in_span_order(grown)


def in_span_order(spans: pa.Table) -> pa.Table:
    """The rows by path, time and identity, as spans always are."""
    video, who = (
        number_values(spans, by=["path", "video_id"]),
        number_values(spans, by=["identity"]),
    )
    start_s, end_s = (spans[name].to_numpy() for name in ("start_s", "end_s"))
    return spans.take(pa.array(np.lexsort((end_s, who, start_s, video))))


_BRACKET = ["start_after_s", "end_before_s"]
_BEST = ["best_face_id", "best_time_s"]


def _merged(spans: pa.Table, runs: Runs, identity: pa.Array | pa.ChunkedArray) -> pa.Table:
    """One row for each run of rows."""
    order, first = runs.order, runs.first
    held = {name: spans[name].to_numpy()[order] for name in _NUMBERS}
    n_hits = np.add.reduceat(held["n_hits"], first)
    start = pa.array(order[first])
    best = pa.array(order[_find_best(held["score_max"], held["best_time_s"], runs)])
    columns = {name: spans[name].take(start) for name in ("video_id", "path")}
    columns |= {"identity": identity, "start_s": runs.start_s, "end_s": runs.end_s}
    columns["score_max"] = np.maximum.reduceat(held["score_max"], first)
    columns["score_mean"] = _mean_scores(held["score_mean"], held["n_hits"], runs)
    columns |= {"n_hits": n_hits, "n_samples": np.add.reduceat(held["n_samples"], first)}
    columns["start_after_s"] = _find_starts_after(spans, runs)
    columns["end_before_s"] = _find_ends_before(spans, runs)
    columns |= {name: spans[name].take(best) for name in _BEST}
    return in_span_order(pa.table(columns, schema=SPANS))


_NUMBERS = ("score_max", "score_mean", "n_hits", "n_samples", "best_time_s")


def _number_runs(runs: Runs) -> npt.NDArray[np.int64]:
    """The number of the run that each row of ``runs.order`` is in."""
    return np.repeat(np.arange(len(runs), dtype=np.int64), runs.n_rows)


def _find_best(
    score: npt.NDArray[np.float32], time_s: npt.NDArray[np.float64], runs: Runs
) -> npt.NDArray[np.intp]:
    """Where in ``runs.order`` each run's highest score is, the earliest of equals."""
    first, n_rows = runs.first, runs.n_rows
    is_top = score == np.repeat(np.maximum.reduceat(score, first), n_rows)
    time_s = np.where(is_top, time_s, np.inf)
    is_best = time_s == np.repeat(np.minimum.reduceat(time_s, first), n_rows)
    place = np.where(is_best, np.arange(len(score)), len(score))
    best: npt.NDArray[np.intp] = np.minimum.reduceat(place, first)
    return best


def _mean_scores(
    score: npt.NDArray[np.float32], n_hits: npt.NDArray[np.int64], runs: Runs
) -> npt.NDArray[np.float32]:
    """The mean score over the hits of each run; of its rows where it has no hit."""
    has_hits = np.repeat(np.add.reduceat(n_hits, runs.first) > 0, runs.n_rows)
    weight = np.where(has_hits, n_hits, 1)
    total = np.add.reduceat(score.astype(np.float64) * weight, runs.first)
    return (total / np.add.reduceat(weight, runs.first)).astype(np.float32)


def _find_starts_after(spans: pa.Table, runs: Runs) -> pa.Array:
    """The bracket at the start of each run: of the rows that start it, the widest."""
    start_s, after_s = (_floats(spans[name])[runs.order] for name in ("start_s", "start_after_s"))
    is_edge = start_s <= np.repeat(runs.start_s, runs.n_rows) + SAME_S
    reach = np.where(is_edge, np.nan_to_num(after_s, nan=-np.inf), np.inf)
    widest = np.minimum.reduceat(reach, runs.first)
    return _nullable(np.where(np.isfinite(widest), widest, np.nan))


def _find_ends_before(spans: pa.Table, runs: Runs) -> pa.Array:
    """The bracket at the end of each run: of the rows that end it, the widest."""
    end_s, before_s = (_floats(spans[name])[runs.order] for name in ("end_s", "end_before_s"))
    is_edge = end_s >= np.repeat(runs.end_s, runs.n_rows) - SAME_S
    reach = np.where(is_edge, np.nan_to_num(before_s, nan=np.inf), -np.inf)
    widest = np.maximum.reduceat(reach, runs.first)
    return _nullable(np.where(np.isfinite(widest), widest, np.nan))


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A column of seconds, NaN where it is null."""
    seconds: npt.NDArray[np.float64] = column.to_numpy()
    return seconds


def _nullable(seconds: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(seconds, from_pandas=True)


def _with_bracket(spans: pa.Table, name: str, seconds: npt.NDArray[np.float64]) -> pa.Table:
    at = spans.column_names.index(name)
    return spans.set_column(at, spans.schema.field(name), _nullable(seconds))
