"""Where an export may go, and folders that appear whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from facelake.atomic import sync
from facelake.errors import ExportError
from facelake.lake import is_url


def find_place(
    to: str | Path, catalog: str, *, overwrite: bool, is_export: Callable[[Path], bool]
) -> Path:
    """The absolute path of an export's target, when it may be written.

    Parameters
    ----------
    to
        File or folder as a person named it.
    catalog
        Path or URL of the catalog that is exported.
    overwrite
        Whether an earlier export may be replaced.
    is_export
        Whether what stands at a path is such an export: nothing else is ever replaced.

    Raises
    ------
    ExportError
        It is a URL, in the catalog, around it, or taken.
    """
    if is_url(to):
        raise ExportError(f"{to}: an export must go to a disk of this machine, but this is a URL")
    place = Path(to).expanduser().resolve()
    if not is_url(catalog) and _overlap(place, Path(catalog).resolve()):
        raise ExportError(
            f"{to}: an export must lie outside the catalog {catalog} and not around it; "
            "name another place, such as outputs/NAME"
        )
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return place
    if not overwrite:
        raise ExportError(
            f"{to}: is there already; name another place, or replace it with --overwrite"
        )
    if not is_export(place):
        raise ExportError(
            f"{to}: only an earlier export of this kind may be replaced, but this is something "
            "else; remove it yourself or name another place"
        )
    return place


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


@contextmanager
def replacing_folder(place: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of ``place`` when the block ends well.

    Its bytes are on the disk before it has the name. When the block fails or is interrupted, the
    unfinished folder is removed and ``place`` is as it was.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.parent / f".facelake-{uuid4().hex}.part"
    draft.mkdir()
    try:
        yield draft
        for path in sorted(draft.rglob("*"), reverse=True):  # files before the folders they are in
            sync(path)
        sync(draft)
        _put(draft, place)
        sync(place.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, place: Path) -> None:
    if not place.exists():
        draft.rename(place)
        return
    # A folder cannot be renamed over one that holds files, so the old one steps aside first.
    aside = place.parent / f".facelake-{uuid4().hex}.old"
    place.rename(aside)
    try:
        draft.rename(place)
    except OSError:
        aside.rename(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)
