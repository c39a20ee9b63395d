"""Where a face appears, and which videos show the same footage."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from facelake.results.answer import Answer
from facelake.words import clock, counted


@dataclass(frozen=True)
class _Rows(Answer):
    """A table that is shown, saved and taken on.

    Attributes
    ----------
    table
        The rows.
    space
        The embeddings' space.
    """

    table: pa.Table
    space: str

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True, repr=False)
class Search(_Rows):
    """Where the faces that were asked for appear, the most alike first.

    Attributes
    ----------
    table
        Rows of `schema.HITS`.
    queries
        What was asked, as a person reads it.
    min_score
        Lowest score that counts.
    note
        Where that score comes from; empty where it was given.
    """

    queries: tuple[str, ...]
    min_score: float
    note: str = ""

    def __repr__(self) -> str:
        least = f"from {self.min_score:g} on" + (f" ({self.note})" if self.note else "")
        asked = self.queries[0] if len(self.queries) == 1 else counted(len(self.queries), "query")
        if not len(self):
            return f"no hits of {asked}, {least}"
        videos = counted(len(set(self.table["video_id"].to_pylist())), "video")
        best = pc.max(self.table["score"]).as_py()
        return f"{counted(len(self), 'hit')} of {asked} in {videos}, the best {best:.2f}, {least}"


@dataclass(frozen=True, repr=False)
class Copies(_Rows):
    """Which videos show the same footage.

    Attributes
    ----------
    table
        Rows of `schema.COPIES`.
    """

    def __repr__(self) -> str:
        if not len(self):
            return "no footage that two videos share"
        pairs = {(row["video_a"], row["video_b"]) for row in self.table.to_pylist()}
        shared = clock(pc.sum(self.table["shared_s"]).as_py())
        return f"{counted(len(pairs), 'pair')} of videos with shared footage, {shared} in all"
