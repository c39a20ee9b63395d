"""Work in progress: the stretches of a video that are done but not yet published.

Staging lies beside the catalogs, never inside one: readers' globs would find it there. Names are
made of the video and the run, so that a run that was interrupted finds its own work again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from facelake.errors import CatalogError
from facelake.lake.files import MissingPartError, PartReader, read_facts, read_table, write_table
from facelake.lake.stores.store import Store, open_stores


@dataclass(frozen=True)
class StagedStretch:
    """What one stretch of one video gave.

    Attributes
    ----------
    samples, faces
        Rows of the tables of these names.
    facts
        Numbers and words about the work: decoder, provider, seconds by stage …
    chips
        Rows of the table of this name; ``None`` where they are not kept.
    """

    samples: pa.Table
    faces: pa.Table
    facts: dict[str, str | int | float]
    chips: pa.Table | None = None


class Staging:
    """The staged stretches of one run of one video.

    Parameters
    ----------
    store
        Where the catalog's unfinished work lies.
    video_id, run
        Whose stretches.
    """

    def __init__(self, store: Store, video_id: str, run: str) -> None:
        self._store = store
        self._folder = f"{video_id}.{run}"

    @classmethod
    def open(cls, root: str | Path, video_id: str, run: str) -> Staging:
        """That of a catalog's place; the catalog itself is not read."""
        return cls(open_stores(root)[1], video_id, run)

    @property
    def where(self) -> str:
        """How a person would call this place."""
        return self._store.where(self._folder)

    def put(self, number: int, stretch: StagedStretch) -> None:
        """Stage a stretch; its samples are written last and make it count."""
        if stretch.chips is not None:
            write_table(stretch.chips, self._store, self._name("chips", number))
        write_table(stretch.faces, self._store, self._name("faces", number))
        facts = stretch.facts | {"has_chips": int(stretch.chips is not None)}
        write_table(stretch.samples, self._store, self._name("samples", number), **facts)

    def facts(self, number: int) -> dict[str, str | int | float] | None:
        """The facts of a staged stretch; ``None`` when it is not staged, or not whole."""
        try:
            facts = read_facts(self._store, self._name("samples", number))
        except CatalogError:
            return None
        tables = ("faces", "chips") if facts.get("has_chips") else ("faces",)
        is_whole = all(self._store.has(self._name(table, number)) for table in tables)
        return facts if is_whole else None

    def read(self, n_stretches: int, *, missing_ok: bool = False) -> Iterator[StagedStretch]:
        """All stretches, in order.

        Raises
        ------
        CatalogError
            One is missing, unless that is known.
        """
        for number in range(n_stretches):
            try:
                yield self._read(number)
            except MissingPartError as error:
                if not missing_ok:
                    raise CatalogError(
                        f"{self.where}: stretch {number} must be staged before the video is "
                        "published, but is not; run the same ingest again"
                    ) from error

    def _read(self, number: int) -> StagedStretch:
        with PartReader(self._store, self._name("samples", number)) as part:
            samples, facts = part.read(), part.facts
        faces = read_table(self._store, self._name("faces", number))
        if not facts.get("has_chips"):
            return StagedStretch(samples, faces, facts)
        return StagedStretch(
            samples, faces, facts, read_table(self._store, self._name("chips", number))
        )

    def clear(self) -> None:
        """Remove everything staged for this run."""
        self._store.remove_tree(self._folder)

    # Attempts -----------------------------------------------------------------------------------

    def begin(self, number: int, session: str) -> int:
        """Note that a worker starts on a stretch; gives how many started before in this session.

        A worker that crashes, hangs or is killed cannot say so: what it began and nobody ended
        is how the next one knows.
        """
        try:
            told = json.loads(self._store.read_bytes(self._attempts(number)))
        except (OSError, ValueError):
            told = {}
        before = int(told.get("begun", 0)) if told.get("session") == session else 0
        text = json.dumps({"session": session, "begun": before + 1})
        self._store.write_text(self._attempts(number), text)
        return before

    def end(self, number: int) -> None:
        """Note that the stretch ended, well or with an error it could report."""
        self._store.remove(self._attempts(number))

    def _attempts(self, number: int) -> str:
        return f"{self._folder}/attempts-{number:06d}.json"

    def _name(self, table: str, number: int) -> str:
        return f"{self._folder}/{table}-{number:06d}.parquet"
