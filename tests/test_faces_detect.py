"""Detection by arithmetic, by a naive reference, and by insightface's own class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelake.errors import PackError
from facelake.faces.detect import (
    Detections,
    Detector,
    anchor_centres,
    decode_boxes,
    decode_points,
    input_shape,
    scaled_shape,
    suppress,
)
from facelake.faces.network import Network

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


# Scaling ----------------------------------------------------------------------------------------

SIZES = [
    (1280, 720, 640, 360),
    (720, 1280, 360, 640),
    (640, 640, 640, 640),
    (427, 241, 640, 361),  # 361.2, cut off
    (241, 427, 361, 640),
    (161, 127, 640, 504),  # 504.8
    (33, 17, 640, 329),  # 329.7, made larger
    (4000, 3, 640, 1),  # 0.48, but a pixel remains
    (3, 4000, 1, 640),
    (1, 1, 640, 640),
]


@pytest.mark.parametrize(("width", "height", "new_width", "new_height"), SIZES)
def test_the_longer_side_fills_the_input_and_the_other_is_cut_to_whole_pixels(
    width: int, height: int, new_width: int, new_height: int
) -> None:
    assert scaled_shape(height, width, 640) == (new_height, new_width)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([64, 320, 640]))
def test_the_input_is_as_large_as_the_frame_needs_with_black_beyond_it_and_no_larger(
    height: int, width: int, size: int
) -> None:
    scaled = scaled_shape(height, width, size)
    assert max(scaled) == size
    for side, needed in zip(input_shape(scaled), scaled, strict=True):
        assert side % 32 == 0  # the coarsest stride
        assert needed <= side <= size
        assert side == size or 32 <= side - needed < 64


# Anchors and decoding ---------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize(("height", "width"), [(96, 96), (96, 160), (64, 32)])
def test_anchors_are_the_corners_of_the_cells_row_by_row_each_twice(
    height: int, width: int, stride: int
) -> None:
    expected = [
        [column * stride, row * stride]
        for row in range(height // stride)
        for column in range(width // stride)
        for _ in range(2)
    ]
    assert anchor_centres(height, width, stride).tolist() == expected


def test_a_box_is_its_anchor_less_left_and_top_and_plus_right_and_bottom() -> None:
    centres = np.array([[100, 50], [0, 0]], np.float32)
    distances = np.array([[10, 20, 30, 40], [1, 2, 3, 4]], np.float32)
    assert decode_boxes(centres, distances).tolist() == [[90, 30, 130, 90], [-1, -2, 3, 4]]


def test_landmarks_are_their_anchor_plus_offsets_x_before_y() -> None:
    offsets = np.arange(10, dtype=np.float32)[None]
    points = decode_points(np.array([[100, 50]], np.float32), offsets)
    assert points.tolist() == [[[100, 51], [102, 53], [104, 55], [106, 57], [108, 59]]]


# Suppression ------------------------------------------------------------------------------------


def naive_overlap(one: Floats, other: Floats) -> float:
    """Intersection over union where a box of one pixel has equal edges."""

    def pixels(left: float, top: float, right: float, bottom: float) -> float:
        return max(0.0, right - left + 1) * max(0.0, bottom - top + 1)

    left, top = (max(float(one[k]), float(other[k])) for k in (0, 1))
    right, bottom = (min(float(one[k]), float(other[k])) for k in (2, 3))
    both = pixels(left, top, right, bottom)
    return both / (pixels(*one.tolist()) + pixels(*other.tolist()) - both)


def naive_suppression(boxes: Floats, iou: float) -> list[int]:
    kept: list[int] = []
    for n, box in enumerate(boxes):
        if all(naive_overlap(boxes[k], box) <= iou for k in kept):
            kept.append(n)
    return kept


@st.composite
def boxes(draw: st.DrawFn) -> Floats:
    corners = draw(hnp.arrays(np.int64, st.tuples(st.integers(0, 12), st.just(2)),
                              elements=st.integers(0, 40)))  # fmt: skip
    sides = draw(hnp.arrays(np.int64, corners.shape, elements=st.integers(0, 30)))
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


@given(boxes(), st.sampled_from([0.1, 0.4, 0.7]))
def test_suppression_is_the_naive_one(found: Floats, iou: float) -> None:
    assert suppress(found, iou).tolist() == naive_suppression(found, iou)


@given(boxes())
def test_of_equal_boxes_one_remains_and_nothing_is_lost_beyond(found: Floats) -> None:
    twice = np.repeat(found, 2, axis=0)
    np.testing.assert_array_equal(twice[suppress(twice, 0.4)], found[suppress(found, 0.4)])


def test_the_best_of_overlapping_boxes_remains() -> None:
    found = np.array([[0, 0, 9, 9], [1, 1, 10, 10], [50, 50, 60, 60]], np.float32)
    assert suppress(found, 0.4).tolist() == [0, 2]


# The whole detector over made-up outputs --------------------------------------------------------


class FakeNetwork:
    """Nine outputs that are told for each blob; it remembers the blobs."""

    name = "fake.onnx"
    note = ""

    def __init__(
        self,
        answer: Callable[[npt.NDArray[Any]], list[Floats]],
        *,
        uint8: bool = False,
        batched: bool = True,
        side: int | None = None,
        n_outputs: int = 9,
    ) -> None:
        self.answer, self.uint8, self.batched = answer, uint8, batched
        self.image_shape = ["h", "w"] if side is None else [side, side]
        self.output_shapes = [["n", "a", 1]] * n_outputs
        self.given: list[npt.NDArray[Any]] = []

    def run(self, blob: npt.NDArray[Any]) -> list[Floats]:
        self.given.append(blob.copy())
        return self.answer(blob)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the last blob."""
        shape = self.given[-1].shape
        return (shape[1], shape[2]) if self.uint8 else (shape[2], shape[3])


