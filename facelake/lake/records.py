"""The commit records of a catalog: one row of ``videos`` for each run of each video."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import (
    MissingPartError,
    check_file,
    read_table,
    write_noted,
    write_table,
)
from facelake.lake.layout import VIDEOS_FOLDER, parse_part, part_of, video_row
from facelake.lake.seal import read_note
from facelake.lake.stores.store import Entry, Store
from facelake.schema import SCHEMA_VERSION, VIDEOS, conform

RECORDS_CACHE = "runs.parquet"
_CREATED = "created_utc"
_WORTH_CACHING = 64  # records that were not in it
# A file that was replaced within the clock's step of its first writing has the same time; such a
# young record is not trusted to be the one that was read (as git does with its index).
_YOUNG_NS = 2_000_000_000


def read_records(store: Store, scratch: Store) -> pa.Table:
    """Every commit record: rows of `schema.VIDEOS`, by video and run.

    What ten thousand small files hold is kept in one file beside the catalog, and believed as long
    as name, size and time of change are the same; in an object store each of them is a request.
    """
    entries = [entry for entry in store.find(VIDEOS_FOLDER) if parse_part(entry.name) is not None]
    known, keys = _read_cache(scratch)
    new = [entry for entry in entries if _key(entry) not in keys]
    read = store.read_each(partial(_read_record, store), [entry.name for entry in new])
    found = [row for row in read if row is not None]
    rows = [keys[_key(entry)] for entry in entries if _key(entry) in keys]
    table = pa.concat_tables(
        [known.take(pa.array(rows, pa.int64())), pa.Table.from_pylist(found, VIDEOS)]
    )
    table = table.sort_by([("video_id", "ascending"), ("run", "ascending")])
    if len(new) >= _WORTH_CACHING:
        _write_cache(scratch, entries, table)
    return table


def records_of(store: Store, video_id: str) -> list[dict[str, Any]]:
    """The commit records of one video, by run."""
    entries = store.find(f"{VIDEOS_FOLDER}/video_id={video_id}")
    names = [entry.name for entry in entries if parse_part(entry.name) is not None]
    rows = store.read_each(partial(_read_record, store), names)
    return [row for row in rows if row is not None]


def write_record(store: Store, video: dict[str, Any], facts: Mapping[str, str]) -> None:
    """Write a commit record: what makes a run visible, or changes what is told of it."""
    row = {name: video.get(name) for name in VIDEOS.names}
    table = pa.Table.from_pylist([row], VIDEOS)
    # As Parquet keeps it: to the millisecond.
    kept = row | {_CREATED: table[_CREATED].cast(pa.int64())[0].as_py()}
    note = json.dumps({"schema_version": SCHEMA_VERSION, "row": kept}).encode()
    write_noted(table, store, part_of(VIDEOS_FOLDER, video), note, facts)


def _read_record(store: Store, name: str) -> dict[str, Any] | None:
    """The row of a commit record; ``None`` where it is of another place, or gone since."""
    try:
        rows = _rows(store, name)
    except MissingPartError:  # withdrawn since it was listed
        return None
    # One that somebody copied under another video's name is no record of that video.
    return rows[0] if names_its_place(rows, name) else None


def read_record(store: Store, name: str) -> dict[str, Any] | None:
    """The row of a commit record; ``None`` where it cannot be read or is of another place."""
    try:
        return _read_record(store, name)
    except CatalogError:
        return None


def read_row(store: Store, name: str) -> dict[str, Any]:
    """The row of a commit record, whatever its place.

    Raises
    ------
    CatalogError
        As `files.read_table`, or it holds another number of rows.
    """
    rows = _rows(store, name)
    if len(rows) != 1:
        raise CatalogError(
            f"{store.where(name)}: a video's record must hold one row, but holds {len(rows)}; "
            "delete it, and the same ingest writes it again"
        )
    return rows[0]


def names_its_place(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Whether what a commit record holds is the one row that its file's name tells."""
    return [video_row(row["video_id"], row["run"]) for row in rows] == [name]


def _rows(store: Store, name: str) -> list[dict[str, Any]]:
    noted = _noted(store, name)
    if noted is not None:
        return [noted]
    rows: list[dict[str, Any]] = conform(read_table(store, name), VIDEOS).to_pylist()
    return rows


