"""What a benchmark came to: its runs, their medians and ratios, and how people read them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from facelake.bench.parity import MIN_IOU, Parity
from facelake.bench.peer import STAGES

FACELAKE = "facelake"
PEERS = {"insightface_default_threads": 0, "insightface_one_thread": 1}
"""The peer's two ways to run → threads of each onnxruntime session; 0 is its own choice."""
_LABELS = {
    "insightface_default_threads": "insightface, default threads",
    "insightface_one_thread": "insightface, one thread",
}


@dataclass(frozen=True)
class Run:
    """One pass of one side over all the footage.

    Attributes
    ----------
    side
        `FACELAKE` or one of `PEERS`.
    n_workers
        Processes that looked at frames.
    n_frames, n_faces
        Looked at and found.
    start_s, work_s
        Seconds of wall time until the models were ready, and from then on.
    stage_s
        Stage → seconds, summed over the workers.
    largest_bytes, together_bytes
        Peak resident memory of the largest process, and of all of them at one instant.
    """

    side: str
    n_workers: int
    n_frames: int
    n_faces: int
    start_s: float
    work_s: float
    stage_s: dict[str, float]
    largest_bytes: int
    together_bytes: int

    @property
    def label(self) -> str:
        """The side as people call it."""
        return _LABELS.get(self.side) or f"facelake, {_count(self.n_workers, 'worker')}"

    @property
    def frames_per_s(self) -> float:
        """Frames looked at in a second of wall time, start-up left out."""
        return self.n_frames / self.work_s

    @property
    def other_s(self) -> float:
        """Worker seconds of no stage: indexing, linking, passing work on, waiting."""
        return max(0.0, self.n_workers * self.work_s - sum(self.stage_s.values()))


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of some numbers."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one number."""
        values = sorted(values)
        return cls(statistics.median(values), values[0], values[-1])

    def say(self, digits: int) -> str:
        """``median (lowest–highest)``; the number alone where they are one."""
        if self.lowest == self.highest:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}–{self.highest:.{digits}f})"