SIZE = 64


def detector(network: FakeNetwork, **options: Any) -> Detector:
    made: Any = network
    return Detector(made, **({"size": SIZE, "large_faces": False} | options))


def blob_shape(blob: npt.NDArray[Any]) -> tuple[int, int, int]:
    """Number, height and width of a float blob."""
    return blob.shape[0], blob.shape[2], blob.shape[3]


def outputs(shape: tuple[int, int, int], seed: int) -> list[Floats]:
    """Random scores, boxes and landmarks, each for strides 8, 16 and 32; a batch axis first."""
    random = np.random.default_rng(seed)
    found = []
    for values in (1, 4, 10):
        for stride in (8, 16, 32):
            n = (shape[1] // stride) * (shape[2] // stride) * 2
            high = 1 if values == 1 else 3
            found.append(random.uniform(0, high, (shape[0], n, values)).astype(np.float32))
    return found


def nothing(shape: tuple[int, int, int]) -> list[Floats]:
    """Outputs of a network that sees no face."""
    cells = [shape[1] * shape[2] // stride**2 for stride in (8, 16, 32)]
    return [np.zeros((shape[0], 2 * n, values), np.float32) for values in (1, 4, 10) for n in cells]


def at_random(seed: int) -> FakeNetwork:
    return FakeNetwork(lambda blob: outputs(blob_shape(blob), seed))


def fixed(found: list[Floats]) -> FakeNetwork:
    return FakeNetwork(lambda _: found)


def black(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


def naive_detections(
    found: list[Floats], width: int, scale: float, threshold: float, iou: float
) -> list[tuple[float, list[float], list[list[float]]]]:
    """Score, box and landmarks of each face of a blob so wide, one anchor after the other."""
    faces = []
    for level, stride in enumerate((8, 16, 32)):
        score, box, points = found[level][0], found[level + 3][0], found[level + 6][0]
        for n in range(len(score)):
            columns = width // stride
            x, y = n // 2 % columns * stride, n // 2 // columns * stride
            left, top, right, bottom = (float(v) * stride for v in box[n])
            corners = [x - left, y - top, x + right, y + bottom]
            places = [[x + float(dx) * stride, y + float(dy) * stride]
                      for dx, dy in points[n].reshape(5, 2)]  # fmt: skip
            if score[n, 0] >= threshold:
                faces.append(
                    (
                        float(score[n, 0]),
                        [v / scale for v in corners],
                        [[px / scale, py / scale] for px, py in places],
                    )
                )
    faces.sort(key=lambda face: -face[0])
    kept = naive_suppression(np.array([box for _, box, _ in faces], np.float32).reshape(-1, 4), iou)
    return [faces[n] for n in kept]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(64, 64), (72, 128), (90, 50), (21, 33), (3, 400), (1, 1)]),
)
@settings(deadline=None, max_examples=40)
def test_detections_are_those_of_a_naive_reading_of_the_outputs(
    seed: int, size: tuple[int, int]
) -> None:
    pytest.importorskip("cv2")
    network = at_random(seed)
    (faces,) = detector(network, threshold=0.8).detect([black(*size)])
    scale = scaled_shape(*size, SIZE)[0] / size[0]
    found = outputs(blob_shape(network.given[0]), seed)
    expected = naive_detections(found, network.shape[1], scale, 0.8, 0.4)
    assert len(faces.det_score) == len(expected) > 0
    np.testing.assert_allclose(faces.det_score, [score for score, _, _ in expected])
    np.testing.assert_allclose(
        faces.bbox_xyxy, [box for _, box, _ in expected], rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(faces.landmarks, [p for _, _, p in expected], rtol=1e-4, atol=1e-3)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_outputs_in_another_order_or_without_a_batch_axis_give_the_same(seed: int) -> None:
    pytest.importorskip("cv2")
    found = outputs((1, 64, 64), seed)
    by_stride = [found[kind * 3 + level] for level in (2, 0, 1) for kind in (1, 2, 0)]
    without_axis = [output[0] for output in found]
    answers = []
    for form in (found, by_stride, without_axis):
        answers += detector(fixed(form)).detect([black(60, 64)])
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.bbox_xyxy, answers[0].bbox_xyxy)
        np.testing.assert_array_equal(answer.landmarks, answers[0].landmarks)


