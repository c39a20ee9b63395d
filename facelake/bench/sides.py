"""One pass over the footage by one side, measured from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facelake.bench.floor import Calls, FloorJob, gather_calls, share_out
from facelake.bench.footage import Footage
from facelake.bench.machine import MemoryWatch
from facelake.bench.own import OwnJob
from facelake.bench.peer import STAGES, Job
from facelake.bench.process import run_python, run_together
from facelake.bench.result import (
    FACELAKE,
    FACELAKE_DEFAULT,
    FLOOR,
    PEERS,
    SAMPLED_PEER,
    Run,
    faster_peer,
)
from facelake.errors import VideoError
from facelake.schema import IngestSettings
from facelake.words import counted

_PEER = "from facelake.bench.peer import main; main()"
_OWN = "from facelake.bench.own import main; main()"
_FLOOR = "from facelake.bench.floor import main; main()"
_PEER_LABELS = {0: "insightface, default threads", 1: "insightface, one thread"}


@dataclass(frozen=True)
class Sampled:
    """The frames that default settings start from.

    Attributes
    ----------
    footage
        Videos, with the frames of the sampling grid.
    settings
        facelake's.
    """

    footage: Footage
    settings: IngestSettings


@dataclass(frozen=True)
class Plan:
    """What is the same for every turn.

    Attributes
    ----------
    footage
        Videos and the frames of them that insightface and facelake look at alike.
    settings
        facelake's, with which it looks at these frames and embeds every face.
    pack
        Name or folder of a model pack.
    workers
        facelake's worker processes.
    default
        facelake as it comes; ``None`` leaves that out.
    """

    footage: Footage
    settings: IngestSettings
    pack: str | Path
    workers: int
    default: Sampled | None = None

    @property
    def sides(self) -> tuple[str, ...]:
        """Who runs in each turn, in this order."""
        same = (*PEERS, FACELAKE, FLOOR)
        return (*same, SAMPLED_PEER, FACELAKE_DEFAULT) if self.default else same


def run_side(plan: Plan, side: str, folder: Path, done: Sequence[Run]) -> Run:
    """Let one side look.

    Parameters
    ----------
    folder
        Of all sides; each has a folder of its own in it, empty before.
    done
        The runs so far.
    """
    own = folder / side
    if side in PEERS:
        return run_peer(plan, plan.footage, side, PEERS[side], own)
    if side == FACELAKE:
        return run_facelake(plan, plan.footage, side, plan.settings, own)
    if side == FLOOR:
        return run_floor(plan, catalog_of(folder, FACELAKE), own)
    assert plan.default is not None
    if side == SAMPLED_PEER:
        threads = PEERS[faster_peer(done[: len(PEERS)])]  # of the first turn, so that it stays
        return run_peer(plan, plan.default.footage, side, threads, own)
    return run_facelake(plan, plan.default.footage, side, plan.default.settings, own)


def run_peer(plan: Plan, footage: Footage, side: str, threads: int, folder: Path) -> Run:
    """Let insightface look at the footage's frames.

    Raises
    ------
    EngineError
        Its process fails; its last words are told.
    """
    from facelake.faces import find_pack

    pack = find_pack(plan.pack)
    job = Job(
        films=footage.films,
        detector=str(pack.detector),
        embedder=str(pack.embedder),
        threads=threads,
        det_size=plan.settings.det_size,
        det_threshold=plan.settings.det_threshold,
        nms_iou=plan.settings.nms_iou,
        out=str(folder),
        asked_at=time.time(),
    )
    job.save(folder / "job.json")
    with MemoryWatch() as memory:
        run_python(_PEER, folder / "job.json", who="insightface")
    told = read_told(folder) | {"label": _PEER_LABELS[threads], "n_workers": 1}
    return _measured(side, footage, told, memory)


def run_facelake(
    plan: Plan, footage: Footage, side: str, settings: IngestSettings, folder: Path
) -> Run:
    """Let facelake look, into a fresh catalog.

    Raises
    ------
    EngineError
        Its process fails; its last words are told.
    """
    job = OwnJob(
        sources=tuple(film.path for film in footage.films),
        catalog=str(folder / "catalog"),
        options=_options(settings)
        # On the CPU, as the peer.
        | {"pack": str(plan.pack), "device": "cpu", "workers": plan.workers},
        out=str(folder / "told.json"),
        asked_at=time.time(),
    )
    job.save(folder / "job.json")
    with MemoryWatch() as memory:
        run_python(_OWN, folder / "job.json", who="facelake")
    videos = _videos(folder / "catalog")
    own = read_told(folder)
    stage_s = {stage: sum(video[f"{stage}_s"] or 0.0 for video in videos) for stage in STAGES}
    told = own | {
        "label": f"facelake, {counted(plan.workers, 'worker')}",
        "n_workers": plan.workers,
        # A video's row cannot tell what it took to write itself.
        "stage_s": stage_s | {"write": own["lake_s"]},
        "n_frames": sum(video["n_samples"] - video["n_undecodable"] for video in videos),
        "n_faces": sum(video["n_faces"] for video in videos),
    }
    return _measured(side, footage, told, memory)


def run_floor(plan: Plan, catalog: Path, folder: Path) -> Run:
    """Let onnxruntime alone do the calls that filled a catalog, on as many cores.

    Raises
    ------
    EngineError
        One of the processes fails; its last words are told.
    """
    gathered = gather_calls(
        Calls(video["height"], video["width"], _n_decoded(video), video["n_faces"])
        for video in _videos(catalog)
        if _n_decoded(video)
    )
    jobs = []
    for number, calls in enumerate(share_out(gathered, plan.workers)):
        out = folder / f"told-{number}.json"
        job = FloorJob(calls, asdict(plan.settings), str(plan.pack), str(out), time.time())
        jobs.append(folder / f"job-{number}.json")
        job.save(jobs[-1])
    with MemoryWatch() as memory:
        run_together(_FLOOR, jobs, who="onnxruntime alone")
    answers = [json.loads((folder / f"told-{n}.json").read_text("utf-8")) for n in range(len(jobs))]
    told = {
        "label": f"onnxruntime alone, {len(jobs)} × one thread",
        "n_workers": len(jobs),
        "start_s": max(one["start_s"] for one in answers),
        "work_s": max(one["work_s"] for one in answers),
        "n_frames": sum(calls.n_frames for calls in gathered),
        "n_faces": sum(calls.n_faces for calls in gathered),
    }
    return _measured(FLOOR, plan.footage, told, memory)


def catalog_of(folder: Path, side: str) -> Path:
    """The catalog that one of facelake's sides filled last."""
    return folder / side / "catalog"


