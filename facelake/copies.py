"""Do two videos show the same footage? Told from their faces and times alone.

The faces of a video in order of time are a fingerprint: in a copy, re-encoded, scaled, cropped,
letterboxed or trimmed, each face finds the most similar face of the other video at the same instant
of the footage, so that all these pairs agree on one delay. Another take of the same person finds
its most similar faces anywhere. So pairs of faces that are each other's most similar vote for a
delay, and as many votes as chance would hardly give (an a-contrario test: Desolneux, Moisan and
Morel, "Meaningful alignments", 2000), with boxes that one scale and shift of the picture explains,
are shared footage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# As they are met: PAL's speed-up of 24 and 23.976 frames a second to 25, and NTSC's thousandth.
_RATES = (1.0, 1.001, 1 / 1.001, 25 / 24, 24 / 25, 25.025 / 24, 24 / 25.025)
_OTHER_RATE = 0.8  # worth of a vote for it
# Least median cosine, fewest instants, and most false alarms expected of a pair of videos. Other
# takes of one person reach a median of 0.65 in the real clips, with 0.2 false alarms and more; a
# copy squeezed to half its width keeps 0.55.
_BARS = ((0.85, 3, 0.05), (0.5, 4, 1e-3))
_UNMATCHED_COST = 0.25  # of a face that is there in both and does not match: a fifth must match
_EVIDENCE_S = 0.5  # faces closer than this are one piece of evidence
_APART_S = 0.15  # faces of a track closer than this say nothing new
_OFF_CENTRE, _OFF_SIZE = 0.5, 1.35  # of a face's own size; ratio
_MOST_STRETCHES = 16
_WHOLE = 0.8  # share of both videos' faces' time from which on they are the same
_REFIT_S = 60.0  # from this length on, the rate is told from the matches themselves
_BLOCK_ROWS = 2048


@dataclass(frozen=True)
class FaceTrail:
    """The faces of a video in order of time.

    Attributes
    ----------
    time_s
        Shape ``(n,)``, increasing, in seconds.
    embeddings
        Unit length, shape ``(n, dim)``, float32.
    bbox_xyxy
        In shares of the upright frame's width and height, shape ``(n, 4)``.
    track_id
        Shape ``(n,)``; −1 where a face has no track.
    """

    time_s: Times
    embeddings: Floats
    bbox_xyxy: Floats
    track_id: Rows

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def length_s(self) -> float:
        """Time from the first face to the last, in seconds."""
        return float(self.time_s[-1] - self.time_s[0]) if len(self) else 0.0

    @property
    def sizes(self) -> Floats:
        """Width and height of each face, in shares of the frame's, shape ``(n, 2)``."""
        size = self.bbox_xyxy[:, 2:] - self.bbox_xyxy[:, :2]
        return np.asarray(np.maximum(size, np.float32(1e-6)), np.float32)

    @property
    def centres(self) -> Floats:
        """Shape ``(n, 2)``."""
        return (self.bbox_xyxy[:, 2:] + self.bbox_xyxy[:, :2]) * np.float32(0.5)


def make_trail(
    time_s: npt.ArrayLike,
    embeddings: npt.ArrayLike,
    bbox_xyxy: npt.ArrayLike,
    track_id: npt.ArrayLike,
    *,
    width: float,
    height: float,
) -> FaceTrail:
    """The fingerprint of a video.

    Of a track's faces less than 0.15 s apart the first is taken.

    Parameters
    ----------
    time_s
        Of each face, shape ``(n,)``, in any order, in seconds.
    embeddings
        Of any length above 0, shape ``(n, dim)``.
    bbox_xyxy
        In pixels, shape ``(n, 4)``.
    track_id
        Shape ``(n,)``; −1 where a face has no track.
    width, height
        Of the upright frame, in pixels.

    Raises
    ------
    ValueError
        A shape does not fit, a number is not finite, or the frame has no area.
    """
    times = np.asarray(time_s, np.float64)
    tracks = np.asarray(track_id, np.int64)
    vectors = np.asarray(embeddings, np.float32)
    boxes = np.asarray(bbox_xyxy, np.float32)
    _refuse_misfit(times, vectors, boxes, tracks)
    if not (width > 0 and height > 0):
        raise ValueError(f"the frame must have an area, but is {width} × {height} pixels")
    rows = np.flatnonzero(_kept(times, tracks))
    rows = rows[np.argsort(times[rows], kind="stable")]
    frame = np.array([width, height, width, height], np.float32)
    relative = np.asarray(boxes[rows] / frame, np.float32)
    return FaceTrail(times[rows], _unit(vectors[rows]), relative, tracks[rows])


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.float32(1e-12)), np.float32)


