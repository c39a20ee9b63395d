"""What a catalog is for, until when it may be kept and who answers for it; and its end."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from facelake.errors import CatalogError
from facelake.lake.lake import Lake
from facelake.lake.layout import CATALOG_FILE
from facelake.lake.stores.store import LocalStore

PURPOSE, RETAIN_UNTIL, CONTACT = "purpose", "retain_until", "contact"


def describe_catalog(
    lake: Lake,
    *,
    purpose: str | None = None,
    retain_until: date | str | None = None,
    contact: str | None = None,
) -> None:
    """Note in ``catalog.json`` what a catalog is for; what is ``None`` stays as it is.

    Parameters
    ----------
    purpose, contact
        Any words; empty takes them away.
    retain_until
        The last day on which it may be kept, in UTC; empty takes it away.

    Raises
    ------
    ValueError
        That is no day.
    """
    day = _day(retain_until).isoformat() if retain_until else retain_until
    notes = {PURPOSE: purpose, RETAIN_UNTIL: day, CONTACT: contact}
    with lake.changing() as told:
        for name, words in notes.items():
            if words:
                told[name] = words
            elif words is not None:
                told.pop(name, None)


def description(lake: Lake) -> dict[str, Any]:
    """What ``catalog.json`` tells of purpose, last day and contact; ``None`` where it does not."""
    return {name: lake.told.get(name) for name in (PURPOSE, RETAIN_UNTIL, CONTACT)}


def last_day(lake: Lake) -> date | None:
    """The last day on which a catalog may be kept; ``None`` where nobody set one.

    Raises
    ------
    CatalogError
        ``catalog.json`` holds something else than a day.
    """
    told = lake.told.get(RETAIN_UNTIL)
    try:
        return None if told is None else _day(str(told))
    except ValueError as error:
        raise CatalogError(f"{lake.where}: {error}") from error


def today_utc() -> date:
    """Today, as catalogs count days."""
    return datetime.now(UTC).date()


def _day(told: date | str) -> date:
    try:
        return told if isinstance(told, date) else date.fromisoformat(told)
    except ValueError as error:
        raise ValueError(
            f"{RETAIN_UNTIL} must be a day such as 2027-12-31, but is {told!r}"
        ) from error


def remove_catalog(lake: Lake) -> None:
    """Remove a whole catalog with its scratch store.

    ``catalog.json`` goes last: a removal that is interrupted leaves a catalog, which the next one
    finds.

    Raises
    ------
    CatalogError
        Somebody is writing into it, or something cannot be removed.
    """
    with lake.clearing() as is_alone:
        if not is_alone and lake.scratch.has_locks:
            raise CatalogError(
                f"{lake.where}: must not be written while it is removed, but somebody does; let "
                "the ingest end, then give the same command again"
            )
        for top, is_folder in sorted({_top(entry.name) for entry in lake.store.find()}):
            if is_folder:
                lake.store.remove_tree(top)
            elif top != CATALOG_FILE:
                lake.store.remove(top)
        lake.scratch.remove_tree("")
    left = [entry.name for entry in lake.store.find() if entry.name != CATALOG_FILE]
    left += [f"scratch/{entry.name}" for entry in lake.scratch.find()]
    if left:
        raise CatalogError(
            f"{lake.where}: all of it must go, but {left[0]} cannot be removed; check its rights "
            "and give the same command again"
        )
    lake.store.remove(CATALOG_FILE)
    if isinstance(lake.store, LocalStore):
        lake.store.remove_tree("")


def _top(name: str) -> tuple[str, bool]:
    """The first part of a file's name, and whether that is a folder."""
    top, slash, _ = name.partition("/")
    return top, bool(slash)
