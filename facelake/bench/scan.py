"""Who is in ten million faces: facelake from a cold process, and others over the same vectors.

FAISS and NumPy get the vectors in memory, ready, and only their search is timed; DuckDB reads the
set that `facelake export` writes. All are asked for the faces that score the threshold or more with
one of the probes, and how many they find is compared.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from facelake.bench.machine import name_cpu
from facelake.bench.planted import DIM, Planted, plant_catalog, plant_records
from facelake.bench.process import run_python
from facelake.bench.result import Spread
from facelake.cluster import count_cores

FACELAKE, NUMPY, FAISS, DUCKDB = "facelake", "numpy", "faiss flat", "duckdb"
_MOST_RESIDENT = 1_000_000  # faces: 2 GB of float32
_FLOAT16_BYTES = 2 * DIM


@dataclass(frozen=True)
class ScanRun:
    """One search of one side.

    Attributes
    ----------
    side
        One of the names above.
    n_faces
        Searched.
    seconds
        Of the search alone.
    process_s
        Of the whole process, from its start to its end.
    bytes_read
        By the search, from files; 0 where the vectors were in memory.
    peak_bytes
        Resident memory of the process.
    n_found
        Faces that scored enough.
    """

    side: str
    n_faces: int
    seconds: float
    process_s: float
    bytes_read: int
    peak_bytes: int
    n_found: int


@dataclass(frozen=True)
class ScanResult:
    """All searches, and what it costs to open a catalog of many videos.

    Attributes
    ----------
    threshold, n_probes
        What was asked.
    n_videos, open_cold_s, open_s
        Videos of the catalog that was opened, and the seconds until its videos were known: by the
        first process that opens it, and by the next.
    left_out
        Side → why it was not run.
    """

    threshold: float
    n_probes: int
    runs: tuple[ScanRun, ...]
    n_videos: int
    open_cold_s: float
    open_s: float
    left_out: dict[str, str] = field(default_factory=dict)

    def of(self, side: str, n_faces: int) -> list[ScanRun]:
        """The runs of a side over a catalog of that size."""
        return [run for run in self.runs if (run.side, run.n_faces) == (side, n_faces)]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {
            "threshold": self.threshold,
            "n_probes": self.n_probes,
            "cpu": name_cpu(),
            "n_cores": count_cores(),
            "runs": [vars(run) for run in self.runs],
            "open": {
                "n_videos": self.n_videos,
                "first_s": self.open_cold_s,
                "next_s": self.open_s,
            },
            "left_out": self.left_out,
        }

    def __str__(self) -> str:
        return "\n".join(_report(self))


def compare_scans(
    folder: Path,
    *,
    sizes: Sequence[int] = (1_000_000, 10_000_000),
    n_videos: int = 10_000,
    threshold: float = 0.30,
    runs: int = 3,
    say: Callable[[str], None] = lambda _: None,
) -> ScanResult:
    """Plant catalogs of these many faces, and have every side search them.

    Parameters
    ----------
    folder
        Where the catalogs are planted; those that lie there already are taken. 1.4 kB a face.
    n_videos
        Of the catalog that is only opened.
    say
        Called with what is being done.
    """
    found: list[ScanRun] = []
    left_out = {
        side: f"{module} is not installed"
        for side, module in ((FAISS, "faiss"), (DUCKDB, "duckdb"))
        if find_spec(module) is None
    }
    for n_faces in sorted(sizes):
        say(f"planting {n_faces:,} faces")
        planted = plant_catalog(folder / f"faces-{n_faces}", n_faces=n_faces)
        sides = [FACELAKE]
        if n_faces <= _MOST_RESIDENT:
            sides += [side for side in (NUMPY, FAISS, DUCKDB) if side not in left_out]
        for number in range(runs):
            for side in sides:
                say(f"{n_faces:,} faces, run {number + 1} of {runs}: {side}")
                found.append(_search(side, planted, threshold))
    say(f"planting {n_videos:,} videos")
    records = folder / f"videos-{n_videos}"
    plant_records(records, n_videos=n_videos)
    first, following = _open_times(records)
    return ScanResult(threshold, 16, tuple(found), n_videos, first, following, left_out)


def _search(side: str, planted: Planted, threshold: float) -> ScanRun:
    """One side's search in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "job.json"
        np.save(job.with_suffix(".npy"), planted.probes)
        told = {"root": str(planted.root), "threshold": threshold, "side": side}
        job.write_text(json.dumps(told), "utf-8")
        start = time.perf_counter()
        run_python(
            "import sys; from facelake.bench.searches import search; search(sys.argv[1])",
            job,
            who=side,
        )
        process_s = time.perf_counter() - start
        answer = json.loads(job.read_text("utf-8"))
    return ScanRun(
        side,
        planted.n_faces,
        answer["seconds"],
        process_s,
        answer["bytes_read"],
        answer["peak_bytes"],
        answer["n_found"],
    )


