"""Tracks: made-up people with known boxes and embeddings, and the laws of linking."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.tracks import link_tracks, match_boxes, summarise_tracks

if TYPE_CHECKING:
    import numpy.typing as npt

ANN, BEN, CLEO = np.eye(3)  # three people who are nothing alike
UNKNOWN = np.full(3, np.nan)
PERIOD_S = 0.2


def box_at(x: float, y: float = 0.0, size: float = 40.0) -> list[float]:
    return [x, y, x + size, y + size]


def alike(person: npt.NDArray[np.float64], cosine: float) -> npt.NDArray[np.float64]:
    """A face at this cosine to the person, and below 0 to the other two."""
    face: npt.NDArray[np.float64] = cosine * person - np.sqrt((1 - cosine**2) / 2) * (1 - person)
    return face


def link(*faces: tuple[float, list[float], npt.NDArray[np.float64]], **limits: Any) -> list[int]:
    time_s, boxes, vectors = zip(*faces, strict=True)
    return list(link_tracks(time_s, boxes, vectors, **limits))


# Cases ------------------------------------------------------------------------------------------


def test_no_faces_give_no_tracks() -> None:
    track_id = link_tracks([], np.empty((0, 4)), np.empty((0, 3)))
    assert track_id.shape == (0,)
    assert track_id.dtype == np.int32
    tracks = summarise_tracks([], [], [], [], np.empty((0, 3)))
    assert len(tracks) == 0
    assert tracks.embedding.shape == (0, 3)


def test_a_face_that_stays_is_one_track() -> None:
    assert link(*[(i * PERIOD_S, box_at(0), ANN) for i in range(5)]) == [0] * 5


def test_tracks_are_numbered_by_appearance_and_from_left_to_right() -> None:
    faces = [(0.2, box_at(90), CLEO), (0.0, box_at(50), BEN), (0.0, box_at(0), ANN)]
    assert link(*faces) == [2, 1, 0]


@pytest.mark.parametrize(("second_s", "tracks"), [(1.0, [0, 0]), (1.01, [0, 1])])
def test_nothing_is_linked_over_a_longer_gap_than_max_gap_s(
    second_s: float, tracks: list[int]
) -> None:
    assert link((0.0, box_at(0), ANN), (second_s, box_at(0), ANN), max_gap_s=1.0) == tracks


def test_a_gap_of_the_limit_on_paper_counts_as_the_limit() -> None:
    assert 0.1 * 8 - 0.1 * 2 > 0.6  # how doubles subtract
    assert link((0.1 * 2, box_at(0), ANN), (0.1 * 8, box_at(0), ANN), max_gap_s=0.6) == [0, 0]


def test_nothing_is_linked_across_a_cut() -> None:
    faces = [(i * PERIOD_S, box_at(0), ANN) for i in range(4)]
    assert link(*faces, cut_s=[0.3]) == [0, 0, 1, 1]
    assert link(*faces, cut_s=[2 * PERIOD_S]) == [0, 0, 1, 1]  # the cut's own frame is the new shot
    assert link(*faces, cut_s=[9.0, 0.5, 0.1]) == [0, 1, 1, 2]


def test_another_person_in_the_same_place_begins_another_track() -> None:
    assert link((0.0, box_at(0), ANN), (0.2, box_at(0), BEN)) == [0, 1]


def test_two_people_who_swap_places_are_not_mixed() -> None:
    faces = [(0.0, box_at(0), ANN), (0.0, box_at(80), BEN)]
    swapped = [(0.2, box_at(0), BEN), (0.2, box_at(80), ANN)]
    assert link(*faces, *swapped) == [0, 1, 1, 0]


def test_a_person_who_walks_out_of_the_last_box_is_followed_by_the_face() -> None:
    assert link(*[(i * PERIOD_S, box_at(70.0 * i), ANN) for i in range(4)]) == [0] * 4


def test_a_turned_head_needs_the_overlap_to_stay_in_the_track() -> None:
    turned = alike(ANN, 0.4)  # above min_cosine, below min_cosine_moved
    assert link((0.0, box_at(0), ANN), (0.2, box_at(5), turned)) == [0, 0]
    assert link((0.0, box_at(0), ANN), (0.2, box_at(70), turned)) == [0, 1]


def test_a_head_that_turns_back_is_known_by_the_mean_of_the_track() -> None:
    faces = [(i * PERIOD_S, box_at(0), ANN) for i in range(4)]
    turned, back = alike(ANN, 0.35), alike(ANN, 0.99)
    assert turned @ back < 0.5
    assert link(*faces, (0.8, box_at(0), turned), (1.0, box_at(70), back)) == [0] * 6


def test_without_embeddings_the_overlap_alone_decides() -> None:
    faces = [(i * PERIOD_S, box_at(10.0 * i), UNKNOWN) for i in range(3)]
    assert link(*faces) == [0, 0, 0]
    assert link((0.0, box_at(0), UNKNOWN), (0.2, box_at(70), UNKNOWN)) == [0, 1]
    # a face that was not embedded does not make the track forget whose it is
    assert link((0.0, box_at(0), ANN), (0.2, box_at(0), UNKNOWN), (0.4, box_at(0), BEN)) == [
        0,
        0,
        1,
    ]


def test_of_two_candidates_the_sum_decides_and_not_the_order() -> None:
    # Left of the two is near Ann's box, but the right one is Ann.
    faces = [(0.0, box_at(0), ANN), (0.2, box_at(-4), alike(ANN, 0.5)), (0.2, box_at(4), ANN)]
    assert link(*faces) == [0, 1, 0]


@pytest.mark.parametrize(
    ("faces", "limits", "sentence"),
    [
        (([0.0], [box_at(0)] * 2, [ANN]), {}, r"bbox_xyxy must have shape \(1, 4\).* \(2, 4\)"),
        (([0.0], [box_at(0)], [ANN] * 2), {}, r"embedding must have shape \(1, dim\).* \(2, 3\)"),
        (([np.nan], [box_at(0)], [ANN]), {}, "face 0 has time nan s"),
        (([0.0], [box_at(0)], [ANN]), {"min_iou": 0.0}, r"min_iou must lie in \(0, 1\]"),
        (([0.0], [box_at(0)], [ANN]), {"max_gap_s": -1.0}, "max_gap_s must be 0 or more seconds"),
        (([0.0], [box_at(0)], [ANN]), {"min_cosine": 0.6}, "but they are 0.6 and 0.5"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    faces: tuple[Any, Any, Any], limits: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        link_tracks(*faces, **limits)


def test_a_summary_is_what_the_faces_of_the_track_say() -> None:
    tracks = summarise_tracks(
        [7, 3, 7, 7],
        [1.0, 0.0, 0.6, 0.8],
        [0.04, 0.1, 0.04, 0.04],
        [0.2, 0.9, 0.8, 0.8],
        np.array([ANN, UNKNOWN, BEN, UNKNOWN], np.float16),
    )
    assert tracks.track_id.tolist() == [3, 7]
    assert tracks.start_s.tolist() == [0.0, 0.6]
    assert tracks.end_s.tolist() == [0.1, 1.04]
    assert tracks.n_faces.tolist() == [1, 3]
    assert tracks.best.tolist() == [1, 2]  # of equals the earliest
    half = np.sqrt(0.5)
    mean = np.array([half, half, 0.0])
    np.testing.assert_allclose(tracks.embedding, np.stack([UNKNOWN, mean]), rtol=1e-6)
    np.testing.assert_allclose(tracks.cos_to_mean_min, np.array([np.nan, half]), rtol=1e-6)


def test_a_face_without_a_track_is_refused() -> None:
    with pytest.raises(ValueError, match=r"track_id\[1\] = -1; link the faces first"):
        summarise_tracks([0, -1], [0.0, 0.2], [0.1, 0.1], [0.5, 0.5], [ANN, ANN])


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"track_id and time_s and shown_s and quality must have"):
        summarise_tracks([0, 0], [0.0], [0.1, 0.1], [0.5, 0.5], [ANN, ANN])


# Laws -------------------------------------------------------------------------------------------


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Faces of three people, or of nobody known, anywhere, at most three in a frame."""
    person = st.sampled_from([ANN, BEN, CLEO, alike(ANN, 0.4), alike(BEN, 0.8), UNKNOWN])
    # No two boxes of a frame are the same: a detector's suppression sees to that.
    places = st.lists(st.integers(0, 12), max_size=3, unique=True)
    time_s, boxes, vectors = [], [], []
    now_s = 0.0
    for frame in draw(st.lists(places, max_size=8)):
        now_s += draw(st.sampled_from([0.2, 0.4, 1.5]))
        for place in frame:
            time_s.append(now_s)
            boxes.append(box_at(10.0 * place))
            vectors.append(draw(person))
    n = len(time_s)
    return np.array(time_s), np.array(boxes).reshape(n, 4), np.array(vectors).reshape(n, 3)


