"""A catalog's tables as a self-contained Parquet data set that every reader knows.

    DIR/
      README.md, schema.json               what the columns are, in words and for programs
      faces/part-00000.parquet …           a folder a table, files of about 128 MB

The catalog is read video by video, and an instant that several runs looked at appears once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from facelake.atomic import replacing
from facelake.exchange.describe import describe, is_dataset, to_readme
from facelake.exchange.parquet import (
    EmbeddingKind,
    TableWriter,
    to_embedding_kind,
    with_embedding_kind,
)
from facelake.exchange.place import find_place, replacing_folder
from facelake.lake import Lake
from facelake.lake.labels import read_labels
from facelake.lake.names import choose_videos
from facelake.schema import EXEMPLARS, FACES, LABELS, SAMPLES, TRACKS, VIDEOS, stamp, with_embedding
from facelake.tracks import stand_in_rows
from facelake.words import counted

TABLES = ("videos", "samples", "faces", "tracks", "gallery", "labels")
_SLICE_ROWS = 8192  # rows whose embeddings are unpacked at once: 16 MB of 512 float32

# Every row says which video it is of and where that lies, so that one table is of use alone; and
# which model its embedding is of, since those of two models must never be compared.
_KEY = pa.field("video_id", pa.string(), nullable=False)
_PATH = pa.field("path", pa.string(), nullable=False)
_SPACE = pa.field("space", pa.string(), nullable=False)
_COLUMNS = {
    # `generation` names files of the catalog, which are not part of the data set.
    "videos": pa.schema(
        [_KEY, _PATH, *(f for f in VIDEOS if f.name not in ("video_id", "generation"))]
    ),
    "samples": pa.schema([_KEY, _PATH, *SAMPLES]),
    "faces": pa.schema([_KEY, _PATH, _SPACE, *FACES]),
    "tracks": pa.schema([_KEY, _PATH, _SPACE, *TRACKS]),
    "gallery": pa.schema([_SPACE, *EXEMPLARS]),
    "labels": LABELS,
}


@dataclass(frozen=True)
class DatasetReport:
    """What an export wrote.

    Attributes
    ----------
    path
        The folder, or the one file.
    rows
        Rows of each table.
    n_files, n_bytes
        Parquet files, and their size together.
    """

    path: Path
    rows: dict[str, int]
    n_files: int
    n_bytes: int

    def __str__(self) -> str:
        tables = ", ".join(f"{name} {n:,}" for name, n in self.rows.items())
        size = f"{counted(self.n_files, 'file')}, {self.n_bytes / 1e6:,.1f} MB"
        return f"{self.path}: rows of {tables}; {size}"


def export_dataset(
    lake: Lake,
    to: str | Path,
    *,
    space: str,
    tables: Sequence[str] | None = None,
    embeddings: EmbeddingKind = "list-f32",
    videos: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> DatasetReport:
    """Write tables of a catalog as Parquet; they appear whole or not at all.

    Parameters
    ----------
    to
        A folder, or for one table a file that ends in ``.parquet``.
    space
        Whose embeddings, samples and tracks.
    tables
        Of `TABLES`; ``None`` is all of them in a folder, and ``faces`` in a file.
    embeddings
        ``list-f32`` and ``list-f16`` write lists of floats, ``binary`` the float16 bytes as the
        catalog holds them, ``none`` leaves them out.
    videos
        Ids, paths or file names of the videos to write; ``None`` is all.
    overwrite
        Replace an earlier export, as a whole.
    progress
        Called with the number of videos done and of all.

    Raises
    ------
    ExportError
        The target is in the catalog, around it, or taken.
    CatalogError
        A video is not in the catalog.
    ValueError
        A table or kind of embeddings that there is not, or several tables for one file.
    """
    to_file = Path(to).suffix.lower() == ".parquet"
    names = _check_tables(tables, to_file=to_file)
    if embeddings not in get_args(EmbeddingKind):
        kinds = ", ".join(get_args(EmbeddingKind))
        raise ValueError(f"embeddings must be one of {kinds}, but is {embeddings!r}")
    is_export = _is_parquet if to_file else is_dataset
    place = find_place(to, lake.where, overwrite=overwrite, is_export=is_export)
    rows_of = choose_videos(lake.videos(space), videos)
    source = _Source(lake, space, embeddings, rows_of, progress)
    rows = source.write_file(place, names[0]) if to_file else source.write_folder(place, names)
    files = [place] if to_file else list(place.rglob("*.parquet"))
    return DatasetReport(Path(to), rows, len(files), sum(file.stat().st_size for file in files))


def _check_tables(tables: Sequence[str] | None, *, to_file: bool) -> tuple[str, ...]:
    """The names of the tables to write, in the order of `TABLES`."""
    if tables is None:
        return ("faces",) if to_file else TABLES
    wrong = sorted(set(tables) - set(TABLES))
    if wrong or not tables:
        raise ValueError(
            f"tables must be some of {', '.join(TABLES)}, but are {', '.join(wrong) or 'none'}"
        )
    names = tuple(name for name in TABLES if name in tables)
    if to_file and len(names) > 1:
        raise ValueError(
            f"one file holds one table, but {', '.join(names)} were asked for; "
            "name a folder, or one table"
        )
    return names


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


@dataclass(frozen=True)
class _Source:
    """A catalog that is being written elsewhere."""

    lake: Lake
    space: str
    embeddings: EmbeddingKind
    videos: pa.Table
    progress: Callable[[int, int], None]

    def write_file(self, place: Path, name: str) -> dict[str, int]:
        """Write one table to one file; gives its number of rows."""
        with replacing(place) as draft:
            writer = TableWriter(iter([draft]), self._schema(name), file_bytes=None)
            return self._fill({name: writer})

    def write_folder(self, place: Path, names: Sequence[str]) -> dict[str, int]:
        """Write tables into a new folder, with what there is to know of them."""
        with replacing_folder(place) as draft:
            rows = self._fill(
                {name: TableWriter(_parts(draft / name), self._schema(name)) for name in names}
            )
            told = describe(
                {name: (self._schema(name), rows[name]) for name in names},
                space={"name": self.space} | self.lake.spaces[self.space],
                embeddings=self.embeddings,
            )
            text = json.dumps(told, indent=1, ensure_ascii=False)
            (draft / "schema.json").write_text(text + "\n", "utf-8")
            (draft / "README.md").write_text(to_readme(told), "utf-8")
        return rows

    def _schema(self, name: str) -> pa.Schema:
        schema = _COLUMNS[name]
        if name in ("faces", "tracks", "gallery"):
            schema = with_embedding(schema, self.space, self.lake.dim(self.space))
        told = self.lake.spaces[self.space]
        facts = {"table": name, "space": self.space, "licence": told.get("licence", "unknown")}
        return stamp(with_embedding_kind(schema, self.embeddings), **facts)

    def _fill(self, writers: dict[str, TableWriter]) -> dict[str, int]:
        with ExitStack() as stack:
            for writer in writers.values():
                stack.enter_context(writer)
            if "gallery" in writers:
                self._add(
                    writers["gallery"], self.lake.exemplars(self.space), {"space": self.space}
                )
            if "labels" in writers:
                labels = read_labels(self.lake)
                chosen = pc.is_in(labels["video_id"], self.videos["video_id"].combine_chunks())
                self._add(writers["labels"], labels.filter(chosen), {})
            if "videos" in writers:
                paths = [paths[0] for paths in self.videos["paths"].to_pylist()]
                self._add(
                    writers["videos"],
                    self.videos.append_column("path", pa.array(paths, pa.string())),
                    {},
                )
            self._fill_by_video(writers)
        return {name: writer.n_rows for name, writer in writers.items()}

    def _fill_by_video(self, writers: dict[str, TableWriter]) -> None:
        rows = self.videos.select(["video_id", "paths"]).to_pylist()
        for done, row in enumerate(rows):
            self.progress(done, len(rows))
            told = {"video_id": row["video_id"], "path": row["paths"][0], "space": self.space}
            for name, table in self._tables_of(row["video_id"], set(writers)):
                self._add(writers[name], table, told)
        self.progress(len(rows), len(rows))

    def _tables_of(self, video_id: str, names: set[str]) -> Iterator[tuple[str, pa.Table]]:
        if "faces" in names:
            samples, faces = self.lake.read_video(video_id, self.space)
            yield "faces", _with_stand_ins(faces)
        elif "samples" in names:
            samples = self.lake.samples(video_id, self.space)
        if "samples" in names:
            yield "samples", samples
        if "tracks" in names:
            yield "tracks", self.lake.tracks(video_id, self.space)

    def _add(self, writer: TableWriter, table: pa.Table, told: dict[str, str]) -> None:
        """Write rows of the catalog, with what is the same for all of them."""
        for begin in range(0, len(table), _SLICE_ROWS):
            rows = to_embedding_kind(table.slice(begin, _SLICE_ROWS), self.embeddings)
            columns = [
                rows[name]
                if name in rows.column_names
                else pa.array([told[name]] * len(rows), pa.string())
                for name in writer.schema.names
            ]
            writer.add(pa.table(columns, schema=writer.schema))


def _parts(folder: Path) -> Iterator[Path]:
    number = 0
    while True:
        yield folder / f"part-{number:05d}.parquet"
        number += 1


def _with_stand_ins(faces: pa.Table) -> pa.Table:
    """The faces, each naming the face of this table whose embedding stands for it."""
    named: Any = stand_in_rows(faces)
    own = faces["embedding"].is_valid().to_numpy()
    field = faces.schema.field("embedded_face_id")
    values = faces["face_id"].take(pa.array(named, mask=own | (named < 0)))
    column = faces.schema.get_field_index("embedded_face_id")
    return faces.set_column(column, field, pc.cast(values, field.type))
