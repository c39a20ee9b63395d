"""An identity at an instant of a video, and what the tables know of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery import ANCHOR, GROWN
from facelake.lake import read_coverage
from facelake.query.one_video import OneVideo, best_score
from facelake.query.settings import SpanSettings
from facelake.query.why_not.answer import Finding, Reason

TOLERANCE_S = 1e-6
"""Times that a person types and those of frames agree to this."""


@dataclass(frozen=True)
class Case:
    """An identity at an instant of a video, and what there is to know of it.

    Attributes
    ----------
    one
        The video.
    identity
        Who was looked for.
    asked_s
        When, in seconds.
    settings
        The rules of spans.
    """

    one: OneVideo
    identity: str
    asked_s: float
    settings: SpanSettings

    @property
    def file(self) -> str:
        """The name of the video's file."""
        return Path(self.one.row["paths"][0]).name

    @cached_property
    def coverage(self) -> list[dict[str, Any]]:
        """What was looked at of the video, in order of time."""
        videos = pa.Table.from_pylist([self.one.row])
        table = read_coverage(self.one.lake, videos, self.one.space, None)
        pieces: list[dict[str, Any]] = table.to_pylist()
        return pieces

    @property
    def piece(self) -> dict[str, Any]:
        """What is known of the instant."""
        return next(
            piece
            for piece in reversed(self.coverage)
            if piece["start_s"] <= self.asked_s + TOLERANCE_S
        )

    @cached_property
    def sample(self) -> dict[str, Any] | None:
        """The sample whose frame is on screen, or else the nearest."""
        time_s = self.one.samples["time_s"].to_numpy()
        if not len(time_s):
            return None
        at = max(0, int(np.searchsorted(time_s, self.asked_s + TOLERANCE_S, side="right")) - 1)
        shown_until = time_s[at] + self.one.samples["shown_s"][at].as_py()
        if self.asked_s >= shown_until:
            near = np.arange(at, min(at + 2, len(time_s)))
            at = int(near[np.argmin(np.abs(time_s[near] - self.asked_s))])
        found: dict[str, Any] = self.one.samples.slice(at, 1).to_pylist()[0]
        return found

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Rows of the faces that the sample shows."""
        return np.flatnonzero(self.one.faces["pts"].to_numpy() == self.at_sample["pts"])

    @cached_property
    def faces(self) -> list[CaseFace]:
        """These faces, those most like the identity first."""
        scores = self.one.scores.filter(pc.field("pts") == self.at_sample["pts"])
        matches = {row["face_id"]: row for row in scores.to_pylist()}
        columns = self.one.faces.drop_columns(["embedding"]).take(pa.array(self.rows)).to_pylist()
        has_own = pc.is_valid(self.one.faces["embedding"]).take(pa.array(self.rows)).to_pylist()
        faces = [
            CaseFace(row, own, self.one.score_exemplars(int(at)), matches.get(row["face_id"], {}))
            for row, own, at in zip(columns, has_own, self.rows, strict=True)
        ]
        return sorted(faces, key=lambda face: (-face.like(self.identity), -face.size_px))

    @property
    def at_sample(self) -> dict[str, Any]:
        """The sample, where there must be one."""
        assert self.sample is not None  # some sample spoke for the instant, or nobody comes here
        return self.sample

    @cached_property
    def face(self) -> CaseFace:
        """The face that could be the identity: the one most like it that is not surely another."""
        own, sure = self.identity, self.settings.threshold
        open_ones = [face for face in self.faces if not face.is_surely_not(own, sure)]
        return (open_ones or self.faces)[0]

    @property
    def stay(self) -> float:
        """The lowest score that keeps a span going."""
        return self.settings.rules(period_s=1.0).stay

    def about(
        self, reason: Reason, sentence: str, *, face: CaseFace | None = None, **numbers: Any
    ) -> Finding:
        """A finding about a face; by default the one that could be the identity."""
        face = self.face if face is None else face
        like = face.like(self.identity)
        score = None if np.isneginf(like) else like
        box = tuple(face.row["bbox_xyxy"])
        return Finding(reason, sentence, numbers, face.row["face_id"], score, box)


@dataclass(frozen=True)
class CaseFace:
    """A face of the sample.

    Attributes
    ----------
    has_own
        Whether it has an embedding of its own.
    scored
        It beside every exemplar; ``None`` where nothing stands for it.
    match
        Who it counts as: a row of `schema.SCORES`, empty where nobody.
    """

    row: dict[str, Any]
    has_own: bool
    scored: pa.Table | None
    match: dict[str, Any]

    @property
    def size_px(self) -> float:
        """Square root of the box's area, in pixels."""
        x1, y1, x2, y2 = self.row["bbox_xyxy"]
        return float(np.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1)))

    def like(self, identity: str) -> float:
        """Its score for an identity before negatives; −inf where nothing can be compared."""
        score = best_score(self.scored, ANCHOR, GROWN, identity=identity)
        return -np.inf if score is None else score

    def is_surely_not(self, identity: str, threshold: float) -> bool:
        """Whether it counts as somebody else."""
        return bool(
            self.match and self.match["identity"] != identity and self.match["score"] >= threshold
        )
