"""Tracks × identities → who it is, how sure, and by which rule.

Open-set identification: a track may be of nobody who is enrolled. What speaks for an identity is
the score, how far everybody else is behind, and whether it holds over time; what it is worth in
this archive is told by where the score stands among those of the archive's own faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CERTAIN, LIKELY, UNKNOWN, CONFLICT = "certain", "likely", "unknown", "conflict"
TIERS = (CERTAIN, LIKELY, UNKNOWN, CONFLICT)
"""How sure a decision is; conflict: two identities are each sure in one track."""

APART_S = 1.0
_N_WITNESSES = 5
_BINS = 1 << 16  # of cosine: 3e-5 each, less than float16 embeddings cost
_FEWEST_IN_COHORT = 30
_MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Bars:
    """The scores that tiers take, by how much evidence there is.

    Sampled over and over, a stranger is bound to look right at some instant, so little evidence
    must be better: a single frame takes more than a short track, and that more than one whose
    faces are a second and more apart. The steps are those of InsightFace's PrivateFrame (0.40, 0.50
    and 0.55 with a threshold of 0.40), set off from the threshold that is asked at.

    Attributes
    ----------
    threshold
        The score that one asks at, in [−1, 1].
    over_time, brief, single
        Added to it for three witnesses a second apart, for fewer of one track, for one face.
    certain
        Added to these for the tier ``certain``.
    min_margin
        Least score above that with any other identity of every witness, for ``certain``.
    """

    threshold: float
    over_time: float = 0.0
    brief: float = 0.10
    single: float = 0.15
    certain: float = 0.10
    min_margin: float = 0.10

    def __post_init__(self) -> None:
        if not -1.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in [-1, 1], but is {self.threshold}")
        for name in ("over_time", "brief", "single", "certain", "min_margin"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be 0 or more, but is {getattr(self, name)}")


@dataclass(frozen=True)
class Decision:
    """Who one track is, and why.

    Attributes
    ----------
    identity
        Number of the identity that the witnesses are most like; −1 where everybody is ruled out.
    tier
        One of `TIERS`.
    rule
        What the tier rests on, for a person.
    best
        Row of the face with the best score for this identity.
    score, score_mean
        Of that face, and the mean of the witnesses that are not ruled out, in [−1, 1]; NaN where
        everybody is.
    runner_up
        Number of the identity with the next best mean; −1 where there is none.
    margin
        ``score_mean`` minus the runner-up's; NaN where there is none.
    """

    identity: int
    tier: str
    rule: str
    best: int
    score: float
    score_mean: float
    runner_up: int
    margin: float


def choose_witnesses(
    time_s: npt.NDArray[np.float64], quality: npt.NDArray[np.float32]
) -> npt.NDArray[np.intp]:
    """The faces of a track that are asked: up to 5, spread over its time.

    Its time is cut into equal parts, of a second or more, and the best face of each is taken: the
    faces of one moment say the same thing again and again.

    Parameters
    ----------
    time_s, quality
        Of each face, shape ``(n,)``.

    Returns
    -------
    ndarray
        Rows, in order of time; at least one of any.
    """
    if not len(time_s):
        return np.empty(0, np.intp)
    start_s, length_s = float(time_s.min()), float(np.ptp(time_s))
    n_parts = int(np.clip(np.floor(length_s / APART_S) + 1, 1, _N_WITNESSES))
    part = np.zeros(len(time_s), np.intp)
    if n_parts > 1:
        part = np.minimum((time_s - start_s) / length_s * n_parts, n_parts - 1).astype(np.intp)
    order = np.lexsort((time_s, -quality, part))
    first = order[np.flatnonzero(np.diff(part[order], prepend=-1))]
    witnesses: npt.NDArray[np.intp] = first[np.argsort(time_s[first], kind="stable")]
    return witnesses


def count_apart(time_s: npt.NDArray[np.float64], *, apart_s: float = APART_S) -> int:
    """How many of some instants, in order of time, are at least so many seconds apart."""
    n, last = 0, -np.inf
    for instant in time_s.tolist():
        if instant - last >= apart_s - 1e-9:
            n, last = n + 1, instant
    return n


def decide_track(
    scores: npt.NDArray[np.float32],
    time_s: npt.NDArray[np.float64],
    quality: npt.NDArray[np.float32],
    bars: Bars,
    *,
    is_track: bool = True,
) -> Decision:
    """Who a track is.

    ``certain``: every witness is most like this identity, by the margin, and passes the bar of
    certainty. ``likely``: at least half of them, of an even number more than half, are most like it
    and pass the bar. ``conflict``: the track holds a face that is certain for one identity and
    another that is for somebody else. ``unknown``: all else.

    Parameters
    ----------
    scores
        Of each face with each identity, shape ``(n, n_identities)``, float32; NaN where a negative
        rules one out. At least one face and one identity.
    time_s, quality
        Of each face, shape ``(n,)``.
    is_track
        ``False``: one face that belongs to no track.

    Raises
    ------
    ValueError
        There is no face, or no identity.
    """
    if not scores.size:
        raise ValueError(f"scores must be of a face and an identity, but have {scores.shape}")
    known = np.where(np.isnan(scores), -np.inf, scores)
    witnesses = choose_witnesses(time_s, quality)
    evidence = _Evidence.of(known[witnesses], time_s[witnesses], bars, is_track=is_track)
    identity = evidence.identity
    if identity < 0:
        return Decision(-1, UNKNOWN, "negatives rule out everybody", 0, *_NOTHING)
    tier, rule = _tier(evidence, known, bars)
    means = evidence.means
    others = np.where(np.arange(len(means)) == identity, -np.inf, means)
    second = int(others.argmax())
    has_second = bool(np.isfinite(others[second]))
    best = int(known[:, identity].argmax())
    return Decision(
        identity,
        tier,
        rule,
        best,
        float(known[best, identity]),
        float(means[identity]),
        second if has_second else -1,
        float(means[identity] - others[second]) if has_second else np.nan,
    )


_NOTHING = (np.nan, np.nan, -1, np.nan)


@dataclass(frozen=True)
class _Evidence:
    """What the witnesses of a track say."""

    scores: npt.NDArray[np.float32]  # (n_witnesses, n_identities), −inf where ruled out
    best: npt.NDArray[np.intp]  # the identity each is most like
    margin: npt.NDArray[np.float32]  # by how much; inf where there is nobody else
    means: npt.NDArray[np.float64]  # of each identity, −inf where ruled out everywhere
    bar: float
    kind: str

    @classmethod
    def of(
        cls,
        scores: npt.NDArray[np.float32],
        time_s: npt.NDArray[np.float64],
        bars: Bars,
        *,
        is_track: bool,
    ) -> _Evidence:
        n_apart = count_apart(time_s)
        if n_apart >= 3:
            added, kind = bars.over_time, f"{n_apart} faces a second and more apart"
        elif len(scores) > 1:
            added, kind = bars.brief, f"{len(scores)} faces of a short track"
        else:
            added, kind = bars.single, "one face of a short track" if is_track else "a single face"
        best, margin = _best_and_margin(scores)
        return cls(scores, best, margin, _means(scores), bars.threshold + added, kind)

    @property
    def identity(self) -> int:
        """The one with the most witnesses, of equals the one with the best mean."""
        if not np.isfinite(self.means).any():
            return -1
        heard = np.isfinite(self.scores.max(axis=1))
        votes = np.bincount(self.best[heard], minlength=self.scores.shape[1])
        return int(np.lexsort((self.means, votes))[-1])


def _best_and_margin(
    scores: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """The best identity of each face, and how far it is ahead; inf where there is nobody else."""
    row, best = np.arange(len(scores)), scores.argmax(axis=1)
    others = scores.copy()
    others[row, best] = -np.inf
    second = others.max(axis=1)
    ahead = np.full(len(scores), np.inf, np.float32)
    np.subtract(scores[row, best], second, out=ahead, where=np.isfinite(second))
    return best, ahead


def _means(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Mean score of each identity over the faces that do not rule it out; −inf where all do."""
    known = np.isfinite(scores)
    total = np.where(known, scores, 0.0).sum(axis=0, dtype=np.float64)
    means = np.full(scores.shape[1], -np.inf)
    np.divide(total, known.sum(axis=0), out=means, where=known.any(axis=0))
    return means


