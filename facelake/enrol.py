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
    ANCHOR,
    GROWN,
    NEGATIVE,
    Outcome,
    Reference,
    choose_face,
    exemplar_id,
    find_references,
    keep_decided,
    of_role,
    plain_name,
    refuse_unknown,
    with_disagreements,
)
from facelake.lake import Lake
from facelake.schema import (
    EXEMPLARS,
    Device,
    Face,
    IngestSettings,
    pack_embeddings,
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

    Enrolling the same photo again changes nothing; further photos of a person add exemplars. A
    photo that was vetoed, or said not to be the person, stays so.

    Parameters
    ----------
    photos
        A folder with a folder per person or photos named after them, or one photo.
    identity
        Who all the photos are of, instead of what folders and files are called.
    pack
        ``None`` is the pack that the catalog's videos were ingested with.
    replace
        Drop the anchors and grown exemplars that the enrolled people had before.
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
    seen = _look_at_all(lake, photos, found.references, pack, device, ANCHOR, progress)
    space = seen.pack.space
    lake.add_space(
        space,
        dim=seen.dim,
        pack=seen.pack.name,
        licence=seen.pack.licence,
        embedder_sha256=seen.pack.embedder_sha256,
    )
    known = lake.exemplars(space)
    exemplars, refused = keep_decided(seen.exemplars, known)
    lake.add_exemplars(exemplars, space)
    if replace:  # last, so that nobody is ever left without
        lake.drop_exemplars(_earlier(known, seen.exemplars), space)
    outcomes = [_with_refusal(one, refused) for one in seen.outcomes]
    told = with_disagreements(outcomes, lake.exemplars(space))
    return Enrolled(space, told, found.passed_over)


def add_negative_photos(
    root: str | Path,
    photos: str | Path,
    identity: str,
    *,
    pack: str | Path | None = None,
    device: Device = "auto",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Enrolled:
    """Say of photos that they are not a person, however alike.

    Parameters
    ----------
    photos
        A folder of photos, or one photo.
    identity
        Who they are not; must be enrolled.
    pack, device, progress
        As for `enrol_photos`.

    Raises
    ------
    GalleryError
        Nobody of this name is enrolled, no photo is there, or none is usable.
    PackError
        The pack is not to be had, or is another one than the videos were ingested with.
    """
    lake = Lake.open(root)
    known = {who for space in lake.spaces for who in lake.exemplars(space)["identity"].to_pylist()}
    refuse_unknown(plain_name(identity), sorted(known))
    found = find_references(photos, PHOTO_EXTENSIONS, identity=identity)
    seen = _look_at_all(lake, photos, found.references, pack, device, NEGATIVE, progress)
    lake.add_exemplars(seen.exemplars, seen.pack.space)
    return Enrolled(seen.pack.space, seen.outcomes, found.passed_over)


@dataclass(frozen=True)
class _Seen:
    """What looking at photos came to."""

    pack: Pack
    dim: int
    exemplars: pa.Table
    outcomes: tuple[Outcome, ...]


def _look_at_all(
    lake: Lake,
    photos: str | Path,
    references: tuple[Reference, ...],
    pack: str | Path | None,
    device: Device,
    role: str,
    progress: Callable[[int, int], None],
) -> _Seen:
    """The exemplars of photos; ``photos`` is where they lie.

    Raises
    ------
    GalleryError
        No photo is usable.
    """
    chosen = choose_pack(lake, pack)
    engine = FaceEngine(chosen, IngestSettings(), device=device, threads=0)
    rows, outcomes = [], []
    for done, reference in enumerate(references):
        row, outcome = _look(engine, reference, role)
        rows.append(row)
        outcomes.append(outcome)
        progress(done + 1, len(references))
    exemplars = _table(engine, [row for row in rows if row is not None])
    if not len(exemplars):
        reasons = "; ".join(f"{Path(one.photo).name}: {one.note}" for one in outcomes[:3])
        raise GalleryError(f"{photos}: at least one photo must be usable, but none is ({reasons})")
    return _Seen(chosen, engine.dim, exemplars, tuple(outcomes))


def _with_refusal(outcome: Outcome, refused: dict[str, str]) -> Outcome:
    """The outcome of a photo; of one that was vetoed before, that it is not used."""
    why = refused.get(outcome.exemplar_id)
    return changed(outcome, used=False, note=why, exemplar_id="") if why else outcome


def choose_pack(lake: Lake, pack: str | Path | None) -> Pack:
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


def _look(
    engine: FaceEngine, reference: Reference, role: str
) -> tuple[dict[str, object] | None, Outcome]:
    try:
        photo = read_photo(reference.photo)
        face, note = choose_face(find_in_photo(engine, photo))
    except GalleryError as error:
        face, note = None, str(error).removeprefix(f"{reference.photo}: ")
    path = str(reference.photo.absolute())
    if face is None:
        return None, Outcome(reference.identity, path, used=False, note=note)
    row = _row(engine, reference, face, note) | {"role": role}
    name = str(row["exemplar_id"])
    return row, Outcome(reference.identity, path, used=True, note=note, exemplar_id=name)


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


def _earlier(known: pa.Table, exemplars: pa.Table) -> list[str]:
    """Anchors and grown exemplars of the same people that are not among the new ones."""
    people, new = set(exemplars["identity"].to_pylist()), exemplars["exemplar_id"].to_pylist()
    rows = of_role(known, ANCHOR, GROWN).select(["exemplar_id", "identity"]).to_pylist()
    return [
        row["exemplar_id"]
        for row in rows
        if row["identity"] in people and row["exemplar_id"] not in new
    ]
