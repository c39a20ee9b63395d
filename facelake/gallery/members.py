"""What each exemplar is there for, and a gallery made ready to be compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery.likeness import find_disagreements
from facelake.gallery.photos import Outcome
from facelake.schema import unpack_embeddings

# Values of the column ``role`` of `schema.EXEMPLARS`; null is an anchor, too: older catalogs have
# no other.
ANCHOR, GROWN, NEGATIVE, VETOED = "anchor", "grown", "negative", "vetoed"


def of_role(exemplars: pa.Table, *roles: str) -> pa.Table:
    """The exemplars with one of these roles; a role that is null counts as an anchor's."""
    if "role" not in exemplars.column_names:
        return exemplars if ANCHOR in roles else exemplars.slice(0, 0)
    role = pc.fill_null(exemplars["role"], ANCHOR)
    return exemplars.filter(pc.is_in(role, pa.array(roles, pa.string())))


def compared(exemplars: pa.Table) -> pa.Table:
    """The exemplars that a face is compared with to say who it is: anchors and grown ones."""
    return of_role(exemplars, ANCHOR, GROWN)


def gallery_version(exemplars: pa.Table) -> str:
    """A short name of what is compared, 8 hex digits: equal sets give equal scores.

    Made of the name and role of every anchor, grown exemplar and negative, in any order; vetoed
    ones take no part.
    """
    rows = of_role(exemplars, ANCHOR, GROWN, NEGATIVE)
    role = pc.fill_null(rows["role"], ANCHOR) if "role" in rows.column_names else None
    roles = [ANCHOR] * len(rows) if role is None else role.to_pylist()
    told = sorted(zip(rows["exemplar_id"].to_pylist(), roles, strict=True))
    return hashlib.blake2b(repr(told).encode(), digest_size=4).hexdigest()


def disagreements(exemplars: pa.Table) -> dict[str, str]:
    """What speaks against exemplars that are compared, by their names; see `find_disagreements`."""
    rows = compared(exemplars)
    if not len(rows):
        return {}
    names, ids = rows["identity"].to_pylist(), rows["exemplar_id"].to_pylist()
    told = find_disagreements(names, unpack_embeddings(rows["embedding"]).astype(np.float32))
    return {ids[row]: sentence for row, sentence in told}


def with_disagreements(outcomes: Sequence[Outcome], exemplars: pa.Table) -> tuple[Outcome, ...]:
    """The outcomes, with what the whole gallery says against an exemplar added to its note."""
    said = disagreements(exemplars)
    told = []
    for one in outcomes:
        more = said.get(one.exemplar_id)
        told.append(replace(one, note="; ".join(filter(None, [one.note, more]))) if more else one)
    return tuple(told)


def keep_decided(new: pa.Table, known: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The new exemplars without those that were vetoed or said to be somebody else before.

    What a person has decided is not undone by enrolling the same photo or face again.

    Returns
    -------
    table
        The rows to add.
    dict
        Of those left out, the name and a sentence.
    """
    decided = of_role(known, NEGATIVE, VETOED).select(["exemplar_id", "role"]).to_pylist()
    why = {
        row["exemplar_id"]: f"is {_SAID[row['role']]} and stays so; facelake gallery remove "
        f"{row['exemplar_id']} takes that back"
        for row in decided
        if row["exemplar_id"] in set(new["exemplar_id"].to_pylist())
    }
    out = pc.is_in(new["exemplar_id"], pa.array(list(why), pa.string()))
    return new.filter(pc.invert(out)), why


_SAID = {NEGATIVE: "said not to be this person", VETOED: "vetoed"}


@dataclass(frozen=True)
class Probes:
    """A gallery's vectors, ready for `facelake.match`.

    Attributes
    ----------
    names
        Identities that have an exemplar to compare with, sorted; numbers below are places in it.
    vectors, identity_of
        Anchors and grown exemplars: unit length, shape ``(m, dim)``, float32; shape ``(m,)``.
    exemplar_ids
        Their names, length ``m``.
    negatives, negative_of
        Who is not whom: shapes ``(k, dim)`` and ``(k,)``. Those of an identity without an exemplar
        are left out: there is nothing that they could rule out.
    """

    names: npt.NDArray[np.str_]
    vectors: npt.NDArray[np.float32]
    identity_of: npt.NDArray[np.intp]
    exemplar_ids: pa.ChunkedArray
    negatives: npt.NDArray[np.float32]
    negative_of: npt.NDArray[np.intp]

    @classmethod
    def of(cls, exemplars: pa.Table) -> Probes:
        """The probes of exemplars, rows of `schema.EXEMPLARS` with embeddings of one space."""
        rows = compared(exemplars)
        names, identity_of = np.unique(rows["identity"].to_pylist(), return_inverse=True)
        against = of_role(exemplars, NEGATIVE)
        against = against.filter(
            pc.is_in(against["identity"], pa.array(names.tolist(), pa.string()))
        )
        return cls(
            names,
            unit_vectors(rows["embedding"]),
            identity_of,
            rows["exemplar_id"],
            unit_vectors(against["embedding"]),
            np.searchsorted(names, np.array(against["identity"].to_pylist(), names.dtype)),
        )

    def without(self, exemplar_ids: Sequence[str]) -> Probes:
        """The probes without some exemplars; identities keep their numbers."""
        out = pc.is_in(self.exemplar_ids, pa.array(exemplar_ids, pa.string()))
        keep = ~np.asarray(out, bool)
        return replace(
            self,
            vectors=self.vectors[keep],
            identity_of=self.identity_of[keep],
            exemplar_ids=self.exemplar_ids.filter(pa.array(keep)),
        )


def unit_vectors(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """The vectors of an embedding column with their lengths made 1 anew: float16 rounds them."""
    vectors = unpack_embeddings(column).astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = vectors / length
    return unit
