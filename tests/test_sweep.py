"""The sweep: every threshold at once equals one span query after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.schema import SpanRules
from facelake.spans import SpanArrays, find_spans
from facelake.sweep import (
    Hits,
    Levels,
    Lives,
    SpanCounts,
    check_thresholds,
    concat_hits,
    count_at_least,
    count_spans,
    find_hits,
    find_levels,
    find_lives,
)
from facelake.sweep.blocks import Blocks, highest_over_edges

THRESHOLDS = np.array([0.1, 0.2, 0.3, 0.35, 0.5, 0.6, 0.9])
NOBODY = float("nan")


@dataclass(frozen=True)
class Look:
    """What was seen of one person in one video, as `find_spans` takes it."""

    time_s: npt.NDArray[np.float64]
    shown_s: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]


@st.composite
def looks(draw: st.DrawFn, *, most: int = 30) -> Look:
    """Times on a grid of tenths with gaps; few different scores, so that many are equal."""
    n = draw(st.integers(0, most))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, 25]), min_size=n, max_size=n))
    shown = draw(st.lists(st.sampled_from([0.0, 0.04, 0.1, 3.0]), min_size=n, max_size=n))
    levels = st.sampled_from([NOBODY, -0.5, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.55, 0.9])
    scores = draw(st.lists(levels | st.floats(-1, 1), min_size=n, max_size=n))
    return Look(np.cumsum(steps) / 10, np.array(shown, float), np.array(scores, float))


def span_rules() -> st.SearchStrategy[SpanRules]:
    seconds = st.sampled_from([0.0, 0.1, 0.3, 1.0, 4.0])
    return st.builds(
        SpanRules,
        threshold=st.just(0.9),
        exit_threshold=st.none() | st.sampled_from([-0.6, 0.05, 0.2, 0.3, 0.4, 0.9]),
        min_hits=st.integers(1, 4),
        miss_s=seconds,
        blind_s=seconds,
        bridge_s=seconds,
        min_span_s=seconds | st.just(1e-10),
    )


def hits_of(look: Look, rules: SpanRules, *, group: int = 0) -> Hits:
    seen = np.flatnonzero(~np.isnan(look.score))
    lowest = THRESHOLDS[0]
    if rules.exit_threshold is not None:
        lowest = min(lowest, rules.exit_threshold)
    return find_hits(
        look.time_s,
        look.shown_s,
        group=np.full(len(seen), group),
        sample=seen,
        score=look.score[seen],
        rules=rules,
        lowest=lowest,
    )


def swept(look: Look, rules: SpanRules) -> SpanCounts:
    hits = hits_of(look, rules)
    return count_spans(hits, find_levels(hits, rules), THRESHOLDS, n_groups=1)


def lives_of(look: Look, rules: SpanRules) -> tuple[Hits, Lives]:
    hits = hits_of(look, rules)
    return hits, find_lives(hits, find_levels(hits, rules), lowest=THRESHOLDS[0])


def fresh(look: Look, rules: SpanRules, threshold: float) -> SpanArrays:
    return find_spans(look.time_s, look.score, rules.at(threshold), shown_s=look.shown_s)


# Cases on paper ---------------------------------------------------------------------------------


def second_by_second(*scores: float) -> Look:
    n = len(scores)
    return Look(np.arange(float(n)), np.full(n, 0.5), np.array(scores))


APART = SpanRules(0.9, miss_s=0.0)


def test_spans_and_seconds_at_each_threshold_are_those_on_paper() -> None:
    # 0.6 at 0 s, 0.5 at 1 s, nobody at 2 s, 0.3 at 3 s; a frame is shown for half a second.
    counts = swept(second_by_second(0.6, 0.5, NOBODY, 0.3), APART)
    assert counts.n_spans.tolist() == [[2, 2, 2, 1, 1, 1, 0]]
    assert counts.seconds[0] == pytest.approx([2.0, 2.0, 2.0, 1.5, 1.5, 0.5, 0.0])


def test_a_span_lives_from_its_best_score_down_to_where_it_meets_a_better_one() -> None:
    look = second_by_second(0.9, 0.2, 0.6, 0.05, 0.3)
    hits, lives = lives_of(look, APART)
    assert lives.high.tolist() == [0.9, 0.6, 0.3]
    assert lives.low.tolist() == [0.1, 0.2, 0.1]
    assert lives.parent.tolist() == [-1, 0, -1]
    assert hits.time_s[lives.first].tolist() == [0.0, 2.0, 4.0]
    assert hits.time_s[lives.last].tolist() == [2.0, 2.0, 4.0]
    assert hits.time_s[lives.best].tolist() == [0.0, 2.0, 4.0]


def test_of_equally_good_spans_the_earlier_goes_on() -> None:
    _, lives = lives_of(second_by_second(0.5, 0.2, 0.5), APART)
    assert (lives.low.tolist(), lives.parent.tolist()) == ([0.1, 0.2], [-1, 0])


def test_three_that_meet_at_once_become_part_of_the_best() -> None:
    _, lives = lives_of(second_by_second(0.5, 0.2, 0.6, 0.2, 0.9), APART)
    assert lives.low.tolist() == [0.2, 0.2, 0.1]
    assert lives.parent.tolist() == [2, 2, -1]


def test_nothing_seen_gives_no_spans_and_no_lives() -> None:
    for look in (second_by_second(), second_by_second(NOBODY, NOBODY), second_by_second(0.05)):
        counts = swept(look, APART)
        assert counts.n_spans.tolist() == [[0] * len(THRESHOLDS)]
        assert not counts.seconds.any()
        assert len(lives_of(look, APART)[1]) == 0


def test_of_two_faces_at_an_instant_the_better_one_counts() -> None:
    hits = find_hits(
        [0.0, 1.0], [0.5, 0.5], group=[0, 0, 0], sample=[1, 0, 1], score=[0.3, 0.5, 0.4],
        rules=APART, lowest=-1.0,
    )  # fmt: skip
    assert (hits.face.tolist(), hits.score.tolist()) == ([1, 2], [0.5, 0.4])


# The law ----------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(looks(), span_rules())
def test_a_row_of_the_sweep_equals_a_fresh_query(look: Look, rules: SpanRules) -> None:
    counts = swept(look, rules)
    for number, threshold in enumerate(THRESHOLDS):
        spans = fresh(look, rules, threshold)
        assert counts.n_spans[0, number] == len(spans)
        assert counts.seconds[0, number] == pytest.approx(np.sum(spans.end_s - spans.start_s))


@settings(max_examples=100, deadline=None)
@given(st.lists(looks(most=12), min_size=1, max_size=4), span_rules())
def test_videos_together_give_what_each_gives_alone(found: list[Look], rules: SpanRules) -> None:
    hits = concat_hits([hits_of(look, rules, group=k) for k, look in enumerate(found)])
    levels = find_levels(hits, rules)
    together = count_spans(hits, levels, THRESHOLDS, n_groups=len(found))
    alone = [swept(look, rules) for look in found]
    assert together.n_spans.tolist() == [counts.n_spans[0].tolist() for counts in alone]
    assert together.seconds == pytest.approx(np.concatenate([c.seconds for c in alone]))
    n_lives = sum(len(lives_of(look, rules)[1]) for look in found)
    assert len(find_lives(hits, levels, lowest=THRESHOLDS[0])) == n_lives


@settings(max_examples=100, deadline=None)
@given(looks(most=15), looks(most=15), span_rules())
def test_identities_of_one_video_do_not_touch(one: Look, two: Look, rules: SpanRules) -> None:
    n = min(len(one.time_s), len(two.time_s))
    time_s, shown_s = one.time_s[:n], one.shown_s[:n]
    both = [Look(time_s, shown_s, look.score[:n]) for look in (one, two)]
    score = np.stack([look.score for look in both])
    group, sample = np.nonzero(~np.isnan(score))
    hits = find_hits(
        time_s, shown_s, group=group, sample=sample, score=score[group, sample], rules=rules,
        lowest=-1.0,
    )  # fmt: skip
    counts = count_spans(hits, find_levels(hits, rules), THRESHOLDS, n_groups=2)
    assert counts.n_spans.tolist() == [swept(look, rules).n_spans[0].tolist() for look in both]


@settings(max_examples=300, deadline=None)
@given(looks(), span_rules())
def test_at_each_threshold_as_many_lives_as_spans_and_each_holds_one(
    look: Look, rules: SpanRules
) -> None:
    hits, lives = lives_of(look, rules)
    is_root = lives.parent < 0
    for threshold in THRESHOLDS:
        spans = fresh(look, rules, threshold)
        alive = np.flatnonzero((threshold <= lives.high) & ((lives.low < threshold) | is_root))
        assert len(alive) == len(spans)
        for k, life in enumerate(alive):
            assert hits.time_s[lives.first[life]] <= spans.start_s[k]
            assert hits.end_s[lives.last[life]] >= spans.end_s[k]
            assert hits.score[lives.best[life]] >= spans.score_max[k]


@settings(max_examples=200, deadline=None)
@given(looks(), span_rules())
def test_a_life_is_at_its_widest_the_span_of_a_fresh_query(look: Look, rules: SpanRules) -> None:
    hits, lives = lives_of(look, rules)
    for k in range(len(lives)):
        low = lives.low[k] if lives.parent[k] < 0 else np.nextafter(lives.low[k], 1.0)
        spans = fresh(look, rules, low)
        begins = spans.start_s.tolist()
        assert hits.time_s[lives.first[k]] in begins
        at = begins.index(hits.time_s[lives.first[k]])
        assert hits.end_s[lives.last[k]] == spans.end_s[at]
        assert hits.time_s[lives.best[k]] == look.time_s[spans.best[at]]


@settings(max_examples=200, deadline=None)
@given(looks(), span_rules())
def test_lives_are_a_forest(look: Look, rules: SpanRules) -> None:
    _, lives = lives_of(look, rules)
    child = np.flatnonzero(lives.parent >= 0)
    parent = lives.parent[child]
    assert (lives.low <= lives.high).all()
    assert (lives.low[child] < lives.high[child]).all()
    assert (lives.high[parent] >= lives.high[child]).all()
    assert ((lives.low[parent] < lives.low[child]) | (lives.parent[parent] < 0)).all()
    assert (lives.first[parent] <= lives.first[child]).all()
    assert (lives.last[parent] >= lives.last[child]).all()
    assert (lives.low[lives.parent < 0] == THRESHOLDS[0]).all()


@given(looks(), st.sampled_from([0.0, 1.0, 4.0]))
def test_a_higher_threshold_never_adds_time(look: Look, miss_s: float) -> None:
    counts = swept(look, SpanRules(0.9, miss_s=miss_s))
    assert (np.diff(counts.seconds[0]) <= 1e-9).all()


# Counting ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1, 1) | st.sampled_from([0.1, 0.3, 0.5]))))
def test_faces_at_or_above_each_threshold_are_counted(faces: list[tuple[int, float]]) -> None:
    group = np.array([g for g, _ in faces], np.int64)
    score = np.array([s for _, s in faces], np.float64)
    counts = count_at_least(group, score, THRESHOLDS, n_groups=4)
    for g in range(4):
        assert counts[g].tolist() == [sum(score[group == g] >= t) for t in THRESHOLDS]


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.integers(0, 39), st.integers(0, 40),
    st.floats(-1, 1),
)  # fmt: skip
def test_blocks_answer_as_a_loop_does(
    values: list[float], start: int, stop: int, level: float
) -> None:
    start, stop = min(start, len(values)), min(max(start, stop), len(values))
    blocks = Blocks(np.array(values), longest=max(1, stop - start))
    ask = np.array([start]), np.array([stop])
    assert blocks.lowest(*ask)[0] == min(values[start:stop], default=np.inf)
    first = next((k for k in range(start, stop) if values[k] <= level), stop)
    assert blocks.first_at_most(*ask, np.array([level]))[0] == first


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30), st.floats(-1, 1))))
def test_edges_take_the_highest_pair_that_reaches_over_them(
    pairs: list[tuple[int, int, float]],
) -> None:
    first = np.array([a for a, _, _ in pairs], np.int64)
    last = np.array([a + length for a, length, _ in pairs], np.int64)
    level = np.array([v for _, _, v in pairs], np.float64)
    over = [
        max((v for a, n, v in pairs if a <= edge < a + n), default=-np.inf) for edge in range(61)
    ]
    assert highest_over_edges(first, last, level, 61).tolist() == over


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "sentence"),
    [
        ([], r"one or more numbers, but have shape \(0,\)"),
        ([[0.1]], r"one or more numbers, but have shape \(1, 1\)"),
        ([0.1, np.nan], r"must lie in \[-1, 1\].*thresholds\[1\] = nan"),
        ([0.1, 1.5], r"thresholds\[1\] = 1.5"),
        ([0.3, 0.2], r"strictly increasing, but thresholds\[1\] = 0.2 follows 0.3"),
        ([0.3, 0.3], r"give each once"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(thresholds: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_thresholds(thresholds)


@pytest.mark.parametrize(
    ("faces", "sentence"),
    [
        ({"score": [NOBODY, 0.1]}, r"score\[0\] is NaN \(1 are\)"),
        ({"score": [0.1]}, r"one row per face, but have shapes \(2,\), \(2,\) and \(1,\)"),
        ({"sample": [0, 2]}, r"one of the 2 examined instants, but sample\[1\] = 2"),
    ],
)
def test_faces_that_make_no_sense_are_refused(faces: dict[str, Any], sentence: str) -> None:
    told: dict[str, Any] = {"group": [0, 0], "sample": [0, 1], "score": [0.1, 0.2]} | faces
    with pytest.raises(ValueError, match=sentence):
        find_hits([0.0, 1.0], [0.1, 0.1], **told, rules=APART, lowest=-1.0)


def test_levels_of_nothing_are_empty() -> None:
    levels = find_levels(concat_hits([]), APART)
    assert isinstance(levels, Levels)
    assert len(levels.joined) == len(levels.joined_before) == 0
