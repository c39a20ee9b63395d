"""Levels → the interval of thresholds over which each span lives, and what it becomes part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelake.sweep.blocks import Blocks

if TYPE_CHECKING:
    import numpy.typing as npt

    from facelake.sweep.hits import Hits
    from facelake.sweep.levels import Levels


@dataclass(frozen=True)
class Lives:
    """Spans and the thresholds over which each is one of its own: ``low < t <= high``.

    In order of group and time; arrays of shape ``(n,)``.

    Attributes
    ----------
    high
        The highest threshold at which the span is there, float64.
    low
        The threshold at which it becomes part of another, or the lowest that was swept, float64.
    parent
        The life that goes on where it becomes part of another, int64; −1: none, the span is there
        at the lowest threshold, too.
    first, last, best
        Hits at which the span begins, ends and scores best at its widest, just above ``low``;
        int64 rows.
    """

    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    parent: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    best: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.high)


def find_lives(hits: Hits, levels: Levels, *, lowest: float) -> Lives:
    """The life of every span: from which threshold down to which it is there on its own.

    Where two spans meet, the one that was there at the higher threshold goes on, of equals the
    earlier, and the life of the other ends: the elder rule of persistent homology (Edelsbrunner,
    Letscher and Zomorodian, "Topological persistence and simplification", 2002).

    Parameters
    ----------
    hits, levels
        Of all groups.
    lowest
        The lowest threshold looked at.
    """
    peak = _peaks(levels, lowest)
    high = levels.begins[peak]
    low, parent = _merge(high, _valleys(levels.joined, peak), lowest)
    # Of a life that never ends the widest span is that at the lowest threshold itself.
    apart_at = np.where(parent < 0, np.nextafter(lowest, -np.inf), low)
    first, last = _widest(levels, peak, apart_at)
    score = Blocks(-hits.score, longest=int((last - first + 1).max(initial=1)))
    best = score.first_at_most(first, last + 1, score.lowest(first, last + 1))
    return Lives(high, low, parent, first, last, best)


def _peaks(levels: Levels, lowest: float) -> npt.NDArray[np.int64]:
    """Rows at which a span begins that no other row began at a higher threshold."""
    begins = np.flatnonzero(
        (levels.begins > levels.joined_before) & (levels.begins >= lowest)
    ).astype(np.int64)
    return begins[_valleys(levels.joined, begins) < levels.begins[begins]]


def _valleys(
    joined: npt.NDArray[np.float64], row: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The highest threshold at which each row shares a span with the next of these rows."""
    return np.minimum.reduceat(joined, row) if len(row) else np.empty(0)


def _merge(
    high: npt.NDArray[np.float64], valley: npt.NDArray[np.float64], lowest: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Where each life ends and in which other: a union-find over the peaks."""
    low, parent = np.full(len(high), lowest), np.full(len(high), -1, np.int64)
    elder = list(range(len(high)))

    def eldest(life: int) -> int:
        while elder[life] != life:
            elder[life] = life = elder[elder[life]]
        return life

    meets = np.flatnonzero(valley >= lowest)
    for place in meets[np.argsort(-valley[meets], kind="stable")].tolist():
        one, other = eldest(place), eldest(place + 1)
        goes_on, ends = (one, other) if high[one] >= high[other] else (other, one)
        elder[ends] = goes_on
        parent[ends], low[ends] = goes_on, valley[place]
    return low, _that_goes_on(parent, low)


def _that_goes_on(
    parent: npt.NDArray[np.int64], low: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Parents that do not end at the very threshold at which their child does."""
    while True:
        ends_too = np.flatnonzero((parent >= 0) & (parent[parent] >= 0) & (low[parent] == low))
        if not len(ends_too):
            return parent
        parent[ends_too] = parent[parent[ends_too]]


def _widest(
    levels: Levels, peak: npt.NDArray[np.int64], apart_at: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last row of each peak's span while neighbours joined above a level share it."""
    n = len(levels.joined)
    breaks = np.flatnonzero(levels.joined <= apart_at.min(initial=np.inf))
    longest = int(np.diff(breaks, prepend=-1).max(initial=1))
    after = Blocks(levels.joined, longest=longest)
    last = after.first_at_most(peak, np.full(len(peak), n), apart_at)
    before = Blocks(levels.joined_before[::-1], longest=longest)
    first = n - 1 - before.first_at_most(n - 1 - peak, np.full(len(peak), n), apart_at)
    return first, last
