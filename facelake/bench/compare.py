"""Both ways over the same frames, in turns, on one machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import facelake
from facelake.bench.footage import plan_footage
from facelake.bench.machine import name_cpu
from facelake.bench.result import FACELAKE, PEERS, BenchResult, Run, faster_peer
from facelake.bench.sides import (
    Plan,
    compare_last,
    decoders_of,
    run_facelake,
    run_peer,
    versions_of,
)
from facelake.cluster import count_cores
from facelake.errors import EngineError
from facelake.schema import IngestSettings


def compare_speed(
    sources: Iterable[str | Path],
    *,
    sample_fps: float | None = None,
    runs: int = 3,
    workers: int | None = None,
    det_size: int = 640,
    pack: str | Path = "buffalo_sc",
    progress: bool = True,
) -> BenchResult:
    """How fast facelake and insightface's own classes look at the same frames of some videos.

    In turns, so that a machine that grows slower does so for all: insightface in one process with
    onnxruntime's default threads, the same with one thread, and facelake with a fresh cluster and
    a fresh catalog. All run on the CPU with the same model files, input size and thresholds. The
    faster of insightface's two is the peer that facelake is compared with.

    Parameters
    ----------
    sources
        Files, folders and globs.
    sample_fps
        Frames looked at a second, those that facelake's sampling takes; ``None`` is every frame.
    runs
        How often each runs.
    workers
        facelake's worker processes; ``None`` is one per core.
    det_size
        Side of the detector's square input in pixels, a multiple of 32.
    pack
        Name or folder of a model pack.
    progress
        Write a line to stderr for each run.

    Raises
    ------
    EngineError
        insightface or onnxruntime is not installed, or does not work.
    SourceError, PackError
        There is no video to look at, or no such pack.
    VideoError
        Not one frame of the videos can be decoded.
    """
    for name, count in (("runs", runs), ("workers", workers)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, but is {count}")
    settings = IngestSettings(sample_fps=sample_fps, det_size=det_size)
    _refuse_missing()
    named = tuple(str(source) for source in sources)
    footage = plan_footage(named, sample_fps)
    plan = Plan(footage, settings, pack, workers or count_cores())
    with tempfile.TemporaryDirectory(prefix="facelake-bench-") as folder:
        done = []
        for number, run in enumerate(_iter_runs(plan, Path(folder), runs)):
            done.append(run)
            if progress:
                sys.stderr.write(f"run {number // len(_SIDES) + 1}/{runs}  {_say(run)}\n")
        peer_folder, own_folder = Path(folder, faster_peer(done)), Path(folder, FACELAKE)
        parity = compare_last(footage, peer_folder, own_folder)
        versions = {"facelake": facelake.__version__} | versions_of(peer_folder)
        decoders = decoders_of(own_folder)
    return BenchResult(
        sources=named,
        left_out=footage.left_out,
        n_videos=len(footage.films),
        n_frames=footage.n_frames,
        duration_s=footage.duration_s,
        sample_fps=sample_fps,
        det_size=det_size,
        pack=str(pack),
        cpu=name_cpu(),
        n_cores=count_cores(),
        versions=versions,
        decoders=decoders,
        runs=tuple(done),
        parity=parity,
    )


_SIDES = (*PEERS, FACELAKE)


def _iter_runs(plan: Plan, folder: Path, runs: int) -> Iterator[Run]:
    """Each side in turn, again and again; what it saw last stays in its folder."""
    for _ in range(runs):
        for side in _SIDES:
            own = folder / side
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir()
            yield run_facelake(plan, own) if side == FACELAKE else run_peer(plan, side, own)


def _refuse_missing() -> None:
    for module in ("insightface", "onnxruntime"):
        if find_spec(module) is None:
            raise EngineError(
                f"the benchmark compares with insightface's own classes and needs {module}, which "
                "is not installed; pip install 'facelake[cpu]'"
            )


def _say(run: Run) -> str:
    return (
        f"{run.label}: {run.frames_per_s:.1f} frames/s ({run.n_frames:,} frames, "
        f"{run.n_faces:,} faces in {run.work_s:.1f} s, start-up {run.start_s:.1f} s)"
    )