def read_told(folder: Path) -> dict[str, Any]:
    """What a side's process said of itself."""
    told: dict[str, Any] = json.loads((folder / "told.json").read_text("utf-8"))
    return told


def _options(settings: IngestSettings) -> dict[str, Any]:
    """The options of `Catalog.ingest` that give these settings."""
    options = asdict(settings)
    del options["nms_iou"]  # every ingest's, and no option
    sample_fps = options.pop("sample_fps")
    return options | ({"every_frame": True} if sample_fps is None else {"sample_fps": sample_fps})


def _videos(catalog: Path) -> list[dict[str, Any]]:
    from facelake.lake import Lake

    videos: list[dict[str, Any]] = Lake.open(catalog).videos().to_pylist()
    return videos


def _n_decoded(video: dict[str, Any]) -> int:
    return int(video["n_samples"] - video["n_undecodable"])


def _measured(side: str, footage: Footage, told: dict[str, Any], memory: MemoryWatch) -> Run:
    if not told["n_frames"]:
        raise VideoError(
            "a benchmark needs frames, but not one of these videos' frames could be decoded; "
            "name other videos"
        )
    return Run(
        side=side,
        label=told["label"],
        sample_fps=footage.sample_fps,
        n_workers=told["n_workers"],
        n_source_frames=footage.n_source_frames,
        n_frames=told["n_frames"],
        n_faces=told["n_faces"],
        start_s=told["start_s"],
        work_s=told["work_s"],
        first_row_s=told.get("first_row_s"),
        stage_s=told.get("stage_s", {}),
        largest_bytes=memory.largest_bytes,
        together_bytes=memory.together_bytes,
    )
