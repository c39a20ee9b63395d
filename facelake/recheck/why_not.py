"""Looking again at the instant of a "why not?": what other settings of the detector would give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from facelake.errors import EngineError, PackError, VideoError
from facelake.faces import FaceEngine, Pack
from facelake.gallery import ANCHOR, GROWN
from facelake.lake import Lake
from facelake.lake.names import find_source
from facelake.query.one_video import best_score, score_exemplars
from facelake.query.why_not import Answer, Reason
from facelake.recheck.look import STRONG_SIZE, FrameFinder, pack_of, settings_of
from facelake.schema import Device, Face, IngestSettings
from facelake.tracks import match_boxes
from facelake.video import Frame

WEAK_THRESHOLD = 0.02
"""The lowest detection score that a second look takes for a hint; real faces go down to it."""

_MOST_EMBEDDED = 20  # at the weakest threshold there are hundreds, and most are none


@dataclass(frozen=True)
class Look:
    """What one setting of the detector sees in a frame.

    Attributes
    ----------
    n_faces
        Faces seen.
    det_score, size_px
        Of the surest of them: the detector's score, and the square root of the box's area in
        pixels; ``None`` where no face is seen.
    score
        The best score for the identity among the surest of them; ``None`` where no face is seen,
        and where the pack's embeddings are of another space.
    """

    det_size: int
    det_threshold: float
    n_faces: int
    det_score: float | None = None
    size_px: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class SecondLook:
    """What looking again at an instant gave.

    Attributes
    ----------
    looks
        One for each setting that was tried.
    own_score
        For a face that was not embedded: what it scores for the identity by itself.
    note
        Why nobody looked again; empty when somebody did.
    """

    looks: tuple[Look, ...] = ()
    own_score: float | None = None
    note: str = ""


def look_again(
    lake: Lake, answer: Answer, *, pack: str | Path | None = None, device: Device = "auto"
) -> SecondLook | None:
    """Look at the frame again, where an answer leaves open what is in it.

    That is where nothing was detected, and where a face was not embedded; otherwise ``None``. What
    is missing for it, the video or the models, is told and no error.
    """
    if answer.finding.reason not in (Reason.NOT_DETECTED, Reason.NOT_EMBEDDED):
        return None
    assert answer.row is not None  # these reasons are of a video that is known
    source = find_source(answer.row)
    if source is None:
        return SecondLook(
            note=f"{answer.row['paths'][0]} is gone or changed, so nobody looked again"
        )
    try:
        return _look(lake, answer, source, pack_of(lake, answer.space, pack), device)
    except (EngineError, PackError, VideoError) as error:
        return SecondLook(note=f"nobody looked again: {error}")


def _look(lake: Lake, answer: Answer, source: Path, pack: Pack, device: Device) -> SecondLook:
    assert answer.row is not None
    assert answer.pts is not None
    frame = FrameFinder(source, answer.row).at_pts(answer.pts)
    if frame is None:
        return SecondLook(note="nobody looked again: the frame cannot be decoded now")
    eyes = _Eyes(lake.exemplars(answer.space), answer, pack, device, frame)
    own = settings_of(answer.row)
    if answer.finding.reason is Reason.NOT_EMBEDDED:
        return SecondLook(own_score=eyes.own_score(own))
    larger = replace(own, det_size=max(STRONG_SIZE, own.det_size))
    return SecondLook((*eyes.looks(own), *eyes.looks(larger)))


@dataclass(frozen=True)
class _Eyes:
    """A frame, the models to look at it with, and the gallery to compare with."""

    exemplars: pa.Table
    answer: Answer
    pack: Pack
    device: Device
    frame: Frame

    def looks(self, settings: IngestSettings) -> tuple[Look, Look]:
        """What a size of the input sees at the usual threshold, and at the weakest."""
        weakest = replace(settings, det_threshold=min(WEAK_THRESHOLD, settings.det_threshold))
        seen = self._see(weakest)
        sure = [face for face in seen if face.det_score >= settings.det_threshold]
        return self._told(settings, sure), self._told(weakest, seen)

    def own_score(self, settings: IngestSettings) -> float | None:
        """What the face that the answer is about scores by itself; ``None`` where it is not seen.

        The box tells which face it is.
        """
        faces = self._see(settings)
        boxes = np.array([face.bbox_xyxy for face in faces], np.float32).reshape(-1, 4)
        box = self.answer.finding.bbox_xyxy
        assert box is not None  # an answer about a face says where it is
        (row,) = match_boxes(box, boxes)
        return None if row < 0 else self._score(faces[row])

    def _see(self, settings: IngestSettings) -> list[Face]:
        """The faces that these settings see, surest first; the first few are embedded."""
        engine = FaceEngine(self.pack, settings, device=self.device, threads=0)
        (found,) = engine.look([self.frame.rgb()])
        vectors = engine.embed([each.chip for each in found[:_MOST_EMBEDDED]])
        faces = [each.face for each in found]
        for place, vector in enumerate(vectors):
            faces[place] = replace(faces[place], embedding=vector)
        return faces

    def _told(self, settings: IngestSettings, faces: list[Face]) -> Look:
        size, threshold = settings.det_size, settings.det_threshold
        if not faces:
            return Look(size, threshold, 0)
        scores = [score for face in faces if (score := self._score(face)) is not None]
        surest, best = faces[0], max(scores, default=None)
        return Look(size, threshold, len(faces), float(surest.det_score), surest.size_px, best)

    def _score(self, face: Face) -> float | None:
        if self.pack.space != self.answer.space or face.embedding is None:
            return None
        scored = score_exemplars(face.embedding[None], self.exemplars)
        return best_score(scored, ANCHOR, GROWN, identity=self.answer.identity)
