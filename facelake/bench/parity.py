"""Did both sides see the same: frames, boxes and embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIN_IOU = 0.95
"""Overlap from which on two boxes of one frame are the same face."""


@dataclass(frozen=True)
class Seen:
    """What one side saw in one video.

    Attributes
    ----------
    sample_pts
        Frames looked at, shape ``(m,)``, each once.
    face_pts
        Frame of each face, shape ``(n,)``.
    bbox_xyxy
        Shape ``(n, 4)``, in pixels of the upright frame.
    embedding
        Shape ``(n, dim)``, not zero.
    """

    sample_pts: npt.NDArray[np.int64]
    face_pts: npt.NDArray[np.int64]
    bbox_xyxy: npt.NDArray[np.floating]
    embedding: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Parity:
    """How far facelake saw what its peer saw.

    Attributes
    ----------
    n_frames_both, n_frames_peer_only, n_frames_facelake_only
        Frames looked at by both, or by one alone.
    n_faces_peer, n_faces_facelake
        Faces each found.
    n_matched
        The peer's faces that facelake found too, at an overlap of `MIN_IOU` or more.
    cosine_median, cosine_p01
        Of the matched faces' embeddings: median and first percentile; ``None`` when none matched.
    """

    n_frames_both: int
    n_frames_peer_only: int
    n_frames_facelake_only: int
    n_faces_peer: int
    n_faces_facelake: int
    n_matched: int
    cosine_median: float | None
    cosine_p01: float | None

    @property
    def share_found(self) -> float | None:
        """Share of the peer's faces that facelake found, in [0, 1]; ``None`` when it has none."""
        return self.n_matched / self.n_faces_peer if self.n_faces_peer else None


def compare_seen(videos: Iterable[tuple[Seen, Seen]]) -> Parity:
    """How far facelake saw what the peer saw, over videos.

    Parameters
    ----------
    videos
        The peer's and facelake's view of each video, in this order.
    """
    both = peer_only = facelake_only = n_peer = n_facelake = 0
    cosines = [np.empty(0)]
    for peer, facelake in videos:
        common = len(np.intersect1d(peer.sample_pts, facelake.sample_pts))
        both += common
        peer_only += len(peer.sample_pts) - common
        facelake_only += len(facelake.sample_pts) - common
        n_peer += len(peer.face_pts)
        n_facelake += len(facelake.face_pts)
        rows, other_rows = match_faces(peer, facelake)
        cosines.append(_cosine(peer.embedding[rows], facelake.embedding[other_rows]))
    cosine = np.concatenate(cosines)
    return Parity(
        n_frames_both=both,
        n_frames_peer_only=peer_only,
        n_frames_facelake_only=facelake_only,
        n_faces_peer=n_peer,
        n_faces_facelake=n_facelake,
        n_matched=len(cosine),
        cosine_median=float(np.median(cosine)) if len(cosine) else None,
        cosine_p01=float(np.percentile(cosine, 1)) if len(cosine) else None,
    )


def match_faces(
    one: Seen, other: Seen, *, min_iou: float = MIN_IOU
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of the faces that both saw in the same place of the same frame, pair by pair.

    A face has at most one partner; the pairs that overlap most are made first.
    """
    pairs: list[tuple[int, int]] = []
    for pts in np.intersect1d(one.face_pts, other.face_pts):
        rows, other_rows = (np.flatnonzero(seen.face_pts == pts) for seen in (one, other))
        iou = overlaps(one.bbox_xyxy[rows], other.bbox_xyxy[other_rows])
        while iou.size and iou.max() >= min_iou:
            row, column = np.unravel_index(iou.argmax(), iou.shape)
            pairs.append((int(rows[row]), int(other_rows[column])))
            iou[row, :] = iou[:, column] = -1.0
    matched = np.array(pairs, np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


def overlaps(
    one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes ``(n, 4)`` and ``(m, 4)``, shape ``(n, m)``."""
    a, b = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0.0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(common / (areas - common), np.float64)


def _cosine(
    one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / lengths, np.float64)
