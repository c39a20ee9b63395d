"""Which faces a gallery may grow by: each rule on paper, and the laws of growing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.gallery.growth import (
    FULL,
    LIKE_VETOED,
    TAKEN,
    TOO_CLOSE,
    TOO_LOW,
    TOO_POOR,
    TOO_SOON,
    TRACK_FULL,
    TWIN,
    VIDEO_FULL,
    Candidates,
    GrowthRules,
    Members,
    choose_grown,
)

RULES = GrowthRules(add_threshold=0.5)


def at_angles(*degrees: float) -> npt.NDArray[np.float32]:
    """Unit vectors in a plane: two of them score the cosine of the angle between them."""
    radians = np.radians(np.array(degrees, np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def faces(*degrees: float, **columns: Any) -> Candidates:
    """Faces at angles from the anchor at 0°, all good, each of a video and a track of its own."""
    n = len(degrees)
    vectors = at_angles(*degrees)
    given: dict[str, Any] = {
        "name": [f"face-{row}" for row in range(n)],
        "score": vectors[:, 0],
        "margin": [0.5] * n,
        "quality": [0.9] * n,
        "video": range(n),
        "track": range(n),
        "time_s": [0.0] * n,
    } | columns
    return Candidates(
        vectors,
        np.array(given["name"], str),
        np.array(given["score"], np.float32),
        np.array(given["margin"], np.float32),
        np.array(given["quality"], np.float32),
        np.array(given["video"], np.int64),
        np.array(given["track"], np.int64),
        np.array(given["time_s"], np.float64),
    )


def members(*degrees: float, grown: int = 0, vetoed: int = 0) -> Members:
    """Photos at angles; the last ones are grown, and the very last are vetoed."""
    n = len(degrees)
    number = np.arange(n)
    return Members(
        at_angles(*degrees),
        (number >= n - grown - vetoed) & (number < n - vetoed),
        number >= n - vetoed,
        np.full(n, -1, np.int64),
        np.full(n, -1, np.int64),
        np.full(n, np.nan),
    )


def outcomes(candidates: Candidates, known: Members, **rules: Any) -> list[str]:
    return [str(why) for why in choose_grown(candidates, known, replace(RULES, **rules)).outcome]


# Rules on paper ---------------------------------------------------------------------------------


def test_a_face_that_is_like_an_anchor_and_not_its_twin_is_taken() -> None:
    growth = choose_grown(faces(40), members(0), RULES)  # cos 40° = 0.77
    assert growth.taken.tolist() == [0]
    assert growth.likeness == pytest.approx([0.766], abs=1e-3)


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (faces(61), TOO_LOW),  # cos 61° = 0.48
        (faces(40, margin=[0.14]), TOO_CLOSE),
        (faces(40, quality=[0.49]), TOO_POOR),
        (faces(14), TWIN),  # cos 14° = 0.970
        (faces(40, score=[np.nan]), TOO_LOW),
        (faces(40, quality=[np.nan]), TOO_POOR),
    ],
)
def test_each_rule_refuses_and_says_so(candidate: Candidates, why: str) -> None:
    assert outcomes(candidate, members(0)) == [why]


def test_exactly_at_the_bars_is_enough() -> None:
    edge = faces(40, score=[0.5], margin=[0.15], quality=[0.5])
    assert outcomes(edge, members(0)) == [TAKEN]
    assert outcomes(faces(15), members(0)) == [TAKEN]  # cos 15° = 0.966 < 0.968


def test_without_anybody_else_there_is_no_margin_to_ask_for() -> None:
    assert outcomes(faces(40, margin=[np.nan]), members(0)) == [TAKEN]


def test_a_near_twin_of_a_vetoed_exemplar_is_not_grown_and_the_vetoed_one_covers_nothing() -> None:
    known = members(0, 40, vetoed=1)
    assert outcomes(faces(41, 20), known) == [LIKE_VETOED, TAKEN]


def test_of_one_track_one_face_is_taken_and_of_no_track_as_many_as_there_are() -> None:
    spread: dict[str, Any] = {"video": [0, 0], "time_s": [0.0, 60.0]}
    taken = choose_grown(faces(20, 50, track=[3, 3], **spread), members(0), RULES)
    assert taken.outcome.tolist() == [TRACK_FULL, TAKEN]  # the one least like the anchor
    assert outcomes(faces(20, 50, track=[-1, -1], **spread), members(0)) == [TAKEN, TAKEN]


def test_two_of_one_video_are_a_while_apart() -> None:
    near = faces(20, 50, video=[0, 0], time_s=[10.0, 11.9])
    assert outcomes(near, members(0)) == [TOO_SOON, TAKEN]
    apart = faces(20, 50, video=[0, 0], time_s=[10.0, 12.0])
    assert outcomes(apart, members(0)) == [TAKEN, TAKEN]


def test_a_video_and_an_identity_give_so_many_and_no_more() -> None:
    long = faces(15, 30, 45, 58, video=[0] * 4, time_s=[0, 60, 120, 180])
    few = outcomes(long, members(0), max_per_video=2, max_alike=0.99)
    assert (few.count(TAKEN), few.count(VIDEO_FULL)) == (2, 2)
    few = outcomes(faces(15, 30, 45, 58), members(0), max_per_identity=3, max_alike=0.99)
    assert (few.count(TAKEN), few.count(FULL)) == (3, 1)
    assert outcomes(faces(30, 50), members(0, 70, grown=1), max_per_identity=1) == [FULL, FULL]


def test_the_face_least_like_any_exemplar_comes_first() -> None:
    growth = choose_grown(faces(20, 55, 35), members(0), RULES)
    # 55° is 55° from the anchor; then 20° and 35° are both 20° from the nearest of 0° and 55°:
    # of equals the one first by name.
    assert growth.taken.tolist() == [1, 0, 2]
    assert growth.likeness == pytest.approx(np.cos(np.radians([55, 20, 15])), abs=1e-4)


def test_no_candidates_give_no_growth() -> None:
    growth = choose_grown(faces(), members(0), RULES)
    assert (len(growth.taken), len(growth.outcome)) == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"add_threshold": 1.5}, r"add_threshold must lie in \[-1, 1\], but is 1.5"),
        ({"add_threshold": np.nan}, r"add_threshold must lie in \[-1, 1\], but is nan"),
        ({"min_quality": -0.1}, r"min_quality must lie in \[0, 1\]"),
        ({"max_per_video": 0}, "max_per_video must be at least 1, but is 0"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(RULES, **wrong)


# Laws -------------------------------------------------------------------------------------------


@st.composite
def archives(draw: st.DrawFn) -> Candidates:
    n = draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    vectors = random.normal(size=(n, 3)) * 0.7 + [1.5, 0, 0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Candidates(
        vectors.astype(np.float32),
        np.array([f"{number:03d}" for number in random.permutation(n)]),
        vectors[:, 0].astype(np.float32),
        random.uniform(0, 0.6, n).astype(np.float32),
        random.uniform(0.3, 1, n).astype(np.float32),
        random.integers(0, 3, n),
        random.integers(-1, 4, n),
        random.uniform(0, 30, n),
    )


ANCHOR_ONLY = Members(
    np.array([[1, 0, 0]], np.float32),
    *(np.zeros(1, bool),) * 2,
    *(np.full(1, -1, np.int64),) * 2,
    np.full(1, np.nan),
)


def after(candidates: Candidates, known: Members, taken: npt.NDArray[np.intp]) -> Members:
    """The members once the taken faces are among them."""
    n = len(taken)
    return Members(
        np.concatenate([known.vectors, candidates.vectors[taken]]),
        np.append(known.is_grown, np.ones(n, bool)),
        np.append(known.is_vetoed, np.zeros(n, bool)),
        np.append(known.video, candidates.video[taken]),
        np.append(known.track, candidates.track[taken]),
        np.append(known.time_s, candidates.time_s[taken]),
    )


def shuffled(candidates: Candidates, order: npt.NDArray[np.intp]) -> Candidates:
    return Candidates(*(getattr(candidates, name)[order] for name in vars(candidates)))


@settings(max_examples=60, deadline=None)
@given(archives(), st.integers(1, 6))
def test_growing_again_adds_nothing_new(candidates: Candidates, most: int) -> None:
    rules = replace(RULES, max_per_identity=most)
    first = choose_grown(candidates, ANCHOR_ONLY, rules)
    again = choose_grown(candidates, after(candidates, ANCHOR_ONLY, first.taken), rules)
    assert again.taken.tolist() == []


@settings(max_examples=60, deadline=None)
@given(archives(), st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter(candidates: Candidates, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(candidates))
    one = candidates.name[choose_grown(candidates, ANCHOR_ONLY, RULES).taken]
    mixed = shuffled(candidates, order)
    assert mixed.name[choose_grown(mixed, ANCHOR_ONLY, RULES).taken].tolist() == one.tolist()


@settings(max_examples=60, deadline=None)
@given(archives())
def test_whoever_is_taken_passes_every_rule(candidates: Candidates) -> None:
    growth = choose_grown(candidates, ANCHOR_ONLY, RULES)
    rows = growth.taken
    assert (candidates.score[rows] >= 0.5).all()
    assert (candidates.margin[rows] >= 0.15).all()
    assert (candidates.quality[rows] >= 0.5).all()
    scores = candidates.vectors[rows] @ candidates.vectors[rows].T
    assert (scores[~np.eye(len(rows), dtype=bool)] < 0.968 + 1e-6).all()
    assert np.bincount(candidates.video[rows], minlength=1).max() <= RULES.max_per_video
    for a in rows:
        for b in rows[rows != a]:
            if candidates.video[a] == candidates.video[b]:
                assert abs(candidates.time_s[a] - candidates.time_s[b]) >= RULES.cooldown_s
                assert candidates.track[a] != candidates.track[b] or candidates.track[a] < 0


@settings(max_examples=60, deadline=None)
@given(archives(), st.data())
def test_a_veto_keeps_the_face_out_for_good(candidates: Candidates, data: st.DataObject) -> None:
    growth = choose_grown(candidates, ANCHOR_ONLY, RULES)
    if not len(growth.taken):
        return
    row = data.draw(st.sampled_from(growth.taken.tolist()))
    known = after(candidates, ANCHOR_ONLY, growth.taken)
    vetoed = replace(
        known,
        is_vetoed=known.is_vetoed | (known.vectors == candidates.vectors[row]).all(axis=1),
        is_grown=known.is_grown & ~(known.vectors == candidates.vectors[row]).all(axis=1),
    )
    assert row not in choose_grown(candidates, vetoed, RULES).taken.tolist()
