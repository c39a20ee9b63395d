"""The rows of each value of a column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa


def iter_groups(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each value of a text column; sorted once, not filtered once a value."""
    encoded = table[column].combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    table = table.take(pa.array(order))
    bounds = np.searchsorted(code[order], np.arange(len(encoded.dictionary) + 1))
    for number, value in enumerate(encoded.dictionary.to_pylist()):
        begin, end = int(bounds[number]), int(bounds[number + 1])
        yield value, table.slice(begin, end - begin)
