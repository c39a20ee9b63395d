"""SCRFD's graph made free: any batch, any height and width, and heads that are computed together.

Stock exports (det_10g, det_500m) put the batch third, so that two images come out interleaved, and
compute the sizes of their feature pyramid from shapes, or hold them fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelake.faces.graphs.editor import Graph, RewriteError, attribute, declare, shape_of

if TYPE_CHECKING:
    import onnx

N_OUTPUTS = 9
WIDTHS = (1, 4, 10)  # of a score, a box and five landmarks

_BATCH_FIRST, _BATCH_THIRD = [0, 2, 3, 1], [2, 3, 0, 1]
_ELEMENTWISE = frozenset({"Sigmoid", "Mul", "Identity"})


def free_detector(graph: Graph) -> None:
    """Make batch, height and width free, in place; the nine outputs become ``[N, anchors, C]``.

    Raises
    ------
    RewriteError
        It is not built like an SCRFD with key points.
    """
    if len(graph.outputs) != N_OUTPUTS:
        raise RewriteError(f"it must have {N_OUTPUTS} outputs, but has {len(graph.outputs)}")
    for output in graph.outputs:
        _put_batch_first(graph, output)
    _double_by_scale(graph)
    declare(graph.source, ["N", 3, "H", "W"])


def merge_heads(graph: Graph) -> int:
    """Compute the scores, boxes and landmarks of a stride in one convolution, in place.

    onnxruntime computes channels in blocks of 8 or 16, and 2 + 8 + 20 fill fewer blocks together
    than each alone. Gives how many convolutions were saved.
    """
    makers = graph.makers()
    through = _ELEMENTWISE | {"Reshape", "Transpose"}
    siblings: dict[tuple[object, ...], dict[int, onnx.NodeProto]] = {}
    for output in graph.outputs:
        conv = _above(graph, makers, output.name, "Conv", through)
        if conv is not None and attribute(conv, "group", 1) == 1:
            given = sorted(entry.SerializeToString() for entry in conv.attribute)
            key = (conv.input[0], len(conv.input), *given)
            siblings.setdefault(key, {})[id(conv)] = conv
    n_saved = 0
    for convs in siblings.values():
        if len(convs) > 1 and _merge(graph, list(convs.values())):
            n_saved += len(convs) - 1
    return n_saved


def _merge(graph: Graph, convs: list[onnx.NodeProto]) -> bool:
    """Whether the convolutions, which differ in nothing but their weights, could be made one."""
    from onnx import helper

    weights = [[graph.constant(name) for name in conv.input[1:]] for conv in convs]
    known = [[array for array in arrays if array is not None] for arrays in weights]
    if [len(arrays) for arrays in known] != [len(arrays) for arrays in weights]:
        return False
    both = graph.new_name("heads")
    inputs = [graph.add_constant(np.concatenate(parts)) for parts in zip(*known, strict=True)]
    conv = helper.make_node("Conv", [convs[0].input[0], *inputs], [both])
    conv.attribute.extend(convs[0].attribute)
    parts = [conv.output[0] for conv in convs]
    graph.replace(convs, [conv, _split(graph, both, parts, [len(arrays[0]) for arrays in known])])
    return True


def _split(graph: Graph, source: str, parts: list[str], sizes: list[int]) -> onnx.NodeProto:
    from onnx import helper

    if graph.opset < 13:
        return helper.make_node("Split", [source], parts, axis=1, split=sizes)
    return helper.make_node("Split", [source, graph.add_constant(sizes, np.int64)], parts, axis=1)


def _put_batch_first(graph: Graph, output: onnx.ValueInfoProto) -> None:
    width = (shape_of(output) or [0])[-1]
    if width not in WIDTHS:
        raise RewriteError(
            f"each output must end in {', '.join(map(str, WIDTHS))} numbers an anchor, but "
            f"{output.name!r} is declared {shape_of(output)}"
        )
    makers = graph.makers()
    reshape = _above(graph, makers, output.name, "Reshape", _ELEMENTWISE)
    turned = reshape and _above(graph, makers, reshape.input[0], "Transpose", _ELEMENTWISE)
    if not reshape or not turned:
        raise RewriteError(
            f"each output must be a turned and reshaped map, but {output.name!r} is not"
        )
    perm = attribute(turned, "perm")
    if perm not in (_BATCH_FIRST, _BATCH_THIRD):
        raise RewriteError(
            f"the map of each output must be turned by {_BATCH_FIRST} or {_BATCH_THIRD}, but that "
            f"of {output.name!r} is turned by {perm}"
        )
    _set_attributes(turned, perm=_BATCH_FIRST)
    _set_attributes(reshape)  # without allowzero, 0 means "as many as there were"
    reshape.input[1:] = [graph.add_constant([0, -1, width], np.int64)]
    declare(output, ["N", f"anchors_{output.name}", width])


def _double_by_scale(graph: Graph) -> None:
    """Have the pyramid double its maps, whatever their size: no shape is computed any more.

    From one stride to the next it is always twice, since height and width are multiples of 32.
    """
    for node in graph.nodes:
        if node.op_type not in ("Resize", "Upsample") or len(node.input) < 2:
            continue
        at = 2 if node.op_type == "Resize" and graph.opset >= 11 else 1
        scales = graph.constant(node.input[at]) if len(node.input) == at + 1 else None
        if scales is not None and scales.size:
            continue
        node.input[at:] = [graph.add_constant([1, 1, 2, 2])]


def _above(
    graph: Graph,
    makers: dict[str, onnx.NodeProto],
    name: str,
    kind: str,
    through: frozenset[str],
) -> onnx.NodeProto | None:
    """The nearest node of a kind that a tensor is made from, through other kinds only."""
    node = makers.get(name)
    while node is not None and node.op_type != kind:
        computed = [source for source in node.input if not graph.is_constant(source)]
        if node.op_type not in through or not computed:
            return None
        node = makers.get(computed[0])
    return node


def _set_attributes(node: onnx.NodeProto, **values: list[int]) -> None:
    from onnx import helper

    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items())
