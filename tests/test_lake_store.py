"""A folder as a store: files appear whole, locks keep others out, a bad disk is one sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from facelake.errors import CatalogError
from facelake.lake.stores.store import LocalStore, is_url, open_stores


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "tv", tmp_path / ".staging" / "tv")


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# Files ------------------------------------------------------------------------------------------


def test_what_is_written_is_found_read_and_removed(store: LocalStore) -> None:
    store.write_text("a/b/one.txt", "1")
    store.write_text("a/two.txt", "22")
    assert [(e.name, e.size_bytes) for e in store.find()] == [("a/b/one.txt", 1), ("a/two.txt", 2)]
    assert [e.name for e in store.find("a/b")] == ["a/b/one.txt"]
    assert store.read_bytes("a/two.txt") == b"22"
    assert store.has("a/two.txt")
    assert not store.has("a")
    store.remove("a/two.txt")
    store.remove("a/two.txt")
    store.remove_tree("a/b")
    store.remove_tree("a/b")
    assert store.find() == []
    assert store.find("nowhere") == []
    with pytest.raises(FileNotFoundError):
        store.open("a/two.txt")


def test_files_and_folders_are_the_owner_s_alone(store: LocalStore, tmp_path: Path) -> None:
    store.write_text("a/b/one.txt", "1")
    assert (tmp_path / "tv" / "a" / "b" / "one.txt").stat().st_mode & 0o777 == 0o600
    for folder in ("tv", "tv/a", "tv/a/b", ".staging", ".staging/tv"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_a_writer_that_fails_leaves_the_old_file_and_no_scrap(
    store: LocalStore, tmp_path: Path
) -> None:
    store.write_text("one.txt", "old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CatalogError, match=r"one\.txt: cannot be written \(No space left"):
        store.write("one.txt", fail)
    assert store.read_bytes("one.txt") == b"old"
    assert files(tmp_path) == {"tv/one.txt"}


def test_data_and_folder_reach_the_disk_before_and_after_the_rename(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        is_folder = Path(f"/proc/self/fd/{handle}").readlink().is_dir()
        synced.append((is_folder, (tmp_path / "tv" / "one.txt").exists()))
        fsync(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to look up what a handle is")
    monkeypatch.setattr(os, "fsync", note)
    store.write_text("one.txt", "1")
    assert synced == [(False, False), (True, True)]


def test_links_are_not_followed(store: LocalStore, tmp_path: Path) -> None:
    store.write_text("one.txt", "1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "two.txt").touch()
    (tmp_path / "tv" / "link").symlink_to(tmp_path / "elsewhere")
    assert "link/two.txt" not in [entry.name for entry in store.find()]


def test_folders_are_told_from_urls(tmp_path: Path) -> None:
    assert [is_url(root) for root in ("s3://bucket/tv", "catalogs/tv", tmp_path)] == [
        True,
        False,
        False,
    ]
    store, scratch = open_stores(tmp_path / "tv")
    assert (store.where(), scratch.where()) == (
        f"{tmp_path / 'tv'}/",
        f"{tmp_path.resolve() / '.staging' / 'tv'}/",
    ) or (store.where(), scratch.where()) == (
        str(tmp_path / "tv"),
        str(tmp_path.resolve() / ".staging" / "tv"),
    )


# Bad disks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EROFS])
def test_a_file_system_without_rename_is_one_sentence_and_leaves_nothing(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store.write_text("one.txt", "old")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(CatalogError, match=r"one\.txt: cannot be written \(.*run the same") as told:
        store.write_text("one.txt", "new")
    assert os.strerror(code) in str(told.value)
    assert "\n" not in str(told.value)
    assert store.read_bytes("one.txt") == b"old"
    assert files(tmp_path) == {"tv/one.txt"}


def _refused(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.write_text("two.txt", "2"),
        lambda store: store.remove("one.txt"),
        lambda store: store.alone("x").__enter__(),
        lambda store: store.shared("x").__enter__(),
    ],
    ids=["write", "remove", "alone", "shared"],
)
def test_a_read_only_disk_is_one_sentence(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[LocalStore], object]
) -> None:
    store.write_text("one.txt", "1")
    for owner, name in ((os, "open"), (Path, "unlink"), (Path, "mkdir"), (Path, "write_text")):
        monkeypatch.setattr(owner, name, _refused)  # root may write everywhere
    with pytest.raises(CatalogError, match=r"cannot be written \(Read-only file system\)"):
        change(store)
    monkeypatch.undo()
    assert store.read_bytes("one.txt") == b"1"


# Locks ------------------------------------------------------------------------------------------

_HOLDER = """
import sys
from pathlib import Path
from facelake.lake.stores.store import LocalStore

store = LocalStore(Path(sys.argv[1]), Path(sys.argv[1]))
with getattr(store, sys.argv[2])("x") as held:
    print(held, flush=True)
    sys.stdin.read()
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks are flock's")


def holder(folder: Path, how: str) -> subprocess.Popen[str]:
    """Another process that holds a lock until its input ends, or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


@posix
@pytest.mark.parametrize("how", ["alone", "shared"])
def test_who_wants_to_be_alone_is_not_while_another_process_is_there(
    tmp_path: Path, how: str
) -> None:
    store = LocalStore(tmp_path, tmp_path)
    with holder(tmp_path, how) as other:
        with store.alone("x", wait=False) as is_held:
            assert not is_held
        with store.alone("y", wait=False) as is_held:
            assert is_held
        other.kill()  # who dies lets go
    with store.alone("x", wait=False) as is_held:
        assert is_held


@posix
def test_many_share_a_lock_and_all_of_them_must_go(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, tmp_path)
    with holder(tmp_path, "shared") as one, holder(tmp_path, "shared") as two:
        one.kill()
        one.wait()
        with store.alone("x", wait=False) as is_held:
            assert not is_held
        with store.shared("x") as is_held:
            assert is_held
        two.kill()
    with store.alone("x", wait=False) as is_held:
        assert is_held


@posix
def test_threads_are_alone_one_after_another_though_the_lock_s_file_is_removed(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path, tmp_path)
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with store.alone("x") as is_held:
                assert is_held
                inside += 1
                most = max(most, inside)
                os.sched_yield()
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert files(tmp_path) == set()
