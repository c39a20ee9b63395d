"""The frames that come out are the frames that were asked for: they carry their own numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from facelake.errors import VideoError
from facelake.media import frame_rgb
from facelake.schema import DecoderName, Stretch, VideoIndex
from facelake.testing import cases, footage
from facelake.testing.cases import Case
from facelake.video import FrameReader, index_video, plan_stretches
from facelake.video.frames import choose_decoder

Make = Callable[[str], Case]
Answer = list[tuple[int, int | None]]
"""pts and number of each frame, ``None`` for a picture that shows none."""

# Each frame of these carries a time; of the second stream's case the film is the black first one.
TIMED = [
    name
    for name in cases.WHOLE_CASES
    if name not in ("mpeg4_avi", "no_timestamps", "second_stream")
]
# Where decord is accepted and does it. x265's ten bits are accepted and make it fail aloud.
BY_DECORD = [
    "closed_gop", "variable_rate", "hole", "late_start", "vp9", "odd_size", "rotated_90",
    "rotated_180", "rotated_270", "with_sound",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def stretches_as_in_a_long_video() -> Iterator[None]:
    """These films are short; they are cut as if they were not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facelake.video.plan._FEWEST_STRETCHES", 1)
        yield


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("cases")
    made: dict[str, Case] = {}

    def case(name: str) -> Case:
        if name not in made:
            made[name] = cases.make_case(name, folder)
        return made[name]

    return case


def number(image: npt.NDArray[np.uint8]) -> int | None:
    try:
        return footage.read_number(image)
    except ValueError:
        return None


def read(
    path: Path, sample_fps: float | None, decoder: DecoderName = "pyav"
) -> tuple[Answer, FrameReader]:
    index = index_video(path)
    reader = FrameReader(path, index.facts, decoder=decoder)
    return read_all(reader, plan_stretches(index, sample_fps)), reader


def read_all(reader: FrameReader, stretches: list[Stretch]) -> Answer:
    return [(f.pts, number(f.rgb())) for s in stretches for f in reader.frames(s)]


@cache
def decoded(path: Path) -> Answer:
    """The witness: PyAV from the start to the end, one thread, bad packets left out."""
    answer: Answer = []
    with av.open(str(path)) as container:
        film = container.streams.video[0]
        film.codec_context.thread_count = 1
        for packet in container.demux(film):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            answer += [(f.pts, number(frame_rgb(f))) for f in frames if f.pts is not None]
    return answer


def decoded_pts(path: Path) -> list[int | None]:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [frame.pts for frame in container.decode(video=0)]


def cheap_pts(path: Path) -> set[int]:
    """What FFmpeg decodes of H.264 and HEVC when told to leave out what nothing refers to."""
    with av.open(str(path)) as container:
        decoder = container.streams.video[0].codec_context
        if decoder.name not in ("h264", "hevc"):
            return set()
        decoder.thread_count = 1
        decoder.skip_frame = "NONREF"
        return {frame.pts for frame in container.decode(video=0) if frame.pts is not None}


def expected_numbers(case: Case, sample_fps: float | None) -> list[int]:
    """Of each slot the first cheap frame or else the first, by the planted times."""
    if sample_fps is None:
        return list(range(len(case.times_s)))
    exact = [Fraction(round(time * 90_000), 90_000) for time in case.times_s]
    slots = [int((time - exact[0]) * Fraction(sample_fps)) for time in exact]
    cheap = [pts in cheap_pts(case.path) for pts in sorted(p for p, _ in decoded(case.path))]
    return [
        min((n for n in range(len(slots)) if slots[n] == slot), key=lambda n: (not cheap[n], n))
        for slot in sorted(set(slots))
    ]


# Whole files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_fps", [5.0, None])
@pytest.mark.parametrize("name", TIMED)
def test_pyav_gives_the_wanted_frames_at_their_times(
    name: str, sample_fps: float | None, make: Make
) -> None:
    case = make(name)
    answer, reader = read(case.path, sample_fps)
    wanted = expected_numbers(case, sample_fps)
    assert [n for _, n in answer] == wanted
    time_base = float(reader.facts.time_base)
    times = [case.times_s[n] for n in wanted]
    np.testing.assert_allclose([pts * time_base for pts, _ in answer], times, atol=1e-9)
    assert set(answer) <= set(decoded(case.path))
    assert (reader.decoder, reader.n_bad_packets) == ("pyav", 0)


@pytest.mark.parametrize("sample_fps", [5.0, None])
@pytest.mark.parametrize("name", BY_DECORD)
def test_decord_gives_the_same_frames_where_it_is_accepted(
    name: str, sample_fps: float | None, make: Make
) -> None:
    pytest.importorskip("decord")
    answer, reader = read(make(name).path, sample_fps, "decord")
    assert answer == read(make(name).path, sample_fps, "pyav")[0]
    assert (reader.decoder, reader.reason) == ("decord", "the packets prove it safe")


@pytest.mark.parametrize("name", ["closed_gop", "rotated_90", "vp9"])
def test_decords_pictures_differ_from_pyavs_by_no_more_than_rounding(name: str, make: Make) -> None:
    pytest.importorskip("decord")
    index = index_video(make(name).path)
    (stretch,) = plan_stretches(index, 5.0)
    for by_decord, by_pyav in zip(
        FrameReader(make(name).path, index.facts, decoder="decord").frames(stretch),
        FrameReader(make(name).path, index.facts, decoder="pyav").frames(stretch),
        strict=True,
    ):
        one, other = by_decord.rgb(), by_pyav.rgb()
        assert one.dtype == other.dtype == np.uint8
        assert np.abs(one.astype(int) - other.astype(int)).mean() < 2


@pytest.mark.parametrize("sample_fps", [5.0, None])
@pytest.mark.parametrize("name", [*cases.WHOLE_CASES, *("truncated", "bit_flips")])
def test_left_to_itself_it_gives_pyavs_frames_whatever_the_file(
    name: str, sample_fps: float | None, make: Make
) -> None:
    answer, _ = read(make(name).path, sample_fps, "auto")
    assert answer == read(make(name).path, sample_fps, "pyav")[0]


@pytest.mark.parametrize("name", ["mpeg4_avi", "no_timestamps"])
@pytest.mark.parametrize(("sample_fps", "step"), [(5.0, 5), (None, 1), (10.0, 2.5), (50.0, 1)])
def test_a_file_without_times_is_counted_through(
    name: str, sample_fps: float | None, step: float, make: Make
) -> None:
    answer, reader = read(make(name).path, sample_fps)
    slots = [int(n / step) for n in range(60)]
    wanted = [n for n in range(60) if n == 0 or slots[n] > slots[n - 1]]
    assert [n for _, n in answer] == wanted
    times = [float(pts * reader.facts.time_base) for pts, _ in answer]
    np.testing.assert_allclose(times, np.array(wanted) / 25, atol=1e-9)


def test_the_film_is_read_from_its_own_stream(tmp_path: Path) -> None:
    small = (footage.numbered_frame(900 + n, 80, 80) for n in range(30))
    path = footage.write_video(
        tmp_path / "two.mkv", small, second_stream=footage.numbered_frames(30)
    )
    assert [n for _, n in read(path, None, "auto")[0]] == list(range(30))


@pytest.mark.parametrize("name", ["rotated_90", "rotated_270", "odd_size"])
def test_frames_have_the_size_that_the_index_tells(name: str, make: Make) -> None:
    index = index_video(make(name).path)
    for decoder in ("pyav", "auto"):
        reader = FrameReader(make(name).path, index.facts, decoder=decoder)
        for frame in reader.frames(plan_stretches(index, 5.0)[0]):
            assert (frame.height, frame.width) == (index.facts.height, index.facts.width)
            assert frame.rgb().shape == (frame.height, frame.width, 3)


# Stretches --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Film:
    """300 frames at 25 a second, a key frame each second; every frame makes six stretches."""

    name: str
    codec: str = "libx264"
    options: str = "open-gop=0:bframes=2:scenecut=0"
    n_stretches: int = 6

    def write(self, folder: Path) -> Path:
        parameters = {
            "libx264": {"x264-params": self.options},
            "libx265": {"x265-params": "keyint=25:bframes=3:b-adapt=0:scenecut=0"},
            "mpeg2video": {"bf": "2"},
            "mpeg4": {"bf": "2"},
        }
        frames = footage.numbered_frames(300, width=80, height=80)
        path = folder / self.name
        return footage.write_video(
            path, frames, codec=self.codec, options=parameters.get(self.codec), gop=25
        )


OPEN = "open-gop=1:bframes=3:b-adapt=0:scenecut=0"
FILMS = [
    Film("closed.mp4"),
    Film("open.mkv", options=OPEN),
    Film("closed.ts"),
    Film("open.ts", options=OPEN),
    Film("hevc.ts", "libx265"),
    Film("program.mpg", "mpeg2video", n_stretches=1),
    Film("broadcast.mxf", "mpeg2video"),
    Film("asp.mkv", "mpeg4"),
    Film("windows.wmv", "wmv2"),
    Film("flash.flv"),
    Film("vp8.webm", "libvpx"),
]


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.name)
def test_stretches_joined_are_the_whole_and_each_is_decoded_once(
    film: Film, tmp_path: Path
) -> None:
    path = film.write(tmp_path)
    index = index_video(path)
    stretches = plan_stretches(index, None)
    assert len(stretches) == film.n_stretches
    n_packets: list[None] = []
    answers = []
    for stretch in reversed(stretches):  # as other workers would, in any order
        reader = FrameReader(
            path, index.facts, decoder="pyav", alive=lambda: n_packets.append(None)
        )
        answer = read_all(reader, [stretch])
        assert all(stretch.want_pts[0] <= pts < stretch.end_pts for pts, _ in answer)
        assert reader.n_bad_packets == 0
        answers.append(answer)
    whole = [frame for answer in reversed(answers) for frame in answer]
    assert [n for _, n in whole] == list(range(300))
    assert [pts for pts, _ in whole] == decoded_pts(path)
    # Each stretch from the start of the file would be 1,050.
    assert len(n_packets) < 2 * 300


def test_a_seek_that_finds_nothing_decodes_from_the_start(make: Make) -> None:
    index = index_video(make("closed_gop").path)
    (stretch,) = plan_stretches(index, 5.0)
    reader = FrameReader(make("closed_gop").path, index.facts, decoder="pyav")
    after_the_end = replace(stretch, seek_pts=index.facts.end_pts * 10)
    assert read_all(reader, [after_the_end]) == read_all(reader, [stretch])


def a_stretch(index: VideoIndex, seek: int, want: list[int]) -> Stretch:
    """The frames of these numbers, to be decoded from frame ``seek`` on."""
    return Stretch(
        number=0,
        end_pts=index.facts.end_pts,
        seek_pts=int(index.pts[seek]),
        key_pts=np.empty(0, np.int64),
        want_pts=index.pts[want],
        want_index=np.array(want, np.int64),
        peek_pts=None,
        frame_pts=index.pts[want[0] :],
        frame_shown_s=np.full(len(index.pts) - want[0], 0.04),
        can_skip=bool(index.is_cheap.any()),
        sample_fps=None,
    )


@pytest.mark.parametrize("seek", [24, 25, 29, 30])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_frame_that_is_wrongly_flagged_as_a_key_frame_is_no_place_to_start_from(
    codec: str, seek: int, tmp_path: Path
) -> None:
    # Without its table of key frames ('stss') an MP4 lets a reader seek to every frame; MPEG-4's
    # decoder then starts with a grey picture, H.264's waits for a key frame.
    path = footage.write_video(tmp_path / "a.mp4", footage.numbered_frames(60), codec=codec)
    data = path.read_bytes()
    assert data.count(b"stss") == 1
    path.write_bytes(data.replace(b"stss", b"free"))
    index = index_video(path)
    reader = FrameReader(path, index.facts, decoder="pyav")
    assert [n for _, n in read_all(reader, [a_stretch(index, seek, [30, 31])])] == [30, 31]


def test_nothing_wanted_at_the_end_means_nothing_decoded_there(make: Make) -> None:
    index = index_video(make("closed_gop").path)
    (stretch,) = plan_stretches(index, 5.0)
    calls: list[None] = []
    reader = FrameReader(
        make("closed_gop").path, index.facts, decoder="pyav", alive=lambda: calls.append(None)
    )
    first = replace(stretch, want_pts=stretch.want_pts[:1], want_index=stretch.want_index[:1])
    assert [n for _, n in read_all(reader, [first])] == [0]
    assert len(calls) < 10


