"""Clips that were cut of forgotten people: what ``clips.csv`` beside them lists."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from facelake.atomic import replacing
from facelake.errors import ExportError
from facelake.schema import CLIPS

CLIP_TABLE = "clips.csv"

Row = dict[str, str]


@dataclass(frozen=True)
class Clip:
    """A line of a ``clips.csv`` and the file that it names.

    Attributes
    ----------
    table
        The ``clips.csv``.
    name
        The file's, within the folder of the table.
    """

    table: Path
    name: str
    video_id: str

    @property
    def file(self) -> Path:
        """Where the clip lies."""
        return self.table.parent / self.name


def find_clips(folders: Iterable[str | Path], wanted: Callable[[Row], bool]) -> list[Clip]:
    """The clips in folders and below that are of somebody or something.

    Parameters
    ----------
    wanted
        Whether a row of `schema.CLIPS`, its values as text, is meant.

    Raises
    ------
    ExportError
        There is no such folder, or a ``clips.csv`` in it is none, or names files elsewhere.
    """
    found = []
    for folder in folders:
        if not Path(folder).is_dir():
            raise ExportError(f"{folder}: there is no such folder to look for clips in")
        for table in sorted(Path(folder).rglob(CLIP_TABLE)):
            found += [
                Clip(table, row["clip"], row["video_id"]) for row in _rows(table) if wanted(row)
            ]
    return found


def remove_clips(clips: Iterable[Clip]) -> None:
    """Remove clips, and the lines that name them."""
    for table, of_table in groupby(clips, key=lambda clip: clip.table):
        names = {clip.name for clip in of_table}
        rows = _rows(table)
        for name in names:
            (table.parent / name).unlink(missing_ok=True)
        with replacing(table) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(row for row in rows if row["clip"] not in names)


def _rows(table: Path) -> list[Row]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise ExportError(f"{table}: must be a list of clips, but cannot be read ({error})") from (
            error
        )
    for row in rows:
        lost = set(CLIPS.names) - {name for name, value in row.items() if value is not None}
        if lost:
            raise ExportError(
                f"{table}: a list of clips must have the columns {', '.join(CLIPS.names)}, but "
                f"lacks {', '.join(sorted(lost))}; remove it, or name another folder"
            )
        if (table.parent / row["clip"]).resolve().parent != table.parent.resolve():
            raise ExportError(
                f"{table}: must name clips of its own folder, but names {row['clip']!r}; nothing "
                "outside is removed"
            )
    return rows
