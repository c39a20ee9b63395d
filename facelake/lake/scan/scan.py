"""The exact scan: every face that may score at least so much, without reading every embedding.

The first pass reads five-bit twins, a third of the bytes, and leaves out the faces that cannot
reach the score (`codes` has the proof). Of the others, a few in a hundred, the embeddings are
fetched one by one. Who asks makes the true product; what it finds is what a comparison with every
face would find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.lake.files import PartReader
from facelake.lake.layout import FACES_FOLDER, part_of
from facelake.lake.scan.codes import TwinProbes, twin_rows
from facelake.lake.scan.kernels import BestScore, Kernel, KernelName
from facelake.lake.scan.vectors import read_vectors
from facelake.lake.stores.store import Store
from facelake.schema import FACES, TWIN, conform, unpack_embeddings

_EMBEDDING = "embedding"
_GROUPS = 4  # row groups read together: 10 MB of twins


@dataclass(frozen=True)
class Candidates:
    """Faces of one part that may score at least what was asked for.

    Attributes
    ----------
    row
        Rows of the part, increasing, int64.
    vectors
        Their embeddings, float16, shape ``(n, dim)``.
    """

    row: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]


class FacesScan:
    """A scan of faces' parts for a few probes.

    Parameters
    ----------
    store
        The catalog's.
    probes
        Shape ``(n, dim)``, one or more.
    min_score
        No face that scores this or more with any probe is left out.
    kernel
        What makes the products; see `kernels.make_kernel`.
    """

    def __init__(
        self,
        store: Store,
        probes: npt.NDArray[np.floating[Any]],
        *,
        min_score: float,
        kernel: KernelName = "auto",
    ) -> None:
        self._store, self._min_score = store, min_score
        self._dim = probes.shape[1]
        self._probes = TwinProbes.of(probes)
        self._best = BestScore(probes)
        self._kernel: Kernel = self._probes.kernel(kernel)

    def candidates(self, video: dict[str, Any]) -> Candidates:
        """Those of a run; ``video`` is its ``videos`` row.

        Raises
        ------
        CatalogError
            The part is missing or damaged.
        """
        with PartReader(self._store, part_of(FACES_FOLDER, video)) as part:
            if TWIN not in part.schema.names:  # an older version wrote it
                return self._all_of(part)
            rows, vectors = [np.empty(0, np.int64)], [np.empty((0, self._dim), np.float16)]
            begin = 0
            for first in range(0, part.metadata.num_row_groups, _GROUPS):
                last = min(first + _GROUPS, part.metadata.num_row_groups)
                for group, twins in _by_group(part, range(first, last)):
                    found, embeddings = self._of_group(part, group, twins)
                    rows.append(found + begin)
                    vectors.append(embeddings)
                    begin += len(twins)
        return Candidates(np.concatenate(rows), np.concatenate(vectors))

    def _of_group(
        self, part: PartReader, group: int, twins: pa.ChunkedArray
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]:
        known = None
        if twins.null_count:
            known = np.flatnonzero(pc.is_valid(twins).to_numpy())
            twins = twins.drop_null()
        codes = twin_rows(twins)
        bounds = self._probes.upper_bounds(codes, self._kernel)
        ranks = np.flatnonzero(bounds >= self._min_score)
        if not len(ranks):
            return ranks, np.empty((0, self._dim), np.float16)
        vectors = read_vectors(part, group, ranks, codes[ranks], n_known=len(codes))
        near = self._best(vectors) >= self._min_score - self._best.slack
        ranks, vectors = ranks[near], vectors[near]
        return (ranks if known is None else known[ranks]), vectors

    def _all_of(self, part: PartReader) -> Candidates:
        column = part.read([_EMBEDDING])[_EMBEDDING]
        rows = np.flatnonzero(pc.is_valid(column).to_numpy())
        return Candidates(rows, unpack_embeddings(column.drop_null()))


def _by_group(part: PartReader, groups: range) -> list[tuple[int, pa.ChunkedArray]]:
    """The twins of each of some row groups that lie one behind the other, read together."""
    column = part.read_groups(groups, [TWIN])[TWIN]
    found, begin = [], 0
    for group in groups:
        n_rows = part.metadata.row_group(group).num_rows
        found.append((group, column.slice(begin, n_rows)))
        begin += n_rows
    return found


def read_faces(
    store: Store, video: dict[str, Any], rows: npt.NDArray[np.int64], columns: list[str]
) -> pa.Table:
    """Some faces of a part, in the order given; only the row groups that hold them are read.

    Parameters
    ----------
    rows
        Rows of the part, increasing.
    columns
        Of `schema.FACES`.
    """
    schema = pa.schema([FACES.field(name) for name in columns])
    with PartReader(store, part_of(FACES_FOLDER, video)) as part:
        ends = np.cumsum(
            [part.metadata.row_group(i).num_rows for i in range(part.metadata.num_row_groups)]
        )
        group_of = np.searchsorted(ends, rows, side="right")
        groups = np.unique(group_of)
        if not len(groups):
            return schema.empty_table()
        table = conform(part.read_groups(groups.tolist(), columns), schema)
        n_rows = np.diff(ends, prepend=0)
        # Where each row group begins in what was read, less where it begins in the part.
        read_begin = np.cumsum(n_rows[groups]) - n_rows[groups]
        shift = read_begin - (ends - n_rows)[groups]
        return table.take(pa.array(rows + shift[np.searchsorted(groups, group_of)]))


def find_stood_for(store: Store, video: dict[str, Any], face_ids: pa.Array) -> pa.Table:
    """The faces for which some others stand.

    Returns
    -------
    pa.Table
        ``row`` of the part, and ``stand_in``, the place in ``face_ids`` of the one that stands.
    """
    with PartReader(store, part_of(FACES_FOLDER, video)) as part:
        column = part.read(["embedded_face_id"])["embedded_face_id"]
    at = pc.index_in(column, face_ids, skip_nulls=True)
    rows = np.flatnonzero(pc.is_valid(at).to_numpy())
    return pa.table({"row": rows, "stand_in": at.take(pa.array(rows))})
