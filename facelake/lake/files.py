"""One Parquet file of the lake: how it is written, read and proved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from facelake.errors import CatalogError
from facelake.lake.seal import check_seal, seal
from facelake.lake.stores.store import Store
from facelake.schema import SCHEMA_VERSION, stamp

# 8 MB of embeddings a row group, each column of it one page: small enough to be skipped or read
# alone, and an embedding's place in the file can be reckoned (`vectors.read_vectors`).
ROW_GROUP_ROWS = 8192
_PAGE_BYTES = 64 << 20
_SEALED_SINCE = 2  # schema version


class MissingPartError(CatalogError):
    """A file of the catalog that is not there: gone, or replaced by a newer one."""


class NewerVersionError(CatalogError):
    """A file of the catalog that a newer facelake wrote."""


def save_table(table: pa.Table, path: Path, **facts: str | int | float) -> None:
    """Write a sealed Parquet file.

    Parameters
    ----------
    facts
        Go into the file's ``facelake`` metadata, beside the schema version.
    """
    _save(table, path, facts)


def _save(
    table: pa.Table, path: Path, facts: Mapping[str, str | int | float], note: bytes = b""
) -> None:
    schema = stamp(table.schema, **facts)
    packed = [f.name for f in schema if pa.types.is_fixed_size_binary(f.type)]
    with_text = [f.name for f in schema if pa.types.is_string(f.type)]
    pq.write_table(
        table.cast(schema),
        path,
        row_group_size=ROW_GROUP_ROWS,
        data_page_size=_PAGE_BYTES,
        # Embeddings do not compress (zstd: 8 % smaller, read 4 times slower).
        compression={f.name: "none" if f.name in packed else "zstd" for f in _leaves(schema)},
        use_dictionary=with_text,
        # The least and greatest of bytes say nothing, and a footer would hold whole pictures.
        write_statistics=[f.name for f in schema if not _is_bytes(f.type)],
        write_page_checksum=True,
        store_schema=True,
    )
    with path.open("r+b") as file:
        seal(file, note)


def write_table(table: pa.Table, store: Store, name: str, **facts: str | int | float) -> None:
    """Write a sealed Parquet file into a store, whole or not at all.

    Raises
    ------
    CatalogError
        It cannot be written: the disk is full or read-only.
    """
    store.write(name, lambda part: _save(table, part, facts))


def write_noted(
    table: pa.Table, store: Store, name: str, note: bytes, facts: Mapping[str, str]
) -> None:
    """As `write_table`, with a note beside the table (`seal`)."""
    store.write(name, lambda part: _save(table, part, facts, note))


def read_table(store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of this or an older schema version, its page checksums verified.

    Parameters
    ----------
    columns
        Only these, of which an older version may lack some; ``None`` is all.

    Raises
    ------
    CatalogError
        The file is missing (`MissingPartError`), damaged, cannot be read, or is of a newer schema
        version.
    """
    with PartReader(store, name) as part:
        return part.read(columns)


