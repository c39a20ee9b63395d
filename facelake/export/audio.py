"""The sound of an interval, cut to the sample."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from facelake.media import NO_SEEK_FORMATS, open_media

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import av
    import numpy.typing as npt
    from av.audio.stream import AudioStream
    from av.container import InputContainer

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_ROLL_IN_S = 1  # decoders of sound need some packets before they are right
_PICTURE_LEAD_S = 10  # how far pictures may run ahead of their sound in a file
_JITTER_S = Fraction(1, 25)  # times are rounded in files: only a longer step is a gap


class AudioCut:
    """Samples from an instant on, in order and without a hole.

    Where the source has a gap there is silence, so that sound and picture stay together.

    Attributes
    ----------
    rate
        Samples a second; the source's own where AAC has it.
    layout
        FFmpeg's name of the channels; the source's own where AAC has it.
    """

    def __init__(self, rate: int, layout: str, chunks: Iterator[npt.NDArray[np.float32]]) -> None:
        self.rate = rate
        self.layout = layout
        self._chunks = chunks
        self._rest: npt.NDArray[np.float32] | None = None
        self._at = 0

    def iter_until(self, end: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """What follows of the samples before number ``end``: first number, ``(channels, n)``."""
        while self._at < end:
            chunk = next(self._chunks, None) if self._rest is None else self._rest
            if chunk is None:
                return
            self._rest = chunk[:, end - self._at :] if chunk.shape[1] > end - self._at else None
            chunk = chunk[:, : end - self._at]
            yield self._at, chunk
            self._at += chunk.shape[1]


def open_audio(
    path: Path, *, video_stream: int, start_s: Fraction, end_s: Fraction
) -> AudioCut | None:
    """The sound that goes with a video stream, from ``start_s`` on.

    ``None`` when there is none in ``[start_s, end_s)``, or none that can be decoded.
    """
    for seek in (True, False):
        frames = _iter_frames(path, video_stream, start_s, end_s, seek=seek)
        first = next(frames, None)
        # When the seek came down late, or the sound itself begins late, the file's start knows.
        if first is not None and (not seek or _time_s(first, start_s) <= start_s):
            break
    if first is None or _time_s(first, start_s) >= end_s:
        return None
    rate = first.sample_rate if first.sample_rate in AAC_RATES else 48000
    layout = _aac_layout(first.layout.name, first.layout.nb_channels, rate)
    chunks = _iter_chunks(chain([first], frames), rate=rate, layout=layout, start_s=start_s)
    begun = next(chunks, None)
    return None if begun is None else AudioCut(rate, layout, chain([begun], chunks))


def _time_s(frame: av.AudioFrame, otherwise: Fraction) -> Fraction:
    if frame.pts is None or frame.time_base is None:
        return otherwise
    return frame.pts * frame.time_base


def _iter_chunks(
    frames: Iterable[av.AudioFrame], *, rate: int, layout: str, start_s: Fraction
) -> Iterator[npt.NDArray[np.float32]]:
    """Samples from ``start_s`` on without a hole, each chunk of shape ``(channels, n)``."""
    converter = _Converter(rate, layout)
    at: int | None = None  # number of the next sample; 0 is at start_s
    for frame in frames:
        samples = converter.convert(frame)
        if samples is None:
            continue
        due = start_s + Fraction(at or 0, rate)
        told = round((_time_s(frame, due) - start_s) * rate)
        jitter = 0 if at is None else _JITTER_S * rate
        at = min(0, told) if at is None else at
        if told - at > jitter:
            yield from _iter_silence(told - at, samples.shape[0], rate)
            at = told
        elif at - told > jitter:
            samples = samples[:, at - told :]  # it says again what was heard
        n_early = max(0, -at)
        at += samples.shape[1]
        if n_early < samples.shape[1]:
            yield samples[:, n_early:]


def _iter_silence(n: int, n_channels: int, rate: int) -> Iterator[npt.NDArray[np.float32]]:
    for begin in range(0, n, rate):
        yield np.zeros((n_channels, min(rate, n - begin)), np.float32)


class _Converter:
    """Frames of any format → float samples of one rate and layout."""

    def __init__(self, rate: int, layout: str) -> None:
        self._rate = rate
        self._layout = layout
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def convert(self, frame: av.AudioFrame) -> npt.NDArray[np.float32] | None:
        """Shape ``(channels, n)``; ``None`` for a frame that cannot be converted."""
        import av
        from av.error import FFmpegError

        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:
            self._kind = kind
            self._resampler = av.AudioResampler("fltp", self._layout, self._rate)
        try:
            pieces = [piece.to_ndarray() for piece in self._resampler.resample(frame)]
        except FFmpegError:
            self._resampler = None
            return None
        return np.concatenate(pieces, axis=1) if pieces else None


def _aac_layout(name: str, n_channels: int, rate: int) -> str:
    """The layout itself when the encoder takes it, else stereo or mono."""
    from av import CodecContext
    from av.error import FFmpegError

    trial = CodecContext.create("aac", "w")
    try:
        trial.format, trial.layout, trial.sample_rate = "fltp", name, rate
        trial.open()
    except (FFmpegError, ValueError):
        return "mono" if n_channels == 1 else "stereo"
    return name


def _iter_frames(
    path: Path, video_stream: int, start_s: Fraction, end_s: Fraction, *, seek: bool
) -> Iterator[av.AudioFrame]:
    """Decoded sound from about ``start_s`` on, until the file or the interval is over."""
    from av.audio.stream import AudioStream
    from av.error import FFmpegError

    with open_media(path) as container:
        video = container.streams[video_stream]
        audio = container.streams.best("audio", related=video)
        if not isinstance(audio, AudioStream) or audio.codec_context is None:
            return
        try:
            if seek and container.format.name not in NO_SEEK_FORMATS:
                _seek(container, audio, start_s)
            for packet in container.demux(audio, video):
                if _is_over(packet, end_s, lead_s=_PICTURE_LEAD_S if packet.stream == video else 1):
                    return
                if packet.stream == audio:
                    yield from _decode(cast("av.Packet[AudioStream]", packet), start_s)
        except (FFmpegError, IndexError):  # IndexError: see `media.iter_packets`
            return  # the file can be read no further


def _seek(container: InputContainer, audio: AudioStream, start_s: Fraction) -> None:
    if audio.time_base is None or audio.start_time is None:
        return
    target = int((start_s - _ROLL_IN_S) / audio.time_base)
    if target > audio.start_time:
        container.seek(target, stream=audio)


def _is_over(packet: av.Packet[Any], end_s: Fraction, *, lead_s: int) -> bool:
    if packet.dts is None or packet.time_base is None:
        return False
    return packet.dts * packet.time_base > end_s + lead_s


def _decode(packet: av.Packet[AudioStream], start_s: Fraction) -> Iterator[av.AudioFrame]:
    """Frames of the packet that reach beyond ``start_s``; none when it is damaged."""
    from av.error import FFmpegError

    try:
        frames = packet.decode()
    except FFmpegError:
        return
    for frame in frames:
        if _time_s(frame, start_s) + Fraction(frame.samples, frame.sample_rate) > start_s:
            yield frame
