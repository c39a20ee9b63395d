from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.errors import ExportError, VideoError
from facelake.export import clips as clips_module
from facelake.export.audio import _iter_chunks
from facelake.export.clips import ClipFacts, write_clip
from facelake.export.frames import find_interval

NTSC = Fraction(1, 24000)
STEP = 1001  # one frame at 23.976 a second
LATE = [40800 + STEP * k for k in range(72)]  # begins at 1.7 s
RATE = 48000

Picture = npt.NDArray[np.uint8]
clips: Any = clips_module  # looked into by the tests that break it


# Footage: every frame carries its number as eight blocks of 32 × 32 pixels, black or white.


def numbered(number: int, width: int = 128, height: int = 64) -> Picture:
    bits = [(number >> bit) & 1 for bit in range(8)]
    blocks = np.array(bits, np.uint8).reshape(2, 4) * 219 + 16
    picture = np.kron(blocks, np.ones((32, 32), np.uint8))
    picture = np.pad(picture, ((0, height - 64), (0, width - 128)), mode="edge")
    return np.repeat(picture[:, :, None], 3, axis=2)


def read_number(picture: Picture) -> int:
    grey = picture[:64, :128].mean(axis=2).reshape(2, 32, 4, 32).mean(axis=(1, 3))
    return sum(1 << bit for bit, level in enumerate(grey.ravel()) if level > 128)


@dataclass
class Seen:
    times_s: list[Fraction]
    numbers: list[int]
    pictures: list[Picture]


def watch(path: Path, stream: int = 0) -> Seen:
    """What a plain decode from start to end shows, one thread, bad packets left out."""
    seen = Seen([], [], [])
    with av.open(str(path)) as container:
        video = container.streams.video[stream]
        video.codec_context.thread_count = 1
        for packet in container.demux(video):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                seen.times_s.append((frame.pts or 0) * Fraction(frame.time_base or 0))
                seen.pictures.append(picture)
                seen.numbers.append(read_number(picture) if picture.shape[1] >= 128 else -1)
    return seen


def listen(path: Path) -> npt.NDArray[np.float32]:
    """All samples of the first channel, sample 0 at time 0."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    rate = frames[0].sample_rate
    lead = round((frames[0].pts or 0) * Fraction(frames[0].time_base or 0) * rate)
    sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return np.concatenate([np.zeros(lead, np.float32), sound]).astype(np.float32)


def film(
    path: Path,
    pts: list[int],
    *,
    time_base: Fraction = NTSC,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (128, 64),
    sar: Fraction | None = None,
    gop: int = 12,
    beep: npt.NDArray[np.float32] | None = None,
    layout: str = "stereo",
    rate: int = RATE,
    sound_codec: str = "aac",
    color_range: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        video: Any = container.add_stream(codec, rate=24)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.time_base = time_base
        video.codec_context.gop_size = gop
        video.codec_context.color_range = color_range
        if sar is not None:
            video.codec_context.sample_aspect_ratio = sar
        audio: Any = None
        if beep is not None:
            audio = container.add_stream(sound_codec, rate=rate, layout=layout)
        for number, at in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_color_range=color_range or None)
            frame.pts, frame.time_base = at, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if beep is not None:
            channels = audio.layout.nb_channels
            sound = av.AudioFrame.from_ndarray(
                np.repeat(beep[None], channels, axis=0), format="fltp", layout=layout
            )
            sound.sample_rate, sound.time_base, sound.pts = rate, Fraction(1, rate), 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
    return path


def beep_at(start_s: float, *, length_s: float, rate: int = RATE) -> npt.NDArray[np.float32]:
    """Silence but for a tenth of a second of 1 kHz that begins at ``start_s``."""
    time_s = np.arange(round(length_s * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * 1000 * (time_s - start_s))
    return np.where((time_s >= start_s) & (time_s < start_s + 0.1), tone, 0).astype(np.float32)


def onset_s(sound: npt.NDArray[np.float32], rate: int = RATE) -> float:
    return float(np.argmax(np.abs(sound) > 0.1) / rate)


def between(seen: Seen, start_s: float, end_s: float) -> list[int]:
    # 0.4 as a float lies a hair above 2/5.
    start_s, end_s = start_s - 1e-9, end_s - 1e-9
    return [i for i, time_s in enumerate(seen.times_s) if start_s <= time_s < end_s]


def assert_same_frames(clip: Path, source: Seen, start_s: float, end_s: float) -> None:
    got, wanted = watch(clip), between(source, start_s, end_s)
    assert got.numbers == [source.numbers[i] for i in wanted]
    first_s = source.times_s[wanted[0]]
    for got_s, i in zip(got.times_s, wanted, strict=True):
        assert abs(got_s - (source.times_s[i] - first_s)) < 1e-6


def boxes(path: Path) -> list[str]:
    """Names of an MP4's outermost boxes in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += size or len(data)
    return names


