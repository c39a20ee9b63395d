"""A benchmark's result as people read it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from facelake.bench.looks import Looks
from facelake.bench.parity import MIN_IOU, Parity
from facelake.bench.peer import STAGES
from facelake.bench.result import (
    FACELAKE,
    FACELAKE_DEFAULT,
    FLOOR,
    PEERS,
    SAMPLED_PEER,
    BenchResult,
    Run,
    Spread,
    say_rate,
)
from facelake.bench.spans import CAUSES, Cause, EdgeCount, SpanComparison
from facelake.evaluate import Agreement
from facelake.words import counted

NONE = "–"
_LEGEND = """\
Frames/s: frames looked at in a second of wall time, start-up left out: median (lowest–highest).
Source/s: frames that the videos hold, looked at or not, in that time. Start-up: from the start of
the process until its models are ready. First row: from the call of ingest until the first faces
are written. Memory: peak of the largest process; together: peak of all of them."""
_CAUSES: dict[Cause, str] = {
    "face": "the face appears or vanishes",
    "score": "only its score crosses the threshold",
    "video": "the video starts or ends",
}


def say_result(result: BenchResult) -> str:
    """The whole report, in paragraphs."""
    parts = [
        _what(result),
        _speed(result),
        _ratios(result),
        _stages(result),
        _parity(result.parity),
    ]
    if result.looks:
        parts.append(_looks(result, result.looks))
    if result.spans:
        parts.append(_edges(result.spans))
        parts.append(_seconds(result.spans))
    return "\n\n".join("\n".join(part) for part in parts)


def _what(result: BenchResult) -> Iterator[str]:
    decoders = ", ".join(
        f"{name} ({counted(n, 'video')})" for name, n in sorted(result.decoders.items())
    )
    n_runs = counted(len(result.of(FACELAKE)), "run")
    yield (
        f"{', '.join(result.sources)}: {counted(result.n_videos, 'video')}, "
        f"{result.duration_s:.1f} s, {counted(result.n_source_frames, 'frame')}"
    )
    yield from (f"  left out: {path}: {reason}" for path, reason in result.left_out.items())
    yield (
        f"{result.cpu}, {counted(result.n_cores, 'core')}, no GPU used; {n_runs} of each, in turns"
    )
    yield f"pack {result.pack}, detector input {result.det_size}×{result.det_size}; " + ", ".join(
        f"{name} {version}" for name, version in result.versions.items()
    )
    yield f"insightface's frames are decoded by PyAV, facelake's by {decoders}"


def _speed(result: BenchResult) -> Iterator[str]:
    head = [
        "frames/s",
        "source/s",
        "frames",
        "faces",
        "start-up",
        "first row",
        "memory",
        "together",
    ]
    rows = [[f"{_rate(result, FACELAKE)}, every face", *head]]
    rows += [_speed_row(result, side) for side in (*PEERS, FACELAKE, FLOOR)]
    if FACELAKE_DEFAULT in result.sides:
        rows.append([f"{_rate(result, FACELAKE_DEFAULT)}, facelake as it comes"])
        rows += [_speed_row(result, side) for side in (SAMPLED_PEER, FACELAKE_DEFAULT)]
    yield from _aligned(rows)
    yield from _LEGEND.splitlines()


def _speed_row(result: BenchResult, side: str) -> list[str]:
    runs = result.of(side)
    first_row_s = [run.first_row_s for run in runs if run.first_row_s is not None]
    return [
        f"  {runs[0].label}",
        Spread.of(run.frames_per_s for run in runs).say(1),
        f"{statistics.median(run.source_frames_per_s for run in runs):.1f}",
        f"{runs[-1].n_frames:,}",
        f"{runs[-1].n_faces:,}",
        f"{statistics.median(run.start_s for run in runs):.1f} s",
        f"{statistics.median(first_row_s):.1f} s" if first_row_s else NONE,
        _megabytes(run.largest_bytes for run in runs),
        _megabytes(run.together_bytes for run in runs),
    ]


def _ratios(result: BenchResult) -> Iterator[str]:
    peer = _label(result.of(result.peer))
    every = _rate(result, FACELAKE)
    speedups = result.speedups
    rows = [
        [f"{every}, every face", f"is {speedups['same_frames'].say(2)} times as fast as {peer}"],
        ["", f"takes {result.over_floor.say(2)} times as long as onnxruntime alone, the floor"],
    ]
    if FACELAKE_DEFAULT in result.sides:
        sampled = f"{_label(result.of(SAMPLED_PEER))}, at {_rate(result, SAMPLED_PEER)}"
        rows += [
            ["as it comes", f"is {speedups['default'].say(2)} times as fast as {peer}, on {every}"],
            ["", f"is {speedups['default_same_rate'].say(2)} times as fast as {sampled}"],
        ]
    yield "facelake, turn by turn, start-up left out: median (lowest–highest)"
    width = max(len(name) for name, _ in rows)
    yield from (f"  {name.ljust(width)}  {words}" for name, words in rows)


def _stages(result: BenchResult) -> Iterator[str]:
    rows = [["worker seconds", *STAGES, "other"]]
    for side in (result.peer, FACELAKE, SAMPLED_PEER, FACELAKE_DEFAULT):
        if side not in result.sides:
            continue
        seconds = result.stages(side)
        total = sum(seconds.values())
        cells = [f"{spent:.2f} ({spent / total:.0%})" for spent in seconds.values()]
        rows.append([f"{_label(result.of(side))}, {_rate(result, side)}", *cells])
    yield from _aligned(rows)
    yield (
        "Median over the runs, summed over the workers; other is indexing, linking tracks, passing "
        "work on and waiting."
    )


def _parity(seen: Parity) -> Iterator[str]:
    alone = seen.n_frames_peer_only + seen.n_frames_facelake_only
    yield f"same frames: {seen.n_frames_both:,} looked at by both, {alone:,} by one alone"
    faces = (
        f"same faces:  insightface {seen.n_faces_peer:,}, facelake {seen.n_faces_facelake:,} "
        f"({seen.n_faces_facelake - seen.n_faces_peer:+,})"
    )
    if seen.share_found is not None:
        faces += (
            f"; {seen.n_matched:,} of insightface's ({seen.share_found:.2%}) found at "
            f"IoU ≥ {MIN_IOU}"
        )
    yield faces
    if seen.cosine_median is not None and seen.cosine_p01 is not None:
        yield (
            f"embeddings:  cosine {seen.cosine_median:.4f} on the median, "
            f"{seen.cosine_p01:.4f} at the first percentile"
        )


def _looks(result: BenchResult, looks: Looks) -> Iterator[str]:
    n_grid = looks.n_looked - looks.n_refined

    def of(part: int, whole: int) -> str:
        return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"

    yield f"facelake as it comes, of {counted(result.n_source_frames, 'frame')}"
    rows = [
        ["looked at as samples", of(n_grid, result.n_source_frames)],
        ["looked at between them, to refine", of(looks.n_refined, result.n_source_frames)],
        ["carried over, not looked at", of(looks.n_carried, result.n_source_frames)],
        ["looked at twice, for a large face", of(looks.n_second_looks, looks.n_looked)],
        ["faces", f"{looks.n_faces:,}"],
        ["faces embedded", of(looks.n_embedded, looks.n_faces)],
    ]
    yield from (f"  {line}" for line in _aligned(rows))


def _edges(spans: SpanComparison) -> Iterator[str]:
    yield (
        f"spans of {counted(len(spans.identities), 'identity')} at threshold {spans.threshold:g}: "
        f"{spans.n_spans:,} as it comes, {spans.n_dense_spans:,} on every frame"
    )
    rows = [["edges on every frame where", "edges", "found within one frame"]]
    rows += [_edge_row(_CAUSES[cause], spans.edges[cause]) for cause in CAUSES]
    rows.append(_edge_row("all", spans.all_edges))
    yield from (f"  {line}" for line in _aligned(rows))
    yield f"  edges as it comes that are not there on every frame: {spans.n_extra_edges:,}"


def _edge_row(name: str, count: EdgeCount) -> list[str]:
    found = NONE if count.share is None else f"{count.n_found:,} ({count.share:.1%})"
    return [name, f"{count.n_edges:,}", found]


def _seconds(spans: SpanComparison) -> Iterator[str]:
    rows = [["seconds of spans", "wanted", "precision", "recall", "F1"]]
    rows.append(_agreement_row("as it comes against every frame", spans.seconds))
    if spans.to_truth and spans.dense_to_truth:
        rows.append(_agreement_row(f"as it comes against {spans.truth}", spans.to_truth))
        rows.append(_agreement_row(f"every frame against {spans.truth}", spans.dense_to_truth))
    yield from _aligned(rows)


def _agreement_row(name: str, agreement: Agreement) -> list[str]:
    rates = (agreement.precision, agreement.recall, agreement.f1)
    return [
        name,
        f"{agreement.wanted_s:.1f} s",
        *(NONE if rate is None else f"{rate:.3f}" for rate in rates),
    ]


def _rate(result: BenchResult, side: str) -> str:
    return say_rate(result.of(side)[0].sample_fps)


def _label(runs: Sequence[Run]) -> str:
    return runs[0].label


def _megabytes(counts: Iterator[int]) -> str:
    return f"{max(counts) / 1e6:,.0f} MB"


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    """Rows of cells as lines: the first column to the left, the others to the right.

    A row of one cell is a heading.
    """
    n_columns = max(len(row) for row in rows)
    full = [row + [""] * (n_columns - len(row)) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*full, strict=True)]
    for row in full:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
