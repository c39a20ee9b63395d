"""Who is who: every face against the gallery."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal

from facelake.catalog.gallery import Enrolling
from facelake.cluster import open_cluster
from facelake.query import Spread, match_gallery, space_of, spread_over_threads
from facelake.results import Gallery, Scores

MatchDevice = Literal["cpu", "cuda"]


class Asking(Enrolling):
    """What compares faces with the gallery."""

    def match(
        self,
        gallery: Gallery | None = None,
        *,
        min_score: float | None = None,
        device: MatchDevice = "cpu",
        scheduler: str | None = None,
    ) -> Scores:
        """Compare every face with every exemplar, exactly.

        Parameters
        ----------
        gallery
            ``None`` is everybody who is enrolled.
        min_score
            Keep only faces that score this or more, in [−1, 1]. A large catalog is then answered
            in seconds: a third of its bytes is read, and the memory needed is that of what is
            found. Thresholds below it can no longer be asked for. ``None`` keeps every face.
        device
            ``cuda`` makes the products of the first pass on the GPU, with CuPy; only with a
            ``min_score`` is there such a pass. A video with several runs is compared on the CPU.
        scheduler
            Address of a Dask scheduler whose workers share the videos; ``None`` is this process,
            on every core. Pays where the catalog's bytes come from many machines' disks.

        Raises
        ------
        GalleryError
            Nobody is enrolled.
        CatalogError
            The gallery's embeddings are another model's than the catalog's.
        EngineError
            ``cuda``, and CuPy or its GPU is not there.
        ValueError
            ``min_score`` is outside of [−1, 1], or missing with ``cuda``.
        """
        if device == "cuda" and min_score is None:
            raise ValueError(
                "device='cuda' makes the first pass of a match from a least score on, but no "
                "min_score is given; give one, or leave device out"
            )
        lake = self._lake()
        gallery = self.gallery() if gallery is None else gallery
        with ExitStack() as stack:
            spread: Spread = spread_over_threads
            if scheduler is not None:
                spread = stack.enter_context(open_cluster(scheduler=scheduler)).spread
            table = match_gallery(
                lake,
                gallery.table,
                min_score=min_score,
                kernel="cupy" if device == "cuda" else "auto",
                spread=spread,
            )
        return Scores(
            lake,
            table,
            gallery.identities,
            space_of(gallery.table),
            min_score,
            gallery.version,
            gallery.without_exemplar,
        )
