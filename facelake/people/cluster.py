"""Tracks → people: constrained agglomeration of mean embeddings."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from facelake.people.neighbours import find_neighbours

_MOST_NEIGHBOURS = 64
_NORM_TOLERANCE = 1e-2  # float16 costs a unit vector 1e-3 of its length at most


def cluster_tracks(
    templates: npt.ArrayLike,
    *,
    threshold: float,
    apart: npt.ArrayLike = (),
    name_of: npt.ArrayLike | None = None,
    not_named: npt.ArrayLike = (),
) -> npt.NDArray[np.int64]:
    """Which tracks are one person.

    The two clusters whose means are most alike are joined, again and again, while their score is
    at least the threshold and so is that of some two of their tracks: centroid linkage with the
    cosine, under cannot-links (Wagstaff et al., Constrained K-means Clustering with Background
    Knowledge, ICML 2001). Of equal scores the lower rows win; in whatever order the rows come, only
    exact ties can change who is with whom.

    Of more than 64 tracks that are alike enough with one, the 64 most alike count.

    Parameters
    ----------
    templates
        Mean embedding of each track, unit length, shape ``(n, dim)``.
    threshold
        Lowest score of two clusters that are joined, in [−1, 1].
    apart
        Pairs of rows that are not one person, shape ``(m, 2)``; from `find_apart`.
    name_of
        Name that each track is known by, shape ``(n,)``, integers; −1 is none, and ``None`` is
        none for all. Tracks of one name are joined first, whatever ``apart`` says; of two names
        never.
    not_named
        Pairs of a row and a name that it does not have, shape ``(k, 2)``.

    Returns
    -------
    ndarray
        Cluster of each track, shape ``(n,)``, int64: numbers from 0 in order of their first rows.

    Raises
    ------
    ValueError
        The threshold is outside of [−1, 1], a template is not of unit length or holds NaN, or a
        row is named that is not there.

    Examples
    --------
    >>> cluster_tracks([[1, 0], [0.8, 0.6], [0, 1]], threshold=0.5).tolist()
    [0, 0, 1]
    >>> cluster_tracks([[1, 0], [0.8, 0.6], [0, 1]], threshold=0.5, apart=[[0, 1]]).tolist()
    [0, 1, 1]
    """
    vectors = _checked(templates, threshold)
    names = np.full(len(vectors), -1) if name_of is None else np.asarray(name_of, np.int64)
    clusters = _Clusters(
        vectors,
        names,
        apart=_pairs(apart, len(vectors), "apart"),
        not_named=_pairs(not_named, len(vectors), "not_named", width=1),
        min_score=threshold,
    )
    clusters.join_names()
    clusters.join_alike(threshold)
    return clusters.numbers()


class _Clusters:
    """Clusters of tracks while they are joined; a cluster goes by the lowest row in it.

    The heap holds for every cluster a score that is at least that of any pair it belongs to and
    was the last of the two to change; so the top of the heap is the best pair of all, unless one
    of its two has changed since, and then the other looks again.
    """

    def __init__(
        self,
        vectors: npt.NDArray[np.float32],
        names: npt.NDArray[np.int64],
        *,
        apart: npt.NDArray[np.int64],
        not_named: npt.NDArray[np.int64],
        min_score: float,
    ) -> None:
        n = len(vectors)
        self._sum, self._norm = vectors.copy(), np.ones(n, np.float32)
        self._root, self._version = np.arange(n), np.zeros(n, np.int64)
        self._near = find_neighbours(vectors, min_score=min_score, most=_MOST_NEIGHBOURS)
        self._apart = _by_row(np.concatenate([apart, apart[:, ::-1]]), n)
        self._name = names.copy()
        self._not_named: dict[int, set[int]] = {}
        for row, name in not_named.tolist():
            self._not_named.setdefault(row, set()).add(name)

    def join_names(self) -> None:
        """Join the tracks of each name."""
        known = np.flatnonzero(self._name >= 0)
        first: dict[int, int] = {}
        for row, name in zip(known.tolist(), self._name[known].tolist(), strict=True):
            keep = first.setdefault(name, row)
            if keep != row:
                self._join(keep, row)

    def join_alike(self, threshold: float) -> None:
        """Join the two most alike clusters until none are alike enough."""
        heap: list[tuple[float, int, int, int, int]] = []
        for row in np.flatnonzero(self._root == np.arange(len(self._root))).tolist():
            self._push(heap, row, threshold)
        while heap:
            _, one, other, version, other_version = heapq.heappop(heap)
            if self._root[one] != one or self._version[one] != version:
                continue  # whoever changed it has pushed it again
            if self._root[other] == other and self._version[other] == other_version:
                one, other = min(one, other), max(one, other)
                self._join(one, other)
            self._push(heap, one, threshold)

    def numbers(self) -> npt.NDArray[np.int64]:
        """The cluster of each row, numbered in order of their first rows."""
        roots = self._roots(np.arange(len(self._root)))
        numbers: npt.NDArray[np.int64] = np.unique(roots, return_inverse=True)[1].astype(np.int64)
        return numbers

    def _push(
        self, heap: list[tuple[float, int, int, int, int]], row: int, threshold: float
    ) -> None:
        others = self._candidates(row)
        if not len(others):
            return
        scores = (self._sum[others] @ self._sum[row]) / (self._norm[others] * self._norm[row])
        best = int(np.argmax(scores))  # of equals the lowest row
        if scores[best] >= np.float32(threshold):
            other = int(others[best])
            entry = (-float(scores[best]), row, other, self._version[row], self._version[other])
            heapq.heappush(heap, entry)

    def _candidates(self, row: int) -> npt.NDArray[np.int64]:
        """The clusters that a cluster may be joined with, increasing."""
        near = self._near[row] = self._others(self._near[row], row)
        apart = self._apart[row] = self._others(self._apart[row], row)
        may = ~np.isin(near, apart)
        name = int(self._name[row])
        if name >= 0:
            others = [one for one, not_named in self._not_named.items() if name in not_named]
            may &= (self._name[near] < 0) & ~np.isin(near, others)
        elif row in self._not_named:
            may &= ~np.isin(self._name[near], list(self._not_named[row]))
        found: npt.NDArray[np.int64] = near[may]
        return found

    def _others(self, rows: npt.NDArray[np.int64], row: int) -> npt.NDArray[np.int64]:
        """The clusters that some rows are in now, but for one."""
        if not len(rows):
            return rows
        roots = np.unique(self._roots(rows))
        others: npt.NDArray[np.int64] = roots[roots != row]
        return others

    def _roots(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        roots: npt.NDArray[np.int64] = self._root[rows]
        while True:
            above = self._root[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self._root[rows] = roots
        return roots

    def _join(self, keep: int, other: int) -> None:
        self._sum[keep] += self._sum[other]
        self._norm[keep] = np.linalg.norm(self._sum[keep])
        self._root[other] = keep
        self._version[keep] += 1
        for lists in (self._near, self._apart):
            lists[keep] = np.concatenate([lists[keep], lists[other]])
            lists[other] = lists[other][:0]
        self._name[keep] = max(self._name[keep], self._name[other])
        barred = self._not_named.pop(other, set())
        if barred:
            self._not_named.setdefault(keep, set()).update(barred)


def _by_row(pairs: npt.NDArray[np.int64], n_rows: int) -> list[npt.NDArray[np.int64]]:
    """The partners of each row, of pairs that name each in both directions."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    bounds = np.searchsorted(pairs[:, 0], np.arange(1, n_rows))
    return np.split(pairs[:, 1], bounds) if n_rows else []


