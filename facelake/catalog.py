"""The front door: a catalog, and what can be asked of it.

`open_catalog` is lazy: it touches no disk. Every method is one call into a corridor; nothing is
computed here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from facelake.errors import ExportError
from facelake.gallery import Outcome, plain_name, refuse_unknown
from facelake.lake import Lake, write_table
from facelake.lake.files import replace_file
from facelake.progress import clock, count_bar, ingest_bar
from facelake.query import SpanSettings, choose_space, find_all_spans, match_gallery, space_of
from facelake.schema import (
    FACES,
    SAMPLES,
    TRACKS,
    DecoderName,
    Device,
    IngestSettings,
    with_embedding,
)

if TYPE_CHECKING:
    import pandas as pd

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
            Side of the detector's square input in pixels, a multiple of 32.
        det_threshold
            Lowest detection score kept, in (0, 1).
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
        """Every face of every video, with its embedding."""
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
            "spaces": lake.spaces,
            "enrolled": {
                space: dict(Counter(lake.exemplars(space)["identity"].to_pylist()))
                for space in sorted(lake.spaces)
            },
            "providers": _count(videos, "provider"),
            "decoders": _count(videos, "decoder"),
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


@dataclass(frozen=True)
class Gallery:
    """Enrolled identities and their exemplars.

    Attributes
    ----------
    table
        Rows of `schema.EXEMPLARS` with their embeddings.
    outcomes
        What became of each photo, when these were just enrolled.
    passed_over
        Files beside these photos that are no photos by their names: ending → how many.
    """

    table: pa.Table
    outcomes: tuple[Outcome, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @property
    def identities(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted(set(self.table["identity"].to_pylist())))

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = Counter(self.table["identity"].to_pylist())
        names = ", ".join(f"{name} ({counts[name]})" for name in sorted(counts))
        size = f"{counted(len(counts), 'identity')}, {counted(len(self), 'exemplar')}"
        whole = f"Gallery of {size}: {names}" if names else f"Gallery of {size}"
        return "\n".join([whole, *self._report()])

    def _report(self) -> Iterator[str]:
        """What there is to say about the photos that were just enrolled."""
        if self.outcomes:
            n_used = sum(one.used for one in self.outcomes)
            yield f"{n_used} of {counted(len(self.outcomes), 'photo')} used"
        for one in sorted(self.outcomes, key=lambda one: one.used):
            if one.note:
                file = Path(one.photo)
                place = file.name if file.stem == one.identity else f"{one.identity}/{file.name}"
                yield f"  {'used    ' if one.used else 'not used'}  {place}: {one.note}"
        left_out = {one.identity for one in self.outcomes} - set(self.identities)
        if left_out:
            yield f"  not enrolled, for want of a usable photo: {', '.join(sorted(left_out))}"
        if self.passed_over:
            kinds = ", ".join(f"{n} × {end}" for end, n in sorted(self.passed_over.items()))
            yield f"  passed over, no photos by their names: {kinds}"


@dataclass(frozen=True)
class Scores:
    """Every face's best identity and score; thresholds are decided later.

    Attributes
    ----------
    table
        Rows of `schema.SCORES`.
    identities
        Names in the gallery.
    space
        The embeddings' space.
    """

    _lake: Lake
    table: pa.Table
    identities: tuple[str, ...]
    space: str

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        people = counted(len(self.identities), "identity")
        return f"Scores of {counted(len(self), 'face')} with {people} ({self.space})"

    def spans(
        self,
        threshold: float,
        *,
        exit_threshold: float | None = None,
        min_hits: int = 1,
        miss_s: float | None = None,
        blind_s: float | None = None,
        bridge_s: float = 0.0,
        min_span_s: float = 0.0,
        identities: str | Sequence[str] | None = None,
    ) -> Spans:
        """When each identity is on screen.

        Parameters
        ----------
        threshold
            Lowest score that starts a span, in [−1, 1].
        exit_threshold
            Lowest score that continues one; ``None`` is ``threshold``.
        min_hits
            Fewest hits a span must hold.
        miss_s
            Longest time between two hits with only misses between; ``None``: 1 s and at least one
            missed sample.
        blind_s
            Longest time for which nobody looked; ``None``: 2 s and at least the sampling period.
        bridge_s
            Spans no further apart than this are joined, in seconds.
        min_span_s
            Shortest span kept, in seconds.
        identities
            Only this one or these; ``None`` is everybody.

        Raises
        ------
        ValueError
            A threshold outside [−1, 1] or a negative duration.
        GalleryError
            An identity that is not enrolled.
        """
        settings = SpanSettings(
            threshold=threshold,
            exit_threshold=exit_threshold,
            min_hits=min_hits,
            miss_s=miss_s,
            blind_s=blind_s,
            bridge_s=bridge_s,
            min_span_s=min_span_s,
        )
        names = (identities,) if isinstance(identities, str) else identities
        only = None if names is None else tuple(plain_name(name) for name in names)
        for identity in only or ():
            refuse_unknown(identity, self.identities)
        table = find_all_spans(self._lake, self.table, self.space, settings, identities=only)
        return Spans(self._lake, table, self.space, settings)


@dataclass(frozen=True)
class Spans:
    """Who is on screen from when to when.

    Attributes
    ----------
    table
        Rows of `schema.SPANS`.
    space
        The embeddings' space.
    settings
        The rules that made them.
    """

    _lake: Lake
    table: pa.Table
    space: str
    settings: SpanSettings

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        at = f"at threshold {self.settings.threshold:g}"
        if not len(self):
            return f"no spans {at}"
        seconds = pc.sum(pc.subtract(self.table["end_s"], self.table["start_s"])).as_py()
        people = counted(len(set(self.table["identity"].to_pylist())), "identity")
        videos = counted(len(set(self.table["video_id"].to_pylist())), "video")
        spans = counted(len(self), "span")
        return f"{spans} of {people} in {videos}, {clock(seconds)} in all, {at}"

    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas DataFrame."""
        return self.table.to_pandas()

    def _repr_html_(self) -> str:
        try:
            body = self.to_pandas()._repr_html_()
        except ImportError:
            return f"<pre>{self!r}</pre>"
        return f"<p>{self!r}</p>{body}"

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV; gives the path."""
        return write_tabular(self.table, path, "csv")

    def plot(self, **options: Any) -> np.ndarray[Any, Any]:
        """The timeline's Axes, one per video; see `facelake.plot.plot_spans`."""
        from facelake.present import draw_timeline

        return draw_timeline(
            self._lake, self.table, self.space, blind_s=self.settings.blind_s, **options
        )

    def clips(
        self,
        out: str | Path,
        *,
        pad_s: float = 0.0,
        template: str | None = None,
        progress: bool = True,
    ) -> pa.Table:
        """Cut a frame-exact clip of each span into a folder, with ``clips.csv`` beside them.

        Parameters
        ----------
        pad_s
            Seconds shown before and after each span.
        template
            Names of the clips; see `facelake.export.clip_name`.

        Raises
        ------
        ExportError
            Some clips could not be cut; the others are there.
        """
        from facelake.export import DEFAULT_TEMPLATE
        from facelake.present import cut_clips

        with count_bar("clips", show=progress) as update:
            clips, errors = cut_clips(
                self._lake,
                self.table,
                self.space,
                out,
                pad_s=pad_s,
                template=DEFAULT_TEMPLATE if template is None else template,
                progress=update,
            )
        if errors:
            rest = f", the rest is in {out}" if len(clips) else ""
            raise ExportError(
                f"{len(errors)} of {counted(len(errors) + len(clips), 'clip')} could not be cut"
                f"{rest}; the first: {errors[0]}"
            )
        return clips


