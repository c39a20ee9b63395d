"""Whether a catalog is as it was written, and mending what is not.

Nothing that can be read is ever removed. A run whose files are damaged, missing or at odds is
noted as such in its ``videos`` row, and the same ingest then looks at the video again; what goes is
what no reader reads: parts that no record names, records that cannot be read, and work that was
never finished.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from facelake.errors import CatalogError
from facelake.lake.files import NewerVersionError, PartReader, read_table
from facelake.lake.lake import Lake
from facelake.lake.layout import (
    CATALOG_FILE,
    FACES_FOLDER,
    PARTED,
    VIDEOS_FOLDER,
    is_exemplar,
    is_label,
    is_tombstone,
    parse_part,
    part_of,
    video_row,
)
from facelake.lake.records import names_its_place, read_record
from facelake.lake.stores.store import Entry, Store, open_stores
from facelake.lake.verify.checks import (
    AGAIN,
    RECORD_LOST,
    Checked,
    Kind,
    Trouble,
    check_known_file,
    check_run,
)
from facelake.lake.verify.mend import clearing, mark
from facelake.schema import VIDEOS, conform
from facelake.words import counted

TROUBLES = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("video_id", pa.string()),
        pa.field("what", pa.string(), nullable=False),
        pa.field("todo", pa.string(), nullable=False),
        pa.field("is_mended", pa.bool_(), nullable=False),
    ]
)

_TRIES = 3


@dataclass(frozen=True)
class VerifyReport:
    """What a catalog's verification found.

    Attributes
    ----------
    where
        The catalog.
    troubles
        One each, also those that were mended.
    n_files, n_bytes
        Looked at.
    n_unsealed
        Files of schema version 1, which have no seal: of those the pages were verified.
    notes
        Sentences about what was not looked at or not done.
    """

    where: str
    troubles: tuple[Trouble, ...]
    n_files: int
    n_bytes: int
    n_unsealed: int
    notes: tuple[str, ...]

    @property
    def n_left(self) -> int:
        """Troubles that were not mended."""
        return sum(not trouble.is_mended for trouble in self.troubles)

    @property
    def table(self) -> pa.Table:
        """The troubles, one row each: kind, file, video_id, what, todo, is_mended."""
        rows = [asdict(one) | {"video_id": one.video_id or None} for one in self.troubles]
        return pa.Table.from_pylist(rows, TROUBLES)

    def __len__(self) -> int:
        return len(self.troubles)

    def __str__(self) -> str:
        looked = f"{counted(self.n_files, 'file')}, {self.n_bytes / 1e6:,.1f} MB"
        said = "as it was written"
        if self.troubles:
            n_mended = len(self.troubles) - self.n_left
            said = f"{counted(len(self.troubles), 'trouble')}, {n_mended} of them mended"
        notes = list(self.notes)
        if self.n_unsealed:
            notes.append(f"{self.n_unsealed} of them without a seal: their pages were verified")
        return "; ".join([f"{self.where}: {looked}: {said}", *notes])


def verify_catalog(
    root: str | Path,
    *,
    mend: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> VerifyReport:
    """Read every byte of a catalog, and tell what is not as it was written.

    Parameters
    ----------
    root
        The catalog's folder or URL.
    mend
        Remove parts that no record names, records that cannot be read, and unfinished work; write
        a lost ``catalog.json`` again; note damaged runs, so that the same ingest looks at their
        videos again. Nothing is removed while an ingest is at work, and no stranger ever.
    progress
        Called with the bytes done and all.

    Raises
    ------
    CatalogError
        There is no catalog, or a newer facelake wrote it.
    """
    lake, troubles = _open(root, mend=mend)
    survey = _survey(lake)
    found = _check_all(lake, survey, progress)
    troubles += found.troubles
    if mend:
        troubles = [mark(lake, found.rows, trouble) for trouble in troubles]
    notes: list[str] = []
    with clearing(lake, notes, mend=mend) as clearer:
        troubles = [clearer.without_record(trouble) for trouble in troubles]
        troubles += [*clearer.orphans(found.leftovers), *clearer.unfinished()]
    return VerifyReport(
        where=lake.where,
        troubles=tuple(sorted(troubles, key=lambda one: (one.file, one.kind, one.what))),
        n_files=survey.n_files,
        n_bytes=survey.n_bytes,
        n_unsealed=found.n_unsealed,
        notes=tuple(notes),
    )


def _open(root: str | Path, *, mend: bool) -> tuple[Lake, list[Trouble]]:
    """The catalog, also one whose ``catalog.json`` is lost, and the trouble that this is."""
    try:
        return Lake.open(root), []
    except NewerVersionError:
        raise
    except CatalogError as error:
        store, _ = open_stores(root)
        if not any(parse_part(entry.name) for entry in store.find(VIDEOS_FOLDER)):
            raise
        what = str(error).removeprefix(f"{store.where(CATALOG_FILE)}: ")
    lake = Lake.restored(root, _spaces_of(store))
    kind: Kind = "damaged" if store.has(CATALOG_FILE) else "missing"
    lost = "purpose, retention date and contact must be told again"
    todo = f"facelake verify --mend writes it again from the tables; {lost}"
    if mend:
        lake.write_catalog_file()
        todo = f"written again from the tables; {lost}"
    return lake, [Trouble(kind, CATALOG_FILE, what, todo, is_mended=mend)]


def _spaces_of(store: Store) -> dict[str, dict[str, Any]]:
    """The spaces that a catalog's tables tell of: how long their embeddings are, and whose."""
    spaces: dict[str, dict[str, Any]] = {}
    for entry in store.find(VIDEOS_FOLDER):
        row = read_record(store, entry.name)
        if row is None or row["space"] in spaces or not row["n_samples"]:
            continue
        with suppress(CatalogError), PartReader(store, part_of(FACES_FOLDER, row)) as part:
            dim = part.schema.field("embedding").type.byte_width // 2
            spaces[row["space"]] = {"dim": dim, "pack": row["pack"]}
    return spaces