def _checked(templates: npt.ArrayLike, threshold: float) -> npt.NDArray[np.float32]:
    """The templates with their lengths made exactly one."""
    if not -1.0 <= threshold <= 1.0:
        raise ValueError(f"threshold must lie in [-1, 1], but is {threshold}")
    vectors = np.array(templates, np.float32)
    if vectors.ndim != 2:
        raise ValueError(f"templates must have shape (n, dim), but have {vectors.shape}")
    lengths = np.linalg.norm(vectors, axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= _NORM_TOLERANCE))
    if len(wrong):
        raise ValueError(
            f"templates must be of unit length, but templates[{wrong[0]}] is of length "
            f"{lengths[wrong[0]]:.3g}; normalise them first"
        )
    vectors /= lengths[:, None]
    return vectors


def _pairs(
    pairs: npt.ArrayLike | Iterable[object], n_rows: int, what: str, *, width: int = 2
) -> npt.NDArray[np.int64]:
    """Pairs whose first ``width`` members are rows, shape ``(m, 2)``."""
    checked = np.asarray(pairs, np.int64).reshape(-1, 2)
    rows = checked[:, :width]
    if len(rows) and not (rows.min() >= 0 and rows.max() < n_rows):
        raise ValueError(f"{what} must name rows from 0 to {n_rows - 1}, but names {rows.max()}")
    return checked
