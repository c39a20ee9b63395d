"""Which threshold is meant where none is given."""

from __future__ import annotations

from datetime import UTC, datetime

from facelake.calibrate import ThresholdChoice
from facelake.errors import CatalogError
from facelake.lake import Lake
from facelake.lake.thresholds import read_threshold, write_threshold
from facelake.query.spaces import choose_space
from facelake.schema import StoredThreshold

_BY_HAND = "set by hand"


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
            f"{lake.where}: no threshold is given and none is stored; give one (--threshold), "
            f"keep one (facelake calibrate -c {lake.where} --set 0.30), or let the archive say: "
            f"facelake calibrate -c {lake.where} --fmr 0.001 --store"
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


def store_threshold(
    lake: Lake, threshold: float | ThresholdChoice, *, note: str = "", space: str | None = None
) -> StoredThreshold:
    """Keep a threshold as the one that is taken where none is given; gives what is kept.

    Parameters
    ----------
    threshold
        In [−1, 1], or a choice with its evidence.
    note
        Where it comes from, for a person.
    space
        ``None`` is the choice's, else the one that is asked.

    Raises
    ------
    ValueError
        The threshold is outside of [−1, 1], or a choice is of another space.
    CatalogError
        The catalog has no such space.
    """
    if not isinstance(threshold, ThresholdChoice):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stored = StoredThreshold(float(threshold), note or _BY_HAND, now)
        write_threshold(lake, choose_space(lake, space), stored)
        return stored
    if space not in (None, threshold.space):
        raise ValueError(
            f"a threshold counts for the space it was chosen in, {threshold.space}, but {space} "
            "was named; calibrate that space"
        )
    stored = threshold.to_stored(note)
    write_threshold(lake, threshold.space, stored)
    return stored


def clear_threshold(lake: Lake, space: str | None = None) -> None:
    """Take the stored threshold away; from then on one must be given."""
    write_threshold(lake, choose_space(lake, space), None)
