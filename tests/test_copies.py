"""Shared footage: made-up takes whose faces turn as people do, their copies, and other takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.copies import (
    FaceTrail,
    SharedFootage,
    find_candidates,
    find_shared,
    make_trail,
    track_means,
)

DIM, WIDTH, HEIGHT = 64, 1280, 720
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Take:
    """One person before a camera: the person says where the face lies, the take how it turns."""

    person: int
    take: int

    def embeddings(self, time_s: npt.NDArray[np.float64]) -> Vectors:
        mean = np.random.default_rng([1, self.person]).normal(size=DIM)
        turns = self._waves(2, time_s, DIM)
        vectors = mean / np.linalg.norm(mean) + 0.5 * turns / np.linalg.norm(
            turns, axis=1, keepdims=True
        )
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / length, np.float32)

    def boxes(self, time_s: npt.NDArray[np.float64]) -> Vectors:
        x, y = self._waves(3, time_s, 2).T * 10
        left, top = 500 + x, 200 + y
        return np.stack([left, top, left + 120, top + 150], axis=1).astype(np.float32)

    def _waves(self, seed: int, time_s: npt.NDArray[np.float64], n: int) -> Vectors:
        random = np.random.default_rng([seed, self.take, self.person])
        period, phase = random.uniform(2, 9, (4, n)), random.uniform(0, 6.3, (4, n))
        waves = np.sin(2 * np.pi * time_s[:, None, None] / period + phase)
        return np.asarray(waves.sum(axis=1), np.float32)


def look(
    take: Take,
    start_s: float,
    end_s: float,
    *,
    noise: float = 0.0,
    offset_s: float = 0.0,
    rate: float = 1.0,
    seed: int = 0,
) -> FaceTrail:
    """The faces of [start_s, end_s) of a take, two a second, in a file with its own times."""
    random = np.random.default_rng([4, seed])
    time_s = np.arange(start_s, end_s, 0.5) + random.uniform(0, 0.1)
    vectors = take.embeddings(time_s)
    vectors = vectors + noise * random.normal(size=vectors.shape) / np.sqrt(DIM)
    return make_trail(
        rate * time_s + offset_s,
        vectors,
        take.boxes(time_s),
        np.zeros(len(time_s), np.int64),
        width=WIDTH,
        height=HEIGHT,
    )


def joined(*trails: FaceTrail) -> FaceTrail:
    return make_trail(
        np.concatenate([one.time_s for one in trails]),
        np.concatenate([one.embeddings for one in trails]),
        np.concatenate([one.bbox_xyxy for one in trails]),
        np.concatenate([one.track_id + number for number, one in enumerate(trails)]),
        width=1,
        height=1,
    )


def only(found: list[SharedFootage]) -> SharedFootage:
    assert len(found) == 1
    return found[0]


# What is a copy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
def test_a_file_encoded_again_is_the_same(noise: float) -> None:
    shared = only(find_shared(look(Take(0, 0), 0, 30), look(Take(0, 0), 0, 30, noise=noise)))
    assert shared.is_whole
    assert shared.offset_s == pytest.approx(0, abs=0.1)
    assert shared.rate == 1
    assert shared.start_s < 3
    assert shared.end_s > 27
    assert shared.share > 0.8
    # Two unit vectors, one with noise of this length added: cos = 1 / sqrt(1 + noise²).
    assert shared.score == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.05)


def test_an_excerpt_is_an_overlap_at_its_place() -> None:
    whole, excerpt = look(Take(0, 0), 0, 80), look(Take(0, 0), 50, 60, offset_s=-50, noise=0.3)
    shared = only(find_shared(excerpt, whole))
    assert not shared.is_whole
    assert shared.offset_s == pytest.approx(50, abs=0.1)
    assert shared.to_b(0.0) == pytest.approx(50, abs=0.1)
    assert shared.share > 0.9


def test_either_may_be_asked_first() -> None:
    a, b = look(Take(0, 0), 0, 40), look(Take(0, 0), 10, 30, offset_s=-3, noise=0.4, seed=1)
    there, back = only(find_shared(a, b)), only(find_shared(b, a))
    assert there.offset_s == pytest.approx(-3, abs=0.11)
    assert back.offset_s == pytest.approx(3, abs=0.11)
    assert there.is_whole == back.is_whole
    assert there.to_b(there.start_s) == pytest.approx(back.start_s, abs=0.6)


@pytest.mark.parametrize(
    "boxes",
    [
        lambda box: box * np.array([1, 0.75, 1, 0.75]) + [0, 90 / HEIGHT, 0, 90 / HEIGHT],
        lambda box: (box - 0.1) / 0.8,
        lambda box: box * [0.5, 1, 0.5, 1],
    ],
    ids=["letterboxed", "cropped", "squeezed"],
)
def test_a_scaled_or_shifted_picture_is_still_the_same(boxes: object) -> None:
    a, b = look(Take(0, 0), 0, 30), look(Take(0, 0), 0, 30, noise=0.4)
    assert callable(boxes)
    b = replace(b, bbox_xyxy=boxes(b.bbox_xyxy).astype(np.float32))
    assert only(find_shared(a, b)).is_whole


@pytest.mark.parametrize("rate", [25 / 24, 24 / 25, 1.001], ids=["faster", "slower", "thousandth"])
def test_another_speed_is_found(rate: float) -> None:
    a = look(Take(0, 0), 0, 300)
    b = look(Take(0, 0), 0, 300, noise=0.4, rate=rate, offset_s=7)
    shared = only(find_shared(a, b))
    assert shared.is_whole
    assert shared.rate == pytest.approx(rate, abs=1e-4)
    assert shared.to_b(150) == pytest.approx(rate * 150 + 7, abs=0.1)


def test_two_pieces_are_two_stretches() -> None:
    whole = look(Take(0, 0), 0, 60)
    cut = joined(
        look(Take(0, 0), 40, 55, offset_s=-40),
        look(Take(7, 7), 15, 30),
        look(Take(0, 0), 5, 20, offset_s=25),
    )
    found = find_shared(whole, cut)
    assert [round(one.offset_s) for one in found] == [25, -40]
    assert [round(one.start_s) for one in found] == [5, 40]
    assert not any(one.is_whole for one in found)


def test_several_people_in_the_picture_count_together() -> None:
    a = joined(look(Take(0, 0), 0, 4), look(Take(1, 0), 0, 4))
    b = joined(look(Take(0, 0), 0, 4, noise=0.3), look(Take(1, 0), 0, 4, noise=0.3))
    assert only(find_shared(a, b)).n_matched > 8


# What is not ------------------------------------------------------------------------------------


def test_other_takes_of_one_person_share_nothing() -> None:
    takes = [look(Take(0, take), 0, 60, noise=0.1) for take in range(12)]
    for a, b in combinations(takes, 2):
        assert find_shared(a, b) == []


def test_a_person_who_does_not_move_is_no_copy_of_another_such_take() -> None:
    for seed in range(10):
        still = look(Take(0, 0), 0, 0.4)
        takes = []
        for number in (2 * seed, 2 * seed + 1):
            random = np.random.default_rng([5, number])
            vectors = still.embeddings + 0.3 * random.normal(size=(60, DIM)) / np.sqrt(DIM)
            boxes = np.repeat(still.bbox_xyxy, 60, axis=0)
            takes.append(make_trail(np.arange(60), vectors, boxes, np.zeros(60), width=1, height=1))
        assert find_shared(*takes) == []


def test_the_same_motion_with_other_faces_is_no_copy() -> None:
    a, b = look(Take(0, 0), 0, 60), look(Take(1, 1), 0, 60)
    assert find_shared(a, replace(b, bbox_xyxy=a.bbox_xyxy, time_s=a.time_s)) == []


def test_faces_in_places_that_no_picture_explains_are_no_copy() -> None:
    a, b = look(Take(0, 0), 0, 30), look(Take(0, 0), 0, 30)
    move = np.random.default_rng(0).uniform(-3, 3, (len(b), 2)).astype(np.float32)
    moved = replace(b, bbox_xyxy=b.bbox_xyxy + np.tile(move, 2))
    assert find_shared(a, b) != []
    assert find_shared(a, moved) == []


def test_one_moment_that_looks_alike_is_no_shared_footage() -> None:
    random = np.random.default_rng(0)
    time_s = np.concatenate([np.arange(0, 60, 2.0), 60 + 0.16 * np.arange(5)])
    alike = random.normal(size=(5, DIM))
    a, b = (
        make_trail(
            time_s,
            np.concatenate(
                [random.normal(size=(30, DIM)), alike + 0.5 * random.normal(size=(5, DIM))]
            ),
            np.tile([0.4, 0.4, 0.6, 0.6], (35, 1)),
            np.zeros(35),
            width=1,
            height=1,
        )
        for _ in range(2)
    )
    assert find_shared(a, b) == []


def test_two_instants_are_too_little_to_tell() -> None:
    assert find_shared(look(Take(0, 0), 0, 1), look(Take(0, 0), 0, 1)) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 80))
def test_strangers_share_nothing(seed: int, n_a: int, n_b: int) -> None:
    random = np.random.default_rng(seed)
    a, b = (
        make_trail(
            np.sort(random.uniform(0, n / 2, n)),
            random.normal(size=(n, DIM)),
            np.tile([0.4, 0.4, 0.6, 0.6], (n, 1)),
            np.full(n, -1),
            width=1,
            height=1,
        )
        for n in (n_a, n_b)
    )
    assert find_shared(a, b) == []


# Fingerprints -----------------------------------------------------------------------------------


def test_the_order_of_the_faces_does_not_matter() -> None:
    a, b = look(Take(0, 0), 0, 30), look(Take(0, 0), 0, 30, noise=0.4)
    order = np.random.default_rng(0).permutation(len(a))
    shuffled = make_trail(
        a.time_s[order],
        a.embeddings[order],
        a.bbox_xyxy[order],
        a.track_id[order],
        width=1,
        height=1,
    )
    np.testing.assert_array_equal(shuffled.time_s, a.time_s)
    assert find_shared(shuffled, b) == find_shared(a, b)


def test_faces_of_a_track_that_follow_closely_count_once() -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.3, 0.3]
    tracks = [0, 0, 0, 0, 1, -1]
    trail = make_trail(times, np.ones((6, 4)), np.ones((6, 4)), tracks, width=10, height=20)
    assert trail.time_s.tolist() == [0.0, 0.2, 0.3, 0.3]
    assert trail.track_id.tolist() == [0, 0, 1, -1]
    np.testing.assert_allclose(trail.embeddings, 0.5)
    np.testing.assert_allclose(trail.bbox_xyxy, [[0.1, 0.05, 0.1, 0.05]] * 4)


def test_a_video_without_faces_shares_nothing() -> None:
    none = make_trail([], np.empty((0, DIM)), np.empty((0, 4)), [], width=4, height=3)
    assert len(none) == 0
    assert find_shared(none, look(Take(0, 0), 0, 30)) == []
    assert find_shared(look(Take(0, 0), 0, 30), none) == []
    assert track_means(none).shape == (0, DIM)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"time_s": [0.0, np.nan]}, r"time_s must be finite, but time_s\[1\] is nan"),
        ({"embeddings": [[1, 0], [np.nan, 0]]}, r"embeddings must be finite, but embeddings\[1\]"),
        ({"embeddings": [[1, 0]]}, r"embeddings must have shape \(2, dim\), but have \(1, 2\)"),
        ({"bbox_xyxy": [[0, 0, 1]]}, r"bbox_xyxy must have shape \(2, 4\)"),
        ({"track_id": [0]}, r"track_id must have shape \(2,\)"),
        ({"width": 0}, "the frame must have an area, but is 0 × 4 pixels"),
    ],
)
def test_what_is_no_fingerprint_is_refused(changed: dict[str, object], sentence: str) -> None:
    good = {
        "time_s": [0.0, 1.0],
        "embeddings": [[1.0, 0.0], [0.0, 1.0]],
        "bbox_xyxy": [[0, 0, 1, 1]] * 2,
        "track_id": [0, 0],
        "width": 4,
        "height": 4,
    }
    with pytest.raises(ValueError, match=sentence):
        make_trail(**(good | changed))  # type: ignore[arg-type]


def test_embeddings_of_two_models_are_refused() -> None:
    a = make_trail([0], np.ones((1, 4)), np.ones((1, 4)), [0], width=1, height=1)
    b = make_trail([0], np.ones((1, 8)), np.ones((1, 4)), [0], width=1, height=1)
    with pytest.raises(ValueError, match="dimensions 4 and 8"):
        find_shared(a, b)


# Candidates -------------------------------------------------------------------------------------


def test_the_mean_of_a_track_is_that_of_its_faces() -> None:
    trail = make_trail(
        [0, 1, 2, 3],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]],
        np.ones((4, 4)),
        [5, 5, -1, -1],
        width=1,
        height=1,
    )
    means = track_means(trail)
    diagonal = np.sqrt(0.5)
    wanted = {(diagonal, diagonal, 0), (0, 0, 1)}
    assert len(means) == 3
    assert {tuple(np.round(mean, 6)) for mean in means} == {
        tuple(np.round(np.array(one, np.float32), 6)) for one in wanted
    }


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=8), st.integers(0, 10**6), st.floats(-0.9, 0.9))
def test_candidates_are_those_of_comparing_all(sizes: list[int], seed: int, least: float) -> None:
    random = np.random.default_rng(seed)
    means = [random.normal(size=(size, 6)).astype(np.float32) for size in sizes]
    means = [mean / np.linalg.norm(mean, axis=1, keepdims=True) for mean in means]
    wanted = [
        (a, b)
        for a, b in combinations(range(len(means)), 2)
        if len(means[a]) and len(means[b]) and (means[a] @ means[b].T).max() >= np.float32(least)
    ]
    assert find_candidates(means, min_score=least) == wanted