def write_tabular(table: pa.Table, path: str | Path, kind: str) -> Path:
    """Write a table as ``csv``, ``json`` (an array of objects) or ``parquet``; gives the path.

    Raises
    ------
    ExportError
        The place is a folder or a device.
    """
    if kind == "parquet":
        _refuse_device(Path(path))
        write_table(table, Path(path), scratch=Path(path).parent)
        return Path(path)
    if kind == "json":
        text = to_json(table) + "\n"
        return write_file(path, lambda part: part.write_text(text, "utf-8"))
    return write_file(path, lambda part: csv.write_csv(table, part))


def write_file(path: str | Path, write: Callable[[Path], object]) -> Path:
    """A file that ``write`` fills; it appears whole or not at all, its folder is made.

    Raises
    ------
    ExportError
        The place is a folder or a device.
    """
    path = Path(path)
    _refuse_device(path)
    replace_file(path, write, scratch=path.parent)
    return path


def _refuse_device(path: Path) -> None:
    if path.exists() and not path.is_file():  # to rename a file over /dev/null is to lose it
        raise ExportError(f"{path}: a table must be written to a file, but this is none")


def to_json(table: pa.Table) -> str:
    """A table as a JSON array with one object per row."""
    columns = {
        name: _short(table[name]) if pa.types.is_float32(table[name].type) else table[name]
        for name in table.column_names
    }
    rows = pa.table(columns).to_pylist()
    return json.dumps(rows, indent=1, ensure_ascii=False, default=str)


def _short(column: pa.ChunkedArray) -> pa.Array:
    """Float32 as the float64 of the fewest digits that mean the same: 0.7, not 0.699999988."""
    return pa.array([None if v is None else float(str(np.float32(v))) for v in column.to_pylist()])


def _count(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    return dict(Counter(row[name] for row in rows if row[name] is not None))


def counted(count: int, noun: str) -> str:
    """A number of things: ``1 span``, ``2 identities``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{count:,} {noun}s"