def scored(scores: list[float]) -> FakeNetwork:
    """A network that gives the first anchors at stride 16 these scores, all others none."""

    def answer(blob: npt.NDArray[Any]) -> list[Floats]:
        found = outputs(blob_shape(blob), 0)
        for level in range(3):
            found[level][:] = 0.0
        # Every second place holds the other anchor of a cell: far apart, nothing is suppressed.
        found[1][:, : 2 * len(scores) : 2, 0] = scores
        found[4][:] = 0.3
        return found

    return FakeNetwork(answer)


def test_a_face_exactly_at_the_threshold_is_kept() -> None:
    pytest.importorskip("cv2")
    (faces,) = detector(scored([0.25, 0.5, 0.4999]), threshold=0.5).detect([black(64, 64)])
    assert faces.det_score.tolist() == [0.5]


def test_faces_come_best_first() -> None:
    pytest.importorskip("cv2")
    (faces,) = detector(scored([0.625, 0.875, 0.75])).detect([black(64, 64)])
    assert faces.det_score.tolist() == [0.875, 0.75, 0.625]
    assert faces.at_least(0.75).det_score.tolist() == [0.875, 0.75]


def test_an_empty_picture_gives_empty_arrays() -> None:
    pytest.importorskip("cv2")
    (faces,) = detector(scored([])).detect([black(64, 64)])
    shapes = (faces.bbox_xyxy.shape, faces.det_score.shape, faces.landmarks.shape)
    assert shapes == ((0, 4), (0,), (0, 5, 2))
    assert detector(scored([])).detect([]) == []


# What the network is given ----------------------------------------------------------------------


