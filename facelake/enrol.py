"""The enrol corridor: photos → faces → gallery → lake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
import pyarrow as pa

from facelake.errors import GalleryError, PackError
from facelake.faces import FaceEngine, Pack, find_in_photo, find_pack, read_photo
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


@dataclass(frozen=True)
class Enrolled:
    """What enrolling some photos came to.

    Attributes
    ----------
    space
        The space of the exemplars.
    outcomes
        One for each photo, in order.
    passed_over
        Files that are no photos by their names: ending → how many.
    """

    space: str
    outcomes: tuple[Outcome, ...]
    passed_over: dict[str, int]


def enrol_photos(
    root: str | Path,
    photos: str | Path,
    *,
    identity: str | None = None,
    pack: str | Path | None = None,
    device: Device = "auto",
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Enrolled:
    """Put the faces of photos into a catalog's gallery.

    Enrolling the same photo again changes nothing; further photos of a person add exemplars.

    Parameters
    ----------
    photos
        A folder with a folder per person or photos named after them, or one photo.
    identity
        Who all the photos are of, instead of what folders and files are called.
    pack
        ``None`` is the pack that the catalog's videos were ingested with.
    replace
        Drop the exemplars that the enrolled people had before.
    progress
        Called with the number of photos done and of all.

    Raises
    ------
    GalleryError
        No photo is there, or none is usable.
    PackError
        The pack is not to be had, or is another one than the videos were ingested with.
    """
    found = find_references(photos, PHOTO_EXTENSIONS, identity=identity)
    lake = Lake.create(root)
    chosen = _choose_pack(lake, pack)
    engine = FaceEngine(chosen, IngestSettings(), device=device, threads=0)
    rows, outcomes = [], []
    for done, reference in enumerate(found.references):
        row, outcome = _look(engine, reference)
        rows.append(row)
        outcomes.append(outcome)
        progress(done + 1, len(found.references))
    exemplars = _table(engine, [row for row in rows if row is not None])
    if not len(exemplars):
        reasons = "; ".join(f"{Path(one.photo).name}: {one.note}" for one in outcomes[:3])
        raise GalleryError(f"{photos}: at least one photo must be usable, but none is ({reasons})")
    lake.add_space(
        chosen.space,
        dim=engine.dim,
        pack=chosen.name,
        licence=chosen.licence,
        embedder_sha256=chosen.embedder_sha256,
    )
    earlier = _earlier(lake, exemplars, chosen.space) if replace else []
    lake.add_exemplars(exemplars, chosen.space)
    lake.drop_exemplars(earlier, chosen.space)  # last, so that nobody is ever left without
    told = _with_disagreements(outcomes, lake.exemplars(chosen.space))
    return Enrolled(chosen.space, tuple(told), found.passed_over)


def _choose_pack(lake: Lake, pack: str | Path | None) -> Pack:
    """The pack that was asked for, when it is one that the videos' faces can be compared with."""
    held = sorted(set(lake.runs()["space"].to_pylist()))
    names = [str(lake.spaces.get(space, {}).get("pack", space)) for space in held]
    if pack is None and len(held) > 1:
        raise PackError(
            f"{lake.where}: its videos were ingested with several packs; name one with --pack: "
            f"{', '.join(names)}"
        )
    try:
        chosen = find_pack(pack or (names[0] if names else "buffalo_sc"))
    except PackError as error:
        if pack is None and held:
            raise PackError(
                f"{lake.where}: its videos were ingested with the pack {names[0]!r}, which is not "
                "found by its name here; give the folder it is in with --pack"
            ) from error
        raise
    if held and chosen.space not in held:
        raise PackError(
            f"{lake.where}: photos must be enrolled with the pack of the videos, "
            f"{' or '.join(names)} ({', '.join(held)}), but {chosen.name!r} is {chosen.space}; "
            "embeddings of two models cannot be compared"
        )
    return chosen


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
    said = {_key(exemplars, row): sentence for row, sentence in found}
    told = []
    for one in outcomes:
        more = said.get((one.identity, one.photo)) if one.used else None
        told.append(changed(one, note="; ".join(filter(None, [one.note, more]))) if more else one)
    return told


def _key(exemplars: pa.Table, row: int) -> tuple[str, str]:
    return exemplars["identity"][row].as_py(), exemplars["photo"][row].as_py()
