"""The one place that makes onnxruntime sessions, runs them, and reads back what really runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelake.errors import EngineError
from facelake.schema import Device

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnxruntime

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

# Best first. A device takes its first rung that this onnxruntime was built with; only `auto` has a
# rung to fall to. TensorRT will be the rung above CUDA.
_LADDERS: dict[Device, tuple[str, ...]] = {
    "auto": (CUDA_PROVIDER, CPU_PROVIDER),
    "cuda": (CUDA_PROVIDER,),
    "cpu": (CPU_PROVIDER,),
}


def available_providers() -> list[str]:
    """What this onnxruntime was built with, best first; empty when there is none."""
    try:
        return list(_runtime().get_available_providers())
    except EngineError:
        return []


def runtime_version() -> str:
    """The version of onnxruntime.

    Raises
    ------
    EngineError
        No onnxruntime.
    """
    return str(_runtime().__version__)


def choose_provider(device: Device) -> str:
    """The provider that a device stands for here.

    Raises
    ------
    EngineError
        No onnxruntime, or one without that provider.
    """
    built = _runtime().get_available_providers()
    for provider in _LADDERS[device]:
        if provider in built:
            return provider
    raise EngineError(
        f"device {device!r} needs an onnxruntime with {_LADDERS[device][0]}, but this one has only "
        f"{', '.join(built)}; pip uninstall onnxruntime && pip install 'facelake[gpu]'"
    )


def open_session(
    model: Path, *, device: Device = "auto", threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session that runs on the device that was asked for, or none at all.

    Parameters
    ----------
    model
        ONNX file.
    device
        ``auto`` takes CUDA where this onnxruntime has it, else the CPU. ``cuda`` never falls back.
    threads
        Threads of the CPU provider; 1 is best where several workers share the cores.

    Raises
    ------
    EngineError
        No onnxruntime, no such provider, or a model it cannot load.
    """
    provider = choose_provider(device)
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(
            str(model),
            options,
            providers=[provider] if provider == CPU_PROVIDER else [provider, CPU_PROVIDER],
        )
    except Exception as error:  # onnxruntime's errors share no other base
        raise EngineError(f"{model.name}: onnxruntime cannot load it ({error})") from error
    session.disable_fallback()
    ran = session.get_providers()[0]
    if ran != provider:
        raise EngineError(
            f"{model.name}: must run on {provider}, but onnxruntime fell back to {ran}; "
            "facelake doctor says what is missing, and --device cpu does without"
        )
    return session


def run_session(
    session: onnxruntime.InferenceSession,
    name: str,
    feed: Mapping[str, npt.NDArray[Any]],
) -> list[npt.NDArray[np.float32]]:
    """The outputs of a session for its inputs.

    Parameters
    ----------
    session
        From `open_session`.
    name
        What the model is called in messages.
    feed
        An array for each input's name.

    Raises
    ------
    EngineError
        It does not fit the model, or there is not enough memory; the message says the shapes.
    """
    try:
        outputs: list[npt.NDArray[np.float32]] = session.run(None, dict(feed))
    except Exception as error:  # onnxruntime's errors share no other base
        raise EngineError(_why_not_run(session, name, feed, error)) from error
    return outputs


def _why_not_run(
    session: onnxruntime.InferenceSession,
    name: str,
    feed: Mapping[str, npt.NDArray[Any]],
    error: Exception,
) -> str:
    given = ", ".join(
        f"{key} {'×'.join(map(str, array.shape))} {array.dtype}" for key, array in feed.items()
    )
    told = " ".join(str(error).split()) or type(error).__name__  # onnxruntime's has line breaks
    reason = f"{name} cannot be run on {given} with {session.get_providers()[0]} ({told})"
    # No error of its own: an arena that cannot grow says "Failed to allocate", C++ "bad alloc".
    if isinstance(error, MemoryError) or "alloc" in told:
        return f"{reason}; memory ran out: take fewer workers or a smaller det_size"
    return reason


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            "looking at faces needs onnxruntime, which is not installed; "
            "pip install 'facelake[cpu]' (or 'facelake[gpu]' on an NVIDIA machine)"
        ) from error
    return onnxruntime


def import_cv2() -> Any:
    """OpenCV, or a sentence that says how to get it."""
    try:
        import cv2
    except ImportError as error:
        raise EngineError(
            f"looking at faces needs OpenCV, which cannot be loaded ({error}); pip install "
            "--force-reinstall --no-deps opencv-python-headless"
        ) from error
    return cv2
