"""Scored faces at examined instants → the rows that can be hits, and how far each one reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from facelake.schema import SpanRules

# As in facelake.spans: what is equal on paper counts as equal.
_TOLERANCE_S = 1e-9


@dataclass(frozen=True)
class Hits:
    """Samples that can be hits: those of one group, a video and an identity, after another.

    Within a group they are in order of time. All arrays have shape ``(n,)``; rows are counted over
    all groups.

    Attributes
    ----------
    group
        Number of the group, int64, not decreasing.
    face
        The face with the best score at this instant, the first of equals; int64.
    score
        Its score, float64.
    time_s, end_s
        When the frame comes and when it leaves the screen, in seconds, float64.
    links_to
        The last row that can be linked with this one while nothing between them is a hit, int64.
    joins_to
        The same with bridging, int64; never before ``links_to``.
    long_to
        The first row up to which a span that begins here is long enough, int64; −1: none is.
    long_from
        The last row from which a span that ends here is long enough, int64; −1: none is.
    """

    group: npt.NDArray[np.int64]
    face: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    time_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    links_to: npt.NDArray[np.int64]
    joins_to: npt.NDArray[np.int64]
    long_to: npt.NDArray[np.int64]
    long_from: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.group)


def find_hits(
    time_s: npt.ArrayLike,
    shown_s: npt.ArrayLike,
    *,
    group: npt.ArrayLike,
    sample: npt.ArrayLike,
    score: npt.ArrayLike,
    rules: SpanRules,
    lowest: float,
) -> Hits:
    """The samples of one video that can be hits, for all of its groups at once.

    Parameters
    ----------
    time_s, shown_s
        Examined instants of the video, strictly increasing, and how long each frame stays on
        screen, in seconds, shape ``(n,)``.
    group
        The identity that each face counts for, as a number from 0, shape ``(m,)``.
    sample
        Which of the instants each face was seen at, shape ``(m,)``, in [0, n).
    score
        Score of each face, shape ``(m,)``.
    rules
        Tolerances; its threshold has no say here.
    lowest
        Faces with a lower score can never be a hit.

    Raises
    ------
    ValueError
        The faces' arrays differ in length, a score is NaN, or a face lies at no instant.

    Examples
    --------
    >>> from facelake.schema import SpanRules
    >>> faces = {"group": [0, 0, 1], "sample": [0, 1, 1], "score": [0.4, 0.1, 0.6]}
    >>> hits = find_hits([0.0, 0.2], [0.04, 0.04], **faces, rules=SpanRules(0.3), lowest=0.2)
    >>> hits.group.tolist(), hits.time_s.tolist()
    ([0, 1], [0.0, 0.2])
    """
    times, shown = np.asarray(time_s, np.float64), np.asarray(shown_s, np.float64)
    groups, samples = np.asarray(group, np.int64), np.asarray(sample, np.int64)
    scores = np.asarray(score, np.float64)
    _refuse_faces(groups, samples, scores, len(times))
    face = _best_of_each(groups, samples, scores, lowest)
    rows = _Rows(groups[face], samples[face], len(times))
    ends = np.minimum(times + shown, np.append(times[1:], np.inf)[: len(times)])
    links_to = _last_linked(times, rules)
    joins_to = np.maximum(links_to, _last_bridged(times, ends, rules))
    long_to, long_from = _long_enough(times, ends, rules)
    return Hits(
        group=rows.group,
        face=face,
        score=scores[face],
        time_s=times[rows.sample],
        end_s=ends[rows.sample],
        links_to=rows.until(links_to),
        joins_to=rows.until(joins_to),
        long_to=rows.since(long_to),
        long_from=rows.until(long_from),
    )


def concat_hits(parts: Sequence[Hits]) -> Hits:
    """The hits of several videos, one after another; their groups must be numbered apart."""
    offsets = np.cumsum([0, *map(len, parts)])

    def rows(name: str) -> npt.NDArray[np.int64]:
        moved = [
            np.where(getattr(part, name) < 0, -1, getattr(part, name) + offset)
            for part, offset in zip(parts, offsets, strict=False)
        ]
        return np.concatenate([np.empty(0, np.int64), *moved])

    def values(name: str, dtype: type) -> npt.NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])

    return Hits(
        group=values("group", np.int64),
        face=values("face", np.int64),
        score=values("score", np.float64),
        time_s=values("time_s", np.float64),
        end_s=values("end_s", np.float64),
        **{name: rows(name) for name in ("links_to", "joins_to", "long_to", "long_from")},
    )


def _refuse_faces(
    group: npt.NDArray[np.int64],
    sample: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    n_samples: int,
) -> None:
    if not group.shape == sample.shape == score.shape or group.ndim != 1:
        raise ValueError(
            "group, sample and score must have one row per face, but have shapes "
            f"{group.shape}, {sample.shape} and {score.shape}"
        )
    unknown = np.flatnonzero(np.isnan(score))
    if len(unknown):
        raise ValueError(
            f"every score must be a number, but score[{unknown[0]}] is NaN ({len(unknown)} are); "
            "leave out the faces that were not compared"
        )
    stray = np.flatnonzero((sample < 0) | (sample >= n_samples))
    if len(stray):
        raise ValueError(
            f"every face must lie at one of the {n_samples} examined instants, but "
            f"sample[{stray[0]}] = {sample[stray[0]]}"
        )


def _best_of_each(
    group: npt.NDArray[np.int64],
    sample: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    lowest: float,
) -> npt.NDArray[np.int64]:
    """The best face of each group and instant, by both; the first of equals."""
    kept = np.flatnonzero(score >= lowest)
    order: npt.NDArray[np.int64] = kept[np.lexsort((sample[kept], group[kept]))]
    new = (np.diff(group[order], prepend=-1) != 0) | (np.diff(sample[order], prepend=-1) != 0)
    first = np.flatnonzero(new)
    if len(first) == len(order):  # nobody is seen twice at an instant
        return order
    ranked = score[order]
    best = np.maximum.reduceat(ranked, first)[np.cumsum(new) - 1]
    is_best = np.flatnonzero(ranked == best)
    instant = np.cumsum(new)[is_best]
    chosen: npt.NDArray[np.int64] = order[is_best[np.diff(instant, prepend=0) != 0]]
    return chosen


@dataclass(frozen=True)
class _Rows:
    """Rows by group and sample, and the way from samples back to rows."""

    group: npt.NDArray[np.int64]
    sample: npt.NDArray[np.int64]
    n_samples: int

    def until(self, last_sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each row the last one of its group at or before a sample; −1 where there is none."""
        row = np.searchsorted(self._key, self._wanted(last_sample), "right") - 1
        return np.where(self._same_group(row), row, -1)

    def since(self, first_sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each row the first one of its group at or after a sample; −1 where there is none."""
        row = np.searchsorted(self._key, self._wanted(first_sample), "left")
        found: npt.NDArray[np.int64] = np.where(self._same_group(row), row, -1)
        return found

    @property
    def _key(self) -> npt.NDArray[np.int64]:
        return self.group * (self.n_samples + 2) + self.sample

    def _wanted(self, of_sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return self.group * (self.n_samples + 2) + of_sample[self.sample]

    def _same_group(self, row: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        inside = (row >= 0) & (row < len(self.group))
        same: npt.NDArray[np.bool_] = inside & (self.group[np.where(inside, row, 0)] == self.group)
        return same


# Which samples may belong together --------------------------------------------------------------


def _last_linked(times: npt.NDArray[np.float64], rules: SpanRules) -> npt.NDArray[np.int64]:
    """The last sample that a hit at each sample is linked with when nothing between them is one."""
    near = np.searchsorted(times, times + (rules.miss_s + _TOLERANCE_S), "right") - 1
    blind = np.flatnonzero(np.diff(times) > rules.blind_s + _TOLERANCE_S)
    here = np.arange(len(times))
    looked_to = np.append(blind, len(times) - 1)[np.searchsorted(blind, here, "left")]
    linked: npt.NDArray[np.int64] = np.minimum(np.maximum(near, here + 1), looked_to)
    return linked


def _last_bridged(
    times: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], rules: SpanRules
) -> npt.NDArray[np.int64]:
    return np.searchsorted(times, ends + (rules.bridge_s + _TOLERANCE_S), "right") - 1


def _long_enough(
    times: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], rules: SpanRules
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """From each sample the first that ends a span long enough, to each the last that begins one."""
    shortest_s = rules.min_span_s - _TOLERANCE_S
    here = np.arange(len(times))
    to = np.searchsorted(ends, times + shortest_s, "left")
    since = np.searchsorted(times, ends - shortest_s, "right") - 1
    return np.maximum(to, here), np.minimum(since, here)
