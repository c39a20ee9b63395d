"""Every face's best identity and score, before any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from facelake.gallery import plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.query import SpanSettings, choose_threshold, find_all_spans
from facelake.results.spans import Spans
from facelake.words import counted


@dataclass(frozen=True)
class Scores:
    """Every face's best identity and score; thresholds are decided later.

    Attributes
    ----------
    table
        Rows of `schema.SCORES`.
    identities
        Names in the gallery.
    space
        The embeddings' space.
    min_score
        Faces below were left out; ``None`` where every face is there.
    """

    _lake: Lake
    table: pa.Table
    identities: tuple[str, ...]
    space: str
    min_score: float | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        people = counted(len(self.identities), "identity")
        least = "" if self.min_score is None else f", from {self.min_score:g} on"
        return f"Scores of {counted(len(self), 'face')} with {people}{least} ({self.space})"

    def spans(
        self,
        threshold: float | None = None,
        *,
        exit_threshold: float | None = None,
        min_hits: int = 1,
        miss_s: float | None = None,
        blind_s: float | None = None,
        bridge_s: float = 0.0,
        min_span_s: float = 0.0,
        identities: str | Sequence[str] | None = None,
    ) -> Spans:
        """When each identity is on screen.

        Parameters
        ----------
        threshold
            Lowest score that starts a span, in [−1, 1]; ``None`` is the one that the catalog
            keeps, with what speaks for it.
        exit_threshold
            Lowest score that continues one; ``None`` is ``threshold``.
        min_hits
            Fewest hits a span must hold.
        miss_s
            Longest time between two hits with only misses between; ``None``: 1 s and at least one
            missed sample.
        blind_s
            Longest time for which nobody looked; ``None``: 2 s and at least the sampling period.
        bridge_s
            Spans no further apart than this are joined, in seconds.
        min_span_s
            Shortest span kept, in seconds.
        identities
            Only this one or these; ``None`` is everybody.

        Raises
        ------
        ValueError
            A threshold outside [−1, 1] or below ``min_score``, or a negative duration.
        GalleryError
            An identity that is not enrolled.
        CatalogError
            No threshold is given, and the catalog keeps none.
        """
        threshold, note = choose_threshold(self._lake, self.space, threshold)
        settings = SpanSettings(
            threshold=threshold,
            exit_threshold=exit_threshold,
            min_hits=min_hits,
            miss_s=miss_s,
            blind_s=blind_s,
            bridge_s=bridge_s,
            min_span_s=min_span_s,
            threshold_note=note,
        )
        least = threshold if exit_threshold is None else exit_threshold
        if self.min_score is not None and least < self.min_score:
            raise ValueError(
                f"these scores were kept from {self.min_score:g} on, so spans with a threshold of "
                f"{least:g} cannot be told; match again with min_score={least:g} or none"
            )
        names = (identities,) if isinstance(identities, str) else identities
        only = None if names is None else tuple(plain_name(name) for name in names)
        for identity in only or ():
            refuse_unknown(identity, self.identities)
        table = find_all_spans(self._lake, self.table, self.space, settings, identities=only)
        return Spans(self._lake, table, self.space, settings)
