"""An ONNX graph under rewriting: constants, who makes what, and nothing left that nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.errors import FacelakeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import onnx

PREFIX = "facelake"
"""What the name of every tensor that a rewriting adds starts with."""


class RewriteError(FacelakeError):
    """A graph that a rewriting does not fit, or that gives other numbers once rewritten."""


class Graph:
    """A model whose nodes are edited as a list.

    Parameters
    ----------
    model
        Taken over; `finish` gives it back, rewritten.

    Attributes
    ----------
    nodes
        In an order in which they can run.
    opset
        Version of the standard operators.

    Raises
    ------
    RewriteError
        It branches or loops, keeps its weights in other files, or reads something else than one
        batch of float32 images.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model, self._graph = model, model.graph
        self._tensors = {tensor.name: tensor for tensor in self._graph.initializer}
        self.nodes = list(self._graph.node)
        self.opset = max((s.version for s in model.opset_import if not s.domain), default=1)
        self._refuse_what_is_not_plain()
        for node in self.nodes:
            for entry in node.attribute if node.op_type == "Constant" else ():
                if entry.name == "value":
                    self._tensors[node.output[0]] = entry.t
        self._n_added = 0

    @property
    def source(self) -> onnx.ValueInfoProto:
        """The input that is no weight."""
        return self._sources()[0]

    @property
    def outputs(self) -> list[onnx.ValueInfoProto]:
        """The results, in their order."""
        return list(self._graph.output)

    def makers(self) -> dict[str, onnx.NodeProto]:
        """The node that makes each tensor, as the nodes now are."""
        return {name: node for node in self.nodes for name in node.output}

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """A tensor that is known without running; ``None`` when it must be computed."""
        from onnx import numpy_helper

        tensor = self._tensors.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is known without running."""
        return name in self._tensors

    def add_constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """The name of a new constant."""
        from onnx import numpy_helper

        name = self.new_name("constant")
        tensor = numpy_helper.from_array(np.asarray(values, dtype), name)
        self._graph.initializer.append(tensor)
        self._tensors[name] = tensor
        return name

    def new_name(self, what: str) -> str:
        """A name that no tensor has."""
        self._n_added += 1
        return f"{PREFIX}_{what}_{self._n_added}"

    def replace(self, old: Sequence[onnx.NodeProto], new: Sequence[onnx.NodeProto]) -> None:
        """Put new nodes where the first of the old ones is, and take the old ones out."""
        gone = {id(node) for node in old}
        at = next(place for place, node in enumerate(self.nodes) if id(node) in gone)
        self.nodes[at:at] = new
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def read_from(self, source: onnx.ValueInfoProto, first: Sequence[onnx.NodeProto]) -> None:
        """Read another input, which some first nodes turn into the one the graph had."""
        self.nodes[:0] = first
        del self._graph.input[:]
        self._graph.input.append(source)

    def finish(self) -> onnx.ModelProto:
        """The model without nodes, weights and remembered shapes that nothing needs any more."""
        needed = {output.name for output in self._graph.output}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        source = self.source
        weights = [tensor for tensor in self._graph.initializer if tensor.name in needed]
        _refill(self._graph.node, kept[::-1])
        _refill(self._graph.initializer, weights)
        # Old exports list every weight as an input too, which keeps onnxruntime from folding it.
        _refill(self._graph.input, [source])
        del self._graph.value_info[:]  # they speak of the batch and size of the export
        self._model.ir_version = max(self._model.ir_version, 4)  # weights that are no inputs
        return self._model

    def _sources(self) -> list[onnx.ValueInfoProto]:
        weights = {tensor.name for tensor in self._graph.initializer}
        return [entry for entry in self._graph.input if entry.name not in weights]

    def _refuse_what_is_not_plain(self) -> None:
        from onnx import AttributeProto, TensorProto

        nested = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
        for node in self.nodes:
            if any(attribute.type in nested for attribute in node.attribute):
                raise RewriteError(f"its graph branches or loops ({node.op_type} {node.name!r})")
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in self._graph.initializer):
            raise RewriteError("its weights lie in another file, which no fingerprint covers")
        sources = self._sources()
        if len(sources) != 1 or len(shape_of(sources[0])) != 4:
            names = ", ".join(f"{entry.name} {shape_of(entry)}" for entry in sources) or "nothing"
            raise RewriteError(f"it must read one batch of images, but reads {names}")
        if (kind := sources[0].type.tensor_type.elem_type) != TensorProto.FLOAT:
            raise RewriteError(f"it must read float32, but reads {TensorProto.DataType.Name(kind)}")


def load_graph(file: Path) -> Graph:
    """The graph of an ONNX file.

    Raises
    ------
    RewriteError
        The file is no model, or one that `Graph` refuses.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return Graph(onnx.load(str(file), load_external_data=False))
    except DecodeError as error:
        raise RewriteError(f"it is no ONNX file ({error})") from error


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or what it is when it is not given."""
    from onnx import helper

    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def shape_of(entry: onnx.ValueInfoProto) -> list[int | str]:
    """The declared shape of an input or output: numbers, and names of what is free."""
    dims = entry.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims]


def declare(entry: onnx.ValueInfoProto, shape: Sequence[int | str]) -> None:
    """Declare the shape of an input or output."""
    from onnx import helper

    kind = entry.type.tensor_type.elem_type
    entry.CopyFrom(helper.make_tensor_value_info(entry.name, kind, shape))


def normalise_inside(graph: Graph, *, divisor: float) -> None:
    """Read uint8 images ``[N, H, W, 3]`` in RGB and compute ``(x − 127.5) / divisor`` in the graph.

    The caller moves a quarter of the bytes and prepares nothing; the numbers stay the same.
    """
    from onnx import TensorProto, helper

    old = graph.source
    batch, _, height, width = shape_of(old)
    image, planes, numbers, centred = (
        f"{PREFIX}_{what}" for what in ("rgb", "planes", "float", "centred")
    )
    # Turned while a pixel is a byte: the transpose then moves a quarter of what it would later.
    nodes = [
        helper.make_node("Transpose", [image], [planes], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", [planes], [numbers], to=TensorProto.FLOAT),
        helper.make_node("Sub", [numbers, graph.add_constant(127.5)], [centred]),
        helper.make_node("Mul", [centred, graph.add_constant(1 / divisor)], [old.name]),
    ]
    shape = [batch, height, width, 3]
    graph.read_from(helper.make_tensor_value_info(image, TensorProto.UINT8, shape), nodes)


def _refill(field: Any, entries: Iterable[Any]) -> None:
    kept = list(entries)
    del field[:]
    field.extend(kept)
