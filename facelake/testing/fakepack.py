"""A model pack that finds coloured squares, and an archive of squares: no weights, no people.

`write_fake_pack` writes two small ONNX graphs with the interfaces of SCRFD and ArcFace. The
detector finds squares of saturated colour at their place; the embedder maps each of eight colours
to a vector of its own. `write_fake_archive` films squares and says who is where when, so that
ingest, resume, enrolment, matching and spans are tested in seconds, with arithmetic for truth.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.testing.footage import Planted, write_video

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    import onnx

EMBEDDING_DIM = 512
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (225, 30, 30),
    "green": (30, 225, 30),
    "blue": (30, 30, 225),
    "yellow": (225, 225, 30),
    "magenta": (225, 30, 225),
    "cyan": (30, 225, 225),
}
"""The identities of the fake world and their RGB colours."""

_STRIDES = (8, 16, 32)
_ANCHORS = 2
_CELL = 8  # pixels; squares are measured on the finest of the detector's grids
_REACH = 10  # cells the detector looks in each direction, so squares up to about 100 px are whole
# Where ArcFace's template has eyes, nose and mouth, as shares of its 112 pixels: landmarks placed
# so in the square make the aligned chip the square itself.
_TEMPLATE = (
    np.array(
        [
            (38.2946, 51.6963),
            (73.5318, 51.5014),
            (56.0252, 71.7366),
            (41.5493, 92.3655),
            (70.7299, 92.2041),
        ]
    )
    / 112.0
)
_OPSET, _IR_VERSION = 17, 8  # what ONNX Runtime has read since 1.12


# The pack ---------------------------------------------------------------------------------------


def write_fake_pack(folder: str | Path) -> Path:
    """Write a detector, an embedder and their ``manifest.json`` into a folder.

    Squares must be 24 to 100 pixels wide in the detector's input, lie wholly in the picture, and
    their centres 140 pixels apart or more.

    Returns
    -------
    Path
        ``folder``, as a model pack.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {
        "name": "fake-squares",
        "licence": "Apache-2.0",
        "source": "facelake.testing.fakepack.write_fake_pack",
        "detector": _save(folder / "squares_detector.onnx", detector_graph()),
        "embedder": _save(folder / "colour_embedder.onnx", embedder_graph())
        | {"dim": EMBEDDING_DIM},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return folder


def detector_graph() -> onnx.ModelProto:
    """SCRFD's interface over a detector of coloured squares.

    Input ``[N, 3, H, W]`` float32, RGB, ``(x − 127.5) / 128``, H and W multiples of 32. Outputs in
    this order: score, bbox and kps, each at strides 8, 16 and 32, as ``[N, anchors, 1 | 4 | 10]``;
    two anchors a cell, distances in strides. Only stride 8 ever scores above 0.

    The share of coloured pixels in each cell is summed over a window about each anchor: its area
    gives the square's side, its first moments the centre. An anchor scores by how near it is.
    """
    graph = _Graph()
    graph.add("ReduceMax", ["input.1"], "brightest", axes=[1], keepdims=1)
    graph.add("ReduceMin", ["input.1"], "darkest", axes=[1], keepdims=1)
    graph.add("Sub", ["brightest", "darkest"], "saturation")  # 0 for grey, 1.99 at most
    graph.add("Sub", ["saturation", graph.constant(0.4)], "above")
    graph.add("Div", ["above", graph.constant(0.6)], "steep")
    graph.add("Clip", ["steep", graph.constant(0.0), graph.constant(1.0)], "mask")
    for stride in _STRIDES:
        _add_head(graph, stride)
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in _STRIDES]
    depth = {"score": 1, "bbox": 4, "kps": 10}
    outputs = {name: ["N", None, depth[name.split("_")[0]]] for name in names}
    return graph.model("squares_detector", {"input.1": ["N", 3, "H", "W"]}, outputs)


def embedder_graph() -> onnx.ModelProto:
    """ArcFace's interface over an embedder that sees nothing but the mean colour.

    Input ``[N, 3, 112, 112]`` float32, RGB, ``(x − 127.5) / 127.5``; output ``[N, 512]``. The mean
    colour is compared with the eight corners of the colour cube, and each corner has a direction
    of its own.
    """
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    directions = np.random.default_rng(0).normal(size=(len(corners), EMBEDDING_DIM))
    graph = _Graph()
    graph.add("GlobalAveragePool", ["input.1"], "mean")
    graph.add("Flatten", ["mean"], "colour", axis=1)
    graph.add("MatMul", ["colour", graph.constant(3.0 * corners.T)], "likeness")
    graph.add("Softmax", ["likeness"], "corner", axis=1)
    graph.add("MatMul", ["corner", graph.constant(directions)], "embedding")
    return graph.model(
        "colour_embedder",
        {"input.1": ["N", 3, 112, 112]},
        {"embedding": ["N", EMBEDDING_DIM]},
    )


