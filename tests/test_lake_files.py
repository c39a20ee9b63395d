"""A Parquet file of the lake is whole or not there, says when it is damaged, and ages well."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.errors import CatalogError
from facelake.lake import read_table, save_table, write_table
from facelake.lake.files import PartReader, check_file, read_facts
from facelake.lake.stores.store import LocalStore, Store
from facelake.schema import FACES, SCHEMA_VERSION, conform, pack_embeddings, with_embedding

DIM = 16
SPACE = "colours-0123abcd"


def faces_table(n_rows: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n_rows, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        {
            "face_id": f"{seed:08x}{row:08x}",
            "pts": row,
            "time_s": row / 25,
            "bbox_xyxy": random.normal(size=4),
            "det_score": 0.9,
            "landmarks": random.normal(size=10),
            "align_rms": 1.0,
            "sharpness": 60.0,
            "quality": 0.5,
            "track_id": row % 3 if row % 2 else None,
        }
        for row in range(n_rows)
    ]
    table = pa.Table.from_pylist(rows, schema=FACES)
    columns = [*table.columns, pack_embeddings(vectors.astype(np.float32))]
    return pa.table(columns, schema=with_embedding(FACES, SPACE, DIM))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return a_store(tmp_path)


def a_store(folder: Path) -> Store:
    return LocalStore(folder / "data", folder / ".staging")


# Whole or not at all ----------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from facelake.lake import write_table
from facelake.lake.stores.store import LocalStore

store = LocalStore(Path(sys.argv[1]), Path(sys.argv[2]))
for number in range(1_000_000):
    column = pa.array([number.to_bytes(8, "little") * 128] * 8000, pa.binary(1024))
    write_table(pa.table({"number": column}), store, "part.parquet", number=number)
"""


