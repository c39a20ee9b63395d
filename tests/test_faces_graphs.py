"""A rewritten graph gives its original's numbers, in any batch; or the original runs as it is."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from facelake.errors import EngineError  # noqa: E402
from facelake.faces.graphs import ReadyModel, ready, ready_detector, ready_embedder  # noqa: E402
from facelake.faces.graphs.detector import merge_heads  # noqa: E402
from facelake.faces.graphs.editor import Graph, load_graph  # noqa: E402
from facelake.faces.graphs.embedder import replace_prelu, split_pairs  # noqa: E402
from facelake.testing.fakepack import detector_graph, embedder_graph  # noqa: E402
from facelake.testing.oldexports import BatchAxis, old_arcface, old_scrfd  # noqa: E402

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACELAKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def saved(path: Path, model: Any) -> tuple[Path, str]:
    """A model's file and fingerprint, as the rewriting takes them."""
    onnx.save(model, str(path))
    return path, sha256(path)


@pytest.fixture
def detector(tmp_path: Path) -> tuple[Path, str]:
    return saved(tmp_path / "det_10g.onnx", old_scrfd())


@pytest.fixture
def embedder(tmp_path: Path) -> tuple[Path, str]:
    return saved(tmp_path / "w600k_r50.onnx", old_arcface())


