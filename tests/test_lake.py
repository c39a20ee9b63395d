"""A catalog shows what its ``videos`` rows name, once, and says what it is not."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.errors import CatalogError
from facelake.lake import Lake, save_table, write_table
from facelake.lake import lake as lake_module
from facelake.lake.records import write_record
from facelake.lake.stores.store import Store
from facelake.schema import (
    EXEMPLARS,
    FACES,
    SAMPLES,
    SCHEMA_VERSION,
    TRACKS,
    VIDEOS,
    pack_embeddings,
    with_embedding,
)

SPACE, DIM = "colours-0123abcd", 8
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake.create(tmp_path / "catalogs" / "tv")
    lake.add_space(SPACE, dim=DIM, pack="fake", licence="Apache-2.0")
    return lake


def video(run: str = "r1", n_samples: int = 0, **more: Any) -> dict[str, Any]:
    """A ``videos`` row; what a test does not care about is filled in."""
    row: dict[str, Any] = {
        "video_id": "news-01234567",
        "run": run,
        "content_id": "01234567" * 8,
        "paths": ["/a/news.mp4"],
        "mtimes_ns": [1],
        "size_bytes": 1000,
        "status": "ok",
        "settings": "{}",
        "space": SPACE,
        "pack": "fake",
        "detector": "d",
        "device": "auto",
        "n_samples": n_samples,
        "created_utc": NOON,
        "facelake_version": "0",
    }
    counts = dict.fromkeys(("n_undecodable", "n_bad_packets", "n_faces", "n_tracks"), 0)
    return row | counts | more


def samples(pts: list[int], lost: tuple[int, ...] = (), n_faces: int = 1) -> pa.Table:
    return pa.table(
        {
            "pts": pts,
            "time_s": [p / 25 for p in pts],
            "shown_s": [0.04] * len(pts),
            "n_faces": [0 if p in lost else n_faces for p in pts],
            "status": ["undecodable" if p in lost else "ok" for p in pts],
            "source": ["none" if p in lost else "detected" for p in pts],
            "new_shot": [False] * len(pts),
        },
        schema=SAMPLES,
    )


def faces(pts: list[int], name: str, track_id: int | None = 0) -> pa.Table:
    """One face at each instant, called after the run that saw it."""
    rows = [
        {
            "face_id": f"{name}-{p}",
            "pts": p,
            "time_s": p / 25,
            "bbox_xyxy": [0, 0, 9, 9],
            "det_score": 0.9,
            "landmarks": [0] * 10,
            "align_rms": 1.0,
            "sharpness": 60.0,
            "quality": 0.5,
            "track_id": track_id,
        }
        for p in pts
    ]
    vectors = np.tile(np.eye(1, DIM, dtype=np.float32), (len(pts), 1))
    table = pa.Table.from_pylist(rows, schema=FACES)
    return pa.table(
        [*table.columns, pack_embeddings(vectors)], schema=with_embedding(FACES, SPACE, DIM)
    )


def tracks(name: str) -> pa.Table:
    row = {"track_id": 0, "start_s": 0.0, "end_s": 1.0, "n_faces": 1, "best_face_id": name}
    table = pa.Table.from_pylist([row], schema=TRACKS)
    column = pack_embeddings(np.eye(1, DIM, dtype=np.float32))
    return pa.table([*table.columns, column], schema=with_embedding(TRACKS, SPACE, DIM))


def publish(lake: Lake, run: str, pts: list[int], **more: Any) -> None:
    lost = more.pop("lost", ())
    seen = [p for p in pts if p not in lost]
    row = video(run, len(pts), n_faces=len(seen), **more)
    lake.publish(row, samples(pts, lost), faces(seen, run), tracks(run))


def whole(lake: Lake, video_id: str = "news-01234567") -> tuple[list[int], list[str]]:
    """Instants and faces that a reader sees."""
    read_samples, read_faces = lake.read_video(video_id, SPACE)
    return read_samples["pts"].to_pylist(), read_faces["face_id"].to_pylist()


# Publishing -------------------------------------------------------------------------------------


def test_what_is_published_is_read(lake: Lake) -> None:
    publish(lake, "r1", [0, 5, 10])
    again = Lake.open(lake.root)
    assert again.samples("news-01234567", SPACE).equals(samples([0, 5, 10]))
    assert again.faces("news-01234567", SPACE).equals(faces([0, 5, 10], "r1"))
    assert again.tracks("news-01234567", SPACE).equals(tracks("r1"))
    (row,) = again.videos().to_pylist()
    assert {name: row[name] for name in video()} == video("r1", 3, n_faces=3)
    assert list(again.iter_video_ids(SPACE)) == ["news-01234567"]
    assert list(again.iter_video_ids("other")) == []


def test_layout_is_what_the_design_says(lake: Lake) -> None:
    publish(lake, "r1", [0])
    generation = lake.run_row("news-01234567", "r1")["generation"]
    assert re.fullmatch("[0-9a-f]{8}", generation)
    files = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file()}
    assert files == {
        "catalog.json",
        "videos/video_id=news-01234567/part-r1.parquet",
        f"samples/video_id=news-01234567/part-r1-{generation}.parquet",
        f"faces/space={SPACE}/video_id=news-01234567/part-r1-{generation}.parquet",
        f"tracks/space={SPACE}/video_id=news-01234567/part-r1-{generation}.parquet",
    }
    beside = {p.name for p in lake.root.parent.iterdir()}
    assert beside == {"tv", ".staging"}


def test_any_parquet_reader_opens_the_tables_with_their_partitions(lake: Lake) -> None:
    publish(lake, "r1", [0, 5])
    publish(lake, "r1", [0], video_id="other-89abcdef", content_id="89abcdef" * 8)
    for folder, n_rows in (("faces", 3), ("samples", 3), ("videos", 2), ("tracks", 2)):
        table = ds.dataset(lake.root / folder, partitioning="hive").to_table()
        assert len(table) == n_rows
        assert set(table["video_id"].to_pylist()) == {"news-01234567", "other-89abcdef"}
    table = ds.dataset(lake.root / "faces", partitioning="hive").to_table()
    assert set(table["space"].to_pylist()) == {SPACE}


def test_parts_that_no_videos_row_names_are_not_read(lake: Lake) -> None:
    publish(lake, "r1", [0, 5])
    folder = "video_id=news-01234567"
    stray = {
        f"samples/{folder}": samples([1, 2]),
        f"faces/space={SPACE}/{folder}": faces([0, 1, 2], "stray"),
        f"tracks/space={SPACE}/{folder}": tracks("stray"),
        "samples/video_id=ghost-00000000": samples([0]),
    }
    for place, table in stray.items():
        write_table(table, lake.store, f"{place}/part-stray.parquet")
    assert whole(lake) == ([0, 5], ["r1-0", "r1-5"])
    assert lake.tracks("news-01234567", SPACE)["best_face_id"].to_pylist() == ["r1"]
    assert list(lake.iter_video_ids()) == ["news-01234567"]
    assert whole(lake, "ghost-00000000") == ([], [])


@pytest.mark.parametrize("n_written", range(4))
@pytest.mark.parametrize("before", ["nothing", "a sparser run", "the same run"])
def test_a_crash_between_tables_shows_what_was_there_before(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, n_written: int, before: str
) -> None:
    expected: tuple[list[int], list[str]] = ([], [])
    if before == "a sparser run":
        publish(lake, "old", [0, 10])
        expected = ([0, 10], ["old-0", "old-10"])
    elif before == "the same run":  # as when what failed is tried again
        publish(lake, "r1", [0, 5, 10], lost=(5, 10), status="partial", error="a bad disk")
        expected = ([0, 5, 10], ["r1-0"])
    written: list[str] = []

    def crash(table: pa.Table, store: Store, name: str, **more: Any) -> None:
        if len(written) == n_written:
            raise KeyboardInterrupt
        written.append(name)
        write_table(table, store, name, **more)

    def crash_at_last(store: Store, video: dict[str, Any], facts: dict[str, str]) -> None:
        if len(written) == n_written:
            raise KeyboardInterrupt
        write_record(store, video, facts)

    monkeypatch.setattr(lake_module, "write_table", crash)
    monkeypatch.setattr(lake_module, "write_record", crash_at_last)
    there = lake.store.find()
    with pytest.raises(KeyboardInterrupt):
        publish(lake, "r1", [0, 5, 10])
    assert len(written) == n_written
    assert lake.store.find() == there  # nothing half-written is left
    assert whole(Lake.open(lake.root)) == expected
    monkeypatch.undo()
    publish(lake, "r1", [0, 5, 10])
    assert whole(Lake.open(lake.root)) == ([0, 5, 10], ["r1-0", "r1-5", "r1-10"])


def test_a_run_that_now_gives_nothing_leaves_no_rows_of_before(lake: Lake) -> None:
    publish(lake, "r1", [0, 5], lost=(5,), status="partial", error="x")
    lake.publish(video("r1", 0, status="failed", error="no longer a video"))
    assert whole(lake) == ([], [])
    (row,) = lake.videos().to_pylist()
    assert (row["status"], row["n_samples"]) == ("failed", 0)


def test_a_withdrawn_run_is_not_read(lake: Lake) -> None:
    publish(lake, "r1", [0])
    assert lake.has_run("news-01234567", "r1")
    lake.withdraw("news-01234567", "r1")
    lake.withdraw("news-01234567", "r1")
    assert not lake.has_run("news-01234567", "r1")
    assert whole(lake) == ([], [])
    assert len(lake.runs()) == 0


def test_a_run_is_whole_while_all_its_files_are_there(lake: Lake) -> None:
    publish(lake, "r1", [0])
    row = lake.run_row("news-01234567", "r1")
    assert lake.is_whole(row)
    (part,) = (lake.root / "faces").rglob("*.parquet")
    part.unlink()
    assert not lake.is_whole(row)
    lake.publish(video("r2", 0, status="failed", error="x"))
    assert lake.is_whole(lake.run_row("news-01234567", "r2"))


def test_a_missing_part_of_a_named_run_is_an_error_and_not_silence(lake: Lake) -> None:
    publish(lake, "r1", [0])
    (part,) = (lake.root / "faces").rglob("*.parquet")
    part.unlink()
    with pytest.raises(CatalogError, match="is missing"):
        lake.faces("news-01234567", SPACE)


# Several runs of one video ----------------------------------------------------------------------


def test_each_instant_comes_once_and_from_the_denser_run(lake: Lake) -> None:
    publish(lake, "sparse", [0, 5, 10])
    publish(lake, "dense", list(range(12)), sample_fps=None)
    assert whole(lake) == (list(range(12)), [f"dense-{p}" for p in range(12)])
    assert lake.tracks("news-01234567", SPACE)["best_face_id"].to_pylist() == ["dense"]
    (row,) = lake.videos().to_pylist()
    assert row["run"] == "dense"
    assert len(lake.runs()) == 2


def test_instants_of_both_runs_stay_where_neither_holds_the_other(lake: Lake) -> None:
    publish(lake, "a", [0, 4, 8, 12])
    publish(lake, "b", [0, 6, 12])
    assert whole(lake) == ([0, 4, 6, 8, 12], ["a-0", "a-4", "b-6", "a-8", "a-12"])
    # Tracks are counted within a run, and those of run a are the ones that are read.
    track_id = lake.faces("news-01234567", SPACE)["track_id"].to_pylist()
    assert track_id == [0, 0, None, 0, 0]


def test_the_newer_of_equally_dense_runs_counts(lake: Lake) -> None:
    publish(lake, "z-old", [0, 5])
    publish(lake, "a-new", [0, 5], created_utc=NOON + timedelta(seconds=1))
    assert whole(lake) == ([0, 5], ["a-new-0", "a-new-5"])
    assert lake.videos()["run"].to_pylist() == ["a-new"]


def test_an_instant_that_the_denser_run_could_not_decode_is_taken_from_the_other(
    lake: Lake,
) -> None:
    publish(lake, "sparse", [0, 5, 10])
    publish(lake, "dense", list(range(11)), lost=(5, 6), status="partial", error="x")
    read = lake.samples("news-01234567", SPACE)
    assert read["pts"].to_pylist() == list(range(11))
    lost = [p for p, status in zip(range(11), read["status"].to_pylist(), strict=True)
            if status != "ok"]  # fmt: skip
    assert lost == [6]
    assert "sparse-5" in whole(lake)[1]


def test_a_failed_run_hides_no_other(lake: Lake) -> None:
    publish(lake, "r1", [0, 5])
    later = NOON + timedelta(hours=1)
    lake.publish(video("r2", 0, status="failed", error="the disk was gone", created_utc=later))
    assert whole(lake) == ([0, 5], ["r1-0", "r1-5"])
    assert lake.videos()["status"].to_pylist() == ["ok"]
    assert len(lake.tracks("news-01234567", SPACE)) == 1


def test_a_video_that_only_failed_is_a_row_with_empty_tables(lake: Lake) -> None:
    lake.publish(video("r1", 0, status="failed", error="not a video"))
    assert whole(lake) == ([], [])
    assert len(lake.tracks("news-01234567", SPACE)) == 0
    assert lake.videos()["error"].to_pylist() == ["not a video"]


def test_runs_of_other_spaces_are_kept_apart(lake: Lake) -> None:
    lake.add_space("other-1", dim=DIM, pack="p", licence="l")
    publish(lake, "r1", [0])
    lake.publish(video("r2", 3, space="other-1"), samples([0, 1, 2]), faces([0, 1, 2], "r2"))
    assert whole(lake) == ([0], ["r1-0"])
    assert lake.faces("news-01234567", "other-1")["face_id"].to_pylist() == ["r2-0", "r2-1", "r2-2"]
    assert len(lake.videos()) == 1
    assert lake.videos(SPACE)["run"].to_pylist() == ["r1"]


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 12), max_size=9), st.sets(st.integers(0, 12), max_size=3)),
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_merged_runs_hold_every_instant_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[set[int], set[int]]]
) -> None:
    lake = Lake.create(tmp_path_factory.mktemp("law") / "c")
    lake.add_space(SPACE, dim=DIM, pack="fake", licence="x")
    seen: set[int] = set()
    for number, (pts, lost) in enumerate(runs):
        publish(lake, f"r{number}", sorted(pts), lost=tuple(lost))
        seen |= pts - lost
    read, found = lake.read_video("news-01234567", SPACE)
    assert read["pts"].to_pylist() == sorted(set().union(*(pts for pts, _ in runs)))
    ok = [row["pts"] for row in read.to_pylist() if row["status"] == "ok"]
    assert ok == sorted(seen)
    assert found["pts"].to_pylist() == sorted(seen)  # each run saw one face an instant


@pytest.mark.parametrize("n_runs", [0, 1, 2])
def test_columns_come_as_asked_however_many_runs_there_are(lake: Lake, n_runs: int) -> None:
    for number in range(n_runs):
        publish(lake, f"r{number}", [number])
    wanted = ["time_s", "face_id", "embedding"]
    table = lake.faces("news-01234567", SPACE, wanted)
    assert table.column_names == [*wanted, "pts"]
    assert table.schema.field("embedding").type == pa.binary(2 * DIM)
    assert len(table) == n_runs


def test_a_part_of_an_older_version_is_read_with_nulls(lake: Lake) -> None:
    publish(lake, "r1", [0, 5])
    publish(lake, "r2", [1])
    (part,) = (lake.root / "faces").rglob("part-r1-*.parquet")
    save_table(faces([0, 5], "r1").drop_columns(["track_id"]), part)
    table = lake.faces("news-01234567", SPACE)
    assert table["face_id"].to_pylist() == ["r1-0", "r2-1", "r1-5"]
    assert table["track_id"].null_count == 3
    wanted = lake.faces("news-01234567", SPACE, ["track_id"])
    assert wanted.column_names == ["track_id", "pts"]


# Paths ------------------------------------------------------------------------------------------


def test_paths_grow_and_a_touched_file_is_noted(lake: Lake) -> None:
    publish(lake, "r1", [0])
    lake.add_path(lake.run_row("news-01234567", "r1"), "/a/copy.mp4", 7)
    lake.add_path(lake.run_row("news-01234567", "r1"), "/a/news.mp4", 9)
    (row,) = lake.videos().to_pylist()
    assert (row["paths"], row["mtimes_ns"]) == (["/a/copy.mp4", "/a/news.mp4"], [7, 9])
    assert whole(lake) == ([0], ["r1-0"])


def test_a_path_that_is_known_is_not_written_again(lake: Lake) -> None:
    publish(lake, "r1", [0])
    (part,) = (lake.root / "videos").rglob("*.parquet")
    before = part.stat().st_mtime_ns
    lake.add_path(lake.run_row("news-01234567", "r1"), "/a/news.mp4", 1)
    assert part.stat().st_mtime_ns == before


def test_a_video_has_the_paths_of_all_its_runs(lake: Lake) -> None:
    publish(lake, "sparse", [0], paths=["/a/news.mp4", "/b/moved.mp4"], mtimes_ns=[5, 6])
    publish(lake, "dense", [0, 1])
    (row,) = lake.videos().to_pylist()
    assert row["run"] == "dense"
    assert (row["paths"], row["mtimes_ns"]) == (["/a/news.mp4", "/b/moved.mp4"], [5, 6])


def test_a_name_that_holds_other_bytes_now_is_dropped_but_not_the_last_of_a_good_run(
    lake: Lake,
) -> None:
    publish(lake, "r1", [0], paths=["/a", "/b"], mtimes_ns=[1, 2])
    for path in ("/a", "/b", "/never"):
        lake.drop_path(lake.run_row("news-01234567", "r1"), path)
    assert lake.videos()["paths"].to_pylist() == [["/b"]]
    assert lake.videos()["mtimes_ns"].to_pylist() == [[2]]


def test_a_failed_run_goes_with_its_last_name(lake: Lake) -> None:
    lake.publish(video("r1", 0, status="failed", error="half a download"))
    lake.drop_path(lake.run_row("news-01234567", "r1"), "/a/news.mp4")
    assert len(lake.videos()) == 0


# Opening and creating ---------------------------------------------------------------------------


def test_create_makes_a_catalog_and_opens_the_one_that_is_there(tmp_path: Path) -> None:
    first = Lake.create(tmp_path / "a" / "tv")
    first.add_space(SPACE, dim=DIM, pack="p", licence="l")
    told = json.loads((tmp_path / "a" / "tv" / "catalog.json").read_text())
    assert (told["format"], told["schema_version"]) == ("facelake", SCHEMA_VERSION)
    assert Lake.create(tmp_path / "a" / "tv").spaces == first.spaces
    assert len(Lake.open(tmp_path / "a" / "tv").videos()) == 0


def test_a_folder_with_hidden_files_is_empty_enough(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    Lake.create(tmp_path)
    assert Lake.open(tmp_path).spaces == {}


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(CatalogError, match=r"needs an empty folder.*name another folder"):
        Lake.create(tmp_path)
    assert not (tmp_path / "catalog.json").exists()


def test_a_file_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "tv").touch()
    with pytest.raises(CatalogError, match="must be a folder, but this is a file"):
        Lake.create(tmp_path / "tv")


@pytest.mark.parametrize("make_folder", [True, False])
def test_no_catalog_is_told_with_the_nearest_name(tmp_path: Path, make_folder: bool) -> None:
    Lake.create(tmp_path / "evening-news")
    wrong = tmp_path / "evening-mews"
    if make_folder:
        wrong.mkdir()
    with pytest.raises(CatalogError, match=r"did you mean .*evening-news") as caught:
        Lake.open(wrong)
    assert "\n" not in str(caught.value)


def test_no_catalog_anywhere_near_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"facelake ingest SOURCE -c .*makes one"):
        Lake.open(tmp_path / "none" / "tv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be readable JSON"),
        ("{", "must be readable JSON"),
        ("\x00\x01", "must be readable JSON"),
        ("[]", "must describe a facelake catalog"),
        ('{"format": "iceberg"}', "must describe a facelake catalog"),
        ('{"format": "facelake"}', "must tell its schema version"),
        ('{"format": "facelake", "schema_version": "1"}', "must tell its schema version"),
        ('{"format": "facelake", "schema_version": 1}', "must list the catalog's spaces"),
    ],
)
def test_a_catalog_file_that_cannot_be_understood_is_told(
    tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "catalog.json").write_text(text)
    for open_it in (Lake.open, Lake.create):
        with pytest.raises(CatalogError, match=sentence):
            open_it(tmp_path)


def test_a_catalog_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    told = {"format": "facelake", "schema_version": SCHEMA_VERSION + 1, "spaces": {}}
    (tmp_path / "catalog.json").write_text(json.dumps(told))
    with pytest.raises(CatalogError, match=f"but is {SCHEMA_VERSION + 1}; a newer facelake"):
        Lake.open(tmp_path)


# Spaces -----------------------------------------------------------------------------------------


def test_a_space_is_noted_once_and_beside_those_of_another_writer(lake: Lake) -> None:
    other = Lake.open(lake.root)
    other.add_space("b-2", dim=4, pack="p", licence="l")
    lake.add_space("c-3", dim=4, pack="p", licence="l")
    assert set(Lake.open(lake.root).spaces) == {SPACE, "b-2", "c-3"}
    before = (lake.root / "catalog.json").stat().st_mtime_ns
    lake.add_space("c-3", dim=4, pack="p", licence="l")
    assert (lake.root / "catalog.json").stat().st_mtime_ns == before


def test_the_only_space_is_the_only_one(lake: Lake) -> None:
    assert lake.only_space() == SPACE
    lake.add_space("b-2", dim=4, pack="p", licence="l")
    with pytest.raises(CatalogError, match=f"several spaces, name one: b-2, {SPACE}"):
        lake.only_space()


def test_a_catalog_without_a_space_says_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="nothing is ingested yet"):
        Lake.create(tmp_path).only_space()


def test_an_unknown_space_is_told_with_those_that_are_there(lake: Lake) -> None:
    with pytest.raises(CatalogError, match=f"holds embeddings of {SPACE}, not of b-2"):
        lake.dim("b-2")


# Gallery ----------------------------------------------------------------------------------------


def exemplars(**photos: str) -> pa.Table:
    """One exemplar of each person, named after the photo."""
    rows = [
        {
            "exemplar_id": f"{number:04x}",
            "identity": identity,
            "photo": photo,
            "photo_sha256": "0",
            "bbox_xyxy": [0, 0, 9, 9],
            "det_score": 0.9,
            "quality": 0.8,
            "note": None,
        }
        for number, (identity, photo) in enumerate(photos.items())
    ]
    table = pa.Table.from_pylist(rows, schema=EXEMPLARS)
    vectors = np.eye(len(rows), DIM, dtype=np.float32)
    schema = with_embedding(EXEMPLARS, SPACE, DIM)
    return pa.table([*table.columns, pack_embeddings(vectors)], schema=schema)


def test_adding_an_exemplar_twice_changes_nothing(lake: Lake) -> None:
    for _ in range(2):
        lake.add_exemplars(exemplars(Bob="b.jpg", Ann="a.jpg"), SPACE)
    table = lake.exemplars(SPACE)
    assert table["identity"].to_pylist() == ["Ann", "Bob"]
    assert table.sort_by("exemplar_id").equals(exemplars(Bob="b.jpg", Ann="a.jpg"))


def test_dropping_an_exemplar_twice_changes_nothing(lake: Lake) -> None:
    lake.add_exemplars(exemplars(Bob="b.jpg", Ann="a.jpg"), SPACE)
    for _ in range(2):
        lake.drop_exemplars(["0000", "ffff"], SPACE)
    assert lake.exemplars(SPACE)["identity"].to_pylist() == ["Ann"]


def test_a_gallery_with_nobody_in_it_is_an_empty_table(lake: Lake) -> None:
    assert lake.exemplars(SPACE).schema.names == [*EXEMPLARS.names, "embedding"]
    assert len(lake.exemplars(SPACE)) == 0
    assert len(lake.exemplars("unknown-1")) == 0


def test_exemplars_of_an_older_version_are_read_beside_new_ones(lake: Lake) -> None:
    lake.add_exemplars(exemplars(Bob="b.jpg", Ann="a.jpg"), SPACE)
    part = lake.root / "gallery" / f"space={SPACE}" / "exemplar-0000.parquet"
    old = exemplars(Bob="b.jpg").drop_columns(["note"])
    save_table(old, part)
    table = lake.exemplars(SPACE)
    assert table["identity"].to_pylist() == ["Ann", "Bob"]
    assert table.schema.names == [*EXEMPLARS.names, "embedding"]


def test_the_tables_have_no_column_that_partitions_would_hide() -> None:
    # A column that is also a partition key is read twice, or from the wrong place.
    assert "video_id" not in SAMPLES.names + FACES.names + TRACKS.names
    assert "space" not in FACES.names + TRACKS.names
    assert {"video_id", "space"} <= set(VIDEOS.names)


def test_of_two_runs_with_as_many_samples_the_one_with_more_embeddings_owns_the_instants(
    lake: Lake,
) -> None:
    later = NOON + timedelta(hours=1)
    publish(lake, "all", [0, 5], n_embedded=2)
    publish(lake, "few", [0, 5], n_embedded=1, created_utc=later)
    assert whole(lake)[1] == ["all-0", "all-5"]
    assert lake.videos()["run"].to_pylist() == ["all"]


def test_a_run_that_does_not_say_how_many_faces_it_embedded_embedded_all(lake: Lake) -> None:
    later = NOON + timedelta(hours=1)
    publish(lake, "old", [0, 5])
    publish(lake, "few", [0, 5], n_embedded=1, created_utc=later)
    assert whole(lake)[1] == ["old-0", "old-5"]
