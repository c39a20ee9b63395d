"""A scan reads little and misses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walked import DIM, catalog, faces, walk

from facelake.errors import CatalogError
from facelake.lake import files as files_module
from facelake.lake.files import PartReader, save_table
from facelake.lake.layout import FACES_FOLDER, part_of
from facelake.schema import TWIN, pack_embeddings, unpack_embeddings


def brute_force(
    vectors: npt.NDArray[np.float32], probes: npt.NDArray[np.float64], min_score: float
) -> list[int]:
    kept = unpack_embeddings(pack_embeddings(vectors), missing_ok=True).astype(np.float64)
    best = (kept @ probes.T).max(axis=1)
    return np.flatnonzero(best >= min_score).tolist()  # NaN is not


@given(
    st.integers(1, 400), st.integers(1, 6), st.integers(0, 50), st.sampled_from([1.0, 0.4]),
    st.sampled_from([-1.0, 0.2, 0.5, 0.9, 1.0]), st.sampled_from([7, 64, 8192]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_no_face_that_scores_enough_is_left_out(
    tmp_path_factory: pytest.TempPathFactory,
    n: int, n_probes: int, seed: int, embedded: float, min_score: float, group_rows: int,
) -> None:  # fmt: skip
    vectors = walk(n, seed, embedded=embedded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files_module, "ROW_GROUP_ROWS", group_rows)
        lake, row = catalog(tmp_path_factory.mktemp("scan"), vectors)
    known = vectors[~np.isnan(vectors[:, 0])]
    probes = np.random.default_rng(seed).permutation(known)[:n_probes].astype(np.float64)
    found = lake.scan(probes, min_score=min_score).candidates(row)
    assert set(brute_force(vectors, probes, min_score)) <= set(found.row.tolist())
    assert np.all(np.diff(found.row) > 0)
    kept = unpack_embeddings(pack_embeddings(vectors), missing_ok=True)
    assert np.array_equal(found.vectors, kept[found.row])


def test_few_candidates_are_fetched_without_reading_the_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = walk(20_000, 1)
    lake, row = catalog(tmp_path, vectors)
    read: list[str] = []
    read_groups = PartReader.read_groups

    def note(self: PartReader, groups: Any, columns: Any = None) -> pa.Table:
        read.extend(columns)
        return read_groups(self, groups, columns)

    monkeypatch.setattr(PartReader, "read_groups", note)
    probe = vectors[[12_345]].astype(np.float64)
    found = lake.scan(probe, min_score=0.7).candidates(row)
    assert 12_345 in found.row
    assert set(brute_force(vectors, probe, 0.7)) <= set(found.row.tolist())
    assert len(found.row) < 200
    assert set(read) == {TWIN}


def test_embeddings_are_found_where_another_writer_laid_them(tmp_path: Path) -> None:
    """Several pages a row group, compressed or with a dictionary: whoever rewrote the file."""
    vectors = walk(3000, 2)
    lake, row = catalog(tmp_path, vectors)
    part = lake.root / part_of(FACES_FOLDER, row)
    table = pq.read_table(part, partitioning=None)
    for options in (
        {"data_page_size": 4096, "compression": "none"},
        {"compression": "zstd"},
        {"compression": "none", "use_dictionary": ["embedding"]},
        {"compression": "none", "data_page_version": "2.0", "row_group_size": 1000},
    ):
        pq.write_table(table, part, **options)
        found = lake.scan(vectors[[40]], min_score=0.8).candidates(row)
        assert set(brute_force(vectors, vectors[[40]].astype(float), 0.8)) <= set(found.row)
        kept = unpack_embeddings(pack_embeddings(vectors))
        assert np.array_equal(found.vectors, kept[found.row]), options


def test_a_flipped_bit_of_a_fetched_embedding_is_told(tmp_path: Path) -> None:
    vectors = walk(2000, 3)
    lake, row = catalog(tmp_path, vectors)
    part = lake.root / part_of(FACES_FOLDER, row)
    data = bytearray(part.read_bytes())
    place = data.find(vectors[[40]].astype("<f2").tobytes())
    data[place + 1] ^= 0b100
    part.write_bytes(data)
    with pytest.raises(CatalogError, match="damaged"):
        lake.scan(vectors[[40]], min_score=0.9).candidates(row)


def test_a_part_without_twins_is_read_whole(tmp_path: Path) -> None:
    vectors = walk(90, 4, embedded=0.5)
    lake, row = catalog(tmp_path, vectors)
    save_table(faces(vectors), lake.root / part_of(FACES_FOLDER, row))
    found = lake.scan(vectors[[0]], min_score=0.99).candidates(row)
    assert found.row.tolist() == np.flatnonzero(~np.isnan(vectors[:, 0])).tolist()


def test_an_empty_part_gives_nothing(tmp_path: Path) -> None:
    lake, row = catalog(tmp_path, np.empty((0, DIM), np.float32))
    found = lake.scan(walk(1, 0), min_score=-1.0).candidates(row)
    assert (len(found.row), found.vectors.shape) == (0, (0, DIM))


@given(st.sets(st.integers(0, 199)), st.sampled_from([3, 50, 8192]))
@settings(max_examples=25, deadline=None)
def test_rows_are_read_in_the_order_asked_for(
    tmp_path_factory: pytest.TempPathFactory, wanted: set[int], group_rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files_module, "ROW_GROUP_ROWS", group_rows)
        lake, row = catalog(tmp_path_factory.mktemp("rows"), walk(200, 5))
    rows = np.array(sorted(wanted), np.int64)
    table = lake.read_faces(row, rows, ["pts", "face_id"])
    assert table.column_names == ["pts", "face_id"]
    assert table["pts"].to_pylist() == rows.tolist()


def test_faces_that_others_stand_for_are_found(tmp_path: Path) -> None:
    vectors = walk(60, 6, embedded=0.3)
    lake, row = catalog(tmp_path, vectors)
    known = np.flatnonzero(~np.isnan(vectors[:, 0]))
    wanted = known[[0, -1]]
    found = lake.find_stood_for(row, pa.array([f"face-{r:05d}" for r in wanted]))
    expected = {}
    for r in range(60):
        if r not in known:
            stand_in = known[known < r][-1]
            if stand_in in wanted:
                expected[r] = wanted.tolist().index(stand_in)
    assert dict(zip(*(found[c].to_pylist() for c in ("row", "stand_in")), strict=True)) == expected
