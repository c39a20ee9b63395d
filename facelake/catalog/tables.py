"""The tables of a catalog, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from facelake.catalog.door import Door
from facelake.lake import read_coverage
from facelake.progress import count_bar
from facelake.query import choose_space
from facelake.schema import FACES, SAMPLES, TRACKS, with_embedding

if TYPE_CHECKING:
    import dask.dataframe as dd
    from PIL.Image import Image

    from facelake.exchange import DatasetReport
    from facelake.exchange.frames import FrameTable
    from facelake.exchange.parquet import EmbeddingKind


class Reading(Door):
    """What gives a catalog's tables."""

    def videos(self) -> pa.Table:
        """One row per video, as `schema.VIDEOS`."""
        return self._lake().videos()

    def samples(self, space: str | None = None) -> pa.Table:
        """Every examined instant of every video, also the empty ones."""
        return self._whole("samples", space)

    def faces(self, space: str | None = None) -> pa.Table:
        """Every face of every video, with its embedding where it has one of its own."""
        return self._whole("faces", space)

    def tracks(self, space: str | None = None) -> pa.Table:
        """Every track of every video."""
        return self._whole("tracks", space)

    def thumbnail(self, face_id: str, *, video_id: str | None = None) -> Image:
        """The picture that is kept of a face, 112 × 112 pixels, its eyes level.

        Parameters
        ----------
        face_id
            A face with an embedding of its own, such as a span's ``best_face_id``.
        video_id
            Where it is; ``None`` looks through all videos.

        Raises
        ------
        CatalogError
            None is kept; the message says how to keep them.
        """
        from facelake.reembed import read_thumbnail

        return read_thumbnail(self.path, face_id, video_id=video_id)

    def to_dask(self, table: FrameTable = "faces", *, space: str | None = None) -> dd.DataFrame:
        """A table of all videos as a lazy Dask DataFrame, one partition a video.

        The rows are those of `faces`, `samples` or `tracks`, read by the workers when they are
        needed, and only the columns that are used. Embeddings are lists of float32.

        Parameters
        ----------
        table
            ``faces``, ``samples`` or ``tracks``.
        space
            Whose; ``None`` is the space of the videos.

        Raises
        ------
        ExportError
            pandas or ``dask.dataframe`` is not installed.
        """
        from facelake.exchange import open_frame

        lake = self._lake()
        return open_frame(lake, table, space=choose_space(lake, space, for_gallery=False))

    def export(
        self,
        to: str | Path,
        *,
        tables: Sequence[str] | None = None,
        embeddings: EmbeddingKind = "list-f32",
        space: str | None = None,
        videos: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = True,
    ) -> DatasetReport:
        """Write tables as a self-contained Parquet data set; it appears whole or not at all.

        Parameters
        ----------
        to
            A folder, or for one table a file that ends in ``.parquet``.
        tables
            Of ``videos``, ``samples``, ``faces``, ``tracks``, ``gallery`` and ``labels``; ``None``
            is all of them in a folder, and ``faces`` in a file.
        embeddings
            ``list-f32`` or ``list-f16``: lists of floats; ``binary``: the catalog's bytes; or
            ``none``.
        space
            Whose; ``None`` is the space of the videos.
        videos
            Ids, paths or file names of the videos to write; ``None`` is all.
        overwrite
            Replace an earlier export, as a whole.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        ExportError
            The target is in the catalog, around it, or taken.
        """
        from facelake.exchange import export_dataset

        lake = self._lake()
        with count_bar("videos", show=progress) as update:
            return export_dataset(
                lake,
                to,
                space=choose_space(lake, space, for_gallery=False),
                tables=tables,
                embeddings=embeddings,
                videos=videos,
                overwrite=overwrite,
                progress=update,
            )

    def coverage(
        self,
        video: str | Sequence[str] | None = None,
        *,
        space: str | None = None,
        tolerance_s: float | None = None,
    ) -> pa.Table:
        """Which time of each video was looked at: one row per stretch, in order, without gaps.

        Columns: ``video_id, path, start_s, end_s, state, sample_fps, run, note``. The state is
        ``examined``; ``carried``: the picture did not change from the sample before;
        ``undecodable``; or ``not_examined``. ``sample_fps`` and ``run`` are of the ingest that
        looked; ``note`` says why a failed video is dark. ``end_s`` is null where nobody knows how
        long a video is.

        Parameters
        ----------
        video
            Id, path or file name of one video or several; ``None`` is all.
        space
            Whose ingests; ``None`` is the space of the videos.
        tolerance_s
            Samples are instants. Time between two of them no further apart than this counts as
            looked at; 0 counts only the frames themselves, for as long as they are shown. ``None``
            is twice the sampling period: one frame of each period was asked for.

        Raises
        ------
        CatalogError
            No video has this name, or several do.
        """
        from facelake.lake.names import choose_videos

        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        names = [video] if isinstance(video, str) else video
        return read_coverage(lake, choose_videos(lake.videos(space), names), space, tolerance_s)

    def _whole(self, name: str, space: str | None) -> pa.Table:
        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        read, schema = {
            "samples": (lake.samples, SAMPLES),
            "faces": (lake.faces, with_embedding(FACES, space, lake.dim(space))),
            "tracks": (lake.tracks, with_embedding(TRACKS, space, lake.dim(space))),
        }[name]
        key = pa.field("video_id", pa.string(), nullable=False)
        tables = [pa.schema([key, *schema]).empty_table()]
        for video_id in lake.iter_video_ids(space):
            table = read(video_id, space)
            tables.append(table.add_column(0, key, pa.array([video_id] * len(table), pa.string())))
        return pa.concat_tables(tables)