def _tier(evidence: _Evidence, known: npt.NDArray[np.float32], bars: Bars) -> tuple[str, str]:
    """The tier of a track and the rule that gives it."""
    two = _certain_faces(known, bars)
    if len(two) > 1:
        sure = bars.threshold + bars.single + bars.certain
        return CONFLICT, f"faces of {len(two)} identities score {sure:.2f} or more in one track"
    own = evidence.best == evidence.identity
    score = evidence.scores[:, evidence.identity]
    sure = evidence.bar + bars.certain
    if (own & _at_least(score, sure) & _at_least(evidence.margin, bars.min_margin)).all():
        ahead = "" if np.isinf(evidence.margin).all() else f", {bars.min_margin:.2f} ahead"
        return CERTAIN, f"{evidence.kind}: all {sure:.2f} or more{ahead}"
    n_for = int((own & _at_least(score, evidence.bar)).sum())
    told = f"{evidence.kind}: {n_for} of {len(own)} at {evidence.bar:.2f} or more"
    return (LIKELY if 2 * n_for > len(own) else UNKNOWN), told


def _at_least(values: npt.NDArray[np.float32], bar: float) -> npt.NDArray[np.bool_]:
    """Which values reach a bar, compared as float32: a score of 0.45 reaches a bar of 0.45."""
    reached: npt.NDArray[np.bool_] = values >= np.float32(round(bar, 6))
    return reached


