"""A catalog in a bucket is a catalog: against a real S3 server on loopback."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from distributed import LocalCluster
from objectstore import BUCKET, ObjectServer, Request
from planted import SPACE, add_space, axis, plant_video

from facelake.catalog import open_catalog
from facelake.cli import main
from facelake.errors import CatalogError
from facelake.ingest import ingest_videos
from facelake.lake import Lake
from facelake.lake.layout import parse_part, part_of
from facelake.lake.stores.objects import Place, parse_url
from facelake.lake.stores.store import Store, open_stores
from facelake.schema import IngestSettings
from facelake.testing.fakepack import FakeArchive, write_fake_archive, write_fake_pack

URL = f"s3://{BUCKET}/catalogs/tv"
STAGING = "catalogs/.staging/tv/"
_PATIENCE_S = 60.0  # far beyond what it takes; reached only by a hang
_HOW = ("created_utc", "generation", "decode_s", "detect_s", "align_s", "embed_s", "write_s")
_PROGRAM = "import sys; from facelake.cli import main; sys.exit(main())"


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[ObjectServer]:
    """Credentials and endpoint are in the environment, as users set them."""
    server = ObjectServer()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.close()


@pytest.fixture
def bucket(server: ObjectServer) -> ObjectServer:
    """The server, with nothing in its bucket."""
    server.empty()
    return server


@pytest.fixture
def store(bucket: ObjectServer) -> Store:
    return open_stores(URL)[0]


@pytest.fixture
def lake(bucket: ObjectServer) -> Lake:
    lake = Lake.create(URL)
    add_space(lake, SPACE)
    return lake


def put_bytes(store: Store, name: str, body: bytes) -> None:
    store.write(name, lambda part: part.write_bytes(body))


def plant(lake: Lake, n_samples: int) -> str:
    """Publish a generation of one run: as many samples as faces."""
    looks = {100 * number: [axis(0)] for number in range(n_samples)}
    return plant_video(lake, "news", looks)


def asked(server: ObjectServer) -> list[tuple[str, str]]:
    return [(request.method, request.key) for request in server.requests]


# URLs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://b", Place("b")),
        ("s3://b/a//tv/", Place("b/a/tv")),
        ("s3://b/tv?region=eu-west-1", Place("b/tv", region="eu-west-1")),
        ("s3://b/tv?endpoint_override=h:9000&scheme=http", Place("b/tv", "h:9000", "http")),
        ("s3://b/tv?endpoint_override=http%3A%2F%2Fh%3A9000%2F", Place("b/tv", "h:9000", "http")),
    ],
)
def test_a_url_says_where(url: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    assert parse_url(url) == place


def test_what_the_url_leaves_open_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.example:9000")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert parse_url("s3://b/tv") == Place("b/tv", "store.example:9000", "https", "eu-west-1")
    told = parse_url("s3://b/tv?endpoint_override=http://h&region=here")
    assert told == Place("b/tv", "h", "http", "here")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gs://b/tv", "must be a folder or a URL like s3://bucket/prefix"),
        ("file:///tv", "must be a folder or a URL like s3://bucket/prefix"),
        ("s3:///tv", "must be a folder or a URL like s3://bucket/prefix"),
        ("s3://b/tv?regoin=x", "must be of endpoint_override, region, scheme, but regoin is there"),
        ("s3://b/tv#1", "but #1 is there"),
        ("s3://key:hush@b/tv", "must not hold credentials"),
    ],
)
def test_another_url_is_refused_with_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(sentence)) as refused:
        parse_url(url)
    assert "hush" not in str(refused.value)


def test_the_endpoint_may_be_in_the_url(
    bucket: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    url = f"{URL}?endpoint_override=http://{bucket.endpoint}&region=eu-west-1"
    lake = Lake.create(url)
    assert lake.where == URL
    assert lake.scratch.where() == f"s3://{BUCKET}/{STAGING}".rstrip("/")
    assert bucket.list_keys() == ["catalogs/tv/catalog.json"]


# Objects ----------------------------------------------------------------------------------------


def test_a_file_is_one_put_and_no_folder_is_made(bucket: ObjectServer, store: Store) -> None:
    put_bytes(store, "faces/space=ü x/a.parquet", b"1" * (1 << 20))
    assert asked(bucket) == [("PUT", "catalogs/tv/faces/space=ü x/a.parquet")]
    assert bucket.list_keys() == ["catalogs/tv/faces/space=ü x/a.parquet"]


def test_what_is_written_is_read(store: Store) -> None:
    small, large = os.urandom(1000), os.urandom(21 << 20)
    for name, body in {"small": small, "large": large, "none": b""}.items():
        put_bytes(store, name, body)
        assert store.read_bytes(name) == body
    with store.open("large") as file:
        assert bytes(file.read_at(100, 15 << 20)) == large[15 << 20 : (15 << 20) + 100]


def test_a_large_file_goes_up_in_parts_and_leaves_none(bucket: ObjectServer, store: Store) -> None:
    put_bytes(store, "large", b"1" * (21 << 20))
    whole = [request for request in bucket.requests if request.method == "PUT"]
    assert len(whole) == 3  # of 10 MiB each
    assert bucket.unfinished() == []


@pytest.mark.parametrize("what", ["uploads", "partNumber=1", "partNumber=2", "uploadId"])
@pytest.mark.parametrize("before", [b"", b"as it was"])
def test_a_large_file_that_is_refused_on_the_way_is_not_there_in_part(
    bucket: ObjectServer, store: Store, what: str, before: bytes
) -> None:
    if before:
        put_bytes(store, "large", before)

    def rule(request: Request) -> bool:
        return request.query.startswith(what)

    with bucket.refusing(rule), pytest.raises(CatalogError, match=r"cannot be written \(access"):
        put_bytes(store, "large", b"1" * (21 << 20))
    assert store.has("large") == bool(before)
    if before:
        assert store.read_bytes("large") == before


def test_a_small_file_is_read_with_one_get(bucket: ObjectServer, lake: Lake) -> None:
    video_id = plant(lake, 5)
    bucket.requests.clear()
    (row,) = lake.runs_of(video_id, SPACE)  # of more than forty columns
    name = f"catalogs/tv/{part_of('videos', row)}"
    assert asked(bucket) == [("GET", ""), ("HEAD", name), ("GET", name)]


def test_asking_for_a_file_is_one_request(bucket: ObjectServer, store: Store) -> None:
    put_bytes(store, "a/b", b"1")
    for name, there in {"a/b": True, "a/c": False, "a": False}.items():
        bucket.requests.clear()
        assert store.has(name) == there
        assert asked(bucket) == [("HEAD", f"catalogs/tv/{name}")]
    with pytest.raises(FileNotFoundError):
        store.open("a/c")


def test_files_are_listed_a_thousand_with_a_request(bucket: ObjectServer, store: Store) -> None:
    names = [f"videos/video_id={number:05d}/part-x.parquet" for number in range(2500)]
    bucket.fill("catalogs/tv/", names)
    put_bytes(store, "samples/other", b"1")
    bucket.requests.clear()
    assert [entry.name for entry in store.find("videos")] == names
    assert len(bucket.requests) == 3
    assert store.find("nothing") == []


def test_a_removed_file_and_a_removed_folder_are_gone(bucket: ObjectServer, store: Store) -> None:
    for name in ("a/1", "a/b/2", "a/b/3", "ab/4", "c"):
        put_bytes(store, name, b"1")
    store.remove("a/1")
    store.remove("a/1")
    store.remove_tree("a/b")
    store.remove_tree("nothing")
    assert [entry.name for entry in store.find()] == ["ab/4", "c"]
    # pyarrow notes with an empty object that a folder, or the one above it, may be empty now.
    assert set(bucket.list_keys()) - {"catalogs/tv/a/", "catalogs/tv/"} == {
        "catalogs/tv/ab/4",
        "catalogs/tv/c",
    }


def test_a_bucket_may_be_a_catalog_and_is_never_deleted(bucket: ObjectServer) -> None:
    store, scratch = open_stores(f"s3://{BUCKET}")
    assert scratch.where("x") == f"s3://{BUCKET}/.staging/x"
    put_bytes(scratch, "x", b"1")
    assert store.is_empty()
    put_bytes(store, "catalog.json", b"{}")
    assert not store.is_empty()
    store.remove_tree("")
    assert bucket.list_keys() == []


# Writers and readers ----------------------------------------------------------------------------


def test_two_writers_of_a_run_leave_one_whole_generation(bucket: ObjectServer, lake: Lake) -> None:
    video_id = plant(lake, 1)
    n_turns, sizes, errors = 6, set[int](), list[BaseException]()
    done = threading.Event()

    def write(writer: int) -> None:
        try:
            for turn in range(n_turns):
                plant(Lake.open(URL), 2 + 2 * turn + writer)
        except BaseException as error:  # noqa: BLE001  (told below, by the test's own thread)
            errors.append(error)

    def poll() -> None:
        try:
            while not done.is_set():
                samples, faces = Lake.open(URL).read_video(video_id, SPACE)
                assert len(samples) == len(faces)
                sizes.add(len(samples))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    reader = threading.Thread(target=poll)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert errors == []
    assert len(sizes) > 1  # the reader saw more than the end
    last = {2 * n_turns, 2 * n_turns + 1}
    (row,) = lake.runs_of(video_id, SPACE)
    assert row["n_samples"] in last
    names = {entry.name for entry in lake.store.find()}
    assert {part_of(table, row) for table in ("samples", "faces", "tracks", "videos")} < names
    for name in names - {"catalog.json"}:  # what a writer left behind is known by its name
        part = parse_part(name)
        assert part is not None
        assert (part.video_id, part.run) == (video_id, row["run"])


@pytest.mark.parametrize("table", ["samples", "faces", "tracks", "videos"])
def test_a_publish_that_is_refused_on_the_way_shows_the_old_generation(
    bucket: ObjectServer, lake: Lake, table: str
) -> None:
    video_id = plant(lake, 3)

    def rule(request: Request) -> bool:
        return request.method == "PUT" and f"/tv/{table}/" in request.path

    with bucket.refusing(rule), pytest.raises(CatalogError, match="access is denied"):
        plant(lake, 5)
    samples, faces = Lake.open(URL).read_video(video_id, SPACE)
    assert (len(samples), len(faces)) == (3, 3)
    plant(lake, 5)
    assert len(lake.samples(video_id, SPACE)) == 5


# Sentences --------------------------------------------------------------------------------------


def run_command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr.strip()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_missing_bucket_or_catalog_is_said(bucket: ObjectServer) -> None:
    code, said = run_command("info", "-c", "s3://flims/tv")
    assert (code, "\n" in said) == (1, False)
    assert said.startswith("facelake: s3://flims/tv: cannot be listed (there is no such bucket;")
    code, said = run_command("info", "-c", URL)
    assert code == 1
    assert said.startswith(f"facelake: {URL}: holds no catalog.json; facelake ingest SOURCE -c")


def test_a_store_that_does_not_answer_is_said_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
    code, said = run_command("info", "-c", URL)
    assert (code, "\n" in said) == (1, False)
    assert f"cannot be read (nobody answers at {endpoint}; check the network" in said


@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT"])
def test_denied_access_is_said_and_leaves_nothing(bucket: ObjectServer, method: str) -> None:
    with (
        bucket.refusing(lambda request: request.method == method),
        pytest.raises(CatalogError, match=r"access is denied; check the credentials") as refused,
    ):
        Lake.create(URL)
    assert "Request ID" not in str(refused.value)
    assert bucket.list_keys() == []


def test_other_files_at_the_place_are_not_taken_for_a_catalog(store: Store) -> None:
    put_bytes(store, "notes.txt", b"mine")
    with pytest.raises(CatalogError, match=r"needs an empty folder, but this one holds files"):
        Lake.create(URL)


def test_a_process_ends_by_itself_after_an_error(bucket: ObjectServer) -> None:
    command = [sys.executable, "-c", _PROGRAM, "info", "-c", "s3://flims/tv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr


# Ingest -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> FakeArchive:
    """Two films of 16 s: three stretches each, when every frame is looked at."""
    return write_fake_archive(tmp_path_factory.mktemp("archive"), 2, n_shots=8)


@pytest.fixture(scope="module")
def local(pack: Path, archive: FakeArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same footage in a catalog on this machine."""
    root = tmp_path_factory.mktemp("local") / "tv"
    settings = IngestSettings(sample_fps=None, det_size=320, decoder="pyav")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = cluster.scheduler_address
        ingest_videos(root, archive.videos, settings, pack=pack, scheduler=address)
    return root