@pytest.mark.parametrize("uint8", [False, True])
@pytest.mark.parametrize(("width", "height", "new_width", "new_height"), SIZES)
def test_the_frame_fills_the_top_left_and_the_rest_is_black(
    width: int, height: int, new_width: int, new_height: int, uint8: bool
) -> None:
    pytest.importorskip("cv2")
    fake = FakeNetwork(lambda _: nothing((1, *fake.shape)), uint8=uint8)
    detector(fake, size=640).detect([np.full((height, width, 3), 200, np.uint8)])
    (blob,) = fake.given
    planes = blob[0].transpose(2, 0, 1) if uint8 else blob[0]
    assert planes.shape[1:] == input_shape((new_height, new_width))
    expected = np.zeros(planes.shape)
    expected[:, :new_height, :new_width] = 200
    np.testing.assert_allclose(planes, expected if uint8 else (expected - 127.5) / 128, atol=1e-6)


@pytest.mark.parametrize("uint8", [False, True])
def test_the_network_reads_rgb(uint8: bool) -> None:
    pytest.importorskip("cv2")
    fake = FakeNetwork(lambda _: outputs((1, *fake.shape), 0), uint8=uint8)
    image = black(64, 64)
    image[:] = (255, 128, 0)
    detector(fake).detect([image])
    (blob,) = fake.given
    if uint8:
        assert blob.shape == (1, 64, 64, 3)
        assert blob.dtype == np.uint8
        assert blob[0, 10, 10].tolist() == [255, 128, 0]
    else:
        assert blob.shape == (1, 3, 64, 64)
        assert blob.dtype == np.float32
        expected = [(value - 127.5) / 128 for value in (255, 128, 0)]
        np.testing.assert_allclose(blob[0, :, 10, 10], expected, rtol=1e-6)


frame_sizes = st.tuples(st.integers(1, 80), st.integers(1, 80))


@given(st.lists(frame_sizes, min_size=1, max_size=12), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=40)
def test_nothing_of_a_frame_is_left_in_the_input_of_the_next(
    sizes: list[tuple[int, int]], uint8: bool, twice: bool
) -> None:
    pytest.importorskip("cv2")

    fake = FakeNetwork(lambda blob: nothing((len(blob), *fake.shape)), uint8=uint8)
    used = detector(fake, batch=2)
    for height, width in sizes:
        image = np.full((height, width, 3), 40 + (7 * height + 13 * width) % 200, np.uint8)
        used.detect([image] * (2 if twice else 1))
        in_use = fake.given[-1]
        detector(fake, batch=2).detect([image] * len(in_use))
        np.testing.assert_array_equal(in_use, fake.given[-1])


# Batches ----------------------------------------------------------------------------------------


def by_brightness(blob: npt.NDArray[Any]) -> list[Floats]:
    """Outputs that depend on each picture's first pixel, and on nothing else."""
    each = [outputs((1, *blob.shape[2:]), int(picture[0, 0, 0] * 128 + 128)) for picture in blob]
    return [np.concatenate(rows) for rows in zip(*each, strict=True)]


@pytest.mark.parametrize(
    ("batch", "batched", "groups"), [(1, True, [1] * 5), (2, True, [2, 2, 1]), (8, False, [1] * 5)]
)
def test_frames_looked_at_together_give_what_they_give_one_by_one(
    batch: int, batched: bool, groups: list[int]
) -> None:
    pytest.importorskip("cv2")
    images = [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(5)]
    network = FakeNetwork(by_brightness, batched=batched)
    found = detector(network, batch=batch, threshold=0.7).detect(images)
    assert [len(blob) for blob in network.given] == groups
    for image, faces in zip(images, found, strict=True):
        (alone,) = detector(FakeNetwork(by_brightness), threshold=0.7).detect([image])
        assert len(alone.det_score) > 0
        np.testing.assert_array_equal(faces.bbox_xyxy, alone.bbox_xyxy)
        np.testing.assert_array_equal(faces.landmarks, alone.landmarks)


