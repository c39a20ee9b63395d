"""Single embeddings of a part, read where they lie.

An embedding column is written as one uncompressed page a row group, its values one behind the other
at the page's end, so that a scan fetches a kilobyte a face instead of eight megabytes. Such bytes
carry no checksum; they are held against the parity that their twin keeps: what does not fit it, is
damaged or lies elsewhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facelake.lake.files import PartReader
from facelake.lake.scan.codes import parities, twin_parities
from facelake.schema import unpack_embeddings

_EMBEDDING = "embedding"
_WORTH_ALL = 0.25  # share of a row group from which on the whole page is read


def read_vectors(
    part: PartReader,
    group: int,
    ranks: npt.NDArray[np.int64],
    twins: npt.NDArray[np.uint8],
    *,
    n_known: int,
) -> npt.NDArray[np.float16]:
    """Some embeddings of a row group, shape ``(n, dim)``.

    Parameters
    ----------
    ranks
        Which, counted among the faces of the group that have one, increasing.
    twins
        Their twins, row-aligned with ``ranks``.
    n_known
        Faces of the group that have an embedding.

    Raises
    ------
    CatalogError
        They are not what their twins were made of: the file is damaged.
    """
    width = 2 * _dim(part)
    begin = _values_begin(part, group, n_known * width)
    if begin is not None and len(ranks) <= _WORTH_ALL * n_known:
        vectors = _fetch(part, begin, ranks, width)
        if _fits(vectors, twins):
            return vectors
    column = part.read_groups([group], [_EMBEDDING])[_EMBEDDING]
    found = unpack_embeddings(column.drop_null())[ranks]
    if not _fits(found, twins):
        raise part.damaged("embeddings and their twins are not of one face")
    return found


def _fetch(
    part: PartReader, begin: int, ranks: npt.NDArray[np.int64], width: int
) -> npt.NDArray[np.float16]:
    """Values that lie one behind the other from a place of the file on, ``width`` bytes each."""
    vectors = np.empty((len(ranks), width), np.uint8)
    bounds = _bounds(ranks, part.gap_bytes // width)
    first = ranks[bounds[:-1]]
    n_rows = ranks[bounds[1:] - 1] - first + 1
    place = ranks - np.repeat(first, np.diff(bounds))
    # One piece of memory for all: to ask for a new one takes longer than to fill it.
    rows = np.empty((n_rows.max(initial=0), width), np.uint8)
    stretches = zip(
        bounds[:-1].tolist(),
        bounds[1:].tolist(),
        (begin + first * width).tolist(),
        n_rows.tolist(),
        strict=True,
    )
    for low, high, offset, n in stretches:
        part.read_into(offset, rows[:n])
        # With ``mode="raise"`` NumPy would go through a copy.
        rows.take(place[low:high], axis=0, out=vectors[low:high], mode="clip")
    return vectors.view("<f2")


def _dim(part: PartReader) -> int:
    return int(part.schema.field(_EMBEDDING).type.byte_width) // 2


def _values_begin(part: PartReader, group: int, n_bytes: int) -> int | None:
    """Where a row group's values begin, if they are one page's last bytes."""
    meta = part.metadata.row_group(group)
    # Lists have leaves of other names, so a column's number is not its place in the schema.
    columns = (meta.column(i) for i in range(meta.num_columns - 1, -1, -1))
    column = next(column for column in columns if column.path_in_schema == _EMBEDDING)
    begin = int(column.data_page_offset + column.total_compressed_size - n_bytes)
    is_plain = column.compression == "UNCOMPRESSED" and not column.has_dictionary_page
    return begin if is_plain and begin > column.data_page_offset else None


def _bounds(ranks: npt.NDArray[np.int64], gap: int) -> npt.NDArray[np.intp]:
    """Where in ``ranks`` the stretches begin that are read together, and where the last one ends.

    Values further apart than ``gap`` others are read apart.
    """
    breaks = np.flatnonzero(np.diff(ranks) > 1 + gap) + 1
    return np.concatenate([[0], breaks, [len(ranks)]])


def _fits(vectors: npt.NDArray[np.float16], twins: npt.NDArray[np.uint8]) -> bool:
    """Whether these are the embeddings that the twins were made of."""
    return bool(np.array_equal(parities(vectors), twin_parities(twins)))