# Frames left out --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coding:
    """A way to code 75 frames at 25 a second, with a key frame each second."""

    name: str
    codec: str
    options: str = ""
    suffix: str = ".mkv"
    can_skip: bool = True

    def write(self, folder: Path) -> Path:
        parameters = {
            "libx264": {"x264-params": self.options},
            "libx265": {"x265-params": f"keyint=25:{self.options}"},
            "mpeg2video": {"bf": "2"},
            "mpeg4": {"bf": "2"},
            "libvpx": {"deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "16"},
            "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
            "libsvtav1": {"preset": "12"},
        }
        path = folder / f"{self.name}{self.suffix}"
        return footage.write_video(
            path, moving_frames(75), codec=self.codec, options=parameters[self.codec], gop=25
        )


def moving_frames(n_frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    """A texture that slides and fades, so that frames are predicted from one another."""
    random = np.random.default_rng(3)
    texture = np.kron(random.integers(0, 200, (16, 40, 3)), np.ones((8, 8, 1)))
    for number in range(n_frames):
        light = 0.6 + 0.4 * np.sin(number / 9)
        yield (np.roll(texture, 3 * number, axis=1)[:, :160] * light).astype(np.uint8)


CODINGS = [
    Coding("two_b", "libx264", "bframes=2:b-adapt=0"),
    Coding("two_b_mp4", "libx264", "bframes=2:b-adapt=0", ".mp4"),
    Coding("two_b_ts", "libx264", "bframes=2:b-adapt=0", ".ts"),
    Coding("pyramid", "libx264", "bframes=7:b-adapt=0:b-pyramid=normal"),
    Coding("strict_pyramid", "libx264", "bframes=7:b-adapt=0:b-pyramid=strict"),
    Coding("open_gop", "libx264", "open-gop=1:bframes=3:b-adapt=0", ".ts"),
    Coding("weighted", "libx264", "weightp=2:weightb=1:bframes=3:direct=temporal"),
    Coding("slices", "libx264", "slices=4:bframes=3:b-adapt=0"),
    Coding("no_b", "libx264", "bframes=0"),
    Coding("intra_refresh", "libx264", "intra-refresh=1:bframes=2"),
    Coding("interlaced", "libx264", "interlaced=1:bframes=2", ".ts", can_skip=False),
    Coding("hevc", "libx265", "bframes=4:b-adapt=0"),
    Coding("hevc_closed", "libx265", "open-gop=0:bframes=3:b-adapt=0", ".mp4"),
    Coding("hevc_layers", "libx265", "bframes=4:b-adapt=0:temporal-layers=1"),
    Coding("mpeg2", "mpeg2video", suffix=".ts", can_skip=False),
    Coding("mpeg4", "mpeg4", can_skip=False),
    Coding("vp8", "libvpx", suffix=".webm", can_skip=False),
    Coding("vp9", "libvpx-vp9", suffix=".webm", can_skip=False),
    Coding("av1", "libsvtav1", can_skip=False),
]


@pytest.fixture(scope="module", params=CODINGS, ids=lambda coding: coding.name)
def coded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Coding]:
    path = request.param.write(tmp_path_factory.mktemp("coded"))
    return path, request.param


def pictures(path: Path) -> dict[int, bytes]:
    """The bytes of every frame, decoded from the start to the end."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = container.decode(video=0)
        return {f.pts: frame_rgb(f).tobytes() for f in frames if f.pts is not None}


def test_a_decoder_told_to_leave_out_what_nothing_refers_to_gives_the_cheap_frames(
    coded: tuple[Path, Coding],
) -> None:
    path, coding = coded
    index = index_video(path)
    cheap = index.pts[index.is_cheap].tolist()
    assert cheap == (sorted(cheap_pts(path)) if coding.can_skip else [])
    assert {s.can_skip for s in plan_stretches(index, 5.0)} == {coding.can_skip}


@pytest.mark.parametrize("sample_fps", [0.7, 5.0, 11.0])
def test_what_is_left_out_changes_no_bit_of_what_is_wanted(
    sample_fps: float, coded: tuple[Path, Coding]
) -> None:
    path, _ = coded
    index, witness = index_video(path), pictures(path)
    for stretch in plan_stretches(index, sample_fps, refine=True):
        met: list[None] = []
        reader = FrameReader(path, index.facts, decoder="pyav", alive=lambda: met.append(None))  # noqa: B023
        frames = list(reader.frames(stretch))
        peek = [] if stretch.peek_pts is None else [stretch.peek_pts]
        assert [frame.pts for frame in frames] == [*stretch.want_pts.tolist(), *peek]
        assert all(frame.rgb().tobytes() == witness[frame.pts] for frame in frames)
        assert len(met) <= len(index.pts) + 1  # and in one go


def test_nor_when_the_frames_looked_at_are_the_dear_ones(coded: tuple[Path, Coding]) -> None:
    path, _ = coded
    index, witness = index_video(path), pictures(path)
    dear = np.flatnonzero(~index.is_cheap).tolist()
    stretch = replace(a_stretch(index, 0, dear[::3] or [0]), seek_pts=None)
    met: list[None] = []
    reader = FrameReader(path, index.facts, decoder="pyav", alive=lambda: met.append(None))
    frames = list(reader.frames(stretch))
    assert [frame.pts for frame in frames] == stretch.want_pts.tolist()
    assert all(frame.rgb().tobytes() == witness[frame.pts] for frame in frames)
    assert len(met) <= len(index.pts) + 1


def test_the_frames_between_are_those_of_a_decoder_that_reads_everything(
    coded: tuple[Path, Coding],
) -> None:
    path, _ = coded
    index, witness = index_video(path), pictures(path)
    pts = index.pts.tolist()
    bounds = [(0, 1), (1, 4), (4, 9), (20, 30), (33, 35), (50, 74), (74, 74)]
    intervals = [(pts[low], pts[high]) for low, high in bounds]
    (stretch,) = plan_stretches(index, 5.0)
    found = list(FrameReader(path, index.facts, decoder="pyav").between(stretch, intervals))
    assert [[f.pts for f in frames] for frames in found] == [
        pts[low + 1 : high] for low, high in bounds
    ]
    assert all(f.rgb().tobytes() == witness[f.pts] for frames in found for f in frames)


X264_FILM = "open-gop=0:bframes=2:b-adapt=0:b-pyramid=none:scenecut=0"  # I, then B B P


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, a key frame each 30; of 30 the numbers 0, 3, 6, …, 27 and 29 are referred to."""
    path = tmp_path_factory.mktemp("film") / "film.mov"
    options = {"x264-params": X264_FILM}
    return footage.write_video(path, footage.numbered_frames(60), options=options, gop=30)


def packets_by_number(path: Path) -> dict[int, int]:
    """Frame number → place of its packet in the file."""
    with av.open(str(path)) as container:
        pts = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    return {number: pts.index(at) for number, at in enumerate(sorted(pts))}


def test_what_is_neither_wanted_nor_referred_to_is_not_decoded(film: Path, tmp_path: Path) -> None:
    index = index_video(film)
    assert np.flatnonzero(index.is_cheap)[:11].tolist() == [*range(0, 30, 3), 29]
    place = packets_by_number(film)
    useless = [place[number] for number in (1, 2, 4, 5, 7, 8, 10, 11)]
    hurt = with_lost_packets(film, useless, tmp_path / "hurt.mov", kept=5)  # length, header
    reader = FrameReader(hurt, index.facts, decoder="pyav")
    answer = read_all(reader, plan_stretches(index, 5.0))
    assert [n for _, n in answer] == [0, 6, 12, 15, 21, 27, 30, 36, 42, 45, 51, 57]
    assert reader.n_bad_packets == 0


@pytest.mark.parametrize(
    ("lost", "numbers"),
    [
        ([7], [0, 8, 12]),  # the wanted frame itself, which nothing refers to: the next answers
        ([7, 8], [0, 9, 12]),
        ([7, 8, 9, 10, 11], [0]),  # of the frames that 12 is made from nothing is left
    ],
)
def test_where_a_wanted_frame_does_not_come_the_rest_is_decoded_whole(
    lost: list[int], numbers: list[int], film: Path, tmp_path: Path
) -> None:
    index = index_video(film)
    place = packets_by_number(film)
    hurt = with_lost_packets(film, [place[n] for n in lost], tmp_path / "hurt.mov")
    stretch = replace(a_stretch(index, 0, [0, 7, 12]), end_pts=int(index.pts[13]))
    assert stretch.can_skip
    reader = FrameReader(hurt, index.facts, decoder="pyav")
    answer = [n for _, n in read_all(reader, [stretch])]
    assert answer[: len(numbers)] == numbers
    assert reader.n_bad_packets == len(lost)


# Peeks and what lies between --------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_the_peek_is_the_first_sample_of_the_next_stretch_and_comes_last(
    decoder: Any, tmp_path: Path
) -> None:
    pytest.importorskip("decord")
    options = {"x264-params": X264_FILM}
    frames = footage.numbered_frames(150)
    path = footage.write_video(tmp_path / "a.mp4", frames, options=options, gop=25)
    index = index_video(path)
    stretches = plan_stretches(index, None, refine=True)
    assert [s.peek_pts for s in stretches] == [int(index.pts[50]), int(index.pts[100]), None]
    reader = FrameReader(path, index.facts, decoder=decoder)
    answers = [[n for _, n in read_all(reader, [s])] for s in stretches]
    assert answers == [[*range(51)], [*range(50, 101)], [*range(100, 150)]]
    assert reader.decoder == decoder


