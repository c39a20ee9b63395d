"""Who each track is, and how sure that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from facelake.decide import TIERS, Bars
from facelake.results.answer import Answer
from facelake.words import counted


@dataclass(frozen=True)
class Decisions(Answer):
    """Who each track is, in tiers: certain, likely, unknown; conflict where it holds two people.

    Attributes
    ----------
    table
        Rows of `schema.DECISIONS`. The identity of an unknown is whom it is most like.
    space
        The embeddings' space.
    bars
        The scores that the tiers take.
    threshold_note
        Where the threshold comes from, where it is the catalog's own.
    gallery_version
        Which set of exemplars the faces were compared with; see `Gallery.version`.
    """

    table: pa.Table
    space: str
    bars: Bars
    threshold_note: str
    gallery_version: str

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = Counter(self.table["tier"].to_pylist())
        tiers = ", ".join(f"{counts[tier]} {tier}" for tier in TIERS if tier in counts)
        note = f" ({self.threshold_note})" if self.threshold_note else ""
        at = f"at threshold {self.bars.threshold:g}{note}, gallery {self.gallery_version}"
        return f"{counted(len(self), 'track')}{': ' if tiers else ''}{tiers}, {at}"

    def of(self, *tiers: str) -> Decisions:
        """Only the decisions of some tiers.

        Raises
        ------
        ValueError
            There is no such tier.
        """
        for tier in tiers:
            if tier not in TIERS:
                raise ValueError(f"tier must be one of {', '.join(TIERS)}, but is {tier!r}")
        keep = [tier in tiers for tier in self.table["tier"].to_pylist()]
        table = self.table.filter(pa.array(keep, pa.bool_()))
        return Decisions(table, self.space, self.bars, self.threshold_note, self.gallery_version)