# Looking at every file ---------------------------------------------------------------------------


@dataclass
class _Survey:
    """The files of a catalog, by what their names say they are."""

    records: list[Entry] = field(default_factory=list)
    parts: dict[str, Entry] = field(default_factory=dict)
    others: list[Entry] = field(default_factory=list)
    strangers: list[Entry] = field(default_factory=list)
    n_files: int = 0
    n_bytes: int = 0


def _survey(lake: Lake) -> _Survey:
    survey = _Survey()
    for entry in lake.store.find():
        if _is_hidden(entry.name):
            continue
        survey.n_files += 1
        survey.n_bytes += entry.size_bytes
        part = parse_part(entry.name)
        if part is not None and part.table == VIDEOS_FOLDER:
            survey.records.append(entry)
        elif part is not None:
            survey.parts[entry.name] = entry
        elif is_exemplar(entry.name) or is_label(entry.name) or is_tombstone(entry.name):
            survey.others.append(entry)
        elif entry.name != CATALOG_FILE:
            survey.strangers.append(entry)
    return survey


def _is_hidden(name: str) -> bool:
    """Whether readers pass over a file by its name: the scratch of a catalog that is a disk."""
    folders, _, last = name.rpartition("/")
    hidden = any(step.startswith(".") for step in folders.split("/"))
    return hidden or (last.startswith(".") and not last.endswith(".parquet"))


@dataclass
class _Found:
    """What looking at every file came to.

    Attributes
    ----------
    rows
        The commit records that can be read, by file.
    leftovers
        Parts that none of them names, whose run has no record that could not be read.
    """

    troubles: list[Trouble] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    leftovers: list[Entry] = field(default_factory=list)
    n_unsealed: int = 0

    def add(self, checked: Checked) -> None:
        self.troubles += checked.troubles
        self.n_unsealed += checked.n_unsealed


def _check_all(lake: Lake, survey: _Survey, progress: Callable[[int, int], None]) -> _Found:
    """Check every file, with as many threads as there are cores."""
    found, n_done = _Found(), 0
    found.troubles += [_stranger(entry) for entry in survey.strangers]
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def check(jobs: Iterable[tuple[Callable[[], Checked], int]]) -> None:
            nonlocal n_done
            waiting = {pool.submit(job): n_bytes for job, n_bytes in jobs}
            for future in as_completed(waiting):
                found.add(future.result())
                n_done += waiting[future]
                progress(n_done, survey.n_bytes)

        check((partial(_check_record, lake, one.name), one.size_bytes) for one in survey.records)
        for entry in survey.records:
            row = read_record(lake.store, entry.name)
            if row is not None:
                found.rows[entry.name] = row
        check(_jobs(lake, survey, found))
    return found


def _jobs(
    lake: Lake, survey: _Survey, found: _Found
) -> Iterator[tuple[Callable[[], Checked], int]]:
    """What is to be done with every file but the records, and how many bytes each job reads."""
    named: set[str] = set()
    for row in found.rows.values():
        parts = {part_of(table, row) for table in PARTED}
        named |= parts
        n_bytes = sum(survey.parts[name].size_bytes for name in parts if name in survey.parts)
        yield partial(_check_run, lake, row), n_bytes
    unread = {entry.name for entry in survey.records} - found.rows.keys()
    for name, entry in survey.parts.items():
        part = parse_part(name)
        if name in named or part is None:
            continue
        if video_row(part.video_id, part.run) in unread:  # its record may yet be restored
            yield (
                partial(check_known_file, lake.store, name, AGAIN, part.video_id),
                entry.size_bytes,
            )
        else:
            found.leftovers.append(entry)
    for entry in survey.others:
        yield (
            partial(check_known_file, lake.store, entry.name, _todo(entry.name)),
            entry.size_bytes,
        )


def _todo(name: str) -> str:
    """What a person can do about a damaged file that is of no run."""
    if is_exemplar(name):
        return "delete it and enrol the photo again"
    if is_label(name):
        return "restore it from a copy, or delete it and say again who these people are"
    return "restore it from a copy, or forget the same again: without it this may come back"


def _check_record(lake: Lake, name: str) -> Checked:
    """Check a commit record for itself."""
    part = parse_part(name)
    video_id = "" if part is None else part.video_id
    checked = check_known_file(lake.store, name, RECORD_LOST, video_id)
    if checked.troubles:
        return checked
    with suppress(CatalogError):
        rows = conform(read_table(lake.store, name), VIDEOS).to_pylist()
        if not names_its_place(rows, name):
            told = ", ".join(str(row["video_id"]) for row in rows)
            what = f"it is the record of {told or 'no video'}; readers pass over it"
            todo = "delete it if it was copied here; facelake never deletes it"
            return Checked([Trouble("misplaced", name, what, todo, video_id)], checked.n_unsealed)
    return checked


def _check_run(lake: Lake, row: dict[str, Any]) -> Checked:
    """Check a run's parts; again where it was written anew meanwhile."""
    for _ in range(_TRIES):
        checked = check_run(lake.store, row, lake.spaces)
        if not checked.troubles:
            break
        now = read_record(lake.store, part_of(VIDEOS_FOLDER, row))
        if now is None:  # withdrawn
            return Checked([])
        if now["generation"] == row["generation"]:
            break
        row = now
    return checked


def _stranger(entry: Entry) -> Trouble:
    what = "facelake writes no file of this name; readers pass over it"
    todo = "move it out of the catalog; facelake never deletes it"
    return Trouble("stranger", entry.name, what, todo)
