"""Why a face is what it is taken for, and why somebody is not found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from facelake.gallery import ANCHOR, GROWN, NEGATIVE
from facelake.query.explain import TWIN_SCORE, FaceFacts
from facelake.query.one_video import best_score
from facelake.query.settings import SpanSettings
from facelake.query.why_not import Answer, Reason
from facelake.recheck import Look, SecondLook
from facelake.results.answer import as_html
from facelake.schema import WHY_NOT
from facelake.words import counted

_SAME_S = 5e-4  # what three decimals of a second do not tell apart
_MOST_SHOWN = 5  # exemplars and twins in a repr; `to_dict` has all


@dataclass(frozen=True)
class Explanation:
    """Everything that a catalog knows of a face, as sentences, a dictionary or tables.

    Attributes
    ----------
    facts
        See `facelake.query.explain.FaceFacts`.
    """

    facts: FaceFacts

    @property
    def table(self) -> pa.Table:
        """The face beside every exemplar, best first: rows of `schema.EXPLANATION`."""
        return self.facts.scored

    @property
    def twins(self) -> pa.Table:
        """Nearly equal faces outside of its track: rows of `schema.SCORES`."""
        return self.facts.twins

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return as_html(repr(self))

    def to_dict(self) -> dict[str, Any]:
        """All of it by name, units in the names; nothing that JSON cannot hold."""
        facts = self.facts
        stored = None if facts.stored is None else facts.stored.to_dict()
        names = ("video_id", "run", "space", "pack", "width", "height", "sample_fps")
        twins = ("video_id", "face_id", "time_s", "track_id", "score")
        return {
            **facts.face,
            "path": facts.video["paths"][0],
            "video": {name: facts.video[name] for name in names},
            "track": facts.track,
            "compared_face_id": facts.compared_face_id,
            "counts_as": facts.counts_as,
            "score": facts.score,
            "runner_up": facts.runner_up,
            "margin": facts.margin,
            "identity": facts.identity,
            "identity_score": self._score(ANCHOR, GROWN),
            "negative_score": self._score(NEGATIVE),
            "rules": None if facts.settings is None else asdict(facts.settings),
            "span": facts.span,
            "leaves_above": facts.leaves_above,
            "stored_threshold": stored,
            "exemplars": facts.scored.drop_columns(["face_id"]).to_pylist(),
            "twins": facts.twins.select(list(twins)).to_pylist(),
        }

    def _score(self, *roles: str) -> float | None:
        who = self.facts.identity
        return None if who is None else best_score(self.table, *roles, identity=who)

    def _lines(self) -> Iterator[str]:
        facts, face = self.facts, self.facts.face
        file, video_id = Path(facts.video["paths"][0]).name, facts.video["video_id"]
        yield f"face {face['face_id']} of {file} at {face['time_s']:.3f} s ({video_id})"
        x1, y1, x2, y2 = face["bbox_xyxy"]
        yield (
            f"  box {x1:.0f}, {y1:.0f} to {x2:.0f}, {y2:.0f} ({face['size_px']:.0f} px) of "
            f"{facts.video['width'] or '?'}×{facts.video['height'] or '?'}, det_score "
            f"{face['det_score']:.2f}"
        )
        yield (
            f"  quality {face['quality']:.2f}: align_rms {face['align_rms']:.1f} (frontal below 3, "
            f"profile above 8), sharpness {face['sharpness']:.0f} (blurred below 50)"
        )
        yield f"  {self._track()}; {self._compared()}"
        yield from self._likeness()
        yield from self._decision()
        yield from self._twins()

    def _track(self) -> str:
        track = self.facts.track
        if track is None:
            return "in no track"
        return (
            f"track {track['track_id']}, {counted(track['n_faces'], 'face')} from "
            f"{track['start_s']:.3f} to {track['end_s']:.3f} s"
        )

    def _compared(self) -> str:
        stands = self.facts.compared_face_id
        if stands is None:
            return "not embedded, and no face stands for it: it is compared with nobody"
        own = stands == self.facts.face["face_id"]
        return "compared by its own embedding" if own else f"face {stands} stands for it"

    def _likeness(self) -> Iterator[str]:
        facts = self.facts
        if facts.counts_as is not None:
            next_best = f", {facts.margin:.2f} before {facts.runner_up}" if facts.runner_up else ""
            yield f"  counts as {facts.counts_as} with {facts.score:.2f}{next_best}"
        elif len(self.table):
            yield "  counts as nobody: negatives rule out everybody"
        for row in self.table.slice(0, _MOST_SHOWN).to_pylist():
            role = "" if row["role"] == ANCHOR else f", {row['role']}"
            yield f"    {row['score']:.2f}  {row['identity']}  {Path(row['photo']).name}{role}"
        against = self._score(NEGATIVE)
        if against is not None:
            yield f"  nearest face that is not {facts.identity}: {against:.2f}"

    def _decision(self) -> Iterator[str]:
        facts = self.facts
        score = self._score(ANCHOR, GROWN)
        if facts.stored is not None and score is not None:
            side = "above" if score >= facts.stored.threshold else "below"
            by = abs(score - facts.stored.threshold)
            yield (
                f"  {by:.2f} {side} the catalog's own threshold {facts.stored.threshold:g} for "
                f"{facts.identity} ({facts.stored.note})"
            )
        if facts.settings is None or facts.identity is None:
            return
        if facts.span is None:
            yield f"  in no span of {facts.identity} at {facts.settings}"
        else:
            yield (
                f"  in a span of {facts.identity} from {facts.span['start_s']:.3f} to "
                f"{facts.span['end_s']:.3f} s at {facts.settings}; above "
                f"{facts.span['score_max']:.3f} there is none"
            )
        if facts.leaves_above is not None:
            yield f"  its instant is in a span of {facts.identity} up to {facts.leaves_above:.3f}"

    def _twins(self) -> Iterator[str]:
        if not len(self.twins):
            return
        faces = counted(len(self.twins), "face")
        yield f"  near twins outside of its track ({TWIN_SCORE:g} and more): {faces}"
        for row in self.twins.slice(0, _MOST_SHOWN).to_pylist():
            yield f"    {row['score']:.2f}  {row['video_id']} at {row['time_s']:.3f} s"


@dataclass(frozen=True)
class WhyNot:
    """Why an identity is not found at an instant.

    Attributes
    ----------
    answer
        See `facelake.query.why_not.Answer`.
    second
        What looking at the frame again gave; ``None`` where it was not needed or not asked for.
    """

    answer: Answer
    second: SecondLook | None = None

    @property
    def reason(self) -> Reason:
        """The first reason that holds; ``Reason.FOUND`` where the identity is found."""
        return self.answer.finding.reason

    @property
    def sentence(self) -> str:
        """The reason in words, with its numbers."""
        return self.answer.finding.sentence

    @property
    def settings(self) -> SpanSettings:
        """The rules of spans that were asked about."""
        return self.answer.settings

    @property
    def table(self) -> pa.Table:
        """One row of `schema.WHY_NOT`."""
        answer, row = self.answer, self.answer.row
        told = {
            "video": answer.video,
            "video_id": None if row is None else row["video_id"],
            "path": None if row is None else row["paths"][0],
            "identity": answer.identity,
            "asked_s": answer.asked_s,
            "time_s": answer.time_s,
            "threshold": answer.settings.threshold,
            "reason": str(self.reason),
            "sentence": self.sentence,
            "face_id": answer.finding.face_id,
            "score": answer.finding.score,
        }
        return pa.Table.from_pylist([told], schema=WHY_NOT)

    def to_dict(self) -> dict[str, Any]:
        """All of it by name, units in the names; nothing that JSON cannot hold."""
        told: dict[str, Any] = self.table.to_pylist()[0]
        box = self.answer.finding.bbox_xyxy
        return told | {
            "numbers": self.answer.finding.numbers,
            "bbox_xyxy": None if box is None else list(box),
            "rules": asdict(self.settings),
            "second_look": None if self.second is None else asdict(self.second),
        }

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return as_html(repr(self))

    def _lines(self) -> Iterator[str]:
        answer, row = self.answer, self.answer.row
        file = answer.video if row is None else Path(row["paths"][0]).name
        is_found = self.reason is Reason.FOUND
        verb = "is found" if is_found else "is not found"
        yield f"{answer.identity} {verb} in {file} at {answer.asked_s:.3f} s: {self.sentence}"
        away_s = abs((answer.time_s or answer.asked_s) - answer.asked_s)
        if away_s > _SAME_S and not is_found:
            yield f"  the sample at {answer.time_s:.3f} s speaks for this instant"
        if self.second is not None:
            yield from self._second_look(self.second)

    def _second_look(self, second: SecondLook) -> Iterator[str]:
        if second.note:
            yield f"  {second.note}"
        for look in second.looks:
            yield (
                f"  looking again with det_size {look.det_size} and det_threshold "
                f"{look.det_threshold:g}: {self._seen(look)}"
            )
        if second.own_score is not None:
            yield (
                f"  looking again, this very face scores {second.own_score:.2f} for "
                f"{self.answer.identity}"
            )

    def _seen(self, look: Look) -> str:
        if not look.n_faces:
            return "no face"
        who = self.answer.identity
        like = "" if look.score is None else f"; the most like {who} scores {look.score:.2f}"
        return (
            f"{counted(look.n_faces, 'face')}, the surest of {look.size_px:.0f} px with det_score "
            f"{look.det_score:.2f}{like}"
        )
