"""One pass over the footage by either side, measured from outside, and what each saw."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.bench.footage import Footage
from facelake.bench.machine import MemoryWatch
from facelake.bench.parity import Parity, Seen, compare_seen
from facelake.bench.peer import STAGES, Job, read_seen
from facelake.bench.result import FACELAKE, PEERS, Run
from facelake.errors import EngineError, VideoError
from facelake.schema import IngestSettings, unpack_embeddings

if TYPE_CHECKING:
    from facelake.catalog import Catalog
    from facelake.lake import Lake

_PEER = "from facelake.bench.peer import main; main()"


@dataclass(frozen=True)
class Plan:
    """What is the same for every run.

    Attributes
    ----------
    footage
        Videos and the frames of them to look at.
    settings
        Sampling, detector size and thresholds.
    pack
        Name or folder of a model pack.
    workers
        facelake's worker processes.
    """

    footage: Footage
    settings: IngestSettings
    pack: str | Path
    workers: int


def run_peer(plan: Plan, side: str, folder: Path) -> Run:
    """Let insightface look in a fresh process, so that memory and threads are its own.

    Raises
    ------
    EngineError
        The process fails; its last words are told.
    """
    from facelake.faces import find_pack

    pack = find_pack(plan.pack)
    job = Job(
        films=plan.footage.films,
        detector=str(pack.detector),
        embedder=str(pack.embedder),
        threads=PEERS[side],
        det_size=plan.settings.det_size,
        det_threshold=plan.settings.det_threshold,
        nms_iou=plan.settings.nms_iou,
        out=str(folder),
        asked_at=time.time(),
    )
    job.save(folder / "job.json")
    command = [sys.executable, "-W", "ignore", "-c", _PEER, str(folder / "job.json")]
    with MemoryWatch() as memory:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise EngineError(
            f"insightface must run for a comparison, but its process failed ({words[-1]}); "
            "facelake doctor says what is missing"
        )
    return _measured(side, 1, _told(folder), memory)


def run_facelake(plan: Plan, folder: Path) -> Run:
    """Let facelake look with a fresh cluster, into a fresh catalog."""
    settings = plan.settings
    sampling: dict[str, Any] = (
        {"every_frame": True}
        if settings.sample_fps is None
        else {"sample_fps": settings.sample_fps}
    )
    catalog = _catalog(folder)
    with MemoryWatch() as memory:
        report = catalog.ingest(
            *(film.path for film in plan.footage.films),
            **sampling,
            det_size=settings.det_size,
            det_threshold=settings.det_threshold,
            pack=plan.pack,
            device="cpu",  # the peer's
            workers=plan.workers,
            progress=False,
        )
    videos = catalog.videos().to_pylist()
    told = {
        "start_s": report.start_s,
        "work_s": report.work_s,
        "stage_s": {stage: sum(video[f"{stage}_s"] or 0.0 for video in videos) for stage in STAGES},
        "n_frames": sum(video["n_samples"] - video["n_undecodable"] for video in videos),
        "n_faces": report.n_faces,
    }
    return _measured(FACELAKE, plan.workers, told, memory)


def compare_last(footage: Footage, peer_folder: Path, own_folder: Path) -> Parity:
    """Whether the last runs in these folders saw the same."""

    def seen() -> Iterator[tuple[Seen, Seen]]:
        lake = _lake(own_folder)
        videos = lake.videos().to_pylist()
        names = {path: video["video_id"] for video in videos for path in video["paths"]}
        for number, film in enumerate(footage.films):
            yield read_seen(peer_folder, number), _seen_in_lake(lake, names[film.path])

    return compare_seen(seen())


def versions_of(peer_folder: Path) -> dict[str, str]:
    """Versions of the libraries that the peer's process loaded."""
    versions: dict[str, str] = _told(peer_folder)["versions"]
    return versions


def decoders_of(own_folder: Path) -> dict[str, int]:
    """What facelake decoded with → how many videos."""
    decoders: dict[str, int] = _catalog(own_folder).info()["decoders"]
    return decoders


def _measured(side: str, n_workers: int, told: dict[str, Any], memory: MemoryWatch) -> Run:
    if not told["n_frames"]:
        raise VideoError(
            "a benchmark needs frames, but not one of these videos' frames could be decoded; "
            "name other videos"
        )
    return Run(
        side=side,
        n_workers=n_workers,
        n_frames=told["n_frames"],
        n_faces=told["n_faces"],
        start_s=told["start_s"],
        work_s=told["work_s"],
        stage_s=told["stage_s"],
        largest_bytes=memory.largest_bytes,
        together_bytes=memory.together_bytes,
    )


def _told(peer_folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((peer_folder / "told.json").read_text("utf-8"))
    return told


def _seen_in_lake(lake: Lake, video_id: str) -> Seen:
    samples, faces = lake.read_video(video_id, lake.only_space())
    decoded = np.array([status == "ok" for status in samples["status"].to_pylist()], bool)
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(len(faces), 4)
    return Seen(
        samples["pts"].to_numpy()[decoded],
        faces["pts"].to_numpy(),
        boxes,
        unpack_embeddings(faces["embedding"]),
    )


def _catalog(own_folder: Path) -> Catalog:
    from facelake.catalog import open_catalog

    return open_catalog(own_folder / "catalog")


def _lake(own_folder: Path) -> Lake:
    from facelake.lake import Lake

    return Lake.open(own_folder / "catalog")
