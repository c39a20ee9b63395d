"""The asking corridors: lake → match → spans and what else tables can answer.

No video is opened and no model loaded.
"""

from facelake.query.match import Spread, match_gallery, spread_over_threads
from facelake.query.settings import SpanSettings
from facelake.query.spaces import choose_space, space_of
from facelake.query.spans import find_all_spans
from facelake.query.thresholds import choose_threshold, default_threshold

__all__ = [
    "SpanSettings",
    "Spread",
    "choose_space",
    "choose_threshold",
    "default_threshold",
    "find_all_spans",
    "match_gallery",
    "space_of",
    "spread_over_threads",
]