def test_a_benchmark_runs_the_network_alone_on_the_same_input() -> None:
    pytest.importorskip("cv2")
    network = at_random(0)
    image = np.full((48, 64, 3), 90, np.uint8)
    used = detector(network)
    run = used.bare([image])
    used.detect([image + 100])
    assert network.given
    run()
    used.detect([image])
    np.testing.assert_array_equal(network.given[-2], network.given[-1])


# A second pass for large faces ------------------------------------------------------------------


Seen = list[tuple[float, float, float]]
"""Score, side as a share of the frame's, and place from left to right of each box of a pass."""


class TwoPasses:
    """A network that sees some boxes in the first pass and some in the second."""

    def __init__(self, first: Seen, second: Seen) -> None:
        self.passes = {SIZE: first, SIZE // 2: second}
        self.network = FakeNetwork(self.answer)

    def answer(self, blob: npt.NDArray[Any]) -> list[Floats]:
        n, height, width = blob_shape(blob)
        found = outputs((n, height, width), 0)
        for level in range(3):
            found[level][:] = 0.0
        columns = width // 8
        for score, share, x in self.passes[width]:
            anchor = (height // 16 * columns + round(x * columns)) * 2  # of stride 8, half way down
            found[0][:, anchor, 0] = score
            found[3][:, anchor] = share * columns / 2
        return found

    def look(self, **options: Any) -> tuple[Detections, int]:
        used = detector(self.network, **({"large_faces": True} | options))
        (faces,) = used.detect([black(SIZE, SIZE)])
        assert used.n_second == len(self.network.given) - 1
        return faces, used.n_second


def test_where_a_large_face_is_in_doubt_a_second_pass_at_half_the_size_decides() -> None:
    pytest.importorskip("cv2")
    faces, n_second = TwoPasses([(0.3, 0.8, 0.5)], [(0.75, 0.8, 0.5)]).look()
    assert n_second == 1
    assert faces.det_score.tolist() == [0.75]
    side = 0.8 * SIZE
    np.testing.assert_allclose(faces.bbox_xyxy[0, 2:] - faces.bbox_xyxy[0, :2], side, rtol=1e-5)
    np.testing.assert_allclose(faces.bbox_xyxy[0].reshape(2, 2).mean(axis=0), SIZE / 2, atol=1e-3)


def test_the_second_pass_adds_to_the_first_and_repeats_nobody() -> None:
    pytest.importorskip("cv2")
    passes = TwoPasses([(0.8, 0.4, 0.25), (0.3, 0.4, 0.75)], [(0.9, 0.4, 0.25), (0.85, 0.4, 0.75)])
    faces, n_second = passes.look()
    assert n_second == 1
    assert faces.det_score.tolist() == pytest.approx([0.85, 0.8])  # best first
    centres = (faces.bbox_xyxy[:, 0] + faces.bbox_xyxy[:, 2]) / 2
    np.testing.assert_allclose(centres, [0.75 * SIZE, 0.25 * SIZE], atol=1e-3)


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ([(0.8, 0.8, 0.5)], "the first pass is sure"),
        ([(0.3, 0.2, 0.5)], "what is in doubt is small"),
        ([(0.8, 0.4, 0.25), (0.3, 0.5, 0.375)], "what is in doubt is a face that is found"),
        ([], "there is nothing"),
    ],
)
def test_where_there_is_no_doubt_about_a_large_face_there_is_no_second_pass(
    first: Seen, why: str
) -> None:
    pytest.importorskip("cv2")
    _, n_second = TwoPasses(first, [(0.75, 0.8, 0.5)]).look()
    assert n_second == 0, why


@pytest.mark.parametrize("second", [(0.75, 0.2, 0.5), (0.45, 0.8, 0.5)], ids=["small", "weak"])
def test_the_second_pass_adds_no_small_face_and_none_that_is_weak(
    second: tuple[float, float, float],
) -> None:
    pytest.importorskip("cv2")
    faces, n_second = TwoPasses([(0.3, 0.8, 0.5)], [second]).look()
    assert n_second == 1
    assert len(faces.det_score) == 0