def images(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def normalised(pictures: Array, divisor: float) -> Array:
    return ((pictures.astype(np.float32) - 127.5) / np.float32(divisor)).transpose(0, 3, 1, 2)


def run(path: Path, batch: Array) -> list[Array]:
    """What plain onnxruntime gives; its session is none of ours."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, {session.get_inputs()[0].name: batch})
    return outputs


def run_ready(ready_model: ReadyModel, pictures: Array, divisor: float) -> list[Array]:
    return run(ready_model.path, pictures if ready_model.uint8 else normalised(pictures, divisor))


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def assert_gives_the_originals_rows(ready_model: ReadyModel, original: Path, *size: int) -> None:
    """Three images at once give what the original gives for each of them alone."""
    pictures = images(3, *size)
    together = run_ready(ready_model, pictures, 128.0)
    anchors = [2 * (size[0] // stride) * (size[1] // stride) for stride in (8, 16, 32)] * 3
    assert sorted(out.shape[:2] for out in together) == sorted((3, rows) for rows in anchors)
    for at, picture in enumerate(pictures):
        alone = run(original, normalised(picture[None], 128.0))
        for new, old in zip(together, alone, strict=True):
            np.testing.assert_allclose(new[at], old.reshape(new[at].shape), atol=1e-5, rtol=1e-4)


# Detectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("uint8", [True, False])
@pytest.mark.parametrize("batch", ["third", "first"])
@pytest.mark.parametrize("size", [(64, 96), (128, 32)])
def test_either_export_of_a_detector_takes_any_batch_and_size(
    batch: BatchAxis, size: tuple[int, int], uint8: bool, tmp_path: Path
) -> None:
    original, fingerprint = saved(tmp_path / "det.onnx", old_scrfd(batch=batch))
    made = ready_detector(original, fingerprint, uint8=uint8)
    assert (made.note, made.uint8, made.batched) == ("", uint8, True)
    assert_gives_the_originals_rows(made, original, *size)


@pytest.mark.parametrize("batch", ["third", "first"])
def test_a_detector_of_fixed_size_becomes_free(batch: BatchAxis, tmp_path: Path) -> None:
    original, fingerprint = saved(tmp_path / "det.onnx", old_scrfd(batch=batch, size=(96, 128)))
    made = ready_detector(original, fingerprint)
    assert made.batched, made.note
    assert_gives_the_originals_rows(made, original, 96, 128)
    free, _ = saved(tmp_path / "free.onnx", old_scrfd(batch=batch))  # the same weights
    assert_gives_the_originals_rows(made, free, 160, 64)


def test_a_rewritten_detector_computes_no_shapes_and_keeps_its_norms(
    detector: tuple[Path, str],
) -> None:
    made = ready_detector(*detector)
    before, after = kinds(detector[0]), kinds(made.path)
    assert {"Shape", "Gather", "Unsqueeze", "Slice"} <= set(before)
    assert not {"Shape", "Gather", "Unsqueeze", "Slice", "Concat"} & set(after)
    assert after[:4] == ["Transpose", "Cast", "Sub", "Mul"]
    assert after.count("BatchNormalization") == before.count("BatchNormalization") == 4
    # Three heads of three convolutions become three convolutions.
    assert after.count("Conv") == before.count("Conv") - 6


def test_a_detector_in_newer_operators_is_rewritten_too(tmp_path: Path) -> None:
    original, fingerprint = saved(tmp_path / "squares.onnx", detector_graph())  # opset 17
    made = ready_detector(original, fingerprint)
    assert made.batched, made.note
    assert_gives_the_originals_rows(made, original, 64, 96)


def test_an_original_that_names_its_size_free_but_is_not_is_compared_at_its_own(
    tmp_path: Path,
) -> None:
    model = old_scrfd(size=(640, 640))
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "?"
    original, fingerprint = saved(tmp_path / "det.onnx", model)
    made = ready_detector(original, fingerprint)
    assert made.batched, made.note
    assert_gives_the_originals_rows(made, original, 640, 640)


def test_a_head_that_looks_in_another_way_stays_apart() -> None:
    graph = Graph(old_scrfd())
    makers = graph.makers()
    turned = next(node for node in graph.nodes if node.op_type == "Transpose")
    head = makers[turned.input[0]]
    next(entry for entry in head.attribute if entry.name == "dilations").ints[:] = [2, 2]
    # Of nine convolutions two are left at stride 8, one each at 16 and 32.
    assert merge_heads(graph) == 9 - (2 + 1 + 1)
    assert head in graph.nodes


@pytest.mark.models
def test_the_real_detector_keeps_its_boxes() -> None:
    from facelake.faces import find_pack

    pack = find_pack("buffalo_sc")
    made = ready_detector(pack.detector, pack.detector_sha256)
    assert made.batched, made.note
    assert_gives_the_originals_rows(made, pack.detector, 192, 320)


# Embedders --------------------------------------------------------------------------------------


def assert_gives_the_originals_vectors(ready_model: ReadyModel, original: Path) -> None:
    chips = images(3, 112, 112)
    (together,) = run_ready(ready_model, chips, 127.5)
    for new, chip in zip(together, chips, strict=True):
        (old,) = run(original, normalised(chip[None], 127.5))
        cosine = new @ old[0] / np.linalg.norm(new) / np.linalg.norm(old[0])
        assert cosine > 0.999999
        assert np.linalg.norm(new) == pytest.approx(np.linalg.norm(old), rel=1e-4)


@pytest.mark.parametrize("uint8", [True, False])
@pytest.mark.parametrize("reshaped", [True, False])
@pytest.mark.parametrize("steepest", [0.5, 1.0, 1.7])
def test_an_embedder_takes_any_batch(
    steepest: float, reshaped: bool, uint8: bool, tmp_path: Path
) -> None:
    model = old_arcface(steepest=steepest, reshaped=reshaped)
    original, fingerprint = saved(tmp_path / "r50.onnx", model)
    made = ready_embedder(original, fingerprint, uint8=uint8)
    assert (made.note, made.uint8, made.batched) == ("", uint8, True)
    assert_gives_the_originals_vectors(made, original)


def test_a_rewritten_embedder_has_no_prelu_and_keeps_its_norms(embedder: tuple[Path, str]) -> None:
    before, after = kinds(embedder[0]), kinds(ready_embedder(*embedder).path)
    assert before.count("PRelu") == 4
    assert "PRelu" not in after
    assert after.count("BatchNormalization") == before.count("BatchNormalization") == 4


def test_off_the_cpu_only_batch_and_front_are_rewritten(embedder: tuple[Path, str]) -> None:
    made = ready_embedder(*embedder, blocked=False)
    before, after = kinds(embedder[0]), kinds(made.path)
    assert after == ["Transpose", "Cast", "Sub", "Mul", *before]
    assert made.path != ready_embedder(*embedder).path
    assert_gives_the_originals_vectors(made, embedder[0])


@pytest.mark.models
def test_the_real_embedder_keeps_its_vectors() -> None:
    from facelake.faces import find_pack

    pack = find_pack("buffalo_sc")
    made = ready_embedder(pack.embedder, pack.embedder_sha256)
    assert made.batched, made.note
    assert_gives_the_originals_vectors(made, pack.embedder)


# Single rewritings ------------------------------------------------------------------------------


def one_node(node: Any, channels: int, weights: dict[str, Array]) -> Any:
    """A model of one node from ``x`` to ``y`` over maps of five by four."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, 5, 4])
        for name in ("x", "y")
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


def run_bytes(model: Any, x: Array) -> Array:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


@given(
    st.lists(st.floats(-2, 3, width=32), min_size=2, max_size=6),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_a_prelu_of_any_slopes_is_what_its_definition_says(slopes: list[float], seed: int) -> None:
    slope = np.array(slopes, np.float32).reshape(-1, 1, 1)
    prelu = helper.make_node("PRelu", ["x", "a"], ["y"])
    graph = Graph(one_node(prelu, len(slopes), {"a": slope}))
    assert replace_prelu(graph) == 1
    x = np.random.default_rng(seed).normal(size=(2, len(slopes), 5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        run_bytes(graph.finish(), x), np.where(x > 0, x, slope * x), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1), (4, 5, 4), (1, 5, 1)])
def test_slopes_that_are_not_one_for_each_channel_stay(shape: tuple[int, ...]) -> None:
    prelu = helper.make_node("PRelu", ["x", "a"], ["y"])
    graph = Graph(one_node(prelu, 4, {"a": np.full(shape, 0.5, np.float32)}))
    assert replace_prelu(graph) == 0
    assert [node.op_type for node in graph.nodes] == ["PRelu"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [16, 48])
def test_a_convolution_over_pairs_is_what_the_reference_computes(channels: int, bias: bool) -> None:
    random = np.random.default_rng(3)
    weights = {"w": random.normal(size=(channels, 2, 3, 3)).astype(np.float32)}
    if bias:
        weights["b"] = random.normal(size=channels).astype(np.float32)
    conv = helper.make_node("Conv", ["x", *weights], ["y"], group=channels // 2, pads=[1] * 4)
    model = one_node(conv, channels, weights)
    x = random.normal(size=(2, channels, 5, 4)).astype(np.float32)
    expected: Any = ReferenceEvaluator(model).run(None, {"x": x})
    graph = Graph(model)
    assert split_pairs(graph) == 1
    np.testing.assert_allclose(run_bytes(graph.finish(), x), expected[0], atol=1e-4)


@pytest.mark.parametrize(("channels", "group"), [(16, 16), (16, 1), (16, 4), (8, 4)])
def test_other_convolutions_stay(channels: int, group: int) -> None:
    weights = np.ones((channels, channels // group, 1, 1), np.float32)
    conv = helper.make_node("Conv", ["x", "w"], ["y"], group=group)
    assert split_pairs(Graph(one_node(conv, channels, {"w": weights}))) == 0


# What cannot be rewritten -----------------------------------------------------------------------


def refused(made: ReadyModel, original: Path, caplog: pytest.LogCaptureFixture) -> str:
    """The reason for which the original runs as it is, which was told once."""
    assert (made.path, made.uint8, made.batched) == (original, False, False)
    start = f"{original.name} runs as it is, one image at a time: "
    assert made.note.startswith(start)
    assert [record.message for record in caplog.records] == [made.note]
    return made.note.removeprefix(start)


def without_landmarks() -> Any:
    model = old_scrfd()
    del model.graph.output[6:]
    return model


def with_two_inputs() -> Any:
    model = old_scrfd()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    return model


def with_halves() -> Any:
    model = old_scrfd()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def with_branches() -> Any:
    model = old_scrfd()
    branch = helper.make_graph([], "then", [], [])
    model.graph.node.append(
        helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch)
    )
    return model


def with_weights_elsewhere() -> Any:
    model = old_scrfd()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model


def turned_otherwise() -> Any:
    model = old_scrfd()
    last = [node for node in model.graph.node if node.op_type == "Transpose"][-1]
    last.attribute[0].ints[:] = [3, 2, 0, 1]
    return model


def without_transpose() -> Any:
    model = old_scrfd()
    last = [node for node in model.graph.node if node.op_type == "Transpose"][-1]
    last.op_type = "Softplus"
    del last.attribute[:]
    return model


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (without_landmarks, "it must have 9 outputs, but has 6"),
        (with_two_inputs, "it must read one batch of images, but reads input.1 [1, 3, '?', '?'], "),
        (with_halves, "it must read float32, but reads FLOAT16"),
        (with_branches, "its graph branches or loops (If '')"),
        (with_weights_elsewhere, "its weights lie in another file, which no fingerprint covers"),
        (turned_otherwise, "must be turned by [0, 2, 3, 1] or [2, 3, 0, 1], but that of "),
        (without_transpose, "each output must be a turned and reshaped map, but "),
    ],
)
def test_a_detector_of_another_build_runs_as_it_is(
    build: Callable[[], Any], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = tmp_path / "odd.onnx"
    original.write_bytes(build().SerializeToString())
    assert reason in refused(ready_detector(original, sha256(original)), original, caplog)


def test_a_file_that_is_no_model_is_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    made = ready_embedder(tmp_path / "bad.onnx", "0" * 64)
    assert "it is no ONNX file" in refused(made, tmp_path / "bad.onnx", caplog)


def test_an_embedder_that_gives_maps_runs_as_it_is(
    detector: tuple[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    reason = refused(ready_embedder(*detector), detector[0], caplog)
    assert reason.startswith("it must give one vector an image, but gives ")


# The check --------------------------------------------------------------------------------------


def interleave(graph: Graph) -> None:
    """What happens when only the input's batch is set free: images come out interleaved."""
    for node in graph.nodes:
        if node.op_type == "Transpose" and list(node.attribute[0].ints) == [0, 2, 3, 1]:
            node.attribute[0].ints[:] = [2, 3, 0, 1]


def mix_the_batch(graph: Graph) -> None:
    """Every image gets the batch's largest value: right for one image, wrong for two."""
    for node in list(graph.nodes):
        if node.op_type == "Sigmoid":
            source = graph.new_name("largest")
            largest = helper.make_node("ReduceMax", [node.input[0]], [source], axes=[0])
            node.input[0] = source
            graph.nodes.insert(graph.nodes.index(node), largest)


def nudge(graph: Graph) -> None:
    """A weight that is three in a thousand off."""
    conv = next(node for node in graph.nodes if node.op_type == "Conv")
    weights = graph.constant(conv.input[1])
    assert weights is not None
    conv.input[1] = graph.add_constant(weights * 1.003)


def shrink(graph: Graph) -> None:
    """A pyramid that is enlarged by other numbers at every size but one."""
    for node in graph.nodes:
        if node.op_type == "Resize":
            nothing = [graph.add_constant([]) for _ in range(2)]
            fixed = graph.add_constant([2, 8, 12, 20], np.int64)
            node.input[1:] = [*nothing, fixed]


def lose_weights(graph: Graph) -> None:
    """An input that nothing makes."""
    next(node for node in graph.nodes if node.op_type == "Conv").input[1] = "nowhere"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (interleave, "rewritten, its outputs in a batch "),
        (mix_the_batch, "rewritten, its outputs in a batch "),
        (nudge, "rewritten, its outputs at 96×160 differ by "),
        (shrink, "rewritten, it cannot be run on facelake_rgb 2×96×160×3 uint8 with "),
        (lose_weights, "rewritten, it cannot be loaded ("),
    ],
)
def test_a_spoiled_detector_is_found_out_and_not_kept(
    spoil: Callable[[Graph], None],
    reason: str,
    detector: tuple[Path, str],
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def merge_and_spoil(graph: Graph) -> int:
        n_saved = merge_heads(graph)
        spoil(graph)
        return n_saved

    monkeypatch.setattr(ready, "merge_heads", merge_and_spoil)
    assert refused(ready_detector(*detector), detector[0], caplog).startswith(reason)
    assert not list(own_cache.glob("*.onnx"))


@pytest.mark.parametrize("spoil", [nudge, lose_weights])
def test_a_spoiled_embedder_is_found_out(
    spoil: Callable[[Graph], None],
    embedder: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def split_and_spoil(graph: Graph) -> int:
        spoil(graph)
        return 0

    monkeypatch.setattr(ready, "split_pairs", split_and_spoil)
    assert refused(ready_embedder(*embedder), embedder[0], caplog).startswith("rewritten, it")


# The cache --------------------------------------------------------------------------------------


@pytest.fixture
def rewritings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models that were really rewritten, in their order."""
    made: list[Path] = []

    def count(file: Path) -> Graph:
        made.append(file)
        return load_graph(file)

    monkeypatch.setattr(ready, "load_graph", count)
    return made


def test_a_second_call_takes_the_cached_file_and_needs_no_onnx(
    detector: tuple[Path, str],
    own_cache: Path,
    rewritings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = ready_detector(*detector)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert ready_detector(*detector) == first
    assert rewritings == [detector[0]]
    assert sorted(own_cache.iterdir()) == [first.path.with_suffix(".json"), first.path]


def test_each_kind_of_input_has_a_file_of_its_own(detector: tuple[Path, str]) -> None:
    assert ready_detector(*detector, uint8=True) != ready_detector(*detector, uint8=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(bytes(reversed(file.read_bytes()))),
        lambda file: file.unlink(),
        lambda file: file.with_suffix(".json").unlink(),
        lambda file: file.with_suffix(".json").write_bytes(b'{"reason": ""'),
        lambda file: file.with_suffix(".json").write_bytes(b"\xff\xfe"),
        lambda file: file.with_suffix(".json").write_text("[]"),
    ],
)
def test_a_damaged_cache_is_found_out_and_made_again(
    damage: Callable[[Path], object], detector: tuple[Path, str], rewritings: list[Path]
) -> None:
    whole = ready_detector(*detector)
    fingerprint = sha256(whole.path)
    damage(whole.path)
    assert ready_detector(*detector) == whole
    assert sha256(whole.path) == fingerprint
    assert len(rewritings) == 2


def test_another_onnxruntime_or_version_of_the_rewriting_makes_its_own(
    detector: tuple[Path, str], rewritings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ready_detector(*detector)
    with monkeypatch.context() as patch:
        patch.setattr(ready, "_VERSION", 0)
        assert ready_detector(*detector).path != first.path
    monkeypatch.setattr(ready, "runtime_version", lambda: "0.0")
    assert ready_detector(*detector) == first
    assert len(rewritings) == 3


def test_a_graph_that_cannot_be_rewritten_is_tried_once_and_told_each_time(
    tmp_path: Path, rewritings: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    original, fingerprint = saved(tmp_path / "odd.onnx", without_landmarks())
    first = ready_detector(original, fingerprint)
    refused(first, original, caplog)
    caplog.clear()
    again = ready_detector(original, fingerprint)
    assert again == first
    refused(again, original, caplog)
    assert len(rewritings) == 1


def test_what_fails_only_now_is_tried_again(
    detector: tuple[Path, str],
    rewritings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def too_little_memory(*_: Any, **__: Any) -> None:
        raise EngineError("no memory today")

    with monkeypatch.context() as patch:
        patch.setattr(ready, "check_detector", too_little_memory)
        assert refused(ready_detector(*detector), detector[0], caplog) == "no memory today"
    assert ready_detector(*detector).batched
    assert len(rewritings) == 2


def test_without_onnx_the_original_runs_as_it_is(
    detector: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reason = refused(ready_detector(*detector), detector[0], caplog)
    assert reason == "onnx, which rewrites graphs, is not installed; pip install onnx"


def test_without_a_place_for_the_cache_the_original_runs_as_it_is(
    detector: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FACELAKE_CACHE", str(tmp_path / "file"))
    assert "file" in refused(ready_detector(*detector), detector[0], caplog)


def test_many_at_once_make_one_whole_file(detector: tuple[Path, str], own_cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ready_detector(*detector), range(4)))
    assert made == [made[0]] * 4
    assert made[0].batched
    record = json.loads(made[0].path.with_suffix(".json").read_text())
    assert record["sha256"] == sha256(made[0].path)
    assert len(list(own_cache.iterdir())) == 2, "no half-made file is left beside them"


def test_weights_that_an_old_export_lists_as_inputs_are_inputs_no_more(
    tmp_path: Path,
) -> None:
    model = old_arcface()
    for tensor in model.graph.initializer:
        entry = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(entry)
    model.ir_version = 3
    original, fingerprint = saved(tmp_path / "old.onnx", model)
    made = ready_embedder(original, fingerprint)
    assert [entry.name for entry in onnx.load(str(made.path)).graph.input] == ["facelake_rgb"]
    assert_gives_the_originals_vectors(made, original)


def test_the_fake_pack_is_rewritten_too(tmp_path: Path) -> None:
    original, fingerprint = saved(tmp_path / "colours.onnx", embedder_graph())
    assert ready_embedder(original, fingerprint).note == ""
