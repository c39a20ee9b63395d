"""Faces of the lake → exemplars: who is who, and who is not whom, without a photo or a model."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import GalleryError
from facelake.gallery import (
    ANCHOR,
    NEGATIVE,
    VETOED,
    Outcome,
    keep_decided,
    of_role,
    plain_name,
    refuse_unknown,
    with_disagreements,
)
from facelake.lake import Lake
from facelake.query.lake_faces import make_exemplars, read_best_of_tracks, read_faces_by_id


def enrol_lake_faces(
    lake: Lake,
    identity: str,
    *,
    space: str,
    face_ids: Sequence[str] = (),
    tracks: Sequence[tuple[str, int]] = (),
) -> tuple[Outcome, ...]:
    """Make faces of the lake anchors of an identity; what became of each.

    A grown exemplar that is named becomes an anchor. What was vetoed or said to be somebody else
    stays so.

    Parameters
    ----------
    face_ids
        Faces by name; of one without an embedding, the face that stands for it is taken.
    tracks
        Videos and numbers of tracks; of each its best faces that differ from each other.

    Raises
    ------
    CatalogError
        There is no such face, video or track, or none of it is embedded.
    ValueError
        The identity is blank, or neither a face nor a track is named.
    """
    name = _refuse_blank(identity)
    faces = _named_faces(lake, space, face_ids, tracks)
    known = lake.exemplars(space)
    new = make_exemplars(faces, name, ANCHOR)
    chosen, refused = keep_decided(new, known)
    lake.add_exemplars(_without(chosen, of_role(known, ANCHOR)), space)
    outcomes = [
        Outcome(name, photo, used=exemplar not in refused, note=refused.get(exemplar, note),
                exemplar_id="" if exemplar in refused else exemplar)
        for exemplar, photo, note in zip(
            new["exemplar_id"].to_pylist(), new["photo"].to_pylist(), _notes(faces), strict=True
        )
    ]  # fmt: skip
    return with_disagreements(outcomes, lake.exemplars(space))


def add_negative_faces(
    lake: Lake, identity: str, *, space: str, face_ids: Sequence[str]
) -> tuple[Outcome, ...]:
    """Say of faces of the lake that they are not an identity, however alike; gives what became.

    Raises
    ------
    GalleryError
        Nobody of this name is enrolled.
    CatalogError
        There is no such face.
    ValueError
        No face is named.
    """
    name, known = _refuse_blank(identity), lake.exemplars(space)
    refuse_unknown(name, known["identity"].to_pylist())
    faces = _named_faces(lake, space, face_ids, ())
    new = make_exemplars(faces, name, NEGATIVE)
    lake.add_exemplars(_without(new, of_role(known, NEGATIVE)), space)
    told = zip(new["photo"].to_pylist(), _notes(faces), new["exemplar_id"].to_pylist(), strict=True)
    return tuple(Outcome(name, photo, used=True, note=n, exemplar_id=i) for photo, n, i in told)


def veto_exemplars(lake: Lake, exemplar_ids: Sequence[str], *, space: str) -> pa.Table:
    """Let exemplars take part no more: not compared, and neither they nor their twins grown again.

    Returns
    -------
    pyarrow.Table
        The exemplars, rows of `schema.EXEMPLARS`.

    Raises
    ------
    GalleryError
        There is no such exemplar.
    """
    rows = _find_exemplars(lake, exemplar_ids, space)
    place = rows.schema.get_field_index("role")
    vetoed = pa.array([VETOED] * len(rows), pa.string())
    rows = rows.set_column(place, rows.schema.field(place), vetoed)
    lake.add_exemplars(rows, space)
    return rows


def remove_exemplars(lake: Lake, exemplar_ids: Sequence[str], *, space: str) -> pa.Table:
    """Take exemplars out of the gallery, of whatever role; gives what they were.

    Raises
    ------
    GalleryError
        There is no such exemplar.
    """
    rows = _find_exemplars(lake, exemplar_ids, space)
    lake.drop_exemplars(rows["exemplar_id"].to_pylist(), space)
    return rows


def _find_exemplars(lake: Lake, exemplar_ids: Sequence[str], space: str) -> pa.Table:
    known = lake.exemplars(space)
    unknown = sorted(set(exemplar_ids) - set(known["exemplar_id"].to_pylist()))
    if unknown or not exemplar_ids:
        raise GalleryError(
            f"{unknown[0] if unknown else 'no name'}: must be the name of an exemplar, 16 hex "
            f"digits, but the gallery has none of this name; facelake gallery -c {lake.where} "
            "lists them"
        )
    return known.filter(pc.is_in(known["exemplar_id"], pa.array(exemplar_ids, pa.string())))


def _named_faces(
    lake: Lake, space: str, face_ids: Sequence[str], tracks: Sequence[tuple[str, int]]
) -> pa.Table:
    """The faces that were asked for, each once."""
    if not face_ids and not tracks:
        raise ValueError("faces or tracks of the catalog must be named, but neither is")
    found = [*read_faces_by_id(lake, space, face_ids), *read_best_of_tracks(lake, space, tracks)]
    faces = pa.concat_tables(found)
    first = faces["face_id"].to_pylist()
    once = [row for row, name in enumerate(first) if name not in first[:row]]
    return faces.take(pa.array(once))


def _notes(faces: pa.Table) -> list[str]:
    pairs = zip(faces["asked"].to_pylist(), faces["face_id"].to_pylist(), strict=True)
    return [
        "" if asked == name else f"stands for {asked}, which has no embedding of its own"
        for asked, name in pairs
    ]


def _without(new: pa.Table, known: pa.Table) -> pa.Table:
    """The new exemplars that are not there already as what they are to be."""
    return new.filter(
        pc.invert(pc.is_in(new["exemplar_id"], known["exemplar_id"].combine_chunks()))
    )


def _refuse_blank(identity: str) -> str:
    if not plain_name(identity):
        raise ValueError("identity must be a name, but is blank")
    return plain_name(identity)
