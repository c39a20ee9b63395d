"""The front door: a catalog, and what can be asked of it.

`open_catalog` is lazy: it touches no disk. Every method is one call into a corridor; nothing is
computed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from facelake.cluster import open_cluster
from facelake.lake import Lake, VerifyReport, is_url, read_coverage, verify_catalog
from facelake.lake.forget.retention import describe_catalog, description
from facelake.progress import count_bar, ingest_bar
from facelake.query import Spread, choose_space, match_gallery, space_of, spread_over_threads
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
    import dask.dataframe as dd
    from PIL.Image import Image

    from facelake.exchange import DatasetReport
    from facelake.exchange.frames import FrameTable
    from facelake.exchange.parquet import EmbeddingKind
    from facelake.forget import ForgetReport
    from facelake.ingest import IngestReport
    from facelake.reembed import ReembedReport

__all__ = ["Catalog", "Gallery", "Scores", "Spans", "open_catalog"]


MatchDevice = Literal["cpu", "cuda"]


def open_catalog(path: str | Path) -> Catalog:
    """The catalog in a folder, or at a URL such as ``s3://bucket/tv``; it need not be there yet.

    Examples
    --------
    >>> open_catalog("catalogs/tv")
    Catalog('catalogs/tv')
    """
    return Catalog(str(path) if is_url(path) else Path(path).expanduser())


@dataclass(frozen=True)
class Catalog:
    """A catalog of faces in videos: a folder of Parquet tables.

    Attributes
    ----------
    path
        The folder, or the URL.
    """

    path: Path | str

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
        chips: bool = False,
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
        chips
            Keep the picture of every embedded face, 112 × 112 pixels, for `reembed` and
            `thumbnail`. A video that the catalog knows without chips is looked at again.
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
            chips=chips,
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

    def reembed(
        self, pack: str | Path, *, device: Device = "auto", progress: bool = True
    ) -> ReembedReport:
        """Embed the kept chips with another model, beside what is there; no video is opened.

        Parameters
        ----------
        pack
            Name or folder of a model pack.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CatalogError
            No video was ingested with ``chips=True``.
        PackError, EngineError
            The pack is not to be had, or does not run here.
        """
        from facelake.reembed import reembed_videos

        with count_bar("faces", show=progress) as update:
            return reembed_videos(self.path, pack, device=device, progress=update)

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
        return Scores(lake, table, gallery.identities, space_of(gallery.table), min_score)

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
            Of ``videos``, ``samples``, ``faces``, ``tracks`` and ``gallery``; ``None`` is all of
            them in a folder, and ``faces`` in a file.
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

    def verify(self, *, mend: bool = False, progress: bool = True) -> VerifyReport:
        """Read every byte of the catalog, and tell what is not as it was written.

        Parameters
        ----------
        mend
            Remove what no reader reads, and note damaged videos, so that the same ingest looks at
            them again; see `facelake.lake.verify_catalog`.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CatalogError
            There is no catalog, or a newer facelake wrote it.
        """
        with count_bar("MB", show=progress) as update:
            return verify_catalog(
                self.path,
                mend=mend,
                progress=lambda done, n_bytes: update(done // 1_000_000, n_bytes // 1_000_000),
            )

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
            "bytes": lake.size_bytes(),
            **description(lake),
            "troubles": [
                {name: video[name] for name in ("paths", "status", "error")}
                for video in videos
                if video["status"] != "ok"
            ],
        }

    # End ----------------------------------------------------------------------------------------

    def forget(
        self,
        *,
        identity: str | None = None,
        threshold: float = 0.30,
        faces: Sequence[str] = (),
        video: str | None = None,
        faces_only: bool = False,
        outputs: Sequence[str | Path] = (),
        dry_run: bool = False,
        confirm: Callable[[ForgetReport], bool] = lambda _: True,
    ) -> ForgetReport:
        """Take a person, faces or a video out of the catalog for good.

        Every file that holds them is written anew or removed, and a tombstone without embedding
        or name keeps them out of later ingests. Call it again where it was interrupted.

        Parameters
        ----------
        identity
            Somebody who is enrolled: their photos' faces, and every face that is most like them.
        threshold
            Lowest score of such a face.
        faces
            Faces by ``face_id``.
        video
            A video's id, path or file name.
        faces_only
            Keep to the faces; else the whole track of each goes, since it shows the same person.
        outputs
            Folders in which to remove the clips that were cut of them.
        dry_run
            Say what would go and touch nothing.
        confirm
            Called with what would go; when it says no, nothing is touched.

        Raises
        ------
        ValueError
            Not exactly one of ``identity``, ``faces`` and ``video`` is given.
        GalleryError, CatalogError
            There is no such person, face or video, or somebody is writing into the catalog.
        """
        from facelake.forget import Request, carry_out, plan_forgetting, report_plan

        request = Request(identity, threshold, tuple(faces), video, faces_only, tuple(outputs))
        lake = self._lake()
        plan = plan_forgetting(lake, request)
        planned = report_plan(plan)
        if dry_run or not confirm(planned):
            return planned
        return carry_out(lake, plan)

    def describe(
        self,
        *,
        purpose: str | None = None,
        retain_until: date | str | None = None,
        contact: str | None = None,
    ) -> dict[str, Any]:
        """Note what the catalog is for, until when it may be kept, whom to ask; gives all of it.

        What is ``None`` stays as it is; an empty text takes a note away.

        Parameters
        ----------
        retain_until
            The last day, in UTC, such as ``2027-12-31``: `purge` removes the catalog after it.
        """
        lake = self._lake()
        if (purpose, retain_until, contact) != (None, None, None):
            describe_catalog(lake, purpose=purpose, retain_until=retain_until, contact=contact)
        return description(lake)

    def purge(self) -> None:
        """Remove the whole catalog, when its last day has passed.

        Raises
        ------
        CatalogError
            It has no last day, that has not passed, or something cannot be removed.
        """
        from facelake.forget import purge_catalog

        purge_catalog(self._lake())

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