def _refuse_misfit(times: Times, vectors: Floats, boxes: Floats, tracks: Rows) -> None:
    n = len(times)
    shapes = {"bbox_xyxy": (boxes.shape, (n, 4)), "track_id": (tracks.shape, (n,))}
    for name, (shape, wanted) in shapes.items():
        if shape != wanted:
            raise ValueError(f"{name} must have shape {wanted}, one a face, but has {shape}")
    if vectors.ndim != 2 or len(vectors) != n:
        raise ValueError(f"embeddings must have shape ({n}, dim), but have {vectors.shape}")
    for name, values in (("time_s", times), ("embeddings", vectors), ("bbox_xyxy", boxes)):
        wrong = np.flatnonzero(~np.isfinite(values.reshape(n, -1 if n else 0)).all(axis=1))
        if len(wrong):
            raise ValueError(
                f"{name} must be finite, but {name}[{wrong[0]}] is {values[wrong[0]]}; leave out "
                "the faces that were not embedded"
            )


def _kept(times: Times, tracks: Rows) -> Flags:
    """Of each track the faces that are not close behind one that is kept."""
    order = np.lexsort((times, tracks))
    kept = np.ones(len(times), bool)
    last_track, last_s = -1, -np.inf
    for row, track, time in zip(
        order.tolist(), tracks[order].tolist(), times[order].tolist(), strict=True
    ):
        if track >= 0 and track == last_track and time - last_s < _APART_S:
            kept[row] = False
        else:
            last_track, last_s = track, time
    return kept


@dataclass(frozen=True)
class SharedFootage:
    """A stretch of footage that two videos show, ``a`` and ``b``.

    Attributes
    ----------
    offset_s, rate
        What is at ``t`` in ``a`` is at ``rate × t + offset_s`` in ``b``.
    start_s, end_s
        The first and the last matched face, in seconds of ``a``: at least so much is shared.
    n_matched
        Faces of ``a`` in this time that match.
    n_compared
        Faces of ``a`` in this time for which ``b`` has one at that instant and place.
    score
        Median cosine of the matched faces.
    share
        Of the time between the first and the last face of the shorter video, in (0, 1].
    is_whole
        Whether this is the most of both videos.
    """

    offset_s: float
    rate: float
    start_s: float
    end_s: float
    n_matched: int
    n_compared: int
    score: float
    share: float
    is_whole: bool

    def to_b(self, time_s: float) -> float:
        """An instant of ``a`` in seconds of ``b``."""
        return self.rate * time_s + self.offset_s


def find_shared(a: FaceTrail, b: FaceTrail, *, tolerance_s: float = 0.2) -> list[SharedFootage]:
    """The footage that two videos share; empty where they share none that their faces tell.

    At least four instants must match, with a median cosine of 0.5 or more, and agree on a delay as
    chance would in one of a thousand pairs of videos at most; of nearly equal faces, 0.85 or more,
    three instants and one of twenty are enough. Faces within half a second of one another count
    once.

    Parameters
    ----------
    tolerance_s
        By how much the times of one instant may differ: videos are not sampled at the same frames.

    Returns
    -------
    list of SharedFootage
        In order of time in ``a``. Several where one was cut into pieces.

    Raises
    ------
    ValueError
        The embeddings differ in length.
    """
    if a.embeddings.shape[1] != b.embeddings.shape[1]:
        raise ValueError(
            f"both videos' embeddings must be of one model, but have the dimensions "
            f"{a.embeddings.shape[1]} and {b.embeddings.shape[1]}"
        )
    pairs, found = _mutual_best(a, b), list[SharedFootage]()
    while len(pairs) and len(found) < _MOST_STRETCHES:
        stretch = _find_stretch(a, b, pairs, tolerance_s)
        if stretch is None:
            break
        found.append(stretch)
        time_s = a.time_s[pairs.a]
        pairs = pairs.take((time_s < stretch.start_s) | (time_s > stretch.end_s))
    return sorted(found, key=lambda one: one.start_s)


@dataclass(frozen=True)
class _Pairs:
    """Faces that are each other's most similar: rows of ``a`` and of ``b``, and their cosine."""

    a: Rows
    b: Rows
    score: Floats

    def __len__(self) -> int:
        return len(self.a)

    def take(self, which: Flags) -> _Pairs:
        return _Pairs(self.a[which], self.b[which], self.score[which])


