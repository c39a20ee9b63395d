"""Rows of CSV, JSON and Parquet files, each with the place it has there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, dict[str, Any]]
"""Where it is, as ``truth.csv, line 3``, and its values by column."""


def read_rows(path: str | Path, *, what: str, columns: Sequence[Sequence[str]]) -> list[Row]:
    """Rows of a file by its ending: ``.json``, ``.parquet``, and anything else is CSV.

    Parameters
    ----------
    path
        A CSV file in UTF-8, of which lines that begin with ``#`` are comments; a JSON array of
        objects; or a Parquet file.
    what
        What it should be, for error sentences.
    columns
        The columns that must be there, each by any one of its names.

    Raises
    ------
    ValueError
        It is no such file, or lacks a column.
    OSError
        It cannot be read.
    """
    path = Path(path)
    readers = {".json": _read_json, ".parquet": _read_parquet}
    names, rows = readers.get(path.suffix.lower(), _read_csv)(path, what)
    lost = [" or ".join(known) for known in columns if not set(known) & set(names)]
    if lost:
        told = ", ".join(" or ".join(known) for known in columns)
        raise ValueError(
            f"{path}: {what} must have the columns {told}, but lacks {', '.join(lost)}"
        )
    return rows


def first_of(row: dict[str, Any], names: Sequence[str]) -> str | None:
    """The first of these columns that holds something, as text; ``None`` when none does."""
    for name in names:
        value = row.get(name)
        if value is not None and str(value).strip():
            return str(value)
    return None


def _read_csv(path: Path, what: str) -> tuple[Sequence[str], list[Row]]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {what} must be a CSV file in UTF-8, but {error}") from error
    lines = enumerate(io.StringIO(text, newline=""), 1)
    kept = [(number, line) for number, line in lines if not line.startswith("#")]
    reader = csv.DictReader((line for _, line in kept), restval="")
    try:
        rows = [(f"{path}, line {kept[reader.line_num - 1][0]}", row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}: {what} must be a CSV file, but {error}") from error
    return reader.fieldnames or (), rows


def _read_json(path: Path, what: str) -> tuple[Sequence[str], list[Row]]:
    try:
        told = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: {what} must be a JSON file, but {error}") from error
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        raise ValueError(f"{path}: {what} must be a JSON array of objects, but is none")
    return list(dict.fromkeys(name for row in told for name in row)), _numbered(path, told)


def _read_parquet(path: Path, what: str) -> tuple[Sequence[str], list[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {what} must be a Parquet file, but {error}") from error
    return table.column_names, _numbered(path, table.to_pylist())


def _numbered(path: Path, rows: list[dict[str, Any]]) -> list[Row]:
    return [(f"{path}, row {number}", row) for number, row in enumerate(rows, 1)]
