"""Which faces are embedded: what is always chosen, and what the faces left out are known by."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import procrustes

from facelake.tracks import choose_faces, faces_between, part_strangers, stand_ins

Floats = npt.NDArray[np.float64]

FRONTAL = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float64)
ANN, BEN = np.array([1.0, 0.0]), np.array([0.0, 1.0])
UNKNOWN = np.full(2, np.nan)


def turned(share: float) -> Floats:
    """The face with its nose moved to a side, by a share of the distance of the eyes."""
    moved = FRONTAL.copy()
    moved[2, 0] += share * 40
    return moved


def rolled(degrees: float) -> Floats:
    """The head laid on a side: all landmarks keep their places to each other."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(FRONTAL @ turn.T)


def chosen(
    landmarks: list[Floats],
    *,
    period_s: float = 0.2,
    quality: list[float] | None = None,
    **limits: float,
) -> list[int]:
    """The chosen faces of one track."""
    n = len(landmarks)
    times = [period_s * k for k in range(n)]
    found = choose_faces([0] * n, times, [0.5] * n if quality is None else quality, landmarks,
                         **limits)  # fmt: skip
    return np.flatnonzero(found).tolist()


# Choosing ---------------------------------------------------------------------------------------


def test_no_faces_choose_none() -> None:
    assert choose_faces([], [], [], np.empty((0, 5, 2))).tolist() == []
    assert faces_between([], [], np.empty((0, 3))).tolist() == []
    assert part_strangers([], [], np.empty((0, 3))).tolist() == []


def test_of_a_face_that_does_not_move_the_first_the_best_and_the_last_are_chosen() -> None:
    assert chosen([FRONTAL]) == [0]
    assert chosen([FRONTAL] * 4) == [0, 3]
    assert chosen([FRONTAL] * 5, quality=[0.1, 0.2, 0.9, 0.9, 0.1]) == [0, 2, 4]


def test_one_face_a_second_is_chosen() -> None:
    assert chosen([FRONTAL] * 14) == [0, 5, 10, 13]
    assert chosen([FRONTAL] * 14, every_s=0.6) == [0, 3, 6, 9, 12, 13]


@pytest.mark.parametrize("begin_s", [0.0, 0.4, 3.4, 1234.6])
def test_a_second_on_paper_is_a_second(begin_s: float) -> None:
    times = [begin_s + k / 5 for k in range(8)]
    found = choose_faces([0] * 8, times, [0.5] * 8, [FRONTAL] * 8)
    assert np.flatnonzero(found).tolist() == [0, 5, 7]


def test_a_turn_is_chosen_and_so_is_the_turn_back() -> None:
    assert chosen([FRONTAL, FRONTAL, turned(0.5), turned(0.5), FRONTAL, FRONTAL]) == [0, 2, 4, 5]


def test_a_slow_turn_is_chosen_where_it_has_come_far_from_the_last_that_was() -> None:
    steps = [turned(0.05 * k) for k in range(11)]
    between = chosen(steps, every_s=99)[1:-1]
    assert between
    assert len(between) < 5


def test_a_head_laid_on_a_side_or_moved_says_nothing_new() -> None:
    assert chosen([FRONTAL, rolled(30), FRONTAL + 200, rolled(-50) * 1.2, FRONTAL]) == [0, 4]


@pytest.mark.parametrize(("growth", "kept"), [(1.4, [0, 3]), (1.6, [0, 1, 2, 3])])
def test_a_face_that_comes_nearer_or_goes_is_chosen(growth: float, kept: list[int]) -> None:
    # The third has the first's size again: a change from the second only where that was chosen.
    assert chosen([FRONTAL, FRONTAL * growth, FRONTAL, FRONTAL]) == kept


def test_landmarks_that_are_one_point_do_no_harm() -> None:
    point = np.zeros((5, 2))
    assert chosen([point] * 3, max_turn=1.0) == [0, 2]
    assert chosen([FRONTAL, point, FRONTAL]) == [0, 1, 2]


