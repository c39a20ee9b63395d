"""Error rates at every threshold, with intervals that know that pairs are not independent.

The terms are those of ISO/IEC 19795-1: the false match rate (FMR) is the share of impostor pairs
that score the threshold or more, the false non-match rate (FNMR) the share of genuine pairs that
score less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facelake.calibrate.counts import GROUPS, SCORE_EDGES, PairCounts
from facelake.proportions import CONFIDENCE, clopper_pearson

if TYPE_CHECKING:
    import numpy.typing as npt

FEWEST_VIDEOS = 20
"""From so many videos on the bootstrap draws videos; below, it draws groups of pairs of tracks."""

_REPLICATES = 500
_STEP = 20  # score bins: a hundredth


@dataclass(frozen=True)
class Rates:
    """A rate at several thresholds, with its interval.

    Attributes
    ----------
    n_pairs
        Pairs it is of.
    n_errors
        At each threshold, int64.
    rate, low, high
        In [0, 1], float64; NaN where there is no pair.
    """

    n_pairs: int
    n_errors: npt.NDArray[np.int64]
    rate: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ErrorCurve:
    """How the false match rate, or the false non-match rate, goes with the threshold.

    Attributes
    ----------
    counts
        Pairs of one kind.
    errors_above
        Whether it is an error to score the threshold or more (impostors), or less (genuine).
    seed
        Of the bootstrap.

    Notes
    -----
    The interval of a rate is the wider of two. One is the percentile bootstrap over videos (Efron
    and Tibshirani 1993), or over groups of pairs of tracks with fewer than `FEWEST_VIDEOS` videos.
    The other is the exact binomial one of Clopper and Pearson (1934) with as many pairs as
    independent ones would give the bootstrap's variance (Kish's design effect; Korn and Graubard
    1998). Without an error, or with nothing else, there is no variance to go by: each group then
    counts as one pair (the rule of 3), and the upper end is at most that at the nearest threshold
    with errors.
    """

    counts: PairCounts
    errors_above: bool
    seed: int = 0

    @property
    def n_pairs(self) -> int:
        """Pairs it is of."""
        return self.counts.n_pairs

    def at(self, thresholds: npt.NDArray[np.float64]) -> Rates:
        """The rate at some thresholds, increasing, each rounded down to a score bin's edge."""
        wanted = np.searchsorted(SCORE_EDGES, thresholds, side="right") - 1
        errors = self._errors(self.counts.accepted())
        if not self.n_pairs:
            missing = np.full(len(wanted), np.nan)
            return Rates(0, errors[wanted], missing, missing, missing)
        # Where there is no error, the interval is that of thresholds beside: see _interval.
        bins = np.union1d(wanted, np.arange(0, len(SCORE_EDGES), _STEP))
        rate = errors[bins] / self.n_pairs
        low, high = self._interval(rate, self._draw_rates(bins))
        at = np.searchsorted(bins, wanted)
        return Rates(self.n_pairs, errors[wanted], rate[at], low[at], high[at])

    def n_effective(
        self, rate: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """As how many independent pairs these ones count, from the bootstrap's variance."""
        variance = drawn.var(axis=0)
        told = np.full(len(rate), float(self.n_groups))
        np.divide(rate * (1.0 - rate), variance, out=told, where=variance > 0)
        effective: npt.NDArray[np.float64] = np.clip(told, 1.0, self.n_pairs)
        return effective

    def replicates(self) -> npt.NDArray[np.float64]:
        """The rate at every edge in every bootstrap replicate, shape ``(500, n_edges)``."""
        return self._draw_rates(np.arange(len(SCORE_EDGES)))

    @cached_property
    def n_groups(self) -> int:
        """Groups of pairs of tracks with such a pair."""
        return len(np.unique(self.counts.column("video") * GROUPS + self.counts.column("group")))

    @cached_property
    def _clusters(self) -> npt.NDArray[np.int64]:
        """What the bootstrap draws, of each count: numbers from 0."""
        cluster = self.counts.column("video")
        if self.counts.n_videos < FEWEST_VIDEOS:
            cluster = cluster * GROUPS + self.counts.column("group")
        return np.unique(cluster, return_inverse=True)[1].astype(np.int64)

    def _errors(self, accepted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return accepted if self.errors_above else self.n_pairs - accepted

    def _draw_rates(self, bins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The rate at some bins' edges in each bootstrap replicate, shape ``(500, len(bins))``."""
        from scipy.sparse import coo_array

        n_clusters = int(self._clusters.max()) + 1
        # Between two edges that are asked for, scores need not be told apart.
        interval = np.searchsorted(bins, self.counts.column("score_bin"), side="right")
        shape = (n_clusters, len(bins) + 1)
        table = coo_array((self.counts.n, (self._clusters, interval)), shape=shape).tocsr()
        random = np.random.default_rng(self.seed)
        drawn = np.empty((_REPLICATES, len(bins) + 1))
        for row in range(_REPLICATES):
            weight = np.bincount(random.integers(0, n_clusters, n_clusters), minlength=n_clusters)
            drawn[row] = weight @ table
        total = drawn.sum(axis=1, keepdims=True)
        accepted = np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1][:, 1:]
        rates: npt.NDArray[np.float64] = accepted / total
        return rates if self.errors_above else 1.0 - rates

    def _interval(
        self, rate: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        tail = (1.0 - CONFIDENCE) / 2.0
        low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
        exact_low, exact_high = clopper_pearson(rate, self.n_effective(rate, drawn))
        low, high = np.minimum(low, exact_low), np.maximum(high, exact_high)
        # Rates do not rise with the threshold (FNMR: fall), so the upper end at a threshold with
        # errors holds for those further on without any, too.
        along = high if self.errors_above else high[::-1]
        held = np.minimum.accumulate(along)
        held = held if self.errors_above else held[::-1]
        return low, np.where(rate > 0, high, held)