def _certain_faces(known: npt.NDArray[np.float32], bars: Bars) -> npt.NDArray[np.intp]:
    """The identities that some face of a track would be certain to be if it stood alone."""
    best, margin = _best_and_margin(known)
    score = known[np.arange(len(known)), best]
    sure = _at_least(score, bars.threshold + bars.single + bars.certain)
    return np.unique(best[sure & _at_least(margin, bars.min_margin)])


class Cohort:
    """Scores of an archive's own faces with each identity: what a score is worth there.

    Kept as counts in 65,536 bins of cosine, so ten million faces take no more memory than ten.

    Parameters
    ----------
    n_identities
        How many identities.
    """

    def __init__(self, n_identities: int) -> None:
        self._counts = np.zeros((n_identities, _BINS), np.int64)

    def add(self, scores: npt.NDArray[np.float32]) -> None:
        """Count the scores of further faces, shape ``(n, n_identities)``; NaN is not counted."""
        for identity, counts in enumerate(self._counts):
            column = scores[:, identity]
            bins, n = np.unique(_bin(column[~np.isnan(column)]), return_counts=True)
            counts[bins] += n

    def n_faces(self, identity: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """How many faces were counted for each identity."""
        n: npt.NDArray[np.int64] = self._counts.sum(axis=1)[identity]
        return n

    def rank(
        self, identity: npt.NDArray[np.intp], score: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int64]:
        """The place of each score among those of all faces: 1 where none is higher.

        Scores less than 3e-5 apart may share a place.
        """
        rank = np.ones(len(identity), np.int64)
        for number in np.unique(identity).tolist():
            counts, rows = self._counts[number], identity == number
            rank[rows] += counts.sum() - counts.cumsum()[_bin(score[rows])]
        return rank

    def z_score(
        self, identity: npt.NDArray[np.intp], score: npt.NDArray[np.float32], *, below: float
    ) -> npt.NDArray[np.float64]:
        """How many standard deviations each score lies above those of strangers.

        Z-norm (Auckenthaler, Carey and Lloyd-Thomas, "Score normalization for text-independent
        speaker verification systems", 2000): an identity's impostor scores are those of the
        archive's own faces that are surely somebody else, here all below a bar. Their centre and
        spread are the median and 1.4826 times the median absolute deviation, which a few faces of
        the person, turned away or blurred, do not move.

        Parameters
        ----------
        below
            The bar; the threshold that one asks at.

        Returns
        -------
        ndarray
            NaN where fewer than 30 faces lie below it, or all are alike.
        """
        told = [self._strangers(counts, below) for counts in self._counts]
        centre, spread = np.array(told, np.float64).reshape(-1, 2)[identity].T
        z: npt.NDArray[np.float64] = (score - centre) / spread
        return z

    def _strangers(self, counts: npt.NDArray[np.int64], below: float) -> tuple[float, float]:
        """Median and robust standard deviation of the scores below a bar."""
        counts = counts[: int(_bin(np.array([below], np.float32))[0])]
        used = np.flatnonzero(counts)
        if counts.sum() < _FEWEST_IN_COHORT:
            return np.nan, np.nan
        value, weight = (used + 0.5) * (2.0 / _BINS) - 1.0, counts[used]
        centre = _weighted_median(value, weight)
        spread = _MAD_TO_SIGMA * _weighted_median(np.abs(value - centre), weight)
        return centre, spread if spread > 0.0 else np.nan


def _bin(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    places = np.floor((scores.astype(np.float64) + 1.0) * (_BINS / 2)).astype(np.int64)
    return np.clip(places, 0, _BINS - 1)


def _weighted_median(value: npt.NDArray[np.floating[Any]], weight: npt.NDArray[np.int64]) -> float:
    """The lower median of values that occur so often."""
    order = np.argsort(value, kind="stable")
    reached = np.searchsorted(np.cumsum(weight[order]), (int(weight.sum()) + 1) // 2)
    return float(value[order][reached])
