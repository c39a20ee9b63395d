"""A detector and an embedder together: one upright frame in, its faces out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces.align import cut_chips, fit_similarity, measure_sharpness
from facelake.faces.detect import Detector
from facelake.faces.embed import Embedder
from facelake.faces.graphs import faster_embedder
from facelake.faces.pack import Pack
from facelake.faces.session import CPU_PROVIDER, import_cv2, open_session
from facelake.schema import Device, Face, IngestSettings


class FaceEngine:
    """The sessions of one pack on one device.

    Parameters
    ----------
    pack
        From `find_pack`.
    settings
        Detector size and thresholds.
    device
        ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
    threads
        Threads of each session and of OpenCV; 0 leaves both their choice.

    Attributes
    ----------
    provider
        What really runs, read back from the sessions.
    seconds
        Time spent so far by stage: ``detect``, ``align``, ``embed``.
    """

    def __init__(
        self,
        pack: Pack,
        settings: IngestSettings,
        *,
        device: Device = "auto",
        threads: int = 1,
    ) -> None:
        if threads:
            import_cv2().setNumThreads(threads)
        detector = open_session(pack.detector, device=device, threads=threads)
        self.pack = pack
        self.provider = str(detector.get_providers()[0])
        graph = pack.embedder
        if self.provider == CPU_PROVIDER:  # elsewhere PRelu is as fast as any other node
            graph = faster_embedder(pack.embedder, pack.embedder_sha256)
        embedder = open_session(graph, device=device, threads=threads)
        self.detector = Detector(
            detector,
            size=settings.det_size,
            threshold=settings.det_threshold,
            iou=settings.nms_iou,
        )
        self.embedder = Embedder(embedder)
        self.seconds = dict.fromkeys(("detect", "align", "embed"), 0.0)
        if pack.dim and pack.dim != self.embedder.dim:
            raise PackError(
                f"pack {pack.name!r}: its manifest says {pack.dim} dimensions, but "
                f"{pack.embedder.name} gives {self.embedder.dim}"
            )

    @property
    def space(self) -> str:
        """Name of the space of its embeddings."""
        return self.pack.space

    @property
    def dim(self) -> int:
        """Length of its embeddings."""
        return self.embedder.dim

    def find(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """The faces of an upright RGB frame ``(height, width, 3)``, most certain first."""
        with self._timed("detect"):
            found = self.detector.detect(image)
        if not len(found.det_score):
            return []
        with self._timed("align"):
            matrices, rms = fit_similarity(found.landmarks)
            chips = cut_chips(image, matrices)
            sharpness = measure_sharpness(chips)
        with self._timed("embed"):
            vectors = self.embedder.embed(chips)
        return [
            Face(box, float(score), points, vector, float(fit), float(sharp))
            for box, score, points, vector, fit, sharp in zip(
                found.bbox_xyxy, found.det_score, found.landmarks, vectors, rms, sharpness,
                strict=True,
            )
        ]  # fmt: skip

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start