class _Graph:
    """An ONNX graph under construction; names of constants are given by number."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, values: npt.ArrayLike, dtype: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def model(
        self,
        name: str,
        inputs: dict[str, list[str | int | None]],
        outputs: dict[str, list[str | int | None]],
    ) -> onnx.ModelProto:
        from onnx import TensorProto, checker, helper

        def tensors(shapes: dict[str, list[str | int | None]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
                for key, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self._nodes, name, tensors(inputs), tensors(outputs), initializer=self._constants
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        checker.check_model(model)
        return model


def _add_head(graph: _Graph, stride: int) -> None:
    """The three outputs of one stride, from ``mask``."""
    pooled = graph.add(
        "AveragePool",
        ["mask"],
        f"pooled_{stride}",
        kernel_shape=[stride, stride],
        strides=[stride, stride],
    )
    if stride == _CELL:
        score, geometry = _measure(graph, pooled)
        box, points = _box_weights() / stride, _point_weights() / stride
        weights = {"score": np.full((1, 1), 0.98), "bbox": box, "kps": points}
    else:
        score = geometry = pooled
        weights = {"score": np.zeros((1, 1)), "bbox": np.zeros((4, 1)), "kps": np.zeros((10, 1))}
    for kind, matrix in weights.items():
        source = score if kind == "score" else geometry
        _add_output(graph, source, f"{kind}_{stride}", matrix)


def _measure(graph: _Graph, pooled: str) -> tuple[str, str]:
    """Names of the score and of (centre's offset in x and y, side), in pixels, at each anchor."""
    area = graph.add("Conv", [pooled, graph.constant(_moment_kernels()[:1])], "area", **_PADDED)
    first = graph.add("Conv", [pooled, graph.constant(_moment_kernels()[1:])], "first", **_PADDED)
    some = graph.add("Add", [area, graph.constant(1e-3)], "some")  # nowhere divides by nothing
    offset = graph.add("Div", [first, some], "offset")
    side = graph.add("Sqrt", [area], "side")
    graph.add("Mul", [offset, offset], "squares")
    graph.add("ReduceSum", ["squares", graph.constant([1], np.int64)], "distance2", keepdims=1)
    graph.add("Div", ["distance2", graph.constant(512.0)], "far")
    graph.add("Sub", [graph.constant(1.0), "far"], "near")
    graph.add("Clip", ["near", graph.constant(0.0), graph.constant(1.0)], "nearness")
    graph.add("Div", [area, graph.constant(24.0**2)], "large")
    graph.add("Clip", ["large", graph.constant(0.0), graph.constant(1.0)], "largeness")
    graph.add("Mul", ["nearness", "largeness"], "certainty")
    # Half-way between two squares the centre is near as well, but the anchor's cell is grey.
    score = graph.add("Mul", ["certainty", pooled], "coloured_certainty")
    return score, graph.add("Concat", [offset, side], "geometry", axis=1)


_PADDED = {"pads": [_REACH] * 4}


def _moment_kernels() -> npt.NDArray[np.float64]:
    """Area and first moments in x and y of the cells about an anchor, shape ``(3, 1, k, k)``."""
    # An anchor is the top left corner of its cell, so cells lie half a cell further.
    offset = (np.arange(-_REACH, _REACH + 1) + 0.5) * _CELL
    ones = np.ones_like(offset)
    kernels = [np.outer(ones, ones), np.outer(ones, offset), np.outer(offset, ones)]
    return np.array(kernels)[:, None] * _CELL**2


def _box_weights() -> npt.NDArray[np.float64]:
    """Left, top, right, bottom distances from (offset x, offset y, side)."""
    return np.array([[-1, 0, 0.5], [0, -1, 0.5], [1, 0, 0.5], [0, 1, 0.5]])


def _point_weights() -> npt.NDArray[np.float64]:
    """The five landmarks' x and y distances from (offset x, offset y, side)."""
    rows = []
    for x, y in _TEMPLATE:
        rows += [[1, 0, x - 0.5], [0, 1, y - 0.5]]
    return np.array(rows)


def _add_output(graph: _Graph, source: str, name: str, weights: npt.NDArray[np.float64]) -> None:
    """``weights @ source`` for each anchor of each cell, as ``[N, anchors, values]``."""
    both = np.concatenate([weights] * _ANCHORS)[:, :, None, None]
    graph.add("Conv", [source, graph.constant(both)], f"{name}_map")
    graph.add("Transpose", [f"{name}_map"], f"{name}_last", perm=[0, 2, 3, 1])
    shape = graph.constant([0, -1, len(weights)], np.int64)
    graph.add("Reshape", [f"{name}_last", shape], name)


def _save(path: Path, model: onnx.ModelProto) -> dict[str, Any]:
    data = model.SerializeToString(deterministic=True)
    path.write_bytes(data)
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}


