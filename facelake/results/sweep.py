"""Who is on screen at every threshold at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery import plain_name, refuse_unknown
from facelake.query import SpanSettings
from facelake.query.grid import GridPoint
from facelake.query.sweep import Swept, find_all_lives, find_plateaus, total_sweep
from facelake.results.answer import Answer, as_html
from facelake.words import clock, counted

_MOST_NAMES = 8


@dataclass(frozen=True)
class Sweep(Answer):
    """Spans of every identity and video at every threshold.

    Attributes
    ----------
    space
        The embeddings' space.
    settings
        The rules that made the spans; its threshold is the highest of the sweep.
    gallery_version
        Which exemplars the faces were compared with; see `Gallery.version`.
    """

    _swept: Swept
    space: str
    settings: SpanSettings
    gallery_version: str = ""

    @property
    def table(self) -> pa.Table:
        """Rows of `schema.SWEEP`: one a video, identity and threshold.

        A video and identity of which no face reaches the lowest threshold have no rows.
        """
        return self._swept.table

    @property
    def thresholds(self) -> tuple[float, ...]:
        """What was asked for, increasing."""
        return tuple(self._swept.thresholds.tolist())

    @property
    def identities(self) -> tuple[str, ...]:
        """Who was asked for, sorted."""
        return self._swept.identities

    @cached_property
    def totals(self) -> pa.Table:
        """Rows of `schema.SWEEP_TOTALS`: the same over all videos, one an identity, threshold."""
        return total_sweep(self._swept)

    @cached_property
    def lives(self) -> pa.Table:
        """Rows of `schema.SPAN_LIVES`: the thresholds over which each span is one of its own.

        Lower the threshold, and a span appears at its best score; lower it further, and it becomes
        part of a neighbour that was there before. At every threshold there are as many lives with
        ``low_threshold < threshold <= high_threshold`` as spans; one without a parent is there at
        the lowest threshold, too.
        """
        return find_all_lives(self._swept)

    @cached_property
    def plateaus(self) -> pa.Table:
        """Rows of `schema.SWEEP_PLATEAUS`: where each identity's spans stay as many.

        The widest range of thresholds over which no video gains or loses a span of theirs: within
        it the choice of a threshold moves the ends of spans and nothing else.
        """
        return find_plateaus(self._swept, self.totals)

    def curve(self, identity: str) -> pa.Table:
        """The rows of `totals` of one identity, by threshold.

        Raises
        ------
        GalleryError
            They were not asked for.
        """
        name = plain_name(identity)
        refuse_unknown(name, self.identities)
        return self.totals.filter(pc.field("identity") == name)

    def plot(self, **options: Any) -> np.ndarray[Any, Any]:
        """The lives of the spans, and curves of seconds and spans against the threshold.

        Gives the Axes, a row for each identity; see `facelake.plot.plot_sweep`.
        """
        from facelake.plot import plot_sweep

        return plot_sweep(self.totals, self.lives, plateaus=self.plateaus, **options)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        low, high = self.thresholds[0], self.thresholds[-1]
        videos = counted(len(pc.unique(self.table["video_id"])), "video")
        people = counted(len(self.identities), "identity")
        at = f"{counted(len(self.thresholds), 'threshold')} from {low:g} to {high:g}"
        against = f"{self.space}, gallery {self.gallery_version}"
        lines = [f"Sweep of {people} in {videos} over {at} ({against})"]
        rows = self.plateaus.to_pylist()
        rows.sort(key=lambda row: (-row["seconds_at_low"], row["identity"]))
        lines += [_told(row) for row in rows[:_MOST_NAMES]]
        if len(rows) > _MOST_NAMES:
            lines.append(f"  and {len(rows) - _MOST_NAMES} more: see plateaus")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return as_html(repr(self), self.totals)


def _told(row: dict[str, Any]) -> str:
    low, high = row["low_threshold"], row["high_threshold"]
    at = f"from {low:g} to {high:g}" if low < high else f"at {low:g} alone"
    longest, shortest = clock(row["seconds_at_low"]), clock(row["seconds_at_high"])
    lasting = longest if longest == shortest else f"{longest} down to {shortest}"
    return f"  {row['identity']}: {counted(row['n_spans'], 'span')} {at}, {lasting}"


@dataclass(frozen=True)
class SweepGrid(Answer):
    """Sweeps over more than the threshold, in one table.

    Attributes
    ----------
    table
        Rows of `schema.SWEEP_GRID`: one a combination, video, identity and threshold.
    path
        The Parquet file that holds the same rows.
    points
        The combinations, also those without a row.
    """

    table: pa.Table
    path: Path
    points: tuple[GridPoint, ...]

    @property
    def axes(self) -> dict[str, list[Any]]:
        """What has more than one value, with its values."""
        known = {
            field.name: list(dict.fromkeys(getattr(point, field.name) for point in self.points))
            for field in fields(GridPoint)
        }
        return {name: values for name, values in known.items() if len(values) > 1}

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        axes = " × ".join(f"{name} {_listed(values)}" for name, values in self.axes.items())
        over = f" of {axes}" if axes else ""
        n_points = counted(len(self.points), "combination")
        return f"Sweep grid of {n_points}{over}: {counted(len(self), 'row')} in {self.path}"


def _listed(values: list[Any]) -> str:
    return "(" + ", ".join("all" if value is None else f"{value:g}" for value in values) + ")"
