"""How long it takes to ask: thresholds, error rates, span algebra and people, on made-up archives.

Each question is asked in a fresh process, so that its memory is its own; what it is asked of is
made once and kept. Planting and, for the sweep, the match that gives the scores are not timed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelake.bench.archive import plant_archive
from facelake.bench.machine import name_cpu
from facelake.bench.process import run_python
from facelake.bench.result import Spread
from facelake.cluster import count_cores

FACES_A_TRACK, FACES_A_SHORT_TRACK = 30, 10
QUESTIONS = ("sweep", "calibrate", "algebra", "people")


@dataclass(frozen=True)
class Asked:
    """One question in one process.

    Attributes
    ----------
    question
        One of `QUESTIONS`.
    seconds
        What was done → seconds of each time that it was done.
    counts
        What there was → how many.
    peak_bytes
        Most resident memory of the process.
    """

    question: str
    seconds: Mapping[str, Sequence[float]]
    counts: Mapping[str, int]
    peak_bytes: int

    def median(self, name: str) -> float:
        """Median seconds of what was done."""
        return Spread.of(self.seconds[name]).median


@dataclass(frozen=True)
class AskResult:
    """What each question took."""

    asked: tuple[Asked, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {
            "cpu": name_cpu(),
            "n_cores": count_cores(),
            "asked": [vars(one) for one in self.asked],
        }

    def __str__(self) -> str:
        return "\n".join(_report(self))


def compare_asks(
    folder: Path,
    *,
    n_scores: int = 1_000_000,
    n_faces: int = 1_000_000,
    n_spans: int = 1_000_000,
    n_tracks: int = 100_000,
    threshold: float = 0.30,
    runs: int = 3,
    questions: Sequence[str] = QUESTIONS,
    say: Callable[[str], None] = lambda _what: None,
) -> AskResult:
    """Ask each question of an archive of its size.

    Parameters
    ----------
    folder
        For the made-up archives; those that lie there already are taken.
    n_scores, n_faces, n_spans, n_tracks
        Of the sweep, of the calibration, of each side of the algebra, of the people.
    threshold
        Of the one query that the sweep is compared with.
    runs
        How often the sweep, the query and each operation of the algebra are done.
    questions
        Only these.
    say
        Takes what is done now.

    Raises
    ------
    EngineError
        A question's process fails.
    """
    places = {
        "sweep": (n_scores // FACES_A_TRACK, FACES_A_TRACK),
        "calibrate": (n_faces // FACES_A_TRACK, FACES_A_TRACK),
        "people": (n_tracks, FACES_A_SHORT_TRACK),
    }
    asked = []
    for question in questions:
        told: dict[str, Any] = {"threshold": threshold, "runs": runs, "n_spans": n_spans}
        if question in places:
            tracks, faces_a_track = (max(1, count) for count in places[question])
            told["root"] = str(folder / f"tracks-{tracks}x{faces_a_track}")
            say(f"planting {tracks:,} tracks of {faces_a_track} faces")
            plant_archive(Path(told["root"]), n_tracks=tracks, faces_a_track=faces_a_track)
        say(f"asking: {question}")
        asked.append(_ask(question, told))
    return AskResult(tuple(asked))


def _ask(question: str, told: dict[str, Any]) -> Asked:
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "job.json"
        job.write_text(json.dumps(told | {"side": question}), "utf-8")
        run_python(
            "import sys; from facelake.bench.questions import ask; ask(sys.argv[1])",
            job,
            who=question,
        )
        answer = json.loads(job.read_text("utf-8"))
    return Asked(question, answer["seconds"], answer["counts"], answer["peak_bytes"])


def _report(result: AskResult) -> Iterator[str]:
    yield f"{count_cores()} cores of {name_cpu()}; Python {sys.version.split()[0]}"
    for one in result.asked:
        counts = ", ".join(f"{count:,} {name}" for name, count in one.counts.items())
        yield ""
        yield f"{one.question}: {counts}; {one.peak_bytes / 1e6:,.0f} MB at most"
        for name, seconds in one.seconds.items():
            yield f"  {name:14s}  {Spread.of(seconds).say(2)} s"
        if one.question == "sweep":
            yield from _sweep_ratios(one)


def _sweep_ratios(one: Asked) -> Iterator[str]:
    sweep, query, all_queries = map(one.median, ("sweep", "one query", "all queries"))
    n = one.counts["thresholds"]
    yield f"  the sweep takes {sweep / query:.2f} × the time of one query"
    yield f"  {n} queries take {all_queries / sweep:.1f} × the time of the sweep"
    if one.counts["spans"] != one.counts["spans of the sweep"]:
        yield "  THE SWEEP AND THE QUERIES DIFFER"
