"""Verifying finds what is not as it was written; mending loses nothing that can be read."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from planted import DIM, SPACE, axis, new_lake, plant_gallery, plant_video

from facelake import open_catalog
from facelake.cli import main
from facelake.errors import CatalogError
from facelake.lake import Lake, StagedStretch, VerifyReport, save_table, verify_catalog
from facelake.lake.layout import part_of
from facelake.lake.seal import check_seal
from facelake.lake.stores.store import LocalStore
from facelake.lake.verify.checks import check_run
from facelake.schema import (
    DAMAGED,
    FACES,
    SAMPLES,
    SCHEMA_VERSION,
    TRACKS,
    TWIN,
    VIDEOS,
    pack_embeddings,
    with_embedding,
)

LOOKS = {0: [axis(0)], 200: [axis(0), axis(1)], 400: []}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A catalog of two videos and one exemplar."""
    lake = new_lake(tmp_path / "catalogs" / "tv")
    plant_video(lake, "a", LOOKS)
    plant_video(lake, "b", {0: [axis(2)]})
    plant_video(lake, "failed", {})
    plant_gallery(lake, {"Ann": [axis(0)]})
    return tmp_path / "catalogs" / "tv"


def found(report: VerifyReport) -> list[tuple[str, str, bool]]:
    """Kind, file within the catalog and whether it is mended, of each trouble."""
    return [(one.kind, one.file, one.is_mended) for one in report.troubles]


def part(root: Path, table: str, name: str = "a") -> Path:
    (path,) = root.glob(f"{table}/**/video_id={name}-*/*.parquet")
    return path


