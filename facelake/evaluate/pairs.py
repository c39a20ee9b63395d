"""Scores of labelled pairs → error rates at every threshold, each with its counts.

The words are those of ISO/IEC 19795-1: a mated pair (here *genuine*) shows one person, a non-mated
one (*impostor*) two. FMR(t) is the share of impostor pairs with ``score >= t``, FNMR(t) that of
genuine pairs with ``score < t``. A rate without a pair of which it could be one is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.proportions import CONFIDENCE, clopper_pearson
from facelake.schema import PAIR_CURVE, PAIR_FOLDS, PAIR_RATES

THRESHOLDS = (0.20, 0.30, 0.40)
FMRS = (1e-2, 1e-3, 1e-4)
_ROUNDING = 1e-9  # 0.29 × 100 is 28.999…

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BestAccuracy:
    """The highest share of pairs told right by one threshold, and that threshold."""

    accuracy: float
    threshold: float


@dataclass(frozen=True)
class EqualErrorRate:
    """Where FMR and FNMR cross, between two points of the curve on a straight line."""

    rate: float
    threshold: float


@dataclass(frozen=True)
class FoldedAccuracy:
    """Mean accuracy over folds, each at the threshold that is best on the others.

    Attributes
    ----------
    standard_error
        Of the mean: the standard deviation over folds by the square root of their number.
    """

    mean: float
    standard_error: float
    n_folds: int


@dataclass(frozen=True)
class PairErrors:
    """Error rates of scores of labelled pairs.

    Attributes
    ----------
    curve
        Rows of `schema.PAIR_CURVE`: ROC and DET, one for each distinct score and one above all,
        thresholds increasing.
    rates
        Rows of `schema.PAIR_RATES`: at given thresholds, and for wanted FMRs.
    folds
        Rows of `schema.PAIR_FOLDS`; none without folds.
    n_genuine, n_impostor
        Pairs of one person, and of two.
    genuine_mean, impostor_mean
        Of their scores; ``None`` without such a pair.
    auc
        Area under the ROC curve: how often a genuine pair scores higher than an impostor pair.
    average_precision
        Of genuine pairs ranked by their score.
    """

    curve: pa.Table
    rates: pa.Table
    folds: pa.Table
    n_genuine: int
    n_impostor: int
    genuine_mean: float | None
    impostor_mean: float | None
    auc: float | None
    average_precision: float | None
    equal_error: EqualErrorRate | None
    best: BestAccuracy | None
    folded: FoldedAccuracy | None


def evaluate_pairs(
    score: npt.ArrayLike,
    is_genuine: npt.ArrayLike,
    *,
    fold: npt.ArrayLike | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    fmrs: Sequence[float] = FMRS,
    confidence: float = CONFIDENCE,
) -> PairErrors:
    """Error rates of scores of labelled pairs.

    The bounds are Clopper and Pearson's (Biometrika 26, 1934): exact where pairs are independent,
    too narrow where many share a picture or a person.

    Parameters
    ----------
    score
        Cosine similarity of each pair, shape ``(n,)``, in [−1, 1].
    is_genuine
        Whether it shows one person, shape ``(n,)``.
    fold
        Which fold it is of, integers, shape ``(n,)``: accuracy is then told by the protocol of
        Labeled Faces in the Wild, too (Huang et al., UMass 07-49). ``None`` is no folds.
    thresholds
        At which FMR and FNMR are told.
    fmrs
        For each, the lowest threshold at which at most ``floor(fmr × n_impostor)`` impostor pairs
        match; none where that is 0, since so few pairs cannot carry such a rate.
    confidence
        Of the bounds, in (0, 1).

    Raises
    ------
    ValueError
        The shapes differ, or a score, threshold, FMR or confidence is out of its range or NaN.

    Examples
    --------
    >>> errors = evaluate_pairs([0.7, 0.2, 0.1, -0.1], [1, 1, 0, 0], thresholds=[0.3])
    >>> errors.rates.slice(0, 1).select(["n_false_matches", "n_false_non_matches"]).to_pylist()
    [{'n_false_matches': 0, 'n_false_non_matches': 1}]
    """
    told = np.asarray(score, np.float64)
    same = _flags(is_genuine, told.shape)
    _refuse_wrong(told, thresholds, fmrs, confidence)
    pairs = _Pairs(np.sort(told[same]), np.sort(told[~same]))
    folds, folded = _by_fold(told, same, fold)
    return PairErrors(
        curve=pairs.curve(),
        rates=_rates(pairs, thresholds, fmrs, confidence),
        folds=folds,
        n_genuine=len(pairs.genuine),
        n_impostor=len(pairs.impostor),
        genuine_mean=_mean(pairs.genuine),
        impostor_mean=_mean(pairs.impostor),
        auc=_area(pairs),
        average_precision=_average_precision(pairs),
        equal_error=_equal_error(pairs),
        best=_best_accuracy(pairs),
        folded=folded,
    )


# What is refused ----------------------------------------------------------------------------------


def _flags(is_genuine: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    same = np.asarray(is_genuine)
    if len(shape) != 1 or same.shape != shape:
        raise ValueError(
            f"score and is_genuine must have one shape (n,), but have {shape} and {same.shape}"
        )
    if not np.isin(same, (0, 1)).all():
        raise ValueError("is_genuine must hold true and false, or 1 and 0, but holds others")
    return same.astype(bool)


def _refuse_wrong(
    score: Scores, thresholds: Sequence[float], fmrs: Sequence[float], confidence: float
) -> None:
    if np.isnan(score).any():
        row = int(np.flatnonzero(np.isnan(score))[0])
        raise ValueError(
            f"score must be numbers, but score[{row}] is NaN; leave out pairs that have none"
        )
    for threshold in thresholds:
        if not -1.0 <= threshold <= 1.0:
            raise ValueError(f"a threshold must lie in [-1, 1], but is {threshold}")
    for fmr in fmrs:
        if not 0.0 < fmr < 1.0:
            raise ValueError(f"a wanted FMR must lie in (0, 1), but is {fmr}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), but is {confidence}")


# One set of pairs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    """Scores of genuine and of impostor pairs, each increasing."""

    genuine: Scores
    impostor: Scores

    def thresholds(self) -> Scores:
        """Every threshold at which something changes: the distinct scores, and one above all."""
        scores = np.unique(np.concatenate([self.genuine, self.impostor]))
        return np.append(scores, _just_above(scores[-1])) if len(scores) else scores

    def errors(self, threshold: Scores) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """False matches and false non-matches at each threshold."""
        n_false_matches = len(self.impostor) - np.searchsorted(self.impostor, threshold)
        return n_false_matches, np.searchsorted(self.genuine, threshold)

    def curve(self) -> pa.Table:
        """Rows of `schema.PAIR_CURVE`."""
        threshold = self.thresholds()
        n_false_matches, n_false_non_matches = self.errors(threshold)
        return pa.table(
            {
                "threshold": threshold,
                "n_impostor": np.full(len(threshold), len(self.impostor)),
                "n_false_matches": n_false_matches,
                "fmr": _rate_column(n_false_matches, len(self.impostor)),
                "n_genuine": np.full(len(threshold), len(self.genuine)),
                "n_false_non_matches": n_false_non_matches,
                "fnmr": _rate_column(n_false_non_matches, len(self.genuine)),
            },
            schema=PAIR_CURVE,
        )


def _just_above(score: float) -> float:
    """The next number that is also one in float32, in which catalogs keep scores."""
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))


def _rate_column(counts: npt.NDArray[np.int64], of: int) -> pa.Array:
    return pa.array(counts / of) if of else pa.nulls(len(counts), pa.float64())


def _mean(scores: Scores) -> float | None:
    return float(scores.mean()) if len(scores) else None


def _area(pairs: _Pairs) -> float | None:
    """Mann and Whitney's U: pairs of pairs in the right order, ties by half."""
    if not len(pairs.genuine) or not len(pairs.impostor):
        return None
    below = np.searchsorted(pairs.impostor, pairs.genuine, side="left")
    not_above = np.searchsorted(pairs.impostor, pairs.genuine, side="right")
    return float((below + not_above).mean() / 2 / len(pairs.impostor))


