"""Whether pictures may be single fields: what x264 was told, and what comes out of its streams."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.testing import footage
from facelake.video.parameters import allows_fields


def coded(folder: Path, parameters: str, profile: str, suffix: str) -> tuple[bytes, bytes]:
    """The configuration and the first packet of a film by x264."""
    pix_fmt = {"high10": "yuv420p10le", "high444": "yuv444p", "high422": "yuv422p"}
    path = footage.write_video(
        folder / f"film{suffix}",
        footage.numbered_frames(25, width=80, height=80),  # FFmpeg opens no shorter .ts
        options={"x264-params": parameters, "profile": profile},
        pix_fmt=pix_fmt.get(profile, "yuv420p"),
    )
    with av.open(str(path)) as container:
        extradata = container.streams.video[0].codec_context.extradata or b""
        return extradata, bytes(next(container.demux(video=0)))


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize(
    "parameters", ["ref=1", "cqm=jvt:bframes=3", "bframes=0:ref=4", "slices=2"]
)
@pytest.mark.parametrize("profile", ["main", "high", "high10", "high422", "high444"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_an_encoders_parameter_sets_say_whether_it_was_told_to_interlace(
    profile: str, parameters: str, suffix: str, interlaced: bool, tmp_path: Path
) -> None:
    if profile == "main":
        parameters = parameters.replace("cqm=jvt", "cqm=flat")
    extradata, packet = coded(
        tmp_path, f"{parameters}:interlaced={int(interlaced)}", profile, suffix
    )
    assert allows_fields(extradata) is interlaced
    in_band = suffix == ".ts"  # in MP4 the sets lie in the header alone
    assert allows_fields(extradata, packet) is (interlaced and in_band)


def test_baseline_has_frames_only(tmp_path: Path) -> None:
    extradata, _ = coded(tmp_path, "bframes=0:cabac=0:8x8dct=0", "baseline", ".mp4")
    assert not allows_fields(extradata)


def test_a_set_that_ends_too_soon_may_say_anything() -> None:
    assert allows_fields(b"\0\0\0\1\x67\x64\0")
    assert not allows_fields(b"")


@given(st.binary(max_size=60), st.binary(max_size=100))
def test_no_bytes_make_it_stumble(extradata: bytes, packet: bytes) -> None:
    assert allows_fields(extradata) in (True, False)
    assert allows_fields(b"\1" + extradata, b"\0\0\1\x67" + packet) in (True, False)