def test_a_peek_that_cannot_be_decoded_is_left_out(tmp_path: Path) -> None:
    path = with_lost_packets(intra_coded(130, tmp_path / "a.mov"), [64], tmp_path / "b.mov")
    index = index_video(path)
    one, two, _ = plan_stretches(index, None, refine=True)
    reader = FrameReader(path, index.facts, decoder="pyav")
    assert [n for _, n in read_all(reader, [one])] == [*range(64)]
    assert [n for _, n in read_all(reader, [two])] == [*range(65, 129)]


def between(
    path: Path, pairs: list[tuple[int, int]], alive: Callable[[], None] = lambda: None
) -> list[list[int | None]]:
    """Numbers of the frames between each pair of numbers, of the whole video as one stretch."""
    index = index_video(path)
    (stretch,) = plan_stretches(index, 5.0)
    reader = FrameReader(path, index.facts, decoder="auto", alive=alive)
    intervals = [(int(index.pts[low]), int(index.pts[high])) for low, high in pairs]
    return [[number(f.rgb()) for f in found] for found in reader.between(stretch, intervals)]


def test_between_two_frames_lie_those_without_the_two(film: Path) -> None:
    pairs = [(0, 5), (5, 6), (6, 6), (6, 8), (28, 31), (31, 50), (58, 59)]
    expected = [[*range(low + 1, high)] for low, high in pairs]
    assert between(film, pairs) == expected
    assert between(film, []) == []
    assert between(film, [(3, 3)]) == [[]]


def test_between_jumps_from_key_frame_to_key_frame_but_never_back(film: Path) -> None:
    met: list[None] = []
    assert between(film, [(1, 3), (4, 6), (33, 35)], lambda: met.append(None)) == [[2], [5], [34]]
    # Of the first group of pictures I P B B P B B, of the second I P B B P B B.
    assert len(met) <= 2 * 8


