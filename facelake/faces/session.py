"""The one place that makes onnxruntime sessions, and reads back what really runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelake.errors import EngineError
from facelake.schema import Device

if TYPE_CHECKING:
    import onnxruntime

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"


def available_providers() -> list[str]:
    """What this onnxruntime was built with, best first; empty when there is none."""
    try:
        return list(_runtime().get_available_providers())
    except EngineError:
        return []


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
    runtime = _runtime()
    provider = _choose(device, runtime.get_available_providers())
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


def _choose(device: Device, available: list[str]) -> str:
    if device == "cpu" or (device == "auto" and CUDA_PROVIDER not in available):
        return CPU_PROVIDER
    if CUDA_PROVIDER not in available:
        raise EngineError(
            f"device 'cuda' needs an onnxruntime with {CUDA_PROVIDER}, but this one has only "
            f"{', '.join(available)}; pip uninstall onnxruntime && pip install 'facelake[gpu]'"
        )
    return CUDA_PROVIDER


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
