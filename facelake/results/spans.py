"""Who is on screen from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import ExportError
from facelake.lake import Lake
from facelake.progress import count_bar
from facelake.query import SpanSettings
from facelake.tabular import write_tabular
from facelake.words import clock, counted

if TYPE_CHECKING:
    import pandas as pd


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
        at = f"at {self.settings}"
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