def test_a_frame_between_that_cannot_be_decoded_is_left_out_and_not_counted_again(
    film: Path, tmp_path: Path
) -> None:
    index = index_video(film)
    hurt = with_lost_packets(film, [packets_by_number(film)[4]], tmp_path / "hurt.mov")
    (stretch,) = plan_stretches(index, 5.0)
    reader = FrameReader(hurt, index.facts, decoder="pyav")
    (found,) = reader.between(stretch, [(int(index.pts[2]), int(index.pts[7]))])
    assert [number(frame.rgb()) for frame in found] == [3, 5, 6]
    assert reader.n_bad_packets == 0


@pytest.mark.parametrize("pairs", [[(5, 9), (8, 12)], [(5, 9), (1, 3)], [(9, 5)]])
def test_intervals_out_of_order_are_refused(pairs: list[tuple[int, int]], film: Path) -> None:
    with pytest.raises(ValueError, match="must be in order of time and must not overlap"):
        between(film, pairs)


# Damage -----------------------------------------------------------------------------------------


def with_lost_packets(whole: Path, lost: list[int], path: Path, *, kept: int = 0) -> Path:
    """A copy whose packets of these numbers hold nothing but zeros after the first bytes."""
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for at in lost:
        start, size = packets[at].pos, packets[at].size
        assert start is not None
        data[start + kept : start + size] = bytes(size - kept)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("decoder", ["pyav", "auto"])
@pytest.mark.parametrize(
    ("lost", "sampled"),
    [
        ([10], [0, 5, 11, 15, 20, 25]),  # the next frame of the slot answers
        ([10, 11, 12], [0, 5, 13, 15, 20, 25]),
        ([10, 11, 12, 13, 14], [0, 5, 15, 20, 25]),  # nobody is left to answer
        ([0], [1, 5, 10, 15, 20, 25]),
        ([25, 26, 27, 28, 29], [0, 5, 10, 15, 20]),
    ],
)
@pytest.mark.parametrize(("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("libx264", "yuv420p")])
def test_an_instant_that_cannot_be_decoded_is_answered_by_the_next_of_its_slot_or_left_out(
    codec: str, pix_fmt: str, lost: list[int], sampled: list[int], decoder: Any, tmp_path: Path
) -> None:
    frames = footage.numbered_frames(30)
    whole = footage.write_video(tmp_path / "whole.mov", frames, codec=codec, pix_fmt=pix_fmt, gop=1)
    path = with_lost_packets(whole, lost, tmp_path / "hurt.mov")
    pts = index_video(whole).pts
    answer, reader = read(path, 5.0, decoder)
    assert answer == [(pts[n], n) for n in sampled]
    answer, reader = read(path, None, decoder)
    assert answer == [(pts[n], n) for n in range(30) if n not in lost]
    assert reader.n_bad_packets == len(lost)


def intra_coded(n_frames: int, path: Path) -> Path:
    """Each frame is a key frame."""
    frames = footage.numbered_frames(n_frames, width=80, height=80)
    return footage.write_video(path, frames, codec="mjpeg", pix_fmt="yuvj420p", gop=1)


@pytest.mark.parametrize("decoder", ["pyav", "auto"])
def test_a_stretch_never_answers_with_a_frame_of_the_next_one(decoder: Any, tmp_path: Path) -> None:
    whole = intra_coded(130, tmp_path / "whole.mov")
    path = with_lost_packets(whole, [62, 63, 64], tmp_path / "hurt.mov")
    index = index_video(path)
    one, two, three = plan_stretches(index, None)
    assert [int(s.want_index[0]) for s in (one, two, three)] == [0, 64, 128]
    for stretch, numbers in ((one, range(62)), (two, range(65, 128)), (three, range(128, 130))):
        reader = FrameReader(path, index.facts, decoder=decoder)
        assert [n for _, n in read_all(reader, [stretch])] == list(numbers)


def test_a_bad_packet_is_counted_once_though_it_is_met_by_two_attempts(tmp_path: Path) -> None:
    path = with_lost_packets(intra_coded(30, tmp_path / "whole.mov"), [10], tmp_path / "hurt.mov")
    index = index_video(path)
    reader = FrameReader(path, index.facts, decoder="pyav")
    assert [n for _, n in read_all(reader, [a_stretch(index, 10, [10, 12])])] == [11, 12]
    assert reader.n_bad_packets == 1


@pytest.mark.parametrize("name", ["truncated", "bit_flips"])
@pytest.mark.parametrize("sample_fps", [5.0, None])
def test_a_damaged_file_gives_what_a_decoder_makes_of_it_and_nothing_else(
    name: str, sample_fps: float | None, make: Make
) -> None:
    answer, _ = read(make(name).path, sample_fps)
    witness = decoded(make(name).path)
    times = [pts for pts, _ in answer]
    assert times == sorted(set(times))
    assert set(times) <= {pts for pts, _ in witness}
    # What FFmpeg makes up for lost pictures depends on which others it decoded.
    assert len(set(answer) - set(witness)) <= (0 if sample_fps is None else 1)
    if sample_fps is None:
        assert len(answer) >= 0.9 * len(witness)


@pytest.mark.parametrize("kept", [0.5, 0.7, 0.8, 0.97])
@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".webm", ".mpg", ".flv"])
def test_of_a_file_cut_anywhere_every_frame_before_the_cut_is_right(
    suffix: str, kept: float, tmp_path: Path
) -> None:
    codec = {".webm": "libvpx", ".mpg": "mpeg2video"}.get(suffix, "libx264")
    path = footage.write_video(
        tmp_path / f"cut{suffix}", footage.numbered_frames(60, width=80, height=80), codec=codec
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    answer, _ = read(path, None, "auto")
    numbers = [n for _, n in answer]
    assert numbers[:-2] == list(range(len(numbers) - 2))  # the cut itself may smear a frame
    assert len(numbers) > 60 * kept / 3


def test_a_file_that_goes_away_is_said(tmp_path: Path) -> None:
    path = footage.write_video(tmp_path / "a.mp4", footage.numbered_frames(10))
    index = index_video(path)
    path.unlink()
    reader = FrameReader(path, index.facts, decoder="pyav")
    with pytest.raises(VideoError, match=r"a\.mp4: there is no such file"):
        list(reader.frames(plan_stretches(index, 5.0)[0]))


# Which decoder ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("open_gop_h264", "open GOP"),
        ("open_gop_hevc", "open GOP"),
        ("mpegts", "container mpegts"),
        ("mpeg4_avi", "container avi"),
        ("no_timestamps", "packets without a time"),
        ("truncated", "frames promised"),
    ],
)
def test_decord_is_refused_where_it_is_not_safe(name: str, reason: str, make: Make) -> None:
    path = make(name).path
    facts = index_video(path).facts
    with pytest.raises(VideoError, match=f"{path.name}: decord would not be safe here .*{reason}"):
        FrameReader(path, facts, decoder="decord")
    reader = FrameReader(path, facts, decoder="auto")
    assert reader.decoder == "pyav"
    assert reason in reader.reason


