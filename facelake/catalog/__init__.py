"""The front door: a catalog, and what can be asked of it.

`open_catalog` is lazy: it touches no disk. Every method is one call into a corridor; nothing is
computed here. A file beside this one for each kind of question.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facelake.catalog.ask import Asking
from facelake.catalog.build import Building
from facelake.catalog.decide import Deciding
from facelake.catalog.keep import Keeping
from facelake.catalog.people import Naming
from facelake.catalog.search import Searching
from facelake.catalog.sweep import Sweeping
from facelake.catalog.tables import Reading
from facelake.catalog.thresholds import Calibrating
from facelake.catalog.why import Explaining
from facelake.lake import is_url
from facelake.results import Calibration, Gallery, Scores, Spans

__all__ = ["Calibration", "Catalog", "Gallery", "Scores", "Spans", "open_catalog"]


def open_catalog(path: str | Path) -> Catalog:
    """The catalog in a folder, or at a URL such as ``s3://bucket/tv``; it need not be there yet.

    Examples
    --------
    >>> open_catalog("catalogs/tv")
    Catalog('catalogs/tv')
    """
    return Catalog(str(path) if is_url(path) else Path(path).expanduser())


@dataclass(frozen=True, repr=False)
class Catalog(
    Building,
    Asking,
    Deciding,
    Calibrating,
    Searching,
    Naming,
    Sweeping,
    Explaining,
    Reading,
    Keeping,
):
    """A catalog of faces in videos: a folder of Parquet tables.

    Attributes
    ----------
    path
        The folder, or the URL.
    """
