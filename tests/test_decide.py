"""Who a track is and how sure: every tier on paper, ranks and z-scores against brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from facelake.decide import (
    CERTAIN,
    CONFLICT,
    LIKELY,
    TIERS,
    UNKNOWN,
    Bars,
    Cohort,
    Decision,
    choose_witnesses,
    count_apart,
    decide_track,
)

BARS = Bars(0.30)  # likely at 0.30 over time, 0.40 briefly, 0.45 alone; certain 0.10 above these
NAN = float("nan")


def decide(
    scores: list[list[float]], time_s: list[float] | None = None, bars: Bars = BARS, **options: Any
) -> Decision:
    """The decision on faces two seconds apart, all of one quality."""
    n = len(scores)
    times = np.array([2.0 * row for row in range(n)] if time_s is None else time_s, np.float64)
    quality = np.full(n, 0.8, np.float32)
    return decide_track(np.array(scores, np.float32), times, quality, bars, **options)


# Tiers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "time_s", "tier"),
    [
        # three faces a second and more apart
        (0.40, [0.0, 1.0, 2.0], CERTAIN),
        (0.39, [0.0, 1.0, 2.0], LIKELY),
        (0.30, [0.0, 1.0, 2.0], LIKELY),
        (0.29, [0.0, 1.0, 2.0], UNKNOWN),
        # two faces
        (0.50, [0.0, 1.5], CERTAIN),
        (0.49, [0.0, 1.5], LIKELY),
        (0.40, [0.0, 1.5], LIKELY),
        (0.39, [0.0, 1.5], UNKNOWN),
        # one face
        (0.55, [0.0], CERTAIN),
        (0.54, [0.0], LIKELY),
        (0.45, [0.0], LIKELY),
        (0.44, [0.0], UNKNOWN),
        # many faces of one moment are one
        (0.44, [0.0, 0.1, 0.2, 0.3, 0.4], UNKNOWN),
    ],
)
def test_less_evidence_takes_a_higher_score(score: float, time_s: list[float], tier: str) -> None:
    assert decide([[score, 0.05]] * len(time_s), time_s).tier == tier


def test_the_bars_move_with_the_threshold() -> None:
    assert decide([[0.50, 0.05]] * 3, bars=Bars(0.40)).tier == CERTAIN
    assert decide([[0.49, 0.05]] * 3, bars=Bars(0.40)).tier == LIKELY


def test_certain_takes_every_witness_and_likely_more_than_half() -> None:
    high, low = [0.7, 0.0], [0.2, 0.0]
    assert decide([high, high, high]).tier == CERTAIN
    assert decide([high, high, low]).tier == LIKELY
    assert decide([high, high, low, low]).tier == UNKNOWN


def test_certain_takes_a_margin_at_every_witness() -> None:
    close = [0.60, 0.51]
    assert decide([[0.7, 0.1], [0.7, 0.1], close]).tier == LIKELY
    assert decide([[0.7, 0.1], [0.7, 0.1], [0.61, 0.50]]).tier == CERTAIN


def test_one_identity_needs_no_margin() -> None:
    decision = decide([[0.7], [0.6], [0.5]])
    assert decision.tier == CERTAIN
    assert (decision.runner_up, np.isnan(decision.margin)) == (-1, True)
    assert "ahead" not in decision.rule


def test_a_track_that_holds_two_people_is_a_conflict() -> None:
    decision = decide([[0.7, 0.0], [0.7, 0.0], [0.0, 0.6]])
    assert decision.tier == CONFLICT
    assert (decision.identity, decision.runner_up) == (0, 1)
    assert decision.rule == "faces of 2 identities score 0.55 or more in one track"
    assert decide([[0.7, 0.0], [0.7, 0.0], [0.0, 0.54]]).tier == LIKELY


def test_what_is_told_of_a_decision_is_reckoned_from_its_faces() -> None:
    decision = decide([[0.1, 0.4], [0.2, 0.5], [0.3, 0.9]])
    assert (decision.identity, decision.best, decision.runner_up) == (1, 2, 0)
    assert decision.score == pytest.approx(0.9)
    assert decision.score_mean == pytest.approx(0.6)  # (0.4 + 0.5 + 0.9) / 3
    assert decision.margin == pytest.approx(0.4)  # 0.6 − (0.1 + 0.2 + 0.3) / 3
    assert decision.rule == "3 faces a second and more apart: all 0.40 or more, 0.10 ahead"


def test_an_identity_that_negatives_rule_out_at_a_face_is_not_certain_there() -> None:
    decision = decide([[0.8, 0.1], [0.8, 0.1], [NAN, 0.1]])
    assert (decision.identity, decision.tier) == (0, LIKELY)
    assert decision.score_mean == pytest.approx(0.8)  # of the two that are left


def test_a_track_for_which_everybody_is_ruled_out_is_nobody() -> None:
    decision = decide([[NAN, NAN]] * 3)
    assert (decision.identity, decision.tier) == (-1, UNKNOWN)
    assert decision.rule == "negatives rule out everybody"
    assert np.isnan(decision.score)


def test_a_face_of_no_track_says_that_it_is_alone() -> None:
    assert decide([[0.6, 0.0]], is_track=False).rule.startswith("a single face: all 0.55")
    assert decide([[0.6, 0.0]]).rule.startswith("one face of a short track: all 0.55")


def test_nothing_to_decide_about_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be of a face and an identity, but have \(0, 2\)"):
        decide_track(np.empty((0, 2), np.float32), np.empty(0), np.empty(0, np.float32), BARS)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"threshold": 1.2}, r"threshold must lie in \[-1, 1\], but is 1.2"),
        ({"threshold": NAN}, "threshold must lie in"),
        ({"min_margin": -0.1}, "min_margin must be 0 or more, but is -0.1"),
    ],
)
def test_bars_that_make_no_sense_are_refused(wrong: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(BARS, **wrong)


# Witnesses --------------------------------------------------------------------------------------


def test_the_best_face_of_each_part_of_a_track_is_asked() -> None:
    time_s = np.arange(10, dtype=np.float64)  # 9 s in five parts: 0 1 | 2 3 | 4 5 | 6 7 | 8 9
    quality = np.array([9, 1, 1, 9, 9, 1, 1, 9, 1, 9], np.float32)
    assert choose_witnesses(time_s, quality).tolist() == [0, 3, 4, 7, 9]


def test_a_short_track_has_few_witnesses_and_none_has_none() -> None:
    half = np.array([0.0, 0.2, 0.4])
    assert choose_witnesses(half, np.array([1, 3, 2], np.float32)).tolist() == [1]
    assert len(choose_witnesses(np.empty(0), np.empty(0, np.float32))) == 0


def test_instants_apart_are_counted_one_after_the_other() -> None:
    assert count_apart(np.array([0.0, 0.5, 1.0, 1.9, 2.0])) == 3
    assert count_apart(np.array([])) == 0
    assert count_apart(np.array([0.1, 1.1, 2.1])) == 3  # 2.1 − 1.1 is a rounding error short of 1


# Laws -------------------------------------------------------------------------------------------


tracks = st.builds(
    lambda seed, n, k: np.random.default_rng(seed).uniform(-0.3, 1.0, (n, k)).astype(np.float32),
    st.integers(0, 2**32),
    st.integers(1, 8),
    st.integers(1, 4),
)
_SURENESS = {UNKNOWN: 0, LIKELY: 1, CERTAIN: 2}


@settings(max_examples=80, deadline=None)
@given(tracks, st.floats(0.0, 0.5))
def test_a_higher_threshold_never_makes_anything_surer(
    scores: npt.NDArray[np.float32], more: float
) -> None:
    low, high = decide(scores.tolist()), decide(scores.tolist(), bars=Bars(0.30 + more))
    assert low.identity == high.identity
    if CONFLICT not in {low.tier, high.tier}:
        assert _SURENESS[high.tier] <= _SURENESS[low.tier]


@settings(max_examples=80, deadline=None)
@given(tracks, st.integers(0, 2**32))
def test_the_order_of_faces_does_not_matter(scores: npt.NDArray[np.float32], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(scores))
    times = np.arange(len(scores)) * 2.0
    one, other = decide(scores.tolist()), decide(scores[order].tolist(), times[order].tolist())
    assert (one.identity, one.tier, one.rule) == (other.identity, other.tier, other.rule)
    assert one.best == order[other.best]
    assert one.tier in TIERS


# The archive ------------------------------------------------------------------------------------


def test_a_rank_counts_the_faces_that_score_higher() -> None:
    cohort = Cohort(2)
    cohort.add(np.array([[0.9, 0.1], [0.5, NAN], [0.1, 0.3]], np.float32))
    cohort.add(np.array([[0.7, 0.2]], np.float32))
    identity, score = np.array([0, 0, 0, 1]), np.array([0.9, 0.5, 0.05, 0.3], np.float32)
    assert cohort.rank(identity, score).tolist() == [1, 3, 5, 1]
    assert cohort.n_faces(np.array([0, 1])).tolist() == [4, 3]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 3))
def test_ranks_agree_with_brute_force(seed: int, n: int, parts: int) -> None:
    random = np.random.default_rng(seed)
    scores = (random.permutation(2000)[:n] / 1000 - 1)[:, None].astype(np.float32)  # 1e-3 apart
    cohort = Cohort(1)
    for part in np.array_split(scores, parts):
        cohort.add(part)
    rank = cohort.rank(np.zeros(n, np.intp), scores[:, 0])
    assert rank.tolist() == [int((scores[:, 0] > s).sum()) + 1 for s in scores[:, 0]]


def test_a_z_score_is_that_of_median_and_mad_of_the_scores_below_the_bar() -> None:
    random = np.random.default_rng(5)
    strangers = random.normal(0.02, 0.07, 5001).clip(-1, 0.29).astype(np.float32)
    own = random.uniform(0.5, 0.9, 3000).astype(np.float32)
    cohort = Cohort(1)
    cohort.add(np.concatenate([strangers, own])[:, None])
    spread = stats.median_abs_deviation(strangers, scale="normal")
    expected = (0.6 - np.median(strangers)) / spread
    z = cohort.z_score(np.array([0]), np.array([0.6], np.float32), below=0.30)
    assert z == pytest.approx([expected], rel=2e-3)


def test_too_few_strangers_or_all_alike_give_no_z_score() -> None:
    few, alike = Cohort(1), Cohort(1)
    few.add(np.linspace(-0.1, 0.1, 29, dtype=np.float32)[:, None])
    alike.add(np.full((100, 1), 0.05, np.float32))
    for cohort in (few, alike, Cohort(1)):
        z = cohort.z_score(np.array([0]), np.array([0.6], np.float32), below=0.30)
        assert np.isnan(z).all()
