"""Decoded frames → what every player shows: upright, yuv420p, even sides, one size."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from facelake.errors import ExportError
from facelake.media import upright

if TYPE_CHECKING:
    import av
    import numpy.typing as npt
    from av.video.plane import VideoPlane

_LIMITED, _FULL = 1, 2  # AVColorRange
_BT709, _UNSPECIFIED, _BT601 = 1, 2, 6  # AVColorSpace


class Straightener:
    """Frames of one clip, each as the encoder takes it; the first frame decides the size.

    A yuv420p frame that is upright and even goes through untouched. An odd side loses its last
    column or row as stored. Full-range colours become limited range, which all players expect;
    matrix, primaries and transfer are kept as tagged.

    Attributes
    ----------
    width, height
        Of the clip, in pixels, even.
    """

    def __init__(self, first: av.VideoFrame) -> None:
        self._size = (first.width, first.height)
        self._rotation = first.rotation
        if min(self._size) < 2:
            raise ExportError(
                f"a clip needs at least 2 × 2 pixels, but the frames have "
                f"{first.width} × {first.height}"
            )
        self._even = (first.width & ~1, first.height & ~1)
        probe = np.arange(6, dtype=np.uint8).reshape(2, 3)
        shown = upright(probe, first.rotation)
        self._rotated = not np.array_equal(shown, probe)
        self._on_its_side = shown.shape != probe.shape
        self.width, self.height = self._even[::-1] if self._on_its_side else self._even

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as the encoder takes it; pts and time base are the caller's to set."""
        flat = self._flat(frame)
        if self._even != self._size or self._rotated:
            flat = self._turn(flat)
        # Otherwise the encoder copies the source's frame types.
        flat.pict_type = 0
        return flat

    def aspect_ratio(self, stored: Fraction | None) -> Fraction | None:
        """Shape of an upright pixel, width to height."""
        if not stored:
            return None
        return 1 / stored if self._on_its_side else stored

    def _flat(self, frame: av.VideoFrame) -> av.VideoFrame:
        full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL
        size = (frame.width, frame.height)
        if frame.format.name == "yuv420p" and not full and size == self._size:
            return frame
        rgb = frame.format.is_rgb or frame.format.has_palette
        return frame.reformat(
            width=self._size[0],
            height=self._size[1],
            format="yuv420p",
            src_color_range=_FULL if full or rgb else None,
            dst_color_range=_LIMITED,
            dst_colorspace=(_BT709 if frame.height >= 720 else 5) if rgb else None,
        )

    def _turn(self, flat: av.VideoFrame) -> av.VideoFrame:
        import av

        turned = av.VideoFrame(self.width, self.height, "yuv420p")
        turned.color_range, turned.colorspace = flat.color_range, flat.colorspace
        for source, target in zip(flat.planes, turned.planes, strict=True):
            half = 1 if source.width == flat.width and source.height == flat.height else 2
            width, height = (side // half for side in self._even)
            pixels = _pixels(source)[:height, :width]
            _pixels(target)[:] = upright(pixels, self._rotation)
        return turned


def colour_tags(frame: av.VideoFrame) -> dict[str, int]:
    """The encoder's colour fields for a straightened frame."""
    tags = {
        "color_range": int(frame.color_range),
        "colorspace": int(frame.colorspace),
        "color_primaries": int(frame.color_primaries),
        "color_trc": int(frame.color_trc),
    }
    # 0 and 3 are reserved, and in a matrix 0 is RGB: none of them can describe yuv420p.
    return {
        name: value if name == "color_range" or value not in (0, 3) else _UNSPECIFIED
        for name, value in tags.items()
    }


def _pixels(plane: VideoPlane) -> npt.NDArray[np.uint8]:
    """A plane's own memory, shape ``(height, width)``."""
    rows = np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
