"""Alignment agrees with scikit-image's fit and insightface's crop, and survives odd landmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelake.faces.align import TEMPLATE, cut_chips, fit_similarity, measure_sharpness

Points = npt.NDArray[np.float64]

# scikit-image and insightface: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")

landmarks = hnp.arrays(np.float64, (5, 2), elements=st.floats(-2000, 4000, width=32))


def moved(points: Points, turn: float, scale: float, shift: tuple[float, float]) -> Points:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ rotation.T * scale + np.array(shift), np.float64)


def applied(matrix: Points, points: Points) -> Points:
    return points @ matrix[:, :2].T + matrix[:, 2]


def spread(points: Points) -> float:
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum()))


# The fit ----------------------------------------------------------------------------------------


@given(
    st.floats(-np.pi, np.pi),
    st.floats(0.05, 20),
    st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000)),
)
def test_a_template_that_was_turned_scaled_and_shifted_is_brought_back(
    turn: float, scale: float, shift: tuple[float, float]
) -> None:
    matrices, rms = fit_similarity(moved(TEMPLATE, turn, scale, shift)[None])
    np.testing.assert_allclose(
        applied(matrices[0], moved(TEMPLATE, turn, scale, shift)), TEMPLATE, atol=1e-6
    )
    assert rms[0] < 1e-6


@given(landmarks)
@settings(deadline=None)
def test_the_fit_is_scikit_images(points: Points) -> None:
    transform = pytest.importorskip("skimage.transform")
    if spread(points) < 1:
        return
    expected: Any = transform.SimilarityTransform()
    assert expected.estimate(points, TEMPLATE)
    matrices, rms = fit_similarity(points[None])
    ours, theirs = applied(matrices[0], points), applied(expected.params[:2], points)
    # Where two fits are equally bad, as for points in a line, they may be different ones.
    residual = np.sqrt(((theirs - TEMPLATE) ** 2).sum(axis=1).mean())
    assert rms[0] == pytest.approx(residual, abs=1e-6)
    if abs(np.linalg.det(matrices[0][:, :2])) > 1e-6:
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@given(landmarks, st.floats(-0.2, 0.2), st.floats(0.9, 1.1), st.floats(-5, 5), st.floats(-5, 5))
def test_no_other_similarity_fits_better(
    points: Points, turn: float, scale: float, x: float, y: float
) -> None:
    matrices, rms = fit_similarity(points[None])
    other = moved(applied(matrices[0], points), turn, scale, (x, y))
    assert rms[0] <= np.sqrt(((other - TEMPLATE) ** 2).sum(axis=1).mean()) + 1e-6


@given(landmarks)
def test_a_similarity_never_mirrors(points: Points) -> None:
    matrices, _ = fit_similarity(points[None])
    (a, b), (c, d) = matrices[0][:, :2]
    assert (a, b) == (d, -c)
    assert a * d - b * c >= 0


@given(st.lists(landmarks, min_size=2, max_size=6))
def test_faces_are_fitted_each_for_itself(faces: list[Points]) -> None:
    together, rms = fit_similarity(np.array(faces))
    for n, face in enumerate(faces):
        alone, alone_rms = fit_similarity(face[None])
        np.testing.assert_array_equal(together[n], alone[0])
        assert rms[n] == alone_rms[0]


def test_a_face_seen_from_the_side_fits_worse_than_a_frontal_one() -> None:
    profile = TEMPLATE * np.array([0.3, 1.0])
    frontal = TEMPLATE + np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 1]])
    _, rms = fit_similarity(np.stack([profile, frontal]))
    assert rms[0] > 8 > 3 > rms[1]


def test_no_faces_give_no_matrices() -> None:
    matrices, rms = fit_similarity(np.empty((0, 5, 2), np.float32))
    assert (matrices.shape, rms.shape) == ((0, 2, 3), (0,))


# Chips ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture() -> npt.NDArray[np.uint8]:
    """Coloured noise, smooth enough to be warped: shape (240, 320, 3)."""
    cv2 = pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)


@pytest.mark.models
@given(st.floats(-3, 3), st.floats(0.3, 4), st.floats(-80, 300), st.floats(-80, 220))
@settings(deadline=None, max_examples=40)
def test_a_chip_is_insightfaces_crop(
    picture: npt.NDArray[np.uint8], turn: float, scale: float, x: float, y: float
) -> None:
    face_align = pytest.importorskip("insightface.utils.face_align")
    jitter = np.random.default_rng(1).normal(0, 2, (5, 2))
    points = (moved(TEMPLATE, turn, scale, (x, y)) + jitter).astype(np.float32)
    (chip,) = cut_chips(picture, fit_similarity(points[None])[0])
    expected = face_align.norm_crop(picture, points)
    difference = np.abs(chip.astype(int) - expected.astype(int))
    # The two fits agree to a rounding error, which moves a pixel's interpolation by a step.
    assert difference.max() <= 16
    assert difference.mean() < 0.05


def test_a_face_where_the_template_is_gives_the_picture_itself(
    picture: npt.NDArray[np.uint8],
) -> None:
    (chip,) = cut_chips(picture, fit_similarity((TEMPLATE + 40)[None])[0])
    difference = np.abs(chip.astype(int) - picture[40:152, 40:152].astype(int))
    assert difference.max() <= 1


def test_beyond_the_frame_it_is_black(picture: npt.NDArray[np.uint8]) -> None:
    (chip,) = cut_chips(picture, fit_similarity((TEMPLATE - 56)[None])[0])
    assert chip[:54].max() == 0
    assert chip[:, :54].max() == 0
    assert chip[60:, 60:].mean() > 90


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.full((5, 2), 1e6),
        np.tile([[7.0, 9.0]], (5, 1)) + np.arange(5)[:, None] * [1.0, 0.0],
        TEMPLATE * [-1.0, 1.0],
        np.array([[0, 0]] * 4 + [[1e-30, 0]]),
    ],
    ids=["one point", "far away", "in a line", "mirrored", "almost one point"],
)
def test_degenerate_landmarks_are_harmless(points: Points, picture: npt.NDArray[np.uint8]) -> None:
    matrices, rms = fit_similarity(points[None])
    assert np.isfinite(matrices).all()
    assert rms[0] > 3
    assert cut_chips(picture, matrices).shape == (1, 112, 112, 3)


def test_no_matrices_give_no_chips(picture: npt.NDArray[np.uint8]) -> None:
    chips = cut_chips(picture, np.empty((0, 2, 3)))
    assert chips.shape == (0, 112, 112, 3)
    assert measure_sharpness(chips).shape == (0,)


# Sharpness --------------------------------------------------------------------------------------


def test_a_flat_chip_has_no_sharpness_and_blurring_takes_it_away() -> None:
    cv2 = pytest.importorskip("cv2")
    sharp = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    flat = np.full_like(sharp, 90)
    found = measure_sharpness(np.stack([sharp, blurred, flat]))
    assert found[0] > 1000 > 50 > found[1] > found[2] == 0.0


def test_sharpness_is_the_variance_of_the_laplacian_of_the_grey_chip() -> None:
    pytest.importorskip("cv2")
    rgb = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    grey = np.round(rgb @ np.array([0.299, 0.587, 0.114]))
    around = np.pad(grey, 1, mode="reflect")
    up, down, left, right = around[:-2], around[2:], around[:, :-2], around[:, 2:]
    laplacian = up[:, 1:-1] + down[:, 1:-1] + left[1:-1] + right[1:-1] - 4 * grey
    (found,) = measure_sharpness(rgb[None])
    assert found == pytest.approx(laplacian.var(), rel=0.01)
