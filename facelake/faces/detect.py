"""SCRFD: frames → boxes, scores and five landmarks.

Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022. The
letterbox, anchors, decoding and NMS give insightface's numbers on the same frame: bilinear resize
to the top left of a black square, anchor centres at (column · stride, row · stride), overlaps with
the legacy "+1 pixel".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces.session import import_cv2

if TYPE_CHECKING:
    import onnxruntime

Floats = npt.NDArray[np.float32]
STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 2


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


class Detector:
    """An SCRFD session with its input size and thresholds.

    Parameters
    ----------
    session
        Nine outputs: scores, boxes and landmarks at strides 8, 16 and 32.
    size
        Side of the square input in pixels, a multiple of 32.
    threshold
        Lowest score kept.
    iou
        Overlap above which the weaker of two detections is dropped.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        size: int = 640,
        threshold: float = 0.5,
        iou: float = 0.4,
    ) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.size, self.threshold, self.iou = size, threshold, iou
        # Kept: five megabytes anew for each frame are a thousand page faults.
        self._blob = np.empty((1, 3, size, size), np.float32)
        self._centres = {stride: anchor_centres(size, stride) for stride in STRIDES}
        if len(session.get_outputs()) != 3 * len(STRIDES):
            raise PackError(
                "the detector must have 9 outputs (scores, boxes and landmarks at three strides), "
                f"but has {len(session.get_outputs())}; only SCRFD models with key points fit"
            )
        sides = [side for side in session.get_inputs()[0].shape[2:] if isinstance(side, int)]
        if any(side != size for side in sides):
            raise PackError(
                f"the detector must read {size}×{size} pixels (det_size), but this file was made "
                f"for {sides[0]}; give that as det_size, or take a model with a free input size"
            )

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """The faces of one RGB frame, shape ``(height, width, 3)``."""
        square, scale = letterbox(image, self.size)
        np.subtract(square.transpose(2, 0, 1), np.float32(127.5), out=self._blob[0])
        self._blob *= np.float32(1 / 128)
        outputs = self._session.run(None, {self._input: self._blob})
        scores, boxes, points = [], [], []
        for stride, (score, box, point) in zip(STRIDES, _by_stride(outputs), strict=True):
            kept = np.flatnonzero(score >= self.threshold)
            centres = self._centres[stride][kept]
            scores.append(score[kept])
            boxes.append(decode_boxes(centres, box[kept] * stride))
            points.append(decode_points(centres, point[kept] * stride))
        score = np.concatenate(scores)
        order = np.argsort(-score, kind="stable")
        box = (np.concatenate(boxes) / scale).astype(np.float32)[order]
        kept = suppress(box, self.iou)
        point = (np.concatenate(points) / scale).astype(np.float32)[order]
        return Detections(box[kept], score[order][kept], point[kept])


def letterbox(image: npt.NDArray[np.uint8], size: int) -> tuple[npt.NDArray[np.uint8], float]:
    """The frame in the top left of a black square, and the factor it was scaled by.

    As insightface does it: the shorter side is truncated to whole pixels, and the factor is the
    height's, for both axes.
    """
    height, width = image.shape[:2]
    if height > width:
        new_height, new_width = size, max(1, int(size / (height / width)))
    else:
        new_width, new_height = size, max(1, int(size * (height / width)))
    square = np.zeros((size, size, 3), np.uint8)
    resized = import_cv2().resize(image, (new_width, new_height))
    square[:new_height, :new_width] = resized
    return square, new_height / height


def anchor_centres(size: int, stride: int) -> Floats:
    """Centres of a square input's anchors, row by row, each twice; shape ``(n, 2)`` as x, y."""
    cells = np.arange(size // stride, dtype=np.float32) * stride
    y, x = np.meshgrid(cells, cells, indexing="ij")
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
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left = np.arange(len(boxes))
    kept = []
    while left.size:
        best, rest = left[0], left[1:]
        kept.append(best)
        corner_1 = np.maximum(boxes[best, :2], boxes[rest, :2])
        corner_2 = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        sides = np.maximum(0, corner_2 - corner_1 + 1)
        overlap = sides[:, 0] * sides[:, 1]
        left = rest[overlap / (areas[best] + areas[rest] - overlap) <= iou]
    return np.array(kept, np.int64)


def _by_stride(outputs: list[Floats]) -> list[tuple[Floats, Floats, Floats]]:
    """Score ``(a,)``, box ``(a, 4)`` and landmarks ``(a, 10)`` of each stride, finest first.

    Exports name and order their outputs differently, with and without a batch axis; width and
    number of rows tell them apart.
    """
    of_width: dict[int, list[Floats]] = {1: [], 4: [], 10: []}
    for output in outputs:
        of_width[output.shape[-1]].append(output.reshape(-1, output.shape[-1]))
    for rows in of_width.values():
        rows.sort(key=len, reverse=True)
    triples = zip(of_width[1], of_width[4], of_width[10], strict=True)
    return [(score[:, 0], box, point) for score, box, point in triples]
