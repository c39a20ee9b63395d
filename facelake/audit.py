"""The recall audit's statistics: which instants to look at again, and what they say of all time.

An archive's time falls into three strata: unexamined, examined and empty, examined and with faces.
Instants are drawn at random in each, spread evenly over the videos, and every one stands for its
stratum's seconds divided by the number drawn there (Horvitz and Thompson 1952). The share of faces
that was missed is then a ratio of two such totals, with the variance of a stratified sample of
instants, because the faces of one instant are missed together (Cochran 1977, chapters 5A and 6).
Its interval is Wilson's with the effective number of faces (Korn and Graubard 1998; Franco et al.
2019): it holds for rare misses too, where a bootstrap would say that there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from facelake.proportions import wilson
from facelake.schema import AUDIT_SUMMARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

UNEXAMINED, EMPTY, WITH_FACES = "unexamined", "empty", "with faces"
STRATA = (UNEXAMINED, EMPTY, WITH_FACES)
"""Kinds of time, in the order of every array below that has a row for each."""

FEWEST_INSTANTS = 20
"""With fewer, a stratum may get a single instant, which has no variance."""

MISSED, EMPTY_INDEED = "faces missed", "empty instants without a face"
"""What a row of the summary counts."""

_SIZE_EDGES_PX = (0.0, 16.0, 32.0, 64.0, 112.0, np.inf)


# Which instants ---------------------------------------------------------------------------------


def split_time(
    time_s: npt.ArrayLike,
    shown_s: npt.ArrayLike,
    n_faces: npt.ArrayLike,
    *,
    start_s: float,
    end_s: float,
) -> list[Floats]:
    """The time of one video by stratum, as intervals.

    Parameters
    ----------
    time_s, shown_s
        Examined instants, strictly increasing, and how long each frame stays on screen, in seconds,
        shape ``(n,)``. A frame ends at the latest at the next instant.
    n_faces
        Faces found at each.
    start_s, end_s
        Where the video starts and ends.

    Returns
    -------
    list of ndarray
        For each of `STRATA` half-open intervals, shape ``(m, 2)``, in order of time; together they
        are ``[start_s, end_s)``, and none is empty.

    Examples
    --------
    >>> parts = split_time([0.0, 1.0], [0.5, 0.5], [0, 2], start_s=0.0, end_s=2.0)
    >>> [part.tolist() for part in parts]
    [[[0.5, 1.0], [1.5, 2.0]], [[0.0, 0.5]], [[1.0, 1.5]]]
    """
    begin = np.clip(np.asarray(time_s, np.float64), start_s, end_s)
    until = np.minimum(begin + np.asarray(shown_s, np.float64), np.append(begin[1:], end_s))
    between = np.stack([np.append(start_s, until), np.append(begin, end_s)], axis=1)
    looked = np.stack([begin, until], axis=1)
    is_empty = np.asarray(n_faces) == 0
    return [
        part[part[:, 1] > part[:, 0]] for part in (between, looked[is_empty], looked[~is_empty])
    ]


def allot_instants(seconds: npt.ArrayLike, n: int) -> Integers:
    """How many of ``n`` instants each stratum gets: half in equal parts, half by its seconds.

    By seconds alone a short stratum would get none; in equal parts alone the long one would be
    known badly. A stratum without time gets none.

    Raises
    ------
    ValueError
        ``n`` is below `FEWEST_INSTANTS`, or there is no time.

    Examples
    --------
    >>> allot_instants([800.0, 150.0, 50.0], 600)  # 100 each, and 240, 45 and 15 by seconds
    array([340, 145, 115])
    """
    time = np.asarray(seconds, np.float64)
    if n < FEWEST_INSTANTS:
        raise ValueError(f"n must be at least {FEWEST_INSTANTS} instants, but is {n}")
    if not time.sum() > 0:
        raise ValueError("there must be time to draw instants from, but there is none")
    wanted = n * ((time > 0) / np.count_nonzero(time) + time / time.sum()) / 2
    count: Integers = np.floor(wanted).astype(np.int64)
    largest_rest = np.argsort(count - wanted, kind="stable")[: n - count.sum()]
    count[largest_rest] += 1
    return count


def draw_instants(
    seconds: npt.ArrayLike, n: int, random: np.random.Generator
) -> tuple[Integers, Floats]:
    """Random instants, spread evenly over videos laid end to end: one in each ``n``-th of the time.

    Every instant is as likely as every other, and a video gets as many as its share of the time.

    Parameters
    ----------
    seconds
        Of each video's part of a stratum, shape ``(n_videos,)``, 0 or more.

    Returns
    -------
    video, offset_s
        Rows of ``seconds``, and seconds from the start of that video's part; shape ``(n,)``, in
        order. Both are empty where there is no time.

    Examples
    --------
    >>> video, offset_s = draw_instants([6.0, 0.0, 2.0], 4, np.random.default_rng(0))
    >>> video, offset_s.round(1)
    (array([0, 0, 0, 2]), array([1.3, 2.5, 4.1, 0. ]))
    """
    ends = np.cumsum(np.asarray(seconds, np.float64))
    if not len(ends) or not ends[-1] > 0:
        return np.empty(0, np.int64), np.empty(0)
    at = (np.arange(n) + random.random(n)) * (ends[-1] / max(1, n))
    video = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
    return video.astype(np.int64), at - np.append(0.0, ends)[video]


def at_offset(intervals: Floats, offset_s: npt.ArrayLike) -> Floats:
    """The instants that lie so many seconds into intervals laid end to end.

    Examples
    --------
    >>> at_offset(np.array([[0.5, 1.0], [1.5, 2.0]]), [0.1, 0.7])
    array([0.6, 1.7])
    """
    offset = np.asarray(offset_s, np.float64)
    length = intervals[:, 1] - intervals[:, 0]
    ends = np.cumsum(length)
    row = np.minimum(np.searchsorted(ends, offset, side="right"), len(ends) - 1)
    time_s: Floats = intervals[row, 0] + np.minimum(offset - (ends - length)[row], length[row])
    return time_s


# What the lake has there ------------------------------------------------------------------------


def boxes_between(
    track_id: npt.ArrayLike, time_s: npt.ArrayLike, boxes: npt.ArrayLike, at_s: float
) -> tuple[Integers, Floats]:
    """Where each track that spans an instant is at it, between its faces before and after.

    Parameters
    ----------
    track_id, time_s, boxes
        Of the faces of one video that have a track: shapes ``(n,)``, ``(n,)`` and ``(n, 4)``.

    Returns
    -------
    track, box
        Shapes ``(m,)`` and ``(m, 4)``; boxes are interpolated linearly.

    Examples
    --------
    >>> boxes_between([7, 7], [0.0, 1.0], [[0, 0, 10, 10], [8, 0, 18, 10]], 0.25)[1]
    array([[ 2.,  0., 12., 10.]])
    """
    track, time = np.asarray(track_id, np.int64), np.asarray(time_s, np.float64)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    spanning = np.intersect1d(track[time <= at_s], track[time >= at_s])
    found = np.empty((len(spanning), 4))
    for number, each in enumerate(spanning):
        rows = np.flatnonzero(track == each)
        rows = rows[np.argsort(time[rows], kind="stable")]
        found[number] = [np.interp(at_s, time[rows], corners[rows, side]) for side in range(4)]
    return spanning, found


# What they say ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """A share with its interval.

    Attributes
    ----------
    n_instants
        Instants that it was reckoned from.
    n_total, n_counted
        Faces (or instants) in all, and those that the share is of; plain counts, not weighted.
    share, low, high
        Of the archive's time, and the ends of its interval, in [0, 1]; NaN where there was none to
        count.
    """

    n_instants: int
    n_total: int
    n_counted: int
    share: float
    low: float
    high: float


def estimate_share(
    n_total: npt.ArrayLike,
    n_counted: npt.ArrayLike,
    stratum: npt.ArrayLike,
    seconds: npt.ArrayLike,
    *,
    level: float = 0.95,
) -> Share:
    """What share of the faces of an archive's time is counted, from instants drawn in strata.

    Parameters
    ----------
    n_total, n_counted
        Faces seen at each instant, and those of them that count (as missed, say), shape ``(n,)``.
    stratum
        Row of ``seconds`` that each instant was drawn from, shape ``(n,)``.
    seconds
        Time of each stratum; one from which no instant was drawn says nothing and is left out.
    level
        Of the interval, in (0, 1).

    Examples
    --------
    >>> found = estimate_share([2, 0, 1, 1], [1, 0, 0, 1], [0, 0, 1, 1], [30.0, 10.0])
    >>> found.n_counted, round(found.share, 3)  # (30/2 · 1 + 10/2 · 1) / (30/2 · 2 + 10/2 · 2)
    (2, 0.5)
    """
    total, counted = np.asarray(n_total, np.float64), np.asarray(n_counted, np.float64)
    group, time = np.asarray(stratum, np.int64), np.asarray(seconds, np.float64)
    drawn = np.bincount(group, minlength=len(time))
    weight = (time / np.maximum(drawn, 1))[group]
    all_s = float(weight @ total)
    share, low, high = float("nan"), float("nan"), float("nan")
    if all_s > 0:
        share = float(weight @ counted) / all_s
        residual = weight * (counted - share * total) / all_s
        variance = _stratified_variance(residual, group, drawn)
        n_effective = _effective_number(share, variance, weight * total, total.sum())
        low, high = map(float, wilson(share, n_effective, confidence=level))
    return Share(len(total), int(total.sum()), int(counted.sum()), share, low, high)


def _stratified_variance(residual: Floats, group: Integers, drawn: Integers) -> float:
    """Variance of the sum of residuals of a stratified sample with replacement."""
    mean = np.bincount(group, residual, len(drawn)) / np.maximum(drawn, 1)
    squares = np.bincount(group, (residual - mean[group]) ** 2, len(drawn))
    return float((squares * drawn / np.maximum(drawn - 1, 1)).sum())


def _effective_number(share: float, variance: float, weighted: Floats, n_faces: float) -> float:
    """Faces of a simple random sample that would know the share as well; never more than seen."""
    if 0.0 < share < 1.0 and variance > 0.0:
        return float(min(share * (1.0 - share) / variance, n_faces))
    # None or all of them: as if the faces of one instant were one face (Kish 1965).
    return float(weighted.sum() ** 2 / (weighted**2).sum())


# In a table -------------------------------------------------------------------------------------


def summarise_audit(
    faces: pa.Table, instants: pa.Table, seconds: npt.ArrayLike, *, level: float = 0.95
) -> pa.Table:
    """What an audit says, by stratum and size of face: rows of `schema.AUDIT_SUMMARY`.

    Parameters
    ----------
    faces
        Rows of `schema.AUDIT_FACES`.
    instants
        Rows of `schema.AUDIT_INSTANTS`; those that could not be decoded say nothing.
    seconds
        Time of each of `STRATA`.
    level
        Of the intervals, in (0, 1).
    """
    seen = instants.filter(pa.array(instants["status"].to_numpy() == "ok"))
    stratum = _codes(seen["stratum"])
    row_of = {draw: row for row, draw in enumerate(seen["draw"].to_pylist())}
    at = np.array([row_of[draw] for draw in faces["draw"].to_pylist()], np.int64)
    missed = ~faces["found"].to_numpy(zero_copy_only=False).astype(bool)
    rows = []
    for what, where, keep, inside in _cuts(faces, stratum):
        total = np.bincount(at[keep], minlength=len(seen))[inside]
        counted = np.bincount(at[keep & missed], minlength=len(seen))[inside]
        if what == EMPTY_INDEED:
            total, counted = np.ones(inside.sum()), (total == 0).astype(np.float64)
        found = estimate_share(total, counted, stratum[inside], seconds, level=level)
        rows.append({"what": what, "where": where} | _columns(found))
    return pa.Table.from_pylist(rows, schema=AUDIT_SUMMARY)


def _codes(stratum: pa.ChunkedArray) -> Integers:
    return np.array([STRATA.index(name) for name in stratum.to_pylist()], np.int64)


def _cuts(
    faces: pa.Table, stratum: Integers
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """What is counted, where, by which faces, at which instants."""
    every_face, everywhere = np.ones(len(faces), bool), np.ones(len(stratum), bool)
    yield MISSED, "all time", every_face, everywhere
    of_face = _codes(faces["stratum"])
    for code, name in enumerate(STRATA):
        yield MISSED, name, of_face == code, stratum == code
    size_px = faces["size_px"].to_numpy()
    for low, high in pairwise(_SIZE_EDGES_PX):
        inside = (size_px >= low) & (size_px < high)
        yield MISSED, _size_name(low, high), inside, everywhere
    empty = STRATA.index(EMPTY)
    yield EMPTY_INDEED, EMPTY, of_face == empty, stratum == empty


def _size_name(low: float, high: float) -> str:
    if low == 0.0:
        return f"under {high:g} px"
    return f"{low:g} px and more" if np.isinf(high) else f"{low:g} to {high:g} px"


def _columns(found: Share) -> dict[str, float | int | None]:
    rates = {"share": found.share, "low": found.low, "high": found.high}
    known = {name: None if np.isnan(value) else value for name, value in rates.items()}
    counts = ("n_instants", "n_total", "n_counted")
    return {name: getattr(found, name) for name in counts} | known