@pytest.fixture
def late(tmp_path: Path) -> Path:
    return film(tmp_path / "late.mp4", LATE)


# Frames -----------------------------------------------------------------------------------------


def test_the_footage_tells_its_frames_apart(late: Path) -> None:
    seen = watch(late)
    assert seen.numbers == list(range(72))
    assert seen.times_s[0] == Fraction(17, 10)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(1.7, 2.0), (2.51, 3.3), (0.0, 1.75), (4.2, 99.0), (1.0, 99.0)]
)
def test_a_clip_shows_exactly_the_frames_of_its_interval(
    late: Path, tmp_path: Path, start_s: float, end_s: float
) -> None:
    facts = write_clip(late, tmp_path / "clip.mp4", start_s=start_s, end_s=end_s)
    source = watch(late)
    wanted = between(source, start_s, end_s)
    assert_same_frames(tmp_path / "clip.mp4", source, start_s, end_s)
    assert facts == ClipFacts(
        start_s=float(source.times_s[wanted[0]]),
        end_s=float(source.times_s[wanted[-1]] + STEP * NTSC),
        n_frames=len(wanted),
        has_audio=False,
    )


def test_times_keep_their_distances_at_variable_rate(tmp_path: Path) -> None:
    steps = np.array([300, 1001, 4700, 90, 2002, 1001, 13000, 411] * 6)
    source = film(tmp_path / "vfr.mp4", [int(pts) for pts in np.cumsum(steps)])
    write_clip(source, tmp_path / "clip.mp4", start_s=0.9, end_s=3.9)
    assert_same_frames(tmp_path / "clip.mp4", watch(source), 0.9, 3.9)


@pytest.mark.parametrize("name", ["late.mkv", "late.ts", "late.avi"])
def test_other_containers_give_the_same_frames(tmp_path: Path, name: str) -> None:
    time_base = Fraction(1, 25) if name.endswith("avi") else Fraction(1, 1000)
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    pts = [(0 if name.endswith("avi") else 1700) + k * (1 if name.endswith("avi") else 40)
           for k in range(120)]  # fmt: skip
    source = film(tmp_path / name, pts, time_base=time_base, codec=codec, gop=30)
    write_clip(source, tmp_path / "clip.mp4", start_s=3.05, end_s=4.45)
    assert_same_frames(tmp_path / "clip.mp4", watch(source), 3.05, 4.45)


@pytest.mark.parametrize("start_s", [1.3, 2.9, 4.18, 6.5])
def test_a_program_stream_is_read_from_its_start(tmp_path: Path, start_s: float) -> None:
    # After a seek FFmpeg gives the frames of a program stream other times.
    source = film(
        tmp_path / "tape.mpg",
        list(range(200)),
        time_base=Fraction(1, 25),
        codec="mpeg2video",
        gop=12,
    )
    seen = watch(source)
    write_clip(source, tmp_path / "clip.mp4", start_s=start_s, end_s=start_s + 1)
    assert_same_frames(tmp_path / "clip.mp4", seen, start_s, start_s + 1)


