"""Spans against a truth: seconds, whole spans, and where they begin and end.

Seconds are weighed as in the scoring of diarisation (Bredin, pyannote.metrics, Interspeech 2017),
for each person, with a collar around the truth's edges as in NIST's md-eval. Whole spans are
matched by temporal intersection over union as in action detection (ActivityNet, THUMOS).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.evaluate.agreement import (
    Agreement,
    Intervals,
    agree,
    around,
    intervals_of,
    join_touching,
    share,
)
from facelake.evaluate.names import VideoName, pair_videos, plain_key
from facelake.evaluate.truth import Appearance, Truth
from facelake.schema import EVALUATION, SPAN_MATCHES

COLLAR_S = 0.3
"""Around an edge of the truth, which eyes have set, nothing is counted, in seconds."""
MIN_IOU = 0.5
# An unmatched span counts neither way where this share of it does not count (COCO's rule for what
# lies in a crowd).
_MOSTLY = 0.5
_MOST_NAMES = 8  # in one sentence

Outcome = Literal["matched", "missed", "false", "left out"]
_Pairs = list[tuple[float, float]]
_Times = tuple[_Pairs, _Pairs, _Pairs]  # of the truth: that count, that do not; found


@dataclass(frozen=True)
class SpanEvaluation:
    """What spans are worth by a truth.

    Attributes
    ----------
    table
        Rows of `schema.EVALUATION`, one for each person in each video.
    totals
        The same for each person, for each video, and in all.
    matches
        Rows of `schema.SPAN_MATCHES`: every span of the truth and every one found.
    seconds
        What counts in all.
    notes
        Sentences on names that only one side knows, and on what was left out.
    """

    table: pa.Table
    totals: pa.Table
    matches: pa.Table
    seconds: Agreement
    notes: tuple[str, ...]


def evaluate_spans(
    found: Iterable[Appearance],
    truth: Truth,
    *,
    collar_s: float = COLLAR_S,
    min_iou: float = MIN_IOU,
    videos: Sequence[VideoName] | None = None,
) -> SpanEvaluation:
    """How far spans agree with a truth, in the videos of which it tells.

    People are compared without case, accents and punctuation of their names. Whom the truth does
    not name in a video of which it tells should not be found there.

    Parameters
    ----------
    collar_s
        Time before and after each edge of the truth in which no second is counted, in seconds:
        ``collar / 2`` of pyannote.metrics, which gives the whole width.
    min_iou
        Least intersection over union of two spans that match, in (0, 1].
    videos
        Those that were looked at: of the others nothing is asked. ``None`` asks of every video of
        the truth, so that one without a span is missed.

    Raises
    ------
    ValueError
        An argument is none, or two videos cannot be told apart by their names.
    """
    if not 0.0 <= collar_s < float("inf"):
        raise ValueError(f"collar_s must be 0 or more seconds, but is {collar_s}")
    if not 0.0 < min_iou <= 1.0:
        raise ValueError(f"min_iou must lie in (0, 1], but is {min_iou}")
    found = list(found)
    sides = _Sides.of(found, truth, videos)
    cases = [case.judge(collar_s, min_iou) for case in sides.cases()]
    cases.sort(key=lambda case: (case.video, plain_key(case.identity)))
    return SpanEvaluation(
        _table([case.row(("each", case.video, case.identity)) for case in cases]),
        _table(list(_totals(cases))),
        pa.Table.from_pylist([row for case in cases for row in case.match_rows()], SPAN_MATCHES),
        _added(cases).seconds,
        (*truth.notes, *sides.notes()),
    )


# Whose rows belong together -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Sides:
    """Both tables, and which of their videos are the same.

    Attributes
    ----------
    place
        A found video → its number in the truth; without those of which it does not tell.
    asked
        Numbers of the truth's videos that are evaluated; ``None`` is all of them.
    """

    found: list[Appearance]
    truth: Truth
    place: dict[VideoName, int]
    asked: frozenset[int] | None

    @classmethod
    def of(
        cls, found: list[Appearance], truth: Truth, videos: Sequence[VideoName] | None
    ) -> _Sides:
        names = list(dict.fromkeys([*(videos or ()), *(one.video for one in found)]))
        pairs = pair_videos(names, truth.videos)
        place = {names[row]: number for row, number in pairs.items()}
        return cls(found, truth, place, None if videos is None else frozenset(place.values()))

    def cases(self) -> list[_Case]:
        """Each person in each video, of either side."""
        titles = _titles(self.truth.videos)
        people = (*self.truth.appearances, *self.found)
        names = {plain_key(one.identity): one.identity for one in reversed(people)}
        times: dict[tuple[int, str], _Times] = defaultdict(lambda: ([], [], []))
        for place, one in self._told():
            sides = times[place, plain_key(one.identity)]
            sides[0 if one.counts else 1].append((one.start_s, one.end_s))
        for place, one in self._hits():
            times[place, plain_key(one.identity)][2].append((one.start_s, one.end_s))
        return [
            _Case(titles[place], names[key], *map(intervals_of, sides))
            for (place, key), sides in times.items()
        ]

    def notes(self) -> Iterable[str]:
        """What only one side knows."""
        told = self.truth.name
        alone = dict.fromkeys(one.video.title for one in self.found if one.video not in self.place)
        if alone:
            yield f"{told} tells nothing of {_some(alone)}: left out"
        if self.asked is None:
            hit = {place for place, _ in self._hits()}
            no = {one.video.title for place, one in self._told() if one.counts and place not in hit}
            if no:
                yield f"no span in {_some(no)}: whom {told} names there is missed"
        else:
            out = [
                video.title
                for place, video in enumerate(self.truth.videos)
                if place not in self.asked
            ]
            if out:
                yield f"{told} tells of {_some(out)}, which nobody asked: left out"
        yield from self._strangers()

    def _strangers(self) -> Iterable[str]:
        """Names that only one side knows."""
        told = self.truth.name
        named = {plain_key(one.identity) for one in self.truth.appearances}
        unknown = {one.identity for _, one in self._hits() if plain_key(one.identity) not in named}
        if unknown:
            yield f"found, but {told} never names them, so all of it is false: {_some(unknown)}"
        found = {plain_key(one.identity) for one in self.found}
        wanted = (one.identity for _, one in self._told() if one.counts)
        never = {name for name in wanted if plain_key(name) not in found}
        if never:
            yield f"named in {told}, but never found: {_some(never)}"

    def _told(self) -> Iterable[tuple[int, Appearance]]:
        """Of the videos that are evaluated: their numbers, and who is to be seen."""
        number = {video: place for place, video in enumerate(self.truth.videos)}
        for one in self.truth.appearances:
            if self.asked is None or number[one.video] in self.asked:
                yield number[one.video], one

    def _hits(self) -> Iterable[tuple[int, Appearance]]:
        """Of the same: their numbers, and who is found."""
        return ((self.place[one.video], one) for one in self.found if one.video in self.place)


def _titles(videos: Sequence[VideoName]) -> list[str]:
    """File names, and whole paths where two files have one name."""
    names = [video.title for video in videos]
    count = Counter(names)
    return [
        video.path if count[name] > 1 else name for video, name in zip(videos, names, strict=True)
    ]


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


# One person in one video --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    """One person in one video: times of the truth that count and that do not, and those found."""

    video: str
    identity: str
    wanted: Intervals
    other: Intervals
    found: Intervals

    def judge(self, collar_s: float, min_iou: float) -> _Judged:
        """What the found times are worth."""
        collars = around(np.concatenate([self.wanted, self.other]), collar_s)
        ignored = np.concatenate([self.other, collars])
        wanted = join_touching(self.wanted)
        seconds = agree(self.found, wanted, ignored)
        matches = match_spans(self.found, wanted, self.other, ignored, min_iou=min_iou)
        return _Judged(self.video, self.identity, seconds, matches)


@dataclass(frozen=True)
class SpanMatch:
    """A span of the truth, one that was found, or two that match.

    Attributes
    ----------
    wanted, found
        Start and end in seconds; ``None`` where it has no counterpart.
    iou
        Of the two, over the time that counts; ``None`` where there is one alone.
    start_error_s, end_error_s
        Found minus wanted: positive is late. ``None`` without a match, and at an edge of the truth
        where time begins that does not count.
    """

    outcome: Outcome
    wanted: tuple[float, float] | None
    found: tuple[float, float] | None
    iou: float | None = None
    start_error_s: float | None = None
    end_error_s: float | None = None


def match_spans(
    found: Intervals, wanted: Intervals, other: Intervals, ignored: Intervals, *, min_iou: float
) -> list[SpanMatch]:
    """Pairs of found and wanted spans, one to one, the highest intersection over union first.

    From 0.5 on a span of the one side overlaps at most one of the other so far, where those of a
    side are disjoint, and so no other choice of pairs matches more.

    Parameters
    ----------
    other
        Time of which nobody says that the person should be found: of no weight in the union.
    ignored
        That and the collars: an unmatched span at least half of which lies there is left out.
    """
    seconds = _clock(other)
    iou = _overlap(found, wanted, seconds)
    pairs = _pair_best(iou, min_iou)
    matches = [_matched(found[i], wanted[j], other, float(iou[i, j])) for i, j in pairs]
    uncounted = np.ptp(seconds(wanted), axis=1) <= 0
    matches += _alone(wanted, {j for _, j in pairs}, uncounted, "missed")
    length_s = found[:, 1] - found[:, 0]
    ignored_s = length_s - np.ptp(_clock(ignored)(found), axis=1)
    mostly = (length_s > 0) & (ignored_s >= _MOSTLY * length_s)
    matches += _alone(found, {i for i, _ in pairs}, mostly, "false")
    return sorted(matches, key=lambda one: one.wanted or one.found or ())


def _matched(
    found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], other: Intervals, iou: float
) -> SpanMatch:
    (start_s, end_s), (true_start_s, true_end_s) = _pair(found), _pair(wanted)
    # Where time that does not count adjoins, the truth has no edge.
    goes_before = ((other[:, 0] < true_start_s) & (true_start_s <= other[:, 1])).any()
    goes_on = ((other[:, 0] <= true_end_s) & (true_end_s < other[:, 1])).any()
    return SpanMatch(
        "matched",
        _pair(wanted),
        _pair(found),
        iou,
        None if goes_before else start_s - true_start_s,
        None if goes_on else end_s - true_end_s,
    )


def _alone(
    spans: Intervals,
    paired: set[int],
    left_out: npt.NDArray[np.bool_],
    outcome: Literal["missed", "false"],
) -> Iterable[SpanMatch]:
    for row in sorted(set(range(len(spans))) - paired):
        says: Outcome = "left out" if left_out[row] else outcome
        span = _pair(spans[row])
        yield SpanMatch(says, *((span, None) if outcome == "missed" else (None, span)))


Clock = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def _clock(stopped: Intervals) -> Clock:
    """How many seconds have passed at a time, on a clock that stands still in some intervals."""
    stops = join_touching(stopped)
    lost_s = np.concatenate([[0.0], np.cumsum(stops[:, 1] - stops[:, 0])])
    edges, lost_at = stops.ravel(), np.repeat(lost_s, 2)[1:-1]

    def passed(time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        lost: npt.NDArray[np.float64] = (
            np.interp(time_s, edges, lost_at) if len(edges) else np.zeros_like(time_s)
        )
        return time_s - lost

    return passed


def _overlap(found: Intervals, wanted: Intervals, seconds: Clock) -> npt.NDArray[np.float64]:
    """Intersection over union of each found with each wanted span; 0 where they have no length."""
    got, want = seconds(found)[:, None], seconds(wanted)[None]
    common_s = np.minimum(got[..., 1], want[..., 1]) - np.maximum(got[..., 0], want[..., 0])
    common_s = np.maximum(common_s, 0.0)
    union_s = np.ptp(got, axis=-1) + np.ptp(want, axis=-1) - common_s
    iou: npt.NDArray[np.float64] = np.divide(
        common_s, union_s, out=np.zeros_like(common_s), where=union_s > 0
    )
    return iou


def _pair_best(iou: npt.NDArray[np.float64], min_iou: float) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(iou >= min_iou)
    free_row, free_column = set(rows.tolist()), set(columns.tolist())
    for at in np.argsort(-iou[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row in free_row and column in free_column:
            free_row.remove(row)
            free_column.remove(column)
            pairs.append((row, column))
    return pairs


def _pair(interval: npt.NDArray[np.float64]) -> tuple[float, float]:
    return float(interval[0]), float(interval[1])


# Rows and their totals ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What the found times of one person in one video, or of several, are worth."""

    video: str
    identity: str
    seconds: Agreement
    matches: Sequence[SpanMatch]

    def row(self, of: tuple[str, str | None, str | None]) -> dict[str, Any]:
        """A row of `schema.EVALUATION`; ``of`` is its level, video and identity."""
        count = {
            outcome: sum(one.outcome == outcome for one in self.matches)
            for outcome in ("matched", "missed", "false")
        }
        n_truth, n_found = count["matched"] + count["missed"], count["matched"] + count["false"]
        return {
            "level": of[0],
            "video": of[1],
            "identity": of[2],
            "truth_s": self.seconds.wanted_s,
            "found_s": self.seconds.found_s,
            "right_s": self.seconds.right_s,
            "missed_s": self.seconds.missed_s,
            "false_s": self.seconds.false_s,
            "precision": self.seconds.precision,
            "recall": self.seconds.recall,
            "f1": self.seconds.f1,
            "n_truth_spans": n_truth,
            "n_found_spans": n_found,
            "n_matched": count["matched"],
            "span_precision": share(count["matched"], n_found),
            "span_recall": share(count["matched"], n_truth),
            "span_f1": share(2 * count["matched"], n_truth + n_found),
            **_errors("start", [one.start_error_s for one in self.matches]),
            **_errors("end", [one.end_error_s for one in self.matches]),
        }

    def match_rows(self) -> Iterable[dict[str, Any]]:
        """Rows of `schema.SPAN_MATCHES`."""
        for one in self.matches:
            truth_s, found_s = one.wanted or (None, None), one.found or (None, None)
            yield {
                "video": self.video,
                "identity": self.identity,
                "outcome": one.outcome,
                "truth_start_s": truth_s[0],
                "truth_end_s": truth_s[1],
                "found_start_s": found_s[0],
                "found_end_s": found_s[1],
                "iou": one.iou,
                "start_error_s": one.start_error_s,
                "end_error_s": one.end_error_s,
            }


