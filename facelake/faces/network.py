"""One network of a pack, ready to run: its session, and what may go into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from facelake.faces.graphs import ready_detector, ready_embedder
from facelake.faces.session import CPU_PROVIDER, choose_provider, open_session, run_session
from facelake.schema import Device

Blob = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


class Network:
    """A model's rewritten graph in a session on a device.

    Parameters
    ----------
    model, sha256
        The original ONNX file and its fingerprint.
    kind
        Which rewriting it takes.
    device
        ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
    threads
        Of the CPU provider.

    Attributes
    ----------
    uint8
        Whether it reads uint8 ``[n, height, width, 3]`` and normalises itself, or normalised
        float32 ``[n, 3, height, width]``.
    batched
        Whether n may be more than 1.
    note
        Why the model runs as it is; empty when it is rewritten.
    provider
        What really runs, read back from the session.

    Raises
    ------
    EngineError
        No onnxruntime, no such device, or a model it cannot load.
    """

    def __init__(
        self,
        model: Path,
        sha256: str,
        kind: Literal["detector", "embedder"],
        *,
        device: Device = "auto",
        threads: int = 1,
    ) -> None:
        provider = choose_provider(device)
        if kind == "detector":
            ready = ready_detector(model, sha256)
        else:
            # What keeps onnxruntime's blocked layout on the CPU is of no use elsewhere.
            ready = ready_embedder(model, sha256, blocked=provider == CPU_PROVIDER)
        self.name = model.name
        self.uint8, self.batched, self.note = ready.uint8, ready.batched, ready.note
        self._session = open_session(ready.path, device=device, threads=threads)
        self.provider = str(self._session.get_providers()[0])
        source = self._session.get_inputs()[0]
        self._input = source.name
        self._input_shape = list(source.shape)

    @property
    def image_shape(self) -> list[Any]:
        """Height and width of its input; a side that is free is a name or ``None``."""
        return self._input_shape[1:3] if self.uint8 else self._input_shape[2:]

    @property
    def output_shapes(self) -> list[list[Any]]:
        """Shape of each output; free axes are names or ``None``."""
        return [list(output.shape) for output in self._session.get_outputs()]

    def run(self, blob: Blob) -> list[npt.NDArray[np.float32]]:
        """The outputs for a blob.

        Raises
        ------
        EngineError
            The session fails, out of memory for one; the message names model and shape.
        """
        outputs: list[npt.NDArray[np.float32]] = run_session(
            self._session, self.name, {self._input: blob}
        )
        return outputs
