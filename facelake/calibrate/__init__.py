"""The calibrate room: error rates of an archive from its own faces, without a label.

`sample_pairs` makes pairs of one video's faces, of which it is known by where they were seen
whether they are one person; `Curves` tells the error rates of the pairs of all videos, and which
threshold gives the false match rate that somebody wants.
"""

from facelake.calibrate.choose import Curves, Interval, ThresholdChoice, percent
from facelake.calibrate.counts import GENUINE, Kind, PairCounts
from facelake.calibrate.faces import VideoFaces
from facelake.calibrate.pairs import (
    COUNTED,
    OVERLAPPING,
    SEEN_TWICE,
    LookAlike,
    VideoPairs,
    sample_pairs,
)
from facelake.calibrate.settings import PairSettings
from facelake.calibrate.tables import choice_table, quality_table, rate_table, size_table

__all__ = [
    "COUNTED",
    "GENUINE",
    "OVERLAPPING",
    "SEEN_TWICE",
    "Curves",
    "Interval",
    "Kind",
    "LookAlike",
    "PairCounts",
    "PairSettings",
    "ThresholdChoice",
    "VideoFaces",
    "VideoPairs",
    "choice_table",
    "percent",
    "quality_table",
    "rate_table",
    "sample_pairs",
    "size_table",
]
