"""Which threshold, and why."""

from __future__ import annotations

from facelake.catalog.door import Door
from facelake.lake.thresholds import read_threshold
from facelake.query import choose_space, default_threshold
from facelake.schema import StoredThreshold


class Deciding(Door):
    """What finds a threshold and keeps it."""

    def stored_threshold(self, space: str | None = None) -> StoredThreshold | None:
        """The threshold that is taken where none is given; ``None`` where none is stored.

        Parameters
        ----------
        space
            Whose; ``None`` is the space that the videos and the gallery have in common.
        """
        lake = self._lake()
        return read_threshold(lake, choose_space(lake, space))

    def default_threshold(self, space: str | None = None) -> StoredThreshold:
        """The threshold that is taken where none is given.

        Parameters
        ----------
        space
            As for `stored_threshold`.

        Raises
        ------
        CatalogError
            None is stored.
        """
        lake = self._lake()
        return default_threshold(lake, choose_space(lake, space))
