"""Spans of facelake's default settings beside those of every frame with every face embedded.

An edge of the dense run is found when the default settings have the same edge (of the same
identity and kind, in the same video) at most one frame away. What made the edge is told apart:
the face itself came or went, or it stayed and only its score crossed the threshold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from facelake.evaluate import Agreement, agree, intervals_of

Cause = Literal["face", "score", "video"]
CAUSES: tuple[Cause, ...] = ("face", "score", "video")
"""The face appears or vanishes; only its score crosses the threshold; the video starts or ends."""
# Some containers round times to milliseconds: a frame is then a little longer than usual.
_ROUNDING_S = 1e-3
_SAME_S = 1e-6


class Span(NamedTuple):
    """Somebody in a video, from when to when, half-open."""

    video: str
    identity: str
    start_s: float
    end_s: float


class Edge(NamedTuple):
    """Where a span starts or ends."""

    video: str
    identity: str
    kind: Literal["start", "end"]
    time_s: float


class Looked(NamedTuple):
    """The part of a video that one side looked at, in seconds."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class EdgeCount:
    """Edges of the dense run, and those of them that the default settings found."""

    n_edges: int
    n_found: int

    @property
    def share(self) -> float | None:
        """Share found, in [0, 1]; ``None`` when there is no edge."""
        return self.n_found / self.n_edges if self.n_edges else None


@dataclass(frozen=True)
class SpanComparison:
    """Spans of the default settings beside those of the dense run.

    Attributes
    ----------
    threshold
        Lowest score that starts a span.
    identities
        Who is enrolled.
    n_spans, n_dense_spans
        Spans of the default settings and of the dense run.
    edges
        Cause → edges of the dense run.
    n_extra_edges
        Edges of the default settings that the dense run has not.
    seconds
        Seconds of the default settings against those of the dense run.
    truth
        Name of the truth; ``None`` without one.
    to_truth, dense_to_truth
        Seconds of both against it.
    """

    threshold: float
    identities: tuple[str, ...]
    n_spans: int
    n_dense_spans: int
    edges: dict[Cause, EdgeCount]
    n_extra_edges: int
    seconds: Agreement
    truth: str | None = None
    to_truth: Agreement | None = None
    dense_to_truth: Agreement | None = None

    @property
    def all_edges(self) -> EdgeCount:
        """Edges of all causes."""
        counts = self.edges.values()
        return EdgeCount(sum(one.n_edges for one in counts), sum(one.n_found for one in counts))

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has."""
        counts: dict[str, EdgeCount] = {**self.edges} | {"all": self.all_edges}
        agreements = {
            "seconds": self.seconds,
            "to_truth": self.to_truth,
            "dense_to_truth": self.dense_to_truth,
        }
        return asdict(self) | {
            "identities": list(self.identities),
            "edges": {name: asdict(one) | {"share": one.share} for name, one in counts.items()},
            **{name: _with_rates(one) for name, one in agreements.items()},
        }


def edges_of(spans: Iterable[Span]) -> list[Edge]:
    """Both edges of each span."""
    return [
        edge
        for span in spans
        for edge in (
            Edge(span.video, span.identity, "start", span.start_s),
            Edge(span.video, span.identity, "end", span.end_s),
        )
    ]


def at_same_borders(
    spans: Iterable[Span], looked: Mapping[str, Looked], dense: Mapping[str, Looked]
) -> list[Span]:
    """Spans that reach where one side began or stopped looking, as if they reached the other's.

    Parameters
    ----------
    looked, dense
        Video → the part of it that the spans' side, and the dense run, looked at.
    """

    def moved(span: Span) -> Span:
        own, other = looked[span.video], dense[span.video]
        at_start = abs(span.start_s - own.start_s) < _SAME_S
        at_end = abs(span.end_s - own.end_s) < _SAME_S
        return span._replace(
            start_s=other.start_s if at_start else span.start_s,
            end_s=other.end_s if at_end else span.end_s,
        )

    return [moved(span) for span in spans]


def find_edges(
    wanted: Sequence[Edge], found: Iterable[Edge], frame_s: Mapping[str, float]
) -> list[bool]:
    """Whether each wanted edge was found, at most one frame away; an edge is found only once.

    Parameters
    ----------
    frame_s
        Video → how long one of its frames is shown, in seconds.
    """
    free: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for edge in found:
        free[edge[:3]].append(edge.time_s)
    answer = [False] * len(wanted)
    # In order of time, the earliest edge in reach leaves most to those that follow.
    for row in sorted(range(len(wanted)), key=lambda row: wanted[row].time_s):
        edge = wanted[row]
        reach_s = frame_s[edge.video] + _ROUNDING_S
        near = [time_s for time_s in free[edge[:3]] if abs(time_s - edge.time_s) <= reach_s]
        if near:
            free[edge[:3]].remove(min(near))
            answer[row] = True
    return answer


def count_edges(found: Sequence[bool], causes: Sequence[Cause]) -> dict[Cause, EdgeCount]:
    """Edges and those found, by what made them."""
    of: dict[Cause, list[bool]] = {
        cause: [hit for hit, other in zip(found, causes, strict=True) if other == cause]
        for cause in CAUSES
    }
    return {cause: EdgeCount(len(hits), sum(hits)) for cause, hits in of.items()}


def compare_seconds(spans: Iterable[Span], wanted: Iterable[Span]) -> Agreement:
    """How far spans cover the seconds of others, of the same person in the same video."""
    sides: dict[tuple[str, str], tuple[list[Span], list[Span]]] = defaultdict(lambda: ([], []))
    for side, given in enumerate((spans, wanted)):
        for span in given:
            sides[span[:2]][side].append(span)
    each = [
        agree(*(intervals_of((span.start_s, span.end_s) for span in side) for side in both))
        for both in sides.values()
    ]
    return Agreement(
        sum(one.right_s for one in each),
        sum(one.missed_s for one in each),
        sum(one.false_s for one in each),
    )


def _with_rates(agreement: Agreement | None) -> dict[str, float | None] | None:
    if agreement is None:
        return None
    rates = {name: getattr(agreement, name) for name in ("recall", "precision", "f1")}
    return asdict(agreement) | rates
