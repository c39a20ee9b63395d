"""What people said of faces: files that are only ever added, each named by what is in it.

A file holds the labels that were given at once, so that naming somebody who is in a thousand
tracks is one file, there whole or not at all. Which label of a face counts is decided when asking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.lake.files import read_table, write_table
from facelake.lake.lake import Lake
from facelake.lake.layout import LABELS_FOLDER, is_label, label_file
from facelake.schema import LABELS, conform

_BY_TIME = [("created_utc", "ascending"), ("label_id", "ascending")]


def read_labels(lake: Lake) -> pa.Table:
    """Every label of a catalog, oldest first: rows of `schema.LABELS`."""
    names = _label_files(lake)
    tables = lake.store.read_each(partial(read_table, lake.store), names)
    rows = [LABELS.empty_table(), *(conform(table, LABELS) for table in tables)]
    return pa.concat_tables(rows).sort_by(_BY_TIME)


def add_labels(lake: Lake, labels: pa.Table) -> None:
    """Add labels that were given at once; adding them again changes nothing."""
    if len(labels):
        with lake.writing():
            write_table(labels, lake.store, label_file(_name_of(labels)))


def drop_labels(lake: Lake, is_gone: Callable[[pa.Table], npt.NDArray[np.bool_]]) -> None:
    """Take labels out for good: what stays of a file is written first, then the file goes.

    Parameters
    ----------
    is_gone
        Says which rows of a file go.
    """
    for name in _label_files(lake):
        labels = conform(read_table(lake.store, name), LABELS)
        gone = is_gone(labels)
        if gone.any():
            add_labels(lake, labels.filter(pa.array(~gone)))
            lake.store.remove(name)


def _label_files(lake: Lake) -> list[str]:
    names = [entry.name for entry in lake.store.find(LABELS_FOLDER)]
    return [name for name in names if is_label(name)]


def _name_of(labels: pa.Table) -> str:
    """16 hex digits made of what the labels are."""
    told = "|".join(sorted(labels["label_id"].to_pylist())).encode()
    return hashlib.blake2b(told, digest_size=8).hexdigest()
