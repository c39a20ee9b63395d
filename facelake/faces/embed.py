"""ArcFace: aligned chips → unit vectors. Deng et al., CVPR 2019."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces.align import CHIP_PX

if TYPE_CHECKING:
    import onnxruntime


class Embedder:
    """An ArcFace session: one input ``[n, 3, 112, 112]``, one output ``[n, dim]``."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        source, result = session.get_inputs()[0], session.get_outputs()[0]
        self._input = source.name
        if list(source.shape[-2:]) != [CHIP_PX, CHIP_PX]:
            raise PackError(
                f"the embedder must read {CHIP_PX}×{CHIP_PX} pixels, but reads {source.shape}"
            )
        self.dim = int(result.shape[-1])
        # Some exports fix the batch axis to 1: they are fed one chip at a time.
        self._fixed_batch = source.shape[0] == 1

    def embed(self, chips: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Unit vectors of RGB chips ``(n, 112, 112, 3)``, shape ``(n, dim)``."""
        if not len(chips):
            return np.empty((0, self.dim), np.float32)
        blob = (chips.astype(np.float32) - 127.5) * np.float32(1 / 127.5)
        blob = np.ascontiguousarray(blob.transpose(0, 3, 1, 2))
        step = 1 if self._fixed_batch else len(blob)
        vectors = np.concatenate(
            [
                self._session.run(None, {self._input: blob[at : at + step]})[0]
                for at in range(0, len(blob), step)
            ]
        )
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
        return unit
