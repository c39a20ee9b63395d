"""The threshold for a wanted false match rate, or why there is none."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facelake.calibrate.counts import GENUINE, SCORE_EDGES, Kind, PairCounts
from facelake.calibrate.rates import ErrorCurve
from facelake.calibrate.settings import PairSettings
from facelake.errors import CalibrationError
from facelake.proportions import CONFIDENCE
from facelake.schema import StoredThreshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_FEWEST_ERRORS = 3.0  # effective false matches: the rule of 3 of ISO/IEC 19795-1, turned around
_FEWEST_TRACK_PAIRS = 3  # that these must come from


@dataclass(frozen=True)
class Interval:
    """A rate with its interval at `CONFIDENCE`."""

    rate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{percent(self.rate)} ({percent(self.low)} to {percent(self.high)})"


def percent(rate: float) -> str:
    """A rate as a person reads it.

    Examples
    --------
    >>> percent(0.0123), percent(0.00012), percent(0.0)
    ('1.2 %', '0.012 %', '0 %')
    """
    return f"{100 * rate:.2g} %" if rate < 0.1 else f"{100 * rate:.1f} %"


@dataclass(frozen=True)
class ThresholdChoice:
    """The lowest threshold whose false match rate is at most what was wanted, and why.

    Attributes
    ----------
    threshold
        In [−1, 1].
    threshold_low, threshold_high
        Its bootstrap interval.
    wanted_fmr
        What was asked for.
    fmr
        At the threshold.
    fnmr
        At the threshold, of the genuine pairs of each gap that has any: ``500ms``, ``5s``,
        ``30s`` of one track; ``across_shots`` of tracks that were linked by their own scores, so
        that it is too good to be true.
    n_impostor, n_false_matches
        Pairs, and those of them at the threshold or above.
    n_effective
        As how many independent pairs these count.
    n_false_track_pairs
        Pairs of tracks that the false matches are of.
    n_videos
        With an impostor pair.
    space
        Whose embeddings.
    created_utc
        ISO 8601.
    settings
        Which pairs were compared.
    """

    threshold: float
    threshold_low: float
    threshold_high: float
    wanted_fmr: float
    fmr: Interval
    fnmr: Mapping[str, Interval]
    n_impostor: int
    n_false_matches: int
    n_effective: int
    n_false_track_pairs: int
    n_videos: int
    space: str
    created_utc: str
    settings: PairSettings

    def __str__(self) -> str:
        return (
            f"threshold {self.threshold:.4f} ({self.threshold_low:.4f} to "
            f"{self.threshold_high:.4f}), FMR {self.fmr}"
        )

    @property
    def note(self) -> str:
        """In a few words, for whoever reads a result that it was taken for."""
        return f"calibrated for FMR {self.wanted_fmr:g}"

    def to_stored(self, note: str = "") -> StoredThreshold:
        """As a catalog keeps it; a person's ``note`` goes before its own."""
        evidence = asdict(self) | {"confidence": CONFIDENCE}
        whole = f"{note}; {self.note}" if note else self.note
        return StoredThreshold(self.threshold, whole, self.created_utc, evidence)


