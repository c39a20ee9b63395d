"""What to look at: which instants of a video, and in which stretches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from facelake.media import NO_SEEK_FORMATS
from facelake.schema import Stretch, VideoIndex

# A task of a few seconds on one core: long enough to hide Dask's millisecond, short enough to
# share a short video among workers and to lose little when a worker dies.
SAMPLES_PER_STRETCH = 64
# Inside a group of pictures a stretch has to decode what lies before it again, so long groups
# are not cut.
_LONGEST_CUT_GOP = 600


def plan_stretches(index: VideoIndex, sample_fps: float | None) -> list[Stretch]:
    """The stretches of a video, in order, that together look at it at ``sample_fps``.

    The sampling grid starts at the video's first frame: of each ``1 / sample_fps`` seconds the
    first frame is looked at. ``None`` looks at every frame. Stretches are cut at key frames, and
    within groups of pictures where decoding the part before again is cheap. A program stream is one
    stretch.

    A video without times is one stretch, sampled while it is decoded.
    """
    if not index.facts.n_frames:
        none = np.empty(0, np.int64)
        return [Stretch(0, 2**62, None, none, none, np.empty(0), sample_fps)]
    want = sample_positions(index.pts, float(index.facts.time_base), sample_fps)
    edges = [*_cut_points(index, want).tolist(), index.facts.end_pts]
    stretches: list[Stretch] = []
    for start, end in pairwise(edges):
        inside = want[(index.pts[want] >= start) & (index.pts[want] < end)]
        if not len(inside):
            continue
        pts = index.pts[inside]
        key = int(np.searchsorted(index.key_pts, pts[0], side="right")) - 1
        stretches.append(
            Stretch(
                number=len(stretches),
                end_pts=end,
                seek_pts=int(index.key_pts[key]) if key > 0 else None,
                want_pts=pts,
                want_index=inside,
                want_shown_s=shown_seconds(index, inside),
                sample_fps=sample_fps,
            )
        )
    return stretches


def sample_positions(
    pts: npt.NDArray[np.int64], time_base: float, sample_fps: float | None
) -> npt.NDArray[np.int64]:
    """Positions among ``pts`` of the frames to look at, increasing.

    Examples
    --------
    >>> sample_positions(np.arange(0, 50), 1 / 25, 5.0)[:4]
    array([ 0,  5, 10, 15])
    """
    if sample_fps is None:
        return np.arange(len(pts), dtype=np.int64)
    # A frame a rounding error before its slot belongs to the slot.
    slot = np.floor((pts - pts[0]) * (time_base * sample_fps) + 1e-6)
    return np.flatnonzero(np.diff(slot, prepend=-1.0) > 0).astype(np.int64)


def shown_seconds(index: VideoIndex, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """How long each of the frames at these positions stays on screen, in seconds."""
    until = np.append(index.pts[1:], index.facts.end_pts)[positions]
    return np.asarray((until - index.pts[positions]) * float(index.facts.time_base), np.float64)


def _cut_points(index: VideoIndex, want: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Start pts of each stretch."""
    if index.facts.container in NO_SEEK_FORMATS:
        return index.pts[:1]
    keys = np.searchsorted(index.pts, index.key_pts)
    starts = np.unique(np.concatenate([[0], keys])).astype(np.int64)
    ends = np.append(starts[1:], len(index.pts))
    n_before = np.searchsorted(want, starts)  # wanted frames before each group of pictures
    n_inside = np.searchsorted(want, ends) - n_before
    cuts = [0]
    filled = 0
    for start, end, before, inside in zip(starts, ends, n_before, n_inside, strict=True):
        if filled and filled + inside > SAMPLES_PER_STRETCH:
            cuts.append(int(start))
            filled = 0
        filled += int(inside)
        if filled >= 2 * SAMPLES_PER_STRETCH and end - start <= _LONGEST_CUT_GOP:
            pieces = filled // SAMPLES_PER_STRETCH
            inner = want[before : before + inside]
            cuts.extend(int(piece[0]) for piece in np.array_split(inner, pieces)[1:])
            filled = len(np.array_split(inner, pieces)[-1])
    return index.pts[np.unique(cuts)]
