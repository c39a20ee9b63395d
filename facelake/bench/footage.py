"""Which videos a benchmark is about, and which of their frames to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelake.errors import SourceError, VideoError


@dataclass(frozen=True)
class Film:
    """A video and the frames of it to look at.

    Attributes
    ----------
    path
        Absolute.
    stream
        Number of the video stream in its container.
    duration_s
        Length of the footage, in seconds.
    n_frames
        Frames it holds.
    frame_s
        How long one of them is usually shown, in seconds.
    pts
        Presentation times of the frames to look at, in units of the stream, increasing.
    """

    path: str
    stream: int
    duration_s: float
    n_frames: int
    frame_s: float
    pts: list[int]


@dataclass(frozen=True)
class Footage:
    """The videos of some sources, each content once.

    Attributes
    ----------
    films
        What both sides look at.
    left_out
        Path → why neither side looks at it.
    sample_fps
        Frames looked at a second, at most; ``None`` is every frame.
    """

    films: tuple[Film, ...]
    left_out: dict[str, str]
    sample_fps: float | None = None

    @property
    def n_frames(self) -> int:
        """Frames to look at."""
        return sum(len(film.pts) for film in self.films)

    @property
    def n_source_frames(self) -> int:
        """Frames that the videos hold."""
        return sum(film.n_frames for film in self.films)

    @property
    def duration_s(self) -> float:
        """Length of the footage, in seconds."""
        return sum(film.duration_s for film in self.films)


def plan_footage(sources: Iterable[str | Path], sample_fps: float | None) -> Footage:
    """The videos of files, folders and globs, with the frames that facelake's sampling starts from.

    Frames that facelake looks at later, where it doubts, are not among them.

    Left out are files that cannot be read, copies of others (facelake would look at them once)
    and files without times, where a frame of one side cannot be told to be the other's.

    Raises
    ------
    SourceError
        Nothing is left.
    """
    from facelake.video import find_videos, identify

    films: list[Film] = []
    left_out: dict[str, str] = {}
    first_with: dict[str, Path] = {}
    for path in find_videos(sources).paths:
        try:
            first = first_with.setdefault(identify(path), path)
            if first != path:
                left_out[str(path)] = f"the same bytes as {first}"
                continue
            films.append(_plan_film(path, sample_fps))
        except VideoError as error:
            left_out[str(path)] = str(error).removeprefix(f"{path}: ")
    if not films:
        path_, reason = next(iter(left_out.items()))
        raise SourceError(
            f"{path_}: a benchmark needs a video whose frames have times, but {reason}; "
            "name other videos"
        )
    return Footage(tuple(films), left_out, sample_fps)


def _plan_film(path: Path, sample_fps: float | None) -> Film:
    from facelake.video import index_video, plan_stretches

    index = index_video(path)
    facts = index.facts
    if not facts.n_frames:
        raise VideoError(f"{path}: its frames carry no times")
    stretches = plan_stretches(index, sample_fps)
    shown_s = np.diff(index.pts, append=facts.end_pts) * float(facts.time_base)
    return Film(
        path=str(path),
        stream=facts.stream,
        duration_s=facts.duration_s,
        n_frames=len(index.pts),
        frame_s=float(np.median(shown_s)),
        pts=[int(pts) for stretch in stretches for pts in stretch.want_pts],
    )