def _mutual_best(a: FaceTrail, b: FaceTrail) -> _Pairs:
    if not len(a) or not len(b):
        none = np.empty(0, np.int64)
        return _Pairs(none, none, np.empty(0, np.float32))
    nearest, score = np.empty(len(a), np.int64), np.empty(len(a), np.float32)
    back, back_score = np.zeros(len(b), np.int64), np.full(len(b), -np.inf, np.float32)
    for begin in range(0, len(a), _BLOCK_ROWS):
        scores = a.embeddings[begin : begin + _BLOCK_ROWS] @ b.embeddings.T
        nearest[begin : begin + len(scores)] = scores.argmax(axis=1)
        score[begin : begin + len(scores)] = scores.max(axis=1)
        best, row = scores.max(axis=0), scores.argmax(axis=0) + begin
        back = np.where(best > back_score, row, back)
        back_score = np.maximum(best, back_score)
    rows = np.flatnonzero(back[nearest] == np.arange(len(a)))
    return _Pairs(rows, nearest[rows], score[rows])


@dataclass(frozen=True)
class _Alignment:
    """How times and places of ``a`` become those of ``b``."""

    rate: float
    offset_s: float
    scale: Floats
    shift: Floats
    tolerance_s: float

    def fits(self, a: FaceTrail, b: FaceTrail, rows_a: Rows, rows_b: Rows) -> Flags:
        """Which of the pairs are at the same instant and place of the footage."""
        delay = b.time_s[rows_b] - self.rate * a.time_s[rows_a] - self.offset_s
        size, size_b = self.scale * a.sizes[rows_a], b.sizes[rows_b]
        off = np.abs(b.centres[rows_b] - self.scale * a.centres[rows_a] - self.shift)
        ratio = np.maximum(size, size_b) / np.minimum(size, size_b)
        in_place = (off <= _OFF_CENTRE * size_b).all(axis=1) & (ratio <= _OFF_SIZE).all(axis=1)
        return np.asarray((np.abs(delay) <= self.tolerance_s) & in_place)


def _find_stretch(
    a: FaceTrail, b: FaceTrail, pairs: _Pairs, tolerance_s: float
) -> SharedFootage | None:
    """The stretch that most pairs agree on; ``None`` where that may be chance."""
    alignment = _align(a, b, pairs, tolerance_s)
    matched = pairs.take(alignment.fits(a, b, pairs.a, pairs.b))
    if not len(matched):
        return None
    compared = _compared(a, b, alignment)
    compared[matched.a] = True
    first, last = _densest(np.flatnonzero(compared), matched.a)
    start_s, end_s = float(a.time_s[first]), float(a.time_s[last])
    matched = matched.take((a.time_s[matched.a] >= start_s) & (a.time_s[matched.a] <= end_s))
    if not _is_sure(a, b, pairs, matched, tolerance_s):
        return None
    within = (a.time_s >= start_s) & (a.time_s <= end_s)
    shares = sorted(
        min(1.0, length / whole) if whole > 0 else 1.0
        for length, whole in (
            (end_s - start_s, a.length_s),
            (alignment.rate * (end_s - start_s), b.length_s),
        )
    )
    return SharedFootage(
        alignment.offset_s,
        alignment.rate,
        start_s,
        end_s,
        len(matched),
        int(np.count_nonzero(compared & within)),
        float(np.median(matched.score)),
        shares[1],
        shares[0] >= _WHOLE,
    )


def _align(a: FaceTrail, b: FaceTrail, pairs: _Pairs, tolerance_s: float) -> _Alignment:
    """The rate, delay, scale and shift that most pairs agree on."""
    time_a, time_b = a.time_s[pairs.a], b.time_s[pairs.b]
    rate, offset_s = _choose_rate(time_a, time_b, _rates(a, tolerance_s), tolerance_s)
    agree = np.abs(time_b - rate * time_a - offset_s) <= tolerance_s
    if np.ptp(time_a[agree]) >= _REFIT_S:
        rate, offset_s = np.polyfit(time_a[agree], time_b[agree], 1).tolist()
        agree = np.abs(time_b - rate * time_a - offset_s) <= tolerance_s
    rows_a, rows_b = pairs.a[agree], pairs.b[agree]
    scale = np.median(b.sizes[rows_b] / a.sizes[rows_a], axis=0)
    shift = np.median(b.centres[rows_b] - scale * a.centres[rows_a], axis=0)
    return _Alignment(rate, offset_s, scale, shift, tolerance_s)


def _choose_rate(
    time_a: Times, time_b: Times, rates: list[float], tolerance_s: float
) -> tuple[float, float]:
    """The rate and the delay with most votes; another rate than 1 has to earn it."""
    votes = [_vote(time_b - rate * time_a, tolerance_s) for rate in rates]
    worth = [
        n_votes * (1.0 if rate == 1 else _OTHER_RATE)
        for rate, (_, n_votes) in zip(rates, votes, strict=True)
    ]
    best = int(np.argmax(worth))
    return rates[best], votes[best][0]


