"""What an answer to "why not?" is: a reason, a sentence and its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from facelake.query.settings import SpanSettings


class Reason(StrEnum):
    """Why an identity is not found at an instant, in the order in which it is looked for."""

    FOUND = "found"
    VIDEO_UNKNOWN = "video_unknown"
    VIDEO_FORGOTTEN = "video_forgotten"
    VIDEO_FAILED = "video_failed"
    OUTSIDE = "outside"
    NOT_SAMPLED = "not_sampled"
    NOT_DECODABLE = "not_decodable"
    FORGOTTEN = "forgotten"
    NOT_DETECTED = "not_detected"
    BELOW_ENTRY = "below_entry"
    TOO_FEW_HITS = "too_few_hits"
    TOO_SHORT = "too_short"
    TOO_SMALL = "too_small"
    TOO_POOR = "too_poor"
    NOT_EMBEDDED = "not_embedded"
    NEGATIVE = "negative"
    LIKE_ANOTHER = "like_another"
    VETOED = "vetoed"
    BELOW_THRESHOLD = "below_threshold"


@dataclass(frozen=True)
class Finding:
    """A reason that holds.

    Attributes
    ----------
    sentence
        It in words, with the numbers that matter.
    numbers
        The same numbers by name, units in the names; anything JSON can hold.
    face_id, score
        The face that it is about, and its score for the identity; ``None`` where there is none.
    bbox_xyxy
        Where that face is.
    """

    reason: Reason
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)
    face_id: str | None = None
    score: float | None = None
    bbox_xyxy: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """Why an identity is not found at an instant.

    Attributes
    ----------
    video, identity, asked_s
        As they were asked for.
    space
        Whose embeddings were compared.
    settings
        The rules of spans.
    finding
        The reason.
    row
        The ``videos`` row; ``None`` where there is none.
    pts, time_s
        Of the sample that speaks for the instant; ``None`` where none does.
    """

    video: str
    identity: str
    asked_s: float
    space: str
    settings: SpanSettings
    finding: Finding
    row: dict[str, Any] | None = None
    pts: int | None = None
    time_s: float | None = None
