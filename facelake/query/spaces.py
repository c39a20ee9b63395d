"""Which of a catalog's embedding spaces is asked."""

from __future__ import annotations

import pyarrow as pa

from facelake.errors import CatalogError, GalleryError
from facelake.gallery import NOBODY
from facelake.lake import Lake


def choose_space(lake: Lake, space: str | None = None, *, for_gallery: bool = True) -> str:
    """The space to ask a catalog in: the named one, else the one that can answer.

    Parameters
    ----------
    space
        ``None``: of several, that of both the videos and the gallery.
    for_gallery
        Whether the gallery's space is wanted where no space has both, or the videos'.

    Raises
    ------
    CatalogError
        The catalog has no such space, none at all, or several that can answer.
    """
    known = sorted(lake.spaces)
    if space is not None and space not in known:
        raise CatalogError(
            f"{lake.where}: the space must be one of {', '.join(known) or 'none yet'}, "
            f"but is {space!r}"
        )
    if space is not None or len(known) < 2:
        return space or lake.only_space()
    filmed = set(lake.runs()["space"].to_pylist())
    enrolled = {name for name in known if len(lake.exemplars(name))}
    wanted = (filmed & enrolled) or (enrolled if for_gallery else filmed) or set(known)
    if len(wanted) > 1:
        raise CatalogError(
            f"{lake.where}: holds faces of several models; name one space with --space: "
            f"{', '.join(sorted(wanted))}"
        )
    return wanted.pop()


def space_of(exemplars: pa.Table) -> str:
    """The space that exemplars were embedded in.

    Raises
    ------
    GalleryError
        There is no exemplar.
    """
    if not len(exemplars) or "embedding" not in exemplars.column_names:
        raise GalleryError(NOBODY)
    metadata = exemplars.schema.field("embedding").metadata or {}
    return str(metadata[b"space"].decode())