@dataclass(frozen=True)
class Curves:
    """What scores at each threshold, of an archive's impostor and genuine pairs.

    Attributes
    ----------
    counts
        Of all videos.
    space
        Whose embeddings.
    settings
        Which pairs were compared.
    """

    counts: PairCounts
    space: str
    settings: PairSettings

    def fmr(self, kind: Kind = Kind.IMPOSTOR, **values: int) -> ErrorCurve:
        """The false match rate of one kind of impostor pairs, in one quality or size bin."""
        chosen = self.counts.where(kind=kind, **values)
        return ErrorCurve(chosen, errors_above=True, seed=self.settings.seed)

    def fnmr(self, kind: Kind, **values: int) -> ErrorCurve:
        """The false non-match rate of one kind of genuine pairs."""
        chosen = self.counts.where(kind=kind, **values)
        return ErrorCurve(chosen, errors_above=False, seed=self.settings.seed)

    def choose(self, wanted_fmr: float) -> ThresholdChoice:
        """The lowest threshold whose false match rate is at most ``wanted_fmr``.

        Raises
        ------
        ValueError
            ``wanted_fmr`` is not between 0 and 1.
        CalibrationError
            The counts do not carry so low a rate; the message says which they do.
        """
        if not 0.0 < wanted_fmr < 1.0:
            raise ValueError(f"fmr must lie between 0 and 1, but is {wanted_fmr}; 0.001 is usual")
        found = self._impostor
        at = found.lowest(wanted_fmr)
        if at > found.last_carried:
            raise CalibrationError(self._refusal(wanted_fmr))
        low, high = found.interval_of_lowest(wanted_fmr)
        threshold = SCORE_EDGES[[at]]
        fmr = found.curve.at(threshold)
        return ThresholdChoice(
            threshold=float(threshold[0]),
            threshold_low=low,
            threshold_high=high,
            wanted_fmr=wanted_fmr,
            fmr=Interval(float(fmr.rate[0]), float(fmr.low[0]), float(fmr.high[0])),
            fnmr=self._fnmr_at(threshold),
            n_impostor=fmr.n_pairs,
            n_false_matches=int(fmr.n_errors[0]),
            n_effective=int(found.n_effective[at]),
            n_false_track_pairs=int(found.n_track_pairs[at]),
            n_videos=found.curve.counts.n_videos,
            space=self.space,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=self.settings,
        )

    def _fnmr_at(self, threshold: npt.NDArray[np.float64]) -> dict[str, Interval]:
        told = {}
        for kind, name in GENUINE.items():
            found = self.fnmr(kind).at(threshold)
            if found.n_pairs:
                told[name] = Interval(
                    float(found.rate[0]), float(found.low[0]), float(found.high[0])
                )
        return told

    def _refusal(self, wanted_fmr: float) -> str:
        found, n = self._impostor, self.fmr().n_pairs
        least = found.smallest_rate
        carried = (
            f"carry no rate below {least:.2g}" if math.isfinite(least) else "carry no rate at all"
        )
        return (
            f"an FMR of {wanted_fmr:g} cannot be told from this archive: its {n:,} impostor pairs "
            f"are of {int(found.n_track_pairs[0]):,} pairs of tracks in "
            f"{found.curve.counts.n_videos:,} videos and {carried}; ask for a higher one, or "
            "ingest more videos in which several people are on screen at once"
        )

    @cached_property
    def _impostor(self) -> _Carried:
        return _Carried.of(self.fmr(), self.counts.where(kind=Kind.BEST_IMPOSTOR))


@dataclass(frozen=True)
class _Carried:
    """Down to which false match rate an archive's impostor pairs can be believed.

    A rate is carried while it stands for at least 3 effective false matches, of at least 3 pairs
    of tracks: below, one pair of people decides it.

    Attributes
    ----------
    rate, n_effective, n_track_pairs
        At each edge: the rate, as how many independent pairs the pairs count, and how many pairs
        of tracks have a false match.
    drawn
        The rate at each edge in each bootstrap replicate.
    """

    curve: ErrorCurve
    rate: npt.NDArray[np.float64]
    n_effective: npt.NDArray[np.float64]
    n_track_pairs: npt.NDArray[np.int64]
    drawn: npt.NDArray[np.float64]

    @classmethod
    def of(cls, curve: ErrorCurve, best: PairCounts) -> _Carried:
        rate = curve.counts.accepted() / curve.n_pairs
        drawn = curve.replicates()
        return cls(curve, rate, curve.n_effective(rate, drawn), best.accepted(), drawn)

    @cached_property
    def last_carried(self) -> int:
        """The highest edge whose rate is carried; −1 where none is."""
        enough = (self.rate * self.n_effective >= _FEWEST_ERRORS) & (
            self.n_track_pairs >= _FEWEST_TRACK_PAIRS
        )
        # A rate of 1 has no variance and says nothing.
        return int(np.flatnonzero(enough & (self.rate < 1.0)).max(initial=-1))

    @property
    def smallest_rate(self) -> float:
        """The smallest rate that is carried; NaN where none is."""
        return float(self.rate[self.last_carried]) if self.last_carried >= 0 else math.nan

    def lowest(self, wanted: float) -> int:
        """The lowest edge at which the rate is at most this."""
        return _lowest(self.rate[None], wanted)[0]

    def interval_of_lowest(self, wanted: float) -> tuple[float, float]:
        """The bootstrap interval of the threshold at that edge."""
        tail = (1.0 - CONFIDENCE) / 2.0
        thresholds = SCORE_EDGES[_lowest(self.drawn, wanted)]
        low, high = np.quantile(thresholds, [tail, 1.0 - tail])
        return float(low), float(high)


def _lowest(rates: npt.NDArray[np.float64], wanted: float) -> list[int]:
    """Of each row of falling rates the first that is at most ``wanted``, else the last."""
    is_low = rates <= wanted
    is_low[:, -1] = True
    return [int(at) for at in is_low.argmax(axis=1)]
