"""Parquet files for other readers: how embeddings leave, and files of a sensible size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facelake.schema import unpack_embeddings

EmbeddingKind = Literal["list-f32", "list-f16", "binary", "none"]
"""Lists of 32-bit or 16-bit floats, the float16 bytes as the catalog holds them, or nothing."""

FILE_BYTES = 128 << 20
_GROUP_BYTES = 32 << 20  # a row group is what a reader takes into memory at once
_LIST_TYPES = {"list-f32": pa.list_(pa.float32()), "list-f16": pa.list_(pa.float16())}


def with_embedding_kind(schema: pa.Schema, kind: EmbeddingKind) -> pa.Schema:
    """The schema with its embedding column, if it has one, as it leaves."""
    column = schema.get_field_index("embedding")
    if column < 0 or kind == "binary":
        return schema
    if kind == "none":
        return schema.remove(column)
    field = schema.field(column)
    dtype = {"list-f32": "<f4", "list-f16": "<f2"}[kind]
    told = dict(field.metadata or {}) | {b"dtype": dtype.encode()}
    return schema.set(column, field.with_type(_LIST_TYPES[kind]).with_metadata(told))


def to_embedding_kind(table: pa.Table, kind: EmbeddingKind) -> pa.Table:
    """The rows with their embedding column, if they have one, as it leaves.

    The numbers are the catalog's: a half-precision value is a single-precision one, exactly.
    """
    schema = with_embedding_kind(table.schema, kind)
    if schema.equals(table.schema):
        return table
    if kind == "none":
        return table.select(schema.names)
    column = table.schema.get_field_index("embedding")
    field = schema.field(column)
    vectors = unpack_embeddings(table["embedding"], missing_ok=True)
    known = table["embedding"].is_valid().to_numpy()
    flat = vectors[known].astype(field.type.value_type.to_pandas_dtype()).reshape(-1)
    offsets = np.concatenate([[0], np.cumsum(known) * vectors.shape[1]])
    lists = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(flat), type=field.type, mask=pa.array(~known)
    )
    return table.set_column(column, field, lists)


class TableWriter:
    """One table's Parquet files, filled row by row; a context manager.

    Parameters
    ----------
    paths
        Where the files go, one after the other; their folders are made.
    schema
        As the rows will have it. A table without rows is a file without rows.
    file_bytes
        Begin the next file when one is this large; ``None`` writes one file.
    """

    def __init__(
        self, paths: Iterator[Path], schema: pa.Schema, *, file_bytes: int | None = FILE_BYTES
    ) -> None:
        self.schema = schema
        self.n_rows = 0
        self._paths = paths
        self._file_bytes = file_bytes
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self._sink: pa.NativeFile  # both are there from the first file on
        self._writer: pq.ParquetWriter

    def __enter__(self) -> TableWriter:
        self._begin_file()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write_group()
            self._end_file()
            return
        # What stopped the export is the news, not that the unfinished file cannot be closed.
        with suppress(OSError):
            self._end_file()

    def add(self, table: pa.Table) -> None:
        """Write rows; they have the writer's columns."""
        self._pending.append(table)
        self._pending_bytes += table.nbytes
        self.n_rows += len(table)
        if self._pending_bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if not self._pending:
            return
        if self._file_bytes is not None and self._sink.tell() >= self._file_bytes:
            self._end_file()
            self._begin_file()
        group = pa.concat_tables(self._pending)
        self._pending, self._pending_bytes = [], 0
        self._writer.write_table(group, row_group_size=max(1, len(group)))

    def _begin_file(self) -> None:
        path = next(self._paths)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(self._sink, self.schema, **_options(self.schema))

    def _end_file(self) -> None:
        self._writer.close()
        self._sink.close()


def _options(schema: pa.Schema) -> dict[str, object]:
    """How the columns are encoded: by what every reader knows, and small."""
    text = [field.name for field in schema if pa.types.is_string(field.type)]
    column = schema.get_field_index("embedding")
    vectors = schema.field(column).type if column >= 0 else None
    options: dict[str, object] = {
        "compression": "zstd",
        "use_dictionary": text,
        "write_statistics": [field.name for field in schema if field.name != "embedding"],
        "write_page_checksum": True,
    }
    if vectors == _LIST_TYPES["list-f32"]:
        # Half of each number's bytes are nearly empty: stored byte by byte they shrink to less
        # than float16 takes, and are read as fast.
        options["use_byte_stream_split"] = ["embedding.list.element"]
    return options
