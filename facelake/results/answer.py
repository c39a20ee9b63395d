"""What every answer can do that is a table: show itself in a notebook, and be taken elsewhere."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from facelake.tabular import write_tabular

if TYPE_CHECKING:
    import pandas as pd


class _HasTable(Protocol):
    @property
    def table(self) -> pa.Table: ...


class Answer:
    """An answer whose rows are its ``table``."""

    def to_pandas(self: _HasTable) -> pd.DataFrame:
        """The table as a pandas DataFrame."""
        return self.table.to_pandas()

    def to_csv(self: _HasTable, path: str | Path) -> Path:
        """Write the table as CSV; gives the path."""
        return write_tabular(self.table, path, "csv")

    def _repr_html_(self: _HasTable) -> str:
        return as_html(repr(self), self.table)


def as_html(words: str, table: pa.Table | None = None) -> str:
    """Words, and a table below them where pandas is there to draw it, for a notebook's cell."""
    told = f"<pre>{escape(words)}</pre>"
    if table is None:
        return told
    try:
        return told + str(table.to_pandas()._repr_html_())
    except ImportError:  # the base install has no pandas
        return told
