"""Questions about stretches of an array, asked for every row at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


class Blocks:
    """The lowest of every 2ᵏ neighbouring values, for k = 0, 1, …: a sparse table.

    Any stretch is covered by two blocks that may overlap, or by one of each size without overlap
    (Bender and Farach-Colton, "The LCA problem revisited", 2000).

    Parameters
    ----------
    values
        Shape ``(n,)``.
    longest
        Length of the longest stretch that will be asked for.
    """

    def __init__(self, values: npt.NDArray[np.float64], *, longest: int) -> None:
        self._tables = [values]
        size = 1
        while 2 * size <= min(longest, len(values)):
            table = self._tables[-1]
            self._tables.append(np.minimum(table[:-size], table[size:]))
            size *= 2

    def lowest(
        self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """The lowest value of each ``[start, stop)``; infinity where that is empty."""
        found = np.full(len(start), np.inf)
        exponent = np.frexp(stop - start)[1] - 1  # of the largest power of two that fits in
        for number, table in enumerate(self._tables):
            row = np.flatnonzero(exponent == number)
            left, right = table[start[row]], table[stop[row] - (1 << number)]
            found[row] = np.minimum(left, right)
        return found

    def first_at_most(
        self,
        start: npt.NDArray[np.int64],
        stop: npt.NDArray[np.int64],
        level: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.int64]:
        """The first place of each ``[start, stop)`` with a value at most ``level``, else stop."""
        at = start.copy()
        for number in range(len(self._tables) - 1, -1, -1):
            table = self._tables[number]
            fits = at + (1 << number) <= stop
            above = table[np.minimum(at, len(table) - 1)] > level
            at += (fits & above).astype(np.int64) << number
        return at


def highest_over_edges(
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    level: npt.NDArray[np.float64],
    n_rows: int,
) -> npt.NDArray[np.float64]:
    """For every two neighbouring rows the highest level of the pairs that reach over them.

    Parameters
    ----------
    first, last
        Rows of each pair, ``first < last``, shape ``(p,)``.
    level
        Of each pair, shape ``(p,)``.
    n_rows
        Number of rows.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_rows,)``: entry ``k`` is of rows ``k`` and ``k + 1``; −∞ where no pair reaches.
    """
    reached = np.full(n_rows, -np.inf)
    exponent = np.frexp(last - first)[1] - 1
    for number in range(int(exponent.max(initial=-1)), -1, -1):
        size = 1 << number
        # What held for 2 · size edges from here on holds for both halves.
        reached[size:] = np.maximum(reached[size:], reached[:-size])
        of = np.flatnonzero(exponent == number)
        np.maximum.at(reached, first[of], level[of])
        np.maximum.at(reached, last[of] - size, level[of])
    return reached