@given(
    st.integers(0, 10**7),
    st.integers(1, 10**5),
    st.sampled_from([NTSC, Fraction(1, 90000), Fraction(1, 1000), Fraction(1001, 30000)]),
    st.sampled_from([-np.inf, np.inf]),
)
def test_seconds_out_of_a_table_select_the_frames_they_came_from(
    first: int, n: int, time_base: Fraction, side: float
) -> None:
    start_s, end_s = (
        float(np.nextafter(float(pts * time_base), side)) for pts in (first, first + n)
    )
    interval = find_interval(start_s, end_s, time_base)
    assert (interval.start_pts, interval.end_pts) == (first, first + n)


@given(st.integers(0, 2500), st.integers(1, 2500))
def test_the_rule_holds_as_written_where_a_unit_is_a_whole_frame(start: int, n: int) -> None:
    start_s, end_s = start / 100, (start + n) / 100
    interval = find_interval(start_s, end_s, Fraction(1, 25))
    wanted = [pts for pts in range(2000) if start <= pts * 4 < start + n]
    assert list(range(interval.start_pts, interval.end_pts)) == wanted


def test_a_frame_that_stands_for_long_ends_with_the_interval(tmp_path: Path) -> None:
    source = film(tmp_path / "still.mp4", [0, 1001, 2002, 240000, 241001])
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=0.0, end_s=2.0)
    assert (facts.start_s, facts.end_s, facts.n_frames) == (0.0, 2.0, 3)


def test_damaged_packets_are_left_out_and_the_others_kept(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mp4", LATE, gop=72)
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        victim = sorted(
            (packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size
        )[30]
    data[victim[0] : victim[0] + victim[1]] = b"\xff" * victim[1]
    source = tmp_path / "damaged.mp4"
    source.write_bytes(data)
    seen = watch(source)
    assert 60 < len(seen.numbers) < 72
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=2.0, end_s=99.0)
    assert facts.n_frames == len(between(seen, 2.0, 99.0))


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7])
def test_a_cut_off_file_gives_the_frames_that_are_left(tmp_path: Path, share: float) -> None:
    whole = film(tmp_path / "whole.mp4", LATE, options={"movflags": "+faststart"})
    with av.open(str(whole)) as container:
        places = sorted((p.pos or 0, p.size) for p in container.demux(video=0) if p.size)
    at, size = places[int(len(places) * share)]
    source = tmp_path / "cut.mp4"
    source.write_bytes(whole.read_bytes()[: at + size // 2])
    seen = watch(source)
    assert 20 < len(seen.numbers) < 72
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=2.0, end_s=99.0)
    assert facts.n_frames == len(between(seen, 2.0, 99.0))


def test_a_file_without_times_is_counted_at_the_assumed_rate(tmp_path: Path) -> None:
    source = film(tmp_path / "raw.h264", [STEP * k for k in range(50)])
    with pytest.raises(ExportError, match="assumed_fps"):
        write_clip(source, tmp_path / "clip.mp4", start_s=0.4, end_s=1.2)
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=0.4, end_s=1.2, assumed_fps=25.0)
    assert watch(tmp_path / "clip.mp4").numbers == list(range(10, 30))
    assert (facts.start_s, facts.end_s) == (0.4, 1.2)


def test_a_failing_seek_is_made_good_from_the_start(
    late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clips.open_media

    class Unseekable:
        def __init__(self, container: Any) -> None:
            self.container = container

        def __enter__(self) -> Unseekable:
            return self

        def __exit__(self, *_: object) -> None:
            self.container.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def seek(self, *_: object, **__: object) -> None:
            raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(clips, "open_media", lambda path: Unseekable(real(path)))
    write_clip(late, tmp_path / "clip.mp4", start_s=3.0, end_s=3.5)
    assert_same_frames(tmp_path / "clip.mp4", watch(late), 3.0, 3.5)


# Picture ----------------------------------------------------------------------------------------


def test_the_clip_plays_in_a_browser(late: Path, tmp_path: Path) -> None:
    write_clip(late, tmp_path / "clip.mp4", start_s=2.0, end_s=3.0)
    order = boxes(tmp_path / "clip.mp4")
    assert order.index("moov") < order.index("mdat")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p", "gbrp"])
def test_other_pixel_formats_are_converted(tmp_path: Path, pix_fmt: str) -> None:
    codec = "libx264rgb" if pix_fmt == "gbrp" else "libx264"
    pix_fmt = "rgb24" if pix_fmt == "gbrp" else pix_fmt
    source = film(tmp_path / "source.mp4", LATE[:24], codec=codec, pix_fmt=pix_fmt)
    write_clip(source, tmp_path / "clip.mp4", start_s=2.0, end_s=9.0)
    assert_same_frames(tmp_path / "clip.mp4", watch(source), 2.0, 9.0)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("ffv1", "yuv420p")])