def _average_precision(pairs: _Pairs) -> float | None:
    """Mean over genuine pairs of the precision at their score."""
    if not len(pairs.genuine):
        return None
    n_false_matches, n_missed = pairs.errors(pairs.genuine)
    n_right = len(pairs.genuine) - n_missed
    return float(np.mean(n_right / (n_right + n_false_matches)))


def _equal_error(pairs: _Pairs) -> EqualErrorRate | None:
    if not len(pairs.genuine) or not len(pairs.impostor):
        return None
    threshold = pairs.thresholds()
    n_false_matches, n_false_non_matches = pairs.errors(threshold)
    fmr, fnmr = n_false_matches / len(pairs.impostor), n_false_non_matches / len(pairs.genuine)
    # From below 0, where everything matches, to above 0, where nothing does.
    gap = fnmr - fmr
    after = int(np.argmax(gap >= 0.0))
    before = max(after - 1, 0)
    part = 1.0 if gap[after] == gap[before] else -gap[before] / (gap[after] - gap[before])

    def between(values: Scores) -> float:
        return float(values[before] + part * (values[after] - values[before]))

    return EqualErrorRate(between(fmr), between(threshold))


def _best_accuracy(pairs: _Pairs) -> BestAccuracy | None:
    n = len(pairs.genuine) + len(pairs.impostor)
    if not n:
        return None
    threshold = pairs.thresholds()
    n_wrong = np.add(*pairs.errors(threshold))
    best = int(np.argmin(n_wrong))
    # Midway to the next lower score, between which nothing changes, it is most likely to hold.
    middle = threshold[[best - 1, best]].mean() if best else threshold[best]
    return BestAccuracy(float(1.0 - n_wrong[best] / n), float(middle))


