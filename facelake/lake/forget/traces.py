"""Whether vectors are left anywhere in a catalog: as bytes in any file, or as a likeness."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import read_table
from facelake.lake.lake import Lake
from facelake.lake.layout import FACES_FOLDER, GALLERY_FOLDER, TRACKS_FOLDER
from facelake.lake.stores.store import Store
from facelake.schema import unpack_embeddings

_CHUNK_BYTES = 8 << 20
_TABLE_BITS = 22  # of the first pass: 4 MB, which stays in a core's cache
_HASH = np.uint32(2654435761)  # Knuth's multiplicative hash, 2³² over the golden ratio
_PREFIX_BYTES = 8
_DIRECTIONS = 8  # a likeness is looked for in so many dimensions first, then in all


def find_bytes(store: Store, patterns: Collection[bytes]) -> list[str]:
    """Names of a store's files in which any of the byte sequences occurs, at any place.

    Parameters
    ----------
    patterns
        Of equal length, 8 bytes or more.
    """
    if not patterns:
        return []
    wanted = _Patterns(patterns)
    return [entry.name for entry in store.find() if _holds(store, entry.name, wanted)]


def _holds(store: Store, name: str, wanted: _Patterns) -> bool:
    try:
        with store.open(name) as file:
            tail = b""
            while data := file.read(_CHUNK_BYTES):
                if wanted.occur_in(tail + data):
                    return True
                tail = (tail + data)[-(wanted.width - 1) :]
    except FileNotFoundError:  # removed since it was listed
        pass
    return False


class _Patterns:
    """Byte sequences of one length, looked for at every place of some data."""

    def __init__(self, patterns: Collection[bytes]) -> None:
        self._whole = frozenset(patterns)
        self.width = len(next(iter(self._whole)))
        begins = np.frombuffer(b"".join(p[:_PREFIX_BYTES] for p in self._whole), "<u8")
        self._begins = np.unique(begins)
        self._may_begin = np.zeros(1 << _TABLE_BITS, bool)
        self._may_begin[_bucket(begins.astype(np.uint32))] = True

    def occur_in(self, data: bytes) -> bool:
        n_places = len(data) - self.width + 1
        if n_places <= 0:
            return False
        # Three passes, each over the few places that the one before left: a table of the first 4
        # bytes, the first 8 bytes, all of them.
        words = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), 8)
        for begin in range(min(4, n_places)):
            n = (n_places - begin + 3) // 4
            first = np.frombuffer(data, "<u4", count=n, offset=begin)
            places = begin + 4 * np.flatnonzero(self._may_begin[_bucket(first)])
            eight = np.ascontiguousarray(words[places]).view("<u8").ravel()
            places = places[np.isin(eight, self._begins)]
            if any(data[at : at + self.width] in self._whole for at in places.tolist()):
                return True
        return False


def _bucket(first: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return (first * _HASH) >> np.uint32(32 - _TABLE_BITS)


def find_likenesses(
    lake: Lake, space: str, vectors: npt.NDArray[np.float16], *, min_score: float
) -> Iterator[tuple[str, str]]:
    """Stored embeddings that score at least so much with any of the vectors.

    Parameters
    ----------
    vectors
        Shape ``(n, dim)``.
    min_score
        Close to 1: what is sought is the same embedding, not the same person.

    Yields
    ------
    tuple of str
        The file's name, and the face, track or exemplar in it.
    """
    if not len(vectors):
        return
    likeness = _Likeness(vectors, min_score)
    for folder, key in (
        (FACES_FOLDER, "face_id"),
        (TRACKS_FOLDER, "track_id"),
        (GALLERY_FOLDER, "exemplar_id"),
    ):
        for entry in lake.store.find(f"{folder}/space={space}"):
            for name in likeness.names_in(lake.store, entry.name, key):
                yield entry.name, f"{key} {name}"


class _Likeness:
    """Vectors that others are held against: in a few directions first, then in all."""

    def __init__(self, vectors: npt.NDArray[np.float16], min_score: float) -> None:
        from scipy.spatial import cKDTree

        self._vectors, self._min_score = _unit(np.unique(vectors, axis=0)), min_score
        random = np.random.default_rng(0).standard_normal((vectors.shape[1], _DIRECTIONS))
        # Orthonormal directions bring no two vectors further apart, so none is left out.
        self._directions = np.linalg.qr(random)[0]
        self._tree = cKDTree(self._vectors @ self._directions)
        self._reach = float(np.sqrt(max(0.0, 2.0 - 2.0 * min_score))) * (1.0 + 1e-9) + 1e-9

    def names_in(self, store: Store, file: str, key: str) -> list[str]:
        """The rows of a file that score enough, by their key; none where it holds no vectors."""
        try:
            rows = read_table(store, file, [key, "embedding"])
        except CatalogError:  # no table, or a damaged one: its bytes are looked through
            return []
        if set(rows.column_names) != {key, "embedding"}:
            return []
        rows = rows.filter(pc.is_valid(rows["embedding"]))
        return [
            str(name)
            for name in rows[key].take(pa.array(self.find(unpack_embeddings(rows["embedding"]))))
        ]

    def find(self, vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.intp]:
        """Rows of the vectors that score enough."""
        wide = _unit(vectors)
        near, _ = self._tree.query(wide @ self._directions, distance_upper_bound=self._reach)
        rows = np.flatnonzero(np.isfinite(near))
        best = (wide[rows] @ self._vectors.T).max(axis=1, initial=-1.0)
        found: npt.NDArray[np.intp] = rows[best >= self._min_score]
        return found


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    unit: npt.NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit
