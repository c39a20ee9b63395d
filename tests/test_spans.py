"""Spans: cases computed by hand, and the laws every answer obeys."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.schema import SpanRules
from facelake.spans import SpanArrays, SpanScan, best_per_sample, find_spans

NOTHING = float("nan")


# Cases on paper ---------------------------------------------------------------------------------


def edges(spans: SpanArrays) -> list[tuple[float, float]]:
    return list(zip(spans.start_s.tolist(), spans.end_s.tolist(), strict=True))


def test_no_samples_give_no_spans() -> None:
    spans = find_spans([], [], SpanRules(0.3))
    assert len(spans) == 0
    assert spans.start_s.dtype == np.float64
    assert spans.n_hits.dtype == np.int64


def test_looking_and_finding_nobody_gives_no_spans() -> None:
    assert len(find_spans([0.0, 0.2, 0.4], [NOTHING] * 3, SpanRules(-1.0))) == 0


def test_a_single_hit_lasts_as_long_as_its_frame_is_shown() -> None:
    spans = find_spans(
        [1.0, 1.2, 1.4], [NOTHING, 0.5, 0.1], SpanRules(0.3), shown_s=[0.04, 0.04, 0.04]
    )
    assert edges(spans) == [(1.2, 1.24)]
    assert (spans.start_after_s[0], spans.end_before_s[0]) == (1.0, 1.4)
    assert (spans.n_hits[0], spans.n_samples[0]) == (1, 1)
    assert (spans.first[0], spans.last[0], spans.best[0]) == (1, 1, 1)


def test_a_frame_is_shown_no_longer_than_until_the_next_one_was_examined() -> None:
    spans = find_spans([0.0, 0.2], [0.5, NOTHING], SpanRules(0.3), shown_s=[5.0, 5.0])
    assert edges(spans) == [(0.0, 0.2)]
    assert spans.end_before_s[0] == 0.2


def test_an_end_is_open_where_nothing_was_examined_beyond_it() -> None:
    spans = find_spans([3.0], [0.9], SpanRules(0.3))
    assert np.isnan([spans.start_after_s[0], spans.end_before_s[0]]).all()


def test_the_exit_threshold_continues_a_span_but_never_starts_one() -> None:
    score = [0.25, 0.40, 0.25, 0.25, 0.10]  # enters at 0.3, stays at 0.2
    rules = SpanRules(0.3, exit_threshold=0.2)
    spans = find_spans(np.arange(5.0), score, rules)
    assert edges(spans) == [(1.0, 3.0)]
    assert (spans.n_hits[0], spans.start_after_s[0], spans.end_before_s[0]) == (3, 0.0, 4.0)
    assert len(find_spans(np.arange(5.0), [0.25] * 5, rules)) == 0


def test_mean_and_maximum_are_taken_over_the_hits_alone() -> None:
    spans = find_spans([0.0, 0.1, 0.2, 0.3], [0.5, -0.9, 0.75, 0.25], SpanRules(0.25))
    assert (spans.score_max[0], spans.score_mean[0]) == (0.75, 0.5)
    assert (spans.n_hits[0], spans.n_samples[0], spans.best[0]) == (3, 4, 2)


def test_the_earliest_of_equally_good_samples_is_the_best() -> None:
    assert find_spans([0.0, 0.1, 0.2], [0.4, 0.6, 0.6], SpanRules(0.3)).best.tolist() == [1]


@pytest.mark.parametrize(("miss_s", "n_spans"), [(0.6, 1), (0.59, 2)])
def test_misses_are_tolerated_up_to_and_including_miss_s(miss_s: float, n_spans: int) -> None:
    # 0.1 × 8 − 0.1 × 2 is 0.6000000000000001: equal on paper counts as equal.
    time_s = 0.1 * np.array([2, 4, 6, 8])
    spans = find_spans(time_s, [0.5, NOTHING, 0.1, 0.5], SpanRules(0.3, miss_s=miss_s))
    assert len(spans) == n_spans


@pytest.mark.parametrize("limit", ["blind_s", "bridge_s"])
def test_the_other_gaps_count_up_to_and_including_their_limit_too(limit: str) -> None:
    strict = SpanRules(0.3, miss_s=0.0, blind_s=0.0)
    below: dict[str, Any] = {limit: 0.59}
    equal: dict[str, Any] = {limit: 0.6}
    time_s = 0.1 * np.array([2, 8])  # 0.6000000000000001 s apart
    assert len(find_spans(time_s, [0.5, 0.5], replace(strict, **below))) == 2
    assert len(find_spans(time_s, [0.5, 0.5], replace(strict, **equal))) == 1


def test_a_span_of_the_shortest_length_is_kept() -> None:
    assert 0.1 * 8 - 0.1 * 6 < 0.2  # how doubles subtract
    rules = SpanRules(0.3, min_span_s=0.2)
    assert len(find_spans(0.1 * np.array([6, 8]), [0.5, 0.5], rules)) == 1
    assert len(find_spans(0.1 * np.array([6, 8]), [0.5, 0.5], replace(rules, min_span_s=0.21))) == 0


def test_a_miss_counts_no_longer_when_somebody_looked_rarely() -> None:
    # Two hits 1.5 s apart: nobody looked between them, so miss_s has no say; blind_s has.
    assert len(find_spans([0.0, 1.5], [0.5, 0.5], SpanRules(0.3, miss_s=1.0, blind_s=2.0))) == 1
    assert len(find_spans([0.0, 1.5], [0.5, 0.5], SpanRules(0.3, miss_s=1.0, blind_s=1.0))) == 2


def test_a_span_is_cut_where_nobody_looked_for_too_long() -> None:
    spans = find_spans([0.0, 1.0, 4.0, 5.0], [0.5] * 4, SpanRules(0.3, blind_s=2.0))
    assert edges(spans) == [(0.0, 1.0), (4.0, 5.0)]
    assert (spans.end_before_s[0], spans.start_after_s[1]) == (4.0, 1.0)


def test_bridging_reaches_over_misses_and_over_blind_time() -> None:
    time_s = [0.0, 1.0, 2.0, 3.0, 8.0, 9.0]
    score = [0.5, NOTHING, NOTHING, 0.5, 0.5, 0.5]
    apart = SpanRules(0.3, miss_s=1.0, blind_s=1.0)
    assert edges(find_spans(time_s, score, apart)) == [(0.0, 0.0), (3.0, 3.0), (8.0, 9.0)]
    assert edges(find_spans(time_s, score, replace(apart, bridge_s=3.0))) == [
        (0.0, 3.0),
        (8.0, 9.0),
    ]
    assert edges(find_spans(time_s, score, replace(apart, bridge_s=5.0))) == [(0.0, 9.0)]


def test_short_spans_are_dropped_after_bridging_and_not_before() -> None:
    rules = SpanRules(0.3, miss_s=0.0, bridge_s=2.0, min_span_s=2.0)
    time_s, score = [0.0, 1.0, 2.0, 6.0, 7.0], [0.5, 0.1, 0.5, 0.5, 0.1]
    assert edges(find_spans(time_s, score, rules)) == [(0.0, 2.0)]


def test_spans_with_few_hits_are_dropped() -> None:
    time_s, score = np.arange(6.0), [0.5, 0.5, 0.1, 0.1, 0.1, 0.5]
    assert edges(find_spans(time_s, score, SpanRules(0.3, min_hits=2))) == [(0.0, 1.0)]


@pytest.mark.parametrize(
    ("time_s", "score", "shown_s", "sentence"),
    [
        ([0.0, 0.2, 0.2], [0.1] * 3, None, r"time_s\[2\] = 0.2 follows 0.2; sort the samples"),
        ([0.0, np.nan], [0.1] * 2, None, r"time_s must be finite, but time_s\[1\] = nan"),
        ([0.0, 0.2], [0.1], None, r"same shape \(n,\), but have \(2,\), \(1,\) and \(2,\)"),
        ([[0.0]], [[0.1]], None, r"time_s must have shape \(n,\), but has \(1, 1\)"),
        ([0.0], [0.1], [-0.1], r"shown_s\[0\] = -0.1"),
    ],
)
def test_samples_that_make_no_sense_are_refused(
    time_s: Any, score: Any, shown_s: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        find_spans(time_s, score, SpanRules(0.3), shown_s=shown_s)


def test_a_scan_refuses_samples_that_go_back_in_time() -> None:
    scan = SpanScan(SpanRules(0.3))
    scan.feed([0.0, 1.0], [0.1, 0.1])
    with pytest.raises(ValueError, match=r"go on after 1\.0, .* but begins at 1\.0"):
        scan.feed([1.0], [0.5])


def test_a_scan_keeps_only_what_can_still_change() -> None:
    scan = SpanScan(SpanRules(0.3, bridge_s=2.0))
    scan.feed(np.arange(1000.0), np.where(np.arange(1000) < 500, 0.5, NOTHING))
    assert scan.n_open == 1
    scan.feed([1000.0, 1001.0], [NOTHING, 0.5])
    assert scan.n_open == 2  # the hit, and the instant before it
    assert edges(scan.finish()) == [(0.0, 499.0), (1001.0, 1001.0)]


def test_a_scan_tells_a_span_once_that_ends_where_nobody_looked_any_more() -> None:
    scan = SpanScan(SpanRules(0.3, blind_s=1.0))
    scan.feed([0.0, 5.0], [0.5, 0.5])
    spans = scan.finish()
    assert edges(spans) == [(0.0, 0.0), (5.0, 5.0)]
    assert (spans.end_before_s[0], spans.start_after_s[1]) == (5.0, 0.0)


def test_the_best_face_of_each_instant_is_found_in_any_row_order() -> None:
    score, face = best_per_sample([0, 10, 20], [20, 0, 20], [0.2, 0.4, 0.6])
    np.testing.assert_array_equal(score, [0.4, np.nan, 0.6])
    assert face.tolist() == [1, -1, 2]


def test_a_face_at_an_instant_that_was_not_examined_is_refused() -> None:
    with pytest.raises(ValueError, match="1 do not, the first at pts 5"):
        best_per_sample([0, 10], [5, 10], [0.5, 0.5])


# Laws -------------------------------------------------------------------------------------------
# Times are drawn in whole tenths of a second, so that limits are often met exactly, and the
# reference below can compute with integers.

SCORES = st.sampled_from([NOTHING, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
TENTHS = st.integers(0, 8)
LIMITS = ("miss_s", "blind_s", "bridge_s", "min_span_s")


@dataclass(frozen=True)
class Video:
    tenths: list[int]
    score: list[float]
    shown_tenths: list[int]

    def arrays(self) -> tuple[Any, Any, Any]:
        times, shown = np.array(self.tenths, float), np.array(self.shown_tenths, float)
        return times * 0.1, np.array(self.score, float), shown * 0.1

    def spans(self, rules: SpanRules) -> SpanArrays:
        time_s, score, shown_s = self.arrays()
        return find_spans(time_s, score, rules, shown_s=shown_s)

    def with_sample(self, tenths: int, score: float) -> Video:
        rows = [*zip(self.tenths, self.score, self.shown_tenths, strict=True), (tenths, score, 0)]
        return Video(*(list(column) for column in zip(*sorted(rows), strict=True)))

    def without(self, keep: list[bool]) -> Video:
        def kept(values: list[Any]) -> list[Any]:
            return [v for v, wanted in zip(values, keep, strict=True) if wanted]

        return Video(kept(self.tenths), kept(self.score), kept(self.shown_tenths))


@st.composite
def videos(draw: st.DrawFn) -> Video:
    n = draw(st.integers(0, 25))
    gaps = draw(st.lists(st.sampled_from([1, 1, 2, 3, 5, 9]), min_size=n, max_size=n))
    return Video(
        (7 + np.cumsum(np.array(gaps, int))).tolist(),
        draw(st.lists(SCORES, min_size=n, max_size=n)),
        draw(st.lists(st.sampled_from([0, 1, 4]), min_size=n, max_size=n)),
    )


@st.composite
def all_rules(draw: st.DrawFn) -> SpanRules:
    threshold = draw(st.sampled_from([0.2, 0.3, 0.4]))
    return SpanRules(
        threshold,
        exit_threshold=draw(st.sampled_from([None, 0.1, 0.2])),
        min_hits=draw(st.integers(1, 3)),
        miss_s=draw(TENTHS) / 10,
        blind_s=draw(TENTHS) / 10,
        bridge_s=draw(TENTHS) / 10,
        min_span_s=draw(TENTHS) / 10,
    )


def naive_spans(video: Video, rules: SpanRules) -> list[tuple[int, ...]]:
    """(first, last, end in tenths, hits, best) of each span, by reading the rules aloud."""
    t, score, n = video.tenths, video.score, len(video.tenths)
    limit = {name: round(getattr(rules, name) * 10) for name in LIMITS}

    def end(i: int) -> int:
        shown_until = t[i] + video.shown_tenths[i]
        return min(shown_until, t[i + 1]) if i + 1 < n else shown_until

    def linked(a: int, b: int) -> bool:
        looked = all(t[i + 1] - t[i] <= limit["blind_s"] for i in range(a, b))
        return looked and (b == a + 1 or t[b] - t[a] <= limit["miss_s"])

    hits = [i for i in range(n) if score[i] >= rules.stay]
    runs: list[list[int]] = []
    for i in hits:
        if runs and linked(runs[-1][-1], i):
            runs[-1].append(i)
        else:
            runs.append([i])
    spans: list[tuple[int, int]] = []
    for run in runs:
        entries = [i for i in run if score[i] >= rules.threshold]
        if not entries:
            continue
        if spans and t[entries[0]] - end(spans[-1][1]) <= limit["bridge_s"]:
            spans[-1] = (spans[-1][0], run[-1])
        else:
            spans.append((entries[0], run[-1]))
    answer: list[tuple[int, ...]] = []
    for a, b in spans:
        inside = [i for i in hits if a <= i <= b]
        if len(inside) >= rules.min_hits and end(b) - t[a] >= limit["min_span_s"]:
            best = max(inside, key=lambda i: (score[i], -i))
            answer.append((a, b, end(b), len(inside), best))
    return answer


@given(videos(), all_rules())
def test_agrees_with_the_rules_read_aloud(video: Video, rules: SpanRules) -> None:
    spans = video.spans(rules)
    found = zip(
        spans.first.tolist(),
        spans.last.tolist(),
        np.round(spans.end_s * 10).astype(int).tolist(),
        spans.n_hits.tolist(),
        spans.best.tolist(),
        strict=True,
    )
    assert list(found) == naive_spans(video, rules)


@given(videos(), all_rules())
def test_every_span_tells_the_truth_about_its_samples(video: Video, rules: SpanRules) -> None:
    time_s, score, _ = video.arrays()
    spans = video.spans(rules)
    for row in range(len(spans)):
        first, last = spans.first[row], spans.last[row]
        inside = score[first : last + 1]
        hits = inside[inside >= rules.stay]
        assert score[first] >= rules.threshold
        assert score[last] >= rules.stay
        assert spans.n_hits[row] == len(hits)
        assert spans.n_samples[row] == len(inside)
        assert spans.score_max[row] == max(hits) == score[spans.best[row]]
        assert spans.score_mean[row] == pytest.approx(hits.sum() / len(hits))
        around = np.r_[NOTHING, time_s, NOTHING][[first, last + 2]]
        np.testing.assert_array_equal([spans.start_after_s[row], spans.end_before_s[row]], around)


@given(videos(), all_rules())
def test_spans_are_disjoint_in_order_and_inside_their_brackets(
    video: Video, rules: SpanRules
) -> None:
    spans = video.spans(rules)
    assert (spans.start_s <= spans.end_s).all()
    assert (spans.end_s[:-1] <= spans.start_s[1:]).all()
    assert not (spans.start_after_s >= spans.start_s).any()
    assert not (spans.end_before_s < spans.end_s).any()


def assert_covered(inner: SpanArrays, outer: SpanArrays) -> None:
    for start_s, end_s in edges(inner):
        assert ((outer.start_s <= start_s) & (outer.end_s >= end_s)).any()


@given(videos(), all_rules(), st.sampled_from([0.2, 0.3, 0.4, 0.5]))
def test_a_higher_threshold_never_adds_time(
    video: Video, rules: SpanRules, threshold: float
) -> None:
    low, high = sorted([rules.threshold, threshold])
    assert_covered(video.spans(rules.at(high)), video.spans(rules.at(low)))


@given(videos(), all_rules(), st.sampled_from([0.2, 0.3, 0.4, 0.5]))
def test_a_higher_entry_with_the_same_exit_never_adds_time(
    video: Video, rules: SpanRules, threshold: float
) -> None:
    low, high = sorted([rules.threshold, threshold])
    enter_low = replace(rules, threshold=low, exit_threshold=0.1)
    assert_covered(video.spans(replace(enter_low, threshold=high)), video.spans(enter_low))


@given(videos(), all_rules(), st.lists(st.integers(0, 25), max_size=6))
def test_cut_anywhere_and_joined_gives_the_same(
    video: Video, rules: SpanRules, cuts: list[int]
) -> None:
    scan = SpanScan(rules)
    pieces = [np.split(a, sorted(cuts)) for a in video.arrays()]
    for time_s, score, shown_s in zip(*pieces, strict=True):
        scan.feed(time_s, score, shown_s)
    whole = video.spans(rules)
    for field, ours, theirs in zip(
        fields(SpanArrays), astuple(scan.finish()), astuple(whole), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


@given(videos(), all_rules(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(video: Video, rules: SpanRules, random: Any) -> None:
    time_s, score, shown_s = video.arrays()
    rows = [i for i in range(len(time_s)) if not np.isnan(score[i])]
    random.shuffle(rows)
    pts = np.array(video.tenths, np.int64)
    shuffled, face = best_per_sample(pts, pts[rows], score[rows])
    np.testing.assert_array_equal(shuffled, score)
    assert [rows[i] for i in face[face >= 0]] == np.flatnonzero(~np.isnan(score)).tolist()
    again = find_spans(time_s, shuffled, rules, shown_s=shown_s)
    for ours, theirs in zip(astuple(again), astuple(video.spans(rules)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def is_narrower(new: tuple[float, float], old: tuple[float, float]) -> bool:
    """Whether a bracket (examined instant beyond the edge, edge) is; NaN reaches for ever."""
    return np.isnan(old[0]) or abs(new[1] - new[0]) < abs(old[1] - old[0])


@given(videos(), all_rules(), SCORES, st.data())
def test_one_more_sample_in_a_bracket_never_widens_it(
    video: Video, rules: SpanRules, score: float, data: st.DataObject
) -> None:
    # Times ×10, so that there is room for a sample in every bracket.
    fine = Video([10 * t for t in video.tenths], video.score, [0] * len(video.tenths))
    rules = replace(rules, **{name: 10 * getattr(rules, name) for name in LIMITS})
    spans = fine.spans(rules)
    if not len(spans):
        return
    row = data.draw(st.integers(0, len(spans) - 1))
    into = data.draw(st.integers(1, 9))
    before = fine.with_sample(fine.tenths[spans.first[row]] - into, score).spans(rules)
    after = fine.with_sample(fine.tenths[spans.last[row]] + into, score).spans(rules)
    # The span is still there, perhaps longer. An edge that it did not outgrow is known better.
    start_s, end_s = spans.start_s[row], spans.end_s[row]
    [held] = np.flatnonzero((before.start_s <= start_s) & (before.end_s >= end_s))
    old = spans.start_after_s[row], start_s
    new = before.start_after_s[held], before.start_s[held]
    assert new[1] <= old[0] or is_narrower(new, old)
    [held] = np.flatnonzero((after.start_s <= start_s) & (after.end_s >= end_s))
    old = spans.end_before_s[row], end_s
    new = after.end_before_s[held], after.end_s[held]
    assert new[1] >= old[0] or is_narrower(new, old)


@given(videos(), all_rules(), st.data())
def test_deleting_samples_widens_brackets_and_invents_no_hits(
    video: Video, rules: SpanRules, data: st.DataObject
) -> None:
    n = len(video.tenths)
    keep = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    original = np.flatnonzero(keep)
    full, thin = video.spans(rules), video.without(keep).spans(rules)
    hits = np.flatnonzero(np.array(video.score, float) >= rules.stay)
    for row in range(len(thin)):
        first, last = original[thin.first[row]], original[thin.last[row]]
        assert {first, last} <= set(hits)
        assert thin.n_hits[row] <= ((hits >= first) & (hits <= last)).sum()
        for same in np.flatnonzero(full.first == first):
            assert not thin.start_after_s[row] > full.start_after_s[same]
        for same in np.flatnonzero(full.last == last):
            assert not thin.end_before_s[row] < full.end_before_s[same]
