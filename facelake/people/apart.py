"""Which tracks cannot be one person, since they share an instant; and which boxes are one face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int64]
"""Rows of two things each, shape ``(m, 2)``."""

SAME_FACE_IOU = 0.5
"""Two boxes of one instant that share this much are one face: no detector keeps two that do."""


def find_apart(instant: npt.ArrayLike, track: npt.ArrayLike) -> Pairs:
    """The pairs of tracks that share an instant, lower row first, each once and in order.

    Two faces of one frame are two people: the cannot-links that video gives for free (Cinbis et
    al., Unsupervised Metric Learning for Face Identification in TV Video, ICCV 2011).

    Parameters
    ----------
    instant
        Of each face, shape ``(n,)``, integers: equal for faces of one frame of one video.
    track
        Row of each face's track, shape ``(n,)``, integers.

    Examples
    --------
    >>> find_apart([7, 7, 8, 8], [0, 2, 0, 2]).tolist()
    [[0, 2]]
    """
    order = np.argsort(np.asarray(instant), kind="stable")
    when = np.asarray(instant)[order]
    who = np.asarray(track, np.int64)[order]
    found = [np.empty((0, 2), np.int64)]
    for step in range(1, _most_alike(when)):
        shared = np.flatnonzero(when[step:] == when[:-step])
        pairs = np.sort(np.column_stack([who[shared], who[shared + step]]), axis=1)
        found.append(np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0))
    return np.unique(np.concatenate(found), axis=0)


def _most_alike(values: npt.NDArray[np.generic]) -> int:
    """How often the most frequent of sorted values occurs."""
    begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return int(np.diff(np.append(begins, len(values))).max(initial=0)) if len(values) else 0


def find_same_box(box: npt.ArrayLike, boxes: npt.ArrayLike) -> int:
    """The row of the box that is the same face's, as another detector drew it; −1 for none.

    Parameters
    ----------
    box
        Left, top, right, bottom; shape ``(4,)``, pixels.
    boxes
        Of the faces of the same instant, shape ``(n, 4)``.

    Examples
    --------
    >>> find_same_box([0, 0, 10, 10], [[20, 0, 30, 10], [1, 0, 11, 10]])
    1
    """
    one, others = np.asarray(box, np.float64), np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(others):
        return -1
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0.0), axis=1)
    area = np.prod(one[2:] - one[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1)
    overlap = shared / np.maximum(area - shared, 1e-12)
    best = int(np.argmax(overlap))
    return best if overlap[best] >= SAME_FACE_IOU else -1