class Track(NamedTuple):
    """Arguments of `choose_faces`."""

    track_id: npt.NDArray[np.int64]
    time_s: Floats
    quality: Floats
    landmarks: Floats


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    """Faces of up to three tracks that turn, grow and pause at will."""
    n = draw(st.integers(0, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = random.choice([0.04, 0.2, 0.4, 0.96], n)
    shape = [turned(share) for share in random.uniform(-0.6, 0.6, n)]
    size = random.choice([1.0, 1.3, 2.0], n)
    landmarks = np.array(shape).reshape(n, 5, 2) * size[:, None, None]
    return Track(random.integers(0, 3, n), np.cumsum(steps), random.uniform(0, 1, n), landmarks)


def distance(one: Floats, other: Floats) -> float:
    """Procrustes distance, with SciPy's own best fit: its disparity is the distance squared."""
    # SciPy lets a mirror image fit, too; faces here are never so far apart that it helps.
    return float(np.sqrt(procrustes(one, other)[2]))


def size(landmarks: Floats) -> float:
    return float(np.linalg.norm(landmarks - landmarks.mean(axis=0)))


@given(tracks(), st.sampled_from([0.05, 0.12, 0.3]), st.sampled_from([1.2, 1.5]))
def test_a_face_left_out_is_like_the_chosen_one_before_it(
    faces: Track, max_turn: float, max_growth: float
) -> None:
    found = choose_faces(*faces, every_s=1.0, max_turn=max_turn, max_growth=max_growth)
    for track in np.unique(faces.track_id):
        rows = np.flatnonzero(faces.track_id == track)
        assert found[rows[0]]
        assert found[rows[-1]]
        assert found[rows[faces.quality[rows].argmax()]]
        for row in rows[~found[rows]]:
            before = rows[(rows < row) & found[rows]][-1]
            one, other = faces.landmarks[row], faces.landmarks[before]
            assert faces.time_s[row] - faces.time_s[before] < 1.0
            assert distance(one, other) <= max_turn + 1e-6
            assert max(size(one), size(other)) <= max_growth * min(size(one), size(other)) + 1e-6


@given(tracks())
def test_what_is_chosen_of_a_track_besides_its_ends_and_its_best_says_something_new(
    faces: Track,
) -> None:
    found = choose_faces(*faces, every_s=1.0, max_turn=0.12, max_growth=1.5)
    for track in np.unique(faces.track_id):
        rows = np.flatnonzero(faces.track_id == track)
        always = {rows[0], rows[-1], rows[faces.quality[rows].argmax()]}
        for row in set(rows[found[rows]].tolist()) - always:
            before = rows[(rows < row) & found[rows]][-1]
            one, other = faces.landmarks[row], faces.landmarks[before]
            assert (
                faces.time_s[row] - faces.time_s[before] >= 1.0 - 1e-6
                or distance(one, other) > 0.12 - 1e-6
                or max(size(one), size(other)) > 1.5 * min(size(one), size(other)) - 1e-6
            )


@given(tracks(), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_other_tracks_matter(faces: Track, random: Any) -> None:
    found = choose_faces(*faces)
    order = list(range(len(found)))
    random.shuffle(order)
    assert choose_faces(*(column[order] for column in faces)).tolist() == found[order].tolist()
    for track in np.unique(faces.track_id):
        rows = np.flatnonzero(faces.track_id == track)
        assert choose_faces(*(column[rows] for column in faces)).tolist() == found[rows].tolist()


@given(tracks())
def test_where_no_time_is_let_pass_every_face_is_chosen(faces: Track) -> None:
    assert choose_faces(*faces, every_s=0.0).all()


# What lies between ------------------------------------------------------------------------------


class People(NamedTuple):
    """Tracks that hold several people, and what their faces would say if they were embedded."""

    track_id: npt.NDArray[np.int64]
    time_s: Floats
    embedding: npt.NDArray[np.float32]


@st.composite
def people(draw: st.DrawFn) -> People:
    """Tracks of faces, each somewhere between two people."""
    n = draw(st.integers(0, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    angle = random.choice([0.0, 0.3, 0.9, 1.2, np.pi / 2], n) + random.uniform(0, 0.1, n)
    runs = np.repeat(angle, random.integers(1, 4, n))[:n] if draw(st.booleans()) else angle
    vectors = np.stack([np.cos(runs), np.sin(runs)], axis=1).astype(np.float32).reshape(n, 2)
    return People(random.integers(0, 3, n), random.permutation(n) / 5.0, vectors)


def masked(faces: People, known: npt.NDArray[np.bool_]) -> People:
    seen = np.where(known[:, None], faces.embedding, np.float32(np.nan))
    return faces._replace(embedding=seen)


def in_time(faces: People) -> list[npt.NDArray[np.intp]]:
    """Rows of each track in order of time."""
    by_time = np.argsort(faces.time_s)
    return [by_time[faces.track_id[by_time] == t] for t in np.unique(faces.track_id)]


def likeness(faces: People, one: int, other: int) -> float:
    return float(faces.embedding[one] @ faces.embedding[other])


@st.composite
def partly_known(draw: st.DrawFn) -> tuple[People, npt.NDArray[np.bool_]]:
    """Tracks, of which at least the first and the last face are embedded."""
    faces = draw(people())
    n = len(faces.time_s)
    known = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    for rows in in_time(faces):
        known[rows[[0, -1]]] = True
    return faces, known


def test_the_face_half_way_between_two_who_are_not_alike_is_asked() -> None:
    vectors = [ANN, UNKNOWN, UNKNOWN, UNKNOWN, BEN]
    assert faces_between([0] * 5, range(5), vectors).tolist() == [2]
    vectors[2] = BEN
    assert faces_between([0] * 5, range(5), vectors).tolist() == [1]
    vectors[1] = ANN
    assert faces_between([0] * 5, range(5), vectors).tolist() == []


def test_faces_outside_the_embedded_ones_and_of_other_tracks_are_not_between() -> None:
    vectors = [UNKNOWN, ANN, UNKNOWN, BEN, UNKNOWN]
    assert faces_between([0, 0, 1, 0, 0], range(5), vectors).tolist() == []
    assert faces_between([0] * 3, range(3), [UNKNOWN] * 3).tolist() == []


@pytest.mark.parametrize(("cosine", "asked"), [(0.59, [1]), (0.61, [])])
def test_who_is_alike_enough_vouches_for_who_is_between(cosine: float, asked: list[int]) -> None:
    other = np.array([cosine, np.sqrt(1 - cosine**2)])
    assert faces_between([0] * 3, range(3), [ANN, UNKNOWN, other]).tolist() == asked


@given(people())
def test_where_all_are_known_or_alike_nothing_is_asked(faces: People) -> None:
    assert faces_between(*faces).tolist() == []
    n = len(faces.time_s)
    alike = faces._replace(embedding=np.tile(ANN.astype(np.float32), (n, 1)))
    known = np.arange(n) % 3 == 0
    assert faces_between(*masked(alike, known)).tolist() == []


@given(partly_known())
def test_asking_ends_and_then_every_face_left_lies_between_two_who_are_alike(
    found: tuple[People, npt.NDArray[np.bool_]],
) -> None:
    faces, known = found
    for _ in range(7):  # at most 30 faces lie between, so five halvings reach each
        asked = faces_between(*masked(faces, known))
        assert not known[asked].any()
        assert (np.diff(asked) > 0).all()
        if not len(asked):
            break
        known[asked] = True
    assert not len(asked)
    for rows in in_time(faces):
        at = np.flatnonzero(known[rows])
        for one, other in pairwise(at):
            alike = likeness(faces, rows[one], rows[other]) >= 0.5 - 1e-6
            assert other == one + 1 or alike


@given(partly_known(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_to_what_is_asked_and_parted(
    found: tuple[People, npt.NDArray[np.bool_]], random: Any
) -> None:
    faces = masked(*found)
    order = list(range(len(faces.time_s)))
    random.shuffle(order)
    mixed = People._make(column[order] for column in faces)
    assert sorted(order[i] for i in faces_between(*mixed)) == faces_between(*faces).tolist()
    assert part_strangers(*mixed).tolist() == part_strangers(*faces)[order].tolist()


# Parting ----------------------------------------------------------------------------------------


def test_a_track_is_cut_where_the_person_changes() -> None:
    vectors = [ANN, UNKNOWN, ANN, BEN, UNKNOWN, BEN]
    assert part_strangers([0] * 6, range(6), vectors).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_face_without_an_embedding_stays_with_the_one_before_it_and_the_first_with_the_next() -> (
    None
):
    vectors = [UNKNOWN, ANN, UNKNOWN, BEN]
    assert part_strangers([5] * 4, range(4), vectors).tolist() == [0, 0, 0, 1]
    assert part_strangers([5] * 2, range(2), [UNKNOWN] * 2).tolist() == [0, 0]


@pytest.mark.parametrize(("cosine", "parts"), [(0.29, [0, 1]), (0.31, [0, 0])])
def test_who_is_too_little_alike_is_parted(cosine: float, parts: list[int]) -> None:
    other = np.array([cosine, np.sqrt(1 - cosine**2)])
    assert part_strangers([0, 0], [0.0, 0.2], [ANN, other]).tolist() == parts


@given(partly_known())
def test_parting_only_cuts_and_cuts_only_between_strangers(
    found: tuple[People, npt.NDArray[np.bool_]],
) -> None:
    faces, known = found
    parted = part_strangers(*masked(faces, known))
    assert parted.dtype == np.int32
    assert sorted(set(parted.tolist())) == list(range(len(set(parted.tolist()))))
    for part in np.unique(parted):
        assert len(np.unique(faces.track_id[parted == part])) == 1
    for rows in in_time(faces):
        assert (np.diff(parted[rows]) >= 0).all()  # parts follow each other in time
        at = rows[known[rows]]
        for one, other in pairwise(at):
            cosine = likeness(faces, one, other)
            if abs(cosine - 0.30) > 1e-6:
                assert (parted[one] != parted[other]) == (cosine < 0.30)


@given(people())
def test_tracks_are_numbered_on_in_the_order_they_had(faces: People) -> None:
    parted = part_strangers(*faces)
    by_part = [int(faces.track_id[parted == part][0]) for part in np.unique(parted)]
    assert by_part == sorted(by_part)


# Standing in ------------------------------------------------------------------------------------


def test_no_faces_need_nobody_to_stand_for_them() -> None:
    assert stand_ins([], [], []).tolist() == []


def test_the_earlier_of_two_equally_near_stands_for_a_face() -> None:
    # In doubles 0.4 − 0.2 is more than 0.6 − 0.4, on paper it is not.
    for first in range(1, 40):
        times = [first / 5, (first + 1) / 5, (first + 2) / 5]
        assert stand_ins([0, 0, 0], times, [True, False, True]).tolist() == [0, 0, 2]


def test_nobody_stands_for_a_face_of_another_track() -> None:
    assert stand_ins([0, 1, 1], [0.0, 0.0, 0.2], [True, False, False]).tolist() == [0, -1, -1]


@given(people(), st.data())
def test_the_nearest_embedded_face_of_the_track_stands_for_each(
    faces: People, data: st.DataObject
) -> None:
    n = len(faces.time_s)
    known = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    fifths = np.round(faces.time_s * 5).astype(int)
    expected = []
    for row in range(n):
        candidates = np.flatnonzero(known & (faces.track_id == faces.track_id[row]))
        near = sorted((abs(fifths[c] - fifths[row]), fifths[c], c) for c in candidates)
        expected.append(near[0][2] if near else -1)
    # In eighths of a second doubles are exact.
    assert stand_ins(faces.track_id, fifths / 8, known).tolist() == expected
