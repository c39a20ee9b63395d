"""One span of one video → one MP4 that shows exactly its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from facelake.atomic import replacing
from facelake.errors import ExportError, VideoError
from facelake.export.audio import AudioCut, open_audio
from facelake.export.frames import (
    Approach,
    Interval,
    PacketLost,
    SeekMissed,
    Shown,
    find_interval,
    iter_shown,
)
from facelake.export.picture import Straightener, colour_tags
from facelake.media import open_media

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    import numpy as np
    import numpy.typing as npt
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

_BACK_S = (0.0, 10.0, 60.0, None)  # a transport stream has no index: land ever earlier
_FINEST = 1_000_000  # units a second of the clip's clock, at most: MP4 counts steps in 32 bits
_BIT_RATE_PER_CHANNEL = 96_000


@dataclass(frozen=True)
class ClipFacts:
    """What a clip really holds.

    Attributes
    ----------
    start_s
        Presentation time of its first frame in the source, in seconds.
    end_s
        End of its last frame in the source, in seconds: the next frame's time, or the end that was
        asked for where that frame stands for longer.
    n_frames
        Frames, counted in the finished file.
    has_audio
        Whether it has sound.
    """

    start_s: float
    end_s: float
    n_frames: int
    has_audio: bool


def write_clip(
    source: str | Path,
    out: str | Path,
    *,
    start_s: float,
    end_s: float,
    stream: int | None = None,
    assumed_fps: float | None = None,
    crf: float = 18,
    preset: str = "veryfast",
) -> ClipFacts:
    """An MP4 (H.264, yuv420p, AAC) of every source frame with ``start_s <= time_s < end_s``.

    The clip begins at 0 with its first frame and keeps the time between frames, also at variable
    rate. It is upright, the index comes before the pictures (faststart), and the sound of the same
    interval is cut to the sample. Frames that are yuv420p already go to the encoder untouched;
    full-range colours become limited range, an odd side loses its last column or row, and after a
    change of size in mid-stream the frames are scaled to the clip's first.

    Parameters
    ----------
    source
        A video on the local disk.
    out
        The clip, ``*.mp4``. Appears when it is finished and verified, and replaces what was there;
        a missing folder is made.
    start_s, end_s
        In the video's own presentation time, in seconds. Met to half a unit of the stream's time
        base and at most a microsecond, so that times out of a table select the frames they name.
    stream
        Index of the video stream; ``None`` is the first that is not a cover picture.
    assumed_fps
        For a file without usable times: frame ``n`` is at ``n / assumed_fps``, as in the videos
        table.
    crf
        libx264's quality, 0 (lossless) to 51; 18 looks like the source.
    preset
        libx264's speed, ``ultrafast`` to ``veryslow``.

    Raises
    ------
    VideoError
        The source cannot be opened.
    ExportError
        The interval holds no frame, or the clip could not be written. Nothing is left behind.
    """
    source, out = Path(source), Path(out)
    _refuse(source, out, start_s=start_s, end_s=end_s, assumed_fps=assumed_fps)
    job = _Job(source, start_s, end_s, stream, assumed_fps, {"crf": str(crf), "preset": preset})
    backs = iter(_BACK_S if assumed_fps is None else (None,))
    approach = Approach(next(backs), threaded=True)
    while True:
        try:
            return _write(job, out, approach)
        except SeekMissed:
            approach = replace(approach, back_s=next(backs))
        except PacketLost:
            approach = replace(approach, threaded=False)


@dataclass(frozen=True)
class _Job:
    source: Path
    start_s: float
    end_s: float
    stream: int | None
    assumed_fps: float | None
    options: dict[str, str]


def _refuse(
    source: Path, out: Path, *, start_s: float, end_s: float, assumed_fps: float | None
) -> None:
    if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s < end_s):
        raise ValueError(
            f"start_s must lie before end_s and both be finite, but they are {start_s} and {end_s}"
        )
    if assumed_fps is not None and not 0 < assumed_fps < math.inf:
        raise ValueError(f"assumed_fps must be above 0, but is {assumed_fps}")
    if out.suffix.lower() != ".mp4":
        raise ValueError(f"a clip is an MP4, so out must end in .mp4, but is {out.name!r}")
    if source.exists() and out.exists() and source.samefile(out):
        raise ValueError(f"{out}: the clip would replace its own source; give another name")


def _write(job: _Job, out: Path, approach: Approach) -> ClipFacts:
    from av.error import FFmpegError

    with open_media(job.source) as container:
        video = _video_stream(container, job)
        interval = find_interval(job.start_s, job.end_s, _time_base(video, job.assumed_fps))
        try:
            shown = iter_shown(
                container, video, interval, approach=approach, numbered=job.assumed_fps is not None
            )
            first = next(shown)
            with replacing(out) as part:
                writer = _Writer(part, job, video, first, interval)
                facts = writer.write(shown)
                _verify(part, writer.times_s)
        except ExportError as error:
            raise ExportError(f"{job.source}: {error}") from error
        except (FFmpegError, OSError) as error:
            raise ExportError(f"{out}: the clip could not be written ({error})") from error
    return facts


def _video_stream(container: InputContainer, job: _Job) -> VideoStream:
    from av.stream import Disposition

    videos = list(container.streams.video)
    if job.stream is not None:
        videos = [video for video in videos if video.index == job.stream]
        if not videos:
            known = [video.index for video in container.streams.video]
            raise ValueError(
                f"{job.source}: stream must be the index of a video stream {known}, "
                f"but is {job.stream}"
            )
    else:
        videos = [video for video in videos if not video.disposition & Disposition.attached_pic]
    if not videos or videos[0].codec_context is None:
        raise ExportError(f"{job.source}: there is no video stream that can be decoded")
    return videos[0]


def _time_base(video: VideoStream, assumed_fps: float | None) -> Fraction:
    if assumed_fps is not None:
        return 1 / Fraction(assumed_fps).limit_denominator(1001)
    if video.time_base is None:
        raise ExportError("the stream has no time base; give assumed_fps")
    return video.time_base


class _Writer:
    """One output file: pictures and sound side by side, in order of time."""

    def __init__(
        self, part: Path, job: _Job, source: VideoStream, first: Shown, interval: Interval
    ) -> None:
        self._part = part
        self._first = first
        self._time_base = interval.time_base
        self._straighten = Straightener(first.frame)
        self._options = job.options
        self._source = source
        self._start_s = first.pts * interval.time_base
        self._audio = open_audio(
            job.source,
            video_stream=source.index,
            start_s=self._start_s,
            end_s=interval.end_pts * interval.time_base,
        )
        self._end_s = self._start_s
        self._durations: dict[int, int] = {}
        self.times_s: list[Fraction] = []  # of the frames, from the clip's start

    def write(self, others: Iterator[Shown]) -> ClipFacts:
        """Encode all frames; `times_s` is then complete."""
        import av

        with av.open(
            f"file:{self._part.absolute()}",
            "w",
            format="mp4",
            options={"movflags": "+faststart"},
        ) as container:
            picture = self._straighten(self._first.frame)
            video = self._add_video(container, picture)
            audio = None if self._audio is None else self._add_audio(container, self._audio)
            self._encode(container, video, picture, self._first)
            for shown in others:
                self._sound_until(container, audio)
                self._encode(container, video, self._straighten(shown.frame), shown)
            self._mux(container, video, None)
            self._sound_until(container, audio)
            if audio is not None:
                container.mux(audio.encode(None))
        return ClipFacts(
            start_s=float(self._start_s),
            end_s=float(self._end_s),
            n_frames=len(self.times_s),
            has_audio=audio is not None,
        )

    def _add_video(self, container: OutputContainer, picture: av.VideoFrame) -> VideoStream:
        # The rate only guides rate control and the level: the times are the frames' own.
        rate = min(max(self._source.average_rate or Fraction(25), Fraction(1)), Fraction(240))
        video = container.add_stream(
            "libx264", rate=Fraction(rate).limit_denominator(1001), options=self._options
        )
        context = video.codec_context
        context.width, context.height = self._straighten.width, self._straighten.height
        context.pix_fmt = "yuv420p"
        fine = self._time_base.denominator <= _FINEST
        context.time_base = self._time_base if fine else Fraction(1, _FINEST)
        aspect_ratio = self._straighten.aspect_ratio(self._source.sample_aspect_ratio)
        if aspect_ratio:
            context.sample_aspect_ratio = aspect_ratio
        for name, value in colour_tags(picture).items():
            setattr(context, name, value)
        return video

    def _add_audio(self, container: OutputContainer, cut: AudioCut) -> AudioStream:
        audio = container.add_stream("aac", rate=cut.rate, layout=cut.layout)
        audio.bit_rate = _BIT_RATE_PER_CHANNEL * audio.layout.nb_channels
        return audio

    def _encode(
        self, container: OutputContainer, video: VideoStream, picture: av.VideoFrame, shown: Shown
    ) -> None:
        time_s = shown.pts * self._time_base - self._start_s
        self.times_s.append(time_s)
        self._end_s = (shown.pts + shown.duration) * self._time_base
        picture.time_base = video.codec_context.time_base
        picture.pts = round(time_s / picture.time_base)
        self._durations[picture.pts] = round(shown.duration * self._time_base / picture.time_base)
        self._mux(container, video, picture)

    def _mux(
        self, container: OutputContainer, video: VideoStream, picture: av.VideoFrame | None
    ) -> None:
        for packet in video.encode(picture):
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts)
            container.mux(packet)

    def _sound_until(self, container: OutputContainer, audio: AudioStream | None) -> None:
        """Bring the sound up to the end of the pictures so far."""
        if audio is None or self._audio is None:
            return
        cut = self._audio
        end = round((self._end_s - self._start_s) * cut.rate)
        for at, samples in cut.iter_until(end):
            container.mux(audio.encode(_audio_frame(samples, at, cut)))


def _audio_frame(samples: npt.NDArray[np.float32], at: int, cut: AudioCut) -> av.AudioFrame:
    import av
    import numpy as np

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples), format="fltp", layout=cut.layout
    )
    frame.sample_rate = cut.rate
    frame.time_base = Fraction(1, cut.rate)
    frame.pts = at
    return frame


def _verify(part: Path, times_s: list[Fraction]) -> None:
    """Refuse a finished file whose frames are not those that were encoded, each at its time."""
    found = _frame_times(part)
    if len(found) != len(times_s):
        raise ExportError(f"the clip must hold {len(times_s)} frames, but holds {len(found)}")
    wrong = max(abs(got - meant) for got, meant in zip(found, times_s, strict=True))
    if wrong > Fraction(1, _FINEST):
        raise ExportError(f"a frame of the clip is {float(wrong):.6f} s off its time")


def _frame_times(clip: Path) -> list[Fraction]:
    """Times of the frames that a player shows, in order, in seconds."""
    try:
        with open_media(clip) as container:
            return sorted(
                packet.pts * packet.time_base
                for packet in container.demux(container.streams.video[0])
                if packet.pts is not None and not packet.is_discard
            )
    except VideoError as error:
        raise ExportError(f"the clip cannot be read back ({error})") from error
