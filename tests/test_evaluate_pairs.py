"""Error rates of labelled pairs: numbers on paper, scikit-learn, SciPy, and laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, det_curve, roc_auc_score, roc_curve

from facelake.evaluate import evaluate_pairs, read_pairs
from facelake.schema import PAIR_CURVE, PAIR_FOLDS, PAIR_RATES, PAIRS

GENUINE = [0.9, 0.7, 0.5, 0.3, 0.1]
IMPOSTOR = [0.4, 0.3, 0.0, -0.2]
SCORE = [*GENUINE, *IMPOSTOR]
SAME = [True] * 5 + [False] * 4


def made_up(n: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Scores with ties, as of a model that is not good."""
    noise = np.random.default_rng(seed)
    same = noise.random(n) < 0.4
    return np.round(noise.normal(np.where(same, 0.4, 0.1), 0.2), 2).clip(-1, 1), same


def rates(**options: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = evaluate_pairs(SCORE, SAME, **options).rates.to_pylist()
    return rows


# At thresholds ------------------------------------------------------------------------------------


def test_a_score_at_the_threshold_matches() -> None:
    (row,) = rates(thresholds=[0.3], fmrs=[])
    # Impostors at 0.4 and 0.3 match; of the genuine only 0.1 does not.
    assert (row["n_false_matches"], row["n_impostor"], row["fmr"]) == (2, 4, 0.5)
    assert (row["n_false_non_matches"], row["n_genuine"], row["fnmr"]) == (1, 5, 0.2)
    (above,) = rates(thresholds=[0.31], fmrs=[])
    assert (above["n_false_matches"], above["n_false_non_matches"]) == (1, 2)


def test_without_pairs_of_a_kind_its_rates_are_null_and_not_0() -> None:
    errors = evaluate_pairs([0.5], [True], thresholds=[0.3], fmrs=[0.5])
    at, wanted = errors.rates.to_pylist()
    assert (at["fnmr"], at["fmr"], at["fmr_low"], at["fmr_high"]) == (0.0, None, None, None)
    assert wanted["threshold"] is None
    assert errors.curve["fmr"].null_count == len(errors.curve) == 2
    assert (errors.equal_error, errors.auc, errors.impostor_mean) == (None, None, None)


def test_of_no_pairs_there_are_tables_with_the_right_columns() -> None:
    errors = evaluate_pairs([], [], fold=np.array([], int), thresholds=[], fmrs=[])
    assert (errors.curve.schema, len(errors.curve)) == (PAIR_CURVE, 0)
    assert (errors.rates.schema, len(errors.rates)) == (PAIR_RATES, 0)
    assert (errors.folds.schema, len(errors.folds)) == (PAIR_FOLDS, 0)
    assert (errors.best, errors.folded, errors.average_precision) == (None, None, None)


# For a wanted FMR ---------------------------------------------------------------------------------


def test_a_wanted_fmr_is_a_budget_of_false_matches() -> None:
    # Of 4 impostors, half may match: the threshold lies just above the third highest, 0.0.
    row, none = rates(thresholds=[], fmrs=[0.5, 0.24])
    assert (row["wanted_fmr"], row["n_allowed"], row["n_false_matches"]) == (0.5, 2, 2)
    assert 0.0 < row["threshold"] < 1e-30
    assert np.float32(row["threshold"]) > 0.0  # also for scores that a catalog keeps
    # floor(0.24 × 4) = 0: nothing can be said.
    assert (none["n_allowed"], none["threshold"], none["fmr"]) == (0, None, None)
    assert none["note"] == "insufficient data: 5 impostor pairs are needed"


def test_a_tie_at_the_edge_of_the_budget_is_left_out_whole() -> None:
    errors = evaluate_pairs([0.5, 0.5, 0.5, 0.1], [0, 0, 0, 0], thresholds=[], fmrs=[0.5])
    (row,) = errors.rates.to_pylist()
    assert (row["n_allowed"], row["n_false_matches"]) == (2, 0)
    assert row["threshold"] > 0.5


def test_a_budget_is_not_lost_to_rounding() -> None:
    score = np.linspace(0, 1, 100)
    errors = evaluate_pairs(score, np.zeros(100), thresholds=[], fmrs=[0.29])
    assert errors.rates["n_false_matches"].to_pylist() == [29]  # 0.29 × 100 = 28.999…


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.floats(0.01, 0.9))
def test_no_lower_threshold_keeps_within_a_wanted_fmr(seed: int, fmr: float) -> None:
    score, same = made_up(60, seed)
    (row,) = evaluate_pairs(score, same, thresholds=[], fmrs=[fmr]).rates.to_pylist()
    impostor = score[~same]
    if row["threshold"] is None:
        assert fmr * len(impostor) < 1
        return
    assert (impostor >= row["threshold"]).sum() == row["n_false_matches"] <= fmr * len(impostor)
    lower = np.nextafter(np.float32(row["threshold"]), np.float32(-2.0))
    assert (impostor.astype(np.float32) >= lower).sum() > row["n_allowed"]


