"""Who each track is, and how sure that is."""

from __future__ import annotations

from facelake.catalog.gallery import Enrolling
from facelake.decide import Bars
from facelake.query import choose_threshold, space_of
from facelake.query.decide import decide_all
from facelake.results import Decisions, Gallery


class Deciding(Enrolling):
    """What decides about tracks."""

    def decide(
        self,
        gallery: Gallery | None = None,
        *,
        threshold: float | None = None,
        min_margin: float = 0.10,
    ) -> Decisions:
        """Who each track is, in tiers with their rule: certain, likely, unknown or conflict.

        One face takes a higher score than a short track, and that a higher one than a track whose
        faces are a second and more apart; for ``certain`` all of the faces that are asked must
        agree. Every score comes with its place among all faces of the archive, and how far it lies
        above those of strangers.

        Parameters
        ----------
        gallery
            ``None`` is everybody who is enrolled.
        threshold
            The score that one asks at, in [−1, 1]; ``None`` is the one that the catalog keeps.
        min_margin
            Least score above that with anybody else, of every face that is asked, for ``certain``.

        Raises
        ------
        GalleryError
            Nobody is enrolled, or nobody has an exemplar left.
        CatalogError
            No threshold is given, and the catalog keeps none.
        """
        lake = self._lake()
        gallery = self.gallery() if gallery is None else gallery
        space = space_of(gallery.table)
        asking, note = choose_threshold(lake, space, threshold)
        bars = Bars(asking, min_margin=min_margin)
        table = decide_all(lake, gallery.table, bars)
        return Decisions(table, space, bars, note, gallery.version)
