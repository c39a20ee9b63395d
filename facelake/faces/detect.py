"""SCRFD: frames → boxes, scores and five landmarks.

Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022. The
scaling, anchors, decoding and NMS give insightface's numbers on the same frame: bilinear resize to
the top left of a black picture, anchor centres at (column · stride, row · stride), overlaps with
the legacy "+1 pixel".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces.network import Blob, Network
from facelake.faces.session import import_cv2

Floats = npt.NDArray[np.float32]
STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 2
# A face that covers this share of the frame is large, and one the network gives this score is worth
# a second look.
_LARGE = 0.10
_DOUBT = 0.05
_MOST_BLOBS = 8


@dataclass(frozen=True)
class Detections:
    """Faces of one frame, best first, in pixels of that frame.

    Attributes
    ----------
    bbox_xyxy
        Shape ``(n, 4)``, float32.
    det_score
        Shape ``(n,)``, float32.
    landmarks
        Shape ``(n, 5, 2)``, float32.
    """

    bbox_xyxy: Floats
    det_score: Floats
    landmarks: Floats

    def take(self, rows: npt.NDArray[np.integer]) -> Detections:
        """These rows, in this order."""
        return Detections(self.bbox_xyxy[rows], self.det_score[rows], self.landmarks[rows])

    def at_least(self, threshold: float) -> Detections:
        """Those with at least this score."""
        return self.take(np.flatnonzero(self.det_score >= threshold))

    def suppressed(self, iou: float) -> Detections:
        """Those that no better one overlaps by more than ``iou``."""
        return self.take(suppress(self.bbox_xyxy, iou))


class Detector:
    """An SCRFD network with its input size and thresholds.

    A frame is scaled so that its longer side fills the input, which is then as high and wide as the
    frame needs, in steps of 32 pixels: a 16:9 frame is 640×416 pixels instead of 640×640, of which
    44 % would be empty.

    Where the first pass leaves doubt about a face that fills much of the frame, a second pass at
    half the size looks for it: SCRFD with batch norm misses such faces (deepinsight/insightface
    #1518).

    Parameters
    ----------
    network
        Nine outputs: scores, boxes and landmarks at strides 8, 16 and 32.
    size
        Longer side of the input in pixels, a multiple of 32.
    threshold
        Lowest score kept.
    iou
        Overlap above which the weaker of two detections is dropped.
    batch
        Most frames that go into the network at once.
    large_faces
        Whether there is a second pass.

    Attributes
    ----------
    n_second
        Frames that had a second pass so far.
    """

    def __init__(
        self,
        network: Network,
        *,
        size: int = 640,
        threshold: float = 0.5,
        iou: float = 0.4,
        batch: int = 1,
        large_faces: bool = True,
    ) -> None:
        self._network = network
        self.size, self.threshold, self.iou = size, threshold, iou
        self.batch = batch if network.batched else 1
        self.n_second = 0
        # Kept: megabytes anew for each frame are a thousand page faults.
        self._blobs: dict[tuple[int, ...], npt.NDArray[Any]] = {}
        self._centres: dict[tuple[int, int, int], Floats] = {}
        if len(network.output_shapes) != 3 * len(STRIDES):
            raise PackError(
                "the detector must have 9 outputs (scores, boxes and landmarks at three strides), "
                f"but has {len(network.output_shapes)}; only SCRFD models with key points fit"
            )
        sides = [side for side in network.image_shape if isinstance(side, int)]
        if any(side != size for side in sides):
            raise PackError(
                f"the detector must read {size}×{size} pixels (det_size), but this file was made "
                f"for {sides[0]}; give that as det_size, or take a model with a free input size"
            )
        self._fixed = bool(sides)
        self._large_faces = large_faces and not self._fixed

    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """The faces of RGB frames of one size, shape ``(height, width, 3)`` each."""
        found = []
        for at in range(0, len(images), self.batch):
            group = images[at : at + self.batch]
            for image, candidates in zip(group, self._look(group, self.size), strict=True):
                sure = candidates.at_least(self.threshold).suppressed(self.iou)
                if self._large_faces and self._in_doubt(candidates, sure, image):
                    sure = self._look_for_large(image, sure)
                found.append(sure)
        return found

    def bare(self, images: Sequence[npt.NDArray[np.uint8]]) -> Callable[[], object]:
        """The network's run alone on these frames, for benchmarks."""
        return partial(self._network.run, self._scaled(images, self.size)[0].copy())

    def _in_doubt(
        self, candidates: Detections, sure: Detections, image: npt.NDArray[np.uint8]
    ) -> bool:
        """Whether there may be a large face that the first pass is not sure of."""
        weak = candidates.take(np.flatnonzero(candidates.det_score < self.threshold))
        large = weak.bbox_xyxy[_are_large(weak.bbox_xyxy, image)]
        return bool(_clear_of(large, sure.bbox_xyxy, self.iou).any())

    def _look_for_large(self, image: npt.NDArray[np.uint8], sure: Detections) -> Detections:
        """The faces found so far, and large ones found at half the size beside them."""
        self.n_second += 1
        (candidates,) = self._look([image], _whole(self.size // 2))
        found = candidates.at_least(self.threshold).suppressed(self.iou)
        is_new = _clear_of(found.bbox_xyxy, sure.bbox_xyxy, self.iou)
        found = found.take(np.flatnonzero(is_new & _are_large(found.bbox_xyxy, image)))
        both = Detections(
            np.concatenate([sure.bbox_xyxy, found.bbox_xyxy]),
            np.concatenate([sure.det_score, found.det_score]),
            np.concatenate([sure.landmarks, found.landmarks]),
        )
        return both.take(np.argsort(-both.det_score, kind="stable"))

    def _look(self, images: Sequence[npt.NDArray[np.uint8]], size: int) -> list[Detections]:
        """Every anchor worth a thought of each frame, best first; not yet suppressed."""
        blob, shape, scale = self._scaled(images, size)
        by_stride = _by_stride(self._network.run(blob), len(images))
        return [
            self._decode([(s[i], b[i], p[i]) for s, b, p in by_stride], shape, scale)
            for i in range(len(images))
        ]

    def _scaled(
        self, images: Sequence[npt.NDArray[np.uint8]], size: int
    ) -> tuple[Blob, tuple[int, int], float]:
        """Frames in the top left of the network's input, its shape, and what they are scaled by.

        The scale is the height's, for both axes, as insightface takes it.
        """
        height, width = images[0].shape[:2]
        scaled = scaled_shape(height, width, size)
        shape = (self.size, self.size) if self._fixed else input_shape(scaled)
        return self._blob(images, scaled, shape), shape, scaled[0] / height

    def _blob(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        scaled: tuple[int, int],
        shape: tuple[int, int],
    ) -> Blob:
        """Each frame scaled into the top left of a black picture, normalised."""
        cv2 = import_cv2()
        if self._network.uint8:
            blob = self._buffer((len(images), *shape, 3), scaled, np.uint8, 0)
            for place, image in zip(blob, images, strict=True):
                place[: scaled[0], : scaled[1]] = cv2.resize(image, scaled[::-1])
            return blob
        black = np.float32(-127.5) * np.float32(1 / 128)
        blob = self._buffer((len(images), 3, *shape), scaled, np.float32, black)
        for place, image in zip(blob, images, strict=True):
            inner = place[:, : scaled[0], : scaled[1]]
            small = cv2.resize(image, scaled[::-1])
            np.subtract(small.transpose(2, 0, 1), np.float32(127.5), out=inner)
            inner *= np.float32(1 / 128)
        return blob

    def _buffer(
        self, shape: tuple[int, ...], scaled: tuple[int, int], dtype: Any, fill: Any
    ) -> npt.NDArray[Any]:
        """A blob for frames of a scaled size; what lies beyond them was filled once and stays."""
        kept = self._blobs.get((*shape, *scaled))
        if kept is None:
            if len(self._blobs) >= _MOST_BLOBS:
                self._blobs.clear()
            kept = self._blobs[*shape, *scaled] = np.full(shape, fill, dtype)
        return kept

    def _decode(
        self, heads: list[tuple[Floats, Floats, Floats]], shape: tuple[int, int], scale: float
    ) -> Detections:
        scores, boxes, points = [], [], []
        for stride, (score, box, point) in zip(STRIDES, heads, strict=True):
            kept = np.flatnonzero(score >= min(_DOUBT, self.threshold))
            centres = self._anchors(*shape, stride)[kept]
            scores.append(score[kept])
            boxes.append(decode_boxes(centres, box[kept] * stride))
            points.append(decode_points(centres, point[kept] * stride))
        score = np.concatenate(scores)
        order = np.argsort(-score, kind="stable")
        return Detections(
            (np.concatenate(boxes) / scale).astype(np.float32)[order],
            score[order],
            (np.concatenate(points) / scale).astype(np.float32)[order],
        )

    def _anchors(self, height: int, width: int, stride: int) -> Floats:
        key = (height, width, stride)
        if key not in self._centres:
            self._centres[key] = anchor_centres(height, width, stride)
        return self._centres[key]


def scaled_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width of a frame whose longer side is scaled to ``size``.

    As insightface does it: the shorter side is truncated to whole pixels.

    Examples
    --------
    >>> scaled_shape(720, 1280, 640), scaled_shape(427, 240, 640)
    ((360, 640), (640, 359))
    """
    if height > width:
        return size, max(1, int(size / (height / width)))
    return max(1, int(size * (height / width))), size


def input_shape(scaled: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the network's input for a scaled frame, multiples of 32.

    The shorter side is followed by 32 pixels of black or more: without them, as measured, one face
    in 300 near that edge scores a little less than in the black of a square and is lost.

    Examples
    --------
    >>> input_shape((360, 640)), input_shape((640, 640)), input_shape((640, 480))
    ((416, 640), (640, 640), (640, 512))
    """
    size = max(scaled)
    height, width = (min(_whole(side + STRIDES[-1]), _whole(size)) for side in scaled)
    return height, width


def anchor_centres(height: int, width: int, stride: int) -> Floats:
    """Centres of an input's anchors, row by row, each twice; shape ``(n, 2)`` as x, y."""
    rows = np.arange(height // stride, dtype=np.float32) * stride
    columns = np.arange(width // stride, dtype=np.float32) * stride
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), ANCHORS_PER_CELL, axis=0)


def decode_boxes(centres: Floats, distances: Floats) -> Floats:
    """Boxes from each anchor's distances to left, top, right and bottom, in input pixels."""
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)


def decode_points(centres: Floats, offsets: Floats) -> Floats:
    """Landmarks from each anchor's five offsets, shape ``(n, 5, 2)``, in input pixels."""
    return centres[:, None, :] + offsets.reshape(-1, 5, 2)


def suppress(boxes: Floats, iou: float) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression: rows kept of boxes sorted best first.

    Lengths count a pixel more than the coordinates differ, as the reference implementation does.
    """
    left = np.arange(len(boxes))
    kept = []
    while left.size:
        best, rest = left[0], left[1:]
        kept.append(best)
        left = rest[_overlap(boxes[best], boxes[rest]) <= iou]
    return np.array(kept, np.int64)


def _by_stride(outputs: list[Floats], n_images: int) -> list[tuple[Floats, Floats, Floats]]:
    """Scores ``(n, a)``, boxes ``(n, a, 4)`` and landmarks ``(n, a, 10)`` per stride, finest first.

    Exports name and order their outputs differently, with and without a batch axis; width and
    number of rows tell them apart.
    """
    of_width: dict[int, list[Floats]] = {1: [], 4: [], 10: []}
    for output in outputs:
        of_width[output.shape[-1]].append(output.reshape(n_images, -1, output.shape[-1]))
    for rows in of_width.values():
        rows.sort(key=lambda each: each.shape[1], reverse=True)
    triples = zip(of_width[1], of_width[4], of_width[10], strict=True)
    return [(score[..., 0], box, point) for score, box, point in triples]


def _whole(side: int) -> int:
    """The side rounded up to what the coarsest stride divides."""
    return -(-side // STRIDES[-1]) * STRIDES[-1]


def _are_large(boxes: Floats, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which boxes cover so much of the frame that the network may miss what is in them."""
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    return np.array(area >= _LARGE * image.shape[0] * image.shape[1], bool)


def _clear_of(boxes: Floats, others: Floats, iou: float) -> npt.NDArray[np.bool_]:
    """Which boxes overlap none of the others by more than ``iou``."""
    return np.array([_overlap(box, others).max(initial=0.0) <= iou for box in boxes], bool)


def _overlap(box: Floats, others: Floats) -> Floats:
    """Intersection over union of a box with others, lengths counted a pixel longer."""
    corner = np.maximum(box[:2], others[:, :2])
    opposite = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(0, opposite - corner + 1), axis=1)
    own = np.prod(box[2:] - box[:2] + 1)
    overlap: Floats = shared / (own + np.prod(others[:, 2:] - others[:, :2] + 1, axis=1) - shared)
    return overlap
