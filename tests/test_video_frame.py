"""A frame converts what is asked for, once, and its thumb is a small grey copy of it."""

from __future__ import annotations

from types import SimpleNamespace

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.video import Frame
from facelake.video import frame as frame_module

Image = npt.NDArray[np.uint8]


def planar(luma: Image, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A decoded frame of this luma, without colour; its rows are padded as a decoder pads them."""
    height, width = luma.shape
    picture = av.VideoFrame(width, height, pix_fmt)
    for number, plane in enumerate(picture.planes):
        rows = np.full((plane.height, plane.line_size), 128, np.uint8)
        if number == 0:
            rows[:] = 255  # padding is no picture
            rows[:, :width] = luma
        plane.update(rows.tobytes())
    return picture


def gradient(height: int, width: int) -> Image:
    """Brighter to the right and downwards, from 20 to 220."""
    across = np.linspace(0, 100, width)[None, :] + np.linspace(20, 120, height)[:, None]
    return across.astype(np.uint8)


def test_rgb_is_converted_when_first_asked_for_and_then_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[av.VideoFrame] = []

    def convert(picture: av.VideoFrame) -> Image:
        calls.append(picture)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(frame_module, "frame_rgb", convert)
    frame = Frame(7, planar(gradient(8, 8)))
    frame.thumb()
    assert (frame.pts, frame.height, frame.width, calls) == (7, 8, 8, [])
    assert frame.rgb() is frame.rgb()
    assert len(calls) == 1


def test_a_frame_made_of_an_image_gives_that_image() -> None:
    image = np.zeros((30, 50, 3), np.uint8)
    frame = Frame(3, image)
    assert frame.rgb() is image
    assert (frame.height, frame.width) == (30, 50)
    assert repr(frame) == "Frame(pts=3, 50×30)"


# Thumbs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "gray"])
@pytest.mark.parametrize("size", [(64, 64), (256, 512), (1080, 1920), (1920, 1080), (127, 161)])
def test_a_thumb_holds_the_means_of_the_tiles(pix_fmt: str, size: tuple[int, int]) -> None:
    luma = gradient(*size)
    thumb = Frame(0, planar(luma, pix_fmt)).thumb()
    assert thumb.shape == (64, 64)
    assert thumb.dtype == np.uint8
    # A gradient's mean over a tile is its value in the middle; a tile of a few pixels rounds.
    middle = gradient(*size).astype(float)
    rows = ((np.arange(64) + 0.5) * size[0] / 64).astype(int)
    columns = ((np.arange(64) + 0.5) * size[1] / 64).astype(int)
    assert np.abs(thumb - middle[np.ix_(rows, columns)]).max() <= 3


def test_of_tiles_of_whole_pixels_the_mean_is_exact() -> None:
    luma = np.random.default_rng(1).integers(0, 256, (256, 512)).astype(np.uint8)
    expected = luma.reshape(64, 4, 64, 8).astype(int).sum(axis=(1, 3)) // 32
    np.testing.assert_array_equal(Frame(0, planar(luma)).thumb(), expected)


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_flat_picture_of_any_size_has_a_flat_thumb(height: int, width: int) -> None:
    assert (Frame(0, planar(np.full((height, width), 77, np.uint8), "gray")).thumb() == 77).all()


def test_ten_bits_are_compared_as_eight() -> None:
    eight = planar(gradient(128, 256))
    ten = eight.reformat(format="yuv420p10le")
    difference = Frame(0, ten).thumb().astype(int) - Frame(0, eight).thumb()
    # swscale's grey may stretch video's 16…235 to 0…255.
    assert np.corrcoef(Frame(0, ten).thumb().ravel(), Frame(0, eight).thumb().ravel())[0, 1] > 0.999
    assert np.abs(difference).max() <= 25


def test_the_thumb_of_an_image_is_that_of_the_frame_it_was_made_of() -> None:
    decoded = Frame(0, planar(gradient(360, 640)))
    image = Frame(0, decoded.rgb())
    assert np.abs(image.thumb().astype(int) - decoded.thumb()).max() <= 2


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_frame_is_upright_in_every_respect(
    turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Turned:
        """A picture of PyAV's with a display matrix, which only a decoder can give it."""

        def __init__(self, picture: av.VideoFrame) -> None:
            self._picture = picture
            self.rotation = turn

        def __getattr__(self, name: str) -> object:
            return getattr(self._picture, name)

    # FFmpeg's converter takes none but its own frames.
    converter = SimpleNamespace(reformat=lambda frame, **kind: frame.reformat(**kind))
    monkeypatch.setattr("facelake.media._reformatter", lambda: converter)
    stored = planar(gradient(120, 200))
    frame = Frame(0, Turned(stored))  # type: ignore[arg-type]
    upright = np.rot90(stored.to_ndarray(format="rgb24"), turn // 90)
    assert (frame.height, frame.width) == upright.shape[:2]
    np.testing.assert_array_equal(frame.rgb(), upright)
    np.testing.assert_array_equal(frame.thumb(), np.rot90(Frame(0, stored).thumb(), turn // 90))
