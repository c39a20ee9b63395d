"""A Parquet file of the lake is whole or not there, says when it is damaged, and ages well."""

from __future__ import annotations

import errno
import json
import os
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
from facelake.lake import read_table, write_table
from facelake.lake.files import read_facts, remove_file, replace_file
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


# Whole or not at all ----------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from facelake.lake import write_table

path, scratch = Path(sys.argv[1]), Path(sys.argv[2])
for number in range(1_000_000):
    column = pa.array([number.to_bytes(8, "little") * 128] * 8000, pa.binary(1024))
    write_table(pa.table({"number": column}), path, scratch=scratch, number=number)
"""


def test_a_killed_writer_leaves_the_file_before_or_the_file_after(tmp_path: Path) -> None:
    path, scratch = tmp_path / "data" / "part.parquet", tmp_path / ".staging"
    random = np.random.default_rng(5)
    for _ in range(6):
        path.unlink(missing_ok=True)
        command = [sys.executable, "-c", _WRITER, str(path), str(scratch)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as writer:
            while not path.exists():
                assert writer.poll() is None
                time.sleep(0.005)
            time.sleep(random.uniform(0.0, 0.15))
            writer.kill()
        (number,) = read_table(path)["number"].unique().to_pylist()
        assert number == int(read_facts(path)["number"]).to_bytes(8, "little") * 128
        assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_file_and_no_scrap(tmp_path: Path) -> None:
    path, scratch = tmp_path / "part.json", tmp_path / "scratch"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace_file(path, fail, scratch=scratch)
    assert path.read_text() == "old"
    assert list(scratch.iterdir()) == []


def test_data_and_folder_reach_the_disk_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []
    path = tmp_path / "part.txt"
    fsync = os.fsync

    def note(handle: int) -> None:
        is_folder = Path(f"/proc/self/fd/{handle}").readlink().is_dir()
        synced.append((is_folder, path.exists()))
        fsync(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to look up what a handle is")
    monkeypatch.setattr(os, "fsync", note)
    replace_file(path, lambda temporary: temporary.write_text("x"), scratch=tmp_path / "s")
    assert synced == [(False, False), (True, True)]


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    remove_file(tmp_path / "x")
    remove_file(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# What is in it ----------------------------------------------------------------------------------


@given(st.integers(0, 70), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, n: int, s: int) -> None:
    folder = tmp_path_factory.mktemp("files")
    table = faces_table(n, s)
    write_table(table, folder / "part.parquet", scratch=folder / "scratch")
    again = read_table(folder / "part.parquet")
    assert again.equals(table)
    assert again.schema.equals(table.schema, check_metadata=False)


def test_embeddings_are_fixed_size_uncompressed_and_say_how_to_read_them(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_table(faces_table(300), path, scratch=tmp_path / "scratch")
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


def test_facts_stand_in_the_file_beside_the_schema_version(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_table(faces_table(1), path, scratch=tmp_path / "scratch", run="r1", n=3, x=0.5)
    told = json.loads(pq.read_schema(path).metadata[b"facelake"])
    assert told == {"schema_version": SCHEMA_VERSION, "run": "r1", "n": 3, "x": 0.5}
    assert read_facts(path) == told


def test_partition_values_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "faces" / "video_id=00123" / "part-1.parquet"
    write_table(faces_table(2), path, scratch=tmp_path / "scratch")
    assert "video_id" not in read_table(path).column_names  # hive inference would make it 123
    parts = ds.partitioning(pa.schema([("video_id", pa.string())]), flavor="hive")
    whole = ds.dataset(tmp_path / "faces", partitioning=parts).to_table()
    assert whole["video_id"].to_pylist() == ["00123", "00123"]


# Damage -----------------------------------------------------------------------------------------


def test_a_flipped_bit_in_any_column_is_found(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_table(faces_table(50), path, scratch=tmp_path / "scratch")
    good = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(0)
    for number in range(group.num_columns):
        column = group.column(number)
        start = column.dictionary_page_offset or column.data_page_offset
        last = start + column.total_compressed_size - 1
        damaged = bytearray(good)
        damaged[last] ^= 0b100
        path.write_bytes(damaged)
        with pytest.raises(CatalogError, match=r"damaged.*delete it"):
            read_table(path)


@given(st.integers(0, 4095), st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_damage_gives_one_class_of_error_and_never_another(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path = folder / "part.parquet"
    write_table(faces_table(20), path, scratch=folder / "scratch", run="r")
    data = bytearray(path.read_bytes())
    data[-1 - place % len(data)] ^= 1 << bit  # from the end: the footer has no checksum
    path.write_bytes(data)
    with suppress(CatalogError):
        read_table(path)


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_torn_file_is_damaged(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "part.parquet"
    write_table(faces_table(20), path, scratch=tmp_path / "scratch")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CatalogError, match="damaged"):
        read_table(path)


def test_a_missing_file_is_told_with_what_writes_it_again(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is missing; the same ingest"):
        read_table(tmp_path / "none.parquet")


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.parquet"
    write_table(faces_table(1), path, scratch=tmp_path / "scratch")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pq, "ParquetFile", refuse)  # root may read everything
    with pytest.raises(CatalogError, match=r"cannot be read \(Permission denied\)") as caught:
        read_table(path)
    assert "delete" not in str(caught.value)


# Versions ---------------------------------------------------------------------------------------


def test_a_newer_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    told = json.dumps({"schema_version": SCHEMA_VERSION + 1})
    schema = pa.schema([("pts", pa.int64())], metadata={"facelake": told})
    pq.write_table(pa.table({"pts": [1]}, schema=schema), path)
    sentence = (
        f"its schema version must be at most {SCHEMA_VERSION}, but is {SCHEMA_VERSION + 1}; "
        "a newer facelake wrote it: pip install -U facelake"
    )
    with pytest.raises(CatalogError, match=sentence.replace("+", r"\+")):
        read_table(path)


def test_a_file_of_other_tools_is_read_as_the_oldest_version(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"pts": [1, 2]}), path)
    assert read_table(path)["pts"].to_pylist() == [1, 2]


def test_a_column_that_an_older_version_did_not_write_is_null(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    table = faces_table(3)
    write_table(table.drop_columns(["track_id"]), path, scratch=tmp_path / "scratch")
    again = conform(read_table(path), table.schema)
    assert again.schema.names == table.schema.names
    assert again["track_id"].null_count == 3
    assert again.drop_columns(["track_id"]).equals(table.drop_columns(["track_id"]))


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_table(faces_table(3), path, scratch=tmp_path / "scratch")
    assert set(read_table(path, ["pts", "embedding"]).column_names) == {"pts", "embedding"}
