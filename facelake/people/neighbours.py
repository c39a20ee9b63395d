"""The tracks that each track is most like, by exact comparison in blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLOCK_ROWS, _BLOCK_COLUMNS = 1024, 8192  # 32 MB of scores at a time


def find_neighbours(
    templates: npt.NDArray[np.float32], *, min_score: float, most: int
) -> list[npt.NDArray[np.int64]]:
    """For each template the others that it is most like, in both directions.

    Every pair is compared. Of pairs that score ``min_score`` or more, each template keeps its best
    ``most``; a pair counts for both where either keeps it.

    Parameters
    ----------
    templates
        Unit length, shape ``(n, dim)``, float32.
    min_score
        Lowest score of a pair.
    most
        Largest number that a template keeps; 1 or more.

    Returns
    -------
    list of ndarray
        Rows of each one's neighbours, increasing.
    """
    kept = [_best_of_block(templates, begin, min_score, most)
            for begin in range(0, len(templates), _BLOCK_ROWS)]  # fmt: skip
    none = np.empty((0, 2), np.int64)
    one = np.concatenate([none, *kept])
    both = np.unique(np.concatenate([one, one[:, ::-1]]), axis=0)
    bounds = np.searchsorted(both[:, 0], np.arange(1, len(templates)))
    return np.split(both[:, 1], bounds) if len(templates) else []


def _best_of_block(
    templates: npt.NDArray[np.float32], begin: int, min_score: float, most: int
) -> npt.NDArray[np.int64]:
    """Pairs of a template of a block and one that it keeps, shape ``(m, 2)``."""
    block = templates[begin : begin + _BLOCK_ROWS]
    rows, columns, scores = [], [], []
    for left in range(0, len(templates), _BLOCK_COLUMNS):
        tile = block @ templates[left : left + _BLOCK_COLUMNS].T
        at = np.flatnonzero(tile >= np.float32(min_score))
        row, column = np.divmod(at, tile.shape[1])
        other = begin + row != left + column
        rows.append(row[other])
        columns.append(left + column[other])
        scores.append(tile.ravel()[at[other]])
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, -np.concatenate(scores), row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    pairs: npt.NDArray[np.int64] = np.column_stack([begin + row, column])[rank < most]
    return pairs
