"""The enrol corridor: photos → faces → gallery → lake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from facelake.errors import GalleryError
from facelake.faces import FaceEngine, find_in_photo, find_pack, read_photo
from facelake.faces.photo import PHOTO_EXTENSIONS
from facelake.gallery import (
    Outcome,
    Reference,
    choose_face,
    exemplar_id,
    find_disagreements,
    find_references,
)
from facelake.lake import Lake
from facelake.schema import (
    EXEMPLARS,
    Device,
    Face,
    IngestSettings,
    pack_embeddings,
    unpack_embeddings,
    with_embedding,
)


def enrol_photos(
    root: str | Path,
    photos: str | Path,
    *,
    pack: str | Path = "buffalo_sc",
    device: Device = "auto",
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[str, list[Outcome]]:
    """Put the faces of photos into a catalog's gallery.

    Enrolling the same photo again changes nothing; further photos of a person add exemplars.

    Parameters
    ----------
    photos
        A folder with a folder per person or photos named after them, or one photo.
    replace
        Drop the exemplars that the enrolled people had before.
    progress
        Called with the number of photos done and of all.

    Returns
    -------
    space
        The space of the exemplars.
    outcomes
        One for each photo, in order.

    Raises
    ------
    GalleryError
        No photo is there, or none is usable.
    """
    references = find_references(photos, PHOTO_EXTENSIONS)
    chosen = find_pack(pack)
    engine = FaceEngine(chosen, IngestSettings(), device=device, threads=0)
    lake = Lake.create(root)
    rows, outcomes = [], []
    for done, reference in enumerate(references):
        row, outcome = _look(engine, reference)
        rows.append(row)
        outcomes.append(outcome)
        progress(done + 1, len(references))
    exemplars = _table(engine, [row for row in rows if row is not None])
    if not len(exemplars):
        reasons = "; ".join(f"{Path(one.photo).name}: {one.note}" for one in outcomes[:3])
        raise GalleryError(f"{photos}: no photo is usable ({reasons})")
    lake.add_space(
        chosen.space,
        dim=engine.dim,
        pack=chosen.name,
        licence=chosen.licence,
        embedder_sha256=chosen.embedder_sha256,
    )
    if replace:
        lake.drop_exemplars(_earlier(lake, exemplars, chosen.space), chosen.space)
    lake.add_exemplars(exemplars, chosen.space)
    return chosen.space, _with_disagreements(outcomes, lake.exemplars(chosen.space))


def _look(engine: FaceEngine, reference: Reference) -> tuple[dict[str, object] | None, Outcome]:
    try:
        photo = read_photo(reference.photo)
        face, note = choose_face(find_in_photo(engine, photo))
    except GalleryError as error:
        face, note = None, str(error).removeprefix(f"{reference.photo}: ")
    path = str(reference.photo.absolute())
    outcome = Outcome(reference.identity, path, face is not None, note)
    return (None if face is None else _row(engine, reference, face, note)), outcome


def _row(engine: FaceEngine, reference: Reference, face: Face, note: str) -> dict[str, object]:
    sha256 = hashlib.sha256(reference.photo.read_bytes()).hexdigest()
    return {
        "exemplar_id": exemplar_id(reference.identity, sha256, engine.space),
        "identity": reference.identity,
        "photo": str(reference.photo.absolute()),
        "photo_sha256": sha256,
        "bbox_xyxy": face.bbox_xyxy,
        "det_score": face.det_score,
        "quality": face.quality,
        "note": note or None,
        "embedding": face.embedding,
    }


def _table(engine: FaceEngine, rows: list[dict[str, object]]) -> pa.Table:
    vectors = np.array([row["embedding"] for row in rows], np.float32).reshape(-1, engine.dim)
    table = pa.Table.from_pylist(rows, schema=EXEMPLARS)
    schema = with_embedding(EXEMPLARS, engine.space, engine.dim)
    return pa.table([*table.columns, pack_embeddings(vectors)], schema=schema)


def _earlier(lake: Lake, exemplars: pa.Table, space: str) -> list[str]:
    """Exemplars of the same people that are not among the new ones."""
    people, new = set(exemplars["identity"].to_pylist()), exemplars["exemplar_id"].to_pylist()
    rows = lake.exemplars(space).select(["exemplar_id", "identity"]).to_pylist()
    return [
        row["exemplar_id"]
        for row in rows
        if row["identity"] in people and row["exemplar_id"] not in new
    ]


def _with_disagreements(outcomes: list[Outcome], exemplars: pa.Table) -> list[Outcome]:
    """The outcomes, with what the whole gallery says against a photo added to its note."""
    vectors = unpack_embeddings(exemplars["embedding"]).astype(np.float32)
    found = find_disagreements(exemplars["identity"].to_pylist(), vectors)
    said = {exemplars["photo"][row].as_py(): sentence for row, sentence in found}
    return [
        Outcome(one.identity, one.photo, one.used, "; ".join(filter(None, [one.note, more])))
        if one.used and (more := said.get(one.photo))
        else one
        for one in outcomes
    ]
