"""Scores at examined instants → the spans of time in which one identity is on screen.

One video and one identity at a time, and a pure function of what was looked at: an instant that was
examined and showed nobody is a sample too, so "not there" and "not looked at" stay two things.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from facelake.schema import SpanRules

# Times are pts × time_base in doubles: 0.8 − 0.6 comes out above 0.2. A duration that is equal to
# its limit on paper must count as equal; 1e-9 s is above the rounding and far below any time base.
_TOLERANCE_S = 1e-9


@dataclass(frozen=True)
class SpanArrays:
    """Spans of one identity in one video: disjoint, in order of time, one row each.

    Attributes
    ----------
    start_s
        Time of the first hit, in seconds, float64.
    end_s
        When the last hit leaves the screen, in seconds, float64; the span is half-open.
    start_after_s
        The examined instant before ``start_s``; NaN where there is none. The true start lies in
        ``(start_after_s, start_s]``.
    end_before_s
        The examined instant after the last hit; NaN where there is none. The true end lies in
        ``[end_s, end_before_s]``.
    n_hits
        Samples of the span at or above the exit threshold, int64.
    n_samples
        Samples examined within the span, int64.
    score_max, score_mean
        Over the hits, float64.
    best
        Sample with the highest score, the earliest of equals, int64 position in the input.
    first, last
        First and last sample, both hits, int64 positions in the input.
    """

    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    start_after_s: npt.NDArray[np.float64]
    end_before_s: npt.NDArray[np.float64]
    n_hits: npt.NDArray[np.int64]
    n_samples: npt.NDArray[np.int64]
    score_max: npt.NDArray[np.float64]
    score_mean: npt.NDArray[np.float64]
    best: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start_s)


def find_spans(
    time_s: npt.ArrayLike,
    score: npt.ArrayLike,
    rules: SpanRules,
    *,
    shown_s: npt.ArrayLike | None = None,
) -> SpanArrays:
    """The spans in which one identity is on screen in one video.

    A sample at or above the exit threshold is a hit. Two consecutive hits belong together when
    somebody looked at least every ``blind_s`` between them, and they either have no miss between
    them or lie at most ``miss_s`` apart. A run of such hits is a span from its first sample at or
    above ``threshold`` to its last hit. Spans no further apart than ``bridge_s`` are then joined,
    and last those with fewer than ``min_hits`` or shorter than ``min_span_s`` are dropped.

    Parameters
    ----------
    time_s
        Examined instants, shape ``(n,)``, in seconds, strictly increasing.
    score
        Best score of the identity's faces at each instant, shape ``(n,)``, in [−1, 1]; NaN where
        nobody was found.
    rules
        Thresholds and tolerances.
    shown_s
        How long each frame stays on screen, shape ``(n,)``, in seconds, 0 or more; zeros by
        default. A frame ends at the latest at the next examined instant.

    Raises
    ------
    ValueError
        The arrays differ in shape, or a time or duration is out of order or not finite.

    Examples
    --------
    >>> from facelake.schema import SpanRules
    >>> spans = find_spans([0.0, 0.2, 0.4, 0.6], [np.nan, 0.5, 0.4, 0.1], SpanRules(0.3))
    >>> spans.start_after_s, spans.start_s, spans.end_s, spans.end_before_s
    (array([0.]), array([0.2]), array([0.4]), array([0.6]))
    """
    samples = _Samples.checked(time_s, score, shown_s)
    return _keep(_measure(samples, *_joined(samples, rules), rules), rules)


class SpanScan:
    """`find_spans` over samples that come in pieces, in order of time.

    Feeding any cut of the samples gives exactly what `find_spans` gives on the whole. Only the
    samples that can still change an answer are kept: those of the last span while a later hit
    could join it. A span that lasts the whole video is therefore kept whole, and is looked at
    again at each feed: feed stretches of a video, not single samples.

    Examples
    --------
    >>> from facelake.schema import SpanRules
    >>> scan = SpanScan(SpanRules(0.3))
    >>> scan.feed([0.0, 0.2], [np.nan, 0.5])
    >>> scan.feed([0.4, 0.6], [0.4, 0.1])
    >>> scan.finish().end_s
    array([0.4])
    """

    def __init__(self, rules: SpanRules) -> None:
        self._rules = rules
        self._open = _Samples.checked([], [], None)
        self._n_settled = 0  # samples before the open ones
        self._settled: list[SpanArrays] = []

    @property
    def n_open(self) -> int:
        """Number of samples kept in memory because a later one may change what they mean."""
        return len(self._open.time_s)

    def feed(
        self, time_s: npt.ArrayLike, score: npt.ArrayLike, shown_s: npt.ArrayLike | None = None
    ) -> None:
        """Add the samples that follow those fed before; arguments as in `find_spans`."""
        new = _Samples.checked(time_s, score, shown_s)
        if not len(new.time_s):
            return
        if self.n_open and not new.time_s[0] > self._open.time_s[-1]:
            raise ValueError(
                f"time_s must go on after {self._open.time_s[-1]}, the last sample fed before, but "
                f"begins at {new.time_s[0]}; feed the samples of one video in order of time"
            )
        samples = self._open.followed_by(new)
        # No later hit can be closer than one at this very instant: what stays apart from it is
        # settled, what joins it is not.
        next_hit = _Samples(samples.time_s[-1:], np.array([np.inf]), np.zeros(1))
        first, last = _joined(samples.followed_by(next_hit), self._rules)
        if len(first) > 1:
            self._settled.append(self._measure(samples, first[:-1], last[:-1]))
        self._drop_before(samples, int(first[-1]))

    def finish(self) -> SpanArrays:
        """The spans of everything that was fed."""
        undecided = self._measure(self._open, *_joined(self._open, self._rules))
        return _keep(_concat([*self._settled, undecided]), self._rules)

    def _measure(
        self, samples: _Samples, first: npt.NDArray[np.intp], last: npt.NDArray[np.intp]
    ) -> SpanArrays:
        return _measure(samples, first, last, self._rules, offset=self._n_settled)

    def _drop_before(self, samples: _Samples, start: int) -> None:
        """Keep the samples from ``start`` on, and the instant before it for its bracket."""
        keep_from = max(start - 1, 0)
        kept = samples.since(keep_from)
        if start > keep_from:
            kept.score[0] = np.nan  # it was examined, but belongs to no span that is still open
        self._open = kept
        self._n_settled += keep_from


def best_per_sample(
    sample_pts: npt.ArrayLike, face_pts: npt.ArrayLike, score: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The best score of one identity at each examined instant, and the face that has it.

    Parameters
    ----------
    sample_pts
        Examined instants of one video, shape ``(n,)``, integers, strictly increasing.
    face_pts
        Instant of each face scored for the identity, shape ``(m,)``, in any order.
    score
        Score of each face, shape ``(m,)``.

    Returns
    -------
    score, face
        Shape ``(n,)`` each: float64, NaN where no face was scored, and the int64 row of the face
        (the first of equals), −1 where there is none.

    Raises
    ------
    ValueError
        ``sample_pts`` is not increasing, the faces' arrays differ in length, or a face lies at an
        instant that was not examined.

    Examples
    --------
    >>> best_per_sample([0, 10, 20], [20, 0, 20], [0.2, 0.4, 0.6])
    (array([0.4, nan, 0.6]), array([ 1, -1,  2]))
    """
    sample_pts, face_pts = np.asarray(sample_pts), np.asarray(face_pts)
    scores = np.asarray(score, np.float64)
    _refuse_unordered(sample_pts, "sample_pts")
    if face_pts.shape != scores.shape:
        raise ValueError(
            f"face_pts and score must have one row per face, but have {face_pts.shape} "
            f"and {scores.shape}"
        )
    order = np.lexsort((-scores, face_pts))  # stable: the first of equals stays first
    pts, first = np.unique(face_pts[order], return_index=True)
    _refuse_unexamined(sample_pts, pts)
    at = np.searchsorted(sample_pts, pts)
    best = np.full(len(sample_pts), np.nan)
    face = np.full(len(sample_pts), -1, np.int64)
    face[at] = order[first]
    best[at] = scores[face[at]]
    return best, face


