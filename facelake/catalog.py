"""The front door: a catalog, and what can be asked of it.

`open_catalog` is lazy: it touches no disk. Every method is one call into a corridor; nothing is
computed here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from facelake.lake import Lake
from facelake.progress import count_bar, ingest_bar
from facelake.query import choose_space, match_gallery, space_of
from facelake.results import Gallery, Scores, Spans
from facelake.schema import (
    FACES,
    SAMPLES,
    TRACKS,
    DecoderName,
    Device,
    EmbedName,
    IngestSettings,
    with_embedding,
)

if TYPE_CHECKING:
    from facelake.ingest import IngestReport

__all__ = ["Catalog", "Gallery", "Scores", "Spans", "open_catalog"]


def open_catalog(path: str | Path) -> Catalog:
    """The catalog in a folder; it need not be there yet.

    Examples
    --------
    >>> open_catalog("catalogs/tv")
    Catalog('catalogs/tv')
    """
    return Catalog(Path(path).expanduser())


@dataclass(frozen=True)
class Catalog:
    """A catalog of faces in videos: a folder of Parquet tables.

    Attributes
    ----------
    path
        The folder.
    """

    path: Path

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r})"

    # Build --------------------------------------------------------------------------------------

    def ingest(
        self,
        *sources: str | Path,
        sample_fps: float = 5.0,
        every_frame: bool = False,
        decoder: DecoderName = "auto",
        det_size: int = 640,
        det_threshold: float = 0.5,
        embed: EmbedName = "tracks",
        refine: bool = True,
        pack: str | Path = "buffalo_sc",
        device: Device = "auto",
        workers: int | None = None,
        scheduler: str | None = None,
        retry_failed: bool = False,
        progress: bool = True,
    ) -> IngestReport:
        """Look at videos once; what the catalog has already is left alone.

        Interrupt it and call it again: finished videos are not touched, the rest is done.

        Parameters
        ----------
        sources
            Files, folders and globs.
        sample_fps
            Frames looked at a second, at most.
        every_frame
            Look at every frame instead.
        decoder
            ``auto`` takes decord where a preflight proves it safe and PyAV elsewhere.
        det_size
            Longer side of the detector's input in pixels, a multiple of 32.
        det_threshold
            Lowest detection score kept, in (0, 1).
        embed
            ``tracks`` embeds those faces of a track that say something new; ``all`` every one.
        refine
            Look at more frames where a track starts or ends, until both are known to the frame.
        pack
            Name or folder of a model pack.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        workers
            Worker processes; ``None`` is one per core.
        scheduler
            Address of a Dask scheduler to use instead of own workers.
        retry_failed
            Look again at videos that failed before.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        SourceError, PackError, EngineError, CatalogError
            Before any video is touched; a broken video is reported, not raised.
        """
        from facelake.ingest import ingest_videos

        settings = IngestSettings(
            sample_fps=None if every_frame else sample_fps,
            decoder=decoder,
            det_size=det_size,
            det_threshold=det_threshold,
            embed=embed,
            refine=refine,
        )
        with ingest_bar(show=progress) as update:
            return ingest_videos(
                self.path,
                sources,
                settings,
                pack=pack,
                device=device,
                workers=workers,
                scheduler=scheduler,
                retry_failed=retry_failed,
                progress=update,
            )

    def enrol(
        self,
        photos: str | Path,
        *,
        identity: str | None = None,
        pack: str | Path | None = None,
        device: Device = "auto",
        replace: bool = False,
        progress: bool = True,
    ) -> Gallery:
        """Put the faces of photos into the gallery; gives the whole gallery.

        Parameters
        ----------
        photos
            A folder with a folder per person or photos named after them, or one photo.
        identity
            Who all the photos are of, instead of what folders and files are called.
        pack
            Name or folder of a model pack; ``None`` is the one of the catalog's videos.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        replace
            Drop the photos that these people had before.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        GalleryError
            No photo is there, or none is usable.
        PackError
            The pack is not to be had, or is another one than the videos were ingested with.
        """
        from facelake.enrol import enrol_photos

        with count_bar("photos", show=progress) as update:
            told = enrol_photos(
                self.path,
                photos,
                identity=identity,
                pack=pack,
                device=device,
                replace=replace,
                progress=update,
            )
        return Gallery(self._lake().exemplars(told.space), told.outcomes, told.passed_over)

    # Ask ----------------------------------------------------------------------------------------

    def gallery(self, space: str | None = None) -> Gallery:
        """Everybody who is enrolled.

        Parameters
        ----------
        space
            Whose embeddings; ``None`` is the space that the videos and the gallery have in common.
        """
        lake = self._lake()
        return Gallery(lake.exemplars(choose_space(lake, space)))

    def match(self, gallery: Gallery | None = None) -> Scores:
        """Compare every face with every exemplar, exactly.

        Parameters
        ----------
        gallery
            ``None`` is everybody who is enrolled.

        Raises
        ------
        GalleryError
            Nobody is enrolled.
        CatalogError
            The gallery's embeddings are another model's than the catalog's.
        """
        lake = self._lake()
        gallery = self.gallery() if gallery is None else gallery
        table = match_gallery(lake, gallery.table)
        return Scores(lake, table, gallery.identities, space_of(gallery.table))

    # Tables -------------------------------------------------------------------------------------

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

    def info(self) -> dict[str, Any]:
        """What is in the catalog, in numbers and names."""
        lake = self._lake()
        videos = lake.videos().to_pylist()
        statuses = Counter(video["status"] for video in videos)
        return {
            "catalog": str(self.path),
            "n_videos": len(videos),
            **{f"n_{status}": statuses[status] for status in ("ok", "partial", "failed")},
            "hours": sum(video["duration_s"] or 0.0 for video in videos) / 3600,
            "n_samples": sum(video["n_samples"] for video in videos),
            "n_faces": sum(video["n_faces"] for video in videos),
            "n_tracks": sum(video["n_tracks"] for video in videos),
            "n_refined": sum(video["n_refined"] or 0 for video in videos),
            "n_carried": sum(video["n_carried"] or 0 for video in videos),
            "n_embedded": sum(
                video["n_faces"] if video["n_embedded"] is None else video["n_embedded"]
                for video in videos
            ),
            "spaces": lake.spaces,
            "enrolled": {
                space: dict(Counter(lake.exemplars(space)["identity"].to_pylist()))
                for space in sorted(lake.spaces)
            },
            "providers": _count(videos, "provider"),
            "decoders": _count(videos, "decoder"),
            "engine_notes": _count(videos, "engine_note"),
            "bytes": sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file()),
            "troubles": [
                {name: video[name] for name in ("paths", "status", "error")}
                for video in videos
                if video["status"] != "ok"
            ],
        }

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

    def _lake(self) -> Lake:
        return Lake.open(self.path)


def _count(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    return dict(Counter(row[name] for row in rows if row[name] is not None))
