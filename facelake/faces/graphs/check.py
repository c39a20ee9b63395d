"""A rewritten graph against its original, on two different images.

Differences are judged against the size of the original's numbers: the largest difference of each
output, divided by that output's largest absolute value. Rounding makes about 1e-6; an image that
got a neighbour's numbers makes about 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facelake.errors import EngineError
from facelake.faces.graphs.editor import RewriteError
from facelake.faces.session import open_session, run_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import onnxruntime

Floats = npt.NDArray[np.float32]
TOLERANCE = 1e-4

# Small, of different shape, and neither square: a height taken for a width is found out.
_SIZES = ((96, 160), (160, 128))
_USUAL_SIZE = (640, 640)  # for a graph that says its size is free, while something within is not
_CHIP = (112, 112)


def check_detector(original: Path, rewritten: Path, *, uint8: bool) -> None:
    """Refuse a rewritten detector that gives other boxes than its original.

    Compared at two input sizes, or at the one the original is made for; there, at another size it
    must run and give each image of a batch what it gives that image alone.

    Raises
    ------
    RewriteError
        It gives other numbers, or an image's numbers depend on its batch.
    EngineError
        It cannot be run.
    """
    expected = _original_outputs(original)
    session = _open_rewritten(rewritten)
    for size in sorted({*_SIZES, *expected}):
        images = _images(size)
        together = _run_rewritten(session, images, divisor=128.0, uint8=uint8)
        _compare_alone(session, images, together, divisor=128.0, uint8=uint8)
        if size not in expected:
            continue
        for image, outputs in enumerate(expected[size]):
            for new, old in zip(together, outputs, strict=True):
                _compare(new[image], old.reshape(-1, old.shape[-1]), f"at {size[0]}×{size[1]} ")


def check_embedder(original: Path, rewritten: Path, *, uint8: bool) -> None:
    """Refuse a rewritten embedder that gives other unit vectors than its original.

    Raises
    ------
    RewriteError
        It gives other vectors, or an image's vector depends on its batch.
    EngineError
        It cannot be run.
    """
    images = _images(_CHIP)
    session = open_session(original, device="cpu")
    expected = [_run_float(session, image, divisor=127.5)[0] for image in images]
    del session  # two copies of a large model need not be in memory at once
    session = _open_rewritten(rewritten)
    together = _run_rewritten(session, images, divisor=127.5, uint8=uint8)
    _compare_alone(session, images, together, divisor=127.5, uint8=uint8)
    for new, old in zip(together[0], expected, strict=True):
        _compare(new / np.linalg.norm(new), old[0] / np.linalg.norm(old[0]))


def _original_outputs(original: Path) -> dict[tuple[int, int], list[Sequence[Floats]]]:
    """The outputs of each image alone, at each of the sizes that the original can be run at."""
    session = open_session(original, device="cpu")
    height, width = session.get_inputs()[0].shape[2:]
    if isinstance(height, int) and isinstance(width, int):
        sizes: tuple[tuple[int, int], ...] = ((height, width),)
    else:
        sizes = _SIZES
    found: dict[tuple[int, int], list[Sequence[Floats]]] = {}
    for size in (*sizes, _USUAL_SIZE):
        if found and size not in sizes:
            break
        try:
            found[size] = [_run_float(session, image, divisor=128.0) for image in _images(size)]
        except EngineError:
            if size == _USUAL_SIZE:
                raise
    return found


def _images(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Two different images, shape ``(2, height, width, 3)``: colours that flow, and grain."""
    random = np.random.default_rng(0)
    grain = random.integers(-20, 21, (2, *size, 3))
    y, x = np.mgrid[: size[0], : size[1]] / 16
    turn = random.uniform(0, 6, (2, 1, 1, 3))
    flow = 128 + 100 * np.sin(x[None, :, :, None] + turn) * np.cos(y[None, :, :, None] - turn)
    images: npt.NDArray[np.uint8] = np.clip(flow + grain, 0, 255).astype(np.uint8)
    return images


def _open_rewritten(rewritten: Path) -> onnxruntime.InferenceSession:
    try:
        return open_session(rewritten, device="cpu")
    except EngineError as error:
        raise EngineError(f"rewritten, it cannot be loaded ({error.__cause__})") from error


def _run_float(
    session: onnxruntime.InferenceSession, image: npt.NDArray[np.uint8], *, divisor: float
) -> Sequence[Floats]:
    feed = {session.get_inputs()[0].name: _planes(image[None], divisor)}
    return run_session(session, "the original", feed)


def _run_rewritten(
    session: onnxruntime.InferenceSession,
    images: npt.NDArray[np.uint8],
    *,
    divisor: float,
    uint8: bool,
) -> Sequence[Floats]:
    batch = images if uint8 else _planes(images, divisor)
    return run_session(session, "rewritten, it", {session.get_inputs()[0].name: batch})


def _compare_alone(
    session: onnxruntime.InferenceSession,
    images: npt.NDArray[np.uint8],
    together: Sequence[Floats],
    *,
    divisor: float,
    uint8: bool,
) -> None:
    for at in range(len(images)):
        alone = _run_rewritten(session, images[at : at + 1], divisor=divisor, uint8=uint8)
        for both, one in zip(together, alone, strict=True):
            _compare(both[at], one[0], "in a batch ")


def _planes(images: npt.NDArray[np.uint8], divisor: float) -> npt.NDArray[np.float32]:
    numbers = (images.astype(np.float32) - np.float32(127.5)) * np.float32(1 / divisor)
    return np.ascontiguousarray(numbers.transpose(0, 3, 1, 2))


def _compare(found: Floats, expected: Floats, where: str = "") -> None:
    if found.shape != expected.shape:
        raise RewriteError(
            f"rewritten, its outputs {where}have shape {found.shape}, not {expected.shape}"
        )
    scale = max(float(np.abs(expected).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    difference = float(np.abs(found - expected).max(initial=0.0)) / scale
    if not difference <= TOLERANCE:  # also when it is no number
        raise RewriteError(
            f"rewritten, its outputs {where}differ by {difference:.1e} of their size, where at "
            f"most {TOLERANCE:.0e} is rounding"
        )
