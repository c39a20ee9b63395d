"""What a forgetting came to."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from facelake.words import counted

FORGOTTEN = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("n_faces", pa.int64(), nullable=False),
        pa.field("n_tracks", pa.int64(), nullable=False),
        pa.field("n_chips", pa.int64(), nullable=False),
        pa.field("n_clips", pa.int64(), nullable=False),
        pa.field("n_files", pa.int64(), nullable=False),  # written anew, or gone
        pa.field("size_bytes", pa.int64(), nullable=False),  # of these files as they were
    ]
)
"""Columns of a report's table."""


@dataclass(frozen=True)
class ForgetReport:
    """What was forgotten, or would be.

    Attributes
    ----------
    table
        Rows of `FORGOTTEN`, one for each video that held something.
    n_exemplars
        Photos' faces taken out of the gallery.
    n_labels
        What people had said of these faces, or by this name.
    n_other_files
        Files removed beside the videos' own: unfinished work, caches, files no row names.
    notes
        Sentences about what could not be known.
    left
        Where the forgotten embeddings, or the same to four digits, still are. Empty in a dry run.
    is_dry_run
        Whether nothing was touched.
    """

    table: pa.Table
    n_exemplars: int
    n_other_files: int
    notes: tuple[str, ...]
    left: tuple[str, ...] = ()
    is_dry_run: bool = False
    n_labels: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to forget."""
        return not len(self.table) and not self.n_exemplars and not self.n_labels

    def total(self, column: str) -> int:
        """The sum of one of the table's numbers."""
        return int(pc.sum(self.table[column], min_count=0).as_py())

    def __str__(self) -> str:
        things = [
            (self.total("n_faces"), "face"),
            (self.total("n_tracks"), "track"),
            (self.total("n_chips"), "picture"),
            (self.total("n_clips"), "clip"),
            (self.n_exemplars, "enrolled photo"),
            (self.n_labels, "label"),
        ]
        what = ", ".join(counted(n, word) for n, word in things if n) or "nothing"
        verb = "would forget" if self.is_dry_run else "forgot"
        files = counted(self.total("n_files") + self.n_other_files, "file")
        lines = [
            f"{verb} {what} in {counted(len(self.table), 'video')}: "
            f"{files} rewritten or removed, {self.total('size_bytes') / 1e6:,.1f} MB"
        ]
        if not self.is_dry_run and not self.is_empty:
            lines.append(
                "  looked through every file: "
                + ("something is left" if self.left else "nothing of it is left")
            )
        lines += [f"  left: {sentence}" for sentence in self.left]
        lines += [f"  note: {sentence}" for sentence in self.notes]
        return "\n".join(lines)
