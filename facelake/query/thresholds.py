"""Which threshold is meant where none is given."""

from __future__ import annotations

from facelake.errors import CatalogError
from facelake.lake import Lake
from facelake.lake.thresholds import read_threshold
from facelake.schema import StoredThreshold


def default_threshold(lake: Lake, space: str) -> StoredThreshold:
    """The threshold that the catalog keeps for a space.

    Raises
    ------
    CatalogError
        None is stored.
    """
    stored = read_threshold(lake, space)
    if stored is None:
        raise CatalogError(
            f"{lake.where}: no threshold is given and none is stored; give one (--threshold), or "
            f"let the archive say: facelake calibrate -c {lake.where} --store"
        )
    return stored


def choose_threshold(lake: Lake, space: str, threshold: float | None) -> tuple[float, str]:
    """The given threshold, else the one that the catalog keeps for this space; and its note.

    Raises
    ------
    CatalogError
        Neither is there.
    """
    if threshold is not None:
        return threshold, ""
    stored = default_threshold(lake, space)
    return stored.threshold, stored.note
