"""The faces of one video, as pairs are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_IN_A_FRAME = 15  # others that each face of a frame is paired with: a crowd has thousands of pairs


@dataclass(frozen=True)
class VideoFaces:
    """The faces of one video, one row each, in any order.

    Attributes
    ----------
    pts
        Instant of each face, shape ``(n,)``, integers.
    time_s
        The same in seconds, shape ``(n,)``.
    track_id
        Track of each face, shape ``(n,)``, integers; −1 where it is in none.
    bbox_xyxy
        Shape ``(n, 4)``, pixels.
    quality
        In [0, 1], shape ``(n,)``.
    embedding
        Shape ``(n, dim)``, of any length but 0; a row of NaN where the face has none of its own.
    """

    pts: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]
    track_id: npt.NDArray[np.int64]
    bbox_xyxy: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        for name in ("time_s", "track_id", "bbox_xyxy", "quality", "embedding"):
            if len(getattr(self, name)) != len(self.pts):
                raise ValueError(
                    f"{name} must have one row per face, but has {len(getattr(self, name))} "
                    f"for {len(self.pts)} faces"
                )

    @cached_property
    def size_px(self) -> npt.NDArray[np.float64]:
        """Square root of each box's area, in pixels."""
        size: npt.NDArray[np.float64] = np.sqrt(_area(self.bbox_xyxy))
        return size

    def numbered_tracks(self) -> npt.NDArray[np.int64]:
        """Track of each face, numbered from 0; a face in no track is a track of its own."""
        alone = self.track_id < 0
        named = np.where(alone, -1 - np.arange(len(self.pts)), self.track_id)
        return np.unique(named, return_inverse=True)[1].astype(np.int64)

    def unit(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings of some rows, of any shape, at unit length; zeros for row −1."""
        vectors = self.embedding[rows].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors[rows < 0] = 0.0
        return vectors


def spread_rows(
    track: npt.NDArray[np.int64],
    order_by: npt.NDArray[np.float64],
    usable: npt.NDArray[np.bool_],
    n_tracks: int,
    width: int,
) -> npt.NDArray[np.int64]:
    """Up to ``width`` usable rows of each track, evenly over its order.

    Returns
    -------
    ndarray
        Shape ``(n_tracks, width)``, int64; −1 where a track has fewer.
    """
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((order_by[rows], track[rows]))]
    count = np.bincount(track[rows], minlength=n_tracks)
    first = np.cumsum(count) - count
    place = np.broadcast_to(np.arange(width), (n_tracks, width))
    even = ((2 * place + 1) * count[:, None]) // (2 * width)
    place = np.where(count[:, None] > width, even, place)
    known = place < count[:, None]
    padded = np.append(rows, -1)
    return padded[np.where(known, first[:, None] + place, len(rows))]


def tracks_at_once(
    faces: VideoFaces, track: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The pairs of tracks that were ever seen in one frame.

    Of a crowd each face is paired with 15 others of its frame.

    Returns
    -------
    pairs
        Shape ``(n_pairs, 2)``, int64, the lower number first; sorted, each once.
    overlap
        Largest IoU of their boxes in a frame, shape ``(n_pairs,)``, in [0, 1].
    """
    order = np.lexsort((track, faces.pts))
    pts, n_tracks = faces.pts[order], int(track.max(initial=-1)) + 1
    keys, ious = [np.empty(0, np.int64)], [np.empty(0)]
    for lag in range(1, min(_IN_A_FRAME, len(order) - 1) + 1):
        at = np.flatnonzero(pts[lag:] == pts[:-lag])
        if not len(at):
            break  # no frame holds more faces than this
        one, other = order[at], order[at + lag]
        apart = track[one] != track[other]
        one, other = one[apart], other[apart]
        keys.append(track[one] * n_tracks + track[other])
        ious.append(_iou(faces.bbox_xyxy[one], faces.bbox_xyxy[other]))
    key, where = np.unique(np.concatenate(keys), return_inverse=True)
    overlap = np.zeros(len(key))
    np.maximum.at(overlap, where, np.concatenate(ious))
    return np.stack([key // max(n_tracks, 1), key % max(n_tracks, 1)], axis=1), overlap


def _iou(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes, row by row; 0 where both are empty."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1, dtype=np.float64)
    union = _area(one) + _area(other) - shared
    iou = np.zeros(len(shared))
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def _area(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    area: npt.NDArray[np.float64] = np.prod(sides, axis=1, dtype=np.float64)
    return area
