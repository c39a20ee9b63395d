"""Levels → how many spans there are at each threshold, and how long they last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from facelake.sweep.hits import Hits
    from facelake.sweep.levels import Levels


@dataclass(frozen=True)
class SpanCounts:
    """Spans of every group at every threshold; arrays of shape ``(n_groups, n_thresholds)``.

    Attributes
    ----------
    n_spans
        How many, int64.
    seconds
        How long they last together, float64.
    """

    n_spans: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]


def check_thresholds(thresholds: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The thresholds as an array, shape ``(n,)``, float64.

    Raises
    ------
    ValueError
        There is none, one lies outside of [−1, 1], or they are not increasing.
    """
    levels = np.asarray(thresholds, np.float64)
    if levels.ndim != 1 or not len(levels):
        raise ValueError(
            f"thresholds must be one or more numbers, but have shape {levels.shape}; such as "
            "[0.2, 0.3, 0.4]"
        )
    wrong = np.flatnonzero(~((levels >= -1.0) & (levels <= 1.0)))
    if len(wrong):
        raise ValueError(
            "thresholds must lie in [-1, 1] because scores are cosine similarities, but "
            f"thresholds[{wrong[0]}] = {levels[wrong[0]]}"
        )
    wrong = np.flatnonzero(np.diff(levels) <= 0)
    if len(wrong):
        row = wrong[0] + 1
        raise ValueError(
            f"thresholds must be strictly increasing, but thresholds[{row}] = {levels[row]} "
            f"follows {levels[row - 1]}; sort them and give each once"
        )
    return levels


def count_spans(
    hits: Hits, levels: Levels, thresholds: npt.NDArray[np.float64], *, n_groups: int
) -> SpanCounts:
    """Number and seconds of the spans of every group at every threshold.

    Parameters
    ----------
    hits, levels
        Of all groups.
    thresholds
        As `check_thresholds` gives them.
    n_groups
        Groups are numbered from 0 to below this.

    Examples
    --------
    >>> from facelake.schema import SpanRules
    >>> from facelake.sweep import find_hits, find_levels
    >>> faces = {"group": [0, 0, 0], "sample": [0, 1, 2], "score": [0.5, 0.2, 0.4]}
    >>> rules = SpanRules(0.3, miss_s=0.0)
    >>> hits = find_hits([0.0, 0.2, 0.4], [0.1] * 3, **faces, rules=rules, lowest=-1.0)
    >>> thresholds = np.array([0.2, 0.3, 0.45])
    >>> count_spans(hits, find_levels(hits, rules), thresholds, n_groups=1).n_spans.tolist()
    [[1, 2, 1]]
    """
    tally = _Tally(hits.group, thresholds, n_groups)
    # Differences of times cancel; measured from each group's start they stay small.
    origin_s = hits.time_s[np.searchsorted(hits.group, hits.group, "left")]
    begin = tally.interval(levels.joined_before, levels.begins)
    end = tally.interval(levels.joined, levels.ends)
    n_spans = np.rint(tally.sums(begin, np.ones(len(hits)))).astype(np.int64)
    seconds = tally.sums(end, hits.end_s - origin_s) - tally.sums(begin, hits.time_s - origin_s)
    return SpanCounts(n_spans, np.where(n_spans > 0, np.maximum(seconds, 0.0), 0.0))


def count_at_least(
    group: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    thresholds: npt.NDArray[np.float64],
    *,
    n_groups: int,
) -> npt.NDArray[np.int64]:
    """How many rows of each group score at least each threshold; ``(n_groups, n_thresholds)``.

    Examples
    --------
    >>> count_at_least(np.array([0, 1]), np.array([0.3, 0.1]), np.array([0.1, 0.3]), n_groups=2)
    array([[1, 1],
           [1, 0]])
    """
    width = len(thresholds) + 1
    passed = np.searchsorted(thresholds, score, "right")
    counts = np.bincount(group * width + passed, minlength=n_groups * width)
    at_least: npt.NDArray[np.int64] = counts.reshape(n_groups, width)[:, :0:-1].cumsum(axis=1)
    return at_least[:, ::-1]


def best_of_tracks(
    group: npt.NDArray[np.int64], track_id: npt.NDArray[np.int64], score: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The group and the best score of each track within its group.

    Examples
    --------
    >>> best_of_tracks(np.array([0, 0, 1]), np.array([7, 7, 7]), np.array([0.1, 0.3, 0.2]))
    (array([0, 1]), array([0.3, 0.2]))
    """
    order = np.lexsort((track_id, group))
    groups, tracks = group[order], track_id[order]
    new = (np.diff(groups, prepend=-1) != 0) | (np.diff(tracks, prepend=-1) != 0)
    first = np.flatnonzero(new)
    return groups[first], np.maximum.reduceat(score[order], first) if len(first) else score[:0]


def widest_plateaus(
    n_spans: npt.NDArray[np.int64],
    identity: npt.NDArray[np.int64],
    thresholds: npt.NDArray[np.float64],
    *,
    n_identities: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The widest range of thresholds over which an identity has as many spans in every video.

    Parameters
    ----------
    n_spans
        As in `SpanCounts`, shape ``(n_groups, n_thresholds)``.
    identity
        Of each group, a number from 0, shape ``(n_groups,)``.

    Returns
    -------
    first, last
        The range's ends as places in ``thresholds``, shape ``(n_identities,)``; of equally wide
        ranges the lowest. −1 where an identity has no span at any threshold.
    """
    changes = np.zeros((n_identities, len(thresholds)), bool)
    np.logical_or.at(changes[:, 1:], identity, np.diff(n_spans, axis=1) != 0)
    some = np.zeros((n_identities, len(thresholds)), bool)
    np.logical_or.at(some, identity, n_spans > 0)
    first, last = np.full(n_identities, -1), np.full(n_identities, -1)
    for number in range(n_identities):
        begins = np.flatnonzero(changes[number] | (np.arange(len(thresholds)) == 0))
        ends = np.append(begins[1:], len(thresholds)) - 1
        filled = np.flatnonzero(some[number, begins])
        if len(filled):
            widths = np.round(thresholds[ends[filled]] - thresholds[begins[filled]], 9)
            widest = filled[np.argmax(widths)]
            first[number], last[number] = begins[widest], ends[widest]
    return first, last


@dataclass(frozen=True)
class _Tally:
    """Sums over intervals of thresholds, for every group."""

    group: npt.NDArray[np.int64]
    thresholds: npt.NDArray[np.float64]
    n_groups: int

    def interval(
        self, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.intp], ...]:
        """Rows with a threshold in ``(low, high]``: which, the first and the one after the last."""
        row = np.flatnonzero(low < high)
        first = np.searchsorted(self.thresholds, low[row], "right")
        stop = np.searchsorted(self.thresholds, high[row], "right")
        some = first < stop
        return row[some], first[some], stop[some]

    def sums(
        self, interval: tuple[npt.NDArray[np.intp], ...], weight: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """The weights of the rows whose interval holds each threshold, added up."""
        row, first, stop = interval
        width = len(self.thresholds) + 1
        cell = self.group[row] * width
        change = np.bincount(
            np.concatenate([cell + first, cell + stop]),
            weights=np.concatenate([weight[row], -weight[row]]),
            minlength=self.n_groups * width,
        )
        summed: npt.NDArray[np.float64] = change.reshape(self.n_groups, width).cumsum(axis=1)
        return summed[:, :-1]
