"""Wherever a writer is stopped, readers see the old or the new, whole, and nothing is left over."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from planted import SPACE, axis, new_lake, plant_video

from facelake import atomic, open_catalog
from facelake.errors import CatalogError
from facelake.lake import Lake, verify_catalog
from facelake.lake.stores import store as store_module
from facelake.lake.stores.store import LocalStore
from facelake.schema import SCHEMA_VERSION, TWIN
from facelake.testing.fakepack import write_fake_archive, write_fake_pack

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills and forks, as POSIX has them")

ROOT = Path(__file__).resolve().parent.parent
OLD = {0: [axis(0)], 200: [axis(0)]}
NEW = {0: [axis(1)], 200: [axis(1)], 400: [axis(1), axis(2)]}
SECONDS = ("decode_s", "detect_s", "align_s", "embed_s", "write_s")
# What readers say of a file that was there when they listed it. DuckDB opens a file twice, and of
# one that was replaced in between holds the footer of before against the pages of now.
REPLACED = ("No such file", "No files found", "Cannot open file", "TProtocolException")
NO_FACES = pa.schema([("video_id", pa.string()), ("pts", pa.int64())]).empty_table()
_PATIENCE_S = 120.0


# Every step of a publish ------------------------------------------------------------------------


@contextmanager
def stopped_at(number: int, stop: Callable[[], None]) -> Iterator[list[str]]:
    """Call ``stop`` at one step of whatever is written or removed; gives the steps so far."""
    steps: list[str] = []
    write, remove, replace = LocalStore.write, LocalStore.remove, Path.replace
    sync, unlink = atomic.sync, Path.unlink

    def step(name: str) -> None:
        steps.append(name)
        if len(steps) - 1 == number:
            stop()

    def writing(store: LocalStore, name: str, fill: Callable[[Path], object]) -> None:
        def filling(part: Path) -> None:
            step(f"before {name} is written")
            fill(part)

        write(store, name, filling)

    def renaming(part: Path, path: Path) -> Path:
        step(f"before {path.name} is renamed")
        replace(part, path)
        step(f"after {path.name} is renamed")
        return path

    def syncing(path: Path) -> None:
        step(f"before {path.name} is synced")
        sync(path)

    def unlinking(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet" and not missing_ok:
            step(f"before {path.name} is removed")
        unlink(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "write", writing)
        patch.setattr(LocalStore, "remove", remove)
        patch.setattr(Path, "replace", renaming)
        patch.setattr(Path, "unlink", unlinking)
        patch.setattr(atomic, "sync", syncing)
        patch.setattr(store_module, "sync", syncing)
        yield steps


def interrupt() -> None:
    raise KeyboardInterrupt


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def die() -> None:
    os._exit(9)


def old_catalog(root: Path) -> Lake:
    lake = new_lake(root)
    plant_video(lake, "a", OLD)
    return lake


def n_steps(folder: Path) -> int:
    old_catalog(folder / "count")
    with stopped_at(-1, interrupt) as steps:
        plant_video(Lake.open(folder / "count"), "a", NEW)
    shutil.rmtree(folder)
    return len(steps)


def seen(root: Path) -> tuple[list[int], int]:
    """Instants and number of faces that a reader sees of the one video."""
    lake = Lake.open(root)
    (video_id,) = lake.iter_video_ids()
    samples, faces = lake.read_video(video_id, SPACE)
    assert pc.all(pc.is_in(faces["pts"], samples["pts"])).as_py() is not False
    return samples["pts"].to_pylist(), len(faces)


def assert_whole_and_then_clean(root: Path) -> None:
    before = seen(root)
    assert before in (([0, 200], 2), ([0, 200, 400], 4))
    shutil.copytree(root.parent, root.parent.with_name(f"{root.parent.name}-again"))
    verify_catalog(root, mend=True)
    assert seen(root) == before
    assert_clean(root)
    again = root.parent.with_name(f"{root.parent.name}-again") / root.name
    plant_video(Lake.open(again), "a", NEW)
    assert seen(again) == ([0, 200, 400], 4)
    # What the next publish does not clear away is no part of the catalog.
    assert {one.kind for one in verify_catalog(again, mend=True).troubles} <= {"staging"}
    assert_clean(again)


def assert_clean(root: Path) -> None:
    assert len(verify_catalog(root)) == 0
    beside = root.parent / ".staging"
    assert [path for path in beside.rglob("*") if path.is_file()] == []


def test_a_publish_has_the_steps_that_are_tested(tmp_path: Path) -> None:
    # Four files, each written, synced, renamed and its folder synced; three old ones removed.
    assert n_steps(tmp_path / "n") == 4 * 5 + 3 * 2


@pytest.mark.parametrize("stop", [interrupt, fill_the_disk], ids=["exception", "disk full"])
def test_a_publish_that_is_stopped_anywhere_shows_the_old_or_the_new(
    tmp_path: Path, stop: Callable[[], None]
) -> None:
    states = set()
    for number in range(n_steps(tmp_path / "n")):
        root = tmp_path / str(number) / "tv"
        lake = old_catalog(root)
        with stopped_at(number, stop), pytest.raises((KeyboardInterrupt, CatalogError)) as caught:
            plant_video(lake, "a", NEW)
        if stop is fill_the_disk:
            told = str(caught.value)
            assert "cannot be written (No space left on device); mend that and run" in told
            assert not list((root.parent / ".staging").rglob("*.part*"))
        states.add(seen(root)[1])
        assert_whole_and_then_clean(root)
    assert states == {2, 4}


def test_a_publisher_that_dies_anywhere_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    steps = n_steps(tmp_path / "n")
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(steps)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.stdout.split() == ["9"] * steps, done.stderr
    states = set()
    for number in range(steps):
        states.add(seen(tmp_path / str(number) / "tv")[1])
        assert_whole_and_then_clean(tmp_path / str(number) / "tv")
    assert states == {2, 4}


def _die_at_each_step(folder: Path, steps: int) -> None:
    """Publish in a child for each step, and die there; prints how each child ended."""
    for number in range(steps):
        child = os.fork()  # nothing has been written here: no thread of pyarrow's is forked
        if child == 0:
            root = folder / str(number) / "tv"
            lake = old_catalog(root)
            with stopped_at(number, die):
                plant_video(lake, "a", NEW)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_a_full_disk_is_one_sentence_and_the_catalog_as_it_was(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if (
        os.getuid()
        or shutil.which("mount") is None
        or subprocess.run(mount, check=False).returncode
    ):
        pytest.skip("a small disk is mounted by root only")
    try:
        lake = old_catalog(disk / "catalogs" / "tv")
        many = {pts: [axis(pts % 3), axis(pts % 5)] for pts in range(0, 40_000, 10)}
        with pytest.raises(CatalogError, match=r"cannot be written \(.*[Nn]o space left") as caught:
            plant_video(lake, "a", many)
        assert "\n" not in str(caught.value)
        assert_whole_and_then_clean_of_old(disk / "catalogs" / "tv")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def assert_whole_and_then_clean_of_old(root: Path) -> None:
    assert seen(root) == ([0, 200], 2)
    verify_catalog(root, mend=True)
    assert seen(root) == ([0, 200], 2)
    assert_clean(root)


# Two writers and who reads meanwhile ------------------------------------------------------------


def generation(number: int) -> dict[int, list[Any]]:
    """What one writing of a video holds: its number is in every time, and says how many."""
    return {1000 * number + k: [axis(k % 3)] for k in range(3 + number % 5)}


def expected(number: int) -> list[int]:
    return sorted(generation(number))


def publish_often(root: str, first: int, n_times: int) -> None:
    lake = Lake.open(root)
    for number in range(first, first + n_times):
        plant_video(lake, "a", generation(number))


class Poller(threading.Thread):
    """Reads again and again until it is told to stop; keeps what went wrong."""

    def __init__(self, read: Callable[[], object], pause_s: float = 0.005) -> None:
        super().__init__(daemon=True)
        self._read, self._pause_s, self._ended = read, pause_s, threading.Event()
        self.n_reads = 0
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._read()
            except Exception as error:  # noqa: BLE001  (whatever it is, the test tells it)
                self.errors.append(f"{type(error).__name__}: {error}")
            self.n_reads += 1
            time.sleep(self._pause_s)

    def end(self) -> None:
        self._ended.set()
        self.join(_PATIENCE_S)


def sql(root: Path) -> str:
    """The query that docs/catalog.md gives to those who read the files directly."""
    text = (ROOT / "docs" / "catalog.md").read_text()
    (query,) = re.findall(r"^```sql\n(WITH looked.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return str(query).replace("catalogs/tv", str(root))


def again_where_replaced(read: Callable[[], pa.Table]) -> pa.Table:
    """What a reader sees that lists first and opens then: one that meets a gap asks again."""
    for _ in range(50):
        try:
            table = read()
        except (FileNotFoundError, duckdb.Error) as error:
            if not any(said in str(error) for said in REPLACED):
                raise
            continue
        if len(table):
            return table
    return table


def with_duckdb(root: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        return connection.sql(sql(root)).to_arrow_table()


def with_pyarrow(root: Path) -> pa.Table:
    """The faces of runs and generations that a ``videos`` row names, from the files themselves."""
    faces = ds.dataset(root / "faces", format="parquet")
    videos = ds.dataset(root / "videos", format="parquet").to_table()
    named = {
        (row["video_id"], f"part-{row['run']}-{row['generation']}.parquet")
        for row in videos.to_pylist()
    }
    tables = [NO_FACES]
    for fragment in faces.get_fragments():
        path = Path(fragment.path)
        video_id = path.parent.name.removeprefix("video_id=")
        if (video_id, path.name) in named:
            pts = fragment.to_table(columns=["pts"])["pts"]
            names = pa.array([video_id] * len(pts), pa.string())
            tables.append(pa.table([names, pts], schema=NO_FACES.schema))
    return pa.concat_tables(tables)


def test_the_query_of_the_docs_gives_what_the_catalog_gives(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "a", {0: [axis(0)], 1000: [axis(1)]}, run="sparse", sample_fps=1.0)
    video_id = plant_video(lake, "a", {0: [axis(0)], 40: [axis(0)], 80: None}, run="dense")
    plant_video(lake, "failed", {})
    columns = ["face_id", "pts", "det_score"]
    found = with_duckdb(tmp_path / "tv").sort_by("pts")
    assert (
        found.select(columns).to_pylist()
        == lake.faces(video_id, SPACE, columns).select(columns).to_pylist()
    )
    assert found["video_id"].unique().to_pylist() == [video_id]


def test_fifty_publishes_by_two_processes_show_one_whole_generation_to_every_reader(
    tmp_path: Path,
) -> None:
    root = tmp_path / "tv"
    lake = new_lake(root)
    video_id = plant_video(lake, "a", generation(1))

    def check(samples: list[int], faces: list[int]) -> None:
        assert samples == faces == expected(samples[0] // 1000)

    def read_lake() -> None:
        read_samples, read_faces = Lake.open(root).read_video(video_id, SPACE)
        check(read_samples["pts"].to_pylist(), read_faces["pts"].to_pylist())

    def read_files(read: Callable[[Path], pa.Table]) -> None:
        table = again_where_replaced(lambda: read(root))
        pts = sorted(table["pts"].to_pylist())
        check(pts, pts)

    pollers = [
        Poller(read_lake),
        Poller(lambda: read_files(with_duckdb)),
        Poller(lambda: read_files(with_pyarrow)),
    ]
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=publish_often, args=(str(root), first, 25)) for first in (100, 200)
    ]
    for poller in pollers:
        poller.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(_PATIENCE_S)
    for poller in pollers:
        poller.end()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [poller.errors for poller in pollers] == [[], [], []]
    assert all(poller.n_reads > 10 for poller in pollers)
    assert Lake.open(root).samples(video_id, SPACE)["pts"].to_pylist() in (
        expected(124), expected(224),
    )  # fmt: skip
    assert_clean(root)


# Ingests that are killed ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_fake_archive(folder, 2, n_shots=3)
    return folder / "videos"


def ingest(root: Path, videos: Path, pack: Path) -> list[str]:
    """An ingest as a person types it; one decoder, so that a second attempt gives the same bits."""
    program = "import sys; from facelake.cli import main; sys.exit(main())"
    return [
        sys.executable, "-c", program, "ingest", str(videos), "-c", str(root), "--pack", str(pack),
        "--every-frame", "--decoder", "pyav", "--det-size", "320", "--workers", "2", "-q",
    ]  # fmt: skip


def content(root: Path) -> dict[object, object]:
    """All that a catalog says, but for when it was said and how long it took."""
    lake = Lake.open(root)
    told: dict[object, object] = {"spaces": lake.spaces}
    for row in lake.runs().drop_columns(["created_utc", "generation", *SECONDS]).to_pylist():
        video_id, space = row["video_id"], row["space"]
        told[video_id, row["run"]] = row
        told[video_id, space] = (*lake.read_video(video_id, space), lake.tracks(video_id, space))
    return told


def check_counts(root: Path, read: Callable[[Path], pa.Table]) -> None:
    """Each video's faces are all there, or none yet."""
    n_faces = {
        row["n_faces"]
        for path in root.glob("videos/*/*.parquet")
        for row in pq.read_table(path, columns=["n_faces"], partitioning=None).to_pylist()
    }
    if n_faces:  # the archive's videos have equally many
        table = again_where_replaced(lambda: read(root))
        counts = table.group_by("video_id").aggregate([("pts", "count")])["pts_count"].to_pylist()
        assert set(counts) <= n_faces