def test_pyav_that_was_asked_for_is_taken_though_decord_would_be_safe(make: Make) -> None:
    reader = FrameReader(make("closed_gop").path, index_video(make("closed_gop").path).facts,
                         decoder="pyav")  # fmt: skip
    assert (reader.decoder, reader.reason) == ("pyav", "as asked")


class FakeReader:
    """decord's VideoReader over the real frames, with something wrong from some batch on."""

    wrong = ""
    after = 0

    def __init__(self, path: str, **_: object) -> None:
        import decord

        if self.wrong == "open":
            raise decord.DECORDError("cannot find video stream")
        self._answer = list(all_frames(Path(path)))
        self._batches = 0

    def __len__(self) -> int:
        return len(self._answer) - (self.wrong == "count")

    def get_batch(self, positions: list[int]) -> FakeReader:
        import decord

        self._batches += 1
        if self._batches > self.after:
            if self.wrong == "error":
                raise decord.DECORDError("Error sending packet")
            if self.wrong == "runtime":
                raise RuntimeError("a decoder thread died")
            if self.wrong == "index":
                raise IndexError("Out of bound indices")
        self._images = np.stack([self._answer[position][1] for position in positions])
        if self.wrong == "shape" and self._batches > self.after:
            self._images = self._images.swapaxes(1, 2)
        return self

    def asnumpy(self) -> npt.NDArray[np.uint8]:
        return self._images

    def get_frame_timestamp(self, positions: int | list[int]) -> npt.NDArray[np.float64]:
        late = 0.04 if self.wrong == "times" and self._batches > self.after else 0.0
        times = np.array([self._answer[p][0] for p in np.atleast_1d(positions)])
        both = np.stack([times + late, times + late + 0.04], axis=1)
        return both[0] if isinstance(positions, int) else both

    def seek(self, position: int) -> None:
        assert position == 0


def all_frames(path: Path) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            yield frame.time, frame_rgb(frame)


WRONGS = [
    ("open", 0, "decord cannot open it"),
    ("count", 0, "decord counts 149 frames, the packets 150"),
    ("error", 0, r"decord failed while decoding \(DECORDError\)"),
    ("error", 2, r"decord failed while decoding \(DECORDError\)"),
    ("runtime", 1, r"decord failed while decoding \(RuntimeError\)"),
    ("index", 1, r"decord failed while decoding \(IndexError\)"),
    ("times", 0, "times disagree with the packets"),
    ("times", 2, "times disagree with the packets"),
    ("shape", 1, r"frames of shape \(96, 80, 3\), not \(80, 96, 3\)"),
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VideoIndex, list[Stretch]]:
    """150 frames in three stretches, wider than high."""
    frames = footage.numbered_frames(150, width=96, height=80)
    options = {"x264-params": "open-gop=0:bframes=2:scenecut=0"}
    path = tmp_path_factory.mktemp("wide") / "wide.mp4"
    footage.write_video(path, frames, options=options, gop=25)
    index = index_video(path)
    return path, index, plan_stretches(index, None)


