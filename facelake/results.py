"""What a catalog answers with: a gallery, scores, spans. Tables that can be asked on.

Every method is one call into a corridor; nothing is computed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import ExportError
from facelake.gallery import Outcome, plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.progress import count_bar
from facelake.query import SpanSettings, find_all_spans
from facelake.tabular import write_tabular
from facelake.words import clock, counted

if TYPE_CHECKING:
    import pandas as pd


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
        threshold: float,
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
            Lowest score that starts a span, in [−1, 1].
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
        """
        settings = SpanSettings(
            threshold=threshold,
            exit_threshold=exit_threshold,
            min_hits=min_hits,
            miss_s=miss_s,
            blind_s=blind_s,
            bridge_s=bridge_s,
            min_span_s=min_span_s,
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


@dataclass(frozen=True)
class Spans:
    """Who is on screen from when to when.

    Attributes
    ----------
    table
        Rows of `schema.SPANS`.
    space
        The embeddings' space.
    settings
        The rules that made them.
    """

    _lake: Lake
    table: pa.Table
    space: str
    settings: SpanSettings

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        at = f"at threshold {self.settings.threshold:g}"
        if not len(self):
            return f"no spans {at}"
        seconds = pc.sum(pc.subtract(self.table["end_s"], self.table["start_s"])).as_py()
        people = counted(len(set(self.table["identity"].to_pylist())), "identity")
        videos = counted(len(set(self.table["video_id"].to_pylist())), "video")
        spans = counted(len(self), "span")
        return f"{spans} of {people} in {videos}, {clock(seconds)} in all, {at}"

    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas DataFrame."""
        return self.table.to_pandas()

    def _repr_html_(self) -> str:
        try:
            body = self.to_pandas()._repr_html_()
        except ImportError:
            return f"<pre>{self!r}</pre>"
        return f"<p>{self!r}</p>{body}"

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV; gives the path."""
        return write_tabular(self.table, path, "csv")

    def plot(self, **options: Any) -> np.ndarray[Any, Any]:
        """The timeline's Axes, one per video; see `facelake.plot.plot_spans`."""
        from facelake.present import draw_timeline

        return draw_timeline(
            self._lake, self.table, self.space, blind_s=self.settings.blind_s, **options
        )

    def clips(
        self,
        out: str | Path,
        *,
        pad_s: float = 0.0,
        template: str | None = None,
        progress: bool = True,
    ) -> pa.Table:
        """Cut a frame-exact clip of each span into a folder, with ``clips.csv`` beside them.

        Parameters
        ----------
        pad_s
            Seconds shown before and after each span.
        template
            Names of the clips; see `facelake.export.clip_name`.

        Raises
        ------
        ExportError
            Some clips could not be cut; the others are there.
        """
        from facelake.export import DEFAULT_TEMPLATE
        from facelake.present import cut_clips

        with count_bar("clips", show=progress) as update:
            clips, errors = cut_clips(
                self._lake,
                self.table,
                self.space,
                out,
                pad_s=pad_s,
                template=DEFAULT_TEMPLATE if template is None else template,
                progress=update,
            )
        if errors:
            rest = f", the rest is in {out}" if len(clips) else ""
            raise ExportError(
                f"{len(errors)} of {counted(len(errors) + len(clips), 'clip')} could not be cut"
                f"{rest}; the first: {errors[0]}"
            )
        return clips
