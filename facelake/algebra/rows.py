"""Arrow tables as intervals: which columns must be there, what they may hold, in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.algebra.intervals import Times

if TYPE_CHECKING:
    import numpy.typing as npt

EDGES = ("start_s", "end_s")

_LARGE = 2**31  # times as many rows, it still is an int64


def read_times(*tables: pa.Table, by: Sequence[str]) -> tuple[Times, ...]:
    """The rows of each table as intervals on lines of time that the tables share.

    Parameters
    ----------
    tables
        With the columns ``start_s`` and ``end_s`` and those of ``by``.
    by
        Rows lie on one line of time where these columns are equal. Lines are numbered in the
        order of these columns' values.

    Raises
    ------
    ValueError
        A column is missing or holds nulls, a time is not finite, or a row ends before it starts.
    """
    for table in tables:
        _refuse_missing(table, (*by, *EDGES))
    code = number_values(*tables, by=by)
    at = np.cumsum([len(table) for table in tables])[:-1]
    return tuple(
        _checked_times(table, one) for table, one in zip(tables, np.split(code, at), strict=True)
    )


def number_values(*tables: pa.Table, by: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each row of all tables a number that grows with its values in the columns ``by``."""
    code = np.zeros(sum(map(len, tables)), np.int64)
    for name in by:
        values = _concat([table[name] for table in tables], name).dictionary_encode()
        rank = np.empty(len(values.dictionary), np.int64)
        rank[pc.sort_indices(values.dictionary).to_numpy()] = np.arange(len(rank))
        code = _dense(code * len(rank) + rank[values.indices.to_numpy()])
    return code


def _dense(code: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same order in numbers that may be multiplied by a number of rows."""
    if code.max(initial=0) < _LARGE:
        return code
    dense: npt.NDArray[np.int64] = np.unique(code, return_inverse=True)[1]
    return dense


def with_times(
    table: pa.Table, start_s: npt.NDArray[np.float64], end_s: npt.NDArray[np.float64]
) -> pa.Table:
    """The table with other times in the place of its own."""
    for name, values in zip(EDGES, (start_s, end_s), strict=True):
        at = table.column_names.index(name)
        table = table.set_column(at, _in_seconds(table.schema.field(name)), pa.array(values))
    return table


def refuse_length(name: str, seconds: float, *, finite: bool = True) -> None:
    """Refuse a length of time that is none."""
    if not seconds >= 0 or (finite and math.isinf(seconds)):
        raise ValueError(f"{name} must be 0 or more seconds, but is {seconds}")


def _in_seconds(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.float64(), field.nullable, field.metadata)


def _refuse_missing(table: pa.Table, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ValueError(
            f"a table of spans must have the columns {', '.join(names)}, but "
            f"{', '.join(missing)} is missing among {', '.join(table.column_names)}"
        )


def _concat(columns: list[pa.ChunkedArray], name: str) -> pa.Array:
    """All of these columns' values as one array, text as text whoever wrote it."""
    kind = columns[0].type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kind = pa.string() if pa.types.is_large_string(kind) else kind
    chunks = [chunk for column in columns for chunk in column.cast(kind).chunks]
    values = pa.concat_arrays(chunks) if chunks else pa.array([], kind)
    if values.null_count:
        raise ValueError(
            f"{name} must say in every row what it belongs to, but {values.null_count} of "
            f"{len(values)} are null; filter them out first"
        )
    return values


def _checked_times(table: pa.Table, code: npt.NDArray[np.int64]) -> Times:
    start_s, end_s = (_seconds(table, name) for name in EDGES)
    wrong = np.flatnonzero(end_s < start_s)
    if len(wrong):
        row = wrong[0]
        raise ValueError(
            f"a span must not end before it starts, but start_s[{row}] = {start_s[row]} and "
            f"end_s[{row}] = {end_s[row]}"
        )
    return Times(code, start_s, end_s)


def _seconds(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    column = table[name]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise ValueError(f"{name} must hold seconds as numbers, but holds {column.type}")
    seconds: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    wrong = np.flatnonzero(~np.isfinite(seconds))
    if len(wrong):
        raise ValueError(
            f"{name} must be finite seconds, but {name}[{wrong[0]}] = {seconds[wrong[0]]}"
        )
    return seconds
