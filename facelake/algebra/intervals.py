"""Half-open intervals of many videos at once, as arrays: the kernels of the algebra.

All videos are laid behind one another on one line of whole numbers. A single comparison then
compares video and time together, and sorting, searching and running maxima do the rest: nothing
here loops over videos or rows. Times that are equal on paper share a place on that line, although
doubles may tell them apart.

An interval ``[t, t)`` is an instant: one frame that is shown for no time. It has a place of its own
on the line, behind its time and before the next one, and so lies in ``[s, e)`` when ``s <= t < e``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

SAME_S = 1e-9
"""Times no further apart count as one: 0.8 − 0.6 is above 0.2, and no time base is so fine."""


@dataclass(frozen=True)
class Times:
    """Intervals, one a row, in any order; they may overlap.

    Attributes
    ----------
    code
        Which line of time a row lies on, such as the number of its video, int64, 0 or more.
    start_s, end_s
        In seconds, float64, ``start_s <= end_s``.
    """

    code: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.code)

    def in_order(self) -> npt.NDArray[np.intp]:
        """The rows in order of code and time."""
        return np.lexsort((self.end_s, self.start_s, self.code))

    def grown(self, before_s: float, after_s: float) -> Times:
        """The same rows, each longer at its ends."""
        return Times(self.code, self.start_s - before_s, self.end_s + after_s)


@dataclass(frozen=True)
class Runs:
    """Rows that were joined, and what each run of them covers; in order of code and time.

    Attributes
    ----------
    order
        Rows of the input, run by run.
    first
        Where in ``order`` each run begins.
    start_s, end_s
        Of each run, in seconds.
    """

    order: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def n_rows(self) -> npt.NDArray[np.int64]:
        """How many rows each run was made of."""
        return np.diff(self.first, append=len(self.order)).astype(np.int64)


@dataclass(frozen=True)
class Pairs:
    """A row of one side with a row of the other, and the time that is theirs together.

    In order of code and of that time.

    Attributes
    ----------
    row_a, row_b
        Rows of the inputs.
    start_s, end_s
        In seconds: what both cover, or the time between them.
    """

    row_a: npt.NDArray[np.intp]
    row_b: npt.NDArray[np.intp]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pieces:
    """What is left of rows, in order of code and time.

    Attributes
    ----------
    row
        The row that a piece is of; rows of which nothing is left have none.
    start_s, end_s
        In seconds.
    starts_late, ends_early
        Whether that end was cut, and is no longer the row's own.
    """

    row: npt.NDArray[np.intp]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    starts_late: npt.NDArray[np.bool_]
    ends_early: npt.NDArray[np.bool_]


def join_runs(rows: Times, *, gap_s: float = 0.0) -> Runs:
    """The fewest intervals that cover the rows and no gap longer than ``gap_s``.

    Rows are joined that overlap, touch, or lie at most ``gap_s`` seconds apart.
    """
    (line,) = _lay_out(rows.grown(0.0, gap_s))
    order, first, _ = _find_runs(line)
    start_s = np.minimum.reduceat(rows.start_s[order], first)
    return Runs(order, first, start_s, np.maximum.reduceat(rows.end_s[order], first))


def find_overlaps(a: Times, b: Times) -> Pairs:
    """Every pair of rows that have time in common, and that time."""
    line_a, line_b = _lay_out(a, b)
    by_a, by_b = np.argsort(line_a.start), np.argsort(line_b.start)
    line_a, line_b = line_a.take(by_a), line_b.take(by_b)
    # Each pair is found once: by the start of b within a, or by the start of a after that of b.
    in_a, of_b = _ranges(
        np.searchsorted(line_b.start, line_a.start, "left"),
        np.searchsorted(line_b.start, line_a.end, "left"),
    )
    in_b, of_a = _ranges(
        np.searchsorted(line_a.start, line_b.start, "right"),
        np.searchsorted(line_a.start, line_b.end, "left"),
    )
    row_a = by_a[np.concatenate([in_a, of_a])]
    row_b = by_b[np.concatenate([of_b, in_b])]
    start_s = np.maximum(a.start_s[row_a], b.start_s[row_b])
    end_s = np.minimum(a.end_s[row_a], b.end_s[row_b])
    return _in_order(a, row_a, row_b, start_s, np.maximum(start_s, end_s))


def find_followers(a: Times, b: Times, *, max_gap_s: float) -> Pairs:
    """Every pair in which b begins when a has ended, at most ``max_gap_s`` later, and the gap."""
    line_a, line_b, reach = _lay_out(a, b, a.grown(0.0, max_gap_s))
    by_b = np.argsort(line_b.start)
    starts = line_b.start[by_b]
    row_a, of_b = _ranges(
        np.searchsorted(starts, line_a.end, "left"), np.searchsorted(starts, reach.end, "right")
    )
    row_b = by_b[of_b]
    end_s = np.maximum(a.end_s[row_a], b.start_s[row_b])
    return _in_order(a, row_a, row_b, a.end_s[row_a], end_s)


def cut_out(a: Times, b: Times) -> Pieces:
    """What is left of each row of a without the time of b.

    An instant of b takes no time away: it removes instants of a, and cuts no interval.
    """
    line_a, line_b = _lay_out(a, b)
    long = np.flatnonzero(~line_b.is_instant)
    order, first, run_end = _find_runs(line_b.take(long))
    rows = long[order]
    # The gaps between the runs of b; those at the outside reach for ever.
    gap_start = np.concatenate([[-1], run_end])
    gap_end = np.concatenate([line_b.start[rows[first]], [np.iinfo(np.int64).max]])
    row, gap = _ranges(
        np.searchsorted(gap_end, line_a.start, "right"),
        np.searchsorted(gap_start, line_a.end, "left"),
    )
    late, early = gap_start[gap] > line_a.start[row], gap_end[gap] < line_a.end[row]
    after_s = np.append(-np.inf, np.maximum.reduceat(b.end_s[rows], first))
    before_s = np.append(np.minimum.reduceat(b.start_s[rows], first), np.inf)
    start_s = np.where(late, after_s[gap], a.start_s[row])
    end_s = np.where(early, before_s[gap], a.end_s[row])
    instants = line_b.start[line_b.is_instant]
    is_left = ~(line_a.is_instant[row] & np.isin(line_a.start[row], instants))
    order = np.lexsort((end_s, start_s, a.code[row]))
    left = order[is_left[order]]
    return Pieces(row[left], start_s[left], end_s[left], late[left], early[left])


def are_within(a: Times, b: Times, *, window_s: float) -> npt.NDArray[np.bool_]:
    """For each row of a whether a row of b lies at most ``window_s`` from it."""
    line_a, line_b = _lay_out(a, b.grown(window_s, window_s))
    near: npt.NDArray[np.bool_] = _furthest(line_b, line_a.end) >= line_a.start
    return near


def are_during(a: Times, b: Times) -> npt.NDArray[np.bool_]:
    """For each row of a whether one row of b covers all of it."""
    line_a, line_b = _lay_out(a, b)
    inside: npt.NDArray[np.bool_] = _furthest(line_b, line_a.start) >= line_a.end
    return inside


def _in_order(
    a: Times,
    row_a: npt.NDArray[np.intp],
    row_b: npt.NDArray[np.intp],
    start_s: npt.NDArray[np.float64],
    end_s: npt.NDArray[np.float64],
) -> Pairs:
    order = np.lexsort((end_s, start_s, a.code[row_a]))
    return Pairs(row_a[order], row_b[order], start_s[order], end_s[order])


# The line ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """Rows on the line of whole numbers: half-open, and never empty.

    Starts are even. The end of an instant is the odd number behind its start.
    """

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    @property
    def is_instant(self) -> npt.NDArray[np.bool_]:
        is_instant: npt.NDArray[np.bool_] = self.end == self.start + 1
        return is_instant

    def take(self, rows: npt.NDArray[np.intp]) -> _Line:
        return _Line(self.start[rows], self.end[rows])


def _lay_out(*sides: Times) -> tuple[_Line, ...]:
    """Each side's rows on one line that all of them share."""
    edges = [edge for side in sides for edge in (side.start_s, side.end_s)]
    rank = _rank(np.concatenate(edges))
    n_ranks = int(rank.max(initial=0)) + 1
    lines, at = [], 0
    for side in sides:
        until = at + len(side)
        start = 2 * (side.code * n_ranks + rank[at:until])
        end = 2 * (side.code * n_ranks + rank[until : until + len(side)])
        lines.append(_Line(start, end + (start == end)))
        at = until + len(side)
    return tuple(lines)


