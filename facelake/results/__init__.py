"""What a catalog answers with: tables that can be asked on.

Every method is one call into a corridor; nothing is computed here.
"""

from facelake.results.gallery import Gallery
from facelake.results.scores import Scores
from facelake.results.spans import Spans

__all__ = ["Gallery", "Scores", "Spans"]