def test_a_killed_writer_leaves_the_file_before_or_the_file_after(
    tmp_path: Path, store: Store
) -> None:
    path = tmp_path / "data" / "part.parquet"
    random = np.random.default_rng(5)
    for _ in range(6):
        path.unlink(missing_ok=True)
        command = [sys.executable, "-c", _WRITER, str(path.parent), str(tmp_path / ".staging")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as writer:
            while not path.exists():
                assert writer.poll() is None
                time.sleep(0.005)
            time.sleep(random.uniform(0.0, 0.15))
            writer.kill()
        (number,) = read_table(store, path.name)["number"].unique().to_pylist()
        told = int(read_facts(store, path.name)["number"])
        assert number == told.to_bytes(8, "little") * 128
        assert not check_file(store, path.name).why
        assert list(path.parent.iterdir()) == [path]


# What is in it ----------------------------------------------------------------------------------


@given(st.integers(0, 70), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, n: int, s: int) -> None:
    folder = tmp_path_factory.mktemp("files")
    table = faces_table(n, s)
    store = a_store(folder)
    write_table(table, store, "part.parquet")
    again = read_table(store, "part.parquet")
    assert again.equals(table)
    assert again.schema.equals(table.schema, check_metadata=False)


def test_embeddings_are_fixed_size_uncompressed_and_say_how_to_read_them(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    save_table(faces_table(300), path)
    file = pq.ParquetFile(path)
    columns = file.metadata.row_group(0)
    by_name = {
        columns.column(i).path_in_schema: columns.column(i) for i in range(columns.num_columns)
    }
    embedding = by_name.pop("embedding")
    assert embedding.physical_type == "FIXED_LEN_BYTE_ARRAY"
    assert embedding.compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" not in embedding.encodings
    assert {column.compression for column in by_name.values()} == {"ZSTD"}
    field = file.schema_arrow.field("embedding")
    assert field.type == pa.binary(2 * DIM)
    told = {b"space": SPACE.encode(), b"dtype": b"<f2", b"dim": b"16", b"norm": b"1"}
    assert {key: field.metadata[key] for key in told} == told
    # 300 vectors lie one behind the other in the file: numpy reads them without any Parquet.
    vectors = np.frombuffer(path.read_bytes(), "<f2", 300 * DIM, _data_start(path, embedding))
    assert np.allclose(np.linalg.norm(vectors.reshape(300, DIM), axis=1), 1.0, atol=2e-3)


def _data_start(path: Path, column: pq.ColumnChunkMetaData) -> int:
    """Where the values of an uncompressed column without nulls begin: they end with the chunk."""
    end = column.data_page_offset + column.total_compressed_size
    return int(end - 300 * DIM * 2)


def test_facts_stand_in_the_file_beside_the_schema_version(tmp_path: Path, store: Store) -> None:
    write_table(faces_table(1), store, "part.parquet", run="r1", n=3, x=0.5)
    told = json.loads(pq.read_schema(tmp_path / "data" / "part.parquet").metadata[b"facelake"])
    assert told == {"schema_version": SCHEMA_VERSION, "run": "r1", "n": 3, "x": 0.5}
    assert read_facts(store, "part.parquet") == told


def test_partition_values_stay_text(tmp_path: Path, store: Store) -> None:
    name = "faces/video_id=00123/part-1.parquet"
    write_table(faces_table(2), store, name)
    # Hive inference would make it 123.
    assert "video_id" not in read_table(store, name).column_names
    parts = ds.partitioning(pa.schema([("video_id", pa.string())]), flavor="hive")
    whole = ds.dataset(tmp_path / "data" / "faces", partitioning=parts).to_table()
    assert whole["video_id"].to_pylist() == ["00123", "00123"]


# Damage -----------------------------------------------------------------------------------------


@pytest.fixture
def part(tmp_path: Path, store: Store) -> Path:
    """A small file of faces, at its place in the store."""
    write_table(faces_table(20), store, "part.parquet", run="r")
    return tmp_path / "data" / "part.parquet"


def test_a_flipped_bit_in_any_column_is_found_by_whoever_reads_it(store: Store, part: Path) -> None:
    good = part.read_bytes()
    group = pq.ParquetFile(part).metadata.row_group(0)
    for number in range(group.num_columns):
        column = group.column(number)
        start = column.dictionary_page_offset or column.data_page_offset
        last = start + column.total_compressed_size - 1
        damaged = bytearray(good)
        damaged[last] ^= 0b100
        part.write_bytes(damaged)
        with pytest.raises(CatalogError, match=r"damaged.*delete it"):
            read_table(store, part.name)


@given(st.integers(0, 4095), st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_damage_gives_one_class_of_error_and_never_another(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    store = a_store(folder)
    write_table(faces_table(20), store, "part.parquet", run="r")
    path = folder / "data" / "part.parquet"
    data = bytearray(path.read_bytes())
    data[-1 - place % len(data)] ^= 1 << bit  # from the end: the footer has no checksum
    path.write_bytes(data)
    with suppress(CatalogError):
        read_table(store, "part.parquet")


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_torn_file_is_damaged(store: Store, part: Path, keep: int) -> None:
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(CatalogError, match="damaged"):
        read_table(store, part.name)
    assert check_file(store, part.name).why


def test_a_missing_file_is_told_with_what_writes_it_again(store: Store) -> None:
    with pytest.raises(CatalogError, match="is missing; the same ingest"):
        read_table(store, "none.parquet")
    with pytest.raises(CatalogError, match="is missing"):
        check_file(store, "none.parquet")


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    store: Store, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(part))

    monkeypatch.setattr(pa, "OSFile", refuse)  # root may read everything
    for read in (read_table, check_file):
        with pytest.raises(CatalogError, match=r"cannot be read \(Permission denied\)") as caught:
            read(store, part.name)
        assert "delete" not in str(caught.value)


# Versions ---------------------------------------------------------------------------------------


def test_a_newer_schema_version_is_refused(store: Store, part: Path) -> None:
    told = json.dumps({"schema_version": SCHEMA_VERSION + 1})
    schema = pa.schema([("pts", pa.int64())], metadata={"facelake": told})
    pq.write_table(pa.table({"pts": [1]}, schema=schema), part)
    sentence = (
        f"its schema version must be at most {SCHEMA_VERSION}, but is {SCHEMA_VERSION + 1}; "
        "a newer facelake wrote it: pip install -U facelake"
    )
    for read in (read_table, check_file):
        with pytest.raises(CatalogError, match=sentence.replace("+", r"\+")):
            read(store, part.name)


def test_a_file_of_other_tools_is_read_as_the_oldest_version(store: Store, part: Path) -> None:
    pq.write_table(pa.table({"pts": [1, 2]}), part)
    assert read_table(store, part.name)["pts"].to_pylist() == [1, 2]
    check = check_file(store, part.name)
    assert (check.why, check.is_sealed) == ("", False)


def test_a_file_of_schema_version_1_has_its_pages_verified(store: Store, part: Path) -> None:
    told = json.dumps({"schema_version": 1})
    schema = pa.schema([("pts", pa.int64())], metadata={"facelake": told})
    table = pa.table({"pts": [1, 2]}, schema=schema)
    pq.write_table(table, part, write_page_checksum=True, use_dictionary=False)
    assert check_file(store, part.name).why == ""
    column = pq.ParquetFile(part).metadata.row_group(0).column(0)
    data = bytearray(part.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    part.write_bytes(data)
    assert "CRC" in check_file(store, part.name).why


def test_a_file_of_this_version_must_have_its_seal(store: Store, part: Path) -> None:
    told = json.dumps({"schema_version": 2})
    schema = pa.schema([("pts", pa.int64())], metadata={"facelake": told})
    pq.write_table(pa.table({"pts": [1, 2]}, schema=schema), part)
    assert check_file(store, part.name).why == "its seal is broken"


def test_a_column_that_an_older_version_did_not_write_is_null(store: Store) -> None:
    table = faces_table(3)
    write_table(table.drop_columns(["track_id"]), store, "part.parquet")
    again = conform(read_table(store, "part.parquet"), table.schema)
    assert again.schema.names == table.schema.names
    assert again["track_id"].null_count == 3
    assert again.drop_columns(["track_id"]).equals(table.drop_columns(["track_id"]))


def test_only_the_columns_asked_for_are_read(store: Store, part: Path) -> None:
    wanted = {"pts", "embedding"}
    assert set(read_table(store, part.name, ["pts", "embedding"]).column_names) == wanted
    assert set(read_table(store, part.name, [*wanted, "of-tomorrow"]).column_names) == wanted


def test_row_groups_are_read_one_at_a_time(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    write_table(pa.table({"pts": np.arange(20_000)}), store, "part.parquet")
    with PartReader(store, "part.parquet") as part:
        sizes = [part.metadata.row_group(i).num_rows for i in range(part.metadata.num_row_groups)]
        assert sum(sizes) == 20_000
        assert len(sizes) > 1
        rows = part.read_groups([1])["pts"].to_pylist()
        assert rows == list(range(sizes[0], sizes[0] + sizes[1]))
