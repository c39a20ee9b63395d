"""Where a catalog's files lie: a folder on this machine, or a prefix in an object store.

Files are named relative to the store's root, with ``/``, and each is written whole or not at all:
on a disk by a rename, in an object store by the one request that makes an object appear.
"""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import pyarrow as pa

from facelake.atomic import replacing, sync
from facelake.errors import CatalogError

if sys.platform != "win32":
    import fcntl

Read = TypeVar("Read")

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700  # faces are personal data: for the owner alone


@dataclass(frozen=True)
class Entry:
    """A file of a store.

    Attributes
    ----------
    name
        Relative to the store's root.
    size_bytes, mtime_ns
        As the store tells them.
    """

    name: str
    size_bytes: int
    mtime_ns: int


class Store(ABC):
    """Files under one root.

    Attributes
    ----------
    n_readers
        Small files that are best read at once: as many as hide the way to them.
    gap_bytes
        Within a file, what takes as long to read as to ask anew for what lies behind it.
    """

    n_readers = 1
    gap_bytes = 8 << 10

    @abstractmethod
    def where(self, name: str = "") -> str:
        """How a person would call a file, or the root."""

    @abstractmethod
    def open(self, name: str) -> pa.NativeFile:
        """A file to read from any place.

        Raises
        ------
        FileNotFoundError
            There is none.
        """

    @abstractmethod
    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """Have ``fill`` write a file, then show it under its name in one step."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file for good, where it is there."""

    @abstractmethod
    def remove_tree(self, folder: str) -> None:
        """Remove a folder and all in it, where it is there."""

    @abstractmethod
    def find(self, folder: str = "") -> list[Entry]:
        """Every file in a folder and below, by name; none where there is no folder."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether nothing lies in the root, but for hidden files."""

    @abstractmethod
    @contextmanager
    def alone(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock by name while the block runs.

        Gives whether it is held: an object store has no locks, nor have some file systems. Without
        ``wait``, a lock that somebody else holds is not held either.
        """

    @abstractmethod
    @contextmanager
    def shared(self, name: str) -> Iterator[bool]:
        """Hold a lock with all others that share it; who wants it `alone` waits for them."""

    @property
    @abstractmethod
    def has_locks(self) -> bool:
        """Whether somebody who holds a lock keeps others out."""

    def read_each(self, read: Callable[[str], Read], names: Sequence[str]) -> list[Read]:
        """What ``read`` gives for each of some files, in their order."""
        if self.n_readers == 1 or len(names) < 2:
            return [read(name) for name in names]
        with ThreadPoolExecutor(self.n_readers) as pool:
            return list(pool.map(read, names))

    def read_bytes(self, name: str) -> bytes:
        """The whole of a file."""
        with self.open(name) as file:
            return bytes(file.read())

    def write_text(self, name: str, text: str) -> None:
        """Write a small file."""
        self.write(name, lambda part: part.write_text(text, "utf-8"))


class LocalStore(Store):
    """A folder on this machine.

    Parameters
    ----------
    root
        The folder; made when something is written.
    scratch
        Where unfinished files lie, on the same file system and outside of the data set.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self._scratch = root, scratch

    def where(self, name: str = "") -> str:
        """The path."""
        return str(self.root / name)

    def open(self, name: str) -> pa.NativeFile:
        """The file on the disk."""
        return pa.OSFile(str(self.root / name))

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """To a scratch file, to the disk, then into place: fsync, rename, fsync of the folder."""
        path = self.root / name
        with _changing(path):
            _make_folder(self._scratch)
            _make_folder(path.parent)
            with replacing(path, scratch=self._scratch) as part:
                fill(part)
                part.chmod(_FILE_MODE)

    def remove(self, name: str) -> None:
        """Unlink, and fsync of the folder."""
        path = self.root / name
        with _changing(path), suppress(FileNotFoundError):
            path.unlink()
            sync(path.parent)

    def remove_tree(self, folder: str) -> None:
        """Unlink all of it."""
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def find(self, folder: str = "") -> list[Entry]:
        """Walk the folder; links are not followed."""
        return sorted(self._walk(self.root / folder), key=lambda entry: entry.name)

    def _walk(self, folder: Path) -> Iterator[Entry]:
        begin = len(str(self.root)) + 1
        todo = [str(folder)]
        while todo:
            try:
                with os.scandir(todo.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                            continue
                        with suppress(FileNotFoundError):  # somebody has just removed it
                            stat = entry.stat(follow_symlinks=False)
                            name = entry.path[begin:].replace(os.sep, "/")
                            yield Entry(name, stat.st_size, stat.st_mtime_ns)
            except (FileNotFoundError, NotADirectoryError):
                continue

    def has(self, name: str) -> bool:
        """Whether the path is a file."""
        return (self.root / name).is_file()

    def is_empty(self) -> bool:
        """Whether the folder is missing, or holds hidden files only.

        Raises
        ------
        CatalogError
            It is a file.
        """
        if self.root.exists() and not self.root.is_dir():
            raise CatalogError(f"{self.root}: a catalog must be a folder, but this is a file")
        return not self.root.exists() or all(p.name.startswith(".") for p in self.root.iterdir())

    @contextmanager
    def alone(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """A lock on a scratch file, which a process that dies lets go of; the file goes with it."""
        path = self._scratch / f"{name}.lock"
        file, is_held = _take_lock(path, alone=True, wait=wait)
        with file:
            try:
                yield is_held
            finally:
                if is_held:
                    path.unlink(missing_ok=True)

    @contextmanager
    def shared(self, name: str) -> Iterator[bool]:
        """A lock on the same scratch file, of the kind that many can hold."""
        path = self._scratch / f"{name}.lock"
        file, is_held = _take_lock(path, alone=False, wait=True)
        with file:
            try:
                yield is_held
            finally:
                if is_held and _lock(file, alone=True, wait=False):  # the last one clears up
                    path.unlink(missing_ok=True)

    @property
    def has_locks(self) -> bool:
        """Everywhere but on Windows."""
        return sys.platform != "win32"


def is_url(root: str | Path) -> bool:
    """Whether a catalog's place is in an object store, such as ``s3://bucket/prefix``."""
    return "://" in str(root)


def open_stores(root: str | Path) -> tuple[Store, Store]:
    """A catalog's store, and that of its unfinished work, which lies beside it: never inside.

    Raises
    ------
    CatalogError
        The URL is of no object store, or the store does not answer.
    """
    if not is_url(root):
        scratch = scratch_folder(Path(root))
        return LocalStore(Path(root), scratch), LocalStore(scratch, scratch)
    from facelake.lake.stores.objects import open_object_stores  # which stands on this module

    return open_object_stores(str(root))


def scratch_folder(root: Path) -> Path:
    """Where a catalog's unfinished files lie: ``catalogs/.staging/NAME``.

    Files are moved from there into place, which only one file system can do in one step: links are
    followed, and a catalog that is a mounted disk of its own keeps the folder inside.
    """
    root = root.resolve()
    if root.is_mount():
        return root / ".staging"
    return root.parent / ".staging" / root.name


@contextmanager
def _changing(where: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CatalogError(
            f"{where}: cannot be written ({error.strerror or error}); mend that and run the same "
            "command again, it goes on where this one stopped"
        ) from error


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for the owner alone."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def _take_lock(path: Path, *, alone: bool, wait: bool) -> tuple[IO[str], bool]:
    """The open file of a lock, and whether the lock is held."""
    while True:
        with _changing(path):
            _make_folder(path.parent)
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, _FILE_MODE), "w")
        is_held = _lock(file, alone=alone, wait=wait)
        if not is_held or _is_at(file, path):
            return file, is_held
        file.close()  # who held it before has removed the file: a lock on it keeps nobody out


def _lock(file: IO[str], *, alone: bool, wait: bool) -> bool:
    if sys.platform == "win32":
        return False
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by somebody, or a file system without locks
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that a path names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
