"""The threshold that a catalog keeps for each space, in ``catalog.json``."""

from __future__ import annotations

from facelake.errors import CatalogError
from facelake.lake.lake import Lake
from facelake.schema import StoredThreshold

_THRESHOLDS = "thresholds"


def read_threshold(lake: Lake, space: str) -> StoredThreshold | None:
    """The threshold to take in a space where none is given; ``None`` where none is stored.

    Raises
    ------
    CatalogError
        ``catalog.json`` holds something else there.
    """
    told = lake.told.get(_THRESHOLDS, {}).get(space)
    if told is None:
        return None
    try:
        return StoredThreshold.from_dict(told)
    except ValueError as error:
        raise CatalogError(
            f"{lake.where}: its stored threshold cannot be read ({error}); store it anew"
        ) from error


def write_threshold(lake: Lake, space: str, threshold: StoredThreshold | None) -> None:
    """Store the threshold of a space; ``None`` takes it away.

    Raises
    ------
    CatalogError
        The catalog has no such space.
    """
    lake.dim(space)
    with lake.changing() as told:
        kept = dict(told.get(_THRESHOLDS, {}))
        kept.pop(space, None)
        if threshold is not None:
            kept[space] = threshold.to_dict()
        told[_THRESHOLDS] = kept