def kill_often(
    folder: Path, videos: Path, pack: Path, n_kills: int, seed: int
) -> tuple[int, int, list[str]]:
    """Kill ingests at random points while two readers poll; gives catalogs, reads and errors.

    Each catalog is gone on with until it is finished, and then compared with one that nothing
    disturbed.
    """
    start = time.monotonic()
    subprocess.run(ingest(folder / "calm" / "tv", videos, pack), check=True)
    full_s = time.monotonic() - start
    whole, random_ = content(folder / "calm" / "tv"), random.Random(seed)
    n_killed = n_catalogs = n_reads = 0
    errors: list[str] = []
    while n_killed < n_kills:
        root = folder / str(n_catalogs) / "tv"
        pollers = [
            Poller(lambda root=root: check_counts(root, with_duckdb), 0.05),  # type: ignore[misc]
            Poller(lambda root=root: check_counts(root, with_pyarrow), 0.02),  # type: ignore[misc]
        ]
        for poller in pollers:
            poller.start()
        is_done = False
        while not is_done:
            lasts_s = random_.uniform(0.2, 1.0) * full_s if n_killed < n_kills else _PATIENCE_S
            is_done = not _killed_after(ingest(root, videos, pack), lasts_s)
            n_killed += not is_done
        for poller in pollers:
            poller.end()
            errors += poller.errors
            n_reads += poller.n_reads
        verify_catalog(root, mend=True)
        if content(root) != whole or len(verify_catalog(root)):
            errors.append(f"catalog {n_catalogs} is not as if nothing had been killed")
        shutil.rmtree(root.parent)
        n_catalogs += 1
    return n_catalogs, n_reads, errors


