"""The floor: what onnxruntime alone takes for the same calls, on all cores.

No decoding, no choice of faces, no tables: the two models of the pack on prepared inputs of the
real shapes. Nothing that runs these graphs on this runtime can be faster.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facelake.bench.process import wait_for_start
from facelake.schema import IngestSettings

_WARM = 8
"""Calls before the clock runs: the first ones of a shape ask for memory."""


@dataclass(frozen=True)
class Calls:
    """What frames of one size ask of the models.

    Attributes
    ----------
    height, width
        Of the upright frames, in pixels.
    n_frames, n_faces
        Frames for the detector and faces for the embedder.
    """

    height: int
    width: int
    n_frames: int
    n_faces: int


@dataclass(frozen=True)
class FloorJob:
    """What one process is to run.

    Attributes
    ----------
    calls
        Its part of all.
    settings
        Of `facelake.schema.IngestSettings`, by name.
    pack
        Name or folder of a model pack.
    out
        Where to write, as JSON, what it came to.
    asked_at
        When the process was asked for, as `time.time` says it.
    """

    calls: tuple[Calls, ...]
    settings: dict[str, Any]
    pack: str
    out: str
    asked_at: float

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, path: Path) -> FloorJob:
        """What `save` wrote."""
        told = json.loads(path.read_text("utf-8"))
        return cls(**told | {"calls": tuple(Calls(**calls) for calls in told["calls"])})


def gather_calls(videos: Iterable[Calls]) -> list[Calls]:
    """The calls of all videos, those of one size together: only they fill batches together.

    Faces are of one size everywhere, and all go with the first.
    """
    n_frames: Counter[tuple[int, int]] = Counter()
    n_faces = 0
    for calls in videos:
        n_frames[calls.height, calls.width] += calls.n_frames
        n_faces += calls.n_faces
    return [
        Calls(height, width, count, 0 if number else n_faces)
        for number, ((height, width), count) in enumerate(n_frames.items())
    ]


def share_out(gathered: Sequence[Calls], n_processes: int) -> list[tuple[Calls, ...]]:
    """Each process's part: of every size as good as the same number of frames and faces.

    Examples
    --------
    >>> parts = share_out([Calls(720, 1280, n_frames=5, n_faces=2)], 2)
    >>> [(calls.n_frames, calls.n_faces) for (calls,) in parts]
    [(3, 1), (2, 1)]
    """

    def part(count: int, process: int, number: int) -> int:
        # What is left over goes to another process with each size.
        return count // n_processes + ((process + number) % n_processes < count % n_processes)

    return [
        tuple(
            Calls(
                calls.height,
                calls.width,
                part(calls.n_frames, process, number),
                part(calls.n_faces, process, number),
            )
            for number, calls in enumerate(gathered)
        )
        for process in range(n_processes)
    ]


def main() -> None:
    """Do the job whose file the command line names."""
    from facelake.faces import FaceEngine, find_pack

    job = FloorJob.load(Path(sys.argv[1]))
    engine = FaceEngine(
        find_pack(job.pack), IngestSettings(**job.settings), device="cpu", threads=1
    )
    for calls in job.calls:
        engine.bare_run(
            calls.height, calls.width, min(_WARM, calls.n_frames), min(_WARM, calls.n_faces)
        )
    start_s = time.time() - job.asked_at
    wait_for_start()
    seconds = [
        engine.bare_run(calls.height, calls.width, calls.n_frames, calls.n_faces)
        for calls in job.calls
    ]
    Path(job.out).write_text(json.dumps({"start_s": start_s, "work_s": sum(seconds)}), "utf-8")