def named(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def flip(path: Path, place: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def rewrite(path: Path, table: pa.Table) -> None:
    """Put other rows into a part, sealed and with the facts it had."""
    facts = json.loads(pq.read_schema(path).metadata[b"facelake"])
    save_table(table, path, **facts)


# Whole ------------------------------------------------------------------------------------------


def test_a_catalog_that_is_as_it_was_written_has_no_trouble(root: Path) -> None:
    done: list[tuple[int, int]] = []
    before = files(root.parent)
    report = verify_catalog(root, progress=lambda *told: done.append(told))
    assert found(report) == []
    assert (report.n_left, report.n_unsealed, report.notes) == (0, 0, ())
    assert report.n_files == len(files(root)) == 11
    assert report.n_bytes == sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    # All bytes but those of catalog.json are the progress's.
    assert done[-1] == (report.n_bytes - (root / "catalog.json").stat().st_size, report.n_bytes)
    assert "as it was written" in str(report)
    assert files(root.parent) == before


def test_no_catalog_is_an_error_and_not_a_trouble(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no such catalog"):
        verify_catalog(tmp_path / "none")


def test_the_command_says_it_with_its_exit_code(root: Path) -> None:
    arguments = ["verify", "-c", str(root), "-q"]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "as it was written" in done.stderr
    (root / "notes.txt").write_text("mine")
    done = CliRunner().invoke(main, [*arguments, "--mend", "--format", "json"])
    assert done.exit_code == 1
    (row,) = json.loads(done.stdout)
    assert (row["kind"], row["file"], row["is_mended"]) == ("stranger", "notes.txt", False)


# Damage -----------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_small_part_is_found(root: Path) -> None:
    path = part(root, "faces", "b")
    good = path.read_bytes()
    hidden = []  # where a bit hides the seal itself; these files are verified as a whole
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << (place % 8)
        if check_seal(io.BytesIO(bad)) != "damaged":
            hidden.append(bad)
    assert 0 < len(hidden) < 16
    for bad in hidden:
        path.write_bytes(bad)
        assert found(verify_catalog(root)) == [("damaged", named(root, path), False)]


@pytest.mark.parametrize("table", ["videos", "samples", "faces", "tracks", "gallery"])
def test_a_flipped_bit_in_any_table_is_told_with_its_file(root: Path, table: str) -> None:
    path = next((root / table).rglob("*.parquet"))
    good = path.read_bytes()
    for place in random.Random(1).sample(range(len(good)), 12):
        path.write_bytes(good)
        flip(path, place, place % 8)
        kinds = {(kind, file) for kind, file, _ in found(verify_catalog(root))}
        assert kinds == {("damaged", named(root, path))}, place


def test_a_damaged_run_is_noted_and_can_still_be_read(root: Path) -> None:
    path = part(root, "tracks")
    flip(path, 100)
    (trouble,) = verify_catalog(root, mend=True).troubles
    assert (trouble.kind, trouble.file, trouble.is_mended) == ("damaged", named(root, path), False)
    assert trouble.todo == "noted; run the same ingest again: it looks at this video again"
    lake = Lake.open(root)
    row = lake.runs_of(trouble.video_id, SPACE)[0]
    assert row["status"] == DAMAGED
    assert named(root, path) in row["error"]
    assert len(lake.faces(trouble.video_id, SPACE)) == 3
    assert path.exists()
    # It stays a trouble until the same ingest has written it again.
    (again,) = verify_catalog(root, mend=True).troubles
    assert again.todo == "run the same ingest again: it looks at this video again"
    plant_video(lake, "a", LOOKS)
    assert found(verify_catalog(root)) == []


def test_a_record_with_a_broken_seal_is_read_and_written_again(root: Path) -> None:
    path = part(root, "videos")
    seal_at = path.read_bytes().index(b"FLSEAL1\0")
    flip(path, seal_at + 20)
    verify_catalog(root, mend=True)
    (trouble,) = verify_catalog(root).troubles
    assert (trouble.kind, trouble.file) == ("damaged", named(root, path))
    assert trouble.what.startswith("it was noted")
    assert len(open_catalog(root).faces()) == 4


def test_a_record_that_cannot_be_read_goes_and_its_parts_stay(root: Path) -> None:
    path = part(root, "videos")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CatalogError, match="damaged"):
        open_catalog(root).videos()
    before = files(root)
    report = verify_catalog(root, mend=True)
    assert found(report) == [("damaged", named(root, path), False)]
    assert report.troubles[0].todo.startswith("removed; run the same ingest again")
    assert files(root) == before - {named(root, path)}
    assert len(open_catalog(root).faces()) == 1
    plant_video(Lake.open(root), "a", LOOKS)  # the same ingest
    assert found(verify_catalog(root)) == []
    assert len(files(root)) == len(before)


@pytest.mark.parametrize("text", [None, "{", '{"format": "facelake", "schema_version": 2}'])
def test_a_lost_catalog_file_is_written_again_from_the_tables(root: Path, text: str | None) -> None:
    path = root / "catalog.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CatalogError):
        Lake.open(root)
    kind = "missing" if text is None else "damaged"
    assert found(verify_catalog(root)) == [(kind, "catalog.json", False)]
    assert found(verify_catalog(root, mend=True)) == [(kind, "catalog.json", True)]
    assert Lake.open(root).spaces == {SPACE: {"dim": DIM, "pack": f"pack of {SPACE}"}}
    assert found(verify_catalog(root)) == []
    assert len(open_catalog(root).match()) == 4


# Parts that do not fit --------------------------------------------------------------------------


def test_a_missing_part_is_told_and_noted(root: Path) -> None:
    path = part(root, "faces")
    path.unlink()
    report = verify_catalog(root, mend=True)
    assert found(report) == [("missing", named(root, path), False)]
    assert len(Lake.open(root).tracks(report.troubles[0].video_id, SPACE)) == 0
    assert "examined" in open_catalog(root).coverage()["state"].to_pylist()


@pytest.mark.parametrize("table", ["samples", "faces", "tracks"])
def test_a_part_with_other_rows_than_its_record_tells_is_inconsistent(
    root: Path, table: str
) -> None:
    path = part(root, table)
    rows = pq.read_table(path)
    if table == "tracks":
        row = {"track_id": 0, "start_s": 0.0, "end_s": 1.0, "n_faces": 1, "best_face_id": "x"}
        columns = pa.Table.from_pylist([row], TRACKS).columns
        packed = pack_embeddings(np.eye(1, DIM, dtype=np.float32))
        rows = pa.table([*columns, packed], schema=with_embedding(TRACKS, SPACE, DIM))
        what = "it has 1 rows, but the video's record tells of 0"
    else:
        rows = rows.slice(0, len(rows) - 1)
        what = f"it has {len(rows)} rows, but the video's record tells of {len(rows) + 1}"
    rewrite(path, rows)
    told = {(one.kind, one.file, one.what) for one in verify_catalog(root).troubles}
    assert ("inconsistent", named(root, path), what) in told


def test_a_face_at_an_instant_that_no_sample_has_is_inconsistent(root: Path) -> None:
    path = part(root, "faces")
    rows = pq.read_table(path)
    pts = pa.array([0, 200, 201], pa.int64())
    rewrite(path, rows.set_column(rows.schema.get_field_index("pts"), rows.field("pts"), pts))
    (trouble,) = verify_catalog(root).troubles
    assert trouble.what == "1 of its faces lie at instants that no sample has"


@pytest.mark.parametrize("name", ["a face of nobody", "a face without an embedding"])
def test_a_face_whose_stand_in_is_not_there_is_inconsistent(root: Path, name: str) -> None:
    path = part(root, "faces")
    rows = pq.read_table(path)
    ids = rows["face_id"].to_pylist()
    stand_in = [ids[1] if "without" in name else "0" * 16, ids[2], None]
    for column, values in {
        "embedded_face_id": pa.array(stand_in, pa.string()),
        "embedding": pa.array([None, None, rows["embedding"][2].as_py()], pa.binary(2 * DIM)),
        TWIN: pa.array([None, None, rows[TWIN][2].as_py()], rows.field(TWIN).type),
    }.items():
        place = rows.schema.get_field_index(column)
        rows = rows.set_column(place, rows.field(column), values)
    rewrite(path, rows)
    (trouble,) = verify_catalog(root).troubles
    assert trouble.what == "1 of its faces name one with an embedding that is not there"


def test_a_twin_of_another_embedding_is_inconsistent(root: Path) -> None:
    path = part(root, "faces")
    rows = pq.read_table(path)
    twins = rows[TWIN].to_pylist()
    values = pa.array([twins[2], twins[1], None], rows.field(TWIN).type)
    rewrite(path, rows.set_column(rows.schema.get_field_index(TWIN), rows.field(TWIN), values))
    (trouble,) = verify_catalog(root).troubles
    assert trouble.what == "2 of its twins do not fit their embeddings"


def test_a_part_of_another_run_of_the_same_name_is_misplaced(root: Path) -> None:
    shutil.copy(part(root, "samples", "b"), part(root, "samples", "a"))
    kinds = [(one.kind, one.file) for one in verify_catalog(root).troubles]
    assert ("misplaced", named(root, part(root, "samples", "a"))) in kinds
    what = verify_catalog(root).troubles[0].what
    assert what.startswith("it is of video b-")


# Other people's files ---------------------------------------------------------------------------


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another catalog, with a model and a video of its own."""
    lake = new_lake(tmp_path / "catalogs" / "radio", "another-space")
    plant_video(lake, "c", LOOKS, space="another-space")
    return tmp_path / "catalogs" / "radio"


def test_a_video_of_another_catalog_s_model_is_misplaced_and_never_deleted(
    root: Path, other: Path
) -> None:
    shutil.copytree(other, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.json"))
    before = files(root)
    report = verify_catalog(root, mend=True)
    assert found(report) == [("misplaced", named(root, part(root, "videos", "c")), False)]
    assert "its space another-space is none of this catalog's" in report.troubles[0].what
    assert files(root) == before


def test_strangers_are_named_passed_over_and_never_deleted(root: Path) -> None:
    record, faces = part(root, "videos"), part(root, "faces")
    before = answers(root)
    strangers = {
        "notes.txt": b"mine",
        "videos/notes.txt": b"mine",
        "videos/video_id=foo/mine.parquet": record.read_bytes(),
        "samples/video_id=foo/mine.parquet": b"no parquet",
        f"faces/space={SPACE}/video_id=foo/mine.parquet": faces.read_bytes(),
        f"gallery/space={SPACE}/mine.parquet": faces.read_bytes(),
        f"gallery/space={SPACE}/readme.md": b"mine",
    }
    for name, data in strangers.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / ".DS_Store").touch()
    report = verify_catalog(root, mend=True)
    assert found(report) == [("stranger", name, False) for name in sorted(strangers)]
    assert answers(root) == before
    assert strangers.keys() <= files(root)


def answers(root: Path) -> tuple[object, ...]:
    """What a catalog answers to whoever asks."""
    catalog = open_catalog(root)
    return tuple(
        table.to_pylist()
        for table in (
            catalog.videos(), catalog.samples(), catalog.faces(), catalog.tracks(),
            catalog.match().table, catalog.match().spans(0.5).table, catalog.coverage(),
        )
    )  # fmt: skip


def test_a_record_copied_under_another_name_is_misplaced(root: Path) -> None:
    before = answers(root)
    (root / "videos" / "video_id=foo").mkdir()
    name = "videos/video_id=foo/part-run.parquet"
    shutil.copy(part(root, "videos"), root / name)
    report = verify_catalog(root, mend=True)
    assert found(report) == [("misplaced", name, False)]
    assert answers(root) == before


def test_a_catalog_copied_by_half_is_told_part_by_part(root: Path) -> None:
    shutil.rmtree(root / "faces")
    report = verify_catalog(root)
    assert [one.kind for one in report.troubles] == ["missing", "missing"]
    with pytest.raises(CatalogError, match=r"faces.*is missing; the same ingest") as told:
        open_catalog(root).faces()
    assert "\n" not in str(told.value)
    assert len(open_catalog(root).tracks()) == 0
    lake = Lake.open(root)
    plant_video(lake, "a", LOOKS)
    plant_video(lake, "b", {0: [axis(2)]})
    assert found(verify_catalog(root)) == []


# Litter -----------------------------------------------------------------------------------------


@pytest.fixture
def littered(root: Path) -> tuple[Path, set[str]]:
    """A catalog with an old generation and an interrupted ingest; and its files without them."""
    clean = files(root.parent)
    for table in ("samples", "faces", "tracks"):
        path = part(root, table)
        facts = json.loads(pq.read_schema(path).metadata[b"facelake"])
        old = path.with_name("part-run-00000000.parquet")
        save_table(pq.read_table(path), old, **(facts | {"generation": "00000000"}))
    lake = Lake.open(root)
    stretch = StagedStretch(SAMPLES.empty_table(), FACES.empty_table(), {})
    lake.staging("b-01234567", "run").put(0, stretch)
    (root.parent / ".staging" / "tv" / ".facelake-0123.part.parquet").write_bytes(b"half")
    return root, clean


def test_litter_is_told_and_removed_when_asked(littered: tuple[Path, set[str]]) -> None:
    root, clean = littered
    before = answers(root)
    report = verify_catalog(root)
    kinds = [one.kind for one in report.troubles]
    assert sorted(kinds) == ["orphan"] * 3 + ["staging"] * 2
    assert report.n_left == 5
    assert files(root.parent) > clean
    report = verify_catalog(root, mend=True)
    assert (len(report), report.n_left) == (5, 0)
    assert files(root.parent) == clean
    assert answers(root) == before
    assert found(verify_catalog(root)) == []


def test_an_orphan_of_another_place_is_never_deleted(root: Path, other: Path) -> None:
    theirs = part(other, "samples", "c")
    name = "samples/video_id=d-01234567/part-run-0a0a0a0a.parquet"
    (root / name).parent.mkdir()
    shutil.copy(theirs, root / name)
    assert found(verify_catalog(root, mend=True)) == [("misplaced", name, False)]
    assert (root / name).exists()


_WRITER = """
import sys
from facelake.lake import Lake

with Lake.open(sys.argv[1]).writing():
    print("at work", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks are flock's")
def test_nothing_is_removed_while_an_ingest_is_at_work(littered: tuple[Path, set[str]]) -> None:
    root, clean = littered
    before = files(root.parent) | {".staging/tv/writers.lock"}
    command = [sys.executable, "-c", _WRITER, str(root)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "at work\n"
        for mend in (False, True):
            report = verify_catalog(root, mend=mend)
            assert found(report) == []
            assert "an ingest is at work" in report.notes[0]
        assert files(root.parent) == before
        writer.kill()
    assert verify_catalog(root, mend=True).n_left == 0
    assert files(root.parent) == clean


def test_without_locks_only_what_is_older_than_a_day_is_litter(
    littered: tuple[Path, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, clean = littered
    monkeypatch.setattr(LocalStore, "has_locks", False)
    monkeypatch.setattr("facelake.lake.stores.store._lock", lambda *_, **__: False)
    before = files(root.parent)
    assert found(verify_catalog(root, mend=True)) == []
    assert files(root.parent) - {".staging/tv/writers.lock"} == before
    for name in before - clean:
        stat = (root.parent / name).stat()
        os.utime(root.parent / name, (stat.st_atime, stat.st_mtime - 90_000))
    assert verify_catalog(root, mend=True).n_left == 0
    assert files(root.parent) - {".staging/tv/writers.lock"} == clean


def test_a_read_only_catalog_is_verified(
    littered: tuple[Path, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    root, _ = littered
    flip(part(root, "samples", "b"), 50)
    for owner, name in ((os, "open"), (Path, "unlink"), (Path, "mkdir")):
        monkeypatch.setattr(owner, name, refuse)  # root may write everywhere
    assert "damaged" in [one.kind for one in verify_catalog(root).troubles]
    with pytest.raises(CatalogError, match=r"cannot be written \(Read-only file system\)"):
        verify_catalog(root, mend=True)


# Other versions ---------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A catalog as schema version 1 wrote it: no generation, no twin, no seal."""
    new = new_lake(tmp_path / "new")
    video_id = plant_video(new, "a", LOOKS)
    plant_gallery(new, {"Ann": [axis(0)]})
    row = new.runs_of(video_id, SPACE)[0]
    root = tmp_path / "old"
    for path in sorted((tmp_path / "new").rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        table = table.drop_columns([n for n in (TWIN, "generation") if n in table.column_names])
        told = {"schema_version": 1, "run": "run"}
        schema = table.schema.with_metadata({"facelake": json.dumps(told)})
        name = named(tmp_path / "new", path).replace(f"-{row['generation']}", "")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.cast(schema), root / name, write_page_checksum=True)
    told = {"format": "facelake", "schema_version": 1, "spaces": new.spaces}
    (root / "catalog.json").write_text(json.dumps(told))
    assert part_of("samples", row | {"generation": None}) in files(root)
    return root


def test_a_catalog_of_version_1_answers_as_the_same_one_of_this_version(
    old: Path, tmp_path: Path
) -> None:
    told = answers(old)
    expected = answers(tmp_path / "new")
    assert told[1:] == expected[1:]
    differs = {"generation"}
    for name in set(VIDEOS.names) - differs:
        assert told[0][0][name] == expected[0][0][name]  # type: ignore[index]


def test_a_catalog_of_version_1_is_no_trouble_but_unsealed(old: Path) -> None:
    report = verify_catalog(old)
    assert found(report) == []
    assert report.n_unsealed == 5
    assert "5 of them without a seal" in str(report)


def test_a_flipped_bit_in_a_page_of_version_1_is_found(old: Path) -> None:
    path = part(old, "faces")
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    flip(path, start + column.total_compressed_size - 1)
    (trouble,) = verify_catalog(old).troubles
    assert (trouble.kind, trouble.file) == ("damaged", named(old, path))


def test_a_catalog_of_version_1_takes_new_videos_and_replaces_its_own(old: Path) -> None:
    lake = Lake.open(old)
    plant_video(lake, "b", {0: [axis(2)]})
    faces = open_catalog(old).faces()
    assert len(faces) == 4
    plant_video(lake, "a", {0: [axis(0)]})  # as when what failed is tried again
    assert len(open_catalog(old).faces()) == 2
    assert not [name for name in files(old) if name.endswith("/part-run.parquet")
                and not name.startswith("videos/")]  # fmt: skip
    assert found(verify_catalog(old)) == []
    assert verify_catalog(old).n_unsealed == 1  # the exemplar


def test_a_newer_catalog_is_refused(root: Path) -> None:
    told = json.loads((root / "catalog.json").read_text())
    text = json.dumps(told | {"schema_version": SCHEMA_VERSION + 1})
    (root / "catalog.json").write_text(text)
    for mend in (False, True):
        with pytest.raises(CatalogError, match="a newer facelake wrote it: pip install -U"):
            verify_catalog(root, mend=mend)
    assert (root / "catalog.json").read_text() == text


def test_a_newer_file_is_told_and_left_alone(root: Path) -> None:
    path = part(root, "samples")
    table = pq.read_table(path, partitioning=None)
    save_table(table, path, schema_version=SCHEMA_VERSION + 1)
    data = path.read_bytes()
    (trouble,) = verify_catalog(root, mend=True).troubles
    assert (trouble.kind, trouble.todo) == ("newer", "pip install -U facelake")
    assert path.read_bytes() == data
    assert pc.all(pc.is_in(Lake.open(root).runs()["status"], pa.array(["ok", "failed"]))).as_py()


# Whoever writes meanwhile -----------------------------------------------------------------------


def test_a_run_that_is_replaced_meanwhile_is_no_trouble(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: Iterator[Any] = iter([True])

    def check(store: Any, row: dict[str, Any], spaces: Any) -> Any:
        if row["video_id"].startswith("a-") and next(replaced, False):
            plant_video(Lake.open(root), "a", LOOKS)
        return check_run(store, row, spaces)

    monkeypatch.setattr("facelake.lake.verify.verify.check_run", check)
    assert found(verify_catalog(root)) == []