def _rates(a: FaceTrail, tolerance_s: float) -> list[float]:
    """The rates that differ from 1 by more than the tolerance over the whole of a video."""
    return [rate for rate in _RATES if rate == 1 or abs(rate - 1) * a.length_s > tolerance_s]


def _vote(delay_s: Times, tolerance_s: float) -> tuple[float, int]:
    """The delay that most agree on within the tolerance, and how many do."""
    ordered = np.sort(delay_s)
    ends = np.searchsorted(ordered, ordered + 2 * tolerance_s, side="right")
    n_votes = ends - np.arange(len(ordered))
    first = int(n_votes.argmax())
    return float(np.median(ordered[first : ends[first]])), int(n_votes[first])


def _compared(a: FaceTrail, b: FaceTrail, alignment: _Alignment) -> Flags:
    """Which faces of ``a`` have one of ``b`` at their instant and place, alike or not."""
    aligned = alignment.rate * a.time_s + alignment.offset_s
    begin = np.searchsorted(b.time_s, aligned - alignment.tolerance_s, side="left")
    n_near = np.searchsorted(b.time_s, aligned + alignment.tolerance_s, side="right") - begin
    rows_a = np.repeat(np.arange(len(a)), n_near)
    rank = np.arange(len(rows_a)) - np.repeat(np.cumsum(n_near) - n_near, n_near)
    rows_b = np.repeat(begin, n_near) + rank
    compared = np.zeros(len(a), bool)
    compared[rows_a[alignment.fits(a, b, rows_a, rows_b)]] = True
    return compared


def _densest(compared: Rows, matched: Rows) -> tuple[int, int]:
    """First and last face of the stretch that holds most matches for its mismatches."""
    worth = np.where(np.isin(compared, matched), 1.0, -_UNMATCHED_COST)
    total = np.cumsum(worth)
    lowest = np.minimum.accumulate(np.concatenate([[0.0], total[:-1]]))
    last = int((total - lowest).argmax())
    before = np.concatenate([[0.0], total[:last]])
    return int(compared[int(before.argmin())]), int(compared[last])


def _is_sure(
    a: FaceTrail, b: FaceTrail, pairs: _Pairs, matched: _Pairs, tolerance_s: float
) -> bool:
    """Whether chance would hardly give so many matches at one delay."""
    score, n_instants = float(np.median(matched.score)), len(np.unique(a.time_s[matched.a]))
    range_s = max(a.length_s + b.length_s, 2 * tolerance_s)
    share = 2 * tolerance_s / range_s  # of the delays that are possible
    expected = share * _n_evidence(a.time_s[pairs.a])
    n_tests = len(_rates(a, tolerance_s)) / share
    n_false = n_tests * _at_least(_n_evidence(a.time_s[matched.a]), expected)
    return any(
        score >= least and n_instants >= fewest and n_false <= most for least, fewest, most in _BARS
    )


def _n_evidence(time_s: Times) -> int:
    return len(np.unique(np.floor(time_s / _EVIDENCE_S)))


def _at_least(count: int, expected: float) -> float:
    """The chance of so many events or more where so many are expected (Poisson)."""
    from scipy.special import gammainc

    return float(gammainc(count, expected))


def track_means(trail: FaceTrail) -> Floats:
    """The mean embedding of each track, unit length; a face without a track is one of its own."""
    if not len(trail):
        return np.empty((0, trail.embeddings.shape[1]), np.float32)
    alone = trail.track_id < 0
    key = np.where(alone, -1 - np.arange(len(trail)), trail.track_id)
    _, place = np.unique(key, return_inverse=True)
    sums = np.zeros((int(place.max()) + 1, trail.embeddings.shape[1]), np.float32)
    np.add.at(sums, place, trail.embeddings)
    return _unit(sums)


def find_candidates(means: Sequence[Floats], *, min_score: float = 0.7) -> list[tuple[int, int]]:
    """Pairs of videos of which two tracks are alike: the only ones worth comparing.

    Parameters
    ----------
    means
        Of each video what `track_means` gives.
    min_score
        Least cosine of two tracks' means, in [−1, 1].

    Returns
    -------
    list of tuple
        Places in ``means``, the lower one first, in order.
    """
    video = np.repeat(np.arange(len(means)), [len(mean) for mean in means])
    if not len(video):
        return []
    vectors = np.concatenate([mean for mean in means if len(mean)])
    found = set[tuple[int, int]]()
    for begin in range(0, len(vectors), _BLOCK_ROWS):
        scores = vectors[begin : begin + _BLOCK_ROWS] @ vectors[begin:].T
        row, column = np.nonzero(scores >= np.float32(min_score))
        pairs = np.stack([video[begin + row], video[begin + column]], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
        found.update((int(one), int(other)) for one, other in pairs)
    return sorted(found)
