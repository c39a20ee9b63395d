"""What to look at: which instants of a video, and in which stretches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facelake.media import NO_SEEK_FORMATS
from facelake.schema import Stretch, VideoIndex

# A task of a few seconds on one core: long enough to hide Dask's millisecond, short enough to
# share a short video among workers and to lose little when a worker dies.
SAMPLES_PER_STRETCH = 64
_FEWEST_SAMPLES = 16
_FEWEST_STRETCHES = 4
# Inside a group of pictures a stretch has to decode what lies before it again, so long groups
# are not cut.
_LONGEST_CUT_GOP = 600


def plan_stretches(
    index: VideoIndex, sample_fps: float | None, *, refine: bool = False
) -> list[Stretch]:
    """The stretches of a video, in order, that together look at it at ``sample_fps``.

    The sampling grid starts at the video's first frame: of each ``1 / sample_fps`` seconds the
    first frame is looked at that others refer to, because it is decoded anyway; where none is, or
    the packets do not tell, the first of all. ``None`` looks at every frame. Stretches are cut at
    key frames, and within groups of pictures where decoding the part before again is cheap. A
    program stream is one stretch.

    A video without times is one stretch, sampled while it is decoded.

    Parameters
    ----------
    sample_fps
        As in `IngestSettings`.
    refine
        The samples will be bisected: the last frame of the video is looked at too, and each
        stretch but the last peeks at the first sample of the next.
    """
    if not index.facts.n_frames:
        none = np.empty(0, np.int64)
        return [
            Stretch(
                number=0, end_pts=2**62, seek_pts=None, key_pts=none, want_pts=none,
                want_index=none, peek_pts=None, frame_pts=none, frame_shown_s=np.empty(0),
                can_skip=False, sample_fps=sample_fps,
            )
        ]  # fmt: skip
    want = sample_positions(
        index.pts, float(index.facts.time_base), sample_fps, is_cheap=index.is_cheap
    )
    if refine and want[-1] < len(index.pts) - 1:
        want = np.append(want, len(index.pts) - 1)
    starts = _cut_points(index, want)
    ends = np.append(starts[1:], index.facts.end_pts)
    parts = np.split(want, np.searchsorted(index.pts[want], starts[1:]))
    runs = [(part, int(end)) for part, end in zip(parts, ends, strict=True) if len(part)]
    stretches = []
    for number, (inside, end_pts) in enumerate(runs):
        peek = int(runs[number + 1][0][0]) if refine and number + 1 < len(runs) else None
        stretches.append(_stretch(index, number, inside, end_pts, peek, sample_fps))
    return stretches


def _stretch(
    index: VideoIndex,
    number: int,
    inside: npt.NDArray[np.int64],
    end_pts: int,
    peek: int | None,
    sample_fps: float | None,
) -> Stretch:
    """The stretch of the wanted positions ``inside``, with the position ``peek`` after them."""
    end = int(np.searchsorted(index.pts, end_pts)) if peek is None else peek + 1
    frames = np.arange(inside[0], end, dtype=np.int64)
    first_pts, last_pts = index.pts[[inside[0], end - 1]]
    keys = index.key_pts
    before = int(np.searchsorted(keys, first_pts, side="right"))
    is_seekable = index.facts.container not in NO_SEEK_FORMATS
    return Stretch(
        number=number,
        end_pts=end_pts,
        seek_pts=int(keys[before - 1]) if before > 1 and is_seekable else None,
        key_pts=keys[before : np.searchsorted(keys, last_pts, side="right") if is_seekable else 0],
        want_pts=index.pts[inside],
        want_index=inside,
        peek_pts=None if peek is None else int(index.pts[peek]),
        frame_pts=index.pts[frames],
        frame_shown_s=shown_seconds(index, frames),
        can_skip=bool(index.is_cheap.any()),
        sample_fps=sample_fps,
    )


def sample_positions(
    pts: npt.NDArray[np.int64],
    time_base: float,
    sample_fps: float | None,
    *,
    is_cheap: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """Positions among ``pts`` of the frames to look at, increasing.

    Examples
    --------
    >>> sample_positions(np.arange(0, 50), 1 / 25, 5.0)[:4]
    array([ 0,  5, 10, 15])
    >>> sample_positions(np.arange(0, 50), 1 / 25, 5.0, is_cheap=np.arange(50) % 3 == 0)[:4]
    array([ 0,  6, 12, 15])
    """
    if sample_fps is None:
        return np.arange(len(pts), dtype=np.int64)
    # A frame a rounding error before its slot belongs to the slot.
    slot = np.floor((pts - pts[0]) * (time_base * sample_fps) + 1e-6)
    firsts = np.flatnonzero(np.diff(slot, prepend=-1.0) > 0).astype(np.int64)
    if is_cheap is None:
        return firsts
    ends = np.append(firsts[1:], len(pts))
    cheap = np.append(np.flatnonzero(is_cheap), len(pts)).astype(np.int64)
    next_cheap = cheap[np.searchsorted(cheap, firsts)]
    return np.where(next_cheap < ends, next_cheap, firsts)


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
    longest = _samples_per_stretch(len(want))
    cuts = [0]
    filled = 0
    for start, end, before, inside in zip(starts, ends, n_before, n_inside, strict=True):
        if filled and filled + inside > longest:
            cuts.append(int(start))
            filled = 0
        filled += int(inside)
        if filled >= 2 * longest and end - start <= _LONGEST_CUT_GOP:
            pieces = filled // longest
            inner = want[before : before + inside]
            cuts.extend(int(piece[0]) for piece in np.array_split(inner, pieces)[1:])
            filled = len(np.array_split(inner, pieces)[-1])
    return index.pts[np.unique(cuts)]


def _samples_per_stretch(n_samples: int) -> int:
    """How many samples a stretch shall have: fewer in a short video, which is shared too."""
    return min(SAMPLES_PER_STRETCH, max(_FEWEST_SAMPLES, -(-n_samples // _FEWEST_STRETCHES)))
