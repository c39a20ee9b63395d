"""The sweep room: the spans at every threshold at once, and over which thresholds each one lives.

Lower the threshold and hits are added, never taken away; two hits that share a span go on sharing
one. So for every two neighbouring rows there is one number, the highest threshold at which they
share a span, and from these numbers and the scores follows everything: at threshold ``t`` a span
begins where ``joined before < t <= score`` and ends where ``joined after < t <= score``. Counts and
seconds at all thresholds are histograms of these intervals; the lives of the spans are the merge
tree of the same numbers.

Rows of many videos and identities go through together, one group after another: the cost is that
of the rows, not of the groups.
"""

from facelake.sweep.counts import (
    SpanCounts,
    best_of_tracks,
    check_thresholds,
    count_at_least,
    count_spans,
    widest_plateaus,
)
from facelake.sweep.hits import Hits, concat_hits, find_hits
from facelake.sweep.levels import Levels, find_levels
from facelake.sweep.lives import Lives, find_lives

__all__ = [
    "Hits",
    "Levels",
    "Lives",
    "SpanCounts",
    "best_of_tracks",
    "check_thresholds",
    "concat_hits",
    "count_at_least",
    "count_spans",
    "find_hits",
    "find_levels",
    "find_lives",
    "widest_plateaus",
]
