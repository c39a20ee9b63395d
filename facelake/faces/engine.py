"""A detector and an embedder together: one upright frame in, its faces out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces.align import CHIP_PX, cut_chips, fit_similarity, measure_sharpness
from facelake.faces.detect import Detector
from facelake.faces.embed import Embedder
from facelake.faces.network import Network
from facelake.faces.pack import Pack
from facelake.faces.session import CPU_PROVIDER, import_cv2
from facelake.schema import Device, Face, IngestSettings

Image = npt.NDArray[np.uint8]
# Measured on the CPU, a frame or a face costs no less in company (and more from 8 faces on).
_BATCH = {CPU_PROVIDER: (1, 1)}
_BATCH_ELSEWHERE = (8, 32)


@dataclass(frozen=True)
class Found:
    """A face that is not embedded yet, and its aligned chip, shape ``(112, 112, 3)``."""

    face: Face
    chip: Image


class FaceEngine:
    """The networks of one pack on one device.

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
    batch
        Whether several frames or faces may go into a network at once.

    Attributes
    ----------
    provider
        What really runs, read back from the sessions.
    note
        What a person should know of how the models run; empty when all is as it should be.
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
        batch: bool = True,
    ) -> None:
        if threads:
            import_cv2().setNumThreads(threads)
        detector = Network(
            pack.detector, pack.detector_sha256, "detector", device=device, threads=threads
        )
        embedder = Network(
            pack.embedder, pack.embedder_sha256, "embedder", device=device, threads=threads
        )
        self.pack = pack
        self.provider = detector.provider
        self.note = "; ".join(note for note in (detector.note, embedder.note) if note)
        frames, chips = _BATCH.get(self.provider, _BATCH_ELSEWHERE) if batch else (1, 1)
        self.detector = Detector(
            detector,
            size=settings.det_size,
            threshold=settings.det_threshold,
            iou=settings.nms_iou,
            batch=frames,
        )
        self.embedder = Embedder(embedder, batch=chips)
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

    def look(self, images: Sequence[Image]) -> list[list[Found]]:
        """The faces of upright RGB frames of one size, most certain first, not embedded yet."""
        with self._timed("detect"):
            detections = self.detector.detect(images)
        found = []
        with self._timed("align"):
            for image, seen in zip(images, detections, strict=True):
                matrices, rms = fit_similarity(seen.landmarks)
                chips = cut_chips(image, matrices)
                sharpness = measure_sharpness(chips)
                found.append(
                    [
                        Found(Face(box, float(score), points, None, float(fit), float(sharp)), chip)
                        for box, score, points, fit, sharp, chip in zip(
                            seen.bbox_xyxy, seen.det_score, seen.landmarks, rms, sharpness, chips,
                            strict=True,
                        )
                    ]
                )  # fmt: skip
        return found

    def embed(self, chips: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Unit vectors of aligned chips, shape ``(n, dim)``."""
        with self._timed("embed"):
            return self.embedder.embed(np.array(chips, np.uint8).reshape(-1, CHIP_PX, CHIP_PX, 3))

    def find(self, image: Image) -> list[Face]:
        """The faces of an upright RGB frame ``(height, width, 3)``, most certain first."""
        (found,) = self.look([image])
        vectors = self.embed([each.chip for each in found])
        return [
            replace(each.face, embedding=vector)
            for each, vector in zip(found, vectors, strict=True)
        ]

    def bare_run(self, height: int, width: int, n_frames: int, n_faces: int) -> float:
        """Seconds that the networks alone take for so many frames of a size, and faces.

        The floor of any ingest with these graphs: nothing is decoded, scaled, aligned or written.
        """
        noise = np.random.default_rng(0)
        frames = [noise.integers(0, 256, (height, width, 3), np.uint8)] * self.detector.batch
        chips = noise.integers(0, 256, (self.embedder.batch, CHIP_PX, CHIP_PX, 3), np.uint8)
        run_detector, run_embedder = self.detector.bare(frames), self.embedder.bare(chips)
        start = time.perf_counter()
        for _ in range(-(-n_frames // len(frames))):
            run_detector()
        for _ in range(-(-n_faces // len(chips))):
            run_embedder()
        return time.perf_counter() - start

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start
