"""Rewriting a model's graph so that it runs faster and gives the same numbers.

onnxruntime keeps a network in its blocked NCHWc layout as long as every node knows that layout.
PRelu does not: each one turns the tensor back and forth (65 reorders in MobileFaceNet). But

    PRelu(x; a) = a · x + (1 − a) · relu(x)

is two depthwise 1×1 convolutions, a Relu and an Add, which all do. One face then takes about half
the time. A rewritten graph is checked against its original before it is used, and kept in a cache
folder under the original's SHA-256.
"""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.errors import EngineError
from facelake.faces.session import open_session

if TYPE_CHECKING:
    import onnx

_VERSION = 1  # of the rewriting below; a new one makes new files
_TOLERANCE = 1e-4  # largest difference of unit vectors; rounding makes about 1e-6
_log = logging.getLogger(__name__)


def faster_embedder(model: Path, sha256: str) -> Path:
    """An embedder's graph without PRelu: from the cache, or made and checked now.

    A graph that cannot be rewritten, or does not give the same vectors, is used as it is, and a
    warning says why.

    Parameters
    ----------
    model
        The original ONNX file.
    sha256
        Its fingerprint.
    """
    cached = cache_folder() / f"{model.stem}-{sha256[:16]}-v{_VERSION}.onnx"
    if cached.is_file():
        return cached
    try:
        import onnx
    except ImportError:
        _log.warning("%s runs as it is, at half the speed: onnx is not installed", model.name)
        return model
    graph = onnx.load(str(model))
    if not replace_prelu(graph):
        return model
    cached.parent.mkdir(parents=True, exist_ok=True)
    made = cached.with_name(f"{cached.stem}.{os.getpid()}.{secrets.token_hex(4)}.onnx")
    try:
        onnx.save(graph, str(made))
        difference = _difference(model, made)
        if not difference <= _TOLERANCE:
            _log.warning(
                "%s runs as it is: rewritten, its vectors differ by %.1e", model.name, difference
            )
            return model
        made.replace(cached)
    except (EngineError, OSError) as error:
        _log.warning("%s runs as it is: %s", model.name, error)
        return model
    finally:
        made.unlink(missing_ok=True)
    return cached


def cache_folder() -> Path:
    """Where rewritten graphs are kept; ``FACELAKE_CACHE`` moves it."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("FACELAKE_CACHE") or f"{home}/facelake").expanduser() / "graphs"


def replace_prelu(model: onnx.ModelProto) -> int:
    """Write each PRelu with a slope per channel as convolutions, in place; gives how many.

    A PRelu whose slopes are computed, or differ within a channel, stays.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    slopes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes, n_replaced = [], 0
    for node in graph.node:
        slope = slopes.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
            nodes.append(node)
            continue
        n_replaced += 1
        name, (source,), (target,) = f"facelake_prelu_{n_replaced}", node.input[:1], node.output
        channels = len(slope)
        kernel = slope.reshape(channels, 1, 1, 1)
        graph.initializer.extend(
            [
                numpy_helper.from_array(kernel, f"{name}_a"),
                numpy_helper.from_array((1 - kernel).astype(kernel.dtype), f"{name}_b"),
            ]
        )
        depthwise: dict[str, Any] = {"group": channels, "kernel_shape": [1, 1]}
        nodes += [
            helper.make_node("Conv", [source, f"{name}_a"], [f"{name}_ax"], **depthwise),
            helper.make_node("Relu", [source], [f"{name}_r"]),
            helper.make_node("Conv", [f"{name}_r", f"{name}_b"], [f"{name}_br"], **depthwise),
            helper.make_node("Add", [f"{name}_ax", f"{name}_br"], [target]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    return n_replaced


def _difference(original: Path, rewritten: Path) -> float:
    """Largest difference of the unit vectors that two embedders give for the same two chips."""
    chips = np.random.default_rng(0).uniform(-1, 1, (2, 3, 112, 112)).astype(np.float32)
    vectors = []
    for model in (original, rewritten):
        session = open_session(model, device="cpu")
        name = session.get_inputs()[0].name
        found = np.concatenate([session.run(None, {name: chip[None]})[0] for chip in chips])
        vectors.append(found / np.linalg.norm(found, axis=1, keepdims=True))
    return float(np.abs(vectors[0] - vectors[1]).max())