@pytest.fixture
def command(pack: Path, archive: FakeArchive) -> list[str]:
    """Ingest into the bucket as a person types it."""
    arguments = ["ingest", str(archive.videos[0].parent), "-c", URL, "--pack", str(pack)]
    options = ["--every-frame", "--decoder", "pyav", "--det-size", "320", "-q"]
    return [sys.executable, "-c", _PROGRAM, *arguments, *options]


def run_ingest(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)


def content(root: str | Path) -> dict[object, object]:
    """All that a catalog says, but for when it was said and how long it took."""
    lake = Lake.open(root)
    told: dict[object, object] = {"spaces": lake.spaces}
    for row in lake.runs().drop_columns(list(_HOW)).to_pylist():
        video_id, space = row["video_id"], row["space"]
        told[video_id, row["run"]] = row
        told[video_id, space] = (*lake.read_video(video_id, space), lake.tracks(video_id, space))
    return told


def spans_of(root: str | Path, photos: Path, pack: Path) -> Any:
    catalog = open_catalog(root)
    catalog.enrol(photos, pack=pack, progress=False)
    return catalog.match().spans(threshold=0.5)


@pytest.mark.models
def test_a_catalog_in_a_bucket_says_what_a_local_one_says(
    bucket: ObjectServer,
    command: list[str],
    local: Path,
    archive: FakeArchive,
    pack: Path,
    tmp_path: Path,
) -> None:
    done = run_ingest([*command, "--workers", "2"])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1), done.stderr
    assert content(URL) == content(local)

    folders = "catalog.json|videos/|samples/|faces/|tracks/"
    ours = [key for key in bucket.list_keys() if re.match(f"catalogs/tv/({folders})", key)]
    assert len(ours) == 1 + 2 * 4
    assert set(bucket.list_keys()) - set(ours) <= {STAGING}  # pyarrow's note that it is empty now
    puts = Counter(request.key for request in bucket.requests if request.method == "PUT")
    assert {key: puts[key] for key in ours if not key.endswith(".json")} == dict.fromkeys(
        (key for key in ours if not key.endswith(".json")), 1
    )
    assert all(request.query == "" for request in bucket.requests if request.method == "PUT")

    found = spans_of(URL, archive.photos, pack)
    assert found.table.equals(spans_of(local, archive.photos, pack).table)
    assert len(found) == len(archive.truth)
    rules, first = ["-c", URL, "--threshold", "0.5"], found.table["identity"][0].as_py()
    for arguments in (
        ["info", "-c", URL],
        ["verify", "-c", URL],
        ["coverage", "-c", URL],
        ["spans", *rules, "--out", str(tmp_path / "spans.csv")],
        ["clips", *rules, "--identity", first, "-q", "--out", str(tmp_path / "clips")],
        ["plot", "spans", *rules, "--out", str(tmp_path / "plot.png")],
    ):
        code, said = run_command(*arguments)
        assert code == 0, said
    assert (tmp_path / "clips" / "clips.csv").is_file()
    assert (tmp_path / "plot.png").stat().st_size > 1000

    bucket.requests.clear()
    again = run_ingest(command)
    assert again.returncode == 0, again.stderr
    assert {request.method for request in bucket.requests} == {"HEAD", "GET"}


@pytest.mark.models
@pytest.mark.skipif(os.name != "posix", reason="kills process groups, as POSIX has them")
def test_an_ingest_that_is_killed_goes_on_where_it_stopped(
    bucket: ObjectServer, command: list[str], local: Path
) -> None:
    def staged() -> list[str]:
        return [key for key in bucket.list_keys() if re.search(r"/samples-\d+\.parquet$", key)]

    command += ["--workers", "1"]
    with subprocess.Popen(command, start_new_session=True) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while len(staged()) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    kept = {key: bucket.body(key) for key in staged()}
    assert len(kept) >= 2
    bucket.requests.clear()
    done = run_ingest(command)
    assert done.returncode == 0, done.stderr
    written = {request.key for request in bucket.requests if request.method == "PUT"}
    assert not written & kept.keys()  # what was done is not done again
    assert content(URL) == content(local)
    assert staged() == []
