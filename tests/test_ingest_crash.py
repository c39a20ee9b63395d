"""Whatever is killed, interrupted or hangs: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from facelake.faces import find_pack
from facelake.ingest.task import Task
from facelake.ingest.work import MOST_ATTEMPTS
from facelake.lake import Lake, StagedStretch, Staging
from facelake.schema import DecoderName, IngestSettings, video_name
from facelake.testing.fakepack import write_fake_archive, write_fake_pack
from facelake.video import index_video, plan_stretches

pytestmark = [
    pytest.mark.models,
    pytest.mark.skipif(os.name != "posix", reason="kills process groups, as POSIX has them"),
]

_PATIENCE_S = 60.0  # far beyond what it takes; reached only by a hang
SECONDS = ("decode_s", "detect_s", "align_s", "embed_s", "write_s")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of 16 s: three stretches each, when every frame is looked at."""
    folder = tmp_path_factory.mktemp("archive")
    write_fake_archive(folder, 2, n_shots=8)
    return folder / "videos"


@pytest.fixture
def command(pack: Path, videos: Path, tmp_path: Path) -> list[str]:
    """Ingest as a person types it; one decoder, so that a second attempt gives the same bits."""
    arguments = ["ingest", str(videos), "-c", str(tmp_path / "tv"), "--pack", str(pack)]
    options = ["--every-frame", "--decoder", "pyav", "--det-size", "320", "-q"]
    program = "import sys; from facelake.cli import main; sys.exit(main())"
    return [sys.executable, "-c", program, *arguments, *options]


@pytest.fixture(scope="module")
def expected(
    pack: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[object, object]:
    """What an ingest that nothing disturbs puts into a catalog."""
    root = tmp_path_factory.mktemp("undisturbed") / "tv"
    done = run_ingest(root, videos, pack, decoder="pyav")
    assert done.returncode == 0, done.stderr
    return content(root)


def content(root: Path) -> dict[object, object]:
    """All that a catalog says, but for when it was said and how long it took."""
    lake = Lake.open(root)
    told: dict[object, object] = {"spaces": lake.spaces}
    for row in lake.runs().drop_columns(["created_utc", "generation", *SECONDS]).to_pylist():
        video_id, space = row["video_id"], row["space"]
        told[video_id, row["run"]] = row
        told[video_id, space] = (*lake.read_video(video_id, space), lake.tracks(video_id, space))
    return told


def staged(root: Path) -> list[Path]:
    return sorted((root.parent / ".staging" / root.name).glob("*/samples-*.parquet"))


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "nothing happened for a long time"
        time.sleep(0.01)


@contextmanager
def under_way(command: list[str], root: Path, n_staged: int) -> Iterator[subprocess.Popen[str]]:
    """An ingest in a process group of its own that has staged a few stretches."""
    with subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: len(staged(root)) >= n_staged or process.poll() is not None)
            assert process.poll() is None
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)


def brand(root: Path) -> dict[str, int]:
    """Write a day's worth of detection into each staged stretch; gives how many each video has.

    A stretch that is looked at again loses the brand.
    """
    n_branded: dict[str, int] = {}
    for path in staged(root):
        video_id, run = path.parent.name.rsplit(".", 1)
        staging, number = Staging.open(root, video_id, run), int(path.stem.split("-")[1])
        facts = staging.facts(number)
        assert facts is not None
        faces = pq.read_table(path.with_name(path.name.replace("samples", "faces")))
        staging.put(number, StagedStretch(pq.read_table(path), faces, facts | {"detect": 86400.0}))
        n_branded[video_id] = n_branded.get(video_id, 0) + 1
    return n_branded


# Interrupted and gone on ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill all", "kill the client", "Ctrl-C"])
def test_an_interrupted_ingest_goes_on_where_it_stopped(
    tmp_path: Path, command: list[str], expected: dict[object, object], how: str
) -> None:
    root = tmp_path / "tv"
    with under_way([*command, "--workers", "2"], root, n_staged=2) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        if how == "kill the client":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT if how == "Ctrl-C" else signal.SIGKILL)
        _, said = process.communicate(timeout=_PATIENCE_S)
    if how == "Ctrl-C":
        assert process.returncode == 130
        sentence = "facelake: interrupted; the same command goes on where this one stopped"
        assert said.strip() == sentence
    _, alive = psutil.wait_procs(workers, timeout=_PATIENCE_S)
    assert alive == []
    before = {key for key in content(root) if isinstance(key, tuple)}
    branded = brand(root)
    assert sum(branded.values()) + len(before) > 0
    done = run([*command, "--workers", "1"])
    assert done.returncode == 0, done.stderr
    assert content(root) == expected
    for row in Lake.open(root).runs().to_pylist():
        assert row["detect_s"] // 86400.0 == branded.get(row["video_id"], 0)
    assert staged(root) == []


def test_a_worker_that_is_killed_is_replaced_and_its_stretch_done_again(
    tmp_path: Path, command: list[str], expected: dict[object, object]
) -> None:
    root = tmp_path / "tv"
    with under_way([*command, "--workers", "2"], root, n_staged=2) as process:
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline())
        ]
        assert len(workers) == 2
        for worker in workers:
            worker.kill()
        _, said = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0, said
    assert content(root) == expected


# Decoders that hang or die ----------------------------------------------------------------------

