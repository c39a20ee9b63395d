"""The wanted frames of a stretch, upright, by PyAV or decord.

A frame is its pts. PyAV leaves out what nothing refers to and nobody wants, as long as every wanted
frame comes; the first that does not has the rest of the stretch decoded whole. decord is only used
on files whose packets prove it safe (`index.py`), its count and times are checked all the same, and
any disagreement falls back to PyAV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facelake.errors import VideoError
from facelake.schema import DecoderName, Stretch, VideoFacts
from facelake.video.decode import PacketDecoder
from facelake.video.frame import Frame
from facelake.video.plan import SAMPLES_PER_STRETCH

PYAV: DecoderName = "pyav"
DECORD: DecoderName = "decord"

# decord decodes ahead without limit between two calls, so it is asked for large batches and sent
# back to the start after each; this bounds both.
_BATCH_BYTES = 192 << 20
# Sent back after each batch, decord decodes from the key frame again. With 1080p frames, of which
# few fit into a batch, it took 4 times as long as PyAV; so a stretch shall fit into one.
_LARGEST_FRAME_BYTES = _BATCH_BYTES // (SAMPLES_PER_STRETCH + 1)
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
    sample_fps
        As in `IngestSettings`: decord decodes every frame, so it is left to where most are wanted.
    cores
        Cores that this process may use: decord keeps two busy.

    Attributes
    ----------
    decoder
        What really decodes: ``"decord"`` or ``"pyav"``.
    reason
        Why, in words.

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
        sample_fps: float | None = None,
        cores: int = 2,
    ) -> None:
        self.path = Path(path)
        self.facts = facts
        self._alive = alive
        self._packets = PacketDecoder(self.path, facts, alive)
        self._decord: Any = None
        self._decord_start_s = 0.0
        self.decoder, self.reason = choose_decoder(
            self.path, facts, decoder, sample_fps=sample_fps, cores=cores
        )
        self._insist = decoder == DECORD
        if self.decoder == DECORD:
            self._open_decord()

    @property
    def n_bad_packets(self) -> int:
        """Packets that could not be decoded so far."""
        return self._packets.n_bad_packets

    def frames(self, stretch: Stretch) -> Iterator[Frame]:
        """Each wanted frame in order of time, and last the one of ``peek_pts`` if there is one.

        A wanted instant whose frame cannot be decoded is answered by the next frame before the
        next wanted instant, with that frame's own pts, or else left out. A peek is exact or left
        out.
        """
        if self._decord is not None:
            yield from self._decord_frames(stretch)
        elif not len(stretch.want_pts):
            yield from self._counted_frames(stretch.sample_fps)
        else:
            yield from self._pyav_frames(stretch)

    def between(
        self, stretch: Stretch, intervals: Iterable[tuple[int, int]]
    ) -> Iterator[list[Frame]]:
        """For each interval the frames of ``frame_pts`` inside it, without its ends.

        Always by PyAV. What lies in one group of pictures is decoded in one go, so few calls with
        many intervals are cheaper than many calls. A frame that cannot be decoded is left out.

        Parameters
        ----------
        intervals
            Pairs ``(low_pts, high_pts)``, in order of time and without overlap.

        Raises
        ------
        ValueError
            The intervals are out of order, or overlap.
        """
        insides = [_inside(stretch.frame_pts, pair) for pair in _in_order(intervals)]
        n_bad_before = self.n_bad_packets
        try:
            for run in _runs(stretch, insides):
                yield from _parted(self._found(stretch, np.concatenate(run)), run)
        finally:
            self._packets.n_bad_packets = n_bad_before  # they were met, and counted, before

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

    def _decord_frames(self, stretch: Stretch) -> Iterator[Frame]:
        import decord

        per_batch = max(1, _BATCH_BYTES // max(1, self.facts.width * self.facts.height * 3))
        targets, all_positions = _targets(stretch), _target_positions(stretch)
        done = 0
        while done < len(targets):
            positions = all_positions[done : done + per_batch]
            self._alive()
            try:
                images = self._decord.get_batch(positions.tolist()).asnumpy()
                times = self._decord.get_frame_timestamp(positions.tolist())[:, 0]
                self._decord.seek(0)
            except (decord.DECORDError, RuntimeError, IndexError) as error:
                self._leave_decord(f"decord failed while decoding ({type(error).__name__})")
                break
            wanted = targets[done : done + len(positions)]
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
            yield from map(Frame, wanted.tolist(), images)
            done += len(positions)
        if done < len(targets):
            yield from self._answered_frames(stretch, done)

    # PyAV ---------------------------------------------------------------------------------------

    def _pyav_frames(self, stretch: Stretch) -> Iterator[Frame]:
        done = 0
        if stretch.can_skip:
            targets = _targets(stretch)
            for frame in self._exact_frames(_seek_pts(stretch, targets[0]), targets):
                yield frame
                done += 1
            if done == len(targets):
                return
        yield from self._answered_frames(stretch, done)

    def _exact_frames(
        self, seek_pts: int | None, targets: npt.NDArray[np.int64]
    ) -> Iterator[Frame]:
        """The targets in order, up to the first that does not come, skipping what it can."""
        expected = 0
        for pts, picture in self._packets.frames_from(seek_pts, int(targets[0]), only=targets):
            if pts == targets[expected]:
                yield Frame(pts, picture)
                expected += 1
                if expected == len(targets):
                    return
            elif pts > targets[expected]:
                return

    def _answered_frames(self, stretch: Stretch, done: int) -> Iterator[Frame]:
        """What is left of the stretch after ``done`` targets, with every frame decoded."""
        want = stretch.want_pts
        targets = _targets(stretch)
        slot = done - 1  # position in `want` of the last instant that is answered
        # From before the last that came: whatever went wrong since is met, and counted, once.
        start_pts = _seek_pts(stretch, targets[max(0, slot)])
        for pts, picture in self._packets.frames_from(start_pts, int(targets[done])):
            if pts >= stretch.end_pts:
                if pts == stretch.peek_pts:
                    yield Frame(pts, picture)
                if pts >= targets[-1]:
                    return
            elif (here := int(np.searchsorted(want, pts, side="right")) - 1) > slot:
                slot = here
                yield Frame(pts, picture)
                if slot == len(targets) - 1:
                    return

    def _found(self, stretch: Stretch, targets: npt.NDArray[np.int64]) -> Iterator[Frame]:
        """Those of the targets that can be decoded, in order."""
        if not len(targets):
            return
        done = 0
        if stretch.can_skip:
            for frame in self._exact_frames(_seek_pts(stretch, targets[0]), targets):
                yield frame
                done += 1
        if done == len(targets):
            return
        rest = set(targets[done:].tolist())
        start_pts = _seek_pts(stretch, targets[done])
        for pts, picture in self._packets.frames_from(start_pts, int(targets[done])):
            if pts in rest:
                yield Frame(pts, picture)
            if pts >= targets[-1]:
                return

    def _counted_frames(self, sample_fps: float | None) -> Iterator[Frame]:
        """Frames of a file without times: the n-th is shown at n / assumed_fps."""
        fps = self.facts.assumed_fps or 25.0
        unit = 1.0 / (fps * float(self.facts.time_base))
        slot = -1
        for number, picture in enumerate(self._packets.every_frame()):
            here = number if sample_fps is None else int(number * sample_fps / fps + 1e-6)
            if here > slot:
                slot = here
                yield Frame(round(number * unit), picture)


def choose_decoder(
    path: Path,
    facts: VideoFacts,
    decoder: DecoderName,
    *,
    sample_fps: float | None = None,
    cores: int = 2,
) -> tuple[DecoderName, str]:
    """Which decoder to use and why.

    decord decodes on one thread and converts on another, so it is a quarter to a third quicker than
    PyAV where two cores are free, and takes up to twice their time and four times the memory: with
    a worker on each core that is a loss.

    Raises
    ------
    VideoError
        decord was insisted on, and is not proved safe on this file.
    """
    if decoder == PYAV:
        return PYAV, "as asked"
    if decoder == DECORD and facts.decord_doubt:
        raise VideoError(
            f"{path}: decord would not be safe here ({facts.decord_doubt}); "
            "use --decoder auto or pyav"
        )
    is_dense = sample_fps is None or 2 * sample_fps * facts.duration_s >= facts.n_frames
    reasons = {
        f"decord is not proved safe: {facts.decord_doubt}": facts.decord_doubt,
        f"decord would decode all frames for {sample_fps or 0:g} a second": not is_dense,
        f"decord would be slower on {facts.width}×{facts.height} frames": (
            facts.width * facts.height * 3 > _LARGEST_FRAME_BYTES
        ),
        "decord would need a second core": cores < 2,
    }
    against = [reason for reason, holds in reasons.items() if holds]
    if against and decoder != DECORD:
        return PYAV, against[0]
    return DECORD, "the packets prove it safe"


def _targets(stretch: Stretch) -> npt.NDArray[np.int64]:
    """The wanted instants, and the peek."""
    peek = [] if stretch.peek_pts is None else [stretch.peek_pts]
    return np.append(stretch.want_pts, peek).astype(np.int64)


def _target_positions(stretch: Stretch) -> npt.NDArray[np.int64]:
    """Their positions among all frames of the video."""
    last = int(stretch.want_index[0]) + len(stretch.frame_pts) - 1
    return np.append(stretch.want_index, [] if stretch.peek_pts is None else [last]).astype(
        np.int64
    )


def _seek_pts(stretch: Stretch, pts: int) -> int | None:
    """The key frame to start from for the frame at ``pts``; ``None`` is the start of the file."""
    before = int(np.searchsorted(stretch.key_pts, pts, side="right"))
    return int(stretch.key_pts[before - 1]) if before else stretch.seek_pts


def _in_order(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    pairs = list(intervals)
    for (low, high), (next_low, _) in pairwise([*pairs, (2**63, 0)]):
        if not low <= high <= next_low:
            raise ValueError(
                f"intervals must be in order of time and must not overlap, but ({low}, {high}) "
                f"comes before one that starts at {next_low}; sort and join them first"
            )
    return pairs


def _inside(pts: npt.NDArray[np.int64], interval: tuple[int, int]) -> npt.NDArray[np.int64]:
    low, high = interval
    return pts[np.searchsorted(pts, low, side="right") : np.searchsorted(pts, high)]


def _runs(
    stretch: Stretch, insides: list[npt.NDArray[np.int64]]
) -> list[list[npt.NDArray[np.int64]]]:
    """The same in order, those together between which there is no key frame to jump to."""
    runs: list[list[npt.NDArray[np.int64]]] = []
    last_pts = None
    for inside in insides:
        if len(inside):
            seek_pts = _seek_pts(stretch, inside[0])
            if last_pts is None or (seek_pts is not None and seek_pts > last_pts):
                runs.append([])
            last_pts = int(inside[-1])
        elif not runs:
            runs.append([])
        runs[-1].append(inside)
    return runs


def _parted(frames: Iterator[Frame], insides: list[npt.NDArray[np.int64]]) -> Iterator[list[Frame]]:
    """The frames of each of these runs of pts."""
    waiting = next(frames, None)
    for inside in insides:
        part: list[Frame] = []
        while waiting is not None and len(inside) and waiting.pts <= inside[-1]:
            part.append(waiting)
            waiting = next(frames, None)
        yield part