def test_full_range_becomes_limited_range_of_the_same_brightness(
    tmp_path: Path, codec: str, pix_fmt: str
) -> None:
    source = film(
        tmp_path / "full.mkv",
        [40 * k for k in range(8)],
        codec=codec,
        pix_fmt=pix_fmt,
        color_range=2,
        time_base=Fraction(1, 1000),
    )
    write_clip(source, tmp_path / "clip.mp4", start_s=0.0, end_s=1.0)
    for clip, footage in zip(
        watch(tmp_path / "clip.mp4").pictures, watch(source).pictures, strict=True
    ):
        assert np.abs(clip.astype(int) - footage).mean() < 4
    with av.open(str(tmp_path / "clip.mp4")) as container:
        # 2 is full range; H.264 that says nothing (0) is limited.
        assert container.streams.video[0].codec_context.color_range in (0, 1)


def test_the_encoder_chooses_its_own_key_frames(tmp_path: Path) -> None:
    source = film(tmp_path / "intra.mp4", LATE, gop=1)
    write_clip(source, tmp_path / "clip.mp4", start_s=1.7, end_s=9.0)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) < 36


def test_an_odd_side_loses_its_last_column_or_row(tmp_path: Path) -> None:
    source = film(tmp_path / "odd.mkv", LATE[:24], codec="ffv1", size=(131, 65))
    write_clip(source, tmp_path / "clip.mp4", start_s=1.7, end_s=2.2)
    assert_same_frames(tmp_path / "clip.mp4", watch(source), 1.7, 2.2)
    assert watch(tmp_path / "clip.mp4").pictures[0].shape == (64, 130, 3)


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
    ids=["90", "180", "270"],
)
def test_the_display_matrix_is_applied(
    tmp_path: Path, matrix: tuple[int, int, int, int], turns: int
) -> None:
    plain = film(tmp_path / "plain.mp4", LATE[:24], sar=Fraction(2, 1))
    source = tmp_path / "turned.mp4"
    a, b, c, d = (value * 65536 for value in matrix)
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 44  # the matrix in a version 0 track header
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    source.write_bytes(data)
    write_clip(source, tmp_path / "clip.mp4", start_s=1.7, end_s=2.2)
    shown = watch(tmp_path / "clip.mp4")
    stored = [np.rot90(picture, -turns) for picture in shown.pictures]
    assert [read_number(picture) for picture in stored] == watch(plain).numbers[:12]
    with av.open(str(tmp_path / "clip.mp4")) as container:
        video = container.streams.video[0]
        assert next(container.decode(video)).rotation == 0
        assert video.sample_aspect_ratio == (Fraction(2) if turns == 2 else Fraction(1, 2))


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    parts = [
        film(tmp_path / "a.ts", [9000 + 3600 * k for k in range(25)],
             time_base=Fraction(1, 90000)),
        film(tmp_path / "b.ts", [99000 + 3600 * k for k in range(25)],
             time_base=Fraction(1, 90000), size=(256, 128)),
    ]  # fmt: skip
    source = tmp_path / "both.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    sizes = {picture.shape for picture in watch(source).pictures}
    assert sizes == {(64, 128, 3), (128, 256, 3)}
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=0.0, end_s=99.0)
    assert facts.n_frames == len(watch(source).times_s)
    assert {picture.shape for picture in watch(tmp_path / "clip.mp4").pictures} == {(64, 128, 3)}


