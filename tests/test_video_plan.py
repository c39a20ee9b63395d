"""What is looked at: laws over made-up time lines, and cases by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.schema import Stretch, VideoFacts, VideoIndex
from facelake.video import plan_stretches, shown_seconds
from facelake.video.plan import SAMPLES_PER_STRETCH, sample_positions

MILLISECOND = Fraction(1, 1000)


def an_index(
    pts: list[int],
    keys: list[int],
    *,
    cheap: Sequence[int] = (),
    time_base: Fraction = MILLISECOND,
    last: int = 40,
) -> VideoIndex:
    """The index of a video with frames at ``pts``; key and cheap frames by their positions."""
    facts = VideoFacts(
        stream=0, container="mov,mp4", codec="h264", pixel_format="yuv420p", width=4, height=4,
        rotation=0, time_base=time_base, n_frames=len(pts), start_pts=pts[0] if pts else 0,
        end_pts=pts[-1] + last if pts else 0, assumed_fps=None if pts else 25.0, n_missing=0,
        n_bad_packets=0, decord_doubt="",
    )  # fmt: skip
    times = np.array(pts, np.int64)
    return VideoIndex(facts, times, times[keys], np.isin(np.arange(len(pts)), cheap))


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
    cheap = np.flatnonzero(random.random(n_frames) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    time_base = draw(st.sampled_from([MILLISECOND, Fraction(1, 90_000)]))
    return an_index(pts, keys, cheap=cheap.tolist(), time_base=time_base)


rates = st.sampled_from([None, 0.1, 1.0, 2.0, 5.0, 12.5, 25.0, 1000.0])


def slots(index: VideoIndex, sample_fps: float) -> list[int]:
    """The sampling slot of each frame, in exact arithmetic."""
    unit = index.facts.time_base * Fraction(sample_fps)
    return [int((int(pts) - int(index.pts[0])) * unit) for pts in index.pts]


def wanted_of(index: VideoIndex, sample_fps: float | None) -> list[int]:
    """Of each slot the first cheap frame, else the first, in exact arithmetic."""
    if sample_fps is None:
        return list(range(len(index.pts)))
    of = slots(index, sample_fps)
    return [
        min(frames, key=lambda n: (not index.is_cheap[n], n))
        for frames in ([*group] for _, group in groupby(range(len(of)), key=of.__getitem__))
    ]


# Which frames -----------------------------------------------------------------------------------


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_of_each_slot_the_first_cheap_frame_is_looked_at_or_else_the_first(
    index: VideoIndex, sample_fps: float | None
) -> None:
    wanted = sample_positions(
        index.pts, float(index.facts.time_base), sample_fps, is_cheap=index.is_cheap
    )
    assert wanted.tolist() == wanted_of(index, sample_fps)


def test_where_every_second_frame_is_cheap_five_a_second_of_25_takes_those() -> None:
    pts = np.arange(0, 1000, 40, dtype=np.int64)
    wanted = sample_positions(pts, 1e-3, 5.0, is_cheap=np.arange(25) % 2 == 0)
    assert wanted.tolist() == [0, 6, 10, 16, 20]


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
    wanted = np.concatenate([s.want_index for s in stretches])
    assert wanted.tolist() == wanted_of(index, sample_fps)
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
        wanted = [n for n in wanted_of(index, sample_fps) if start <= n < end]
        if end - start > 600:
            assert not set(wanted[1:]) & set(firsts)


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_stretches_are_neither_crumbs_nor_boulders_where_key_frames_are_close(
    index: VideoIndex, sample_fps: float | None
) -> None:
    gaps = np.diff([0, *np.searchsorted(index.pts, index.key_pts), len(index.pts)])
    stretches = plan_stretches(index, sample_fps)
    # A quarter of a short video, of a very short one 16, and of no video more than 64.
    quarter = -(-len(wanted_of(index, sample_fps)) // 4)
    longest = min(SAMPLES_PER_STRETCH, max(16, quarter))
    if gaps.max() <= 600:
        assert max(len(s.want_pts) for s in stretches) < 2 * longest + 1
    for one, other in pairwise(stretches):  # two neighbours would not have fitted into one
        assert len(one.want_pts) + len(other.want_pts) > longest


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


def test_a_group_of_300_frames_is_decoded_in_four_pieces_from_its_key_frame() -> None:
    index = an_index(list(range(0, 12_000, 40)), [0])
    stretches = plan_stretches(index, None)
    assert [len(s.want_pts) for s in stretches] == [75] * 4
    assert [s.seek_pts for s in stretches] == [None] * 4


def test_a_short_video_is_shared_by_four() -> None:
    index = an_index(list(range(0, 8000, 40)), [0])
    stretches = plan_stretches(index, None)
    assert [len(s.want_pts) for s in stretches] == [50] * 4


def test_a_program_stream_is_not_cut_because_its_times_do_not_survive_a_seek() -> None:
    index = an_index(list(range(0, 20_000, 40)), list(range(0, 500, 50)))
    program = replace(index, facts=replace(index.facts, container="mpeg"))
    (stretch,) = plan_stretches(program, None)
    assert (len(stretch.want_pts), stretch.seek_pts, len(stretch.key_pts)) == (500, None, 0)


def test_a_video_without_times_is_one_stretch_that_is_counted_through() -> None:
    (stretch,) = plan_stretches(an_index([], []), 5.0)
    assert (len(stretch.want_pts), stretch.seek_pts, stretch.sample_fps) == (0, None, 5.0)


def test_one_frame_is_one_stretch() -> None:
    (stretch,) = plan_stretches(an_index([7], [0]), 5.0)
    assert stretch.want_pts.tolist() == [7]
    assert stretch.frame_shown_s.tolist() == [0.04]


# Refining ---------------------------------------------------------------------------------------


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_a_stretch_peeks_at_the_first_sample_of_the_next_one_if_it_will_be_refined(
    index: VideoIndex, sample_fps: float | None
) -> None:
    stretches = plan_stretches(index, sample_fps, refine=True)
    firsts = [int(s.want_pts[0]) for s in stretches]
    assert [s.peek_pts for s in stretches] == [*firsts[1:], None]
    assert {s.peek_pts for s in plan_stretches(index, sample_fps)} == {None}


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_refining_adds_no_sample_but_the_last_frame(
    index: VideoIndex, sample_fps: float | None
) -> None:
    stretches = plan_stretches(index, sample_fps, refine=True)
    wanted = np.concatenate([s.want_index for s in stretches]).tolist()
    assert wanted == sorted({*wanted_of(index, sample_fps), len(index.pts) - 1})


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_with_their_peeks_stretches_know_every_frame_from_the_first_sample_to_the_last(
    index: VideoIndex, sample_fps: float | None
) -> None:
    stretches = plan_stretches(index, sample_fps, refine=True)
    for one, next_one in pairwise(stretches):
        assert one.frame_pts[-1] == one.peek_pts == next_one.frame_pts[0]
    known = np.concatenate([s.frame_pts for s in stretches])
    assert np.unique(known).tolist() == index.pts[int(stretches[0].want_index[0]) :].tolist()


@given(indexes(), rates)
@settings(deadline=None, max_examples=50)
def test_without_a_peek_a_stretch_knows_its_frames_up_to_its_end(
    index: VideoIndex, sample_fps: float | None
) -> None:
    for stretch in plan_stretches(index, sample_fps):
        inside = (index.pts >= stretch.want_pts[0]) & (index.pts < stretch.end_pts)
        assert stretch.frame_pts.tolist() == index.pts[inside].tolist()


@given(indexes(), rates, st.booleans())
@settings(deadline=None, max_examples=50)
def test_a_stretch_knows_the_key_frames_between_its_first_frame_and_its_last(
    index: VideoIndex, sample_fps: float | None, refine: bool
) -> None:
    for stretch in plan_stretches(index, sample_fps, refine=refine):
        first, last = stretch.frame_pts[0], stretch.frame_pts[-1]
        inside = index.key_pts[(index.key_pts > first) & (index.key_pts <= last)]
        assert stretch.key_pts.tolist() == inside.tolist()


def test_frames_are_left_out_only_where_the_packets_tell_which() -> None:
    pts = list(range(0, 1000, 40))
    for cheap, can_skip in ((range(0, 25, 2), True), ((), False)):
        (stretch,) = plan_stretches(an_index(pts, [0], cheap=cheap), 5.0)
        assert stretch.can_skip is can_skip


# How long a frame is shown ----------------------------------------------------------------------


@given(indexes())
@settings(deadline=None, max_examples=50)
def test_frames_are_shown_one_after_the_other_without_gap(index: VideoIndex) -> None:
    everything: npt.NDArray[np.int64] = np.arange(len(index.pts), dtype=np.int64)
    shown = shown_seconds(index, everything)
    assert (shown > 0).all()
    assert shown.sum() == pytest.approx(index.facts.duration_s)


@given(indexes(), rates, st.booleans())
@settings(deadline=None, max_examples=50)
def test_a_frame_is_shown_until_the_next_frame_of_the_video(
    index: VideoIndex, sample_fps: float | None, refine: bool
) -> None:
    for stretch in plan_stretches(index, sample_fps, refine=refine):
        first = int(stretch.want_index[0])
        until = np.append(index.pts, index.facts.end_pts)[first + 1 :][: len(stretch.frame_pts)]
        expected = (until - stretch.frame_pts) * float(index.facts.time_base)
        np.testing.assert_allclose(stretch.frame_shown_s, expected)
