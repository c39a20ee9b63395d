"""Decoding with PyAV, packet by packet: from a key frame on, every frame or only some.

PyAV seeks to the key frame at or before what is wanted and decodes forward; where a container's
seek does not deliver what it should, it decodes from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from facelake.media import iter_packets, open_media
from facelake.schema import VideoFacts

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

_SEEK_BACK_S = (0, 1, 5, 25)


class PacketDecoder:
    """Frames of one video by PyAV; a bad packet costs itself, not the rest.

    Parameters
    ----------
    path, facts
        The file and what `index_video` said of it.
    alive
        Called for each packet, to tell a watchdog that work goes on.

    Attributes
    ----------
    n_bad_packets
        Packets that could not be decoded so far.
    """

    def __init__(self, path: Path, facts: VideoFacts, alive: Callable[[], None]) -> None:
        self.n_bad_packets = 0
        self._path = path
        self._facts = facts
        self._alive = alive

    def frames_from(
        self,
        seek_pts: int | None,
        first_pts: int,
        *,
        only: npt.NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames and their pts in order of time, from a key frame before the first wanted.

        Parameters
        ----------
        seek_pts
            The key frame to seek to; ``None`` is the start of the file.
        first_pts
            The first frame that is wanted.
        only
            The pts that are wanted, increasing. What nothing refers to is then decoded only if it
            is wanted, and the frames end after the last wanted one, or where a packet is damaged.
        """
        for start_pts in self._seek_points(seek_pts):
            n_bad_before = self.n_bad_packets
            frames = self._in_order(start_pts, only, seek_pts)
            first = next(frames, None)
            # Some containers flag key frames that are none, or seek too far: then this is no
            # place to start from.
            if first is not None and first[1].key_frame and first[0] <= first_pts:
                yield first
                yield from frames
                return
            self.n_bad_packets = n_bad_before
        yield from self._in_order(None, only, seek_pts)

    def every_frame(self) -> Iterator[av.VideoFrame]:
        """Each frame of the file as it is decoded, with or without a time."""
        return self._decoded(None, None, None)

    def _seek_points(self, seek_pts: int | None) -> Iterator[int]:
        """Times to seek to, in turn, in the hope of a key frame that comes early enough."""
        if seek_pts is None:
            return
        # A transport stream has no table of key frames: FFmpeg looks for the decode time instead,
        # finds packets after the key frame, and must be sent back a little.
        for back_s in _SEEK_BACK_S:
            start_pts = seek_pts - round(back_s / self._facts.time_base)
            if start_pts > self._facts.start_pts:
                yield start_pts

    def _in_order(
        self, seek_pts: int | None, only: npt.NDArray[np.int64] | None, key_pts: int | None
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        last = None
        for frame in self._decoded(seek_pts, only, key_pts):
            # A damaged stream repeats or reverses times; only what moves forward has a place.
            if frame.pts is None or (last is not None and frame.pts <= last):
                continue
            last = frame.pts
            yield frame.pts, frame

    def _decoded(
        self, seek_pts: int | None, only: npt.NDArray[np.int64] | None, key_pts: int | None
    ) -> Iterator[av.VideoFrame]:
        from av.error import FFmpegError

        with open_media(self._path) as container:
            stream = cast("VideoStream", container.streams[self._facts.stream])
            # One thread: the workers already keep every core busy.
            stream.codec_context.thread_count = 1
            if seek_pts is not None:
                try:
                    container.seek(seek_pts, stream=stream, backward=True)
                except FFmpegError:
                    return
            packets = iter_packets(container, stream)
            if only is None:
                yield from self._all_of(packets)
            else:
                yield from self._some_of(packets, stream, set(only.tolist()), key_pts)

    def _all_of(self, packets: Iterator[av.Packet[VideoStream]]) -> Iterator[av.VideoFrame]:
        from av.error import FFmpegError

        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError:
                self.n_bad_packets += 1
                return
            self._alive()
            try:
                frames = packet.decode()
            except FFmpegError:
                self.n_bad_packets += 1
                continue
            yield from frames

    def _some_of(
        self,
        packets: Iterator[av.Packet[VideoStream]],
        stream: VideoStream,
        wanted: set[int],
        key_pts: int | None,
    ) -> Iterator[av.VideoFrame]:
        """All frames that others refer to and the wanted ones; the end at the first damage.

        What is shown before the key frame may refer to what was never read, and nothing after it
        refers to that.
        """
        from av.error import FFmpegError

        decoder = stream.codec_context
        decoder.options = {"err_detect": "explode"}  # else it makes pictures up without a word
        with suppress(FFmpegError):  # of the container
            for packet in packets:
                self._alive()
                pts = packet.pts
                decoder.skip_frame = "DEFAULT" if pts in wanted else "NONREF"
                try:
                    frames = packet.decode()
                except FFmpegError:
                    if pts is None or key_pts is None or pts >= key_pts:
                        return
                    continue
                for frame in frames:
                    if frame.is_corrupt:
                        return
                    yield frame
                if pts is not None:
                    wanted.discard(pts)
                if not wanted:  # the last ones wait in the decoder for their turn
                    yield from decoder.decode(None)
                    return