def test_the_wanted_stream_is_cut(tmp_path: Path) -> None:
    source = tmp_path / "two.mkv"
    with av.open(str(source), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, [(128, 64), (160, 96)], strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(25):
            for stream in streams:
                picture = numbered(number, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    write_clip(source, tmp_path / "first.mp4", start_s=0.2, end_s=0.4)
    write_clip(source, tmp_path / "second.mp4", start_s=0.2, end_s=0.4, stream=1)
    assert watch(tmp_path / "first.mp4").pictures[0].shape == (64, 128, 3)
    assert watch(tmp_path / "second.mp4").pictures[0].shape == (96, 160, 3)
    assert watch(tmp_path / "second.mp4").numbers == watch(source, 1).numbers[5:10]
    with pytest.raises(ValueError, match=r"index of a video stream \[0, 1\], but is 7"):
        write_clip(source, tmp_path / "no.mp4", start_s=0.2, end_s=0.4, stream=7)


# Sound ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "rate"), [("stereo", 48000), ("mono", 44100), ("5.1", 48000), ("mono", 8000)]
)
def test_the_sound_stays_with_the_picture(tmp_path: Path, layout: str, rate: int) -> None:
    source = film(tmp_path / "source.mp4", LATE, layout=layout, rate=rate,
                  beep=beep_at(3.0, length_s=5.0, rate=rate))  # fmt: skip
    assert onset_s(listen(source), rate) == pytest.approx(3.0, abs=0.003)
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=2.5, end_s=4.0)
    assert facts.has_audio
    sound = listen(tmp_path / "clip.mp4")
    assert onset_s(sound, rate) == pytest.approx(3.0 - facts.start_s, abs=0.003)
    assert abs(len(sound) / rate - (facts.end_s - facts.start_s)) <= 1024 / rate
    with av.open(str(tmp_path / "clip.mp4")) as container:
        audio = container.streams.audio[0]
        assert (audio.codec_context.name, audio.layout.name) == ("aac", layout)
        assert audio.rate == rate


def test_a_rate_that_aac_does_not_have_is_resampled(tmp_path: Path) -> None:
    source = film(tmp_path / "source.mkv", LATE, rate=10000, sound_codec="pcm_f32le",
                  layout="mono", beep=beep_at(3.0, length_s=5.0, rate=10000))  # fmt: skip
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=2.5, end_s=4.0)
    sound = listen(tmp_path / "clip.mp4")
    assert onset_s(sound) == pytest.approx(3.0 - facts.start_s, abs=0.003)
    assert abs(len(sound) / RATE - (facts.end_s - facts.start_s)) <= 1024 / RATE


def test_sound_that_begins_late_begins_late_in_the_clip(tmp_path: Path) -> None:
    early = [STEP * k for k in range(72)]
    source = film(tmp_path / "source.mp4", early, beep=beep_at(0.0, length_s=1.0))
    shifted = tmp_path / "late_sound.mkv"
    with av.open(str(source)) as reader, av.open(str(shifted), "w") as writer:
        out = {s.index: writer.add_stream_from_template(s) for s in reader.streams}
        for packet in reader.demux():
            if packet.dts is None or packet.pts is None:
                continue
            index = packet.stream.index
            if index == 1:
                packet.pts += 2 * RATE
                packet.dts += 2 * RATE
            packet.stream = out[index]
            writer.mux(packet)
    assert onset_s(listen(shifted)) == pytest.approx(2.0, abs=0.003)
    facts = write_clip(shifted, tmp_path / "clip.mp4", start_s=1.0, end_s=2.5)
    assert facts.has_audio
    assert onset_s(listen(tmp_path / "clip.mp4")) == pytest.approx(2.0 - facts.start_s, abs=0.003)
    assert not write_clip(shifted, tmp_path / "mute.mp4", start_s=0.0, end_s=1.0).has_audio


