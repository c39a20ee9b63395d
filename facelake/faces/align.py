"""Five landmarks → an upright 112-pixel chip, from the full-resolution frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facelake.faces.session import import_cv2

CHIP_PX = 112
# ArcFace's template: left eye, right eye, nose, left and right corner of the mouth, in pixels.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def fit_similarity(
    landmarks: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The best turn, scale and shift of landmarks onto the template, and how badly it fits.

    Closed form of the least-squares similarity without reflection (Umeyama, PAMI 1991), for many
    faces at once.

    Parameters
    ----------
    landmarks
        Shape ``(n, 5, 2)``, pixels of the frame.

    Returns
    -------
    matrices
        Shape ``(n, 2, 3)``: frame → chip.
    rms
        Shape ``(n,)``: root mean square distance of the moved landmarks to the template, in
        template pixels.
    """
    points = np.asarray(landmarks, np.float64)
    mean, template_mean = points.mean(axis=1, keepdims=True), TEMPLATE.mean(axis=0)
    p, q = points - mean, TEMPLATE - template_mean
    # Five landmarks in one point have no scale; a tiny spread keeps that face harmless.
    spread = np.maximum((p**2).sum(axis=(1, 2)), 1e-12)
    a = (p * q).sum(axis=(1, 2)) / spread
    b = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(axis=1) / spread
    turn = np.stack([np.stack([a, -b], axis=-1), np.stack([b, a], axis=-1)], axis=1)
    shift = template_mean - np.einsum("nij,nj->ni", turn, mean[:, 0])
    matrices = np.concatenate([turn, shift[..., None]], axis=2)
    moved = np.einsum("nij,nkj->nki", turn, points) + shift[:, None]
    rms = np.sqrt(((moved - TEMPLATE) ** 2).sum(axis=2).mean(axis=1))
    return matrices, rms


def cut_chips(
    image: npt.NDArray[np.uint8], matrices: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Chips of one RGB frame, shape ``(n, 112, 112, 3)``; black beyond the frame's edge."""
    cv2 = import_cv2()
    chips = np.empty((len(matrices), CHIP_PX, CHIP_PX, 3), np.uint8)
    for chip, matrix in zip(chips, matrices, strict=True):
        chip[:] = cv2.warpAffine(image, matrix, (CHIP_PX, CHIP_PX), borderValue=0.0)
    return chips


def measure_sharpness(chips: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Variance of the Laplacian of each grey chip, shape ``(n,)``; below about 50 is blurred."""
    cv2 = import_cv2()
    greys = (cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY) for chip in chips)
    return np.array([cv2.Laplacian(grey, cv2.CV_32F).var() for grey in greys], np.float32)
