"""Index an archive of video once; ask who is on screen, when, and how sure, for ever after.

>>> import facelake
>>> catalog = facelake.open_catalog("catalogs/tv")          # doctest: +SKIP
>>> catalog.ingest("archive/**/*.mp4", sample_fps=5)         # doctest: +SKIP
>>> gallery = catalog.enrol("photos/")                       # doctest: +SKIP
>>> catalog.match(gallery).spans(threshold=0.30)             # doctest: +SKIP

Importing is light: no file is opened, no model loaded, no logger or option set.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from facelake.catalog import Catalog, open_catalog
    from facelake.schema import IngestSettings, SpanRules

_HOME = {
    "Catalog": "facelake.catalog",
    "open_catalog": "facelake.catalog",
    "IngestSettings": "facelake.schema",
    "SpanRules": "facelake.schema",
}
__all__ = ["Catalog", "IngestSettings", "SpanRules", "__version__", "open_catalog"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'facelake' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
