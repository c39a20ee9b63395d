"""facelake in a process of its own, as somebody who types ``facelake ingest`` has it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OwnJob:
    """What facelake is to do.

    Attributes
    ----------
    sources
        Videos.
    catalog
        Folder of the catalog, not there yet.
    options
        Of `facelake.Catalog.ingest`.
    out
        Where to write, as JSON, what it came to.
    asked_at
        When the process was asked for, as `time.time` says it.
    """

    sources: tuple[str, ...]
    catalog: str
    options: dict[str, Any]
    out: str
    asked_at: float

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, path: Path) -> OwnJob:
        """What `save` wrote."""
        told = json.loads(path.read_text("utf-8"))
        return cls(**told | {"sources": tuple(told["sources"])})


def main() -> None:
    """Do the job whose file the command line names."""
    from facelake.catalog import open_catalog

    job = OwnJob.load(Path(sys.argv[1]))
    called_s = time.time() - job.asked_at
    report = open_catalog(job.catalog).ingest(*job.sources, progress=False, **job.options)
    told = {
        "start_s": called_s + report.start_s,
        "first_row_s": report.first_row_s,
        "work_s": report.work_s,
        "lake_s": report.lake_s,
    }
    Path(job.out).write_text(json.dumps(told), "utf-8")
