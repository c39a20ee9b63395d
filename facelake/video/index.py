"""One pass over a video's packets, without decoding: times, key frames, and may decord be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from facelake.errors import VideoError
from facelake.media import iter_packets, open_media
from facelake.schema import VideoFacts, VideoIndex
from facelake.video.bitstream import SLICE_CODECS, are_references, first_slice, starts_decoding
from facelake.video.parameters import allows_fields

if TYPE_CHECKING:
    import numpy.typing as npt
    from av.container import InputContainer
    from av.video.stream import VideoStream

# On these, where the rules of `_decord_doubt` hold too, decord's frames were exact in all 77 files
# that were compared; elsewhere it shows wrong ones without a word.
_DECORD_CONTAINERS = ("mov,mp4", "matroska,webm")
_DECORD_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mjpeg"})
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: a cover, not a film
_FIRST_FRAME_PACKETS = 300


def identify(path: str | Path, alive: Callable[[], None] = lambda: None) -> str:
    """Content id of a file: the SHA-256 of its bytes, 64 hex digits.

    ``alive`` is called now and then, to tell a watchdog that work goes on.

    Raises
    ------
    VideoError
        The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
                alive()
    except OSError as error:
        raise VideoError(f"{path}: the file cannot be read ({error.strerror})") from error
    return digest.hexdigest()


@dataclass
class _Packets:
    """What the demuxer said, in decode order."""

    pts: list[int] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    slices: list[int] = field(default_factory=list)  # of `first_slice`, where the codec has them
    n_timeless: int = 0
    n_discard: int = 0
    n_bad: int = 0
    n_false_keys: int = 0
    may_be_fields: bool = False
    key_dts: set[int | None] = field(default_factory=set)
    last_duration: int = 0
    last_pts: int = -(2**63)


def index_video(path: str | Path, alive: Callable[[], None] = lambda: None) -> VideoIndex:
    """The index of a video's main stream: its largest picture that is no cover.

    One demux pass, plus the decoding of a single frame for its rotation and pixel format.

    Raises
    ------
    VideoError
        No video FFmpeg can open, no video stream, or not one packet in it.
    """
    with open_media(path) as container:
        stream = _main_stream(container, path)
        packets = _read_packets(container, stream, alive)
        n_packets = len(packets.pts) + packets.n_timeless
        if n_packets == 0:
            promised = f", though its header promises {stream.frames}" if stream.frames else ""
            raise VideoError(f"{path}: the video stream holds no packet{promised}")
        container_name = container.format.name
        codec = stream.codec_context.codec.canonical_name
        doubt = _decord_doubt(container, stream, packets)
        is_cheap = _cheap_frames(stream, packets)
        n_promised = stream.frames
        rate = stream.average_rate or stream.guessed_rate
        stream_index, time_base = stream.index, stream.time_base or Fraction(1, 1000)
    width, height, pixel_format, rotation = _first_picture(path, stream_index)
    timed = _times_hold(packets, container_name)
    pts = np.array(packets.pts if timed else [], np.int64)
    order = np.argsort(pts, kind="stable")
    keys = np.array(packets.is_key if timed else [], bool)[order]
    pts = pts[order]
    is_cheap = is_cheap[order]
    facts = VideoFacts(
        stream=stream_index,
        container=container_name,
        codec=codec,
        pixel_format=pixel_format,
        width=width,
        height=height,
        rotation=rotation,
        time_base=time_base,
        n_frames=len(pts),
        start_pts=int(pts[0]) if timed else 0,
        end_pts=int(pts[-1]) + _last_duration(packets, pts) if timed else 0,
        assumed_fps=None if timed else float(rate or 25),
        n_missing=max(0, n_promised - n_packets - packets.n_discard),
        n_bad_packets=packets.n_bad,
        decord_doubt=doubt,
    )
    return VideoIndex(facts, pts, pts[keys], is_cheap)


def _main_stream(container: InputContainer, path: str | Path) -> VideoStream:
    films = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
    if not films:
        if len(container.streams.video):
            raise VideoError(f"{path}: holds a cover picture but no film")
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "no stream at all"
        raise VideoError(f"{path}: holds no video stream, only {kinds}")
    if any(s.codec_context is None for s in films):
        films = [s for s in films if s.codec_context is not None]
        if not films:
            raise VideoError(f"{path}: no decoder here knows its video codec")
    return max(films, key=lambda s: (s.width * s.height, -s.index))