def examined_ranges(
    time_s: npt.ArrayLike, shown_s: npt.ArrayLike, *, blind_s: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Starts and ends of the time that was looked at, without a break longer than ``blind_s``.

    Parameters
    ----------
    time_s, shown_s
        Examined instants of one video, strictly increasing, and how long each frame stays on
        screen, in seconds, shape ``(n,)``.
    blind_s
        Neighbouring instants further apart than this have unexamined time between them.

    Examples
    --------
    >>> examined_ranges([0.0, 0.2, 5.0], [0.04, 0.04, 0.04], blind_s=1.0)
    (array([0., 5.]), array([0.24, 5.04]))
    """
    times, shown = np.asarray(time_s, np.float64), np.asarray(shown_s, np.float64)
    _refuse_unordered(times, "time_s")
    if not len(times):
        return np.empty(0), np.empty(0)
    breaks = np.flatnonzero(np.diff(times) > blind_s)
    return times[np.append(0, breaks + 1)], (times + shown)[np.append(breaks, -1)]


def _refuse_unexamined(sample_pts: npt.NDArray[np.int64], face_pts: npt.NDArray[np.int64]) -> None:
    stray = face_pts[~np.isin(face_pts, sample_pts)]
    if len(stray):
        raise ValueError(
            f"every face must lie at an examined instant, but {len(stray)} do not, the first at "
            f"pts {stray[0]}; give the samples and the faces of the same video and run"
        )


# The samples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Samples:
    """The examined instants of one video, in order of time; three arrays of one length."""

    time_s: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    shown_s: npt.NDArray[np.float64]

    @classmethod
    def checked(
        cls, time_s: npt.ArrayLike, score: npt.ArrayLike, shown_s: npt.ArrayLike | None
    ) -> _Samples:
        times = np.asarray(time_s, np.float64)
        scores = np.asarray(score, np.float64)
        shown = np.zeros(times.shape) if shown_s is None else np.asarray(shown_s, np.float64)
        if scores.shape != times.shape or shown.shape != times.shape:
            raise ValueError(
                "time_s, score and shown_s must have the same shape (n,), but have "
                f"{times.shape}, {scores.shape} and {shown.shape}"
            )
        _refuse_unordered(times, "time_s")
        wrong = np.flatnonzero(~((shown >= 0) & (shown < np.inf)))
        if len(wrong):
            raise ValueError(
                f"shown_s must be 0 or more seconds, but shown_s[{wrong[0]}] = {shown[wrong[0]]}"
            )
        return cls(times, scores, shown)

    def followed_by(self, later: _Samples) -> _Samples:
        return _Samples(
            np.concatenate([self.time_s, later.time_s]),
            np.concatenate([self.score, later.score]),
            np.concatenate([self.shown_s, later.shown_s]),
        )

    def since(self, row: int) -> _Samples:
        """A copy from ``row`` on, so that the whole can be let go."""
        return _Samples(
            self.time_s[row:].copy(), self.score[row:].copy(), self.shown_s[row:].copy()
        )

    def frame_end_s(self) -> npt.NDArray[np.float64]:
        """When each frame leaves the screen: at the latest when the next one was examined."""
        next_s = np.append(self.time_s[1:], np.inf)[: len(self.time_s)]
        end_s: npt.NDArray[np.float64] = np.minimum(self.time_s + self.shown_s, next_s)
        return end_s


def _refuse_unordered(values: npt.NDArray[np.float64], name: str) -> None:
    if values.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), but has {values.shape}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise ValueError(f"{name} must be finite, but {name}[{wrong[0]}] = {values[wrong[0]]}")
    wrong = np.flatnonzero(np.diff(values) <= 0)
    if len(wrong):
        row = wrong[0] + 1
        raise ValueError(
            f"{name} must be strictly increasing, but {name}[{row}] = {values[row]} follows "
            f"{values[row - 1]}; sort the samples of one video by time and keep one per instant"
        )


# From samples to spans --------------------------------------------------------------------------


def _joined(
    samples: _Samples, rules: SpanRules
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last sample of every span after bridging; short ones are still among them."""
    first, last = _runs(samples, rules)
    gap_s = samples.time_s[first[1:]] - samples.frame_end_s()[last[:-1]]
    apart = gap_s > rules.bridge_s + _TOLERANCE_S
    return first[np.r_[True, apart][: len(first)]], last[np.r_[apart, True][: len(last)]]


def _runs(samples: _Samples, rules: SpanRules) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last sample of every linked run of hits, from its first entry on."""
    hit = np.flatnonzero(samples.score >= rules.stay)
    run = np.cumsum(np.r_[0, ~_linked(samples, hit, rules)])[: len(hit)]
    entry = np.flatnonzero(samples.score[hit] >= rules.threshold)
    entry = entry[_firsts(run[entry])]
    last_of_run = np.flatnonzero(np.diff(run, append=len(hit)))
    return hit[entry], hit[last_of_run[run[entry]]]


def _linked(
    samples: _Samples, hit: npt.NDArray[np.intp], rules: SpanRules
) -> npt.NDArray[np.bool_]:
    """Whether each hit belongs together with the next one."""
    blind = np.diff(samples.time_s, prepend=samples.time_s[:1]) > rules.blind_s + _TOLERANCE_S
    n_blind = np.cumsum(blind)[hit]
    looked = n_blind[1:] == n_blind[:-1]
    no_miss = np.diff(hit) == 1
    near = np.diff(samples.time_s[hit]) <= rules.miss_s + _TOLERANCE_S
    linked: npt.NDArray[np.bool_] = looked & (no_miss | near)
    return linked


def _measure(
    samples: _Samples,
    first: npt.NDArray[np.intp],
    last: npt.NDArray[np.intp],
    rules: SpanRules,
    *,
    offset: int = 0,
) -> SpanArrays:
    """What there is to say about the spans from sample ``first`` to ``last``."""
    hit = samples.score >= rules.stay
    n_hits = _per_span(np.add, hit.astype(np.int64), first, last)
    score_max = _per_span(np.maximum, np.where(hit, samples.score, -np.inf), first, last)
    score_sum = _per_span(np.add, np.where(hit, samples.score, 0.0), first, last)
    before = np.r_[np.nan, samples.time_s]
    after = np.r_[samples.time_s, np.nan]
    return SpanArrays(
        start_s=samples.time_s[first],
        end_s=samples.frame_end_s()[last],
        start_after_s=before[first],
        end_before_s=after[last + 1],
        n_hits=n_hits,
        n_samples=(last - first + 1).astype(np.int64),
        score_max=score_max,
        score_mean=score_sum / n_hits,
        best=_first_equal(samples.score, score_max, first, last) + offset,
        first=first.astype(np.int64) + offset,
        last=last.astype(np.int64) + offset,
    )


def _per_span(
    reduce: np.ufunc,
    values: npt.NDArray[Any],
    first: npt.NDArray[np.intp],
    last: npt.NDArray[np.intp],
) -> npt.NDArray[Any]:
    """The values of each span reduced to one, from that span's values alone."""
    bounds = np.stack([first, last + 1], axis=1).ravel()
    # reduceat wants every bound inside the array; the values between spans fall out with [::2].
    reduced: npt.NDArray[Any] = reduce.reduceat(np.append(values, values[:1]), bounds)[::2]
    return reduced


def _first_equal(
    score: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    first: npt.NDArray[np.intp],
    last: npt.NDArray[np.intp],
) -> npt.NDArray[np.int64]:
    """The first sample of each span whose score is the wanted one."""
    n_samples = last - first + 1
    span = np.repeat(np.arange(len(first)), n_samples)
    sample = np.arange(len(span)) + np.repeat(first - np.cumsum(n_samples) + n_samples, n_samples)
    equal = np.flatnonzero(score[sample] == wanted[span])
    found: npt.NDArray[np.int64] = sample[equal[_firsts(span[equal])]].astype(np.int64)
    return found


def _firsts(group: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Where each group of equal neighbours begins; groups are numbered from 0 or more."""
    return np.flatnonzero(np.diff(group, prepend=-1))


def _keep(spans: SpanArrays, rules: SpanRules) -> SpanArrays:
    """The spans with hits and seconds enough."""
    long_enough = spans.end_s - spans.start_s >= rules.min_span_s - _TOLERANCE_S
    keep = long_enough & (spans.n_hits >= rules.min_hits)
    return SpanArrays(*(getattr(spans, field.name)[keep] for field in fields(SpanArrays)))


def _concat(parts: list[SpanArrays]) -> SpanArrays:
    return SpanArrays(
        *(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(SpanArrays))
    )
