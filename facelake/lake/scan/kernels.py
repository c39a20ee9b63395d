"""Products of codes with probes, on what this machine has: SIMD, plain NumPy, or a GPU.

All give the same integers: products of small integers are exact in each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facelake.errors import EngineError

if TYPE_CHECKING:
    import numpy.typing as npt

KernelName = Literal["auto", "numkong", "numpy", "cupy"]

_LONGEST = 1.001  # float16 makes no unit vector longer
_FLOAT32 = 1e-5  # more than a sum of 512 products in float32 is off

Kernel = Callable[["npt.NDArray[np.uint8]", "npt.NDArray[np.uint8]"], "npt.NDArray[np.int32]"]
"""Codes of the two halves, each ``(n, half)`` → every row's greatest product, ``(n,)``."""


def make_kernel(
    low: npt.NDArray[np.int8], high: npt.NDArray[np.int8], *, zero: int, name: KernelName = "auto"
) -> Kernel:
    """A kernel for probes whose halves are ``low`` and ``high``, each ``(n_probes, half)``.

    Parameters
    ----------
    zero
        The code that stands for 0.
    name
        ``auto`` takes NumKong where it is installed and NumPy elsewhere; ``cupy`` is the GPU.

    Raises
    ------
    EngineError
        What was named is not installed, or finds no GPU.
    """
    # Σ u·(code − zero) = Σ u·code − zero·Σ u: the codes stay as they are read.
    lift = zero * (low.sum(axis=1, dtype=np.int32) + high.sum(axis=1, dtype=np.int32))
    if name in ("auto", "numkong"):
        try:
            return _numkong_kernel(low, high, lift)
        except ImportError as error:
            if name == "numkong":
                raise EngineError("numkong is not installed: pip install numkong") from error
    return _array_kernel(_cupy() if name == "cupy" else np, low, high, lift)


class BestScore:
    """About what the best of some probes scores with each embedding, and how far off it may be.

    Attributes
    ----------
    slack
        No score is further off than this.

    Parameters
    ----------
    probes
        Shape ``(n_probes, dim)``.
    """

    def __init__(self, probes: npt.NDArray[np.floating[Any]]) -> None:
        half = probes.astype(np.float16)
        self._scores: Callable[[npt.NDArray[np.float16]], Any]
        try:
            import numkong

            # Its products of float16 are summed in float32. A BLAS would wake threads of its own
            # for each of these small blocks, beside those that call it.
            packed = numkong.dots_pack(half, dtype="f16")
            self._scores = lambda vectors: np.asarray(numkong.dots_packed(vectors, packed))
            off = probes.astype(np.float64) - half
        except ImportError:
            columns = np.ascontiguousarray(probes.T, np.float32)
            self._scores = lambda vectors: vectors.astype(np.float32) @ columns
            off = probes.astype(np.float64) - probes.astype(np.float32)
        self.slack = float(np.linalg.norm(off, axis=1).max()) * _LONGEST + _FLOAT32

    def __call__(self, vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
        """The scores of embeddings, shape ``(n, dim)``: one each."""
        best: npt.NDArray[np.float32] = self._scores(np.ascontiguousarray(vectors)).max(axis=1)
        return best


def _numkong_kernel(
    low: npt.NDArray[np.int8], high: npt.NDArray[np.int8], lift: npt.NDArray[np.int32]
) -> Kernel:
    import numkong

    packed_low, packed_high = numkong.dots_pack(low), numkong.dots_pack(high)

    def best(low_codes: npt.NDArray[np.uint8], high_codes: npt.NDArray[np.uint8]) -> Any:
        products = np.asarray(numkong.dots_packed(low_codes.view(np.int8), packed_low))
        products = products + np.asarray(numkong.dots_packed(high_codes.view(np.int8), packed_high))
        products -= lift
        return products.max(axis=1)

    return best


def _array_kernel(
    xp: Any, low: npt.NDArray[np.int8], high: npt.NDArray[np.int8], lift: npt.NDArray[np.int32]
) -> Kernel:
    """NumPy's, and CuPy's word for word; float32 holds these integers exactly."""
    weights = xp.concatenate([xp.asarray(low), xp.asarray(high)], axis=1).astype(xp.float32).T
    down = xp.asarray(lift).astype(xp.float32)

    def best(low_codes: npt.NDArray[np.uint8], high_codes: npt.NDArray[np.uint8]) -> Any:
        codes = xp.concatenate([xp.asarray(low_codes), xp.asarray(high_codes)], axis=1)
        greatest = (codes.astype(xp.float32) @ weights - down).max(axis=1).astype(xp.int32)
        return greatest if xp is np else xp.asnumpy(greatest)

    return best


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise EngineError(
            "CuPy is not installed: pip install cupy-cuda13x (CUDA 12: cupy-cuda12x)"
        ) from error
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise EngineError(f"CuPy finds no GPU it can use ({error})") from error
    return cupy
