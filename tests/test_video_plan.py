"""What is looked at: laws over made-up time lines, and cases by arithmetic."""

from __future__ import annotations

import doctest
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.schema import Stretch, VideoFacts, VideoIndex
from facelake.video import plan, plan_stretches, shown_seconds
from facelake.video.plan import SAMPLES_PER_STRETCH, sample_positions

MILLISECOND = Fraction(1, 1000)


def an_index(
    pts: list[int], keys: list[int], *, time_base: Fraction = MILLISECOND, last: int = 40
) -> VideoIndex:
    """The index of a video with frames at ``pts``, key frames at these positions among them."""
    facts = VideoFacts(
        stream=0, container="mov,mp4", codec="h264", pixel_format="yuv420p", width=4, height=4,
        rotation=0, time_base=time_base, n_frames=len(pts), start_pts=pts[0] if pts else 0,
        end_pts=pts[-1] + last if pts else 0, assumed_fps=None if pts else 25.0, n_missing=0,
        n_bad_packets=0, decord_doubt="",
    )  # fmt: skip
    times = np.array(pts, np.int64)
    return VideoIndex(facts, times, times[keys])


@st.composite
def indexes(draw: st.DrawFn) -> VideoIndex:
    """Uneven frame times, any start, groups of pictures of any length, first key late or never."""
    n_frames = draw(st.integers(1, 1500))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    longest_step = draw(st.sampled_from([1, 33, 40, 200, 5000]))
    steps = random.integers(1, longest_step + 1, n_frames)
    start = draw(st.sampled_from([0, -500, 1704, 10**9]))
    gop = draw(st.sampled_from([1, 2, 12, 250, 700, 10**6]))
    keys = np.flatnonzero(random.random(n_frames) < 1 / gop).tolist()
    keys = keys if draw(st.booleans()) else sorted({0, *keys})
    pts = (start + np.cumsum(steps) - steps[0]).tolist()
    return an_index(pts, keys, time_base=draw(st.sampled_from([MILLISECOND, Fraction(1, 90_000)])))


rates = st.sampled_from([None, 0.1, 1.0, 2.0, 5.0, 12.5, 25.0, 1000.0])


def slots(index: VideoIndex, sample_fps: float) -> list[int]:
    """The sampling slot of each frame, in exact arithmetic."""
    unit = index.facts.time_base * Fraction(sample_fps)
    return [int((int(pts) - int(index.pts[0])) * unit) for pts in index.pts]


# Which frames -----------------------------------------------------------------------------------


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_of_each_slot_that_has_a_frame_the_first_is_looked_at(
    index: VideoIndex, sample_fps: float | None
) -> None:
    wanted = sample_positions(index.pts, float(index.facts.time_base), sample_fps).tolist()
    if sample_fps is None:
        assert wanted == list(range(len(index.pts)))
        return
    of = slots(index, sample_fps)
    first = [n for n in range(len(of)) if n == 0 or of[n] > of[n - 1]]
    assert wanted == first


def test_five_a_second_of_25_is_each_fifth_and_more_than_there_are_is_each() -> None:
    pts = np.arange(0, 4000, 40, dtype=np.int64)
    assert sample_positions(pts, 1e-3, 5.0).tolist() == list(range(0, 100, 5))
    assert sample_positions(pts, 1e-3, 60.0).tolist() == list(range(100))


def test_the_grid_begins_with_the_first_frame_wherever_that_is() -> None:
    pts = np.arange(0, 1000, 40, dtype=np.int64)
    for start in (-800, 1704, 10**10):
        assert sample_positions(pts + start, 1e-3, 5.0).tolist() == [0, 5, 10, 15, 20]


def test_rounded_times_of_ntsc_video_do_not_slip_into_the_slot_before() -> None:
    # 30000/1001 frames a second in milliseconds, sampled at the same rate: no frame is left out.
    pts = np.round(np.arange(3000) * 1001 / 30).astype(np.int64)
    exact = sample_positions(np.arange(3000) * 1001, 1 / 30_000, 30_000 / 1001)
    assert exact.tolist() == list(range(3000))
    assert len(sample_positions(pts, 1e-3, 5.0)) == 501  # 100.1 s, slots 0 to 500


def test_a_hole_in_the_recording_has_no_samples() -> None:
    index = an_index([0, 100, 200, 5000, 5100], [0])
    (stretch,) = plan_stretches(index, 5.0)
    assert stretch.want_pts.tolist() == [0, 200, 5000]


