"""What a benchmark came to: its runs, their medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from facelake.bench.looks import Looks
from facelake.bench.parity import Parity
from facelake.bench.peer import STAGES
from facelake.bench.spans import SpanComparison

PEERS = {"insightface_default_threads": 0, "insightface_one_thread": 1}
"""The peer's two ways to run → threads of each onnxruntime session; 0 is its own choice."""
FACELAKE = "facelake"
"""facelake over the frames of `PEERS`, with every face embedded."""
FLOOR = "floor"
"""onnxruntime alone, for the calls of `FACELAKE`."""
SAMPLED_PEER = "insightface_sampled"
"""The faster of `PEERS` at the rate of `FACELAKE_DEFAULT`."""
FACELAKE_DEFAULT = "facelake_default"
"""facelake as it comes."""


@dataclass(frozen=True)
class Run:
    """One pass of one side over all the footage.

    Attributes
    ----------
    side
        One of the names above.
    label
        The side as people call it.
    sample_fps
        Frames looked at a second, at most; ``None`` is every frame.
    n_workers
        Processes that looked at frames.
    n_source_frames
        Frames that the videos hold, looked at or not.
    n_frames, n_faces
        Looked at and found.
    start_s, work_s
        Seconds of wall time from the start of its process until the models were ready, and from
        then on.
    first_row_s
        Seconds from the call of ingest until the first faces were written; ``None`` for all but
        facelake.
    stage_s
        Stage → seconds, summed over the workers; empty for the floor.
    largest_bytes, together_bytes
        Peak resident memory of the largest process, and of all of them at one instant.
    """

    side: str
    label: str
    sample_fps: float | None
    n_workers: int
    n_source_frames: int
    n_frames: int
    n_faces: int
    start_s: float
    work_s: float
    first_row_s: float | None
    stage_s: dict[str, float]
    largest_bytes: int
    together_bytes: int

    @property
    def frames_per_s(self) -> float:
        """Frames looked at in a second of wall time, start-up left out."""
        return self.n_frames / self.work_s

    @property
    def source_frames_per_s(self) -> float:
        """Frames of the videos got over in a second of wall time, start-up left out."""
        return self.n_source_frames / self.work_s

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
    """How fast all sides were, on what, and whether they saw the same.

    Attributes
    ----------
    sources
        As they were named.
    left_out
        Path → why no side looked at it.
    n_videos, n_source_frames, duration_s
        The footage: videos, their frames, seconds.
    det_size, pack
        Side of the detector's input in pixels, and the models.
    cpu, n_cores
        The processor and the cores that may be used.
    versions
        Library → version.
    decoders
        What facelake decoded with, over the frames of `PEERS` → how many videos.
    runs
        In the order in which they ran, each side as often as the others; `SAMPLED_PEER` and
        `FACELAKE_DEFAULT` only where not one rate alone was asked for.
    parity
        Of the last run of the faster peer and of `FACELAKE`.
    looks
        What `FACELAKE_DEFAULT` looked at; ``None`` where it did not run.
    spans
        Spans of `FACELAKE_DEFAULT` beside those of `FACELAKE`; ``None`` without a gallery.
    """

    sources: tuple[str, ...]
    left_out: dict[str, str]
    n_videos: int
    n_source_frames: int
    duration_s: float
    det_size: int
    pack: str
    cpu: str
    n_cores: int
    versions: dict[str, str]
    decoders: dict[str, int]
    runs: tuple[Run, ...]
    parity: Parity
    looks: Looks | None = None
    spans: SpanComparison | None = None

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that ran, in this order."""
        return tuple(dict.fromkeys(run.side for run in self.runs))

    @property
    def peer(self) -> str:
        """The way to run insightface that gave more frames a second, by its median."""
        return faster_peer(self.runs)

    @property
    def speedups(self) -> dict[str, Spread]:
        """How many times less wall time facelake takes than insightface, turn by turn.

        ``same_frames``: both over the same frames, against the faster peer. Where facelake ran
        as it comes, too: ``default``: that against the faster peer; ``default_same_rate``: that
        against the peer at the same rate.
        """
        found = {"same_frames": self._wall_ratio(self.peer, FACELAKE)}
        if FACELAKE_DEFAULT in self.sides:
            found["default"] = self._wall_ratio(self.peer, FACELAKE_DEFAULT)
            found["default_same_rate"] = self._wall_ratio(SAMPLED_PEER, FACELAKE_DEFAULT)
        return found

    @property
    def over_floor(self) -> Spread:
        """Wall time of `FACELAKE` over that of the floor, turn by turn; 1 cannot be beaten."""
        return self._wall_ratio(FACELAKE, FLOOR)

    def of(self, side: str) -> list[Run]:
        """The runs of a side, in order."""
        return _of(self.runs, side)

    def stages(self, side: str) -> dict[str, float]:
        """Stage → worker seconds of a side, the median over its runs, ``other`` included."""
        runs = self.of(side)
        seconds = {stage: statistics.median(run.stage_s[stage] for run in runs) for stage in STAGES}
        return seconds | {"other": statistics.median(run.other_s for run in runs)}

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has; seconds and bytes."""
        return asdict(self) | {
            "sources": list(self.sources),
            "runs": [
                asdict(run)
                | {
                    "frames_per_s": run.frames_per_s,
                    "source_frames_per_s": run.source_frames_per_s,
                    "other_s": run.other_s,
                }
                for run in self.runs
            ],
            "sides": {side: self._side_to_dict(side) for side in self.sides},
            "peer": self.peer,
            "speedups": {name: asdict(spread) for name, spread in self.speedups.items()},
            "over_floor": asdict(self.over_floor),
            "parity": asdict(self.parity) | {"share_found": self.parity.share_found},
            "spans": self.spans.to_dict() if self.spans else None,
        }

    def __str__(self) -> str:
        from facelake.bench.report import say_result

        return say_result(self)

    def _side_to_dict(self, side: str) -> dict[str, Any]:
        runs = self.of(side)
        first_row_s = [run.first_row_s for run in runs if run.first_row_s is not None]
        return {
            "label": runs[0].label,
            "sample_fps": runs[0].sample_fps,
            "frames_per_s": asdict(Spread.of(run.frames_per_s for run in runs)),
            "source_frames_per_s": asdict(Spread.of(run.source_frames_per_s for run in runs)),
            "start_s": statistics.median(run.start_s for run in runs),
            "first_row_s": statistics.median(first_row_s) if first_row_s else None,
            "stage_s": self.stages(side) if side != FLOOR else None,
            "largest_bytes": max(run.largest_bytes for run in runs),
            "together_bytes": max(run.together_bytes for run in runs),
        }

    def _wall_ratio(self, side: str, other: str) -> Spread:
        pairs = zip(self.of(side), self.of(other), strict=True)
        return Spread.of(one.work_s / another.work_s for one, another in pairs)


def say_rate(sample_fps: float | None) -> str:
    """How many frames are looked at, in words."""
    return "every frame" if sample_fps is None else f"{sample_fps:g} frames a second"


def faster_peer(runs: Sequence[Run]) -> str:
    """The way to run insightface that gave more frames a second, by the median of its runs."""
    return max(
        PEERS,
        key=lambda side: statistics.median(run.frames_per_s for run in _of(runs, side)),
    )


def _of(runs: Iterable[Run], side: str) -> list[Run]:
    return [run for run in runs if run.side == side]
