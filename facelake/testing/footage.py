"""Made-up videos: frames that carry their own number, written with PyAV's encoders.

`numbered_frame` draws a number as blocks that survive lossy coding and `read_number` reads it
back, so that "is this the right frame?" is a fact and not an impression. `write_video` puts frames
at any presentation times into any container PyAV can write. The same frames give the same bytes on
the same library versions.
"""

from __future__ import annotations

import itertools
import platform
import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from facelake.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    Image = npt.NDArray[np.uint8]

AUDIO_RATE_HZ = 48_000
_CLOCK = Fraction(1, 90_000)  # MPEG's clock: exact for 25, 30 and 50 frames a second
# With more threads one file in 25 came out different, and with x264's AVX-512 code one in 50.
_THREADS = 1
_X86 = platform.machine().lower() in ("x86_64", "amd64")
_STEADY = {
    "libx264": ("x264-params", "asm=SSE2" if _X86 else "threads=1"),
    "libx265": ("x265-params", "log-level=none:pools=none:frame-threads=1"),
}


@dataclass(frozen=True)
class Planted:
    """Somebody who was put into a video from one moment to another.

    Attributes
    ----------
    video
        The file's name.
    identity
        Who.
    start_s, end_s
        Presentation times of the first frame that shows them, and of the first that does not,
        in seconds.
    """

    video: str
    identity: str
    start_s: float
    end_s: float


# Numbered frames --------------------------------------------------------------------------------

_GRID = 5
_CORNERS = {0: 1, _GRID - 1: 0, _GRID * (_GRID - 1): 0, _GRID * _GRID - 1: 0}
_DATA_CELLS = [cell for cell in range(_GRID * _GRID) if cell not in _CORNERS]
_INDEX_BITS = 16
_DARK, _BRIGHT = 40, 215
_LEAST_CONTRAST = 40.0


def numbered_frame(index: int, width: int, height: int) -> Image:
    """A picture that says its number: 5 × 5 dark and bright cells.

    The four corner cells tell which way is up, 16 cells hold the number and 5 a checksum.

    Parameters
    ----------
    index
        The number, from 0 to 65,535.
    width, height
        Size in pixels, each at least 40 so that a cell is as wide as a coding block.

    Returns
    -------
    ndarray
        RGB, shape ``(height, width, 3)``, uint8.
    """
    if not 0 <= index < 2**_INDEX_BITS:
        raise ValueError(f"index must lie in [0, {2**_INDEX_BITS - 1}], but is {index}")
    if min(width, height) < 8 * _GRID:
        raise ValueError(
            f"width and height must be at least {8 * _GRID} pixels, but are {width} × {height}"
        )
    cells = np.zeros(_GRID * _GRID, np.bool_)
    cells[list(_CORNERS)] = list(_CORNERS.values())
    cells[_DATA_CELLS] = _to_bits(index)
    rows = np.arange(height) * _GRID // height
    columns = np.arange(width) * _GRID // width
    grey = np.where(cells.reshape(_GRID, _GRID), _BRIGHT, _DARK)[np.ix_(rows, columns)]
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def read_number(image: npt.NDArray[np.uint8]) -> int:
    """The number in a picture of `numbered_frame`, after any lossy coding.

    Parameters
    ----------
    image
        Upright, shape ``(height, width)`` or ``(height, width, 3)``, uint8.

    Raises
    ------
    ValueError
        The picture holds no number: it is turned, mirrored, torn, smeared, or something else.
    """
    grey = np.asarray(image, np.float64)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    means = np.array([grey[area].mean() for area in _cell_centres(grey.shape)])
    if np.abs(means - (_DARK + _BRIGHT) / 2).min() < _LEAST_CONTRAST:
        raise ValueError(
            "every cell must be dark or bright, but one is grey: "
            "the picture is not a numbered frame, or two frames are mixed in it"
        )
    cells = means > (_DARK + _BRIGHT) / 2
    if [int(cells[cell]) for cell in _CORNERS] != list(_CORNERS.values()):
        raise ValueError("the bright corner must be top left: the picture is turned or mirrored")
    bits = cells[_DATA_CELLS]
    index = int(bits[:_INDEX_BITS] @ (1 << np.arange(_INDEX_BITS)))
    if not np.array_equal(_to_bits(index), bits):
        raise ValueError(f"the cells read {index}, but their checksum does not fit it")
    return index


def numbered_frames(n_frames: int, *, width: int = 160, height: int = 128) -> Iterator[Image]:
    """Frames 0, 1, 2, … of `numbered_frame`."""
    for index in range(n_frames):
        yield numbered_frame(index, width, height)


