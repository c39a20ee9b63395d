"""Who is enrolled, and what the gallery grew by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from facelake.errors import GalleryError
from facelake.gallery import (
    ANCHOR,
    GROWN,
    NEGATIVE,
    VETOED,
    GrowthRules,
    Outcome,
    compared,
    gallery_version,
    of_role,
)
from facelake.lake import Lake
from facelake.query import choose_threshold, space_of
from facelake.query.grow import Grown, audit_gallery, list_members
from facelake.results.answer import Answer
from facelake.words import counted


@dataclass(frozen=True)
class Gallery:
    """Enrolled identities and their exemplars.

    Attributes
    ----------
    table
        Rows of `schema.EXEMPLARS` with their embeddings, of every role.
    outcomes
        What became of each photo or face, when these were just enrolled.
    passed_over
        Files beside these photos that are no photos by their names: ending → how many.
    """

    table: pa.Table
    outcomes: tuple[Outcome, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)
    _lake: Lake | None = field(default=None, repr=False, compare=False)

    @property
    def identities(self) -> tuple[str, ...]:
        """Names that have an exemplar to compare with, sorted."""
        return tuple(sorted(set(compared(self.table)["identity"].to_pylist())))

    @property
    def without_exemplar(self) -> tuple[str, ...]:
        """Names all of whose exemplars are vetoed or negatives, sorted."""
        return tuple(sorted(set(self.table["identity"].to_pylist()) - set(self.identities)))

    @property
    def version(self) -> str:
        """A short name of the set of exemplars that is compared; results carry it."""
        return gallery_version(self.table)

    def members(self) -> pa.Table:
        """Every exemplar, its role and whom it is like: rows of `schema.GALLERY_MEMBERS`."""
        return list_members(self.table)

    def audit(self, threshold: float | None = None) -> pa.Table:
        """What every exemplar does in the archive today: rows of `schema.GALLERY_AUDIT`.

        Beside what `members` tells, how many faces it brings in at a threshold, and how many of
        them no other exemplar of its identity would: a grown one that brings in many alone is one
        to look at.

        Parameters
        ----------
        threshold
            Lowest score that counts, in [−1, 1]; ``None`` is the one that the catalog keeps.

        Raises
        ------
        GalleryError
            Nobody is enrolled, nobody has an exemplar left, or this gallery is of no catalog.
        CatalogError
            No threshold is given, and the catalog keeps none.
        """
        if self._lake is None:
            raise GalleryError(
                "an audit asks the archive, but this gallery was made by hand and belongs to no "
                "catalog; take catalog.gallery().audit()"
            )
        asking, _ = choose_threshold(self._lake, space_of(self.table), threshold)
        return audit_gallery(self._lake, self.table, asking)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        rows = compared(self.table)
        counts = Counter(rows["identity"].to_pylist())
        names = ", ".join(f"{name} ({counts[name]})" for name in sorted(counts))
        size = f"{counted(len(counts), 'identity')}, {counted(len(rows), 'exemplar')}"
        whole = f"Gallery of {size}: {names}" if names else f"Gallery of {size}"
        return "\n".join([whole, *self._roles(), *self._report()])

    def _roles(self) -> Iterator[str]:
        """What there is beside anchors."""
        told = [f"{n} {role}" for role in (GROWN, NEGATIVE, VETOED) if (n := len(self._of(role)))]
        if told:
            yield f"{len(self._of(ANCHOR))} anchors, {', '.join(told)}; version {self.version}"
        if self.without_exemplar:
            yield f"no exemplar left to compare with: {', '.join(self.without_exemplar)}"

    def _of(self, role: str) -> pa.Table:
        return of_role(self.table, role)

    def _report(self) -> Iterator[str]:
        """What there is to say about the photos that were just enrolled."""
        if self.outcomes:
            n_used = sum(one.used for one in self.outcomes)
            kind = "face" if all("#t=" in one.photo for one in self.outcomes) else "photo"
            yield f"{n_used} of {counted(len(self.outcomes), kind)} used"
        for one in sorted(self.outcomes, key=lambda one: one.used):
            if one.note:
                file = Path(one.photo)
                place = file.name if file.stem == one.identity else f"{one.identity}/{file.name}"
                yield f"  {'used    ' if one.used else 'not used'}  {place}: {one.note}"
        left_out = {one.identity for one in self.outcomes} - set(self.identities)
        if left_out:
            yield f"  not enrolled, for want of a usable photo: {', '.join(sorted(left_out))}"
        if self.passed_over:
            kinds = ", ".join(f"{n} × {end}" for end, n in sorted(self.passed_over.items()))
            yield f"  passed over, no photos by their names: {kinds}"


@dataclass(frozen=True)
class GalleryGrowth(Answer):
    """Faces of the archive that a gallery grew by, or would.

    Attributes
    ----------
    table
        Rows of `schema.GROWTH`, by identity and in the order in which they were taken.
    refused
        Identity → why other faces above the bar were not taken → how many.
    rules
        What a face had to pass.
    dry_run
        Whether nothing was changed.
    """

    table: pa.Table
    refused: Mapping[str, Mapping[str, int]]
    rules: GrowthRules
    dry_run: bool

    @classmethod
    def of(cls, grown: Grown, *, dry_run: bool) -> GalleryGrowth:
        """What the corridor gave."""
        return cls(grown.table, grown.refused, grown.rules, dry_run)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = Counter(self.table["identity"].to_pylist())
        names = ", ".join(f"{name} (+{counts[name]})" for name in sorted(counts))
        what = "would be added" if self.dry_run else "added"
        head = f"{counted(len(self), 'face')} {what}{': ' if names else ''}{names}"
        return "\n".join([f"{head}; bar {self.rules.add_threshold:.2f}", *self._refusals()])

    def _refusals(self) -> Iterator[str]:
        total = Counter[str]()
        for told in self.refused.values():
            total.update(told)
        for why, n in total.most_common():
            yield f"  {n} not added: {why}"
