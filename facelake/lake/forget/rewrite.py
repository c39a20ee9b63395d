"""Taking faces and videos out of a catalog for good, with all that was made of them.

The order is what makes it safe to be interrupted: tombstones first, so that nothing can come back;
then what no row names and what lies in the scratch store; then every part anew without the faces,
each in one step. Whatever was left undone, the next forgetting finds by the tombstones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa

from facelake.errors import CatalogError
from facelake.lake.files import MissingPartError, read_table
from facelake.lake.forget.tombstones import RunTables
from facelake.lake.lake import Lake
from facelake.lake.layout import (
    CHIPS_FOLDER,
    FACES_FOLDER,
    FORGOTTEN_FOLDER,
    PARTED,
    SAMPLES_FOLDER,
    TRACKS_FOLDER,
    VIDEOS_FOLDER,
    parse_part,
    part_of,
)
from facelake.lake.records import records_of
from facelake.lake.stores.store import Entry
from facelake.schema import CHIPS, FACES, SAMPLES, TRACKS, conform, with_embedding

_LOCK = ".lock"


def read_run(lake: Lake, video: dict[str, Any]) -> RunTables:
    """All that a run has written; ``video`` is its ``videos`` row.

    Raises
    ------
    CatalogError
        A part is missing or damaged.
    """
    if not video["n_samples"]:
        return RunTables(video)
    space, dim = video["space"], lake.dim(video["space"])
    schemas = {
        SAMPLES_FOLDER: SAMPLES,
        FACES_FOLDER: with_embedding(FACES, space, dim),
        TRACKS_FOLDER: with_embedding(TRACKS, space, dim),
        CHIPS_FOLDER: CHIPS,
    }
    return RunTables(video, *(_read(lake, table, video, s) for table, s in schemas.items()))


def read_faces(lake: Lake, video: dict[str, Any], columns: Sequence[str]) -> pa.Table:
    """Some columns of a run's faces; ``video`` is its ``videos`` row."""
    schema = with_embedding(FACES, video["space"], lake.dim(video["space"]))
    wanted = pa.schema([schema.field(name) for name in columns])
    return conform(read_table(lake.store, part_of(FACES_FOLDER, video), columns), wanted)


def _read(lake: Lake, table: str, video: dict[str, Any], schema: pa.Schema) -> pa.Table | None:
    name = part_of(table, video)
    try:
        return conform(read_table(lake.store, name, schema.names), schema)
    except MissingPartError:
        if table == CHIPS_FOLDER:  # not everybody keeps them
            return None
        raise


def run_files(video: dict[str, Any]) -> list[str]:
    """Names of the files that a run may have; ``video`` is its ``videos`` row."""
    return [part_of(table, video) for table in (VIDEOS_FOLDER, *PARTED)]


def rewrite_run(lake: Lake, video_id: str, run: str) -> None:
    """Write a run anew without what tombstones name, and remove what it was."""
    if not lake.has_run(video_id, run):  # somebody withdrew it meanwhile
        return
    old = read_run(lake, lake.run_row(video_id, run))
    lake.publish(old.video, old.samples, old.faces, old.tracks, old.chips)


def remove_video(lake: Lake, video_id: str) -> None:
    """Remove every file of a video but its tombstones.

    Raises
    ------
    CatalogError
        Something cannot be removed.
    """
    folders = {entry.name.rpartition("/")[0] for entry in video_files(lake, video_id)}
    for row in records_of(lake.store, video_id):
        lake.withdraw(video_id, row["run"])
    for folder in sorted(folders):
        lake.store.remove_tree(folder)
    for entry in video_files(lake, video_id)[:1]:
        raise CatalogError(
            f"{lake.store.where(entry.name)}: a file of a forgotten video must go, but cannot be "
            "removed; check its rights and forget the video again"
        )


def video_files(lake: Lake, video_id: str) -> list[Entry]:
    """Every file in a video's folders, whoever wrote it; its tombstones left out."""
    return [entry for entry in lake.store.find() if video_of(entry) == video_id]


def video_of(entry: Entry) -> str:
    """The video in whose folder a file lies; empty for others, and for tombstones."""
    told = re.search(r"/video_id=([^/]+)/", entry.name)
    if told is None or entry.name.startswith(f"{FORGOTTEN_FOLDER}/"):
        return ""
    return told[1]


def orphans(entries: Iterable[Entry], runs: Iterable[dict[str, Any]]) -> list[Entry]:
    """Parts that no ``videos`` row names.

    Parameters
    ----------
    entries
        Files of the catalog.
    runs
        All ``videos`` rows. Read them while nobody writes: to a reader, a part that is not
        committed yet looks like one that never will be.
    """
    named = {part_of(table, run) for run in runs for table in PARTED}
    parts = [(entry, parse_part(entry.name)) for entry in entries]
    return [
        entry
        for entry, part in parts
        if part is not None and part.table != VIDEOS_FOLDER and entry.name not in named
    ]


def scratch_files(lake: Lake, video_ids: Collection[str] | None = None) -> list[Entry]:
    """Files of the scratch store that may hold faces of some videos, or of any.

    Those are the videos' staged stretches, and what lies loose: the cache of the commit records,
    and files that a killed writer never finished, of which nobody knows what they are about.
    """
    found = []
    for entry in lake.scratch.find():
        folder, slash, _ = entry.name.partition("/")
        is_meant = not slash or video_ids is None or folder.rpartition(".")[0] in video_ids
        if is_meant and not entry.name.endswith(_LOCK):
            found.append(entry)
    return found


def clear_up(lake: Lake, video_ids: Collection[str] | None) -> None:
    """Remove the orphans and the unfinished work of some videos, or of all.

    Raises
    ------
    CatalogError
        Somebody is writing into the catalog.
    """
    with lake.clearing() as is_alone:
        refuse_writers(lake, is_alone=is_alone)
        for entry in orphans(lake.store.find(), lake.runs().to_pylist()):
            if video_ids is None or video_of(entry) in video_ids:
                lake.store.remove(entry.name)
        for entry in scratch_files(lake, video_ids):
            lake.scratch.remove(entry.name)


def refuse_writers(lake: Lake, *, is_alone: bool) -> None:
    """Raise a sentence when somebody writes into the catalog, where that can be told."""
    if not is_alone and lake.scratch.has_locks:
        raise CatalogError(
            f"{lake.where}: nobody may write into a catalog while faces are forgotten, but "
            "somebody does; let the ingest or import end, then give the same command again"
        )
