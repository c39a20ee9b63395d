"""Cuts are found, and stillness is only believed of a picture in which nothing stirs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.video import FrameReader, index_video, is_new_shot, plan_stretches, same_picture

Thumb = npt.NDArray[np.uint8]


def a_scene(seed: int, contrast: float = 1.0) -> Thumb:
    """Areas of 8 × 8 thumb pixels between 20 and 220, or nearer to 30 with less contrast."""
    areas = np.random.default_rng(seed).integers(20, 221, (8, 8))
    return (30 + contrast * (np.kron(areas, np.ones((8, 8))) - 30)).clip(16, 235).astype(np.uint8)


scenes = st.integers(0, 1000).map(a_scene)


@given(scenes)
def test_a_picture_is_the_same_as_itself_and_no_new_shot(scene: Thumb) -> None:
    assert same_picture(scene, scene)
    assert not is_new_shot(scene, scene)


@given(st.integers(0, 1000), st.integers(1001, 2000), st.sampled_from([1.0, 0.3]))
def test_another_scene_is_a_new_shot_also_in_the_dark(a: int, b: int, contrast: float) -> None:
    one, other = a_scene(a, contrast), a_scene(b, contrast)
    assert is_new_shot(one, other)
    assert is_new_shot(other, one)
    assert not same_picture(one, other)


@given(scenes, st.integers(-1, 1), st.integers(0, 1000))
def test_coding_noise_is_neither_movement_nor_cut(scene: Thumb, level: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 2, scene.shape)
    noisy = (scene.astype(int) + level + noise).astype(np.uint8)
    assert same_picture(scene, noisy)
    assert not is_new_shot(scene, noisy)


@given(scenes, st.integers(0, 63), st.integers(0, 63), st.sampled_from([-10, -3, 3, 10]))
def test_one_tile_that_changes_is_a_movement_but_no_cut(
    scene: Thumb, row: int, column: int, change: int
) -> None:
    moved = scene.copy()
    moved[row, column] = int(scene[row, column]) + change
    assert not same_picture(scene, moved)
    assert not is_new_shot(scene, moved)


def test_black_after_black_is_no_cut_and_black_after_a_scene_is_one() -> None:
    black = np.full((64, 64), 16, np.uint8)
    assert not is_new_shot(black, black)
    assert is_new_shot(a_scene(1), black)


# Real films -------------------------------------------------------------------------------------

# Cuts by eye (TRUTH.csv: another person is shown).
CUTS_S = {
    "friends_poker/friends_poker.mp4": [6.04, 12.96, 18.43, 20.56, 24.77],
    "hamilton/short_hamilton_clip.mp4": [1.52, 3.59, 7.89],
    "avengers/avenger2.mp4": [2.67, 4.70, 5.84],
    "nggyup/nggyup.mp4": [0.73, 3.10],
}


@pytest.mark.shared
@pytest.mark.parametrize("name", CUTS_S)
def test_every_cut_of_real_films_is_found_and_few_that_are_none(name: str, shared: Path) -> None:
    path = shared / "videos" / name
    index = index_video(path)
    reader = FrameReader(path, index.facts, decoder="pyav")
    seen = [
        (float(frame.pts * index.facts.time_base), frame.thumb())
        for stretch in plan_stretches(index, 5.0)
        for frame in reader.frames(stretch)
    ]
    found = [(a, b) for (a, one), (b, other) in pairwise(seen) if is_new_shot(one, other)]
    for cut_s in CUTS_S[name]:  # by eye, ± 0.05 s
        assert any(a - 0.05 <= cut_s <= b + 0.05 for a, b in found), cut_s
    assert len(found) <= len(CUTS_S[name]) + len(seen) / 5  # hamilton's camera is swung
