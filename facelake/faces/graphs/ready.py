"""Which file to open for a model: its rewritten graph from the cache, made and checked if need be.

Beside each rewritten graph lies a record of its fingerprint, so that a damaged file is found out
and made again, and of a graph that cannot be rewritten, so that this is found out once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facelake.atomic import replacing
from facelake.errors import EngineError
from facelake.faces.graphs.check import check_detector, check_embedder
from facelake.faces.graphs.detector import free_detector, merge_heads
from facelake.faces.graphs.editor import Graph, RewriteError, load_graph, normalise_inside
from facelake.faces.graphs.embedder import free_embedder, replace_prelu, split_pairs
from facelake.faces.session import runtime_version

_VERSION = 2  # of the rewriting; a new one makes new files
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadyModel:
    """A model as it is to be opened and fed.

    Attributes
    ----------
    path
        File to open: rewritten and cached, or the original.
    uint8
        Whether it reads uint8 RGB ``[n, height, width, 3]`` and normalises it itself; otherwise
        normalised float32 ``[n, 3, height, width]``.
    batched
        Whether several images may go in at once; otherwise one at a time.
    note
        Why the original runs as it is; empty for a rewritten graph.
    """

    path: Path
    uint8: bool
    batched: bool
    note: str = ""


@dataclass(frozen=True)
class _Recipe:
    """How a kind of model is rewritten and checked; the name tells its files from others'."""

    name: str
    rewrite: Callable[[Graph], None]
    check: Callable[..., None]
    uint8: bool


def ready_detector(model: Path, sha256: str, *, uint8: bool = True) -> ReadyModel:
    """An SCRFD of free batch, height and width, multiples of 32; outputs ``[N, anchors, C]``.

    A graph that cannot be rewritten, or gives other numbers then, is used as it is, one image at a
    time; a warning and the note say why.

    Parameters
    ----------
    model
        The original ONNX file.
    sha256
        Its fingerprint.
    uint8
        Have the graph normalise uint8 images itself, ``(x − 127.5) / 128``.
    """

    def rewrite(graph: Graph) -> None:
        free_detector(graph)
        merge_heads(graph)
        if uint8:
            normalise_inside(graph, divisor=128.0)

    name = "uint8" if uint8 else "float"
    return _ready(model, sha256, _Recipe(name, rewrite, check_detector, uint8))


def ready_embedder(
    model: Path, sha256: str, *, uint8: bool = True, blocked: bool = True
) -> ReadyModel:
    """An ArcFace of free batch; output ``[N, dim]``.

    A graph that cannot be rewritten, or gives other vectors then, is used as it is, one image at a
    time; a warning and the note say why.

    Parameters
    ----------
    model
        The original ONNX file.
    sha256
        Its fingerprint.
    uint8
        Have the graph normalise uint8 images itself, ``(x − 127.5) / 127.5``.
    blocked
        Use only operators of onnxruntime's blocked layout; of use on the CPU and nowhere else.
    """

    def rewrite(graph: Graph) -> None:
        free_embedder(graph)
        if blocked:
            replace_prelu(graph)
            split_pairs(graph)
        if uint8:
            normalise_inside(graph, divisor=127.5)

    name = ("uint8" if uint8 else "float") + ("-blocked" if blocked else "")
    return _ready(model, sha256, _Recipe(name, rewrite, check_embedder, uint8))


def cache_folder() -> Path:
    """Where rewritten graphs are kept; ``FACELAKE_CACHE`` moves it."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("FACELAKE_CACHE") or f"{home}/facelake").expanduser() / "graphs"


def _ready(model: Path, sha256: str, recipe: _Recipe) -> ReadyModel:
    cached = cache_folder() / f"{model.stem}-{sha256[:16]}-{recipe.name}-v{_VERSION}.onnx"
    try:
        reason = _recorded(cached)
        if reason is None:
            reason = _make(model, cached, recipe)
    except (EngineError, OSError) as error:  # of this machine or moment: not recorded
        reason = str(error)
    if not reason:
        return ReadyModel(cached, recipe.uint8, batched=True)
    note = f"{model.name} runs as it is, one image at a time: {reason}"
    _log.warning("%s", note)
    return ReadyModel(model, uint8=False, batched=False, note=note)


def _make(model: Path, cached: Path, recipe: _Recipe) -> str:
    """Rewrite, check and publish; why not, or nothing when it went well. Both are recorded."""
    # Found, not imported: a graph from the cache needs no onnx, which takes a while to import.
    if importlib.util.find_spec("onnx") is None:
        raise EngineError("onnx, which rewrites graphs, is not installed; pip install onnx")
    _log.info("%s is rewritten and checked; this happens once", model.name)
    reason = ""
    try:
        with replacing(cached) as part:
            fingerprint = _write_rewritten(model, part, recipe)
            recipe.check(model, part, uint8=recipe.uint8)
    except RewriteError as error:
        fingerprint, reason = "", str(error)
    record = {"reason": reason, "sha256": fingerprint, "onnxruntime": runtime_version()}
    with replacing(_record_of(cached)) as part:
        part.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return reason


def _write_rewritten(model: Path, part: Path, recipe: _Recipe) -> str:
    """Write the rewritten graph; gives its SHA-256."""
    graph = load_graph(model)
    recipe.rewrite(graph)
    # In a fixed order: two processes that make the same file at once make the same bytes.
    data = graph.finish().SerializeToString(deterministic=True)
    part.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _recorded(cached: Path) -> str | None:
    """The outcome of an earlier rewriting: why not, or nothing; ``None`` when it must be done.

    It must be done again for another onnxruntime, which may run the graph in another way.
    """
    try:
        record = json.loads(_record_of(cached).read_text("utf-8"))
        if record["onnxruntime"] != runtime_version():
            return None
        if not record["reason"]:
            with cached.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != record["sha256"]:
                    return None
        return str(record["reason"])
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _record_of(cached: Path) -> Path:
    return cached.with_suffix(".json")
