"""One interval of a video → its frames in order, each with the time that it stays on screen."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from facelake.errors import ExportError
from facelake.media import NO_SEEK_FORMATS, iter_packets

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_TOLERANCE_S = Fraction(1, 1_000_000)
_IN_FLIGHT = 64  # packets that a threaded decoder can hold when the file ends


class SeekMissed(Exception):  # noqa: N818  a turn in the road, not an error
    """The seek came down after the first wanted frame: begin earlier."""


class PacketLost(Exception):  # noqa: N818
    """Threads lost frames beside a damaged packet: decode again with one."""


@dataclass(frozen=True)
class Interval:
    """The wanted frames: those with ``start_pts <= pts < end_pts``.

    ``start_s`` and ``end_s`` are the bounds as they were asked for.
    """

    start_s: float
    end_s: float
    time_base: Fraction
    start_pts: int
    end_pts: int


@dataclass(frozen=True)
class Approach:
    """How to come to the first wanted frame.

    Attributes
    ----------
    back_s
        Seek to the key frame at or before this long before it; ``None`` reads from the start.
    threaded
        Decode on all cores. One thread is the reference where packets are damaged.
    """

    back_s: float | None
    threaded: bool


class Shown(NamedTuple):
    """A frame, its pts, and how long it stays on screen, in units of the interval's time base."""

    frame: av.VideoFrame
    pts: int
    duration: int


def find_interval(start_s: float, end_s: float, time_base: Fraction) -> Interval:
    """The pts of the frames with ``start_s <= time_s < end_s``.

    The bounds are met with a tolerance of half a unit of the time base and at most a microsecond.
    So seconds that were stored as float64, and are a hair off ``pts × time_base``, select exactly
    the frames they came from, and where a unit is a whole frame (AVI) the rule still holds as
    written.
    """
    tolerance = min(time_base / 2, _TOLERANCE_S)
    first, end = (
        math.ceil((Fraction(seconds) - tolerance) / time_base) for seconds in (start_s, end_s)
    )
    return Interval(start_s, end_s, time_base, first, end)


def iter_shown(
    container: InputContainer,
    stream: VideoStream,
    interval: Interval,
    *,
    approach: Approach,
    numbered: bool,
) -> Iterator[Shown]:
    """The frames of an interval in order of presentation.

    Parameters
    ----------
    numbered
        The file carries no times: a frame's pts is its number.

    Raises
    ------
    SeekMissed, PacketLost
        Another approach is needed; an approach from the start with one thread raises neither.
    ExportError
        The interval holds no frame.
    """
    sought = _seek(container, stream, interval, approach)
    before: int | None = None
    held: tuple[av.VideoFrame, int] | None = None
    any_shown = False
    for frame, pts in _iter_forward(container, stream, approach, numbered=numbered):
        if sought and before is None and held is None and pts > interval.start_pts:
            raise SeekMissed
        if held is not None:
            any_shown = True
            yield _shown(held, pts, stream, interval)
            held = None
        if pts >= interval.end_pts:
            if not any_shown:
                raise ExportError(_no_frame(interval, before, pts))
            return
        if pts >= interval.start_pts:
            held = (frame, pts)
        else:
            before = pts
    if held is not None:
        yield _shown(held, None, stream, interval)
    elif not any_shown:
        if sought:
            raise SeekMissed
        raise ExportError(_no_frame(interval, before, None))


def _seek(
    container: InputContainer, stream: VideoStream, interval: Interval, approach: Approach
) -> bool:
    """Whether the file now stands somewhere else than at its start."""
    from av.error import FFmpegError

    stream.thread_type = "AUTO" if approach.threaded else "SLICE"
    if not approach.threaded:
        stream.codec_context.thread_count = 1
    if approach.back_s is None or stream.start_time is None:
        return False
    if container.format.name in NO_SEEK_FORMATS:
        return False
    target = interval.start_pts - math.ceil(Fraction(approach.back_s) / interval.time_base)
    if target <= stream.start_time:
        return False
    try:
        container.seek(target, stream=stream)
    except FFmpegError as error:
        raise SeekMissed from error
    return True


def _iter_forward(
    container: InputContainer, stream: VideoStream, approach: Approach, *, numbered: bool
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Frames whose times go up; one that is not later than its predecessor cannot be shown."""
    last: int | None = None
    for number, frame in enumerate(_iter_decoded(container, stream, approach)):
        pts = number if numbered else frame.pts
        if pts is None:
            if last is None:
                raise ExportError(
                    "the frames carry no times; give assumed_fps, as the videos table has it"
                )
            continue
        if last is None or pts > last:
            last = pts
            yield frame, pts


def _iter_decoded(
    container: InputContainer, stream: VideoStream, approach: Approach
) -> Iterator[av.VideoFrame]:
    """Whatever can be decoded; what cannot is skipped packet by packet."""
    from av.error import FFmpegError

    late: deque[int] = deque(maxlen=_IN_FLIGHT)
    came: deque[int | None] = deque(maxlen=2 * _IN_FLIGHT)
    for packet in _iter_packets(container, stream):
        if packet.pts is not None and not packet.is_discard:
            late.append(packet.pts)
        try:
            frames = packet.decode()
        except FFmpegError as error:
            if approach.threaded:
                raise PacketLost from error
            continue
        for frame in frames:
            came.append(frame.pts)
            yield frame
    # A decoder with threads gives up all it still holds, and says nothing, when one of the last
    # packets is damaged.
    if approach.threaded and not set(late) <= set(came):
        raise PacketLost


def _iter_packets(
    container: InputContainer, stream: VideoStream
) -> Iterator[av.Packet[VideoStream]]:
    """Packets up to the end of the file, or to where it can no longer be read."""
    from av.error import FFmpegError
    from av.packet import Packet

    try:
        yield from iter_packets(container, stream)
    except FFmpegError:
        flush: Packet[Any] = Packet()
        flush.stream = stream
        yield flush


def _shown(
    held: tuple[av.VideoFrame, int], next_pts: int | None, stream: VideoStream, interval: Interval
) -> Shown:
    """The frame with its duration, which ends with the interval when the frame stands for long."""
    frame, pts = held
    usual = _usual_duration(frame, stream, interval.time_base)
    if next_pts is None:
        return Shown(frame, pts, usual)
    return Shown(frame, pts, min(next_pts, max(interval.end_pts, pts + usual)) - pts)


def _usual_duration(frame: av.VideoFrame, stream: VideoStream, time_base: Fraction) -> int:
    """What the container says of the frame, or one frame of its mean rate."""
    if frame.duration and frame.time_base == time_base:
        return int(frame.duration)
    rate = stream.average_rate or Fraction(25)
    return max(1, round(1 / (rate * time_base)))


def _no_frame(interval: Interval, before: int | None, after: int | None) -> str:
    asked = f"no frame lies in [{interval.start_s:.6f}, {interval.end_s:.6f}) s"
    around = [
        None if pts is None else f"{float(pts * interval.time_base):.6f} s"
        for pts in (before, after)
    ]
    match around:
        case [None, None]:
            return f"{asked}: none could be decoded at all"
        case [last, None]:
            return f"{asked}: the last frame is at {last}"
        case [None, first]:
            return f"{asked}: the first frame is at {first}"
        case _:
            return f"{asked}: its neighbours are at {around[0]} and {around[1]}"
