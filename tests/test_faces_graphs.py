"""The rewritten embedder gives the original's vectors."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from facelake.faces import graphs  # noqa: E402
from facelake.faces.graphs import faster_embedder, replace_prelu  # noqa: E402
from facelake.faces.session import open_session  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACELAKE_CACHE", str(tmp_path / "cache"))


def write_embedder(path: Path, *, slope_shape: tuple[int, ...] = (4, 1, 1)) -> Path:
    """Conv → PRelu → Conv → PRelu → mean over the picture: an embedder in small."""
    rng = np.random.default_rng(1)

    def tensor(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["chip", "w1"], ["a"], kernel_shape=[3, 3], strides=[8, 8]),
        helper.make_node("PRelu", ["a", "slope1"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("PRelu", ["c", "slope2"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["vector"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("chip", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 4])],
        [
            tensor("w1", 4, 3, 3, 3),
            tensor("w2", 4, 4, 1, 1),
            tensor("slope1", *slope_shape),
            tensor("slope2", *slope_shape),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.save(model, str(path))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(path: Path, chips: np.ndarray) -> np.ndarray:
    session = open_session(path, device="cpu")
    return np.asarray(session.run(None, {session.get_inputs()[0].name: chips})[0])


def test_the_rewritten_graph_has_no_prelu_and_the_same_vectors(tmp_path: Path) -> None:
    original = write_embedder(tmp_path / "small.onnx")
    rewritten = faster_embedder(original, sha256(original))
    assert rewritten != original
    kinds = {node.op_type for node in onnx.load(str(rewritten)).graph.node}
    assert "PRelu" not in kinds
    assert "Conv" in kinds
    chips = np.random.default_rng(2).uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
    np.testing.assert_allclose(run(rewritten, chips), run(original, chips), rtol=1e-4, atol=1e-5)


def test_a_second_call_takes_the_cached_file(tmp_path: Path) -> None:
    original = write_embedder(tmp_path / "small.onnx")
    first = faster_embedder(original, sha256(original))
    written = first.stat().st_mtime_ns
    assert faster_embedder(original, sha256(original)) == first
    assert first.stat().st_mtime_ns == written
    assert [first] == list(first.parent.iterdir()), "no half-made file is left beside it"


def test_slopes_that_are_not_per_channel_stay_as_they_are(tmp_path: Path) -> None:
    original = write_embedder(tmp_path / "small.onnx", slope_shape=(1,))
    assert replace_prelu(onnx.load(str(original))) == 0
    assert faster_embedder(original, sha256(original)) == original


def test_a_rewriting_that_changes_the_vectors_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(model: Any) -> int:
        replaced = replace_prelu(model)
        for tensor in model.graph.initializer:
            if tensor.name == "w2":
                weights = numpy_helper.to_array(tensor) + 0.5
                tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float32), "w2"))
        return replaced

    monkeypatch.setattr(graphs, "replace_prelu", spoil)
    original = write_embedder(tmp_path / "small.onnx")
    with caplog.at_level(logging.WARNING):
        assert faster_embedder(original, sha256(original)) == original
    assert "its vectors differ" in caplog.text


@pytest.mark.models
def test_the_real_embedder_keeps_its_vectors() -> None:
    from facelake.faces import find_pack

    pack = find_pack("buffalo_sc")
    rewritten = faster_embedder(pack.embedder, pack.embedder_sha256)
    assert rewritten != pack.embedder
    chips = np.random.default_rng(3).uniform(-1, 1, (2, 3, 112, 112)).astype(np.float32)
    old, new = run(pack.embedder, chips), run(rewritten, chips)
    cosine = (old * new).sum(1) / np.linalg.norm(old, axis=1) / np.linalg.norm(new, axis=1)
    assert cosine.min() > 0.99999