@dataclass(frozen=True)
class BenchResult:
    """How fast both sides were, on what, and whether they saw the same.

    Attributes
    ----------
    sources
        As they were named.
    left_out
        Path → why neither side looked at it.
    n_videos, n_frames, duration_s
        The footage: videos, frames to look at, seconds.
    sample_fps
        Frames looked at a second; ``None`` is every frame.
    det_size, pack
        Side of the detector's input in pixels, and the models.
    cpu, n_cores
        The processor and the cores that may be used.
    versions
        Library → version.
    decoders
        What facelake decoded with → how many videos.
    runs
        In the order in which they ran, each side as often as the others.
    parity
        Of the last run of the peer and of facelake.
    """

    sources: tuple[str, ...]
    left_out: dict[str, str]
    n_videos: int
    n_frames: int
    duration_s: float
    sample_fps: float | None
    det_size: int
    pack: str
    cpu: str
    n_cores: int
    versions: dict[str, str]
    decoders: dict[str, int]
    runs: tuple[Run, ...]
    parity: Parity

    @property
    def peer(self) -> str:
        """The way to run insightface that gave more frames a second, by its median."""
        return faster_peer(self.runs)

    @property
    def ratio(self) -> Spread:
        """Frames a second of facelake over the peer's, run by run."""
        pairs = zip(self.of(FACELAKE), self.of(self.peer), strict=True)
        return Spread.of(ours.frames_per_s / peers.frames_per_s for ours, peers in pairs)

    def of(self, side: str) -> list[Run]:
        """The runs of a side, in order."""
        return _of(self.runs, side)

    def frames_per_s(self, side: str) -> Spread:
        """Frames a second of a side."""
        return Spread.of(run.frames_per_s for run in self.of(side))

    def stages(self, side: str) -> dict[str, float]:
        """Stage → worker seconds of a side, the median over its runs, ``other`` included."""
        runs = self.of(side)
        seconds = {stage: statistics.median(run.stage_s[stage] for run in runs) for stage in STAGES}
        return seconds | {"other": statistics.median(run.other_s for run in runs)}

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has; seconds and bytes."""
        sides = {
            side: {
                "frames_per_s": asdict(self.frames_per_s(side)),
                "start_s": statistics.median(run.start_s for run in self.of(side)),
                "stage_s": self.stages(side),
                "largest_bytes": max(run.largest_bytes for run in self.of(side)),
                "together_bytes": max(run.together_bytes for run in self.of(side)),
            }
            for side in (*PEERS, FACELAKE)
        }
        return asdict(self) | {
            "sources": list(self.sources),
            "runs": [
                asdict(run) | {"frames_per_s": run.frames_per_s, "other_s": run.other_s}
                for run in self.runs
            ],
            "sides": sides,
            "peer": self.peer,
            "ratio": asdict(self.ratio),
            "parity": asdict(self.parity) | {"share_found": self.parity.share_found},
        }

    def __str__(self) -> str:
        parts = (self._say_what(), self._say_speed(), self._say_stages(), self._say_parity())
        return "\n\n".join("\n".join(part) for part in parts)

    # For people ---------------------------------------------------------------------------------

    def _say_what(self) -> list[str]:
        frames = (
            "every frame" if self.sample_fps is None else f"{self.sample_fps:g} frames a second"
        )
        decoders = ", ".join(
            f"{name} ({_count(n, 'video')})" for name, n in sorted(self.decoders.items())
        )
        n_runs = _count(len(self.of(FACELAKE)), "run")
        return [
            f"{', '.join(self.sources)}: {_count(self.n_videos, 'video')}, "
            f"{self.duration_s:.1f} s, {self.n_frames:,} frames ({frames})",
            *(f"  left out: {path}: {reason}" for path, reason in self.left_out.items()),
            f"{self.cpu}, {_count(self.n_cores, 'core')}, no GPU used; {n_runs} of each, in turns",
            f"pack {self.pack}, detector input {self.det_size}×{self.det_size}; "
            + ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            f"insightface's frames are decoded by PyAV, facelake's by {decoders}",
        ]

    def _say_speed(self) -> list[str]:
        rows = [["", "frames/s", "frames", "faces", "start-up", "peak memory", "together"]]
        for side in (*PEERS, FACELAKE):
            runs = self.of(side)
            rows.append(
                [
                    runs[0].label,
                    self.frames_per_s(side).say(1),
                    f"{runs[-1].n_frames:,}",
                    f"{runs[-1].n_faces:,}",
                    f"{statistics.median(run.start_s for run in runs):.1f} s",
                    f"{max(run.largest_bytes for run in runs) / 1e6:,.0f} MB",
                    f"{max(run.together_bytes for run in runs) / 1e6:,.0f} MB",
                ]
            )
        return [
            *_aligned(rows),
            "Frames/s without the start-up: median (lowest–highest). Peak memory is the largest "
            "process's, together all processes' of that side.",
            "",
            f"facelake is {self.ratio.say(2)} times as fast as {self.of(self.peer)[0].label}, "
            "the faster of insightface's two",
        ]

    def _say_stages(self) -> list[str]:
        rows = [["worker seconds", *STAGES, "other"]]
        for side in (self.peer, FACELAKE):
            seconds = self.stages(side)
            total = sum(seconds.values())
            cells = [f"{spent:.2f} ({spent / total:.0%})" for spent in seconds.values()]
            rows.append([self.of(side)[0].label, *cells])
        return [
            *_aligned(rows),
            "Median over the runs, summed over the workers; other is indexing, linking tracks, "
            "passing work on and waiting.",
        ]

    def _say_parity(self) -> list[str]:
        seen = self.parity
        alone = seen.n_frames_peer_only + seen.n_frames_facelake_only
        lines = [
            f"same frames: {seen.n_frames_both:,} looked at by both, {alone:,} by one alone",
            f"same faces:  insightface {seen.n_faces_peer:,}, facelake {seen.n_faces_facelake:,} "
            f"({seen.n_faces_facelake - seen.n_faces_peer:+,})",
        ]
        if seen.share_found is not None:
            lines[-1] += (
                f"; {seen.n_matched:,} of insightface's ({seen.share_found:.2%}) found at "
                f"IoU ≥ {MIN_IOU}"
            )
        if seen.cosine_median is not None and seen.cosine_p01 is not None:
            lines.append(
                f"embeddings:  cosine {seen.cosine_median:.4f} on the median, "
                f"{seen.cosine_p01:.4f} at the first percentile"
            )
        return lines


def faster_peer(runs: Sequence[Run]) -> str:
    """The way to run insightface that gave more frames a second, by the median of its runs."""
    return max(
        PEERS,
        key=lambda side: statistics.median(run.frames_per_s for run in _of(runs, side)),
    )


def _of(runs: Iterable[Run], side: str) -> list[Run]:
    return [run for run in runs if run.side == side]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
