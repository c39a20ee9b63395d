"""Opening a media file without letting it open others.

The ground that the `video` and `export` rooms both stand on. FFmpeg follows what a file says: a
playlist named ``b.mp4``, ``concat:`` or ``subfile,,:`` names make it read other files or hosts.
So only container formats that hold their own bytes are allowed, only from the local disk, and
only real paths.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from facelake.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    import numpy.typing as npt
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# Demuxers that read one file and nothing else. Playlists (hls, concat, dash) are left out.
FORMATS = (
    "aac,ac3,aiff,asf,av1,avi,dv,flac,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,"
    "mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,wav,webm,webm_dash_manifest,yuv4mpegpipe"
)
# MPEG program streams (.mpg, .vob) write down few times, and after a seek FFmpeg guesses others
# than from the start. They must be read from the start.
NO_SEEK_FORMATS = frozenset({"mpeg"})
_of_thread = threading.local()
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


def open_media(path: str | Path, *, options: dict[str, str] | None = None) -> InputContainer:
    """Open a file on the local disk with PyAV, and nothing that it refers to.

    Parameters
    ----------
    path
        A file. URLs and FFmpeg's pseudo protocols are refused: the path is made absolute first.
    options
        Further FFmpeg demuxer options.

    Raises
    ------
    VideoError
        The file is missing, empty, or not a container FFmpeg can read.
    """
    import av
    from av.error import FFmpegError

    file = Path(path)
    if not file.is_file():
        raise VideoError(f"{path}: there is no such file")
    if file.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes)")
    try:
        # "file:" keeps FFmpeg from reading a protocol, or a pattern, out of the name.
        container = av.open(f"file:{file.absolute()}", options=_OPTIONS | (options or {}))
    except FFmpegError as error:
        raise VideoError(f"{path}: not a video FFmpeg can open ({error.strerror})") from error
    except (UnicodeError, ValueError, OverflowError) as error:
        raise VideoError(f"{path}: not a video FFmpeg can open ({error})") from error
    return container


def iter_packets(
    container: InputContainer, stream: VideoStream
) -> Iterator[av.Packet[VideoStream]]:
    """A stream's packets in order of the file, and last the empty one that flushes its decoder.

    FFmpeg's error is passed on where a file cannot be read any further.
    """
    # PyAV (18) knows only the streams that were there at the start. It stumbles over one that a
    # damaged or joined transport stream brings in later, after the last packet of the others.
    with suppress(IndexError):
        yield from container.demux(stream)


def upright(image: npt.NDArray[np.uint8], rotation: int) -> npt.NDArray[np.uint8]:
    """The image as the display matrix wants it shown.

    Parameters
    ----------
    image
        Shape ``(height, width, ...)`` as stored.
    rotation
        Degrees counter-clockwise as PyAV's ``frame.rotation`` says; anything that is no multiple
        of 90 (a broken header says −2147483648) leaves the image as it is.
    """
    if rotation % 90 or abs(rotation) > 360:
        return image
    turned: npt.NDArray[np.uint8] = np.ascontiguousarray(np.rot90(image, rotation // 90))
    return turned


def frame_rgb(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """One decoded frame as upright RGB, shape ``(height, width, 3)``, uint8."""
    rgb = _reformatter().reformat(frame, format="rgb24")
    image = cast("npt.NDArray[np.uint8]", rgb.to_ndarray())
    return upright(image, frame.rotation)


def _reformatter() -> VideoReformatter:
    """A converter of each thread. A frame's own would be set up anew, which takes half its time."""
    from av.video.reformatter import VideoReformatter

    if not hasattr(_of_thread, "reformatter"):
        _of_thread.reformatter = VideoReformatter()
    kept: VideoReformatter = _of_thread.reformatter
    return kept