def _killed_after(command: list[str], seconds: float) -> bool:
    """Whether a command was still running after so long, and was killed with all its workers."""
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE) as process:
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        assert process.returncode == 0, said
        return False


@pytest.mark.models
def test_ingests_that_are_killed_again_and_again_end_as_one_that_is_not(
    tmp_path: Path, videos: Path, pack: Path
) -> None:
    n_catalogs, n_reads, errors = kill_often(tmp_path, videos, pack, n_kills=4, seed=4)
    assert errors == []
    assert n_catalogs >= 1
    assert n_reads > 20


@pytest.mark.slow
@pytest.mark.models
def test_two_hundred_killed_ingests_end_as_one_that_is_not(
    tmp_path: Path, videos: Path, pack: Path
) -> None:
    n_catalogs, n_reads, errors = kill_often(tmp_path, videos, pack, n_kills=200, seed=5)
    print(f"200 kills over {n_catalogs} catalogs, {n_reads} reads, errors: {errors}")
    assert errors == []


@pytest.mark.models
def test_nothing_is_mended_away_under_an_ingest(tmp_path: Path, videos: Path, pack: Path) -> None:
    root = tmp_path / "tv"
    with subprocess.Popen(ingest(root, videos, pack), stderr=subprocess.DEVNULL) as process:
        staging = tmp_path / ".staging" / "tv"
        while not list(staging.glob("*/samples-*.parquet")):
            assert process.poll() is None
            time.sleep(0.005)
        report = verify_catalog(root, mend=True)
        if process.poll() is None:  # it may have ended meanwhile
            assert (len(report), len(report.notes)) == (0, 1)
        assert process.wait(_PATIENCE_S) == 0
    assert len(content(root)) == 1 + 2 * 2
    assert_clean(root)


