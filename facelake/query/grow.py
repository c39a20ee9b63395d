"""Lake × gallery → a larger gallery, and what each of its members does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import GalleryError
from facelake.gallery import (
    ANCHOR,
    GROWN,
    NEGATIVE,
    NOBODY_LEFT,
    TAKEN,
    VETOED,
    Candidates,
    Growth,
    GrowthRules,
    Members,
    choose_grown,
    compare_members,
    compared,
    count_brought_in,
    disagreements,
    face_exemplar_id,
    of_role,
    plain_name,
    refuse_unknown,
    unit_vectors,
)
from facelake.lake import Lake
from facelake.match import score_matrix
from facelake.query.groups import iter_groups
from facelake.query.lake_faces import make_exemplars
from facelake.query.match import match_gallery
from facelake.query.thresholds import choose_threshold
from facelake.schema import GALLERY_AUDIT, GALLERY_MEMBERS, GROWTH, unpack_embeddings

ABOVE_ASKING = 0.20
"""How far above the threshold that one asks at the score of a new exemplar must be."""

_KEPT = ["video_id", "path", "content_id", "face_id", "time_s", "track_id", "bbox_xyxy",
         "det_score", "quality", "embedding", "identity", "score", "margin"]  # fmt: skip


@dataclass(frozen=True)
class Grown:
    """What growing a gallery came to.

    Attributes
    ----------
    table
        Rows of `schema.GROWTH`: the faces that were added, or would be.
    refused
        Identity → why other faces were not taken → how many.
    rules
        What a face had to pass.
    """

    table: pa.Table
    refused: dict[str, dict[str, int]]
    rules: GrowthRules


def choose_growth_rules(
    lake: Lake, space: str, add_threshold: float | None, **rules: float | None
) -> GrowthRules:
    """The rules of growth: what is given, and what follows from the catalog's own threshold.

    Parameters
    ----------
    add_threshold
        ``None`` is 0.20 above the threshold that the catalog keeps.
    rules
        Others of `GrowthRules`; ``None`` is their default.

    Raises
    ------
    CatalogError
        No threshold is given, and the catalog keeps none.
    """
    if add_threshold is None:
        asking, _ = choose_threshold(lake, space, None)
        add_threshold = min(1.0, asking + ABOVE_ASKING)
    given: dict[str, Any] = {name: value for name, value in rules.items() if value is not None}
    return GrowthRules(add_threshold, **given)


def grow_gallery(
    lake: Lake,
    rules: GrowthRules,
    *,
    space: str,
    identity: str | None = None,
    dry_run: bool = False,
) -> Grown:
    """Add faces of the archive to the gallery that are surely its people and say something new.

    Parameters
    ----------
    identity
        Only this one; ``None`` is everybody.
    dry_run
        Change nothing.

    Raises
    ------
    GalleryError
        Nobody is enrolled, or not this one, or nobody has an anchor left.
    CatalogError
        The catalog holds no face of this space.
    """
    exemplars = lake.exemplars(space)
    if identity is not None:
        refuse_unknown(plain_name(identity), exemplars["identity"].to_pylist())
    # Without grown ones: who may become an exemplar is for the anchors to say.
    asked = of_role(exemplars, ANCHOR, NEGATIVE)
    if len(exemplars) and not len(of_role(asked, ANCHOR)):
        raise GalleryError(NOBODY_LEFT)
    scores = match_gallery(lake, asked, min_score=rules.add_threshold)
    if identity is not None:
        scores = scores.filter(pc.field("identity") == plain_name(identity))
    own = scores.filter(pc.equal(scores["face_id"], scores["embedded_face_id"]))
    tracks = _tracks_of_members(lake, exemplars, space)
    tables, refused = [GROWTH.empty_table()], {}
    for name, of_identity in iter_groups(own, "identity"):
        faces = _read_candidates(lake, of_identity, space)
        members = exemplars.filter(pc.field("identity") == name)
        chosen, told = _grow_one(faces, members, tracks, rules)
        refused[name] = told
        if not dry_run and len(chosen.taken):
            rows = faces.take(pa.array(chosen.taken))
            new = make_exemplars(rows, name, GROWN, score=rows["score"], margin=rows["margin"])
            lake.add_exemplars(new, space)
        tables.append(_growth_rows(faces, chosen.taken, chosen.likeness, name))
    return Grown(pa.concat_tables(tables).sort_by("identity"), refused, rules)


def _tracks_of_members(lake: Lake, exemplars: pa.Table, space: str) -> dict[str, int]:
    """The track of each exemplar that is a face of the lake, by ``face_id``."""
    tracks: dict[str, int] = {}
    of_lake = exemplars.filter(pc.is_valid(exemplars["face_id"]))
    known = set(lake.iter_video_ids(space))
    for video_id in sorted(set(of_lake["video_id"].to_pylist()) & known):
        faces = lake.faces(video_id, space, ["face_id", "track_id"])
        faces = faces.filter(pc.is_in(faces["face_id"], of_lake["face_id"].combine_chunks()))
        tracks |= {
            name: -1 if track is None else track
            for name, track in zip(
                faces["face_id"].to_pylist(), faces["track_id"].to_pylist(), strict=True
            )
        }
    return tracks


def _read_candidates(lake: Lake, scores: pa.Table, space: str) -> pa.Table:
    """The faces of some scores with their embeddings, and where they are."""
    videos = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    tables = []
    for video_id, found in iter_groups(scores, "video_id"):
        faces = lake.faces(video_id, space)
        rows = pc.index_in(found["face_id"], faces["face_id"].combine_chunks())
        faces = faces.take(rows)
        for name in ("video_id", "identity", "score", "margin"):
            faces = faces.append_column(name, found[name])
        for name, value in (
            ("path", (videos[video_id]["paths"] or [video_id])[0]),
            ("content_id", videos[video_id]["content_id"]),
        ):
            faces = faces.append_column(name, pa.repeat(pa.scalar(value), len(faces)))
        tables.append(faces.select(_KEPT))
    return pa.concat_tables(tables)


def _grow_one(
    faces: pa.Table, members: pa.Table, tracks: dict[str, int], rules: GrowthRules
) -> tuple[Growth, dict[str, int]]:
    """What to add to one identity, and why not the rest: reason → how many."""
    members = members.filter(pc.not_equal(pc.fill_null(members["role"], ANCHOR), NEGATIVE))
    names = pa.chunked_array([*faces["video_id"].chunks, *members["video_id"].chunks], pa.string())
    codes = pc.fill_null(names.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    of_members = [tracks.get(name, -1) for name in members["face_id"].to_pylist()]
    role = members["role"].to_pylist()
    growth = choose_grown(
        Candidates(
            vectors=unit_vectors(faces["embedding"]),
            name=np.array(faces["face_id"].to_pylist(), str),
            score=faces["score"].to_numpy(),
            margin=pc.fill_null(faces["margin"], float("nan")).to_numpy(),
            quality=faces["quality"].to_numpy(),
            video=codes[: len(faces)].astype(np.int64),
            track=pc.fill_null(faces["track_id"], -1).to_numpy().astype(np.int64),
            time_s=faces["time_s"].to_numpy(),
        ),
        Members(
            vectors=unit_vectors(members["embedding"]),
            is_grown=np.array([one == GROWN for one in role], bool),
            is_vetoed=np.array([one == VETOED for one in role], bool),
            video=codes[len(faces) :].astype(np.int64),
            track=np.array(of_members, np.int64),
            time_s=pc.fill_null(members["time_s"], float("nan")).to_numpy(),
        ),
        rules,
    )
    return growth, dict(Counter(str(why) for why in growth.outcome if why != TAKEN))


def _growth_rows(
    faces: pa.Table, taken: npt.NDArray[np.intp], likeness: npt.NDArray[np.float32], identity: str
) -> pa.Table:
    rows = faces.take(pa.array(taken)).select(
        ["video_id", "path", "face_id", "time_s", "track_id", "quality", "score", "margin"]
    )
    space = faces.schema.field("embedding").metadata[b"space"].decode()
    names = [face_exemplar_id(identity, name, space) for name in rows["face_id"].to_pylist()]
    columns = {name: rows[name] for name in rows.column_names}
    return pa.table(
        {"exemplar_id": names, "identity": [identity] * len(rows), **columns, "likeness": likeness},
        schema=GROWTH,
    )


def list_members(exemplars: pa.Table) -> pa.Table:
    """Every member of a gallery, and whom it is like: rows of `schema.GALLERY_MEMBERS`."""
    if not len(exemplars):
        return GALLERY_MEMBERS.empty_table()
    names = exemplars["identity"].to_pylist()
    is_anchor, is_compared = (
        np.asarray(pc.is_in(exemplars["exemplar_id"], some["exemplar_id"].combine_chunks()))
        for some in (of_role(exemplars, ANCHOR), compared(exemplars))
    )
    told = compare_members(
        names, unit_vectors(exemplars["embedding"]), is_anchor=is_anchor, is_compared=is_compared
    )
    said = disagreements(exemplars)
    notes = zip(exemplars["exemplar_id"].to_pylist(), exemplars["note"].to_pylist(), strict=True)
    added = {
        "role": pc.fill_null(exemplars["role"], ANCHOR),
        "to_anchors": pa.array(told.to_anchors, from_pandas=True),
        "nearest": pa.array([None if row < 0 else names[row] for row in told.nearest]),
        "to_nearest": pa.array(told.to_others, from_pandas=True),
        "note": ["; ".join(filter(None, [note, said.get(name)])) or None for name, note in notes],
    }
    columns = {name: added.get(name) for name in GALLERY_MEMBERS.names}
    return pa.table(
        {name: exemplars[name] if value is None else value for name, value in columns.items()},
        schema=GALLERY_MEMBERS,
    )


def audit_gallery(lake: Lake, exemplars: pa.Table, threshold: float) -> pa.Table:
    """What each member of a gallery does today: rows of `schema.GALLERY_AUDIT`.

    Parameters
    ----------
    threshold
        Lowest score of a face that counts, in [−1, 1].

    Raises
    ------
    GalleryError
        Nobody is enrolled, or nobody has an exemplar left.
    CatalogError
        The catalog holds no face of the gallery's space.
    """
    scores = match_gallery(lake, exemplars, min_score=threshold)
    rows, against = compared(exemplars), of_role(exemplars, NEGATIVE)
    n_faces, n_alone = np.zeros((2, len(rows)), np.int64)
    for video_id, found in iter_groups(scores, "video_id"):
        of_video = _count_alone(lake, video_id, found, rows, against, threshold)
        n_faces, n_alone = n_faces + of_video[0], n_alone + of_video[1]
    members = list_members(exemplars)
    place = pc.index_in(members["exemplar_id"], rows["exemplar_id"].combine_chunks())
    counts = [pa.array(n).take(place) for n in (n_faces, n_alone)]
    return pa.table([*members.columns, *counts], schema=GALLERY_AUDIT)


def _count_alone(
    lake: Lake,
    video_id: str,
    scores: pa.Table,
    exemplars: pa.Table,
    against: pa.Table,
    threshold: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of one video, the faces that each exemplar brings in, and those that no other would."""
    space = exemplars.schema.field("embedding").metadata[b"space"].decode()
    told = scores.group_by("embedded_face_id", use_threads=False).aggregate(
        [("face_id", "count"), *((name, "first") for name in ("identity", "score", "margin"))]
    )
    faces = lake.faces(video_id, space, ["face_id", "embedding"])
    faces = faces.take(pc.index_in(told["embedded_face_id"], faces["face_id"].combine_chunks()))
    margin = pc.fill_null(told["margin_first"], float("inf")).to_numpy()
    return count_brought_in(
        _each_score(faces, exemplars),
        _each_score(faces, against),
        is_own=_same_identity(told["identity_first"], exemplars),
        is_own_negative=_same_identity(told["identity_first"], against),
        bar=np.maximum(np.float32(threshold), told["score_first"].to_numpy() - margin),
        n_faces=told["face_id_count"].to_numpy(),
    )


def _each_score(faces: pa.Table, exemplars: pa.Table) -> npt.NDArray[np.float32]:
    """The score of every face with every exemplar, as a match gives it."""
    n = len(exemplars)
    return score_matrix(
        unpack_embeddings(faces["embedding"]),
        unit_vectors(exemplars["embedding"]),
        np.arange(n),
        n_identities=n,
    )


def _same_identity(names: pa.ChunkedArray, exemplars: pa.Table) -> npt.NDArray[np.bool_]:
    of_face, of_exemplar = np.array(names.to_pylist()), exemplars["identity"].to_pylist()
    same: npt.NDArray[np.bool_] = of_face[:, None] == np.array(of_exemplar, of_face.dtype)
    return same
