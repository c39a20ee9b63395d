"""Who is on screen from when to when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import ExportError
from facelake.evaluate import COLLAR_S, MIN_IOU, WANTED
from facelake.lake import Lake
from facelake.progress import count_bar
from facelake.query import SpanSettings
from facelake.query.evaluate import TruthRules, videos_looked_at
from facelake.results.algebra import SpanAlgebra
from facelake.results.answer import Answer
from facelake.results.evaluation import Evaluation
from facelake.words import clock, counted


@dataclass(frozen=True)
class Spans(Answer, SpanAlgebra):
    """Who is on screen from when to when.

    They combine: ``a & b``, ``a | b``, ``a - b``, and what `SpanAlgebra` adds.

    Attributes
    ----------
    table
        Rows of `schema.SPANS`.
    space
        The embeddings' space.
    settings
        The rules that made them.
    gallery_version
        Which set of exemplars the faces were compared with; see `Gallery.version`.
    """

    _lake: Lake
    table: pa.Table
    space: str
    settings: SpanSettings
    gallery_version: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        at = f"at {self.settings}"
        if not len(self):
            return f"no spans {at}"
        if self.gallery_version:
            at += f", gallery {self.gallery_version}"
        seconds = pc.sum(pc.subtract(self.table["end_s"], self.table["start_s"])).as_py()
        people = counted(len(set(self.table["identity"].to_pylist())), "identity")
        videos = counted(len(set(self.table["video_id"].to_pylist())), "video")
        spans = counted(len(self), "span")
        return f"{spans} of {people} in {videos}, {clock(seconds)} in all, {at}"

    def _remade(self, table: pa.Table, **told: Any) -> Self:
        return replace(self, table=table, **told)

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

    def evaluate(
        self,
        truth: Spans | str | Path | pa.Table,
        *,
        visibilities: Sequence[str] = WANTED,
        collar_s: float = COLLAR_S,
        min_iou: float = MIN_IOU,
        videos: Sequence[str] = (),
        identities: Sequence[str] = (),
    ) -> Evaluation:
        """What these spans are worth by a truth, in the videos of which it tells.

        Parameters
        ----------
        truth
            A file or table as `facelake.evaluate.read_truth` takes it, or other spans.
        visibilities, collar_s, min_iou, videos, identities
            See `facelake.query.evaluate.TruthRules`.

        Raises
        ------
        ValueError
            The truth or a rule is wrong, or two videos cannot be told apart by their names.
        """
        rules = TruthRules(tuple(visibilities), collar_s, min_iou, tuple(videos), tuple(identities))
        told = truth.table if isinstance(truth, Spans) else truth
        looked_at = videos_looked_at(self._lake, self.space)
        return Evaluation.of(self.table, told, rules, looked_at=looked_at)