def _rank(time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The number of each time among the different ones, from 0 on."""
    order = np.argsort(time_s)
    ordered = time_s[order]
    with np.errstate(invalid="ignore"):  # an endless gap reaches infinity; ∞ − ∞ is no step
        is_next = ordered[1:] - ordered[:-1] > SAME_S
    rank = np.zeros(len(time_s), np.int64)
    rank[order[1:]] = np.cumsum(is_next)
    return rank


def _find_runs(
    line: _Line,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Rows in order of start, where in it each run of touching ones begins, and where it ends."""
    order = np.argsort(line.start)
    start, top = line.start[order], np.maximum.accumulate(line.end[order])
    first = np.flatnonzero(np.concatenate([[True], start[1:] > top[:-1]])[: len(order)])
    last = np.append(first[1:], len(order))[: len(first)] - 1
    return order, first, top[last]


def _furthest(line: _Line, until: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The furthest end of the rows that begin at each place or before it; −1 where none does."""
    order = np.argsort(line.start)
    top = np.concatenate([[-1], np.maximum.accumulate(line.end[order])])
    furthest: npt.NDArray[np.int64] = top[np.searchsorted(line.start[order], until, "right")]
    return furthest


def _ranges(
    begin: npt.NDArray[np.intp], end: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """All of ``begin[i], …, end[i] − 1`` with their ``i``; none where the end is not behind."""
    count = np.maximum(end - begin, 0)
    row = np.repeat(np.arange(len(count)), count)
    skipped = np.cumsum(count) - count
    return row, np.arange(len(row)) - np.repeat(skipped - begin, count)
