"""A seal tells of every flipped bit, and no Parquet reader minds it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.lake import save_table
from facelake.lake.files import check_file
from facelake.lake.seal import check_seal, seal
from facelake.lake.stores.store import LocalStore

MAGIC = b"FLSEAL1\0"


def parquet(n_rows: int = 3) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"pts": np.arange(n_rows), "name": ["x"] * n_rows}), out)
    return out.getvalue()


def sealed(data: bytes) -> bytes:
    file = io.BytesIO(data)
    seal(file)
    return file.getvalue()


def test_a_sealed_file_is_read_as_if_it_had_no_seal(tmp_path: Path) -> None:
    path = tmp_path / "sealed.parquet"
    path.write_bytes(sealed(parquet(100)))
    assert pq.read_table(path)["pts"].to_pylist() == list(range(100))
    with duckdb.connect() as connection:
        connection.execute(f"SELECT sum(pts) FROM '{path}'")
        assert connection.fetchall() == [(4950,)]


def test_the_seal_is_the_digest_of_all_other_bytes_and_lies_before_the_footer() -> None:
    data = parquet()
    (length,) = np.frombuffer(data[-8:-4], "<u4")
    footer_at = len(data) - 8 - int(length)
    expected = data[:footer_at] + MAGIC + hashlib.sha256(data).digest() + data[footer_at:]
    assert sealed(data) == expected


def test_every_flipped_bit_of_a_sealed_file_is_found(tmp_path: Path) -> None:
    good = _sealed_file(tmp_path)
    store = LocalStore(tmp_path, tmp_path / "scratch")
    (tmp_path / "part.parquet").write_bytes(good)
    assert check_file(store, "part.parquet").why == ""
    missed = []
    for place in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            if check_seal(io.BytesIO(bad)) == "damaged":
                continue
            # What hides the seal itself must be seen by whoever knows that there was one.
            (tmp_path / "part.parquet").write_bytes(bad)
            if not check_file(store, "part.parquet").why:
                missed.append((place, bit))
    assert missed == []


def _sealed_file(folder: Path) -> bytes:
    save_table(pa.table({"pts": [1, 2, 3]}), folder / "one.parquet")
    return (folder / "one.parquet").read_bytes()


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bytes_that_are_no_parquet_are_damaged_and_raise_nothing(data: bytes) -> None:
    assert check_seal(io.BytesIO(data)) == "damaged"


@pytest.mark.parametrize("n_lost", [1, 4, 8, 100])
def test_a_torn_file_is_damaged_at_either_end(n_lost: int) -> None:
    whole = sealed(parquet())
    assert check_seal(io.BytesIO(whole[:-n_lost])) == "damaged"
    assert check_seal(io.BytesIO(whole[n_lost:])) == "damaged"


def test_a_file_of_others_is_unsealed_and_not_damaged() -> None:
    assert check_seal(io.BytesIO(parquet())) == "unsealed"


def test_what_is_no_parquet_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="must end in a Parquet footer"):
        seal(io.BytesIO(b"hello"))
