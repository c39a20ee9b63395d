"""What was seen as rows of the catalog's tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.faces.chip import CHIP_FORMAT
from facelake.ingest.look import Look
from facelake.schema import (
    CHIPS,
    FACES,
    REFINED,
    SAMPLES,
    UNDECODED,
    Stretch,
    VideoFacts,
    face_id,
    pack_embeddings,
    with_embedding,
)


def sample_rows(facts: VideoFacts, stretch: Stretch, looks: Sequence[Look]) -> pa.Table:
    """One row per instant that was looked at, or should have been and could not be decoded."""
    pts = np.array([look.pts for look in looks], np.int64)
    lost = _lost(stretch, looks)
    if len(stretch.frame_pts):
        shown = stretch.frame_shown_s[np.searchsorted(stretch.frame_pts, pts)]
    else:
        shown = np.full(len(pts), 1.0 / (facts.assumed_fps or 25.0))
    all_pts = np.concatenate([pts, lost])
    order = np.argsort(all_pts, kind="stable")
    base = facts.time_base
    columns = {
        "pts": all_pts,
        # One multiplication and one division: the nearest float64 to the exact time.
        "time_s": all_pts * base.numerator / base.denominator,
        "shown_s": np.concatenate([shown, np.zeros(len(lost))]),
        "n_faces": np.array([len(look.faces) for look in looks] + [0] * len(lost), np.int32),
        "status": np.array(["ok"] * len(pts) + ["undecodable"] * len(lost), object),
        "source": np.array([look.source for look in looks] + [UNDECODED] * len(lost), object),
        "new_shot": np.array([look.new_shot for look in looks] + [None] * len(lost), object),
    }
    return pa.table({name: column[order] for name, column in columns.items()}, schema=SAMPLES)


def _lost(stretch: Stretch, looks: Sequence[Look]) -> npt.NDArray[np.int64]:
    """The wanted instants that no frame answered."""
    seen = np.array([look.pts for look in looks if look.source != REFINED], np.int64)
    answered = np.searchsorted(stretch.want_pts, seen, side="right") - 1
    return np.delete(stretch.want_pts, answered) if len(stretch.want_pts) else stretch.want_pts


def face_rows(content_id: str, space: str, dim: int, looks: Sequence[Look]) -> pa.Table:
    """One row per face; ``track_id`` is the number of its fragment within the stretch."""
    seen = [(look, face) for look in looks for face in look.faces]
    faces = [face for _, face in seen]
    columns = {
        "face_id": [face_id(content_id, look.pts, face.bbox_xyxy) for look, face in seen],
        "pts": [look.pts for look, _ in seen],
        "time_s": [look.time_s for look, _ in seen],
        "bbox_xyxy": _lists([face.bbox_xyxy for face in faces], 4),
        "det_score": [face.det_score for face in faces],
        "landmarks": _lists([face.landmarks.ravel() for face in faces], 10),
        "align_rms": [face.align_rms for face in faces],
        "sharpness": [face.sharpness for face in faces],
        "quality": [face.quality for face in faces],
        "track_id": list(chain.from_iterable(look.fragment for look in looks)),
        "embedded_face_id": [None] * len(seen),  # known when the tracks are
    }
    table = pa.table(columns, schema=FACES)
    unknown = np.full(dim, np.nan, np.float32)
    vectors = [unknown if face.embedding is None else face.embedding for face in faces]
    packed = pack_embeddings(np.array(vectors, np.float32).reshape(len(vectors), dim))
    return pa.table([*table.columns, packed], schema=with_embedding(FACES, space, dim))


def chip_rows(content_id: str, looks: Sequence[Look]) -> pa.Table:
    """One row per face whose chip is kept."""
    kept = [
        (face_id(content_id, look.pts, look.faces[place].bbox_xyxy), look.pts, picture)
        for look in looks
        for place, picture in sorted(look.pictures.items())
    ]
    columns = {
        "face_id": [name for name, _, _ in kept],
        "pts": [pts for _, pts, _ in kept],
        "picture": [picture for _, _, picture in kept],
        "format": [CHIP_FORMAT] * len(kept),
    }
    return pa.table(columns, schema=CHIPS)


def _lists(rows: list[npt.NDArray[np.float32]], width: int) -> pa.Array:
    flat = np.array(rows, np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
