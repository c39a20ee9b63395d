"""What a catalog answers with: tables that can be asked on.

Every method is one call into a corridor; nothing is computed here.
"""

from facelake.results.calibration import Calibration
from facelake.results.decisions import Decisions
from facelake.results.evaluation import Evaluation
from facelake.results.gallery import Gallery, GalleryGrowth
from facelake.results.pairs import PairEvaluation, evaluate_photo_pairs
from facelake.results.people import People
from facelake.results.scores import Scores
from facelake.results.search import Copies, Search
from facelake.results.spans import Spans
from facelake.results.sweep import Sweep, SweepGrid

__all__ = [
    "Calibration",
    "Copies",
    "Decisions",
    "Evaluation",
    "Gallery",
    "GalleryGrowth",
    "PairEvaluation",
    "People",
    "Scores",
    "Search",
    "Spans",
    "Sweep",
    "SweepGrid",
    "evaluate_photo_pairs",
]
