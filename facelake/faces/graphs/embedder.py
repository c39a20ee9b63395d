"""ArcFace's graph with a free batch, written in operators that onnxruntime's CPU kernels know.

onnxruntime keeps a network in its blocked NCHWc layout as long as every node knows that layout.
PRelu does not (65 reorders in MobileFaceNet), nor does a convolution over groups of two channels.
Both can be written in convolutions that do; one face then takes less than half the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.faces.graphs.editor import Graph, RewriteError, attribute, declare, shape_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

_BLOCK = 16  # channels: a multiple of every block onnxruntime uses (4, 8 or 16 by the processor)


def free_embedder(graph: Graph) -> None:
    """Make the batch free, in place, also where the export says 1.

    Raises
    ------
    RewriteError
        It does not give one vector an image.
    """
    outputs = graph.outputs
    if len(outputs) != 1 or len(shape_of(outputs[0])) != 2:
        found = ", ".join(f"{output.name} {shape_of(output)}" for output in outputs)
        raise RewriteError(f"it must give one vector an image, but gives {found}")
    for node in graph.nodes:
        if node.op_type != "Reshape" or len(node.input) < 2:
            continue
        shape = graph.constant(node.input[1])
        if shape is not None and len(shape) > 1 and shape[0] == 1:
            node.input[1] = graph.add_constant([0, *shape[1:]], np.int64)
    declare(graph.source, ["N", *shape_of(graph.source)[1:]])
    declare(outputs[0], ["N", *shape_of(outputs[0])[1:]])


def replace_prelu(graph: Graph) -> int:
    """Write each PRelu with a slope per channel as convolutions, in place; gives how many.

        PRelu(x; a) = a · x + (1 − a) · relu(x)

    is two depthwise 1×1 convolutions, a Relu and an Add. A PRelu whose slopes are computed, or
    differ within a channel, stays.
    """
    n_replaced = 0
    for node in list(graph.nodes):
        slope = graph.constant(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1) or len(slope) == 1:
            continue
        graph.replace([node], _prelu_nodes(graph, node, slope.reshape(-1, 1, 1, 1)))
        n_replaced += 1
    return n_replaced


def _prelu_nodes(
    graph: Graph, node: onnx.NodeProto, slope: npt.NDArray[Any]
) -> list[onnx.NodeProto]:
    from onnx import helper

    source, target = node.input[0], node.output[0]
    whole, rest, bent, sloped = (
        graph.new_name(f"prelu_{what}") for what in ("whole", "rest", "bent", "sloped")
    )
    depthwise: dict[str, Any] = {"group": len(slope), "kernel_shape": [1, 1]}
    steep = graph.add_constant(slope, slope.dtype)
    gap = graph.add_constant(1 - slope, slope.dtype)
    if (slope <= 1).all():
        # (1 − a) · relu(x) = relu((1 − a) · x): a Relu after a convolution is computed within it.
        first = helper.make_node("Conv", [source, gap], [whole], **depthwise)
        second = helper.make_node("Relu", [whole], [bent])
    else:
        first = helper.make_node("Relu", [source], [rest])
        second = helper.make_node("Conv", [rest, gap], [bent], **depthwise)
    return [
        first,
        second,
        helper.make_node("Conv", [source, steep], [sloped], **depthwise),
        helper.make_node("Add", [sloped, bent], [target]),
    ]


def split_pairs(graph: Graph) -> int:
    """Write each convolution over groups of two channels as two depthwise ones; gives how many.

    One sees each channel itself, the other its neighbour in the pair, which a 1×1 convolution has
    put in its place.
    """
    n_split = 0
    for node in list(graph.nodes):
        weights = graph.constant(node.input[1]) if node.op_type == "Conv" else None
        if weights is None or weights.shape[:2] != (2 * attribute(node, "group", 1), 2):
            continue
        if len(weights) % _BLOCK == 0:
            graph.replace([node], _pair_nodes(graph, node, weights))
            n_split += 1
    return n_split


def _pair_nodes(
    graph: Graph, node: onnx.NodeProto, weights: npt.NDArray[Any]
) -> list[onnx.NodeProto]:
    from onnx import helper

    channels = np.arange(len(weights))
    swap = np.zeros((len(weights), _BLOCK, 1, 1), weights.dtype)
    swap[channels, (channels ^ 1) % _BLOCK] = 1
    own, other = weights[channels, channels % 2], weights[channels, (channels ^ 1) % 2]
    swapped, of_other, of_own = (
        graph.new_name(f"pair_{what}") for what in ("swapped", "of_other", "of_own")
    )
    kernels = [graph.add_constant(kernel[:, None], kernel.dtype) for kernel in (own, other)]
    nodes = [
        helper.make_node(
            "Conv",
            [node.input[0], graph.add_constant(swap, swap.dtype)],
            [swapped],
            group=len(weights) // _BLOCK,
            kernel_shape=[1, 1],
        ),
        helper.make_node("Conv", [swapped, kernels[1]], [of_other], group=len(weights)),
        helper.make_node(
            "Conv", [node.input[0], kernels[0], *node.input[2:]], [of_own], group=len(weights)
        ),
        helper.make_node("Add", [of_own, of_other], [node.output[0]]),
    ]
    for depthwise in nodes[1:3]:
        depthwise.attribute.extend(entry for entry in node.attribute if entry.name != "group")
    return nodes
