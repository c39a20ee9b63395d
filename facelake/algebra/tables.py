"""The algebra over any Arrow tables that have ``video_id``, ``start_s`` and ``end_s``.

Spans are half-open, ``[start_s, end_s)``. One that starts and ends at the same time is an instant,
and lies in every span with ``start_s <= t < end_s``. Times at most 1e-9 s apart count as one. Rows
may overlap and come in any order; answers are in order of ``by`` and of time.

The names are those of Rekall (Fu et al., 2019, arXiv:1910.02993); the pairs follow Allen's interval
relations (Communications of the ACM 26, 1983), which each docstring names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.algebra import intervals
from facelake.algebra.intervals import Pairs, Times
from facelake.algebra.rows import EDGES, read_times, refuse_length, with_times

if TYPE_CHECKING:
    import numpy.typing as npt

BY = ("video_id",)


def and_(a: pa.Table, b: pa.Table, *, by: Sequence[str] = BY) -> pa.Table:
    """The time that is in both: one row for each row of a and row of b that overlap.

    Parameters
    ----------
    a, b
        Spans: ``start_s``, ``end_s`` in seconds and the columns of ``by``.
    by
        Rows belong to one line of time where these columns are equal.

    Returns
    -------
    pyarrow.Table
        ``by``, ``start_s``, ``end_s``, and ``a_row``, ``b_row``: which rows of a and b, int64.

    Raises
    ------
    ValueError
        A column is missing or holds nulls, a time is not finite, or a row ends before it starts.

    Examples
    --------
    >>> a = pa.table({"video_id": ["film"], "start_s": [0.0], "end_s": [5.0]})
    >>> b = pa.table({"video_id": ["film"], "start_s": [3.0], "end_s": [9.0]})
    >>> and_(a, b).to_pylist()
    [{'video_id': 'film', 'start_s': 3.0, 'end_s': 5.0, 'a_row': 0, 'b_row': 0}]
    """
    pairs = intervals.find_overlaps(*read_times(a, b, by=by))
    columns = {name: a[name].take(pa.array(pairs.row_a)) for name in by}
    columns |= {"start_s": pairs.start_s, "end_s": pairs.end_s}
    return pa.table(columns | {"a_row": pairs.row_a, "b_row": pairs.row_b})


def or_(a: pa.Table, b: pa.Table, *, by: Sequence[str] = BY) -> pa.Table:
    """The time that is in either, as the fewest rows; arguments and errors as in `and_`.

    Returns
    -------
    pyarrow.Table
        ``by``, ``start_s``, ``end_s``, and ``n_rows``: how many rows of a and b each was made of.
    """
    columns = [*by, *EDGES]
    read_times(a, b, by=by)
    kinds = pa.schema([*(a.schema.field(name) for name in by), *_EDGE_FIELDS])
    both = [table.select(columns).cast(kinds) for table in (a, b)]
    return coalesce(pa.concat_tables(both), by=by)


def minus(a: pa.Table, b: pa.Table, *, by: Sequence[str] = BY) -> pa.Table:
    """What is left of each row of a without the time of b; arguments and errors as in `and_`.

    An instant of b takes no time away: it removes instants of a, and cuts no span.

    Returns
    -------
    pyarrow.Table
        The columns of a. A row that was cut into several is there several times.
    """
    pieces = intervals.cut_out(*read_times(a, b, by=by))
    return with_times(a.take(pa.array(pieces.row)), pieces.start_s, pieces.end_s)


def coalesce(
    a: pa.Table, *, gap_s: float = 0.0, by: Sequence[str] = ("video_id", "identity")
) -> pa.Table:
    """The fewest rows that cover a: those that overlap, touch or are near become one.

    Parameters
    ----------
    gap_s
        Longest time between two rows that is covered, too, in seconds.
    by
        Rows become one only where these columns are equal.

    Returns
    -------
    pyarrow.Table
        ``by``, ``start_s``, ``end_s``, and ``n_rows``: how many rows each was made of. An instant
        that touches a span is part of it.

    Raises
    ------
    ValueError
        As in `and_`, or ``gap_s`` is negative.

    Examples
    --------
    >>> a = pa.table({"video_id": ["film"] * 2, "start_s": [0.0, 5.5], "end_s": [5.0, 8.0]})
    >>> coalesce(a, gap_s=0.5, by=["video_id"]).to_pylist()
    [{'video_id': 'film', 'start_s': 0.0, 'end_s': 8.0, 'n_rows': 2}]
    """
    refuse_length("gap_s", gap_s, finite=False)
    (times,) = read_times(a, by=by)
    runs = intervals.join_runs(times, gap_s=gap_s)
    columns = {name: a[name].take(pa.array(runs.order[runs.first])) for name in by}
    return pa.table(columns | {"start_s": runs.start_s, "end_s": runs.end_s, "n_rows": runs.n_rows})


def dilate(
    a: pa.Table, *, before_s: float = 0.0, after_s: float = 0.0, bounds: pa.Table | None = None
) -> pa.Table:
    """Each row longer at its ends, but never beyond its video's.

    Rows that overlap then stay apart; `coalesce` joins them.

    Parameters
    ----------
    before_s, after_s
        By how much, 0 or more seconds.
    bounds
        ``video_id``, ``start_s`` and ``end_s`` of the videos; a span never loses time to them.
        Videos that are not among them, or whose end is null, have no bounds.

    Returns
    -------
    pyarrow.Table
        The columns of a.

    Raises
    ------
    ValueError
        As in `and_`, or a length is negative or not finite.
    """
    refuse_length("before_s", before_s)
    refuse_length("after_s", after_s)
    (times,) = read_times(a, by=BY)
    first_s, last_s = find_bounds(a, bounds)
    start_s = np.minimum(times.start_s, np.maximum(times.start_s - before_s, first_s))
    end_s = np.maximum(times.end_s, np.minimum(times.end_s + after_s, last_s))
    grown = Times(times.code, start_s, end_s)
    return with_times(a, start_s, end_s).take(pa.array(grown.in_order()))


def within(a: pa.Table, b: pa.Table, *, window_s: float, by: Sequence[str] = BY) -> pa.Table:
    """The rows of a that lie at most ``window_s`` seconds from some row of b, before or after it.

    Arguments and errors as in `and_`. Rows that overlap or touch lie 0 s apart.

    Returns
    -------
    pyarrow.Table
        Rows of a, whole.
    """
    refuse_length("window_s", window_s, finite=False)
    of_a, of_b = read_times(a, b, by=by)
    return _keep(a, of_a, intervals.are_within(of_a, of_b, window_s=window_s))


def during(a: pa.Table, b: pa.Table, *, by: Sequence[str] = BY) -> pa.Table:
    """The rows of a all of which lies in one row of b; arguments and errors as in `and_`.

    Allen's during, starts, finishes and equals. `coalesce` b first where its rows touch.

    Returns
    -------
    pyarrow.Table
        Rows of a, whole.
    """
    of_a, of_b = read_times(a, b, by=by)
    return _keep(a, of_a, intervals.are_during(of_a, of_b))


def before(a: pa.Table, b: pa.Table, *, max_gap_s: float, by: Sequence[str] = BY) -> pa.Table:
    """Each row of a with each row of b that begins when it has ended, or soon after.

    Allen's before and meets.

    Parameters
    ----------
    a, b, by
        As in `and_`.
    max_gap_s
        Longest time between the two, in seconds.

    Returns
    -------
    pyarrow.Table
        ``by``, ``start_s``, ``end_s`` and ``gap_s``: the time between them; then the other columns
        of a, their names ending in ``_a``, and those of b in ``_b``.

    Raises
    ------
    ValueError
        As in `and_`, or ``max_gap_s`` is negative.
    """
    refuse_length("max_gap_s", max_gap_s, finite=False)
    pairs = intervals.find_followers(*read_times(a, b, by=by), max_gap_s=max_gap_s)
    return _paired(a, b, pairs, by=by, length="gap_s")


def overlapping(a: pa.Table, b: pa.Table, *, by: Sequence[str] = BY) -> pa.Table:
    """Each row of a with each row of b that it has time in common with.

    The rows of `and_` with the columns of both sides: Allen's overlaps, starts, during, finishes,
    their inverses, and equals. Arguments and errors as in `and_`.

    Returns
    -------
    pyarrow.Table
        ``by``, ``start_s``, ``end_s`` and ``overlap_s``: the common time; then the other columns of
        a, their names ending in ``_a``, and those of b in ``_b``.
    """
    pairs = intervals.find_overlaps(*read_times(a, b, by=by))
    return _paired(a, b, pairs, by=by, length="overlap_s")


_EDGE_FIELDS = [pa.field(name, pa.float64()) for name in EDGES]


def find_bounds(
    a: pa.Table, bounds: pa.Table | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each row of a when its video starts and ends; infinite where that is not told."""
    if bounds is None:
        return np.full(len(a), -np.inf), np.full(len(a), np.inf)
    at = pc.index_in(a["video_id"], bounds["video_id"])
    first_s, last_s = (bounds[name].cast(pa.float64()).take(at) for name in EDGES)
    return first_s.fill_null(-np.inf).to_numpy(), last_s.fill_null(np.inf).to_numpy()


def _keep(a: pa.Table, times: Times, wanted: npt.NDArray[np.bool_]) -> pa.Table:
    """The wanted rows, in order."""
    order = times.in_order()
    return a.take(pa.array(order[wanted[order]]))


def _paired(a: pa.Table, b: pa.Table, pairs: Pairs, *, by: Sequence[str], length: str) -> pa.Table:
    """Rows of both sides beside each other."""
    row_a, row_b = pa.array(pairs.row_a), pa.array(pairs.row_b)
    columns = {name: a[name].take(row_a) for name in by}
    columns |= {"start_s": pairs.start_s, "end_s": pairs.end_s}
    columns[length] = pairs.end_s - pairs.start_s
    for table, rows, side in ((a, row_a, "a"), (b, row_b, "b")):
        names = [name for name in table.column_names if name not in by]
        columns |= {f"{name}_{side}": table[name].take(rows) for name in names}
    return pa.table(columns)
