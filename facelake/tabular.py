"""Tables as files and text that other programs read: CSV, JSON, Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from facelake.atomic import replacing
from facelake.errors import ExportError
from facelake.lake import save_table


def write_tabular(table: pa.Table, path: str | Path, kind: str, **facts: str | int | float) -> Path:
    """Write a table as ``csv``, ``json`` (an array of objects) or ``parquet``; gives the path.

    Parameters
    ----------
    facts
        How it was made; goes into the ``facelake`` metadata of a Parquet file.

    Raises
    ------
    ExportError
        The place is a folder or a device.
    """
    if kind == "parquet":
        return write_file(path, lambda part: save_table(table, part, **facts))
    if kind == "json":
        text = to_json(table) + "\n"
        return write_file(path, lambda part: part.write_text(text, "utf-8"))
    return write_file(path, lambda part: csv.write_csv(table, part))


def write_file(path: str | Path, write: Callable[[Path], object]) -> Path:
    """A file that ``write`` fills; it appears whole or not at all, its folder is made.

    Raises
    ------
    ExportError
        The place is a folder or a device.
    """
    path = Path(path)
    _refuse_device(path)
    with replacing(path) as part:
        write(part)
    return path


def _refuse_device(path: Path) -> None:
    if path.exists() and not path.is_file():  # to rename a file over /dev/null is to lose it
        raise ExportError(f"{path}: a table must be written to a file, but this is none")


def to_json(table: pa.Table) -> str:
    """A table as a JSON array with one object per row."""
    columns = {
        name: _short(table[name]) if pa.types.is_float32(table[name].type) else table[name]
        for name in table.column_names
    }
    rows = pa.table(columns).to_pylist()
    return json.dumps(rows, indent=1, ensure_ascii=False, default=str)


def _short(column: pa.ChunkedArray) -> pa.Array:
    """Float32 as the float64 of the fewest digits that mean the same: 0.7, not 0.699999988."""
    return pa.array([None if v is None else float(str(np.float32(v))) for v in column.to_pylist()])
