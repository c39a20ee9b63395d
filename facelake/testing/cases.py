"""The videos that real archives hold and that break readers, made up: `make_case` writes one.

Frame ``i`` of every case is `facelake.testing.footage.numbered_frame` ``i``, and `Case` says when
it must be shown, so a reader's answer can be compared with what was planted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.testing.footage import ToneTrack, numbered_frames, open_muxer, write_video

if TYPE_CHECKING:
    from collections.abc import Callable

FPS = 25
N_FRAMES = 60


@dataclass(frozen=True)
class Case:
    """A made-up video and what a right reader finds in it.

    Attributes
    ----------
    path
        The file.
    times_s
        Presentation time of frame ``i``, in seconds. For a damaged file, of the frames that went
        in. Empty when the file holds no video, or no times.
    width, height
        Size of the upright picture, in pixels.
    n_frames
        Frames that went in.
    """

    path: Path
    times_s: tuple[float, ...]
    width: int
    height: int
    n_frames: int


@dataclass(frozen=True)
class _Recipe:
    """What `write_video` is told for one case."""

    name: str
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    times_s: tuple[float, ...] = tuple(index / FPS for index in range(N_FRAMES))
    size: tuple[int, int] = (160, 128)
    pix_fmt: str = "yuv420p"
    more: dict[str, Any] = field(default_factory=dict)


def _x264(parameters: str) -> dict[str, str]:
    return {"x264-params": parameters}


def _x265(parameters: str) -> dict[str, str]:
    return {"x265-params": f"keyint=12:{parameters}"}


def _uneven_times() -> tuple[float, ...]:
    """Steps of 20, 40, 80 and 200 ms in turn, as a phone or a screen recorder leaves them."""
    steps = np.resize([0.02, 0.04, 0.08, 0.2], N_FRAMES - 1)
    return (0.0, *(float(time) for time in np.round(np.cumsum(steps), 3)))


def _times_with_a_hole() -> tuple[float, ...]:
    """Regular but for five seconds in the middle that were never recorded."""
    half = N_FRAMES // 2
    return tuple(index / FPS + (5.0 if index >= half else 0.0) for index in range(N_FRAMES))


_LATE = tuple(1.7 + index / FPS for index in range(N_FRAMES))
_CLOSED = _x264("open-gop=0:bframes=2:scenecut=0")
_RECIPES = {
    "closed_gop": _Recipe("closed_gop.mp4", options=_CLOSED),
    "open_gop_h264": _Recipe(
        "open_gop_h264.mp4", options=_x264("open-gop=1:bframes=3:b-adapt=0:scenecut=0")
    ),
    # x265 opens its groups of pictures unless told otherwise.
    "open_gop_hevc": _Recipe(
        "open_gop_hevc.mp4", "libx265", _x265("bframes=3:b-adapt=0:scenecut=0")
    ),
    "ten_bit_hevc": _Recipe(
        "ten_bit_hevc.mp4", "libx265", _x265("open-gop=0"), pix_fmt="yuv420p10le"
    ),
    "variable_rate": _Recipe("variable_rate.mp4", options=_CLOSED, times_s=_uneven_times()),
    "hole": _Recipe("hole.mkv", options=_CLOSED, times_s=_times_with_a_hole()),
    "late_start": _Recipe("late_start.mp4", options=_CLOSED, times_s=_LATE),
    "mpegts": _Recipe("mpegts.ts", options=_CLOSED, times_s=_LATE),
    # AVI stores no presentation times: with B frames the demuxer's start one frame late.
    "mpeg4_avi": _Recipe(
        "mpeg4.avi",
        "mpeg4",
        {"bf": "2"},
        times_s=tuple((index + 1) / FPS for index in range(N_FRAMES)),
        more={"times_s": None},
    ),
    "vp9": _Recipe("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "odd_size": _Recipe(
        "odd_size.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, size=(161, 127)
    ),
    "rotated_90": _Recipe("rotated_90.mp4", options=_CLOSED, more={"rotation": 90}),
    "rotated_180": _Recipe("rotated_180.mp4", options=_CLOSED, more={"rotation": 180}),
    "rotated_270": _Recipe("rotated_270.mp4", options=_CLOSED, more={"rotation": -90}),
    "with_sound": _Recipe("with_sound.mp4", options=_CLOSED, more={"tone_hz": 440.0}),
    "second_stream": _Recipe("second_stream.mkv", options=_CLOSED),
    "no_timestamps": _Recipe("no_timestamps.h264", options=_CLOSED, more={"muxer": "h264"}),
}


def _second_stream(folder: Path) -> Path:
    """A black first video stream, the numbered frames in the second."""
    width, height = _RECIPES["second_stream"].size
    black = [np.zeros((height, width, 3), np.uint8)] * N_FRAMES
    numbered = numbered_frames(N_FRAMES, width=width, height=height)
    path = folder / _RECIPES["second_stream"].name
    return write_video(path, black, fps=FPS, options=_CLOSED, second_stream=numbered)


def _truncated(folder: Path) -> Path:
    """An index at the front, and the last 40 % of the file cut off: an interrupted download."""
    whole = write_video(
        folder / "truncated.mp4",
        numbered_frames(N_FRAMES),
        fps=FPS,
        options=_CLOSED,
        muxer_options={"movflags": "faststart"},
    )
    return _rewrite(whole, lambda data: data[: len(data) * 6 // 10])


def _no_index(folder: Path) -> Path:
    """An MP4 whose recorder was switched off before it wrote the index: no reader can open it."""
    whole = write_video(folder / "no_index.mp4", numbered_frames(N_FRAMES), fps=FPS)
    return _rewrite(whole, lambda data: data[: data.index(b"moov") - 4])


def _bit_flips(folder: Path) -> Path:
    """An MPEG transport stream with one bit in 2,000 bytes wrong, but for the first tenth."""
    whole = write_video(folder / "bit_flips.ts", numbered_frames(N_FRAMES), fps=FPS)

    def flip(data: bytes) -> bytes:
        raw = np.frombuffer(data, np.uint8).copy()
        random = np.random.default_rng(7)
        places = random.integers(len(raw) // 10, len(raw), len(raw) // 2000)
        raw[places] ^= (1 << random.integers(0, 8, len(places))).astype(np.uint8)
        return raw.tobytes()

    return _rewrite(whole, flip)


def _empty(folder: Path) -> Path:
    """A file of 0 bytes."""
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


def _text(folder: Path) -> Path:
    """A text file that is called a video."""
    path = folder / "text.mp4"
    path.write_text("This is no video.\n" * 40, encoding="utf-8")
    return path


def _playlist(folder: Path) -> Path:
    """A playlist called a video, that would make a careless reader open the file beside it."""
    other = folder / "closed_gop.mp4"
    if not other.exists():
        make_case("closed_gop", folder)
    path = folder / "playlist.mp4"
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:3", "#EXTINF:2.4,", other.name, "#EXT-X-ENDLIST", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _audio_only(folder: Path) -> Path:
    """Two seconds of sound in an MP4, and no video stream."""
    path = folder / "audio_only.mp4"
    with open_muxer(path) as container:
        tone = ToneTrack(container, hz=440.0, start=Fraction(0))
        tone.write_until(Fraction(2))
        tone.close()
    return path


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


_MAKERS: dict[str, Callable[[Path], Path]] = {
    "second_stream": _second_stream,
    "truncated": _truncated,
    "no_index": _no_index,
    "bit_flips": _bit_flips,
    "empty": _empty,
    "text": _text,
    "playlist": _playlist,
    "audio_only": _audio_only,
}
_NO_VIDEO = ("empty", "text", "playlist", "audio_only")

WHOLE_CASES: tuple[str, ...] = tuple(_RECIPES)
"""Names of the cases every frame of which must be read, right."""

BROKEN_CASES: tuple[str, ...] = tuple(name for name in _MAKERS if name not in _RECIPES)
"""Names of the cases that give some frames, or none, and a reason."""


def make_case(name: str, folder: str | Path) -> Case:
    """Write one case into a folder.

    Parameters
    ----------
    name
        One of `WHOLE_CASES` or `BROKEN_CASES`.
    folder
        Made when it is not there.

    Raises
    ------
    ValueError
        There is no case of that name.
    """
    if name not in WHOLE_CASES + BROKEN_CASES:
        raise ValueError(f"name must be one of {', '.join(WHOLE_CASES + BROKEN_CASES)}; got {name}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = _RECIPES.get(name, _Recipe(name))
    path = _MAKERS[name](folder) if name in _MAKERS else _follow(recipe, folder)
    width, height = recipe.size
    if name in _NO_VIDEO:
        return Case(path, times_s=(), width=0, height=0, n_frames=0)
    times_s = () if name == "no_timestamps" else recipe.times_s
    return Case(path, times_s=times_s, width=width, height=height, n_frames=N_FRAMES)


def _follow(recipe: _Recipe, folder: Path) -> Path:
    width, height = recipe.size
    regular = recipe.times_s == _Recipe("").times_s
    settings = {"times_s": None if regular else recipe.times_s} | recipe.more
    return write_video(
        folder / recipe.name,
        numbered_frames(N_FRAMES, width=width, height=height),
        fps=FPS,
        codec=recipe.codec,
        options=recipe.options,
        pix_fmt=recipe.pix_fmt,
        **settings,
    )
