"""How far two sets of time agree, to the last digit: edges are swept, no step is taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Intervals = npt.NDArray[np.float64]
"""Half-open ``[start, end)`` in seconds, shape ``(n, 2)``, in any order; they may overlap."""


@dataclass(frozen=True)
class Agreement:
    """Seconds that were found, against those that should have been.

    Attributes
    ----------
    right_s, missed_s, false_s
        Found and wanted, wanted alone, found alone.
    """

    right_s: float
    missed_s: float
    false_s: float

    @property
    def wanted_s(self) -> float:
        """Seconds that should have been found."""
        return self.right_s + self.missed_s

    @property
    def found_s(self) -> float:
        """Seconds that were found."""
        return self.right_s + self.false_s

    @property
    def recall(self) -> float | None:
        """Share of the wanted seconds that were found; ``None`` when none was wanted."""
        return share(self.right_s, self.wanted_s)

    @property
    def precision(self) -> float | None:
        """Share of the found seconds that were wanted; ``None`` when none was found."""
        return share(self.right_s, self.found_s)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; ``None`` when nothing was wanted or found."""
        return share(2 * self.right_s, self.wanted_s + self.found_s)


def share(part: float, whole: float) -> float | None:
    """A rate; ``None`` where there is nothing of which it could be one."""
    return part / whole if whole > 0 else None


def intervals_of(pairs: Iterable[tuple[float, float]]) -> Intervals:
    """Starts and ends as an array, shape ``(n, 2)``, also of none."""
    return np.array(list(pairs), np.float64).reshape(-1, 2)


def agree(found: Intervals, wanted: Intervals, ignored: Intervals | None = None) -> Agreement:
    """How far found time covers wanted time.

    Parameters
    ----------
    ignored
        Time that counts neither for nor against; ``None`` is none.

    Examples
    --------
    >>> agree(intervals_of([(1.0, 4.0)]), intervals_of([(0.0, 3.0)]))
    Agreement(right_s=2.0, missed_s=1.0, false_s=1.0)
    """
    ignored = intervals_of(()) if ignored is None else ignored
    edges = np.unique(np.concatenate([found, wanted, ignored]))
    got, want = covers(found, edges), covers(wanted, edges)
    length_s = np.diff(edges) * ~covers(ignored, edges)
    return Agreement(
        float(length_s[got & want].sum()),
        float(length_s[want & ~got].sum()),
        float(length_s[got & ~want].sum()),
    )


def covers(intervals: Intervals, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether intervals cover the time from each edge to the next.

    Parameters
    ----------
    edges
        Increasing, shape ``(n,)``, with every start and end among them.

    Returns
    -------
    numpy.ndarray
        Shape ``(max(n - 1, 0),)``.
    """
    begun = np.searchsorted(np.sort(intervals[:, 0]), edges[:-1], side="right")
    ended = np.searchsorted(np.sort(intervals[:, 1]), edges[:-1], side="right")
    return begun > ended


def join_touching(intervals: Intervals) -> Intervals:
    """The fewest intervals that cover the same time, in order; empty ones are left out."""
    edges = np.unique(intervals)
    covered = np.concatenate([[False], covers(intervals, edges), [False]])
    changes = np.flatnonzero(covered[1:] != covered[:-1])
    return edges[changes].reshape(-1, 2)


def around(edges: npt.NDArray[np.float64], collar_s: float) -> Intervals:
    """Time before and after each edge: the collar of NIST's and pyannote's scoring."""
    edges = np.ravel(edges)
    return np.stack([edges - collar_s, edges + collar_s], axis=1)
