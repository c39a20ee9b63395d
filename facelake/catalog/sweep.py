"""Sweeps over more than the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from facelake.catalog.gallery import Enrolling
from facelake.cluster import open_cluster
from facelake.gallery import plain_name, refuse_unknown
from facelake.progress import count_bar
from facelake.query import space_of
from facelake.query.grid import GRID_FILE, Grid, GridSpread, make_grid, spread_tasks, sweep_grid
from facelake.results import Gallery, SweepGrid

Numbers: TypeAlias = float | Sequence[float]
"""One value, or several to go over."""
Choices: TypeAlias = float | Sequence[float | None] | None
"""The same, where ``None`` is a value."""


class Sweeping(Enrolling):
    """What asks a catalog in many ways at once."""

    def sweep_grid(
        self,
        thresholds: Sequence[float] | None = None,
        *,
        sample_fps: Choices = None,
        min_quality: Numbers = 0.0,
        min_det_score: Numbers = 0.0,
        min_size_px: Numbers = 0.0,
        exit_threshold: Choices = None,
        min_hits: int | Sequence[int] = 1,
        miss_s: Choices = None,
        blind_s: Choices = None,
        bridge_s: Numbers = 0.0,
        min_span_s: Numbers = 0.0,
        identities: str | Sequence[str] | None = None,
        gallery: Gallery | None = None,
        out: str | Path | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        progress: bool = True,
    ) -> SweepGrid:
        """Sweep the threshold for every combination of other settings, from the tables alone.

        Every combination is swept in one pass over the scores and kept as it is finished: the same
        call again goes on where an interrupted one stopped, and a finished grid is read back. A
        catalog or gallery that has changed since is swept anew.

        Parameters
        ----------
        thresholds
            Increasing, in [−1, 1]; ``None`` is 0.10 to 0.70 in steps of 0.01.
        sample_fps
            Looks at the first sample in each period of so many a second, and at none that was
            added where a track begins or ends: what an ingest at this rate would have seen, at
            most. ``None`` is every sample of the catalog.
        min_quality, min_det_score, min_size_px
            A face with less counts as not there; ``schema.FACES`` says what they are, the size is
            the square root of the box's area.
        exit_threshold, min_hits, miss_s, blind_s, bridge_s, min_span_s
            As in `Scores.spans`. Each of these, too, is one value or several.
        identities
            Only this one or these; ``None`` is everybody.
        gallery
            ``None`` is everybody who is enrolled.
        out
            Folder for ``grid.parquet`` and, while it is made, its parts; ``None`` is
            ``outputs/sweeps/NAME`` with the catalog's name.
        workers
            Processes of a Dask cluster on this machine; ``None`` uses threads of this process.
        scheduler
            Address of a Dask scheduler whose workers see the same files.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        ValueError
            A combination or threshold that makes no sense.
        GalleryError
            Nobody is enrolled, or an identity is not.
        ExportError
            The folder lies in the catalog.
        """
        points = make_grid(
            sample_fps=sample_fps,
            min_quality=min_quality,
            min_det_score=min_det_score,
            min_size_px=min_size_px,
            exit_threshold=exit_threshold,
            min_hits=min_hits,
            miss_s=miss_s,
            blind_s=blind_s,
            bridge_s=bridge_s,
            min_span_s=min_span_s,
        )
        gallery = self.gallery() if gallery is None else gallery
        grid = Grid(points, thresholds, _names(gallery, identities), space_of(gallery.table))
        name = PurePosixPath(str(self.path)).name
        folder = Path(f"outputs/sweeps/{name}") if out is None else Path(out)
        with ExitStack() as stack:
            update = stack.enter_context(count_bar("combinations", show=progress))
            spread: GridSpread = spread_tasks
            if workers is not None or scheduler is not None:
                cluster = open_cluster(workers=workers, scheduler=scheduler)
                spread = stack.enter_context(cluster).spread
            table = sweep_grid(
                self._lake(), gallery.table, grid, folder, spread=spread, progress=update
            )
        return SweepGrid(table, folder / GRID_FILE, points)


def _names(gallery: Gallery, identities: str | Sequence[str] | None) -> tuple[str, ...]:
    if identities is None:
        return gallery.identities
    names = (identities,) if isinstance(identities, str) else identities
    plain = tuple(sorted({plain_name(name) for name in names}))
    for name in plain:
        refuse_unknown(name, gallery.identities)
    return plain
