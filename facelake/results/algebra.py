"""What can be asked of spans together with other spans: the methods of the algebra."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from facelake import algebra
from facelake.query import SpanSettings
from facelake.query.algebra import (
    choose_people,
    dilate_in_videos,
    join_other,
    looser,
    refuse_mixed,
)

if TYPE_CHECKING:
    from facelake.lake import Lake
    from facelake.query.algebra import ArrowTable


class SpanAlgebra(ABC):
    """Spans that can be combined: ``a & b``, ``a | b``, ``a - b``, and what docs/algebra.md draws.

    What gives spans gives spans of the same kind, which plot, cut clips and save like any other.
    Other spans must be of the same catalog and space; else a `ValueError` says so.
    """

    _lake: Lake
    table: pa.Table
    space: str
    settings: SpanSettings
    gallery_version: str

    @abstractmethod
    def _remade(self, table: pa.Table, **told: Any) -> Self:
        """Spans with other rows, and perhaps other facts about where they come from."""

    def of(self, *identities: str) -> Self:
        """Only the spans of these people.

        Raises
        ------
        GalleryError
            A name that neither has a span nor is enrolled.
        """
        chosen = choose_people(self._lake, self.table, self.space, identities)
        return self._remade(chosen)

    def __and__(self, other: SpanAlgebra) -> Self:
        """The time in both, a row for each two that overlap: identity ``Ann & Bob``."""
        if not isinstance(other, SpanAlgebra):
            return NotImplemented
        return self._with(other, algebra.and_spans(self.table, self._of_same(other)))

    def __or__(self, other: SpanAlgebra) -> Self:
        """The time in either, as the fewest rows: identity ``Ann | Bob`` where both are in it."""
        if not isinstance(other, SpanAlgebra):
            return NotImplemented
        return self._with(other, algebra.or_spans(self.table, self._of_same(other)))

    def __sub__(self, other: SpanAlgebra) -> Self:
        """What is left of each span without the time of the others."""
        if not isinstance(other, SpanAlgebra):
            return NotImplemented
        return self._with(other, algebra.minus_spans(self.table, self._of_same(other)))

    def coalesce(self, *, gap_s: float = 0.0) -> Self:
        """Spans of one identity that overlap, touch, or lie at most ``gap_s`` apart, as one.

        Raises
        ------
        ValueError
            ``gap_s`` is negative.
        """
        return self._remade(algebra.coalesce_spans(self.table, gap_s=gap_s))

    def dilate(self, *, before_s: float = 0.0, after_s: float = 0.0) -> Self:
        """Each span longer by so many seconds at its ends, but within its video.

        Raises
        ------
        ValueError
            A length is negative or not finite.
        """
        grown = dilate_in_videos(
            self._lake, self.table, self.space, before_s=before_s, after_s=after_s
        )
        return self._remade(grown)

    def within(self, other: SpanAlgebra, *, window_s: float) -> Self:
        """The spans that lie at most ``window_s`` seconds from some other, before or after it.

        Raises
        ------
        ValueError
            ``window_s`` is negative.
        """
        near = algebra.within(self.table, self._of_same(other), window_s=window_s)
        return self._remade(algebra.in_span_order(near))

    def during(self, other: SpanAlgebra) -> Self:
        """The spans all of which lies in one of the others."""
        inside = algebra.during(self.table, self._of_same(other))
        return self._remade(algebra.in_span_order(inside))

    def before(self, other: SpanAlgebra, *, max_gap_s: float) -> pa.Table:
        """Each span with each other that begins when it has ended, or at most so much later.

        Returns
        -------
        pyarrow.Table
            As `facelake.algebra.before`: the time between the two, and the columns of both.

        Raises
        ------
        ValueError
            ``max_gap_s`` is negative.
        """
        return algebra.before(self.table, self._of_same(other), max_gap_s=max_gap_s)

    def overlapping(self, other: SpanAlgebra) -> pa.Table:
        """Each span with each other that it has time in common with.

        Returns
        -------
        pyarrow.Table
            As `facelake.algebra.overlapping`: the common time, and the columns of both.
        """
        return algebra.overlapping(self.table, self._of_same(other))

    def first(self, *, by_video: bool = False) -> Self:
        """The first span of each identity, or of each in each video; videos in order of path."""
        rows = algebra.first_appearance(self.table, by_video=by_video)
        return self._remade(rows)

    def last(self, *, by_video: bool = False) -> Self:
        """The last span of each identity, or of each in each video; videos in order of path."""
        rows = algebra.last_appearance(self.table, by_video=by_video)
        return self._remade(rows)

    def screen_time(self, *, by_video: bool = False, coverage: pa.Table | None = None) -> pa.Table:
        """How long each identity is on screen, when first and last, and how sure that is.

        Parameters
        ----------
        by_video
            One row a video and identity, not one an identity.
        coverage
            ``catalog.coverage()``, to tell how much time was looked at, too.

        Returns
        -------
        pyarrow.Table
            Rows of `schema.SCREEN_TIME` or `schema.SCREEN_TIME_BY_VIDEO`.
        """
        return algebra.screen_time(self.table, by_video=by_video, coverage=coverage)

    def together(self) -> pa.Table:
        """How long each two identities are on screen at the same time: `schema.TOGETHER`."""
        return algebra.co_occurrence(self.table)

    def together_matrix(self) -> pa.Table:
        """The same as a symmetric matrix of seconds, on its diagonal each one's own time."""
        return algebra.co_occurrence_matrix(self.table)

    def join(
        self,
        other: ArrowTable | str | Path,
        *,
        on: str = "video_id",
        start: str = "start_s",
        end: str | None = "end_s",
        video: str | None = None,
        others_ok: bool = False,
    ) -> pa.Table:
        """Each span with each row of another table that it has time in common with.

        Parameters
        ----------
        other
            A table of pyarrow, pandas or Polars, or a file: CSV, Parquet, WebVTT or SubRip.
        on
            Its column that names the video, by id, path or file name.
        start, end
            Its columns that say from when to when, in seconds; without an ``end``, events.
        video
            The one video that all its rows are of, instead of ``on``.
        others_ok
            Leave out rows of videos that the catalog does not hold; else they are refused.

        Returns
        -------
        pyarrow.Table
            As `facelake.algebra.join_times`: the columns of both, and ``overlap_s``.

        Raises
        ------
        CatalogError
            A video's name fits none, or several.
        SourceError
            The file is of another kind, or cannot be read.
        ValueError
            A column is missing or holds nulls, or a time is none.
        """
        return join_other(
            self._lake,
            self.table,
            self.space,
            other,
            on=on,
            start=start,
            end=end,
            video=video,
            others_ok=others_ok,
        )

    def _of_same(self, other: SpanAlgebra) -> pa.Table:
        refuse_mixed(self._lake, self.space, other._lake, other.space)
        return other.table

    def _with(self, other: SpanAlgebra, table: pa.Table) -> Self:
        versions = filter(None, dict.fromkeys([self.gallery_version, other.gallery_version]))
        return self._remade(
            table,
            settings=looser(self.settings, other.settings),
            gallery_version=" and ".join(versions),
        )
