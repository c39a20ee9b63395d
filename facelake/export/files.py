"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it takes ``path``'s place when the block ends well.

    When the block fails or is interrupted, the unfinished file is removed and ``path`` is as it
    was. A missing folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not made of the wanted name: that may already be as long as the file system allows.
    part = path.with_name(f".facelake-{uuid4().hex}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the bytes on the disk before the name is."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