def _errors(edge: str, error_s: Sequence[float | None]) -> dict[str, Any]:
    known = np.array([one for one in error_s if one is not None], np.float64)
    median, p90 = np.percentile(np.abs(known), [50, 90]) if len(known) else (None, None)
    return {
        f"n_{edge}s": len(known),
        f"{edge}_error_median_s": median,
        f"{edge}_error_p90_s": p90,
        f"{edge}_bias_s": float(known.mean()) if len(known) else None,
    }


def _totals(cases: Sequence[_Judged]) -> Iterable[dict[str, Any]]:
    """Rows for each person, for each video, and in all: seconds and spans are added up."""
    by_identity: dict[str, list[_Judged]] = defaultdict(list)
    for case in cases:
        by_identity[case.identity].append(case)
    for identity in sorted(by_identity, key=plain_key):
        yield _added(by_identity[identity]).row(("identity", None, identity))
    for video, of_video in groupby(cases, key=lambda case: case.video):
        yield _added(list(of_video)).row(("video", video, None))
    yield _added(cases).row(("all", None, None))


def _added(cases: Sequence[_Judged]) -> _Judged:
    seconds = Agreement(
        sum(case.seconds.right_s for case in cases),
        sum(case.seconds.missed_s for case in cases),
        sum(case.seconds.false_s for case in cases),
    )
    return _Judged("", "", seconds, [one for case in cases for one in case.matches])


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=EVALUATION)
