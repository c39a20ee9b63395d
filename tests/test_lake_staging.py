"""Staged stretches are found again, whole or not at all, and lie outside the catalog."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from facelake.errors import CatalogError
from facelake.lake import Lake, StagedStretch, Staging, write_table
from facelake.lake import staging as staging_module
from facelake.lake.stores.store import LocalStore, Store, scratch_folder
from facelake.schema import CHIPS, FACES, SAMPLES, pack_embeddings, with_embedding


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "catalogs" / ".staging" / "tv"


@pytest.fixture
def staging(scratch: Path) -> Staging:
    return Staging(a_store(scratch), "news-01234567", "r1")


def a_store(folder: Path) -> Store:
    return LocalStore(folder, folder)


def stretch(n_samples: int, **facts: str | int | float) -> StagedStretch:
    samples = pa.table(
        {
            "pts": np.arange(n_samples),
            "time_s": np.arange(n_samples) / 25,
            "shown_s": np.full(n_samples, 0.04),
            "n_faces": np.zeros(n_samples, np.int32),
            "status": ["ok"] * n_samples,
            "source": ["detected"] * n_samples,
            "new_shot": [False] * n_samples,
        },
        schema=SAMPLES,
    )
    empty = FACES.empty_table()
    faces = pa.table(
        [*empty.columns, pack_embeddings(np.empty((0, 8), np.float32))],
        schema=with_embedding(FACES, "s-1", 8),
    )
    return StagedStretch(samples, faces, facts)


def test_what_is_staged_is_read_in_order(staging: Staging) -> None:
    for number in (2, 0, 1):
        staging.put(number, stretch(number + 1, decoder="pyav", n=number))
    read = list(staging.read(3))
    assert [len(one.samples) for one in read] == [1, 2, 3]
    assert [one.facts["n"] for one in read] == [0, 1, 2]
    assert read[0].faces.schema.field("embedding").type == pa.binary(16)


def test_a_later_process_finds_what_an_earlier_one_staged(staging: Staging, scratch: Path) -> None:
    staging.put(0, stretch(4, mark="m"))
    again = Staging(a_store(scratch), "news-01234567", "r1")
    found = again.facts(0)
    assert found is not None
    assert found["mark"] == "m"
    assert Staging(a_store(scratch), "news-01234567", "r2").facts(0) is None
    assert Staging(a_store(scratch.with_name("radio")), "news-01234567", "r1").facts(0) is None


def test_staging_twice_keeps_the_later(staging: Staging) -> None:
    staging.put(0, stretch(1, n=1))
    staging.put(0, stretch(2, n=2))
    (read,) = staging.read(1)
    assert (len(read.samples), read.facts["n"]) == (2, 2)


def test_nothing_of_it_lies_inside_the_catalog(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "catalogs" / "tv")
    lake.staging("news-01234567", "r1").put(0, stretch(1))
    assert [p.name for p in lake.root.rglob("*")] == ["catalog.json"]
    assert {p.name for p in (tmp_path / "catalogs").iterdir()} == {"tv", ".staging"}


@pytest.mark.parametrize("n_written", [0, 1])
def test_a_stretch_that_was_cut_short_does_not_count(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    written: list[str] = []

    def crash(table: pa.Table, store: Store, name: str, **more: Any) -> None:
        if len(written) == n_written:
            raise KeyboardInterrupt
        written.append(name)
        write_table(table, store, name, **more)

    monkeypatch.setattr(staging_module, "write_table", crash)
    with pytest.raises(KeyboardInterrupt):
        staging.put(0, stretch(3))
    assert len(written) == n_written
    assert staging.facts(0) is None


def test_a_damaged_stretch_does_not_count(staging: Staging, scratch: Path) -> None:
    staging.put(0, stretch(3))
    (part,) = scratch.glob("*/samples-*")
    part.write_bytes(part.read_bytes()[:-20])
    assert staging.facts(0) is None


def test_a_missing_stretch_is_an_error_unless_it_is_known(staging: Staging) -> None:
    staging.put(0, stretch(1))
    staging.put(2, stretch(3))
    with pytest.raises(CatalogError, match=r"stretch 1 must be staged.*run the same ingest again"):
        list(staging.read(3))
    assert [len(one.samples) for one in staging.read(3, missing_ok=True)] == [1, 3]


def test_clearing_removes_this_run_and_no_other(staging: Staging, scratch: Path) -> None:
    other = Staging(a_store(scratch), "news-01234567", "r2")
    other.put(0, stretch(1))
    staging.put(0, stretch(1))
    staging.begin(1, "session")
    for _ in range(2):
        staging.clear()
    assert staging.facts(0) is None
    assert other.facts(0) is not None
    assert [p.name for p in scratch.iterdir()] == ["news-01234567.r2"]


# Chips ------------------------------------------------------------------------------------------


def with_chips(n_samples: int) -> StagedStretch:
    rows = [{"face_id": "f0", "pts": 0, "picture": b"a picture", "format": "jpeg"}]
    return replace(stretch(n_samples), chips=pa.Table.from_pylist(rows, CHIPS))


def test_chips_are_staged_where_they_are_kept(staging: Staging) -> None:
    staging.put(0, with_chips(1))
    staging.put(1, stretch(2))
    first, second = staging.read(2)
    assert first.chips is not None
    assert first.chips.schema.equals(CHIPS)
    assert first.chips["picture"].to_pylist() == [b"a picture"]
    assert second.chips is None


def test_a_stretch_that_lost_its_chips_does_not_count(staging: Staging, scratch: Path) -> None:
    staging.put(0, with_chips(1))
    (part,) = scratch.glob("*/chips-*")
    part.unlink()
    assert staging.facts(0) is None
    assert list(staging.read(1, missing_ok=True)) == []


# Attempts ---------------------------------------------------------------------------------------


def test_attempts_that_nobody_ended_are_counted(staging: Staging) -> None:
    assert [staging.begin(3, "today") for _ in range(3)] == [0, 1, 2]
    assert staging.begin(4, "today") == 0


def test_an_attempt_that_ended_does_not_count(staging: Staging) -> None:
    staging.begin(3, "today")
    staging.end(3)
    staging.end(3)
    assert staging.begin(3, "today") == 0


def test_attempts_of_an_earlier_session_do_not_count(staging: Staging) -> None:
    staging.begin(3, "yesterday")
    staging.begin(3, "yesterday")
    assert [staging.begin(3, "today") for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("text", ["", "{", '{"session": "today"}', "\x00"])
def test_a_torn_marker_counts_as_none(staging: Staging, scratch: Path, text: str) -> None:
    staging.begin(3, "today")
    (marker,) = scratch.glob("*/attempts-*")
    marker.write_text(text)
    assert staging.begin(3, "today") == 0


# Where it lies ----------------------------------------------------------------------------------


def test_scratch_lies_beside_the_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tmp_path.resolve() / ".staging" / "tv"
    assert scratch_folder(tmp_path / "tv") == expected
    (tmp_path / "tv").mkdir()
    monkeypatch.chdir(tmp_path / "tv")
    assert scratch_folder(Path()) == expected
    assert scratch_folder(Path("../tv")) == expected


def test_scratch_of_a_linked_catalog_lies_where_it_really_is(tmp_path: Path) -> None:
    # A file cannot be moved into place in one step from another disk than the catalog's.
    (tmp_path / "big_disk" / "tv").mkdir(parents=True)
    (tmp_path / "catalogs").mkdir()
    (tmp_path / "catalogs" / "tv").symlink_to(tmp_path / "big_disk" / "tv")
    expected = tmp_path.resolve() / "big_disk" / ".staging" / "tv"
    assert scratch_folder(tmp_path / "catalogs" / "tv") == expected


def test_scratch_of_a_catalog_that_is_a_disk_of_its_own_lies_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "tv")
    assert scratch_folder(tmp_path / "tv") == tmp_path.resolve() / "tv" / ".staging"
    lake = Lake.create(tmp_path / "tv")
    lake.add_space("s-1", dim=8)
    assert Lake.open(tmp_path / "tv").spaces == {"s-1": {"dim": 8}}
