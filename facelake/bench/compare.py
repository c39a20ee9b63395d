"""All sides over the same footage, in turns, on one machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import facelake
from facelake.bench.ask import Question, compare_answers, prepare_question
from facelake.bench.footage import plan_footage
from facelake.bench.looks import compare_last, count_looks
from facelake.bench.machine import name_cpu
from facelake.bench.result import (
    FACELAKE,
    FACELAKE_DEFAULT,
    BenchResult,
    Run,
    faster_peer,
    say_rate,
)
from facelake.bench.sides import Plan, Sampled, catalog_of, read_told, run_side
from facelake.cluster import count_cores
from facelake.errors import EngineError
from facelake.schema import IngestSettings


def compare_speed(
    sources: Iterable[str | Path],
    *,
    sample_fps: float | None = None,
    every_frame: bool = False,
    runs: int = 3,
    workers: int | None = None,
    det_size: int = 640,
    pack: str | Path = "buffalo_sc",
    gallery: str | Path | None = None,
    threshold: float = 0.30,
    truth: str | Path | None = None,
    progress: bool = True,
) -> BenchResult:
    """How fast facelake and insightface's own classes get over some videos, and what is lost.

    In turns, so that a machine that grows slower does so for all: insightface over every frame in
    one process with onnxruntime's default threads, the same with one thread, facelake over every
    frame with every face embedded, onnxruntime alone for the same calls, the faster insightface at
    the rate of facelake's default settings, and these. Every side has fresh processes and facelake
    a fresh catalog; all run on the CPU with the same model files, input size and thresholds.

    Parameters
    ----------
    sources
        Files, folders and globs.
    sample_fps
        Compare at this rate alone, in frames looked at a second.
    every_frame
        Compare over every frame alone.
    runs
        How often each runs.
    workers
        facelake's worker processes; ``None`` is one per core.
    det_size
        Side of the detector's square input in pixels, a multiple of 32.
    pack
        Name or folder of a model pack.
    gallery
        Reference photos, as for `facelake.Catalog.enrol`: compare the spans of facelake's default
        settings with those of every frame.
    threshold
        Lowest score that starts a span, in [−1, 1].
    truth
        CSV table of who is to be seen when, with the columns video, label, start_s, end_s and, if
        wanted, visibility: compare both with it, too.
    progress
        Write a line to stderr for each run.

    Raises
    ------
    EngineError
        insightface or onnxruntime is not installed, or does not work.
    SourceError, PackError, GalleryError
        There is no video to look at, no such pack, or no usable photo.
    VideoError
        Not one frame of the videos can be decoded.
    ValueError, OSError
        An argument is wrong, or the truth cannot be read.
    """
    _refuse_wrong(sample_fps, every_frame, gallery, truth, runs=runs, workers=workers)
    one_rate = every_frame or sample_fps is not None
    default = IngestSettings(det_size=det_size)
    settings = replace(default, sample_fps=sample_fps, embed="all", refine=False)
    _refuse_missing()
    named = tuple(str(source) for source in sources)
    footage = plan_footage(named, sample_fps)
    sampled = None if one_rate else Sampled(plan_footage(named, default.sample_fps), default)
    plan = Plan(footage, settings, pack, workers or count_cores(), sampled)
    with tempfile.TemporaryDirectory(prefix="facelake-bench-") as scratch:
        folder = Path(scratch)
        question = None
        if gallery is not None:
            question = prepare_question(
                folder / "gallery", gallery, footage, pack=pack, threshold=threshold, truth=truth
            )
        done = []
        for number, run in enumerate(_iter_runs(plan, folder, runs)):
            done.append(run)
            if progress:
                sys.stderr.write(f"run {number // len(plan.sides) + 1}/{runs}  {_say(run)}\n")
        return _result(plan, folder, done, named, question)


def _iter_runs(plan: Plan, folder: Path, runs: int) -> Iterator[Run]:
    """Each side in turn, again and again; what it saw last stays in its folder."""
    done: list[Run] = []
    for _ in range(runs):
        for side in plan.sides:
            shutil.rmtree(folder / side, ignore_errors=True)
            (folder / side).mkdir()
            done.append(run_side(plan, side, folder, done))
            yield done[-1]


def _result(
    plan: Plan, folder: Path, runs: list[Run], named: tuple[str, ...], question: Question | None
) -> BenchResult:
    from facelake.catalog import open_catalog
    from facelake.lake import Lake

    footage, settings = plan.footage, plan.settings
    dense, default = (catalog_of(folder, side) for side in (FACELAKE, FACELAKE_DEFAULT))
    peer_folder = folder / faster_peer(runs)
    return BenchResult(
        sources=named,
        left_out=footage.left_out,
        n_videos=len(footage.films),
        n_source_frames=footage.n_source_frames,
        duration_s=footage.duration_s,
        det_size=settings.det_size,
        pack=str(plan.pack),
        cpu=name_cpu(),
        n_cores=count_cores(),
        versions={"facelake": facelake.__version__} | read_told(peer_folder)["versions"],
        decoders=open_catalog(dense).info()["decoders"],
        runs=tuple(runs),
        parity=compare_last(footage, peer_folder, Lake.open(dense)),
        looks=count_looks(Lake.open(default)) if plan.default else None,
        spans=compare_answers(question, default, dense, footage) if question else None,
    )


def _refuse_wrong(
    sample_fps: float | None,
    every_frame: bool,
    gallery: str | Path | None,
    truth: str | Path | None,
    *,
    runs: int,
    workers: int | None,
) -> None:
    for name, count in (("runs", runs), ("workers", workers)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, but is {count}")
    if every_frame and sample_fps is not None:
        raise ValueError(f"give sample_fps ({sample_fps:g}) or every_frame, not both")
    if gallery is not None and (every_frame or sample_fps is not None):
        raise ValueError(
            "a gallery compares the spans of facelake's default settings with those of every "
            "frame, so that both must run; leave out sample_fps and every_frame"
        )
    if truth is not None and gallery is None:
        raise ValueError("a truth names people, so that it needs a gallery of them, too")


def _refuse_missing() -> None:
    for module in ("insightface", "onnxruntime"):
        if find_spec(module) is None:
            raise EngineError(
                f"the benchmark compares with insightface's own classes and needs {module}, which "
                "is not installed; pip install 'facelake[cpu]'"
            )


def _say(run: Run) -> str:
    return (
        f"{run.label}, {say_rate(run.sample_fps)}: {run.frames_per_s:.1f} frames/s "
        f"({run.n_frames:,} frames, {run.n_faces:,} faces in {run.work_s:.1f} s, "
        f"start-up {run.start_s:.1f} s)"
    )
