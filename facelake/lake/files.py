"""One Parquet file, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from facelake.atomic import replacing, sync
from facelake.errors import CatalogError
from facelake.schema import SCHEMA_VERSION, stamp


def write_table(table: pa.Table, path: Path, *, scratch: Path, **facts: str | int | float) -> None:
    """Write a Parquet file: to a scratch file, to the disk, then into place in one step.

    Whoever reads sees the old file or the new one, also after a crash.

    Parameters
    ----------
    table
        What to write.
    path
        Where it shall be; its folder is made.
    scratch
        A folder outside the data set, on the same file system.
    facts
        Go into the file's ``facelake`` metadata, beside the schema version.
    """
    schema = stamp(table.schema, **facts)
    packed = [f.name for f in schema if pa.types.is_fixed_size_binary(f.type)]
    with_text = [f.name for f in schema if pa.types.is_string(f.type)]

    def write(temporary: Path) -> None:
        pq.write_table(
            table.cast(schema),
            temporary,
            # Embeddings do not compress (zstd: 8 % smaller, read 4 times slower).
            compression={f.name: "none" if f.name in packed else "zstd" for f in _leaves(schema)},
            use_dictionary=with_text,
            write_statistics=[f.name for f in schema if f.name not in packed],
            write_page_checksum=True,
            store_schema=True,
        )

    replace_file(path, write, scratch=scratch)


def replace_file(path: Path, write: Callable[[Path], object], *, scratch: Path) -> None:
    """Call ``write(temporary)``, then put the file into place: fsync, rename, fsync the folder."""
    with replacing(path, scratch=scratch) as temporary:
        write(temporary)


def remove_file(path: Path) -> None:
    """Remove a file, where it is there, for good: fsync of its folder."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync(path.parent)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of this or an older schema version, its page checksums verified.

    Raises
    ------
    CatalogError
        The file is missing, damaged, cannot be read, or is of a newer schema version.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            told = json.loads((file.schema_arrow.metadata or {}).get(b"facelake", b"{}"))
            if told.get("schema_version", 0) > SCHEMA_VERSION:
                raise CatalogError(
                    f"{path}: its schema version must be at most {SCHEMA_VERSION}, but is "
                    f"{told['schema_version']}; a newer facelake wrote it: pip install -U facelake"
                )
            table: pa.Table = file.read(columns=None if columns is None else list(columns))
    except FileNotFoundError as error:
        raise CatalogError(
            f"{path}: this file of the catalog is missing; the same ingest or enrol writes it again"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's word, not the file's content
            raise CatalogError(f"{path}: cannot be read ({error.strerror or error})") from error
        raise CatalogError(
            f"{path}: this file of the catalog is damaged ({error}); delete it, and the same "
            "ingest or enrol writes it again"
        ) from error
    return table


def read_facts(path: Path) -> dict[str, str | int | float]:
    """The ``facelake`` metadata of a Parquet file."""
    metadata = pq.read_schema(path).metadata or {}
    facts: dict[str, str | int | float] = json.loads(metadata.get(b"facelake", b"{}"))
    return facts


def _leaves(schema: pa.Schema) -> list[pa.Field]:
    # Per-column compression is set by leaf path; lists name theirs "column.list.element".
    leaves = []
    for field in schema:
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            leaves.append(pa.field(f"{field.name}.list.element", field.type.value_type))
        else:
            leaves.append(field)
    return leaves
