"""A video's index says of times, key frames and decord's safety what FFmpeg and the truth say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from facelake.errors import VideoError
from facelake.testing import cases, footage
from facelake.testing.cases import Case
from facelake.video import identify, index_video

Make = Callable[[str], Case]

# Of each the reason against decord, or none.
DOUBTS = {
    "closed_gop": "",
    "open_gop_h264": "open GOP",
    "open_gop_hevc": "open GOP",
    "ten_bit_hevc": "",
    "variable_rate": "",
    "hole": "",
    "late_start": "",
    "mpegts": "container mpegts",
    "mpeg4_avi": "container avi, codec mpeg4",
    "vp9": "",
    "odd_size": "",
    "rotated_90": "",
    "rotated_180": "",
    "rotated_270": "",
    "with_sound": "",
    "second_stream": "several video streams",
    "no_timestamps": "container h264, unknown duration, packets without a time",
    "truncated": "60 frames promised",
    "bit_flips": "container mpegts",
}
UNTIMED = ("mpeg4_avi", "no_timestamps")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("cases")
    made: dict[str, Case] = {}

    def case(name: str) -> Case:
        if name not in made:
            made[name] = cases.make_case(name, folder)
        return made[name]

    return case


def decoded(path: Path) -> list[tuple[int, bool]]:
    """Each frame's pts and whether it is a key frame, by PyAV from the start with one thread."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = list(container.decode(video=0))
    return [(frame.pts, frame.key_frame) for frame in frames if frame.pts is not None]


# Times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in cases.WHOLE_CASES if n not in UNTIMED])
def test_the_packets_tell_when_each_frame_is_shown(name: str, make: Make) -> None:
    case = make(name)
    index = index_video(case.path)
    facts = index.facts
    assert facts.n_frames == case.n_frames == len(index.pts)
    np.testing.assert_allclose(index.pts * float(facts.time_base), case.times_s, atol=1e-9)
    assert facts.start_s == pytest.approx(case.times_s[0])
    assert (facts.n_missing, facts.n_bad_packets, facts.assumed_fps) == (0, 0, None)
    assert case.times_s[-1] < facts.start_s + facts.duration_s <= case.times_s[-1] + 0.2001


@pytest.mark.parametrize("name", [n for n in cases.WHOLE_CASES if n not in UNTIMED])
def test_times_and_key_frames_are_those_of_a_decoder_that_reads_everything(
    name: str, make: Make
) -> None:
    index = index_video(make(name).path)
    frames = decoded(make(name).path)
    assert index.pts.tolist() == [pts for pts, _ in frames]
    # With x264's open GOPs the decoder calls only IDR pictures and recovery points key frames.
    assert set(index.key_pts.tolist()) == {pts for pts, is_key in frames if is_key}


@pytest.mark.parametrize("name", ["closed_gop", "late_start", "mpegts", "rotated_90"])
def test_60_frames_at_25_a_second_last_2_4_seconds(name: str, make: Make) -> None:
    assert index_video(make(name).path).facts.duration_s == pytest.approx(2.4)


@pytest.mark.parametrize("name", UNTIMED)
def test_a_file_without_presentation_times_is_to_be_counted_through(name: str, make: Make) -> None:
    index = index_video(make(name).path)
    assert (index.facts.n_frames, len(index.pts), len(index.key_pts)) == (0, 0, 0)
    assert index.facts.assumed_fps == 25.0


def test_frames_before_zero_are_cut_away_by_an_edit_list(tmp_path: Path) -> None:
    times = [-0.4 + number / 25 for number in range(30)]
    path = footage.write_video(tmp_path / "cut.mp4", footage.numbered_frames(30), times_s=times)
    facts = index_video(path).facts
    assert (facts.n_frames, facts.n_missing, facts.start_s) == (20, 0, 0.0)
    assert "an edit list hides frames" in facts.decord_doubt


# Pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases.WHOLE_CASES)
def test_width_and_height_are_those_of_the_upright_picture(name: str, make: Make) -> None:
    facts = index_video(make(name).path).facts
    assert (facts.width, facts.height) == (make(name).width, make(name).height)


@pytest.mark.parametrize(
    ("name", "turn"), [("closed_gop", 0), ("rotated_90", 90), ("rotated_180", 180)]
)
def test_the_turn_that_makes_it_upright_is_told(name: str, turn: int, make: Make) -> None:
    assert index_video(make(name).path).facts.rotation % 360 == turn


def test_codec_container_and_pixel_format_are_ffmpegs_names(make: Make) -> None:
    facts = index_video(make("ten_bit_hevc").path).facts
    assert (facts.codec, facts.pixel_format) == ("hevc", "yuv420p10le")
    assert facts.container.startswith("mov,mp4")
    assert index_video(make("vp9").path).facts.codec == "vp9"


def test_the_larger_of_two_pictures_is_the_film(tmp_path: Path) -> None:
    small = [np.zeros((64, 64, 3), np.uint8)] * 10
    large = footage.numbered_frames(10)
    path = footage.write_video(tmp_path / "two.mkv", small, second_stream=large)
    facts = index_video(path).facts
    assert (facts.stream, facts.width, facts.height) == (1, 160, 128)


def test_of_two_pictures_of_one_size_the_first_is_the_film(make: Make) -> None:
    assert index_video(make("second_stream").path).facts.stream == 0


# May decord be used? ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOUBTS)
def test_decord_is_doubted_exactly_where_it_was_seen_to_be_wrong(name: str, make: Make) -> None:
    pytest.importorskip("decord")
    doubt = index_video(make(name).path).facts.decord_doubt
    assert doubt == DOUBTS[name] if not DOUBTS[name] else DOUBTS[name] in doubt


