"""Work in progress: the stretches of a video that are done but not yet published.

Staging lies beside the catalogs, never inside one: readers' globs would find it there. Names are
made of the video and the run, so that a run that was interrupted finds its own work again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from facelake.errors import CatalogError
from facelake.lake.files import read_facts, read_table, write_table


@dataclass(frozen=True)
class StagedStretch:
    """What one stretch of one video gave.

    Attributes
    ----------
    samples, faces
        Rows of the tables of these names.
    facts
        Numbers and words about the work: decoder, provider, seconds by stage …
    """

    samples: pa.Table
    faces: pa.Table
    facts: dict[str, str | int | float]


class Staging:
    """The staged stretches of one run of one video.

    Parameters
    ----------
    root
        The catalog's folder.
    video_id, run
        Whose stretches.
    """

    def __init__(self, root: Path, video_id: str, run: str) -> None:
        self.scratch = scratch_folder(root)
        self.folder = self.scratch / f"{video_id}.{run}"

    def put(self, number: int, stretch: StagedStretch) -> None:
        """Stage a stretch; its samples are written last and make it count."""
        write_table(stretch.faces, self._path("faces", number), scratch=self.scratch)
        write_table(
            stretch.samples, self._path("samples", number), scratch=self.scratch, **stretch.facts
        )

    def facts(self, number: int) -> dict[str, str | int | float] | None:
        """The facts of a staged stretch; ``None`` when it is not staged, or not whole."""
        path = self._path("samples", number)
        if not path.is_file() or not self._path("faces", number).is_file():
            return None
        try:
            return read_facts(path)
        except (pa.ArrowException, OSError, ValueError):
            return None

    def read(self, n_stretches: int, *, missing_ok: bool = False) -> Iterator[StagedStretch]:
        """All stretches, in order.

        Raises
        ------
        CatalogError
            One is missing, unless that is known.
        """
        for number in range(n_stretches):
            facts = self.facts(number)
            if facts is None and missing_ok:
                continue
            if facts is None:
                raise CatalogError(
                    f"{self.folder}: stretch {number} must be staged before the video is "
                    "published, but is not; run the same ingest again"
                )
            yield StagedStretch(
                read_table(self._path("samples", number)),
                read_table(self._path("faces", number)),
                facts,
            )

    def clear(self) -> None:
        """Remove everything staged for this run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # Attempts -----------------------------------------------------------------------------------

    def begin(self, number: int, session: str) -> int:
        """Note that a worker starts on a stretch; gives how many started before in this session.

        A worker that crashes, hangs or is killed cannot say so: what it began and nobody ended
        is how the next one knows.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._attempts(number)
        try:
            told = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            told = {}
        before = int(told.get("begun", 0)) if told.get("session") == session else 0
        path.write_text(json.dumps({"session": session, "begun": before + 1}), "utf-8")
        return before

    def end(self, number: int) -> None:
        """Note that the stretch ended, well or with an error it could report."""
        self._attempts(number).unlink(missing_ok=True)

    def _attempts(self, number: int) -> Path:
        return self.folder / f"attempts-{number:06d}.json"

    def _path(self, table: str, number: int) -> Path:
        return self.folder / f"{table}-{number:06d}.parquet"


def scratch_folder(root: Path) -> Path:
    """Where a catalog's unfinished files lie: ``catalogs/.staging/NAME``.

    Files are moved from there into place, which only one file system can do in one step: links are
    followed, and a catalog that is a mounted disk of its own keeps the folder inside.
    """
    root = root.resolve()
    if root.is_mount():
        return root / ".staging"
    return root.parent / ".staging" / root.name