# The archive ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FakeArchive:
    """Videos of coloured squares, and what is in them.

    Attributes
    ----------
    videos
        The files, in order of their names.
    photos
        A folder with a folder of reference photos for each colour.
    truth
        Who is on screen from when to when, in order of video and time.
    """

    videos: tuple[Path, ...]
    photos: Path
    truth: tuple[Planted, ...]


def write_fake_archive(
    folder: str | Path,
    n_videos: int = 3,
    *,
    n_shots: int = 4,
    shot_s: float = 2.0,
    fps: int = 10,
    seed: int = 0,
) -> FakeArchive:
    """Write videos in which coloured squares move about, with reference photos and the truth.

    Shots follow each other by hard cuts and show one, two, no and again one square; none of a
    shot's colours is in the next, so each planted interval is one span. Frames are 320 × 240 with
    squares of 40 pixels.

    Parameters
    ----------
    folder
        Gets ``videos/`` and ``photos/COLOUR/``.
    n_videos, n_shots
        How many videos, and how many shots in each.
    shot_s
        Length of a shot, in seconds; rounded to whole frames.
    fps
        Frames a second.
    seed
        Which colours come when, and how they move.
    """
    if min(n_videos, n_shots) < 1:
        raise ValueError(f"n_videos and n_shots must be at least 1, but are {n_videos}, {n_shots}")
    shot_frames = max(1, round(shot_s * fps))
    random = np.random.default_rng(seed)
    videos: list[Path] = []
    truth: list[Planted] = []
    for number in range(n_videos):
        path = Path(folder) / "videos" / f"squares_{number:02d}.mp4"
        casts = _casts(random, n_shots)
        videos.append(write_video(path, _film(casts, shot_frames, random), fps=fps, gop=fps))
        for shot, cast in enumerate(casts):
            start, end = shot * shot_frames / fps, (shot + 1) * shot_frames / fps
            truth += [Planted(path.name, colour, start, end) for colour in cast]
    photos = _write_photos(Path(folder) / "photos")
    return FakeArchive(videos=tuple(videos), photos=photos, truth=tuple(truth))


_WIDTH, _HEIGHT, _SIDE = 320, 240, 40


def fake_frame(squares: Mapping[str, tuple[float, float]]) -> npt.NDArray[np.uint8]:
    """A frame with a coloured square at each place.

    Parameters
    ----------
    squares
        Colour's name → centre of its 40-pixel square, in pixels of the 320 × 240 frame.

    Returns
    -------
    ndarray
        RGB, shape ``(240, 320, 3)``, uint8.
    """
    shade = np.linspace(90, 150, _WIDTH, dtype=np.float64)
    frame = np.broadcast_to(shade[None, :, None], (_HEIGHT, _WIDTH, 3)).astype(np.uint8)
    for colour, (x, y) in squares.items():
        left, top = round(x - _SIDE / 2), round(y - _SIDE / 2)
        frame[top : top + _SIDE, left : left + _SIDE] = COLOURS[colour]
    return frame


def _casts(random: np.random.Generator, n_shots: int) -> list[list[str]]:
    """Who plays in each shot: one, two, nobody, one, and so on; nobody twice in a row."""
    casts: list[list[str]] = []
    for shot in range(n_shots):
        resting = set(casts[-1]) if casts else set()
        free = [colour for colour in COLOURS if colour not in resting]
        n_cast = (1, 2, 0, 1)[shot % 4]
        casts.append([str(colour) for colour in random.choice(free, n_cast, replace=False)])
    return casts


def _film(
    casts: list[list[str]], shot_frames: int, random: np.random.Generator
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of all shots; players circle side by side, always 160 pixels apart."""
    for cast in casts:
        phase = random.uniform(0.0, 2 * np.pi)
        for turn in np.linspace(phase, phase + np.pi, shot_frames):
            x, y = _WIDTH / 4 + 30 * np.cos(turn), _HEIGHT / 2 + 60 * np.sin(turn)
            yield fake_frame(
                {colour: (x + _WIDTH / 2 * seat, y) for seat, colour in enumerate(cast)}
            )


def _write_photos(folder: Path) -> Path:
    """Two reference photos of each colour, with the square at different places."""
    from PIL import Image

    for colour in COLOURS:
        (folder / colour).mkdir(parents=True, exist_ok=True)
        for number, centre in enumerate([(160, 120), (90, 100)], start=1):
            photo = Image.fromarray(fake_frame({colour: centre}))
            photo.save(folder / colour / f"{colour}_{number}.png")
    return folder