def _open_times(root: Path) -> tuple[float, float]:
    """Seconds until a fresh process knows a catalog's videos: without and with its cache."""
    cache = root.resolve().parent / ".staging" / root.name / "runs.parquet"
    cache.unlink(missing_ok=True)
    times = []
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(2):
            job = Path(scratch) / "job.json"
            job.write_text(json.dumps({"root": str(root), "side": "open"}), "utf-8")
            run_python(
                "import sys; from facelake.bench.searches import search; search(sys.argv[1])",
                job,
                who=FACELAKE,
            )
            times.append(json.loads(job.read_text("utf-8"))["seconds"])
    return times[0], times[1]


def _report(result: ScanResult) -> list[str]:
    lines = [
        f"{result.n_probes} probes at {result.threshold:g}, {count_cores()} cores of {name_cpu()}; "
        f"Python {sys.version.split()[0]}",
        "",
        f"{'faces':>12s}  {'side':12s}  {'search s':22s}  {'process s':>9s}  {'read MB':>9s}  "
        f"{'of f16':>6s}  {'peak MB':>8s}  {'found':>9s}",
    ]
    sizes = sorted({run.n_faces for run in result.runs})
    for n_faces in sizes:
        for side in (FACELAKE, NUMPY, FAISS, DUCKDB):
            runs = result.of(side, n_faces)
            if runs:
                lines.append(_row(runs))
    lines.append("")
    small, large = sizes[0], sizes[-1]
    own = _median(result.of(FACELAKE, small))
    for side in (NUMPY, FAISS, DUCKDB):
        runs = result.of(side, small)
        if runs:
            lines.append(f"facelake against {side}: {_median(runs) / own:.1f} × as fast")
    if large > small:
        growth = _median(result.of(FACELAKE, large)) / own
        lines.append(f"{large / small:g} × the faces take {growth:.1f} × the time")
    lines.append(
        f"{result.n_videos:,} videos are known after {result.open_cold_s:.2f} s by the first "
        f"process, {result.open_s:.2f} s by the next"
    )
    lines += [f"{side}: left out, {why}" for side, why in result.left_out.items()]
    return lines


def _row(runs: Sequence[ScanRun]) -> str:
    one = runs[-1]
    share = one.bytes_read / (one.n_faces * _FLOAT16_BYTES)
    return (
        f"{one.n_faces:12,d}  {one.side:12s}  {Spread.of(r.seconds for r in runs).say(2):22s}  "
        f"{Spread.of(r.process_s for r in runs).median:9.2f}  {one.bytes_read / 1e6:9,.0f}  "
        f"{share:6.0%}  {max(r.peak_bytes for r in runs) / 1e6:8,.0f}  {one.n_found:9,d}"
    )


def _median(runs: Sequence[ScanRun]) -> float:
    return Spread.of(run.seconds for run in runs).median
