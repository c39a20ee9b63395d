"""Mending a catalog: noting what is damaged, and removing what no reader reads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from facelake.errors import CatalogError
from facelake.lake.files import read_facts
from facelake.lake.lake import WRITERS, Lake
from facelake.lake.layout import Part, parse_part, part_of, video_row
from facelake.lake.records import RECORDS_CACHE, read_record
from facelake.lake.stores.store import Entry
from facelake.lake.verify.checks import AGAIN, RECORD_LOST, Trouble, is_of_its_place
from facelake.words import counted

# Where nobody can tell whether somebody is at work, what is younger than this may be in use.
_IN_USE_S = 86400.0
_OF_A_RUN = frozenset({"damaged", "missing", "inconsistent", "misplaced"})


def mark(lake: Lake, rows: dict[str, dict[str, Any]], trouble: Trouble) -> Trouble:
    """Note a run's trouble in its record, so that the same ingest looks at the video again."""
    part = parse_part(trouble.file)
    if part is None or trouble.kind not in _OF_A_RUN or trouble.todo == AGAIN:
        return trouble
    row = rows.get(video_row(part.video_id, part.run))
    if row is None or not lake.mark_damaged(row, f"{trouble.file}: {trouble.what}"):
        return trouble
    return replace(trouble, todo=f"noted; {AGAIN}")


@contextmanager
def clearing(lake: Lake, notes: list[str], *, mend: bool) -> Iterator[Clearer]:
    """Who removes what nobody reads, while nobody writes."""
    with ExitStack() as stack:
        try:
            is_alone = stack.enter_context(lake.clearing())
        except CatalogError:  # a disk that cannot be written has nobody at work on it
            is_alone = False
        is_busy = not is_alone and lake.scratch.has_locks
        if is_busy:
            notes.append(
                "an ingest is at work, or locks are not to be had: unfinished work of the last day "
                f"was passed over{', and nothing removed' if mend else ''}"
            )
        yield Clearer(lake, removes=mend and not is_busy, everything=is_alone)


@dataclass(frozen=True)
class Clearer:
    """Tells of what no reader reads, and removes it.

    Attributes
    ----------
    removes
        Whether it is removed, or told of only.
    everything
        Whether nobody can be using it; else what is young is passed over.
    """

    lake: Lake
    removes: bool
    everything: bool

    def without_record(self, trouble: Trouble) -> Trouble:
        """Remove a commit record that cannot be read; its parts stay until the next ingest."""
        store, name = self.lake.store, trouble.file
        is_lost = trouble.todo == RECORD_LOST and read_record(store, name) is None
        if not self.removes or not is_lost:
            return trouble
        store.remove(name)
        return replace(trouble, todo=f"removed; {AGAIN}")

    def orphans(self, leftovers: Iterable[Entry]) -> Iterator[Trouble]:
        """Parts that no record names, whoever wrote them."""
        for entry in leftovers:
            part = parse_part(entry.name)
            if part is not None and self._is_settled(entry) and self._is_unnamed(part):
                yield self._orphan(entry.name, part)

    def _orphan(self, name: str, part: Part) -> Trouble:
        with suppress(CatalogError):  # a torn one is nobody's
            if not is_of_its_place(read_facts(self.lake.store, name), part):
                what = "it was written for another place; readers pass over it"
                todo = "move it to where it belongs or delete it; facelake never deletes it"
                return Trouble("misplaced", name, what, todo, part.video_id)
        what = "no video's record names it: its writer was stopped, or it was replaced"
        if not self.removes:
            todo = "facelake verify --mend removes it"
            return Trouble("orphan", name, what, todo, part.video_id)
        self.lake.store.remove(name)
        return Trouble("orphan", name, what, "removed", part.video_id, is_mended=True)

    def unfinished(self) -> Iterator[Trouble]:
        """What an interrupted ingest left beside the catalog."""
        scratch = self.lake.scratch
        groups: dict[str, list[Entry]] = {}
        for entry in scratch.find():
            if entry.name.endswith(".lock"):
                # Of writers that were killed: who wants one needs the lock that is held here first.
                if self.removes and self.everything and entry.name != f"{WRITERS}.lock":
                    scratch.remove(entry.name)
            elif entry.name != RECORDS_CACHE:
                groups.setdefault(entry.name.partition("/")[0], []).append(entry)
        for name, entries in sorted(groups.items()):
            if all(self._is_settled(entry) for entry in entries):
                yield self._unfinished(name, entries)

    def _unfinished(self, name: str, entries: list[Entry]) -> Trouble:
        scratch, n_bytes = self.lake.scratch, sum(entry.size_bytes for entry in entries)
        where = scratch.where(name)
        what = f"unfinished work: {counted(len(entries), 'file')}, {n_bytes / 1e6:,.1f} MB"
        if self.removes:
            for entry in entries:
                scratch.remove(entry.name)
            scratch.remove_tree(name)
            return Trouble("staging", where, what, "removed", is_mended=True)
        todo = "the same ingest goes on from it; facelake verify --mend removes it"
        return Trouble("staging", where, what, todo)

    def _is_settled(self, entry: Entry) -> bool:
        return self.everything or time.time() - entry.mtime_ns / 1e9 > _IN_USE_S

    def _is_unnamed(self, part: Part) -> bool:
        """Whether it still holds, now that nobody writes, that no record names a part."""
        record = video_row(part.video_id, part.run)
        row = read_record(self.lake.store, record)
        if row is None:
            return not self.lake.store.has(record)
        return part_of(part.table, row) != part.name
