"""Tracks: made-up people with known boxes and embeddings, and the laws of linking."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.tracks import link_tracks, summarise_tracks

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