# Workers import the script that started them, so what it changes is changed in them.
_RUNNER = """
import json, sys
from facelake.ingest import ingest_videos
from facelake.schema import IngestSettings

# PATCH
if __name__ == "__main__":
    root, source, pack, settings = sys.argv[1:]
    settings = IngestSettings(**json.loads(settings))
    print(ingest_videos(root, [source], settings, pack=pack, workers=2, stall_s=6.0))
"""
_HANG_AND_DIE = """
import ctypes, os
from facelake.video.frames import FrameReader

decord_frames, frames = FrameReader._decord_frames, FrameReader.frames

def hanging(self, stretch):
    if self.path.name == "squares_00.mp4" and stretch.number == 1:
        ctypes.PyDLL(None).sleep(3600)  # and keeps the GIL, as no Python thread can notice
    yield from decord_frames(self, stretch)

def deadly(self, stretch):
    if self.path.name == "squares_01.mp4" and stretch.number == 1:
        os._exit(1)
    yield from frames(self, stretch)

FrameReader._decord_frames, FrameReader.frames = hanging, deadly
"""


def run_script(
    folder: Path, script: str, *arguments: str, patch: str = ""
) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(script.replace("# PATCH", patch))
    return run([sys.executable, str(path), *arguments])


def run_ingest(
    root: Path, source: Path, pack: Path, *, decoder: DecoderName = "auto", patch: str = ""
) -> subprocess.CompletedProcess[str]:
    settings = IngestSettings(sample_fps=None, det_size=320, decoder=decoder).to_json()
    return run_script(
        root.parent, _RUNNER, str(root), str(source), str(pack), settings, patch=patch
    )


@pytest.fixture(scope="module")
def troubled(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The rows of three videos, of which one hangs in decord and one kills whoever decodes it."""
    folder = tmp_path_factory.mktemp("troubled")
    archive = write_fake_archive(folder, 3, n_shots=10)
    for video in archive.videos:  # the tests are about these stretches
        index = index_video(video)
        assert [len(one.want_pts) for one in plan_stretches(index, None)] == [50, 50, 50, 50]
        assert index.facts.decord_doubt == ""
    for _ in range(MOST_ATTEMPTS):  # a machine that was switched off yesterday, twice
        staging_of(archive.videos[2], folder / "tv", pack).begin(1, "yesterday")
    done = run_ingest(folder / "tv", folder / "videos", pack, decoder="decord", patch=_HANG_AND_DIE)
    assert done.returncode == 0, done.stderr
    rows = Lake.open(folder / "tv").videos().to_pylist()
    return {Path(row["paths"][0]).name: row for row in rows} | {"report": {"text": done.stdout}}


def staging_of(video: Path, root: Path, pack: Path) -> Staging:
    """Where the stretches of a video that was never seen before will be staged."""
    settings = IngestSettings(sample_fps=None, det_size=320, decoder="decord")
    content_id = sha256(video.read_bytes()).hexdigest()
    task = Task(str(root), "yesterday", settings, find_pack(pack), "auto", 60.0)
    return Staging.open(root, video_name(video.stem, content_id), task.run_of(content_id))


def test_a_stretch_that_hangs_in_decord_is_done_by_pyav(
    troubled: dict[str, dict[str, Any]],
) -> None:
    row = troubled["squares_00.mp4"]
    assert (row["status"], row["n_samples"], row["n_undecodable"]) == ("ok", 200, 0)
    assert row["decoder"] == "pyav"  # a video that left decord on the way says so


def test_a_stretch_that_kills_every_worker_is_given_up_and_the_rest_is_kept(
    troubled: dict[str, dict[str, Any]],
) -> None:
    row = troubled["squares_01.mp4"]
    assert (row["status"], row["n_samples"]) == ("partial", 150)
    assert row["error"] == (
        "1 of 4 stretches gave nothing (the worker that decodes it dies or hangs "
        "(tried 2 times, 6 s without progress are too long))"
    )
    assert row["error"] in troubled["report"]["text"]


def test_other_videos_and_attempts_of_other_days_do_not_suffer(
    troubled: dict[str, dict[str, Any]],
) -> None:
    row = troubled["squares_02.mp4"]
    assert (row["status"], row["error"], row["n_samples"]) == ("ok", None, 200)
    assert row["decoder"] == "decord"  # as at a first attempt


# The watchdog -----------------------------------------------------------------------------------

_WATCHDOG = """
import ctypes, threading, time
from facelake.ingest.watchdog import Watchdog
# PATCH
print("survived", flush=True)
"""
_GIL_HELD = """
watchdog = Watchdog(1.0)
watchdog.alive()
ctypes.PyDLL(None).sleep(3600)
"""
_ANOTHER_THREAD_IS_WELL = """
hangs = threading.Thread(target=lambda: (Watchdog(1.0).alive(), time.sleep(3600)), daemon=True)
hangs.start()
time.sleep(0.1)
for _ in range(4):  # work that goes on, and ends
    well = Watchdog(1.0)
    well.alive()
    time.sleep(0.05)
    well.stop()
time.sleep(30)
"""
_ALIVE = """
watchdog, other = Watchdog(0.5), Watchdog(0.5)
for _ in range(30):
    watchdog.alive()
    other.alive()
    time.sleep(0.05)
watchdog.stop()
other.stop()
time.sleep(1.0)
"""


@pytest.mark.parametrize(
    ("script", "survives"),
    [(_GIL_HELD, False), (_ANOTHER_THREAD_IS_WELL, False), (_ALIVE, True)],
    ids=["the GIL is held", "another thread is well", "alive"],
)
def test_the_watchdog_kills_what_hangs_and_nothing_else(
    tmp_path: Path, script: str, survives: bool
) -> None:
    done = run_script(tmp_path, _WATCHDOG, patch=script)
    assert (done.returncode == 0, done.stdout == "survived\n") == (survives, survives), done.stderr
    assert done.stderr == ""
