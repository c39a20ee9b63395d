"""Ending catalogs whose last day has passed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from facelake.errors import CatalogError
from facelake.lake import Lake, is_url
from facelake.lake.forget.retention import description, last_day, remove_catalog, today_utc
from facelake.lake.layout import CATALOG_FILE


@dataclass(frozen=True)
class Expired:
    """A catalog whose last day has passed.

    Attributes
    ----------
    root
        Its folder or URL.
    told
        Its purpose, last day and contact, as ``catalog.json`` tells them.
    size_bytes
        Of all its files.
    """

    root: str
    told: dict[str, Any]
    size_bytes: int


def find_expired(
    roots: Iterable[str | Path], *, today: date | None = None
) -> tuple[list[Expired], list[str]]:
    """The catalogs whose last day has passed, and sentences about those that cannot be read.

    A catalog without a last day is never among them.

    Parameters
    ----------
    roots
        Catalogs, and folders with catalogs in them.
    today
        ``None`` is today in UTC.

    Raises
    ------
    CatalogError
        There is no such folder.
    """
    expired, troubles = [], []
    for root in dict.fromkeys(path for place in roots for path in _catalogs(place)):
        try:
            lake = Lake.open(root)
            if _has_passed(last_day(lake), today):
                expired.append(Expired(root, description(lake), lake.size_bytes()))
        except CatalogError as error:
            troubles.append(str(error))
    return expired, troubles


def purge_catalog(lake: Lake, *, today: date | None = None) -> None:
    """Remove a whole catalog, and its unfinished work, whose last day has passed.

    Raises
    ------
    CatalogError
        It has no last day, or that has not passed; or something cannot be removed.
    """
    day = last_day(lake)
    if not _has_passed(day, today):
        until = "it has no last day" if day is None else f"it may be kept until {day}"
        raise CatalogError(
            f"{lake.where}: only a catalog whose last day has passed is removed, but {until}; "
            "facelake describe --retain-until sets it"
        )
    remove_catalog(lake)


def _has_passed(day: date | None, today: date | None) -> bool:
    return day is not None and (today_utc() if today is None else today) > day


def _catalogs(place: str | Path) -> list[str]:
    if is_url(place):
        return [str(place)]
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise CatalogError(f"{place}: there is no such folder of catalogs")
    if (folder / CATALOG_FILE).is_file():
        return [str(folder)]
    return [str(file.parent) for file in sorted(folder.glob(f"*/{CATALOG_FILE}"))]