def test_without_a_second_pass_there_is_none() -> None:
    pytest.importorskip("cv2")
    passes = TwoPasses([(0.3, 0.8, 0.5)], [(0.75, 0.8, 0.5)])
    faces, n_second = passes.look(large_faces=False)
    assert (len(faces.det_score), n_second) == (0, 0)


# What is refused --------------------------------------------------------------------------------


def test_a_model_without_landmarks_is_refused() -> None:
    network = FakeNetwork(lambda _: [], n_outputs=6)
    with pytest.raises(PackError, match=r"must have 9 outputs .* but has 6"):
        detector(network)


def test_a_model_made_for_one_size_is_refused_at_another_and_given_the_whole_square() -> None:
    pytest.importorskip("cv2")
    network = FakeNetwork(lambda blob: outputs(blob_shape(blob), 0), side=64)
    with pytest.raises(PackError, match=r"32×32 pixels \(det_size\).* made for 64"):
        detector(network, size=32)
    used = detector(network, size=64, large_faces=True)
    used.detect([black(30, 60)])
    assert network.shape == (64, 64)
    assert used.n_second == 0  # a second pass would need another size


# insightface's own class ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scrfd_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    from facelake.faces import find_pack

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACELAKE_CACHE", str(tmp_path_factory.mktemp("cache")))
        pack = find_pack()
        yield Network(pack.detector, pack.detector_sha256, "detector", device="cpu", threads=2)


@pytest.fixture(scope="module")
def insightface() -> Callable[[Image], tuple[Floats, Floats]]:
    """insightface's boxes with scores, and landmarks, in an RGB frame in a square of 640 pixels."""
    import onnxruntime
    from insightface.model_zoo import scrfd

    from facelake.faces import find_pack

    file = find_pack().detector
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = scrfd.SCRFD(model_file=str(file), session=session)
    theirs.prepare(0, input_size=(640, 640), det_thresh=0.5)

    def find(frame: Image) -> tuple[Floats, Floats]:
        boxes, points = theirs.detect(np.ascontiguousarray(frame[:, :, ::-1]))
        return boxes, points

    return find


def wheel_frame(name: str, width: int, height: int) -> Image:
    from PIL import Image as Pillow

    from facelake.testing.pictures import wheel_picture

    with Pillow.open(wheel_picture(name).path) as picture:
        return np.asarray(picture.convert("RGB").resize((width, height)))


@pytest.mark.models
@pytest.mark.parametrize(
    ("width", "height"),
    [
        (640, 360),  # 16:9 and 9:16
        (360, 640),
        (1280, 720),
        (1280, 533),
        (427, 241),  # odd
        (241, 427),
        (161, 127),
        (640, 640),
        (64, 900),
        (80, 45),  # tiny: made larger
        (45, 80),
        (7, 5),
    ],
)
@pytest.mark.parametrize("name", ["poker", "trio"])
def test_insightface_finds_the_same_in_the_square_of_frames_of_any_shape(
    name: str,
    width: int,
    height: int,
    scrfd_network: Network,
    insightface: Callable[[Image], tuple[Floats, Floats]],
) -> None:
    frame = wheel_frame(name, width, height)
    (ours,) = Detector(scrfd_network, large_faces=False).detect([frame])
    boxes, points = insightface(frame)
    assert len(ours.det_score) == len(boxes)
    # The graphs are not the same, and beyond a frame's edge one pads with zeros, one with black.
    partner = [
        int(np.argmax([naive_overlap(box, other) for other in boxes[:, :4]]))
        for box in ours.bbox_xyxy
    ]
    assert sorted(partner) == list(range(len(boxes)))
    for number, other in enumerate(partner):
        assert naive_overlap(ours.bbox_xyxy[number], boxes[other, :4]) >= 0.95
        assert abs(ours.det_score[number] - boxes[other, 4]) <= 0.02
        size_px = float(np.sqrt(np.prod(boxes[other, 2:4] - boxes[other, :2])))
        assert np.abs(ours.landmarks[number] - points[other]).max() <= 0.03 * size_px


