"""Detection by arithmetic, by a naive reference, and by insightface's own class."""

from __future__ import annotations

from collections.abc import Callable
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
    Detector,
    anchor_centres,
    decode_boxes,
    decode_points,
    letterbox,
    suppress,
)

Floats = npt.NDArray[np.float32]


# Letterbox --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "new_width", "new_height"),
    [
        (1280, 720, 640, 360),
        (720, 1280, 360, 640),
        (640, 640, 640, 640),
        (427, 241, 640, 361),  # 361.2, cut off
        (241, 427, 361, 640),
        (161, 127, 640, 504),  # 504.8
        (33, 17, 640, 329),  # 329.7, made larger
        (4000, 3, 640, 1),  # 0.48, but a pixel remains
    ],
)
def test_the_frame_fills_the_top_left_and_the_rest_is_black(
    width: int, height: int, new_width: int, new_height: int
) -> None:
    pytest.importorskip("cv2")
    square, scale = letterbox(np.full((height, width, 3), 200, np.uint8), 640)
    assert square.shape == (640, 640, 3)
    filled = square.max(axis=2) > 0
    assert filled[:new_height, :new_width].all()
    assert filled.sum() == new_width * new_height
    assert scale == new_height / height


# Anchors and decoding ---------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_anchors_are_the_corners_of_the_cells_row_by_row_each_twice(stride: int) -> None:
    cells = 96 // stride
    expected = [
        (column * stride, row * stride)
        for row in range(cells)
        for column in range(cells)
        for _ in range(2)
    ]
    assert anchor_centres(96, stride).tolist() == [list(place) for place in expected]


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


class FakeSession:
    """Nine outputs that do not depend on the picture; it remembers what it was given."""

    def __init__(
        self, outputs: list[Floats], *, shape: tuple[Any, ...] = ("n", 3, "h", "w")
    ) -> None:
        self.outputs = outputs
        self.given: Floats | None = None
        self._shape = shape

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "input.1", "shape": list(self._shape)})]

    def get_outputs(self) -> list[Floats]:
        return self.outputs

    def run(self, names: None, feed: dict[str, Floats]) -> list[Floats]:
        (self.given,) = feed.values()
        return self.outputs


SIZE = 64