def test_every_case_is_judged() -> None:
    no_video = {"empty", "text", "playlist", "audio_only", "no_index"}
    assert set(DOUBTS) == set(cases.WHOLE_CASES + cases.BROKEN_CASES) - no_video


def test_a_closed_group_of_a_codec_that_was_not_compared_is_doubted(tmp_path: Path) -> None:
    path = footage.write_video(tmp_path / "a.mkv", footage.numbered_frames(5), codec="ffv1")
    assert index_video(path).facts.decord_doubt == "codec ffv1"


def test_frames_that_are_flagged_as_key_frames_and_are_none_make_decord_unsafe(
    tmp_path: Path, make: Make
) -> None:
    # Without its table of key frames ('stss') an MP4 says that each frame is one.
    data = make("closed_gop").path.read_bytes()
    assert data.count(b"stss") == 1
    path = tmp_path / "flagged.mp4"
    path.write_bytes(data.replace(b"stss", b"free"))
    assert "seek table names other key frames" in index_video(path).facts.decord_doubt


def test_a_missing_decord_is_the_doubt_where_there_is_no_other(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facelake.video.index.find_spec", lambda name: None)
    facts = index_video(make("closed_gop").path).facts
    assert facts.decord_doubt == "decord is not installed"


# Damage -----------------------------------------------------------------------------------------


def test_what_an_interrupted_download_lacks_is_counted(make: Make) -> None:
    facts = index_video(make("truncated").path).facts
    assert 10 < facts.n_frames < 60
    assert facts.n_frames + facts.n_missing == 60
    assert facts.n_bad_packets == 1  # the one that was cut in two


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_index", "not a video FFmpeg can open"),
        ("empty", r"the file is empty \(0 bytes\)"),
        ("text", "not a video FFmpeg can open"),
        ("playlist", "not a video FFmpeg can open"),
        ("audio_only", "holds no video stream, only audio"),
    ],
)
def test_what_is_no_video_says_why_and_which_file(name: str, reason: str, make: Make) -> None:
    path = make(name).path
    with pytest.raises(VideoError, match=f"{path.name}: {reason}"):
        index_video(path)


def test_a_header_without_a_single_packet_is_no_video(tmp_path: Path, make: Make) -> None:
    data = make("truncated").path.read_bytes()
    path = tmp_path / "header.mp4"
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(VideoError, match=r"holds no packet, though its header promises 60"):
        index_video(path)


def test_a_file_whose_first_packets_do_not_decode_is_indexed_all_the_same(
    tmp_path: Path, make: Make
) -> None:
    data = bytearray(make("vp9").path.read_bytes())
    with av.open(str(make("vp9").path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    at = data.index(bytes(packets[0]))
    data[at : at + packets[0].size] = b"\xff" * packets[0].size
    path = tmp_path / "hurt.webm"
    path.write_bytes(data)
    index = index_video(path)
    assert (index.facts.n_frames, index.facts.width, index.facts.height) == (60, 160, 128)


# Identity ---------------------------------------------------------------------------------------


def test_the_content_id_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB: three blocks
    (tmp_path / "a.mp4").write_bytes(data)
    calls: list[None] = []
    found = identify(tmp_path / "a.mp4", lambda: calls.append(None))
    assert found == hashlib.sha256(data).hexdigest()
    assert len(calls) == 3


@pytest.mark.parametrize(("name", "reason"), [("gone.mp4", "No such file"), (".", "directory")])
def test_a_file_that_cannot_be_read_has_no_content_id(
    name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match=f"cannot be read .*{reason}"):
        identify(tmp_path / name)


def test_a_watchdog_hears_of_every_packet(make: Make) -> None:
    calls: list[None] = []
    index_video(make("closed_gop").path, lambda: calls.append(None))
    assert len(calls) == 60


# Real files -------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("mediabunny/bad-keyframes.mp4", "seek table names other key frames"),
        ("mediabunny/avi_hevc-aac.avi", "container avi"),
        ("derived_faces/resolution_change.ts", "container mpegts"),
        ("derived_faces/av1.mkv", "codec av1"),
        ("derived_faces/missing_first_keyframe.ts", "container mpegts"),
        ("derived_faces/trunc_faststart_60pct.mp4", "frames promised"),
        ("torchcodec/h265_video.mp4", ""),
    ],
)
def test_real_files_are_doubted_for_their_own_reason(name: str, doubt: str, shared: Path) -> None:
    assert doubt in index_video(shared / "broken" / name).facts.decord_doubt


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("derived_faces/audio_with_cover.m4a", "cover picture but no film"),
        ("derived_faces/zero_length.mp4", "empty"),
        ("derived_faces/text_named.mp4", "not a video"),
        ("derived_faces/trunc_no_moov.mp4", "not a video"),
        ("derived_faces/random_bytes.mkv", "not a video"),
        ("audio_only/friends_out05.mp4", "no video stream, only audio"),
        ("images/32bit.png", "not a video"),
    ],
)
def test_real_files_that_are_no_video_are_refused_in_words(
    name: str, reason: str, shared: Path
) -> None:
    with pytest.raises(VideoError, match=reason):
        index_video(shared / "broken" / name)


@pytest.mark.shared
def test_real_clips_start_when_they_start(shared: Path) -> None:
    poker = index_video(shared / "videos/friends_poker/friends_poker.mp4").facts
    hamilton = index_video(shared / "videos/hamilton/short_hamilton_clip.mp4").facts
    late = index_video(shared / "broken/derived_faces/start_at_1000s.mkv").facts
    assert poker.start_s == pytest.approx(1.704, abs=1e-3)
    assert hamilton.start_s == pytest.approx(0.852, abs=1e-3)
    assert late.start_s == pytest.approx(1000, abs=1)