@pytest.mark.models
def test_nobody_is_found_where_nobody_is(
    scrfd_network: Network, insightface: Callable[[Image], tuple[Floats, Floats]]
) -> None:
    frame = wheel_frame("rocket", 640, 427)
    used = Detector(scrfd_network)
    assert len(used.detect([frame])[0].det_score) == len(insightface(frame)[0]) == 0
    assert used.n_second == 0


def close_up(name: str, label: str, zoom: float) -> Image:
    """A square of 640 pixels about a face that is ``1 / zoom`` as high."""
    from PIL import Image as Pillow

    from facelake.testing.pictures import wheel_picture

    picture = wheel_picture(name)
    with Pillow.open(picture.path) as image:
        left, top, right, bottom = picture.around(label, zoom=zoom)
        x, y = (left + right) / 2 * image.width, (top + bottom) / 2 * image.height
        half = max((right - left) * image.width, (bottom - top) * image.height) / 2
        seen = (x - half, y - half, x + half, y + half)
        return np.asarray(
            image.convert("RGB").transform(
                (640, 640), Pillow.Transform.EXTENT, seen, Pillow.Resampling.BICUBIC
            )
        )


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "label", "zoom"),
    [
        ("astronaut", "astronaut", 1.25),
        ("trio", "trio-1", 0.8),
        ("trio", "trio-3", 0.7),
        ("poker", "poker-5", 1.25),
        ("chip", "chip-1", 1.25),
    ],
)
def test_a_face_that_fills_the_frame_is_missed_by_the_first_pass_and_found_by_the_second(
    name: str, label: str, zoom: float, scrfd_network: Network
) -> None:
    frame = close_up(name, label, zoom)
    assert len(Detector(scrfd_network, large_faces=False).detect([frame])[0].det_score) == 0
    used = Detector(scrfd_network)
    (found,) = used.detect([frame])
    assert used.n_second == 1
    assert len(found.det_score) == 1
    # The face where a smaller copy of the picture shows it to the first pass alone.
    smaller = np.zeros((640, 640, 3), np.uint8)
    smaller[:320, :320] = frame[::2, ::2]
    (there,) = Detector(scrfd_network, large_faces=False).detect([smaller])
    assert naive_overlap(found.bbox_xyxy[0], 2 * there.bbox_xyxy[0]) > 0.9
    points = found.landmarks[0]
    left, top, right, bottom = found.bbox_xyxy[0]
    assert ((points > [left, top]) & (points < [right, bottom])).all()


@pytest.mark.models
def test_a_second_pass_takes_no_face_away(scrfd_network: Network) -> None:
    for name in ("poker", "trio", "team", "portrait"):
        frame = wheel_frame(name, 640, 480)
        (with_it,), (without,) = (
            Detector(scrfd_network, large_faces=large).detect([frame]) for large in (True, False)
        )
        for box in without.bbox_xyxy:
            assert max(naive_overlap(box, other) for other in with_it.bbox_xyxy) == 1.0


@pytest.mark.models
@pytest.mark.parametrize("det_size", [320, 640])
def test_the_squares_of_the_fake_pack_are_found_in_their_own_place(
    tmp_path: Path, det_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from facelake.faces import find_pack
    from facelake.testing.fakepack import fake_frame, write_fake_pack

    monkeypatch.setenv("FACELAKE_CACHE", str(tmp_path / "cache"))
    pack = find_pack(write_fake_pack(tmp_path / "pack"))
    squares = Network(pack.detector, pack.detector_sha256, "detector", device="cpu")
    frame = fake_frame({"red": (80, 90), "cyan": (233, 140)})
    (faces,) = Detector(squares, size=det_size).detect([frame])
    found = sorted(faces.bbox_xyxy.tolist())
    np.testing.assert_allclose(found, [[60, 70, 100, 110], [213, 120, 253, 160]], atol=1.5)
