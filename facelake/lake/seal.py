r"""A seal in a Parquet file: the digest of all its other bytes.

Pages carry checksums, but footers, page headers and the magic numbers do not: a flipped bit there
reads back as another number, or not at all. The seal stands between the last page and the footer,
where nothing points to and every Parquet reader passes over it:

    PAR1 | pages | note | "FLSEAL1\0" + SHA-256 (32 bytes) | footer | its length | PAR1

Before it may stand a note, with its length and "FLNOTE1\0" behind it: what a small file holds, for
readers who have ten thousand of them to open and no time for Parquet.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import IO, Literal

_MAGIC, _NOTE_MAGIC = b"FLSEAL1\0", b"FLNOTE1\0"
_SEAL_BYTES = len(_MAGIC) + hashlib.sha256().digest_size
_TRAILER_BYTES = 8  # the footer's length, and PAR1
_CHUNK_BYTES = 1 << 20

Verdict = Literal["sealed", "unsealed", "damaged"]


def seal(file: IO[bytes], note: bytes = b"") -> None:
    """Put a seal into a Parquet file that is open for reading and writing, and a note if any."""
    footer_at, end = _footer(file)
    digest = hashlib.sha256()
    _feed(digest, file, 0, footer_at)
    file.seek(footer_at)
    footer = file.read(end - footer_at)
    noted = note + len(note).to_bytes(4, "little") + _NOTE_MAGIC if note else b""
    digest.update(noted + footer)
    file.seek(footer_at)
    file.write(noted + _MAGIC + digest.digest() + footer)


def read_note(data: bytes) -> bytes | None:
    """The note in a sealed file's bytes; ``None`` where there is none, or the seal is not whole."""
    file = io.BytesIO(data)
    if check_seal(file) != "sealed":
        return None
    end = _footer(file)[0] - _SEAL_BYTES - len(_NOTE_MAGIC) - 4
    if end < 0 or data[end + 4 : end + 4 + len(_NOTE_MAGIC)] != _NOTE_MAGIC:
        return None
    return data[end - int.from_bytes(data[end : end + 4], "little") : end]


def check_seal(file: IO[bytes]) -> Verdict:
    """Whether the file's bytes are those that were sealed; a file of others may have no seal."""
    try:
        footer_at, end = _footer(file)
    except ValueError:
        return "damaged"
    seal_at = footer_at - _SEAL_BYTES
    if seal_at < 0:
        return "unsealed"
    file.seek(seal_at)
    told = file.read(_SEAL_BYTES)
    if not told.startswith(_MAGIC):
        return "unsealed"
    digest = hashlib.sha256()
    _feed(digest, file, 0, seal_at)
    _feed(digest, file, footer_at, end)
    return "sealed" if told[len(_MAGIC) :] == digest.digest() else "damaged"


def _footer(file: IO[bytes]) -> tuple[int, int]:
    """Where the footer begins and the file ends."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _TRAILER_BYTES))
    trailer = file.read(_TRAILER_BYTES)
    footer_at = end - _TRAILER_BYTES - int.from_bytes(trailer[:4], "little")
    if trailer[4:] != b"PAR1" or footer_at < 4:
        raise ValueError("the file must end in a Parquet footer, but does not")
    return footer_at, end


def _feed(digest: hashlib._Hash, file: IO[bytes], begin: int, end: int) -> None:
    file.seek(begin)
    while begin < end:
        data = file.read(min(_CHUNK_BYTES, end - begin))
        if not data:
            return  # shorter than it says: the digest will not agree
        digest.update(data)
        begin += len(data)
