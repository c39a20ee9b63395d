"""Opening a media file opens that file, whatever it says and whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelake.errors import VideoError
from facelake.media import frame_rgb, iter_packets, open_media, upright
from facelake.testing import cases, footage

SECRET = 4711
"""The number that the frames of the file beside show; no other file's frames do."""

# Texts that make FFmpeg open `secret.mp4` beside them when it may.
TEXTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile secret.mp4\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="0" bandwidth="1"><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
}

# Names that FFmpeg would take for a protocol, a pattern or an option.
ODD_NAMES = [
    "-y.mp4",
    "concat:secret.mp4|secret.mp4",
    "file:secret.mp4",
    "subfile,,start,0,end,0,,:secret.mp4",
    "frame%03d.mp4",
    "quote'\"s.mp4",
    "ünï 日本語 🎬.mp4",
    "a#b?c=d&e;f.mp4",
    "new\nline.mp4",
    " .mp4",
]


def write_numbers(path: Path, *numbers: int) -> Path:
    frames = (footage.numbered_frame(number, 80, 80) for number in numbers)
    return footage.write_video(path, frames)


def shown(path: str | Path) -> list[int]:
    with open_media(path) as container:
        return [footage.read_number(frame_rgb(frame)) for frame in container.decode(video=0)]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `secret.mp4` in it."""
    write_numbers(tmp_path / "secret.mp4", SECRET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", ["b.mp4", "b.m3u8", "b.mkv"])
def test_a_text_that_names_another_file_is_no_video(kind: str, name: str, beside: Path) -> None:
    (beside / name).write_text(TEXTS[kind])
    with pytest.raises(VideoError, match=r"b\.\w+: not a video FFmpeg can open"):
        open_media(beside / name)


@pytest.mark.parametrize(
    "name",
    [
        "concat:secret.mp4|secret.mp4",
        "subfile,,start,0,end,0,,:secret.mp4",
        "file:secret.mp4",
        "file:///{folder}/secret.mp4",
        "crypto:secret.mp4",
        "async:secret.mp4",
        "http://127.0.0.1:9/secret.mp4",
        "pipe:0",
        "/dev/stdin",
        "secret%03d.mp4",
        "no such\0file.mp4",
    ],
)
def test_a_name_that_is_no_file_opens_nothing(name: str, beside: Path) -> None:
    with pytest.raises(VideoError, match="there is no such file"):
        open_media(name.format(folder=beside))


def test_a_folder_and_an_empty_file_are_refused_by_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="there is no such file"):
        open_media(tmp_path)
    with pytest.raises(VideoError, match=r"empty\.mp4: the file is empty \(0 bytes\)"):
        open_media(cases.make_case("empty", tmp_path).path)


@pytest.mark.parametrize("name", ["no_index", "text", "playlist"])
def test_what_is_no_video_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = cases.make_case(name, tmp_path).path
    with pytest.raises(VideoError, match=f"{path.name}: not a video FFmpeg can open"):
        open_media(path)


def test_a_still_picture_is_no_video(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(footage.numbered_frame(3, 80, 80)).save(tmp_path / "still.png")
    with pytest.raises(VideoError):
        open_media(tmp_path / "still.png")


# What is opened ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_of_an_odd_name_is_itself(name: str, beside: Path) -> None:
    try:
        write_numbers(beside / "draft.mp4", 1, 2, 3).rename(beside / name)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    assert shown(name) == [1, 2, 3]
    assert shown(beside / name) == [1, 2, 3]


def test_a_name_that_is_no_unicode_is_opened_too(tmp_path: Path) -> None:
    import os

    name = os.fsdecode(b"latin-1 \xe9t\xe9.mp4")
    try:
        write_numbers(tmp_path / "draft.mp4", 5).rename(tmp_path / name)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    assert shown(tmp_path / name) == [5]


def test_demuxer_options_do_not_loosen_the_white_lists(beside: Path) -> None:
    (beside / "b.m3u8").write_text(TEXTS["hls"])
    with pytest.raises(VideoError):
        open_media(beside / "b.m3u8", options={"allowed_extensions": "ALL"})


# Packets ----------------------------------------------------------------------------------------


class StumblingContainer:
    """PyAV where a stream comes in after the start: an IndexError after the last packet."""

    def __init__(self, packets: list[str]) -> None:
        self._packets = packets

    def demux(self, stream: object) -> Iterator[str]:
        yield from self._packets
        raise IndexError("list index out of range")


def test_a_stream_that_comes_in_late_does_not_end_the_reading_with_an_error() -> None:
    container: Any = StumblingContainer(["one", "two", "flush"])
    packets = iter_packets(container, cast("Any", object()))
    assert cast("list[str]", list(packets)) == ["one", "two", "flush"]


def test_packets_end_with_the_flush(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "a.mp4", *range(7))
    with open_media(path) as container:
        sizes = [packet.size for packet in iter_packets(container, container.streams.video[0])]
    assert len(sizes) == 8
    assert min(sizes[:7]) > 0
    assert sizes[7] == 0


# Upright ----------------------------------------------------------------------------------------

images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))


@given(images, st.integers(-4, 4), st.integers(-2, 2))
def test_quarter_turns_add_up(image: npt.NDArray[np.uint8], one: int, other: int) -> None:
    turned = upright(upright(image, 90 * (one % 4)), 90 * (other % 4))
    np.testing.assert_array_equal(turned, upright(image, 90 * ((one + other) % 4)))
    np.testing.assert_array_equal(upright(image, -90 * (one % 4)), upright(image, 90 * (-one % 4)))


def test_ninety_degrees_turn_the_right_edge_up() -> None:
    image = np.array([[[1, 1, 1], [2, 2, 2]], [[3, 3, 3], [4, 4, 4]]], np.uint8)
    assert upright(image, 90)[:, :, 0].tolist() == [[2, 4], [1, 3]]
    assert upright(image, 90).flags.c_contiguous


@given(images, st.sampled_from([-(2**31), 45, 1, 450, 2**31 - 8]))
def test_a_broken_rotation_leaves_the_picture_alone(
    image: npt.NDArray[np.uint8], rotation: int
) -> None:
    np.testing.assert_array_equal(upright(image, rotation), image)


def test_a_frame_is_rgb_and_not_bgr(tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :, 0] = 220
    path = footage.write_video(tmp_path / "red.mkv", [red], codec="ffv1", pix_fmt="yuv444p")
    with av.open(str(path)) as container:
        image = frame_rgb(next(container.decode(video=0)))
    np.testing.assert_allclose(image[32, 32], [220, 0, 0], atol=3)
