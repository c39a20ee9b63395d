"""ArcFace: aligned chips → unit vectors. Deng et al., CVPR 2019."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces.align import CHIP_PX
from facelake.faces.network import Blob, Network


class Embedder:
    """An ArcFace network: one input of 112-pixel chips, one output ``[n, dim]``.

    Parameters
    ----------
    batch
        Most chips that go into the network at once.
    """

    def __init__(self, network: Network, *, batch: int = 1) -> None:
        self._network = network
        if network.image_shape != [CHIP_PX, CHIP_PX]:
            raise PackError(
                f"the embedder must read {CHIP_PX}×{CHIP_PX} pixels, but reads "
                f"{network.image_shape}"
            )
        self.dim = int(network.output_shapes[0][-1])
        self.batch = batch if network.batched else 1

    def embed(self, chips: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Unit vectors of RGB chips ``(n, 112, 112, 3)``, shape ``(n, dim)``."""
        if not len(chips):
            return np.empty((0, self.dim), np.float32)
        vectors = np.concatenate(
            [
                self._network.run(self._blob(chips[at : at + self.batch]))[0]
                for at in range(0, len(chips), self.batch)
            ]
        )
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
        return unit

    def bare(self, chips: npt.NDArray[np.uint8]) -> Callable[[], object]:
        """The network's run alone on these chips, for benchmarks."""
        return partial(self._network.run, self._blob(chips))

    def _blob(self, chips: npt.NDArray[np.uint8]) -> Blob:
        if self._network.uint8:
            return np.ascontiguousarray(chips)
        blob = (chips.astype(np.float32) - 127.5) * np.float32(1 / 127.5)
        return np.ascontiguousarray(blob.transpose(0, 3, 1, 2))
