"""Who is enrolled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from facelake.gallery import Outcome
from facelake.words import counted


@dataclass(frozen=True)
class Gallery:
    """Enrolled identities and their exemplars.

    Attributes
    ----------
    table
        Rows of `schema.EXEMPLARS` with their embeddings.
    outcomes
        What became of each photo, when these were just enrolled.
    passed_over
        Files beside these photos that are no photos by their names: ending → how many.
    """

    table: pa.Table
    outcomes: tuple[Outcome, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @property
    def identities(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted(set(self.table["identity"].to_pylist())))

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = Counter(self.table["identity"].to_pylist())
        names = ", ".join(f"{name} ({counts[name]})" for name in sorted(counts))
        size = f"{counted(len(counts), 'identity')}, {counted(len(self), 'exemplar')}"
        whole = f"Gallery of {size}: {names}" if names else f"Gallery of {size}"
        return "\n".join([whole, *self._report()])

    def _report(self) -> Iterator[str]:
        """What there is to say about the photos that were just enrolled."""
        if self.outcomes:
            n_used = sum(one.used for one in self.outcomes)
            yield f"{n_used} of {counted(len(self.outcomes), 'photo')} used"
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
