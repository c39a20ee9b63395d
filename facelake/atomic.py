"""Files that appear whole or not at all, also after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path, *, scratch: Path | None = None) -> Iterator[Path]:
    """A name to write to, which takes the place of ``path`` when the block ends well.

    The bytes are on the disk before the name is, and the name before the block is left. When the
    block fails or is interrupted, the unfinished file is removed and ``path`` is as it was.

    Parameters
    ----------
    path
        Where the file shall be; a missing folder is made.
    scratch
        Folder for the unfinished file, on the same file system; ``None`` is the file's own.
    """
    folder = path.parent if scratch is None else scratch
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    # Not made of the wanted name: that may already be as long as the file system allows. The
    # ending stays, since writers go by it.
    part = folder / f".facelake-{uuid4().hex}.part{path.suffix}"
    try:
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    if os.name == "nt":  # Windows has no handle on a folder, and wants one to write for a file
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
