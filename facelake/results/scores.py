"""Every face's best identity and score, before any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from facelake.gallery import plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.query import SpanSettings, choose_threshold, find_all_spans
from facelake.query.sweep import choose_thresholds, sweep_scores
from facelake.results.spans import Spans
from facelake.results.sweep import Sweep
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
    gallery_version
        Which set of exemplars they were compared with; see `Gallery.version`.
    without_exemplar
        Names in the gallery with no exemplar left to compare with.
    """

    _lake: Lake
    table: pa.Table
    identities: tuple[str, ...]
    space: str
    min_score: float | None = None
    gallery_version: str = ""
    without_exemplar: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        people = counted(len(self.identities), "identity")
        least = "" if self.min_score is None else f", from {self.min_score:g} on"
        against = f"{self.space}, gallery {self.gallery_version}"
        return f"Scores of {counted(len(self), 'face')} with {people}{least} ({against})"

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
        self._refuse_below(threshold if exit_threshold is None else exit_threshold)
        only = None if identities is None else self._named(identities)
        table = find_all_spans(self._lake, self.table, self.space, settings, identities=only)
        return Spans(self._lake, table, self.space, settings, self.gallery_version)

    def sweep(
        self,
        thresholds: Sequence[float] | None = None,
        *,
        exit_threshold: float | None = None,
        min_hits: int = 1,
        miss_s: float | None = None,
        blind_s: float | None = None,
        bridge_s: float = 0.0,
        min_span_s: float = 0.0,
        identities: str | Sequence[str] | None = None,
    ) -> Sweep:
        """When each identity is on screen, at every threshold at once.

        A row is what `spans` finds at its threshold with the same rules; all of them together take
        about as long as one.

        Parameters
        ----------
        thresholds
            Increasing, in [−1, 1]; ``None`` is 0.10 to 0.70 in steps of 0.01, from ``min_score``
            on.
        exit_threshold
            Lowest score that continues a span; lowered to the threshold where it lies above it.
            ``None`` is the threshold.
        min_hits, miss_s, blind_s, bridge_s, min_span_s, identities
            As in `spans`.

        Raises
        ------
        ValueError
            Thresholds that are not increasing, outside [−1, 1] or below ``min_score``, or a
            negative duration.
        GalleryError
            An identity that is not enrolled.
        """
        chosen = choose_thresholds(thresholds, self.min_score)
        settings = SpanSettings(
            threshold=chosen[-1],
            exit_threshold=exit_threshold,
            min_hits=min_hits,
            miss_s=miss_s,
            blind_s=blind_s,
            bridge_s=bridge_s,
            min_span_s=min_span_s,
        )
        self._refuse_below(min(chosen[0], chosen[0] if exit_threshold is None else exit_threshold))
        only = self.identities if identities is None else self._named(identities)
        swept = sweep_scores(self._lake, self.table, self.space, settings, chosen, identities=only)
        return Sweep(swept, self.space, settings, self.gallery_version)

    def _refuse_below(self, least: float) -> None:
        if self.min_score is not None and least < self.min_score:
            raise ValueError(
                f"these scores were kept from {self.min_score:g} on, so spans with a threshold of "
                f"{least:g} cannot be told; match again with min_score={least:g} or none"
            )

    def _named(self, identities: str | Sequence[str]) -> tuple[str, ...]:
        """The names as the gallery has them; an unknown one is refused."""
        names = (identities,) if isinstance(identities, str) else identities
        plain = tuple(dict.fromkeys(plain_name(name) for name in names))
        for identity in plain:
            refuse_unknown(identity, self.identities, self.without_exemplar)
        return plain