def outputs(random: np.random.Generator, *, low: float = 0.0) -> list[Floats]:
    """Scores, boxes and landmarks of 64 × 64 pixels, each for strides 8, 16 and 32."""
    found = []
    for width in (1, 4, 10):
        for stride in (8, 16, 32):
            n = (SIZE // stride) ** 2 * 2
            values = (
                random.uniform(low, 1, (n, 1)) if width == 1 else random.uniform(0, 3, (n, width))
            )
            found.append(values.astype(np.float32))
    return found


def naive_detections(
    found: list[Floats], scale: float, threshold: float, iou: float
) -> list[tuple[float, list[float], list[list[float]]]]:
    """Score, box and landmarks of each face, one anchor after the other."""
    faces = []
    for level, stride in enumerate((8, 16, 32)):
        score, box, points = found[level], found[level + 3], found[level + 6]
        for n in range(len(score)):
            x, y = n // 2 % (SIZE // stride) * stride, n // 2 // (SIZE // stride) * stride
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


@given(st.integers(0, 2**32 - 1), st.sampled_from([(64, 64), (128, 72), (50, 90), (33, 21)]))
@settings(deadline=None, max_examples=40)
def test_detections_are_those_of_a_naive_reading_of_the_outputs(
    seed: int, size: tuple[int, int]
) -> None:
    pytest.importorskip("cv2")
    found = outputs(np.random.default_rng(seed))
    image = np.zeros((size[1], size[0], 3), np.uint8)
    session: Any = FakeSession(found)
    faces = Detector(session, size=SIZE, threshold=0.8, iou=0.4).detect(image)
    expected = naive_detections(found, letterbox(image, SIZE)[1], 0.8, 0.4)
    assert len(faces.det_score) == len(expected) > 0
    np.testing.assert_allclose(faces.det_score, [score for score, _, _ in expected])
    np.testing.assert_allclose(
        faces.bbox_xyxy, [box for _, box, _ in expected], rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(faces.landmarks, [p for _, _, p in expected], rtol=1e-4, atol=1e-3)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_outputs_in_another_order_or_with_a_batch_axis_give_the_same(seed: int) -> None:
    pytest.importorskip("cv2")
    random = np.random.default_rng(seed)
    found = outputs(random)
    image = np.zeros((64, 64, 3), np.uint8)
    by_stride = [found[kind * 3 + level] for level in (2, 0, 1) for kind in (1, 2, 0)]
    batched = [output[None] for output in found]
    answers = []
    for form in (found, by_stride, batched):
        session: Any = FakeSession(form)
        answers.append(Detector(session, size=SIZE).detect(image))
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.bbox_xyxy, answers[0].bbox_xyxy)
        np.testing.assert_array_equal(answer.landmarks, answers[0].landmarks)


def test_a_face_exactly_at_the_threshold_is_kept() -> None:
    pytest.importorskip("cv2")
    found = outputs(np.random.default_rng(0))
    for level in range(3):
        found[level][:] = 0.25
    found[1][7] = 0.5
    session: Any = FakeSession(found)
    faces = Detector(session, size=SIZE, threshold=0.5).detect(np.zeros((9, 9, 3), np.uint8))
    assert faces.det_score.tolist() == [0.5]


def test_an_empty_picture_gives_empty_arrays() -> None:
    pytest.importorskip("cv2")
    found = outputs(np.random.default_rng(0))
    session: Any = FakeSession([output * 0 for output in found])
    faces = Detector(session, size=SIZE).detect(np.zeros((64, 64, 3), np.uint8))
    shapes = (faces.bbox_xyxy.shape, faces.det_score.shape, faces.landmarks.shape)
    assert shapes == ((0, 4), (0,), (0, 5, 2))


def test_the_network_reads_rgb_from_minus_one_to_one_in_planes() -> None:
    pytest.importorskip("cv2")
    session: Any = FakeSession(outputs(np.random.default_rng(0)))
    image = np.zeros((64, 64, 3), np.uint8)
    image[:] = (255, 128, 0)
    Detector(session, size=SIZE).detect(image)
    assert session.given.shape == (1, 3, 64, 64)
    assert session.given.dtype == np.float32
    expected = [(value - 127.5) / 128 for value in (255, 128, 0)]
    np.testing.assert_allclose(session.given[0, :, 10, 10], expected, rtol=1e-6)


# What is refused --------------------------------------------------------------------------------


def test_a_model_without_landmarks_is_refused() -> None:
    session: Any = FakeSession(outputs(np.random.default_rng(0))[:6])
    with pytest.raises(PackError, match=r"must have 9 outputs .* but has 6"):
        Detector(session)


def test_a_model_made_for_one_size_is_refused_at_another() -> None:
    found = outputs(np.random.default_rng(0))
    session: Any = FakeSession(found, shape=(1, 3, 640, 640))
    with pytest.raises(PackError, match=r"320×320 pixels \(det_size\).* made for 640"):
        Detector(session, size=320)
    assert Detector(session, size=640).size == 640


# insightface's own class ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both() -> Callable[[npt.NDArray[np.uint8]], tuple[Any, Any]]:
    """What facelake and insightface find in one RGB frame, with the same file."""
    import onnxruntime
    from insightface.model_zoo import scrfd

    from facelake.faces import find_pack
    from facelake.faces.session import open_session

    file = find_pack().detector
    ours = Detector(open_session(file, device="cpu", threads=2))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = scrfd.SCRFD(model_file=str(file), session=session)
    theirs.prepare(0, input_size=(640, 640), det_thresh=0.5)
    return lambda frame: (
        ours.detect(frame),
        theirs.detect(np.ascontiguousarray(frame[:, :, ::-1])),
    )


@pytest.mark.models
@pytest.mark.parametrize(
    ("width", "height"),
    [
        (640, 360),
        (360, 640),
        (427, 241),
        (241, 427),
        (161, 127),
        (1280, 533),
        (640, 640),
        (64, 900),
    ],
)
@pytest.mark.parametrize("name", ["poker", "trio"])
def test_insightface_finds_the_same_in_frames_of_any_shape(
    name: str, width: int, height: int, both: Callable[..., tuple[Any, Any]]
) -> None:
    from PIL import Image

    from facelake.testing.pictures import wheel_picture

    with Image.open(wheel_picture(name).path) as picture:
        frame = np.asarray(picture.convert("RGB").resize((width, height)))
    ours, (boxes, points) = both(frame)
    assert len(ours.det_score) == len(boxes)
    np.testing.assert_allclose(ours.det_score, boxes[:, 4], atol=1e-4)
    np.testing.assert_allclose(ours.bbox_xyxy, boxes[:, :4], atol=0.02)
    np.testing.assert_allclose(ours.landmarks, points, atol=0.02)


@pytest.mark.models
def test_nobody_is_found_where_nobody_is(both: Callable[..., tuple[Any, Any]]) -> None:
    from PIL import Image

    from facelake.testing.pictures import wheel_picture

    with Image.open(wheel_picture("rocket").path) as picture:
        ours, (boxes, _) = both(np.asarray(picture.convert("RGB")))
    assert len(ours.det_score) == len(boxes) == 0


@pytest.mark.models
def test_the_squares_of_the_fake_pack_are_found_in_their_own_place(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from facelake.faces.session import open_session
    from facelake.testing.fakepack import fake_frame, write_fake_pack

    folder = write_fake_pack(tmp_path)
    detector = Detector(open_session(folder / "squares_detector.onnx", device="cpu"))
    faces = detector.detect(fake_frame({"red": (80, 90), "cyan": (233, 140)}))
    found = sorted(faces.bbox_xyxy.tolist())
    np.testing.assert_allclose(found, [[60, 70, 100, 110], [213, 120, 253, 160]], atol=1.5)