# Curves -------------------------------------------------------------------------------------------


def test_the_roc_is_scikit_learns() -> None:
    score, same = made_up(400)
    curve = evaluate_pairs(score, same).curve
    fmr, tmr, threshold = roc_curve(same, score, drop_intermediate=False)
    # scikit-learn's thresholds fall, and begin with infinity.
    assert curve["threshold"].to_numpy()[:-1] == pytest.approx(threshold[1:][::-1])
    assert curve["fmr"].to_numpy() == pytest.approx(fmr[::-1])
    assert 1.0 - curve["fnmr"].to_numpy() == pytest.approx(tmr[::-1])


def test_the_det_is_scikit_learns() -> None:
    score, same = made_up(400)
    curve = evaluate_pairs(score, same).curve
    fmr, fnmr, threshold = det_curve(same, score)
    rows = np.searchsorted(curve["threshold"].to_numpy(), threshold)
    assert curve["fmr"].to_numpy()[rows] == pytest.approx(fmr)
    assert curve["fnmr"].to_numpy()[rows] == pytest.approx(fnmr)


def test_the_areas_are_scikit_learns() -> None:
    score, same = made_up(400)
    errors = evaluate_pairs(score, same)
    assert errors.auc == pytest.approx(roc_auc_score(same, score))
    assert errors.average_precision == pytest.approx(average_precision_score(same, score))


@settings(max_examples=40)
@given(st.integers(0, 2**31))
def test_fmr_falls_and_fnmr_rises_from_one_end_to_the_other(seed: int) -> None:
    curve = evaluate_pairs(*made_up(50, seed)).curve
    fmr, fnmr = curve["fmr"].to_numpy(), curve["fnmr"].to_numpy()
    assert (np.diff(fmr) <= 0).all()
    assert (np.diff(fnmr) >= 0).all()
    assert (fmr[0], fnmr[0], fmr[-1], fnmr[-1]) == (1.0, 0.0, 0.0, 1.0)


# Single numbers -----------------------------------------------------------------------------------


def test_the_equal_error_rate_lies_where_the_errors_cross() -> None:
    # FMR, FNMR at 0.3: 2/4, 1/5; at 0.4: 1/4, 2/5. On the line between them the gap goes from
    # −0.3 to 0.15, so they cross after two thirds of it: 0.5 − 2/3 · 0.25 = 1/3.
    equal = evaluate_pairs(SCORE, SAME).equal_error
    assert equal is not None
    assert equal.rate == pytest.approx(1 / 3)
    assert equal.threshold == pytest.approx(0.3 + 2 / 3 * 0.1)


def test_the_best_accuracy_lies_midway_between_two_scores() -> None:
    # Above 0.4: the impostors are right, 0.3 and 0.1 wrong: 7 of 9, as at 0.0 to 0.1 and nowhere
    # more. At 0.1: 2 of 4 impostors wrong: 7 of 9, too, and the lower one comes first.
    best = evaluate_pairs(SCORE, SAME).best
    assert best is not None
    assert best.accuracy == pytest.approx(7 / 9)
    assert best.threshold == pytest.approx((0.0 + 0.1) / 2)


def test_perfect_scores_have_no_error() -> None:
    errors = evaluate_pairs([0.9, 0.8, 0.1, 0.0], [1, 1, 0, 0])
    assert errors.best is not None
    assert errors.best.accuracy == 1.0
    assert errors.best.threshold == pytest.approx(0.45)
    assert errors.equal_error is not None
    assert errors.equal_error.rate == 0.0
    assert (errors.auc, errors.average_precision) == (1.0, 1.0)


# Folds --------------------------------------------------------------------------------------------


def test_each_fold_is_judged_at_the_threshold_of_the_others() -> None:
    # Fold 1 is told apart at 0.5 and fold 2 at 0.1: each has one wrong at the other's threshold.
    score, same = [0.6, 0.4, 0.2, 0.0], [True, False, True, False]
    errors = evaluate_pairs(score, same, fold=[1, 1, 2, 2])
    assert errors.folds.to_pylist() == [
        {"fold": 1, "threshold": pytest.approx(0.1), "n_pairs": 2, "n_right": 1, "accuracy": 0.5},
        {"fold": 2, "threshold": pytest.approx(0.5), "n_pairs": 2, "n_right": 1, "accuracy": 0.5},
    ]
    assert errors.folded is not None
    assert (errors.folded.mean, errors.folded.standard_error, errors.folded.n_folds) == (0.5, 0, 2)


