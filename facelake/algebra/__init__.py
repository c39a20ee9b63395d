"""The algebra of spans: time in both, in either, in one and not the other; near, inside, together.

Arrow tables in, Arrow tables out. `tables` takes any rows that have ``video_id``, ``start_s`` and
``end_s``; `spans` takes rows of `schema.SPANS` and says what becomes of their scores; `together`
counts; `join` lays spans beside other tables with times. docs/algebra.md draws all of it.
"""

from facelake.algebra.join import join_times, parse_cues
from facelake.algebra.spans import (
    and_spans,
    coalesce_spans,
    dilate_spans,
    in_span_order,
    minus_spans,
    or_spans,
)
from facelake.algebra.tables import (
    and_,
    before,
    coalesce,
    dilate,
    during,
    minus,
    or_,
    overlapping,
    within,
)
from facelake.algebra.together import (
    co_occurrence,
    co_occurrence_matrix,
    first_appearance,
    last_appearance,
    screen_time,
)

__all__ = [
    "and_",
    "and_spans",
    "before",
    "co_occurrence",
    "co_occurrence_matrix",
    "coalesce",
    "coalesce_spans",
    "dilate",
    "dilate_spans",
    "during",
    "first_appearance",
    "in_span_order",
    "join_times",
    "last_appearance",
    "minus",
    "minus_spans",
    "or_",
    "or_spans",
    "overlapping",
    "parse_cues",
    "screen_time",
    "within",
]