class PartReader:
    """A Parquet file of the lake, open for reading; a context manager.

    Raises
    ------
    CatalogError
        As `read_table`; so do its methods.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._where = store.where(name)
        self.gap_bytes = store.gap_bytes
        self._source = self._open(store, name)
        try:
            self._file = pq.ParquetFile(self._source, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            self._source.close()
            raise self._damaged(error) from error
        self.facts = self._told()

    def __enter__(self) -> PartReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._source.close()

    @property
    def metadata(self) -> pq.FileMetaData:
        """The footer."""
        return self._file.metadata

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of all, or of these columns where they are there."""
        try:
            table: pa.Table = self._file.read(columns=self._present(columns))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        return table

    def read_groups(self, groups: Sequence[int], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of some row groups."""
        try:
            table: pa.Table = self._file.read_row_groups(
                list(groups), columns=self._present(columns), use_threads=False
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        return table

    def read_into(self, offset: int, buffer: npt.NDArray[np.uint8]) -> None:
        """Fill a buffer with the file's bytes; they are verified by whoever knows their meaning."""
        try:
            self._source.seek(offset)
            n_bytes = self._source.readinto(buffer.reshape(-1).data)
        except OSError as error:
            raise self._damaged(error) from error
        if n_bytes != buffer.nbytes:
            raise self.damaged("it ends before its footer says")

    def damaged(self, why: str) -> CatalogError:
        """The error that says that this file is damaged."""
        return CatalogError(
            f"{self._where}: this file of the catalog is damaged ({why}); delete it, and the same "
            "ingest or enrol writes it again"
        )

    def _open(self, store: Store, name: str) -> pa.NativeFile:
        try:
            return store.open(name)
        except FileNotFoundError as error:
            raise MissingPartError(
                f"{self._where}: this file of the catalog is missing; the same ingest or enrol "
                "writes it again"
            ) from error
        except OSError as error:
            raise self._unreadable(error) from error

    def _told(self) -> dict[str, str | int | float]:
        try:
            text = (self._file.schema_arrow.metadata or {}).get(b"facelake", b"{}")
            told: dict[str, str | int | float] = json.loads(text)
            version = int(told.get("schema_version", 0))
        except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
            self.__exit__()
            raise self._damaged(error) from error
        if version > SCHEMA_VERSION:
            self.__exit__()
            raise NewerVersionError(
                f"{self._where}: its schema version must be at most {SCHEMA_VERSION}, but is "
                f"{version}; a newer facelake wrote it: pip install -U facelake"
            )
        return told

    def _present(self, columns: Sequence[str] | None) -> list[str] | None:
        if columns is None:
            return None
        return [name for name in columns if name in self._file.schema_arrow.names]

    def _damaged(self, error: Exception) -> CatalogError:
        if isinstance(error, OSError) and (error.errno or "AWS Error" in str(error)):
            return self._unreadable(error)  # the disk's word, not the file's content
        return self.damaged(str(error))

    def _unreadable(self, error: OSError) -> CatalogError:
        return CatalogError(f"{self._where}: cannot be read ({error.strerror or error})")


def read_facts(store: Store, name: str) -> dict[str, str | int | float]:
    """The ``facelake`` metadata of a Parquet file."""
    with PartReader(store, name) as part:
        return part.facts


@dataclass(frozen=True)
class FileCheck:
    """What came out of checking a file.

    Attributes
    ----------
    why
        Why it is damaged; empty when it is as it was written.
    is_sealed
        Whether that is known of every bit. A file without a seal, of schema version 1 or of
        another tool, has the checksums of its pages, where it has any.
    """

    why: str
    is_sealed: bool


def check_file(store: Store, name: str) -> FileCheck:
    """Whether a Parquet file is as it was written, to the bit.

    Raises
    ------
    CatalogError
        It is missing (`MissingPartError`), of a newer version (`NewerVersionError`), or cannot be
        read.
    """
    try:
        with store.open(name) as file:
            verdict = check_seal(file)
    except FileNotFoundError as error:
        raise MissingPartError(f"{store.where(name)}: this file is missing") from error
    except OSError as error:
        why = error.strerror or error
        raise CatalogError(f"{store.where(name)}: cannot be read ({why})") from error
    if verdict == "damaged":
        return FileCheck("its bytes are not those that were written", is_sealed=True)
    return FileCheck("" if verdict == "sealed" else _why_unsealed(store, name), verdict == "sealed")


def _why_unsealed(store: Store, name: str) -> str:
    """Why a file without a seal is damaged, if it is."""
    try:
        with PartReader(store, name) as part:
            if int(part.facts.get("schema_version", 0)) >= _SEALED_SINCE:
                return "its seal is broken"
            for group in range(part.metadata.num_row_groups):
                part.read_groups([group])
    except NewerVersionError:
        raise
    except CatalogError as error:
        return f"it cannot be read: {error.__cause__ or error}"
    return ""


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind))


def _leaves(schema: pa.Schema) -> list[pa.Field]:
    # Per-column compression is set by leaf path; lists name theirs "column.list.element".
    leaves = []
    for field in schema:
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            leaves.append(pa.field(f"{field.name}.list.element", field.type.value_type))
        else:
            leaves.append(field)
    return leaves
