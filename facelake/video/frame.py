"""A decoded frame, of which only what is asked for is converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from facelake.media import frame_rgb, upright

if TYPE_CHECKING:
    import av

Image = npt.NDArray[np.uint8]

THUMB_SIDE = 64
"""Rows and columns of a thumb."""

# Rows of the picture that are read for each row of a thumb: the others would tell little more, and
# take four times as long at 1080p.
_ROWS_READ = 4
_LUMA_OF_RGB = np.array([0.257, 0.504, 0.098], np.float32)
# Eight-bit formats whose first plane is luma as it is stored.
_LUMA_FIRST = ("yuv", "nv12", "nv16", "nv21", "nv24", "gray")


class Frame:
    """One upright frame of a video; RGB is made when it is first asked for.

    Holds a buffer of the decoder until it is dropped.

    Parameters
    ----------
    pts
        When it is shown, in the stream's time base.
    picture
        As PyAV decoded it, or upright RGB, shape ``(height, width, 3)``, uint8.

    Attributes
    ----------
    height, width
        Of the upright picture, in pixels.
    """

    __slots__ = ("_picture", "_rgb", "height", "pts", "width")

    def __init__(self, pts: int, picture: av.VideoFrame | Image) -> None:
        self.pts = pts
        self._picture: av.VideoFrame | None = None
        self._rgb: Image | None = None
        if isinstance(picture, np.ndarray):
            self._rgb = picture
            self.height, self.width = picture.shape[:2]
        else:
            self._picture = picture
            lies = picture.rotation % 180 == 90
            self.height = picture.width if lies else picture.height
            self.width = picture.height if lies else picture.width

    def __repr__(self) -> str:
        return f"Frame(pts={self.pts}, {self.width}×{self.height})"

    def rgb(self) -> Image:
        """The picture, upright, shape ``(height, width, 3)``, uint8; the same array each time."""
        if self._rgb is None:
            assert self._picture is not None  # a frame is made of one or the other
            self._rgb = frame_rgb(self._picture)
        return self._rgb

    def thumb(self) -> Image:
        """A small grey picture to compare frames by, upright, shape ``(64, 64)``, uint8.

        Area means of the luma that is stored, whatever the shape of the frame.
        """
        if self._picture is None:
            return _area_means(_luma_of(self.rgb()))
        return upright(_area_means(_stored_luma(self._picture)), self._picture.rotation)


def _stored_luma(picture: av.VideoFrame) -> Image:
    name = picture.format.name
    if name.startswith(_LUMA_FIRST) and picture.format.components[0].bits == 8:
        plane = picture.planes[0]
        if plane.line_size >= plane.width > 0:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            return rows[: picture.height, : picture.width]
    return cast("Image", picture.to_ndarray(format="gray"))


def _luma_of(rgb: Image) -> Image:
    """Luma by ITU-R BT.601 of a few rows, in the range 16 to 235 that video stores."""
    few = rgb[_rows_read(rgb.shape[0])]
    luma: Image = (few @ _LUMA_OF_RGB + np.float32(16.5)).astype(np.uint8)
    return luma


def _rows_read(height: int) -> npt.NDArray[np.int64]:
    """The rows that stand for all: for each of a thumb's four, spread evenly."""
    n_rows = THUMB_SIDE * _ROWS_READ
    return (2 * np.arange(n_rows) + 1) * height // (2 * n_rows)


def _area_means(grey: Image) -> Image:
    """Means of 64 × 64 tiles of an 8-bit picture."""
    width = grey.shape[1]
    rows = grey[_rows_read(grey.shape[0])].reshape(THUMB_SIDE, _ROWS_READ, width)
    edges = np.arange(THUMB_SIDE) * width // THUMB_SIDE
    n_columns = np.maximum(np.diff(edges, append=width), 1)  # a tile of no pixel takes its left one
    sums = np.add.reduceat(rows.sum(axis=1, dtype=np.uint16), edges, axis=1, dtype=np.uint32)
    means: Image = (sums // (n_columns * _ROWS_READ)).astype(np.uint8)
    return means