def _noted(store: Store, name: str) -> dict[str, Any] | None:
    """The row as the file's note tells it, in a hundredth of the time that Parquet takes."""
    try:
        note = read_note(store.read_bytes(name))
        told = {} if note is None else json.loads(note)
        if told.get("schema_version", SCHEMA_VERSION + 1) > SCHEMA_VERSION:
            return None  # an older version's file has no note, and a newer one's is refused
        row: dict[str, Any] = dict.fromkeys(VIDEOS.names) | told["row"]
        row[_CREATED] = datetime.fromtimestamp(row[_CREATED] / 1000, UTC)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return row


def _key(entry: Entry) -> tuple[str, int, int]:
    return entry.name, entry.size_bytes, entry.mtime_ns


def _read_cache(scratch: Store) -> tuple[pa.Table, dict[tuple[str, int, int], int]]:
    """The records that are known, and the row of each by name, size and time of change."""
    try:
        if check_file(scratch, RECORDS_CACHE).why:
            return VIDEOS.empty_table(), {}
        table = read_table(scratch, RECORDS_CACHE)
        columns = [table[name].to_pylist() for name in ("file", "file_size", "file_mtime_ns")]
        keys = {key: row for row, key in enumerate(zip(*columns, strict=True))}
        return conform(table, VIDEOS), keys
    except (CatalogError, KeyError):  # none, or one that another version wrote
        return VIDEOS.empty_table(), {}


def _write_cache(scratch: Store, entries: Sequence[Entry], records: pa.Table) -> None:
    """Keep the records for the next reader, where this one may write."""
    old = time.time_ns() - _YOUNG_NS
    by_name = {entry.name: entry for entry in entries if entry.mtime_ns < old}
    pairs = zip(records["video_id"].to_pylist(), records["run"].to_pylist(), strict=True)
    told = [by_name.get(video_row(*pair)) for pair in pairs]
    kept = [row for row, entry in enumerate(told) if entry is not None]
    found = [entry for entry in told if entry is not None]
    table = records.take(pa.array(kept, pa.int64()))
    for name, values in {
        "file": pa.array([entry.name for entry in found], pa.string()),
        "file_size": pa.array([entry.size_bytes for entry in found], pa.int64()),
        "file_mtime_ns": pa.array([entry.mtime_ns for entry in found], pa.int64()),
    }.items():
        table = table.append_column(name, values)
    with suppress(CatalogError):
        write_table(table, scratch, RECORDS_CACHE)


def densest_of_each(records: pa.Table) -> pa.Table:
    """One record per video: of its densest run, with the paths that any of its runs knows."""
    n_embedded = pc.coalesce(records["n_embedded"], records["n_faces"])
    order = np.lexsort(
        [
            records["created_utc"].cast(pa.int64()).to_numpy(),
            n_embedded.to_numpy(),
            records["n_samples"].to_numpy(),
        ]
    )
    names = records["video_id"].to_pylist()
    chosen = {names[int(row)]: int(row) for row in order}
    rows = pa.array([chosen[name] for name in sorted(chosen)], pa.int64())  # typed: may be none
    return _with_all_paths(records.take(rows), records)


def density(video: dict[str, Any]) -> tuple[int, int, datetime]:
    """What decides which run of a video owns an instant; ``video`` is its ``videos`` row."""
    n_embedded = video["n_faces"] if video["n_embedded"] is None else video["n_embedded"]
    return video["n_samples"], n_embedded, video["created_utc"]


def file_columns(files: dict[str, int]) -> dict[str, list[str] | list[int]]:
    """The columns ``paths`` and ``mtimes_ns`` of files and their times of change."""
    return {"paths": sorted(files), "mtimes_ns": [files[path] for path in sorted(files)]}


def _with_all_paths(videos: pa.Table, records: pa.Table) -> pa.Table:
    """The videos with every path that any of their runs knows: each run notes what it meets."""
    files: dict[str, dict[str, int]] = {}
    for row in records.select(["video_id", "paths", "mtimes_ns"]).to_pylist():
        known = files.setdefault(row["video_id"], {})
        for path, mtime_ns in zip(row["paths"], row["mtimes_ns"], strict=True):
            known[path] = max(mtime_ns, known.get(path, mtime_ns))
    columns = [file_columns(files[video_id]) for video_id in videos["video_id"].to_pylist()]
    for name in ("paths", "mtimes_ns"):
        field = VIDEOS.field(name)
        values = pa.array([column[name] for column in columns], field.type)
        videos = videos.set_column(VIDEOS.get_field_index(name), field, values)
    return videos
