"""Scored pairs as counts in fine bins: what is kept of them, however many they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from facelake.calibrate.settings import QUALITY_EDGES, SIZE_EDGES_PX

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

SCORE_EDGES = np.arange(-2000, 2001) / 2000
"""Lower edges of the score bins: a pair in bin ``k`` scores ``SCORE_EDGES[k]`` or more."""

GROUPS = 50
"""Groups that the pairs of tracks (or tracks) of a video are spread over; see `PairCounts`."""


class Kind(IntEnum):
    """What a pair of faces is."""

    IMPOSTOR = 0  # two people, at least one face of reference quality
    POOR_IMPOSTOR = 1  # two people, neither of reference quality
    GAP_500MS = 2  # of one track, about so far apart in time
    GAP_5S = 3
    GAP_30S = 4
    ACROSS_SHOTS = 5  # of two tracks that were linked by their own scores
    BEST_IMPOSTOR = 6  # the highest score of each pair of tracks, of the impostors above


GENUINE = {
    Kind.GAP_500MS: "500ms",
    Kind.GAP_5S: "5s",
    Kind.GAP_30S: "30s",
    Kind.ACROSS_SHOTS: "across_shots",
}
"""The genuine kinds, and how columns call them."""

_BITS = {"video": 24, "group": 6, "kind": 3, "quality_bin": 3, "size_bin": 3, "score_bin": 12}
"""Bits of a key that each column takes, from the highest to the lowest."""


def score_bins(score: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The bin of each score; what rounding has put outside of [−1, 1] is in the first or last."""
    # A float32 times 2000 is exact in a double, so an edge and the score equal to it agree.
    bins = np.floor(np.asarray(score, np.float64) * 2000.0).astype(np.int64) + 2000
    return np.clip(bins, 0, len(SCORE_EDGES) - 1)


@dataclass(frozen=True)
class PairCounts:
    """How many pairs there are of each video, group, kind, quality, size and score.

    Pairs are not independent: those of one pair of tracks are views of the same two people, and
    those of one video share its light and camera. So counts are kept by video, and within it by
    group: the pairs of one pair of tracks (genuine: of one track) are all in one of `GROUPS`.

    Attributes
    ----------
    key
        What is counted, shape ``(n,)``, int64, increasing; `column` reads it.
    n
        Pairs, shape ``(n,)``, int64, above 0.
    """

    key: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        kind: Kind,
        *,
        group: npt.NDArray[np.int64],
        quality: npt.NDArray[np.float32],
        size_px: npt.NDArray[np.float64],
        score: npt.NDArray[np.float32],
    ) -> PairCounts:
        """The counts of one video's pairs of one kind; all arrays are of shape ``(n_pairs,)``.

        Parameters
        ----------
        group
            Number of the pair of tracks (genuine: of the track), 0 or more.
        quality, size_px
            The lower of the two faces'.
        """
        columns = (
            np.zeros(len(score), np.int64),
            group % GROUPS,
            np.full(len(score), kind, np.int64),
            _bins(quality, QUALITY_EDGES),
            _bins(size_px, SIZE_EDGES_PX),
            score_bins(score),
        )
        key = np.zeros(len(score), np.int64)
        for column, bits in zip(columns, _BITS.values(), strict=True):
            key = (key << bits) | column
        return cls(*np.unique(key, return_counts=True))

    @classmethod
    def sum(cls, several: Iterable[PairCounts]) -> PairCounts:
        """All of them together."""
        parts = [cls(np.empty(0, np.int64), np.empty(0, np.int64)), *several]
        key, where = np.unique(np.concatenate([one.key for one in parts]), return_inverse=True)
        n = np.bincount(where, np.concatenate([one.n for one in parts]), minlength=len(key))
        return cls(key, n.astype(np.int64))

    @classmethod
    def of_archive(cls, videos: Iterable[PairCounts]) -> PairCounts:
        """The counts of several videos, each as `of` and `sum` give them."""
        low = _bits_below("video")
        parts = [cls(one.key | (number << low), one.n) for number, one in enumerate(videos)]
        none = np.empty(0, np.int64)
        return cls(
            np.concatenate([none, *(one.key for one in parts)]),
            np.concatenate([none, *(one.n for one in parts)]),
        )

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """``video``, ``group``, ``kind``, ``quality_bin``, ``size_bin`` or ``score_bin``."""
        return (self.key >> _bits_below(name)) & ((1 << _BITS[name]) - 1)

    def where(self, **values: int) -> PairCounts:
        """Those whose columns have these values."""
        keep = np.ones(len(self.key), bool)
        for name, value in values.items():
            keep &= self.column(name) == value
        return PairCounts(self.key[keep], self.n[keep])

    @property
    def n_pairs(self) -> int:
        """All pairs."""
        return int(self.n.sum())

    @property
    def n_videos(self) -> int:
        """Videos with such a pair."""
        return len(np.unique(self.column("video")))

    def histogram(self) -> npt.NDArray[np.int64]:
        """Pairs in each score bin, shape ``(len(SCORE_EDGES),)``."""
        counts = np.bincount(self.column("score_bin"), self.n, minlength=len(SCORE_EDGES))
        return counts.astype(np.int64)

    def accepted(self) -> npt.NDArray[np.int64]:
        """Pairs that score each edge or more, shape ``(len(SCORE_EDGES),)``."""
        return np.cumsum(self.histogram()[::-1])[::-1]


def _bits_below(name: str) -> int:
    names = list(_BITS)
    return sum(_BITS[later] for later in names[names.index(name) + 1 :])


def _bins(values: npt.NDArray[np.floating], edges: tuple[float, ...]) -> npt.NDArray[np.int64]:
    found = np.searchsorted(np.asarray(edges), np.asarray(values, np.float64), side="right") - 1
    return np.clip(found, 0, len(edges) - 2)