@pytest.mark.parametrize(("wrong", "after", "reason"), WRONGS)
def test_when_decord_goes_wrong_pyav_takes_over_without_losing_or_repeating_a_frame(
    wrong: str,
    after: int,
    reason: str,
    wide: tuple[Path, VideoIndex, list[Stretch]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decord = pytest.importorskip("decord")
    path, index, stretches = wide
    assert len(stretches) == 3
    fake = type("Fake", (FakeReader,), {"wrong": wrong, "after": after})
    monkeypatch.setattr(decord, "VideoReader", fake)
    monkeypatch.setattr("facelake.video.frames._BATCH_BYTES", 20 * 96 * 80 * 3)
    reader = FrameReader(path, index.facts, decoder="auto")
    answer = read_all(reader, stretches)
    assert answer == [(int(pts), n) for n, pts in enumerate(index.pts)]
    assert reader.decoder == "pyav"
    assert re.search(reason, reader.reason)
    with pytest.raises(VideoError, match=f"wide.mp4: .*{reason}.*; use --decoder auto or pyav"):
        read_all(FrameReader(path, index.facts, decoder="decord"), stretches)


def test_a_decord_that_is_right_is_believed(
    wide: tuple[Path, VideoIndex, list[Stretch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decord = pytest.importorskip("decord")
    path, index, stretches = wide
    monkeypatch.setattr(decord, "VideoReader", FakeReader)
    reader = FrameReader(path, index.facts, decoder="decord")
    assert read_all(reader, stretches) == [(int(pts), n) for n, pts in enumerate(index.pts)]
    assert reader.decoder == "decord"


# Real files -------------------------------------------------------------------------------------

REAL = [
    "broken/torchcodec/nasa_13013.mp4",
    "broken/torchcodec/h265_video.mp4",
    "broken/torchcodec/var_fps_video.mp4",
    "broken/mediabunny/edts.mp4",
    "broken/mediabunny/bad-keyframes.mp4",
    "broken/mediabunny/rotate-buck-bunny.mp4",
    "broken/derived_faces/odd_427x241_vp9.webm",
    "broken/derived_faces/hevc_10bit.mp4",
    "broken/derived_faces/start_at_1000s.mkv",
    "broken/derived_faces/vfr_half_dropped.mp4",
    "broken/derived_faces/display_matrix_90.mp4",
    "broken/derived_faces/mpeg2_interlaced_pal.ts",
    "broken/derived_faces/missing_first_keyframe.ts",
]


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_files_give_the_frames_of_a_decoder_that_reads_everything(
    name: str, shared: Path
) -> None:
    path = shared / name
    index = index_video(path)
    stretches = plan_stretches(index, 2.0)
    wanted = {int(pts) for stretch in stretches for pts in stretch.want_pts}
    with av.open(str(path)) as container:
        film = next(s for s in container.streams.video if s.index == index.facts.stream)
        film.codec_context.thread_count = 1
        witness = {f.pts: frame_rgb(f) for f in container.decode(film) if f.pts in wanted}
    reader = FrameReader(path, index.facts, decoder="auto")
    answer = [frame for stretch in stretches for frame in reader.frames(stretch)]
    assert [frame.pts for frame in answer if frame.pts in wanted] == sorted(witness)
    for frame in answer:
        if frame.pts in witness:
            difference = np.abs(frame.rgb().astype(int) - witness[frame.pts]).mean()
            assert difference < 3, frame


@pytest.mark.parametrize(
    ("width", "height", "decoder"), [(1280, 720, "decord"), (1920, 1080, "pyav")]
)
def test_decord_is_left_to_frames_that_it_can_take_in_one_batch(
    make: Make, width: int, height: int, decoder: str
) -> None:
    path = make("closed_gop").path
    facts = replace(index_video(path).facts, width=width, height=height)
    assert choose_decoder(path, facts, "auto")[0] == decoder
    assert choose_decoder(path, facts, "decord") == ("decord", "the packets prove it safe")


@pytest.mark.parametrize(
    ("sample_fps", "decoder"), [(None, "decord"), (25.0, "decord"), (12.5, "decord"), (5.0, "pyav")]
)
def test_decord_is_left_to_where_at_least_half_of_the_frames_are_wanted(
    make: Make, sample_fps: float | None, decoder: str
) -> None:
    path = make("closed_gop").path
    facts = index_video(path).facts
    reader = FrameReader(path, facts, sample_fps=sample_fps)
    assert reader.decoder == decoder
    if decoder == "pyav":
        assert reader.reason == "decord would decode all frames for 5 a second"
    assert FrameReader(path, facts, decoder="decord", sample_fps=sample_fps).decoder == "decord"