def test_the_standard_error_is_that_of_the_mean() -> None:
    score, same = made_up(500)
    errors = evaluate_pairs(score, same, fold=np.arange(500) % 10)
    accuracy = errors.folds["accuracy"].to_numpy()
    assert errors.folded is not None
    assert errors.folded.mean == pytest.approx(accuracy.mean())
    spread = np.sqrt(((accuracy - accuracy.mean()) ** 2).sum() / 9)
    assert errors.folded.standard_error == pytest.approx(spread / np.sqrt(10))


def test_of_one_fold_there_is_no_mean() -> None:
    errors = evaluate_pairs(SCORE, SAME, fold=[1] * 9)
    assert (len(errors.folds), errors.folded) == (0, None)


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": [0.1, float("nan")], "is_genuine": [1, 0]}, r"score\[1\] is NaN; leave out"),
        ({"score": [0.1], "is_genuine": [1, 0]}, r"one shape \(n,\), but have \(1,\) and \(2,\)"),
        ({"score": [0.1], "is_genuine": [2]}, "is_genuine must hold true and false"),
        ({"thresholds": [1.5]}, r"threshold must lie in \[-1, 1\], but is 1.5"),
        ({"thresholds": [float("nan")]}, "threshold must lie"),
        ({"fmrs": [0.0]}, r"wanted FMR must lie in \(0, 1\), but is 0.0"),
        ({"confidence": 95.0}, r"confidence must lie in \(0, 1\), but is 95.0"),
        ({"fold": [1, 2]}, r"fold must be integers of shape \(9,\)"),
        ({"fold": [0.5] * 9}, "fold must be integers"),
    ],
)
def test_what_is_wrong_is_refused(changes: dict[str, Any], words: str) -> None:
    given_: dict[str, Any] = {"score": SCORE, "is_genuine": SAME} | changes
    with pytest.raises(ValueError, match=words):
        evaluate_pairs(**given_)


# Files --------------------------------------------------------------------------------------------

LFW = "2\t1\nAnn\t1\t4\nAnn\t2\tBob_Lee\t11\nCarl\t1\t2\nAnn\t1\tCarl\t3\n"


def write(tmp_path: Path, text: str, name: str = "pairs.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def pair(a: str, b: str, same: bool, fold: int | None) -> dict[str, Any]:
    return {"image_a": a, "image_b": b, "same": same, "fold": fold, "score": None}


def test_lfws_own_list_is_read(tmp_path: Path) -> None:
    table = read_pairs([write(tmp_path, LFW, "pairs.txt")])
    assert table.schema == PAIRS
    assert table.to_pylist() == [
        pair("Ann/Ann_0001.jpg", "Ann/Ann_0004.jpg", True, 1),
        pair("Ann/Ann_0002.jpg", "Bob_Lee/Bob_Lee_0011.jpg", False, 1),
        pair("Carl/Carl_0001.jpg", "Carl/Carl_0002.jpg", True, 2),
        pair("Ann/Ann_0001.jpg", "Carl/Carl_0003.jpg", False, 2),
    ]


def test_lfws_development_list_has_no_folds(tmp_path: Path) -> None:
    text = "1\nAnn 1 4\nAnn 2 Bob_Lee 11\n"
    table = read_pairs([write(tmp_path, text, "pairsDevTest.txt")])
    assert table["fold"].to_pylist() == [None, None]


def test_plain_tables_are_read_and_joined(tmp_path: Path) -> None:
    one = write(tmp_path, "image_a,image_b,same\na.jpg,b.jpg,true\n", "1.csv")
    other = write(tmp_path, "fold,a,b,same\n3,c.jpg,d.jpg,0\n", "2.csv")
    assert read_pairs([one, other]).to_pylist() == [
        pair("a.jpg", "b.jpg", True, None),
        pair("c.jpg", "d.jpg", False, 3),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("pairs.csv", "image_a,same\n", "lacks image_b or b"),
        ("pairs.csv", "a,b,same\nx,y,maybe\n", "line 2: same must be 1 or 0 .*'maybe'"),
        ("pairs.csv", "a,b,same\nx,,1\n", "line 2: both pictures must be named"),
        ("pairs.csv", "a,b,same,fold\nx,y,1,first\n", "line 2: fold must be a whole number"),
        ("pairs.txt", "Ann 1 4\n", "must begin with the number of folds"),
        ("pairs.txt", "", "must begin with the number of folds"),
        ("pairs.txt", "2 300\nAnn 1 4\n", "must hold 1200 pairs by its first line, but holds 1$"),
        ("pairs.txt", "1\nAnn 1 x\nAnn 1 Bob 2\n", "line 2: must be 'name 1 4'"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_pairs([write(tmp_path, text, name)])