def test_sound_that_cannot_be_decoded_gives_a_silent_clip(tmp_path: Path) -> None:
    source = film(tmp_path / "source.mp4", LATE, beep=beep_at(3.0, length_s=5.0))
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [(p.pos or 0, p.size) for p in container.demux(audio=0) if p.size]
    for at, size in places:
        data[at : at + size] = b"\xff" * size
    source.write_bytes(data)
    facts = write_clip(source, tmp_path / "clip.mp4", start_s=2.5, end_s=4.0)
    assert not facts.has_audio
    assert_same_frames(tmp_path / "clip.mp4", watch(source), 2.5, 4.0)


def test_sound_has_no_hole_and_says_nothing_twice() -> None:
    ramp = np.linspace(0.0, 1.0, 24000, dtype=np.float32)

    def piece(first: int, end: int) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(ramp[None, first:end], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
        return frame

    frames = [piece(0, 6000), piece(3000, 9000), piece(9000, 12000), piece(18000, 24000)]
    chunks = _iter_chunks(frames, rate=RATE, layout="mono", start_s=Fraction(1000, RATE))
    heard = np.concatenate(list(chunks), axis=1)[0]
    expected = np.concatenate([ramp[1000:12000], np.zeros(6000, np.float32), ramp[18000:]])
    np.testing.assert_array_equal(heard, expected)


# All or nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start_s", "end_s", "told"),
    [
        (0.0, 1.0, "the first frame is at 1.700000 s"),
        (90.0, 91.0, r"the last frame is at 4\.661292 s"),
        (1.701, 1.702, "its neighbours are at 1.700000 s and 1.741708 s"),
    ],
)
def test_an_interval_without_a_frame_says_where_the_frames_lie(
    late: Path, tmp_path: Path, start_s: float, end_s: float, told: str
) -> None:
    out = tmp_path / "clips" / "clip.mp4"
    with pytest.raises(ExportError, match=told):
        write_clip(late, out, start_s=start_s, end_s=end_s)
    assert not out.parent.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_clip_leaves_what_was_there(
    late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    out = tmp_path / "clips" / "clip.mp4"
    write_clip(late, out, start_s=2.0, end_s=3.0)
    before = out.read_bytes()
    real, calls = clips.Straightener.__call__, 0

    def interrupted(self: Any, frame: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise stop
        return real(self, frame)

    monkeypatch.setattr(clips.Straightener, "__call__", interrupted)
    with pytest.raises(stop):
        write_clip(late, out, start_s=2.5, end_s=4.0)
    assert list(out.parent.iterdir()) == [out]
    assert out.read_bytes() == before


def test_a_clip_that_lost_a_frame_is_not_published(
    late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clips._Writer._mux
    lost: list[object] = []

    def forgetful(self: Any, container: Any, video: Any, picture: Any) -> None:
        if picture is not None and not lost and len(self.times_s) == 5:
            lost.append(self._durations.pop(picture.pts))
            return
        real(self, container, video, picture)

    monkeypatch.setattr(clips._Writer, "_mux", forgetful)
    out = tmp_path / "clips" / "clip.mp4"
    with pytest.raises(ExportError, match=r"must hold \d+ frames, but holds \d+"):
        write_clip(late, out, start_s=2.0, end_s=3.0)
    assert list(out.parent.iterdir()) == []


def test_bad_arguments_are_refused_before_anything_is_written(late: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    with pytest.raises(ValueError, match="start_s must lie before end_s"):
        write_clip(late, out, start_s=3.0, end_s=3.0)
    with pytest.raises(ValueError, match="finite"):
        write_clip(late, out, start_s=0.0, end_s=float("inf"))
    with pytest.raises(ValueError, match=r"must end in \.mp4"):
        write_clip(late, tmp_path / "clip.mkv", start_s=2.0, end_s=3.0)
    with pytest.raises(ValueError, match="replace its own source"):
        write_clip(late, late, start_s=2.0, end_s=3.0)
    with pytest.raises(VideoError, match="no such file"):
        write_clip(tmp_path / "none.mp4", out, start_s=2.0, end_s=3.0)
    with pytest.raises(ExportError, match="could not be written"):
        write_clip(late, out, start_s=2.0, end_s=3.0, preset="warp")
    assert sorted(tmp_path.iterdir()) == [late]