# Stretches --------------------------------------------------------------------------------------


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_stretches_part_the_wanted_frames_among_themselves(
    index: VideoIndex, sample_fps: float | None
) -> None:
    stretches = plan_stretches(index, sample_fps)
    wanted = sample_positions(index.pts, float(index.facts.time_base), sample_fps)
    assert np.concatenate([s.want_index for s in stretches]).tolist() == wanted.tolist()
    assert [s.number for s in stretches] == list(range(len(stretches)))
    for stretch in stretches:
        assert len(stretch.want_pts)
        assert stretch.want_pts.tolist() == index.pts[stretch.want_index].tolist()
        assert stretch.want_pts[-1] < stretch.end_pts
        assert stretch.sample_fps == sample_fps
    for one, next_one in pairwise(stretches):
        assert one.end_pts <= next_one.want_pts[0]
    assert stretches[-1].end_pts == index.facts.end_pts


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_decoding_starts_at_the_last_key_frame_before_the_first_wanted_one(
    index: VideoIndex, sample_fps: float | None
) -> None:
    for stretch in plan_stretches(index, sample_fps):
        before = index.key_pts[index.key_pts <= stretch.want_pts[0]]
        if stretch.seek_pts is None:  # the start of the file, which the first key frame is near
            assert len(before) <= 1
        else:
            assert stretch.seek_pts == before[-1]


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_long_groups_of_pictures_are_not_cut(index: VideoIndex, sample_fps: float | None) -> None:
    starts = [0, *np.searchsorted(index.pts, index.key_pts).tolist()]
    ends = [*starts[1:], len(index.pts)]
    firsts = [int(s.want_index[0]) for s in plan_stretches(index, sample_fps)]
    for start, end in zip(starts, ends, strict=True):
        wanted = [
            n
            for n in sample_positions(index.pts, float(index.facts.time_base), sample_fps)
            if start <= n < end
        ]
        if end - start > 600:
            assert not set(wanted[1:]) & set(firsts)


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_stretches_are_neither_crumbs_nor_boulders_where_key_frames_are_close(
    index: VideoIndex, sample_fps: float | None
) -> None:
    gaps = np.diff([0, *np.searchsorted(index.pts, index.key_pts), len(index.pts)])
    stretches = plan_stretches(index, sample_fps)
    if gaps.max() <= 600:
        assert max(len(s.want_pts) for s in stretches) < 2 * SAMPLES_PER_STRETCH + 1
    for one, other in pairwise(stretches):  # two neighbours would not have fitted into one
        assert len(one.want_pts) + len(other.want_pts) > SAMPLES_PER_STRETCH


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_planning_again_gives_the_same(index: VideoIndex, sample_fps: float | None) -> None:
    def told(stretches: list[Stretch]) -> list[tuple[object, ...]]:
        return [(s.number, s.seek_pts, s.end_pts, *s.want_pts.tolist()) for s in stretches]

    once = told(plan_stretches(index, sample_fps))
    assert told(plan_stretches(index, sample_fps)) == once


def test_cuts_fall_on_key_frames() -> None:
    # 500 frames in groups of 50: each stretch takes one group, two would be more than 64.
    index = an_index(list(range(0, 20_000, 40)), list(range(0, 500, 50)))
    stretches = plan_stretches(index, None)
    assert [int(s.want_index[0]) for s in stretches] == list(range(0, 500, 50))
    assert [s.seek_pts for s in stretches] == [None, *range(2000, 20_000, 2000)]


def test_a_group_of_200_frames_is_decoded_in_three_pieces_from_its_key_frame() -> None:
    index = an_index(list(range(0, 8000, 40)), [0])
    stretches = plan_stretches(index, None)
    assert [len(s.want_pts) for s in stretches] == [67, 67, 66]
    assert [s.seek_pts for s in stretches] == [None] * 3


def test_a_program_stream_is_not_cut_because_its_times_do_not_survive_a_seek() -> None:
    index = an_index(list(range(0, 20_000, 40)), list(range(0, 500, 50)))
    program = replace(index, facts=replace(index.facts, container="mpeg"))
    (stretch,) = plan_stretches(program, None)
    assert (len(stretch.want_pts), stretch.seek_pts) == (500, None)


def test_a_video_without_times_is_one_stretch_that_is_counted_through() -> None:
    (stretch,) = plan_stretches(an_index([], []), 5.0)
    assert (len(stretch.want_pts), stretch.seek_pts, stretch.sample_fps) == (0, None, 5.0)


def test_one_frame_is_one_stretch() -> None:
    (stretch,) = plan_stretches(an_index([7], [0]), 5.0)
    assert stretch.want_pts.tolist() == [7]
    assert stretch.want_shown_s.tolist() == [0.04]


# How long a frame is shown ----------------------------------------------------------------------


@given(indexes())
@settings(deadline=None, max_examples=50)
def test_frames_are_shown_one_after_the_other_without_gap(index: VideoIndex) -> None:
    everything: npt.NDArray[np.int64] = np.arange(len(index.pts), dtype=np.int64)
    shown = shown_seconds(index, everything)
    assert (shown > 0).all()
    assert shown.sum() == pytest.approx(index.facts.duration_s)


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_a_wanted_frame_is_shown_until_the_next_frame_of_the_video(
    index: VideoIndex, sample_fps: float | None
) -> None:
    for stretch in plan_stretches(index, sample_fps):
        until = np.append(index.pts, index.facts.end_pts)[stretch.want_index + 1]
        expected = (until - stretch.want_pts) * float(index.facts.time_base)
        np.testing.assert_allclose(stretch.want_shown_s, expected)


def test_the_examples_hold() -> None:
    failed, tried = doctest.testmod(plan)
    assert (failed, tried > 0) == (0, True)
