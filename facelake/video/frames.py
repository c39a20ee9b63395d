"""Decoding: the wanted frames of a stretch, upright, by PyAV or decord.

A frame is its pts. PyAV seeks to the key frame at or before the stretch, decodes forward and
matches on pts; where a container's seek does not deliver what it should, it decodes from the
start. decord is only used on files whose packets prove it safe (`index.py`), its count and times
are checked all the same, and any disagreement falls back to PyAV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from facelake.errors import VideoError
from facelake.media import frame_rgb, iter_packets, open_media
from facelake.schema import DecoderName, Stretch, VideoFacts
from facelake.video.plan import SAMPLES_PER_STRETCH

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

PYAV: DecoderName = "pyav"
DECORD: DecoderName = "decord"

Image = npt.NDArray[np.uint8]
# decord decodes ahead without limit between two calls, so it is asked for large batches and sent
# back to the start after each; this bounds both.
_BATCH_BYTES = 192 << 20
# Sent back after each batch, decord decodes from the key frame again. With 1080p frames, of which
# few fit into a batch, it took 4 times as long as PyAV; so a stretch shall fit into one.
_LARGEST_FRAME_BYTES = _BATCH_BYTES // SAMPLES_PER_STRETCH
_SEEK_BACK_S = (0, 1, 5, 25)
_TIME_TOLERANCE_S = 2e-3  # decord's times are float32 of seconds: 1000 s is known to 6e-5


class FrameReader:
    """Frames of one video, stretch by stretch.

    Parameters
    ----------
    path, facts
        The file and what `index_video` said of it.
    decoder
        ``auto`` takes decord where the facts hold no doubt; ``decord`` insists on it, and raises
        where it is not safe; ``pyav`` never uses it.
    alive
        Called for each decoded batch, to tell a watchdog that work goes on.

    Attributes
    ----------
    decoder
        What really decodes: ``"decord"`` or ``"pyav"``.
    reason
        Why, in words.
    n_bad_packets
        Packets that could not be decoded so far.

    Raises
    ------
    VideoError
        The file cannot be opened, or decord was insisted on and is not safe.
    """

    def __init__(
        self,
        path: str | Path,
        facts: VideoFacts,
        *,
        decoder: DecoderName = "auto",
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = Path(path)
        self.facts = facts
        self.n_bad_packets = 0
        self._alive = alive
        self._decord: Any = None
        self._decord_start_s = 0.0
        self.decoder, self.reason = choose_decoder(self.path, facts, decoder)
        self._insist = decoder == DECORD
        if self.decoder == DECORD:
            self._open_decord()

    def frames(self, stretch: Stretch) -> Iterator[tuple[int, Image]]:
        """Each wanted frame's pts and upright RGB image ``(height, width, 3)``, in order of time.

        A wanted instant whose frame cannot be decoded is answered by the next frame before the
        next wanted instant, with that frame's own pts, or else left out.
        """
        if self._decord is not None:
            yield from self._decord_frames(stretch)
        elif not len(stretch.want_pts):
            yield from self._counted_frames(stretch.sample_fps)
        else:
            yield from self._pyav_frames(stretch)

    # decord -------------------------------------------------------------------------------------

    def _open_decord(self) -> None:
        import decord

        # FFmpeg inside decord writes to stderr about every damaged macroblock.
        decord.logging.set_level(decord.logging.QUIET)
        try:
            reader = decord.VideoReader(str(self.path.absolute()), ctx=decord.cpu(0), num_threads=1)
            n_frames = len(reader)
        except (decord.DECORDError, RuntimeError) as error:
            self._leave_decord(f"decord cannot open it ({type(error).__name__})")
            return
        if n_frames != self.facts.n_frames:
            self._leave_decord(
                f"decord counts {n_frames} frames, the packets {self.facts.n_frames}"
            )
            return
        self._decord = reader
        self._decord_start_s = float(reader.get_frame_timestamp(0)[0])

    def _leave_decord(self, reason: str) -> None:
        if self._insist:
            raise VideoError(f"{self.path}: {reason}; use --decoder auto or pyav")
        self._decord, self.decoder, self.reason = None, PYAV, reason

    def _decord_frames(self, stretch: Stretch) -> Iterator[tuple[int, Image]]:
        import decord

        per_batch = max(1, _BATCH_BYTES // max(1, self.facts.width * self.facts.height * 3))
        done = 0
        while done < len(stretch.want_pts):
            positions = stretch.want_index[done : done + per_batch]
            self._alive()
            try:
                images = self._decord.get_batch(positions.tolist()).asnumpy()
                times = self._decord.get_frame_timestamp(positions.tolist())[:, 0]
                self._decord.seek(0)
            except (decord.DECORDError, RuntimeError, IndexError) as error:
                self._leave_decord(f"decord failed while decoding ({type(error).__name__})")
                break
            wanted = stretch.want_pts[done : done + len(positions)]
            # decord counts from the first frame of some files and from 0 of others.
            since_first = (wanted - self.facts.start_pts) * float(self.facts.time_base)
            wrong = np.abs(times - self._decord_start_s - since_first) > _TIME_TOLERANCE_S
            shape = (len(positions), self.facts.height, self.facts.width, 3)
            if wrong.any() or images.shape != shape:
                self._leave_decord(
                    "decord's frame times disagree with the packets"
                    if wrong.any()
                    else f"decord gives frames of shape {images.shape[1:]}, not {shape[1:]}"
                )
                break
            yield from zip(wanted.tolist(), images, strict=True)
            done += len(positions)
        if done < len(stretch.want_pts):
            yield from self._pyav_frames(_rest(stretch, done))

    # PyAV ---------------------------------------------------------------------------------------

    def _pyav_frames(self, stretch: Stretch) -> Iterator[tuple[int, Image]]:
        want = stretch.want_pts
        slot = -1  # position in `want` of the last instant that is answered
        for pts, frame in self._frames_from(stretch.seek_pts, int(want[0])):
            if pts >= stretch.end_pts:
                return
            here = int(np.searchsorted(want, pts, side="right")) - 1
            if here > slot:
                slot = here
                yield pts, frame_rgb(frame)
                if slot == len(want) - 1:
                    return

    def _frames_from(
        self, seek_pts: int | None, first_pts: int
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames in order of time, from a key frame at or before ``first_pts`` on."""
        for start_pts in self._seek_points(seek_pts):
            n_bad_before = self.n_bad_packets
            frames = self._decoded(start_pts)
            first = next(frames, None)
            # Some containers flag key frames that are none, or seek too far: then this is no
            # place to start from.
            if first is not None and first[1].key_frame and first[0] <= first_pts:
                yield first
                yield from frames
                return
            self.n_bad_packets = n_bad_before
        yield from self._decoded(None)

    def _seek_points(self, seek_pts: int | None) -> Iterator[int]:
        """Times to seek to, in turn, in the hope of a key frame that comes early enough."""
        if seek_pts is None:
            return
        # A transport stream has no table of key frames: FFmpeg looks for the decode time instead,
        # finds packets after the key frame, and must be sent back a little.
        for back_s in _SEEK_BACK_S:
            start_pts = seek_pts - round(back_s / self.facts.time_base)
            if start_pts > self.facts.start_pts:
                yield start_pts

    def _decoded(self, seek_pts: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        last = None
        for frame in self._raw_frames(seek_pts):
            # A damaged stream repeats or reverses times; only what moves forward has a place.
            if frame.pts is None or (last is not None and frame.pts <= last):
                continue
            last = frame.pts
            yield frame.pts, frame

    def _raw_frames(self, seek_pts: int | None) -> Iterator[av.VideoFrame]:
        """Every frame that decodes, packet by packet: a bad one costs itself, not the rest."""
        from av.error import FFmpegError

        with open_media(self.path) as container:
            stream = cast("VideoStream", container.streams[self.facts.stream])
            # One thread: the workers already keep every core busy.
            stream.codec_context.thread_count = 1
            if seek_pts is not None:
                try:
                    container.seek(seek_pts, stream=stream, backward=True)
                except FFmpegError:
                    return
            packets = iter_packets(container, stream)
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

    def _counted_frames(self, sample_fps: float | None) -> Iterator[tuple[int, Image]]:
        """Frames of a file without times: the n-th is shown at n / assumed_fps."""
        fps = self.facts.assumed_fps or 25.0
        unit = 1.0 / (fps * float(self.facts.time_base))
        slot = -1
        for number, frame in enumerate(self._raw_frames(None)):
            here = number if sample_fps is None else int(number * sample_fps / fps + 1e-6)
            if here > slot:
                slot = here
                yield round(number * unit), frame_rgb(frame)


def choose_decoder(path: Path, facts: VideoFacts, decoder: DecoderName) -> tuple[DecoderName, str]:
    """Which decoder to use and why.

    Raises
    ------
    VideoError
        decord was insisted on, and is not proved safe on this file.
    """
    if decoder == PYAV:
        return PYAV, "as asked"
    fits = facts.width * facts.height * 3 <= _LARGEST_FRAME_BYTES
    if not facts.decord_doubt and (fits or decoder == DECORD):
        return DECORD, "the packets prove it safe"
    if decoder == DECORD:
        raise VideoError(
            f"{path}: decord would not be safe here ({facts.decord_doubt}); "
            "use --decoder auto or pyav"
        )
    if not facts.decord_doubt:
        return PYAV, f"decord would be slower on {facts.width}×{facts.height} frames"
    return PYAV, f"decord is not proved safe: {facts.decord_doubt}"


def _rest(stretch: Stretch, done: int) -> Stretch:
    return replace(
        stretch,
        want_pts=stretch.want_pts[done:],
        want_index=stretch.want_index[done:],
        want_shown_s=stretch.want_shown_s[done:],
    )