# Healing ----------------------------------------------------------------------------------------


def ingest_here(root: Path, videos: Path, pack: Path) -> tuple[int, int]:
    """How many videos an ingest looks at, and how many it finds there."""
    report = open_catalog(root).ingest(videos, pack=pack, det_size=320, workers=1, progress=False)
    return report.n_new, report.n_present


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, videos: Path, pack: Path) -> Path:
    root = tmp_path_factory.mktemp("ingested") / "tv"
    assert ingest_here(root, videos, pack) == (2, 0)
    return root


@pytest.fixture
def catalog(ingested: Path, tmp_path: Path) -> Path:
    shutil.copytree(ingested, tmp_path / "tv")
    return tmp_path / "tv"


@pytest.mark.models
@pytest.mark.parametrize("harm", ["a flipped bit", "a torn record", "a missing part"])
def test_the_same_ingest_heals_what_verify_has_noted(
    catalog: Path, videos: Path, pack: Path, harm: str
) -> None:
    before = content(catalog)
    path = sorted(catalog.glob("faces/*/*/*.parquet"))[0]
    if harm == "a flipped bit":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "a missing part":
        path.unlink()
    else:
        path = sorted(catalog.glob("videos/*/*.parquet"))[0]
        path.write_bytes(path.read_bytes()[:100])
    assert verify_catalog(catalog, mend=True).n_left == 1
    assert ingest_here(catalog, videos, pack) == (1, 1)
    assert content(catalog) == before
    assert_clean(catalog)


@pytest.mark.models
def test_an_ingest_into_a_catalog_of_version_1_looks_at_none_of_its_videos_again(
    catalog: Path, videos: Path, pack: Path
) -> None:
    before = content(catalog)
    for path in list(catalog.rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None)
        table = table.drop_columns({TWIN, "generation"}.intersection(table.column_names))
        run = path.stem.split("-")[1]
        schema = table.schema.with_metadata(
            {"facelake": f'{{"schema_version": 1, "run": "{run}"}}'}
        )
        path.unlink()
        pq.write_table(table.cast(schema), path.with_name(f"part-{run}.parquet"))
    told = (catalog / "catalog.json").read_text()
    (catalog / "catalog.json").write_text(
        told.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 1')
    )
    files = sorted(catalog.rglob("*.parquet"))
    assert ingest_here(catalog, videos, pack) == (0, 2)
    assert sorted(catalog.rglob("*.parquet")) == files
    assert content(catalog) == before


if __name__ == "__main__":
    _die_at_each_step(Path(sys.argv[1]), int(sys.argv[2]))