def _to_bits(index: int) -> npt.NDArray[np.bool_]:
    """Sixteen bits of the number, lowest first, and five of its checksum."""
    check = zlib.crc32(index.to_bytes(2, "little")) & 0b11111
    word = index | check << _INDEX_BITS
    return np.array([word >> bit & 1 for bit in range(len(_DATA_CELLS))], np.bool_)


def _cell_centres(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """The middle half of each cell, where coding errors at the edges do not reach."""
    height, width = shape[:2]
    for row, column in itertools.product(range(_GRID), repeat=2):
        yield (
            slice(int((row + 0.25) * height / _GRID), int((row + 0.75) * height / _GRID)),
            slice(int((column + 0.25) * width / _GRID), int((column + 0.75) * width / _GRID)),
        )


# Writing ----------------------------------------------------------------------------------------


def write_video(
    path: str | Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    *,
    fps: Fraction | int = 25,
    start_s: float = 0.0,
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    rotation: int = 0,
    tone_hz: float | None = None,
    second_stream: Iterable[npt.NDArray[np.uint8]] | None = None,
    muxer: str | None = None,
    muxer_options: dict[str, str] | None = None,
) -> Path:
    """A video file with exactly these frames at exactly these times.

    The file appears under its name when it is complete, never half written.

    Parameters
    ----------
    path
        Where to write; the suffix chooses the container unless ``muxer`` does.
    frames
        RGB as a viewer shall see them, shape ``(height, width, 3)``, uint8, all of one size.
    fps
        Frames a second where ``times_s`` is not given. 23.976 is ``Fraction(24000, 1001)``.
    start_s
        Presentation time of the first frame where ``times_s`` is not given, in seconds.
    times_s
        Presentation time of each frame, in seconds, increasing; rounded to 1/90,000 s.
    codec, options
        FFmpeg's name of the encoder and its options.
    pix_fmt
        Pixel format of the encoder. 4:2:0 in H.264 and HEVC wants even sizes.
    gop
        Most frames from one key frame to the next.
    rotation
        Degrees counter-clockwise that a player must turn the stored picture, a multiple of 90;
        MP4 and MOV only. Frames are stored turned the other way, so that upright they are as given.
    tone_hz
        Frequency of a sine as sound track (AAC, 48 kHz, mono), from the first frame to the last;
        ``None`` writes none.
    second_stream
        Frames of a second video stream, at the same times.
    muxer, muxer_options
        FFmpeg's name of the container format and its options.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ValueError
        There is no frame, the times do not increase or are not as many as the frames, or the
        rotation is no multiple of 90.
    """
    if rotation % 90:
        raise ValueError(f"rotation must be a multiple of 90 degrees, but is {rotation}")
    regular = times_s is None and start_s == 0
    encoder = _Encoder(
        codec=codec,
        options=_encoder_options(codec, {"g": str(gop)} | (options or {})),
        pix_fmt=pix_fmt,
        rate=Fraction(fps),
        time_base=1 / Fraction(fps) if regular else _CLOCK,
        rotation=rotation,
    )
    clock = _timeline(Fraction(fps), start_s=start_s, times_s=times_s)
    timed = _timed_images(clock, frames, second_stream)
    first = next(timed)
    with replacing(Path(path)) as draft:
        with open_muxer(draft, muxer=muxer, options=muxer_options) as container:
            tracks = [_VideoTrack(container, encoder, image) for image in first[1]]
            tones = [ToneTrack(container, hz=hz, start=first[0]) for hz in [tone_hz] if hz]
            for time, images in itertools.chain([first], timed):
                for track, image in zip(tracks, images, strict=True):
                    track.write(time, image)
                for tone in tones:
                    tone.write_until(time)
            for track in tracks:
                track.close()
            for tone in tones:
                tone.close()
        if rotation % 360:
            draft.write_bytes(with_rotation(draft.read_bytes(), rotation))
    return Path(path)


def _timeline(
    fps: Fraction, *, start_s: float, times_s: Sequence[float] | None
) -> Iterator[Fraction]:
    """Presentation time of one frame after the other, exact where the rate says it."""
    if times_s is None:
        start = round(start_s / _CLOCK) * _CLOCK
        yield from (start + number / fps for number in itertools.count())
        return
    for number, time_s in enumerate(times_s):
        if number and not time_s > times_s[number - 1]:
            raise ValueError(
                f"times_s must be increasing, but times_s[{number}] = {time_s} "
                f"follows {times_s[number - 1]}"
            )
        yield round(time_s / _CLOCK) * _CLOCK


def _timed_images(
    clock: Iterator[Fraction],
    frames: Iterable[npt.NDArray[np.uint8]],
    second_stream: Iterable[npt.NDArray[np.uint8]] | None,
) -> Iterator[tuple[Fraction, tuple[Image, ...]]]:
    """Each instant with its picture, or with one picture a stream."""
    images = zip(frames) if second_stream is None else zip(frames, second_stream, strict=True)
    n_frames = 0
    for n_frames, pictures in enumerate(images, start=1):
        time = next(clock, None)
        if time is None:
            raise ValueError(f"times_s must have a time for each frame, but has {n_frames - 1}")
        yield time, pictures
    if n_frames == 0:
        raise ValueError("a video needs at least one frame, but none came")


def _encoder_options(codec: str, options: dict[str, str]) -> dict[str, str]:
    """The options, with what makes the encoder silent and its bytes the same each time."""
    if codec not in _STEADY:
        return options
    name, steady = _STEADY[codec]
    given = [options[name]] if name in options else []
    return options | {name: ":".join([steady, *given])}


@contextmanager
def open_muxer(
    path: Path, *, muxer: str | None = None, options: dict[str, str] | None = None
) -> Iterator[OutputContainer]:
    """A container to write to that takes neither random numbers nor the clock into the file."""
    import av

    settings = {"fflags": "+bitexact"} | (options or {})
    with av.open(str(path), "w", format=muxer, options=settings) as container:
        yield container


@dataclass(frozen=True)
class _Encoder:
    """How a video stream is encoded."""

    codec: str
    options: dict[str, str]
    pix_fmt: str
    rate: Fraction
    time_base: Fraction
    rotation: int


class _VideoTrack:
    """A video stream that is being written; the first image gives its size."""

    def __init__(self, container: OutputContainer, encoder: _Encoder, image: Image) -> None:
        self._container = container
        self._encoder = encoder
        height, width = self._stored(image).shape[:2]
        stream = container.add_stream(encoder.codec, rate=encoder.rate, options=encoder.options)
        self._stream = cast("VideoStream", stream)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = encoder.pix_fmt
        self._stream.time_base = encoder.time_base
        self._stream.codec_context.time_base = encoder.time_base
        self._stream.codec_context.thread_count = _THREADS

    def write(self, time: Fraction, image: Image) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(self._stored(image), format="rgb24")
        frame.pts = round(time / self._encoder.time_base)
        frame.time_base = self._encoder.time_base
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))

    def _stored(self, image: Image) -> Image:
        """The image as it must be stored so that turning it by the rotation shows it upright."""
        turned: Image = np.ascontiguousarray(np.rot90(image, -self._encoder.rotation // 90))
        return turned


class ToneTrack:
    """A sine as AAC sound track, 48 kHz, mono, that is being written.

    Parameters
    ----------
    container
        Where to add the stream; before any packet is written.
    hz
        Frequency of the sine.
    start
        Presentation time of the first sample, in seconds.
    """

    _BLOCK = 1024  # AAC's frame

    def __init__(self, container: OutputContainer, *, hz: float, start: Fraction) -> None:
        self._container = container
        self._hz = hz
        self._next = round(start * AUDIO_RATE_HZ)
        self._stream: AudioStream = container.add_stream("aac", rate=AUDIO_RATE_HZ)
        self._stream.codec_context.layout = "mono"

    def write_until(self, time: Fraction) -> None:
        """Write the sound up to and with ``time``."""
        import av

        while self._next <= time * AUDIO_RATE_HZ:
            phase = (self._next + np.arange(self._BLOCK)) * (2 * np.pi * self._hz / AUDIO_RATE_HZ)
            samples = (0.2 * np.sin(phase)).astype(np.float32)[None, :]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = AUDIO_RATE_HZ
            frame.pts = self._next
            frame.time_base = Fraction(1, AUDIO_RATE_HZ)
            self._container.mux(self._stream.encode(frame))
            self._next += self._BLOCK

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


# Patching ---------------------------------------------------------------------------------------


def with_rotation(mp4: bytes, rotation: int) -> bytes:
    """The bytes of an MP4 whose first track asks to be turned.

    PyAV writes display matrices only since version 18, so the matrix in ``tkhd`` is overwritten.

    Parameters
    ----------
    mp4
        A whole MP4 or MOV file.
    rotation
        Degrees counter-clockwise, a multiple of 90, as PyAV's ``frame.rotation`` reports it.
    """
    box = mp4.find(b"tkhd")
    if box < 0:
        raise ValueError("the file must be an MP4 or MOV with a track header, but has no 'tkhd'")
    # ISO/IEC 14496-12, 8.3.2: version 1 has 64-bit times and a 64-bit duration.
    matrix = box + (56 if mp4[box + 4] == 1 else 44)
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation % 360]
    one = 1 << 16
    cells = (cosine * one, -sine * one, 0, sine * one, cosine * one, 0, 0, 0, 1 << 30)
    return mp4[:matrix] + struct.pack(">9i", *cells) + mp4[matrix + 36 :]