# At given thresholds, and for wanted rates --------------------------------------------------------


def _rates(
    pairs: _Pairs, thresholds: Sequence[float], fmrs: Sequence[float], confidence: float
) -> pa.Table:
    rows = [_rate_row(pairs, threshold, confidence) for threshold in thresholds]
    rows += [_wanted_row(pairs, fmr, confidence) for fmr in fmrs]
    return pa.Table.from_pylist(rows, schema=PAIR_RATES)


def _rate_row(pairs: _Pairs, threshold: float, confidence: float) -> dict[str, Any]:
    (n_false_matches,), (n_missed,) = pairs.errors(np.array([threshold]))
    n_impostor, n_genuine = len(pairs.impostor), len(pairs.genuine)
    fmr = _bounds(int(n_false_matches), n_impostor, confidence)
    fnmr = _bounds(int(n_missed), n_genuine, confidence)
    return {
        "threshold": float(threshold),
        "n_impostor": n_impostor,
        "n_false_matches": int(n_false_matches),
        "fmr": int(n_false_matches) / n_impostor if n_impostor else None,
        "fmr_low": fmr[0],
        "fmr_high": fmr[1],
        "n_genuine": n_genuine,
        "n_false_non_matches": int(n_missed),
        "fnmr": int(n_missed) / n_genuine if n_genuine else None,
        "fnmr_low": fnmr[0],
        "fnmr_high": fnmr[1],
    }


def _bounds(n_errors: int, n: int, confidence: float) -> tuple[float | None, float | None]:
    if not n:
        return None, None
    low, high = clopper_pearson(n_errors / n, n, confidence=confidence)
    return float(low), float(high)


def _wanted_row(pairs: _Pairs, fmr: float, confidence: float) -> dict[str, Any]:
    budget = math.floor(fmr * len(pairs.impostor) + _ROUNDING)
    asked = {"wanted_fmr": fmr, "n_allowed": budget}
    if not budget:
        needed = math.ceil(1 / fmr - _ROUNDING)
        note = f"insufficient data: {needed:,} impostor pairs are needed"
        return (
            asked
            | {"n_impostor": len(pairs.impostor), "n_genuine": len(pairs.genuine)}
            | {"note": note}
        )
    # The best impostor that must not match any more; below it all may.
    threshold = _just_above(pairs.impostor[-budget - 1])
    return _rate_row(pairs, threshold, confidence) | asked


# Folds --------------------------------------------------------------------------------------------


def _by_fold(
    score: Scores, same: npt.NDArray[np.bool_], fold: npt.ArrayLike | None
) -> tuple[pa.Table, FoldedAccuracy | None]:
    """Rows of `schema.PAIR_FOLDS`, and their mean; of one fold there is none."""
    if fold is None:
        return PAIR_FOLDS.empty_table(), None
    number = np.asarray(fold)
    if number.shape != score.shape or not np.issubdtype(number.dtype, np.integer):
        raise ValueError(
            f"fold must be integers of shape {score.shape}, but is {number.dtype} of {number.shape}"
        )
    names = np.unique(number)
    if len(names) < 2:
        return PAIR_FOLDS.empty_table(), None
    rows = list(_fold_rows(score, same, number, names))
    accuracy = np.array([row["accuracy"] for row in rows])
    error = accuracy.std(ddof=1) / math.sqrt(len(rows))
    return (
        pa.Table.from_pylist(rows, schema=PAIR_FOLDS),
        FoldedAccuracy(float(accuracy.mean()), float(error), len(rows)),
    )


def _fold_rows(
    score: Scores,
    same: npt.NDArray[np.bool_],
    number: npt.NDArray[np.integer],
    names: npt.NDArray[np.integer],
) -> Iterable[dict[str, Any]]:
    for name in names:
        own = number == name
        others = _Pairs(np.sort(score[~own & same]), np.sort(score[~own & ~same]))
        best = _best_accuracy(others)
        assert best is not None  # there are other folds, and no fold is empty
        n_right = int(((score[own] >= best.threshold) == same[own]).sum())
        yield {
            "fold": int(name),
            "threshold": best.threshold,
            "n_pairs": int(own.sum()),
            "n_right": n_right,
            "accuracy": n_right / int(own.sum()),
        }
