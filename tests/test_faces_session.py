"""A session runs where it was asked to, or says in one sentence why it cannot."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from facelake.errors import EngineError
from facelake.faces import available_providers
from facelake.faces.session import (
    choose_provider,
    import_cv2,
    open_session,
    run_session,
    runtime_version,
)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class FakeRuntime(ModuleType):
    """An onnxruntime that was built with some providers, and of which some really start."""

    def __init__(self, built: list[str], starting: list[str]) -> None:
        super().__init__("onnxruntime")
        self.asked: list[str] = []
        self.fallback = True
        runtime = self

        class InferenceSession:
            def __init__(self, path: str, options: Any, *, providers: list[str]) -> None:
                runtime.asked, runtime.options = providers, options
                self._ran = [name for name in providers if name in starting]

            def disable_fallback(self) -> None:
                runtime.fallback = False

            def get_providers(self) -> list[str]:
                return self._ran

        self.InferenceSession = InferenceSession
        self.SessionOptions = SimpleNamespace
        self.options: Any = None
        self.get_available_providers = lambda: built


def install(monkeypatch: pytest.MonkeyPatch, built: list[str], starting: list[str]) -> FakeRuntime:
    runtime = FakeRuntime(built, starting)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    return runtime


MODEL = Path("model.onnx")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_cpu_runtime_runs_on_the_cpu(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, [CPU], [CPU])
    session = open_session(MODEL, device=device, threads=3)
    assert session.get_providers() == runtime.asked == [CPU]
    assert runtime.options.intra_op_num_threads == 3
    assert not runtime.fallback


def test_cuda_on_a_cpu_runtime_is_an_error_that_names_the_line_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, [CPU], [CPU])
    with pytest.raises(EngineError) as caught:
        open_session(MODEL, device="cuda")
    assert str(caught.value) == (
        "device 'cuda' needs an onnxruntime with CUDAExecutionProvider, but this one has only "
        "CPUExecutionProvider; pip uninstall onnxruntime && pip install 'facelake[gpu]'"
    )


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_runtime_runs_on_the_gpu(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, [CUDA, CPU], [CUDA, CPU])
    assert open_session(MODEL, device=device).get_providers()[0] == CUDA
    assert runtime.asked == [CUDA, CPU]


def test_a_gpu_runtime_that_is_asked_for_the_cpu_takes_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, [CUDA, CPU], [CUDA, CPU])
    assert open_session(MODEL, device="cpu").get_providers() == [CPU]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_that_does_not_start_is_an_error_and_no_silent_cpu_run(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, [CUDA, CPU], [CPU])
    expected = "model.onnx: must run on CUDAExecutionProvider, but onnxruntime fell back to CPU"
    with pytest.raises(EngineError, match=expected):
        open_session(MODEL, device=device)


@pytest.mark.parametrize(
    ("device", "built", "expected"),
    [
        ("auto", [CPU], CPU),
        ("auto", ["TensorrtExecutionProvider", CUDA, CPU], CUDA),
        ("cuda", [CUDA, CPU], CUDA),
        ("cpu", [CUDA, CPU], CPU),
    ],
)
def test_a_device_stands_for_the_best_provider_that_was_built_in(
    device: Any, built: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, built, built)
    assert choose_provider(device) == expected


# Running ----------------------------------------------------------------------------------------


class FailingSession:
    """A session that fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_providers(self) -> list[str]:
        return [CPU]

    def run(self, names: None, feed: dict[str, Any]) -> list[Any]:
        raise self._error


FEED = {"input.1": np.zeros((2, 3, 64, 96), np.float32)}
ON = "det.onnx cannot be run on input.1 2×3×64×96 float32 with CPUExecutionProvider "


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("Non-zero status:\n  7 by 8\n"), "(Non-zero status: 7 by 8)"),
        (
            RuntimeError("Failed to allocate memory for requested buffer"),
            "(Failed to allocate memory for requested buffer); memory ran out: take fewer workers "
            "or a smaller det_size",
        ),
        (
            MemoryError(),
            "(MemoryError); memory ran out: take fewer workers or a smaller det_size",
        ),
    ],
)
def test_a_run_that_fails_says_the_model_the_shapes_and_the_device(
    error: Exception, message: str
) -> None:
    with pytest.raises(EngineError) as caught:
        run_session(cast("Any", FailingSession(error)), "det.onnx", FEED)
    assert str(caught.value) == ON + message
    assert caught.value.__cause__ is error


# Nothing installed ------------------------------------------------------------------------------


def test_without_onnxruntime_there_is_a_sentence_and_no_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert available_providers() == []
    for ask in (lambda: open_session(MODEL), lambda: choose_provider("auto"), runtime_version):
        with pytest.raises(
            EngineError, match=r"needs onnxruntime, .*pip install 'facelake\[cpu\]'"
        ):
            ask()


def test_without_opencv_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(EngineError, match=r"needs OpenCV, .*pip install .*opencv"):
        import_cv2()


# The real one -----------------------------------------------------------------------------------


@pytest.mark.models
def test_the_real_runtime_says_what_it_runs_on(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from facelake.testing.fakepack import write_fake_pack

    assert CPU in available_providers()
    session = open_session(write_fake_pack(tmp_path) / "colour_embedder.onnx", device="cpu")
    assert session.get_providers() == [CPU]


@pytest.mark.models
@pytest.mark.parametrize("data", [b"", b"no model", None])
def test_a_file_that_is_no_model_is_refused_by_name(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "bad.onnx").write_bytes(data)
    with pytest.raises(EngineError, match=r"bad\.onnx: onnxruntime cannot load it"):
        open_session(tmp_path / "bad.onnx", device="cpu")


@pytest.mark.models
def test_the_real_runtime_says_which_shape_it_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from facelake.testing.fakepack import write_fake_pack

    session = open_session(write_fake_pack(tmp_path) / "colour_embedder.onnx", device="cpu")
    chips = np.zeros((2, 3, 112, 112), np.float32)
    (vectors,) = run_session(session, "colours", {"input.1": chips})
    assert vectors.shape == (2, 512)
    with pytest.raises(
        EngineError, match=r"^colours cannot be run on input\.1 2×4×112×112 float32"
    ):
        run_session(session, "colours", {"input.1": np.zeros((2, 4, 112, 112), np.float32)})
