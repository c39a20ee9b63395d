"""What every part of the front door stands on: a place, and the lake in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facelake.lake import Lake


@dataclass(frozen=True, repr=False)
class Door:
    """A catalog's place; what can be done there is said by the classes beside this one.

    Attributes
    ----------
    path
        The folder, or the URL.
    """

    path: Path | str

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r})"

    def _lake(self) -> Lake:
        return Lake.open(self.path)
