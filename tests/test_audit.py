"""Which instants an audit draws, and what they say; expected values are sums on paper."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.audit import (
    EMPTY,
    EMPTY_INDEED,
    FEWEST_INSTANTS,
    MISSED,
    STRATA,
    UNEXAMINED,
    WITH_FACES,
    allot_instants,
    at_offset,
    boxes_between,
    draw_instants,
    estimate_share,
    split_time,
    summarise_audit,
)
from facelake.proportions import wilson
from facelake.schema import AUDIT_FACES, AUDIT_INSTANTS, AUDIT_SUMMARY

# Time -------------------------------------------------------------------------------------------


def test_time_is_unexamined_empty_or_with_faces_and_nothing_else() -> None:
    # Looked at 1.0-1.2 (empty), 2.0-2.2 (two faces) and 2.2-2.4 (empty) of 0.5-3.0.
    parts = split_time([1.0, 2.0, 2.2], [0.2, 0.2, 0.2], [0, 2, 0], start_s=0.5, end_s=3.0)
    assert parts[STRATA.index(UNEXAMINED)] == pytest.approx(
        np.array([[0.5, 1.0], [1.2, 2.0], [2.4, 3.0]])
    )
    assert parts[STRATA.index(EMPTY)] == pytest.approx(np.array([[1.0, 1.2], [2.2, 2.4]]))
    assert parts[STRATA.index(WITH_FACES)] == pytest.approx(np.array([[2.0, 2.2]]))


def test_a_frame_ends_at_the_latest_with_the_next_and_with_the_video() -> None:
    parts = split_time([0.0, 1.0], [5.0, 5.0], [0, 1], start_s=0.0, end_s=2.0)
    assert [part.tolist() for part in parts] == [[], [[0.0, 1.0]], [[1.0, 2.0]]]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 60), st.integers(0, 2)), max_size=20),
    st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_the_strata_together_are_the_whole_video(
    looks: list[tuple[int, int, int]], tail: int
) -> None:
    time_s = np.cumsum([step for step, _, _ in looks]) / 10
    shown_s = np.array([shown for _, shown, _ in looks]) / 10
    end_s = (float(time_s[-1]) if looks else 0.0) + tail / 10
    parts = split_time(time_s, shown_s, [n for _, _, n in looks], start_s=0.0, end_s=end_s)
    pieces = sorted(tuple(one) for part in parts for one in part.tolist())
    assert sum(end - begin for begin, end in pieces) == pytest.approx(end_s)
    assert all(one[1] <= other[0] + 1e-9 for one, other in pairwise(pieces))


# Drawing ----------------------------------------------------------------------------------------


def test_half_of_the_instants_go_by_time_and_half_in_equal_parts() -> None:
    # 30 of 60 by time: 21, 6, 3; and 10 each.
    assert allot_instants([70.0, 20.0, 10.0], 60).tolist() == [31, 16, 13]


def test_a_stratum_without_time_gets_no_instant() -> None:
    assert allot_instants([0.0, 50.0, 50.0], 40).tolist() == [0, 20, 20]


@given(st.lists(st.floats(0.0, 1e6), min_size=3, max_size=3), st.integers(20, 500))
def test_every_instant_is_allotted(seconds: list[float], n: int) -> None:
    if sum(seconds) > 0:
        count = allot_instants(seconds, n)
        assert count.sum() == n
        assert (count >= 0).all()


@pytest.mark.parametrize(
    ("seconds", "n", "said"),
    [([1.0], FEWEST_INSTANTS - 1, "at least 20 instants, but is 19"), ([0.0], 20, "is none")],
)
def test_what_nothing_can_be_drawn_from_is_refused(seconds: list[float], n: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        allot_instants(seconds, n)


def test_a_video_gets_as_many_instants_as_its_share_of_the_time() -> None:
    video, offset_s = draw_instants([30.0, 0.0, 10.0], 40, np.random.default_rng(1))
    assert np.bincount(video, minlength=3).tolist() == [30, 0, 10]
    assert (offset_s[video == 0] <= 30.0).all()
    assert (offset_s[video == 2] <= 10.0).all()
    assert (np.diff(offset_s[video == 0]) > 0).all()


def test_every_instant_of_the_time_is_as_likely_as_every_other() -> None:
    random = np.random.default_rng(2)
    drawn = np.concatenate([draw_instants([1.0], 10, random)[1] for _ in range(2000)])
    count, _ = np.histogram(drawn, np.linspace(0.0, 1.0, 38))  # no multiple of the ten cells
    # Of 20,000 draws 540 fall in each, with a standard deviation below 23.
    assert np.abs(count - 20_000 / 37).max() < 5 * 23


def test_the_same_seed_draws_the_same() -> None:
    one, other = (draw_instants([3.0, 4.0], 25, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_from_no_time_nothing_is_drawn() -> None:
    assert all(len(found) == 0 for found in draw_instants([0.0, 0.0], 5, np.random.default_rng(0)))


def test_an_offset_is_counted_through_the_intervals() -> None:
    intervals = np.array([[1.0, 2.0], [5.0, 5.5], [9.0, 10.0]])
    assert at_offset(intervals, [0.0, 0.5, 1.0, 1.25, 1.5, 2.5]).tolist() == [
        1.0, 1.5, 5.0, 5.25, 9.0, 10.0,
    ]  # fmt: skip


# Between faces ----------------------------------------------------------------------------------


def test_a_track_that_spans_an_instant_has_its_box_between_its_faces() -> None:
    track, box = boxes_between(
        [1, 1, 1, 2, 2, 3],
        [0.0, 1.0, 2.0, 0.0, 0.4, 3.0],
        [[0, 0, 10, 10], [10, 0, 20, 10], [10, 8, 20, 18], *[[90, 90, 99, 99]] * 3],
        1.5,
    )
    assert track.tolist() == [1]
    assert box.tolist() == [[10.0, 4.0, 20.0, 14.0]]


def test_at_the_instant_of_a_face_its_box_is_the_face_s() -> None:
    _, box = boxes_between([1, 1], [0.0, 1.0], [[0, 0, 4, 4], [8, 8, 12, 12]], 1.0)
    assert box.tolist() == [[8.0, 8.0, 12.0, 12.0]]


# Shares -----------------------------------------------------------------------------------------


def test_a_share_is_weighted_by_the_time_that_each_instant_stands_for() -> None:
    # 90 s by two instants, 10 s by one: 45·3 of 45·(4 + 2) + 10·5 faces were missed.
    found = estimate_share([4, 2, 5], [2, 1, 0], [0, 0, 1], [90.0, 10.0])
    assert found.share == pytest.approx(135 / 320)
    assert (found.n_instants, found.n_total, found.n_counted) == (3, 11, 3)
    assert found.low < found.share < found.high


def test_without_a_face_there_is_no_share() -> None:
    found = estimate_share([0, 0], [0, 0], [0, 1], [1.0, 1.0])
    assert np.isnan([found.share, found.low, found.high]).all()
    assert found.n_instants == 2


def test_of_nothing_at_all_there_is_no_share() -> None:
    assert np.isnan(estimate_share([], [], [], [1.0]).share)


def test_none_missed_does_not_say_that_none_is() -> None:
    found = estimate_share(np.ones(60), np.zeros(60), np.zeros(60, int), [10.0])
    assert (found.share, found.low) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert found.high == pytest.approx(float(wilson(0.0, 60)[1]))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("rate", [0.03, 0.2])
def test_the_interval_covers_a_planted_miss_rate_about_as_often_as_it_says(
    rate: float, clustered: bool
) -> None:
    """An archive of which all is known, drawn from again and again."""
    random = np.random.default_rng(11)
    seconds, per_stratum, n_trials = np.array([700.0, 200.0, 100.0]), 20_000, 500
    archive = []
    for stratum, mean in enumerate((1.2, 0.05, 2.0)):
        n_faces = random.poisson(mean, per_stratum)
        chance = np.full(per_stratum, 1.0 if stratum == 1 else rate)  # what is empty was missed
        if clustered and stratum != 1:  # the faces of one instant are missed together
            chance = np.where(random.random(per_stratum) < rate, 0.9, 0.1 * rate)
        archive.append((n_faces, random.binomial(n_faces, chance)))
    faces_s, missed_s = (
        sum(time * of[column].mean() for time, of in zip(seconds, archive, strict=True))
        for column in (0, 1)
    )
    covered = 0
    counts = allot_instants(seconds, 200)
    for _ in range(n_trials):
        rows = [random.integers(0, per_stratum, count) for count in counts]
        seen, missed = (
            np.concatenate([of[column][row] for of, row in zip(archive, rows, strict=True)])
            for column in (0, 1)
        )
        found = estimate_share(seen, missed, np.repeat(np.arange(3), counts), seconds)
        covered += found.low <= missed_s / faces_s <= found.high
    # 95 % of 500 is 475; four standard deviations of that are 20, and few effective faces cost 2 %.
    assert 0.89 * n_trials <= covered <= 0.99 * n_trials


# In a table -------------------------------------------------------------------------------------


def instant(draw: int, stratum: str, status: str = "ok") -> dict[str, object]:
    told = {"draw": draw, "video_id": "v", "path": "/v.mp4", "time_s": 0.0, "pts": 0}
    told |= {"stratum": stratum, "weight_s": 1.0, "status": status}
    return told | dict.fromkeys(("n_strong", "n_missed", "n_known", "n_unconfirmed"), 0)


def face(draw: int, stratum: str, size_px: float, *, found: bool) -> dict[str, object]:
    told = {"draw": draw, "video_id": "v", "path": "/v.mp4", "pts": 0, "time_s": 0.0}
    told |= {"stratum": stratum, "found": found, "det_score": 0.9, "size_px": size_px}
    return told | dict.fromkeys(("x1", "y1", "x2", "y2"), 0.0)


def summary_of(faces: list[dict[str, object]], instants: list[dict[str, object]]) -> pa.Table:
    return summarise_audit(
        pa.Table.from_pylist(faces, AUDIT_FACES),
        pa.Table.from_pylist(instants, AUDIT_INSTANTS),
        [60.0, 30.0, 10.0],
    )


def test_the_summary_counts_by_stratum_and_by_size() -> None:
    instants = [instant(0, UNEXAMINED), instant(1, UNEXAMINED), instant(2, EMPTY)]
    instants += [instant(3, EMPTY), instant(4, WITH_FACES), instant(5, EMPTY, "undecodable")]
    faces = [
        face(0, UNEXAMINED, 20.0, found=False),
        face(0, UNEXAMINED, 120.0, found=True),
        face(3, EMPTY, 20.0, found=False),
        face(4, WITH_FACES, 40.0, found=True),
    ]
    table = summary_of(faces, instants)
    assert table.schema.equals(AUDIT_SUMMARY)
    rows = {(row["what"], row["where"]): row for row in table.to_pylist()}
    # 30 s an unexamined instant, 15 an empty one, 10 the one with faces.
    whole = rows[MISSED, "all time"]
    assert whole["share"] == pytest.approx((30 + 15) / (60 + 15 + 10))
    assert (whole["n_instants"], whole["n_total"], whole["n_counted"]) == (5, 4, 2)
    assert rows[MISSED, UNEXAMINED]["share"] == pytest.approx(0.5)
    assert rows[MISSED, WITH_FACES]["share"] == 0.0
    small = rows[MISSED, "16 to 32 px"]
    assert (small["n_total"], small["n_counted"], small["share"]) == (2, 2, 1.0)
    assert rows[MISSED, "112 px and more"]["n_counted"] == 0
    assert rows[MISSED, "under 16 px"]["share"] is None
    empty = rows[EMPTY_INDEED, EMPTY]
    assert (empty["n_total"], empty["n_counted"], empty["share"]) == (2, 1, 0.5)


def test_an_audit_that_saw_nothing_has_a_summary_without_shares() -> None:
    table = summary_of([], [instant(0, UNEXAMINED)])
    assert table.schema.equals(AUDIT_SUMMARY)
    assert table["share"].null_count == len(table)