def _read_packets(
    container: InputContainer, stream: VideoStream, alive: Callable[[], None]
) -> _Packets:
    from av.error import FFmpegError

    packets = _Packets()
    codec = stream.codec_context.codec.canonical_name
    has_slices = codec in SLICE_CODECS
    extradata = stream.codec_context.extradata or b""
    packets.may_be_fields = codec == "h264" and allows_fields(extradata)
    source = iter_packets(container, stream)
    while True:
        try:
            packet = next(source)
        except StopIteration:
            return packets
        except FFmpegError:  # a file that ends in the middle: what came before is good
            packets.n_bad += 1
            return packets
        if packet.size == 0:  # the demuxer's flush at the end
            continue
        alive()
        packets.n_bad += packet.is_corrupt
        if packet.is_discard:  # cut away by an edit list: decoded, never shown
            packets.n_discard += 1
        elif packet.pts is None:
            packets.n_timeless += 1
        else:
            packets.pts.append(packet.pts)
            packets.is_key.append(packet.is_keyframe)
            if has_slices:
                packets.slices.append(first_slice(codec, extradata, memoryview(packet)))
            if packet.is_keyframe:
                packets.key_dts.add(packet.dts)
                if codec == "h264" and not packets.may_be_fields:
                    packets.may_be_fields = allows_fields(extradata, memoryview(packet))
                packets.n_false_keys += has_slices and not starts_decoding(
                    codec, packets.slices[-1]
                )
            if packet.pts > packets.last_pts:
                packets.last_pts, packets.last_duration = packet.pts, packet.duration or 0


def _times_hold(packets: _Packets, container: str) -> bool:
    """Whether the packets' pts are the frames' times.

    AVI stores none: FFmpeg hands on decode times, which are wrong wherever frames are reordered.
    Its rate is constant by construction, so counting decoded frames is exact there.
    """
    unique = len(set(packets.pts)) == len(packets.pts)
    return packets.n_timeless == 0 and unique and container != "avi"


def _cheap_frames(stream: VideoStream, packets: _Packets) -> npt.NDArray[np.bool_]:
    """Which packets a decoder cannot leave out, in decode order; none on any doubt."""
    codec = stream.codec_context.codec.canonical_name
    # Two packets may be the two fields of one frame, of which a decoder would leave out one.
    if codec not in SLICE_CODECS or packets.n_bad or packets.may_be_fields:
        return np.zeros(len(packets.pts), np.bool_)
    return are_references(codec, np.array(packets.slices, np.int64))


def _last_duration(packets: _Packets, pts: np.ndarray) -> int:
    if packets.last_duration > 0:
        return packets.last_duration
    return int(np.median(np.diff(pts))) if len(pts) > 1 else 1


def _decord_doubt(container: InputContainer, stream: VideoStream, packets: _Packets) -> str:
    """Why decord is not proved safe, by what the packets say; empty when it is."""
    codec = stream.codec_context.codec.canonical_name
    pts, keys = packets.pts, packets.is_key
    films = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
    rules = {
        f"container {container.format.name}": container.format.name.startswith(_DECORD_CONTAINERS),
        f"codec {codec}": codec in _DECORD_CODECS,
        "unknown duration": bool(container.duration or stream.duration),
        "several video streams": len(films) == 1,
        "packets without a time": packets.n_timeless == 0,
        "packets that share a time": len(set(pts)) == len(pts),
        "an edit list hides frames": packets.n_discard == 0,
        "damaged packets": packets.n_bad == 0,
        "does not start with a key frame": bool(keys) and keys[0] and pts[0] == min(pts),
        "key frames that are no IDR pictures": packets.n_false_keys == 0,
        "its seek table names other key frames": _seek_table_holds(stream, packets),
        "open GOP": not _has_open_gop(pts, keys),
        f"{stream.frames} frames promised": stream.frames in (0, len(pts)),
        "decord is not installed": find_spec("decord") is not None,
    }
    return ", ".join(name for name, holds in rules.items() if not holds)


def _seek_table_holds(stream: VideoStream, packets: _Packets) -> bool:
    """Whether the container's table of key frames, where it has one of every frame, is right."""
    entries = stream.index_entries
    if len(entries) != len(packets.pts):
        return True
    return {entry.timestamp for entry in entries if entry.is_keyframe} == packets.key_dts


def _has_open_gop(pts: list[int], is_key: list[bool]) -> bool:
    """Whether a packet after a key frame, in decode order, is shown before it."""
    times = np.array(pts, np.int64)
    last_key = np.maximum.accumulate(np.where(is_key, times, np.iinfo(np.int64).min))
    return bool((times < last_key).any())


def _first_picture(path: str | Path, stream_index: int) -> tuple[int, int, str, int]:
    """Upright width and height, pixel format and rotation of the first frame that decodes."""
    from av.error import FFmpegError

    with open_media(path) as container:
        stream = cast("VideoStream", container.streams[stream_index])
        width, height = stream.width, stream.height
        pixel_format, rotation = stream.codec_context.pix_fmt or "", 0
        try:
            for n_read, packet in enumerate(iter_packets(container, stream)):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    frames = []
                if frames:
                    first = frames[0]
                    width, height, pixel_format = first.width, first.height, first.format.name
                    rotation = first.rotation
                    break
                if n_read >= _FIRST_FRAME_PACKETS:
                    break
        except FFmpegError:
            pass  # the decoding pass will say how much of the file can be read
    if rotation % 90:  # a broken header: no_timescale.mp4 says −2147483648
        rotation = 0
    if rotation % 180:
        width, height = height, width
    return width, height, pixel_format, rotation