@given(crowds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(faces: tuple[Any, Any, Any], random: Any) -> None:
    rows = list(range(len(faces[0])))
    random.shuffle(rows)
    track_id = link_tracks(*faces)
    shuffled = link_tracks(*(column[rows] for column in faces))
    assert shuffled.tolist() == track_id[rows].tolist()

    shown_s, quality = np.full(len(rows), 0.04), np.cos(np.arange(len(rows)))
    straight = summarise_tracks(track_id, faces[0], shown_s, quality, faces[2])
    mixed = summarise_tracks(shuffled, faces[0][rows], shown_s[rows], quality[rows], faces[2][rows])
    assert [rows[i] for i in mixed.best] == straight.best.tolist()
    for name, ours, theirs in zip(
        straight.__dataclass_fields__, astuple(mixed), astuple(straight), strict=True
    ):
        if name != "best":
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


@given(crowds(), st.lists(st.floats(0, 4), max_size=2))
def test_a_track_holds_one_face_of_a_frame_and_no_gap_and_no_cut(
    faces: tuple[Any, Any, Any], cut_s: list[float]
) -> None:
    track_id = link_tracks(*faces, cut_s=cut_s, max_gap_s=0.5)
    for track in np.unique(track_id):
        times = np.sort(faces[0][track_id == track])
        assert (np.diff(times) > 0).all()
        assert (np.diff(times) <= 0.5 + 1e-9).all()
        assert not any(times[0] < cut <= times[-1] for cut in cut_s)


@given(crowds())
def test_tracks_are_numbered_without_holes_in_order_of_appearance(
    faces: tuple[Any, Any, Any],
) -> None:
    track_id = link_tracks(*faces)
    first_s = [faces[0][track_id == i].min() for i in range(len(np.unique(track_id)))]
    assert first_s == sorted(first_s)


@given(crowds())
def test_people_who_are_nothing_alike_never_share_a_track(faces: tuple[Any, Any, Any]) -> None:
    known = ~np.isnan(faces[2]).any(axis=1)
    vectors = faces[2][known]
    track_id = link_tracks(faces[0][known], faces[1][known], vectors)
    person = vectors.argmax(axis=1) if len(vectors) else np.empty(0, int)
    for track in np.unique(track_id):
        assert len(np.unique(person[track_id == track])) == 1


@given(
    speeds=st.lists(st.floats(-60, 60), min_size=1, max_size=5),
    embedded=st.booleans(),
)
def test_well_separated_movers_keep_their_tracks(speeds: list[float], embedded: bool) -> None:
    # 40-pixel boxes in lanes 100 pixels apart; at up to 12 pixels a sample they overlap by half.
    people = np.eye(5)
    faces = [
        (i * PERIOD_S, box_at(500 + v * PERIOD_S * i, 100.0 * lane), people[lane], lane)
        for i in range(10)
        for lane, v in enumerate(speeds)
    ]
    time_s, boxes, vectors, lanes = zip(*faces, strict=True)
    seen = np.array(vectors) if embedded else np.full((len(faces), 5), np.nan)
    track_id = link_tracks(time_s, boxes, seen)
    assert len(set(zip(track_id.tolist(), lanes, strict=True))) == len(speeds)
    assert len(set(track_id.tolist())) == len(speeds)


# Fragments --------------------------------------------------------------------------------------


def test_the_faces_of_a_fragment_stay_together_wherever_they_are_and_whoever_they_look_like() -> (
    None
):
    faces = [(0.0, box_at(0), ANN), (0.2, box_at(200), BEN), (5.0, box_at(400), CLEO)]
    assert link(*faces) == [0, 1, 2]
    assert link(*faces, fragment=[7, 7, 7]) == [0, 0, 0]
    assert link(*faces, fragment=[7, -1, 7]) == [0, 1, 0]


def test_faces_of_minus_one_stand_alone_and_are_linked_as_ever() -> None:
    faces = [(0.0, box_at(0), ANN), (0.2, box_at(0), ANN), (0.4, box_at(300), BEN)]
    assert link(*faces, fragment=[-1, -1, -1]) == link(*faces) == [0, 0, 1]


def test_the_first_face_of_a_fragment_looks_for_a_track_to_continue() -> None:
    faces = [(i * PERIOD_S, box_at(0), ANN) for i in range(4)]
    assert link(*faces, fragment=[3, 3, 5, 5]) == [0, 0, 0, 0]
    strangers = [(time_s, box, BEN if i > 1 else ANN) for i, (time_s, box, _) in enumerate(faces)]
    assert link(*strangers, fragment=[3, 3, 5, 5]) == [0, 0, 1, 1]


def test_nothing_joins_a_track_whose_fragment_goes_on() -> None:
    # At 0.2 s only somebody else's face is seen, where Ann was and looking like her.
    faces = [(0.0, box_at(0), ANN), (0.2, box_at(0), ANN), (0.4, box_at(0), ANN)]
    assert link(*faces, fragment=[1, 2, 1]) == [0, 1, 0]
    assert link(*faces, fragment=[1, -1, 1]) == [0, 1, 0]


def test_a_fragment_begun_after_a_cut_does_not_continue_what_was_before() -> None:
    faces = [(i * PERIOD_S, box_at(0), ANN) for i in range(4)]
    assert link(*faces, fragment=[3, 3, 5, 5], cut_s=[0.4]) == [0, 0, 1, 1]
    assert link(*faces, fragment=[3, 3, -1, -1], cut_s=[0.3]) == [0, 0, 1, 1]


def test_a_track_is_joined_after_a_fragment_that_paused_for_long() -> None:
    faces = [(0.0, box_at(0), ANN), (2.5, box_at(200), CLEO), (5.0, box_at(0), ANN)]
    assert link(*faces, (5.2, box_at(0), ANN), fragment=[1, -1, 1, 2]) == [0, 1, 0, 0]


def test_a_fragment_for_each_face_is_needed() -> None:
    with pytest.raises(ValueError, match="time_s and fragment must have shape"):
        link((0.0, box_at(0), ANN), fragment=[1, 2])


@st.composite
def fragmented(draw: st.DrawFn) -> tuple[tuple[Any, Any, Any], npt.NDArray[np.int64]]:
    """A crowd and fragments of it, at most one face of each in a frame."""
    faces = draw(crowds())
    fragment = np.full(len(faces[0]), -1)
    for now_s in np.unique(faces[0]):
        rows = np.flatnonzero(faces[0] == now_s)
        numbers = draw(st.permutations(range(5)))[: len(rows)]
        fragment[rows] = [n if n < 3 else -1 for n in numbers]
    return faces, fragment


@given(fragmented(), st.lists(st.floats(0, 4), max_size=1))
def test_fragments_stay_whole_and_no_two_faces_of_a_frame_share_a_track(
    found: tuple[tuple[Any, Any, Any], npt.NDArray[np.int64]], cut_s: list[float]
) -> None:
    faces, fragment = found
    track_id = link_tracks(*faces, fragment=fragment, cut_s=cut_s)
    assert (track_id >= 0).all()
    for number in set(fragment.tolist()) - {-1}:
        assert len(np.unique(track_id[fragment == number])) == 1
    assert len(set(zip(faces[0].tolist(), track_id.tolist(), strict=True))) == len(track_id)


@given(fragmented())
def test_between_two_fragments_of_a_track_lies_no_cut_and_no_longer_gap(
    found: tuple[tuple[Any, Any, Any], npt.NDArray[np.int64]],
) -> None:
    faces, fragment = found
    cut_s = 1.0
    track_id = link_tracks(*faces, fragment=fragment, cut_s=[cut_s], max_gap_s=0.5)
    pieces = np.where(fragment < 0, 10 + np.arange(len(fragment)), fragment)
    for track in np.unique(track_id):
        times = {
            piece: np.sort(faces[0][(track_id == track) & (pieces == piece)])
            for piece in np.unique(pieces[track_id == track])
        }
        in_order = sorted(times.values(), key=lambda each: float(each[0]))
        for one, other in pairwise(in_order):
            assert one[-1] < other[0]
            assert other[0] - one[-1] <= 0.5 + 1e-9
            assert not one[-1] < cut_s <= other[0]


@given(fragmented(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_with_fragments_either(
    found: tuple[tuple[Any, Any, Any], npt.NDArray[np.int64]], random: Any
) -> None:
    faces, fragment = found
    rows = list(range(len(fragment)))
    random.shuffle(rows)
    track_id = link_tracks(*faces, fragment=fragment)
    shuffled = link_tracks(*(column[rows] for column in faces), fragment=fragment[rows])
    assert shuffled.tolist() == track_id[rows].tolist()


# Boxes alone ------------------------------------------------------------------------------------


def naive_iou(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / (areas - both)


small_boxes = st.lists(
    st.builds(box_at, st.integers(0, 60), st.integers(0, 20), st.integers(10, 40)), max_size=4
)


@given(small_boxes, small_boxes, st.sampled_from([0.1, 0.3, 0.6]))
def test_boxes_are_matched_so_that_the_overlaps_sum_to_the_most_there_is(
    one: list[list[float]], other: list[list[float]], min_iou: float
) -> None:
    match = match_boxes(one, other, min_iou=min_iou)
    pairs = [(row, int(column)) for row, column in enumerate(match) if column >= 0]
    assert len({column for _, column in pairs}) == len(pairs)
    overlaps = [naive_iou(one[row], other[column]) for row, column in pairs]
    assert all(overlap >= min_iou - 1e-9 for overlap in overlaps)
    # Every way to give each box another or none.
    places = [*range(len(other)), *[-1] * len(one)]
    best = max(
        sum(
            overlap
            for row, column in enumerate(way)
            if column >= 0 and (overlap := naive_iou(one[row], other[column])) >= min_iou
        )
        for way in set(permutations(places, len(one)))
    )
    assert sum(overlaps) == pytest.approx(best)


def test_no_boxes_match_none() -> None:
    assert match_boxes([], []).tolist() == []
    assert match_boxes([], [box_at(0)]).tolist() == []
    assert match_boxes([box_at(0)], []).tolist() == [-1]
