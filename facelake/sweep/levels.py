"""Hits → the thresholds at which neighbours share a span and at which a span begins or ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelake.sweep.blocks import Blocks, highest_over_edges

if TYPE_CHECKING:
    import numpy.typing as npt

    from facelake.schema import SpanRules
    from facelake.sweep.hits import Hits


@dataclass(frozen=True)
class Levels:
    """What is to be known of the hits to tell their spans at any threshold.

    At threshold ``t`` a span begins at row ``k`` when ``joined[k - 1] < t <= begins[k]``, and ends
    there when ``joined[k] < t <= ends[k]``. All arrays are float64 of shape ``(n,)``.

    Attributes
    ----------
    joined
        The highest threshold at which rows ``k`` and ``k + 1`` share a span; −∞ where they never
        do, as at the end of a group.
    begins
        The highest threshold at which a span that begins here is kept.
    ends
        The highest threshold at which a span that ends here is kept.
    """

    joined: npt.NDArray[np.float64]
    begins: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]

    @property
    def joined_before(self) -> npt.NDArray[np.float64]:
        """The highest threshold at which rows ``k - 1`` and ``k`` share a span."""
        return np.append(-np.inf, self.joined)[: len(self.joined)]


def find_levels(hits: Hits, rules: SpanRules) -> Levels:
    """The thresholds at which neighbouring hits share a span and at which spans begin and end.

    Parameters
    ----------
    hits
        Made with these rules.
    rules
        Its threshold has no say; an exit threshold above the one looked at is lowered to it, as
        `SpanRules.at` does.

    Examples
    --------
    Three samples 0.2 s apart; the first and the last are joined over the one in the middle, which
    a miss of up to 1 s tolerates, up to the lower score of the two:

    >>> from facelake.schema import SpanRules
    >>> from facelake.sweep import find_hits
    >>> faces = {"group": [0, 0, 0], "sample": [0, 1, 2], "score": [0.5, 0.2, 0.4]}
    >>> rules = SpanRules(0.3)
    >>> hits = find_hits([0.0, 0.2, 0.4], [0.0] * 3, **faces, rules=rules, lowest=-1.0)
    >>> find_levels(hits, rules).joined.tolist()
    [0.4, 0.4, -inf]
    """
    score = hits.score if rules.exit_threshold is None else _entering(hits, rules.exit_threshold)
    joined = _join_levels(score, hits.joins_to)
    begins = ends = score
    if rules.min_span_s > 0:
        begins, ends = _where_long(hits, joined, begins, ends)
    if rules.min_hits > 1:
        begins, ends = _where_many(hits, rules, joined, begins, ends)
    return Levels(joined, begins, ends)


def _entering(hits: Hits, stay: float) -> npt.NDArray[np.float64]:
    """Scores by which a span with an exit threshold looks like one without.

    A run of hits at the exit threshold counts from its first score at the threshold to its end.
    That is where the highest score of the run so far is at the threshold; so every score becomes
    that. Below the exit threshold, where both are the same threshold, nothing changes.
    """
    row = np.flatnonzero(hits.score >= stay)
    apart = hits.links_to[row[:-1]] < row[1:]
    run = np.cumsum(np.append(0, apart))[: len(row)]
    known, rank = np.unique(hits.score[row], return_inverse=True)
    # Ranks are integers: the highest so far within each run comes out exactly.
    highest = np.maximum.accumulate(run * len(known) + rank) - run * len(known)
    score = hits.score.copy()
    score[row] = known[highest]
    return score


def _join_levels(
    score: npt.NDArray[np.float64], joins_to: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The highest threshold at which each row and the next share a span.

    Of all pairs of rows those matter between which no score reaches the lower of the two: from
    each row to the nearest one at or above it, on either side.
    """
    n, row = len(score), np.arange(len(score))
    stop, begin = joins_to + 1, np.searchsorted(joins_to, row, "left")
    longest = int((stop - row).max(initial=1))
    after = Blocks(-score, longest=longest).first_at_most(row + 1, stop, -score)
    mirrored = Blocks(-score[::-1], longest=longest)
    before = n - 1 - mirrored.first_at_most(n - row, n - begin, -score)
    right, left = np.flatnonzero(after < stop), np.flatnonzero(before >= begin)
    return highest_over_edges(
        np.concatenate([right, before[left]]),
        np.concatenate([after[right], left]),
        np.concatenate([score[right], score[left]]),
        n,
    )


def _where_long(
    hits: Hits,
    joined: npt.NDArray[np.float64],
    begins: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Begins and ends of spans that are long enough: joined all the way to where they are."""
    row = np.arange(len(hits))
    to, since = np.maximum(hits.long_to, row), np.where(hits.long_from < 0, row, hits.long_from)
    longest = int(max((to - row).max(initial=0), (row - since).max(initial=0)))
    blocks = Blocks(joined, longest=longest)
    to_end = np.where(hits.long_to < 0, -np.inf, blocks.lowest(row, to))
    from_start = np.where(hits.long_from < 0, -np.inf, blocks.lowest(since, row))
    return np.minimum(begins, to_end), np.minimum(ends, from_start)


def _where_many(
    hits: Hits,
    rules: SpanRules,
    joined: npt.NDArray[np.float64],
    begins: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Begins and ends of spans that hold enough hits."""
    score = hits.score
    if rules.exit_threshold is not None:  # from there on it is a hit at any threshold
        score = np.where(score >= rules.exit_threshold, np.inf, score)
    ahead = _with_hits_ahead(score, joined, rules.min_hits)
    mirrored = np.append(joined[:-1][::-1], -np.inf)[: len(joined)]
    behind = _with_hits_ahead(score[::-1], mirrored, rules.min_hits)[::-1]
    return np.minimum(begins, ahead), np.minimum(ends, behind)


def _with_hits_ahead(
    score: npt.NDArray[np.float64], joined: npt.NDArray[np.float64], n_hits: int
) -> npt.NDArray[np.float64]:
    """The highest threshold at which each row is a hit and ``n_hits - 1`` follow in its span."""
    level = score
    for _ in range(n_hits - 1):
        level = np.minimum(score, _best_ahead(level, joined))
    return level


def _best_ahead(
    level: npt.NDArray[np.float64], joined: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The highest threshold at which each row shares a span with a later one of that level.

    ``best[k] = min(joined[k], max(level[k + 1], best[k + 1]))``, which limits ``best[k + 1]`` to
    a range; two such limits after each other are one again, so they are put together in steps
    that double (Blelloch, "Prefix sums and their applications", 1990).
    """
    most = joined
    least: npt.NDArray[np.float64] = np.minimum(
        joined, np.append(level[1:], -np.inf)[: len(joined)]
    )
    step = 1
    while step < len(joined) and (least < most).any():
        here = slice(None, -step)
        new_least, new_most = least.copy(), np.minimum(most, least)
        new_least[here] = np.minimum(most[here], np.maximum(least[here], least[step:]))
        new_most[here] = np.minimum(most[here], np.maximum(least[here], most[step:]))
        least, most = new_least, new_most
        step *= 2
    return least
