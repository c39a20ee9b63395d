"""Commit records are read once, believed while their files are the same, each at its place."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from planted import axis, new_lake, plant_video

from facelake.errors import CatalogError
from facelake.lake import Lake
from facelake.lake import records as records_module
from facelake.lake.records import RECORDS_CACHE, read_records
from facelake.lake.stores.store import Store

N_VIDEOS = 70  # more than are read without a cache


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = new_lake(tmp_path / "tv")
    for number in range(N_VIDEOS):
        plant_video(lake, f"v{number:02d}", {}, error=f"reason {number}")
    an_hour_ago = time.time() - 3600
    for path in (tmp_path / "tv" / "videos").rglob("*.parquet"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    return lake


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the records that are opened from here on."""
    names: list[str] = []

    def note(store: Store, name: str) -> Any:
        names.append(name)
        return noted(store, name)

    noted = records_module._noted
    monkeypatch.setattr(records_module, "_noted", note)
    return names


def test_records_are_opened_once(lake: Lake, opened: list[str]) -> None:
    first = read_records(lake.store, lake.scratch)
    assert len(opened) == N_VIDEOS
    assert first["error"].to_pylist() == [f"reason {number}" for number in range(N_VIDEOS)]
    opened.clear()
    assert read_records(lake.store, lake.scratch).equals(first)
    assert opened == []


def test_a_record_that_is_replaced_added_or_removed_is_seen_at_once(
    lake: Lake, opened: list[str]
) -> None:
    read_records(lake.store, lake.scratch)
    opened.clear()
    plant_video(lake, "v00", {}, error="another reason")
    plant_video(lake, "w", {}, error="new")
    gone = lake.runs()["video_id"][1].as_py()
    lake.withdraw(gone, "run")
    table = read_records(lake.store, lake.scratch)
    assert table["error"].to_pylist() == [
        "another reason", *(f"reason {number}" for number in range(2, N_VIDEOS)), "new",
    ]  # fmt: skip


def test_a_young_record_is_not_believed_by_its_time(tmp_path: Path, opened: list[str]) -> None:
    lake = new_lake(tmp_path / "tv")
    for number in range(N_VIDEOS):
        plant_video(lake, f"v{number:02d}", {})
    read_records(lake.store, lake.scratch)
    opened.clear()
    read_records(lake.store, lake.scratch)
    assert len(opened) == N_VIDEOS


def test_a_damaged_cache_is_not_believed(lake: Lake, opened: list[str], tmp_path: Path) -> None:
    first = read_records(lake.store, lake.scratch)
    cache = tmp_path / ".staging" / "tv" / RECORDS_CACHE
    good = cache.read_bytes()
    for place in (5, len(good) // 2, len(good) - 300, len(good) - 6):
        bad = bytearray(good)
        bad[place] ^= 1
        cache.write_bytes(bad)
        opened.clear()
        assert read_records(lake.store, lake.scratch).equals(first)
        assert len(opened) == N_VIDEOS


def test_a_note_tells_what_the_table_tells(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "a", {0: [axis(0)], 40: None}, duration_s=1 / 3, assumed_fps=29.97)
    plant_video(lake, "b", {}, error="a “reason”\nof two lines")
    noted = read_records(lake.store, lake.scratch)
    names = [entry.name for entry in lake.store.find("videos")]
    assert all(records_module._noted(lake.store, name) for name in names)
    for path in (tmp_path / "tv" / "videos").rglob("*.parquet"):
        pq.write_table(pq.read_table(path, partitioning=None), path)  # as others write: no note
    assert not any(records_module._noted(lake.store, name) for name in names)
    assert read_records(lake.store, lake.scratch).equals(noted)


def test_a_record_without_a_row_is_passed_over_and_told_when_it_is_asked_for(
    tmp_path: Path,
) -> None:
    lake = new_lake(tmp_path / "tv")
    video_id = plant_video(lake, "a", {0: [axis(0)]})
    (path,) = (tmp_path / "tv" / "videos").rglob("*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).slice(0, 0), path)
    assert len(lake.runs()) == 0
    with pytest.raises(CatalogError, match="must hold one row, but holds 0"):
        lake.run_row(video_id, "run")


def test_a_note_with_a_flipped_bit_is_not_believed(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "a", {0: [axis(0)]}, size_bytes=1234)
    (path,) = (tmp_path / "tv" / "videos").rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[data.find(b'"size_bytes": 1234') + 15] ^= 1
    path.write_bytes(data)
    assert read_records(lake.store, lake.scratch)["size_bytes"].to_pylist() == [1234]


def test_what_is_no_record_of_its_place_is_passed_over(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    video_id = plant_video(lake, "a", {0: [axis(0)]})
    videos = tmp_path / "tv" / "videos"
    (videos / "notes.txt").write_text("mine")
    (videos / "video_id=foo").mkdir()
    record = videos / f"video_id={video_id}" / "part-run.parquet"
    shutil.copy(record, videos / "video_id=foo" / "mine.parquet")
    shutil.copy(record, videos / "video_id=foo" / "part-run.parquet")
    shutil.copy(record, videos / f"video_id={video_id}" / "part-other.parquet")
    assert lake.runs()["video_id"].to_pylist() == [video_id]
    assert lake.runs_of("foo", lake.only_space()) == []
    assert [row["run"] for row in lake.runs_of(video_id, lake.only_space())] == ["run"]
