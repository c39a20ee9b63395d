"""Who or what must be forgotten, and which faces, videos and clips that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery import Probes, plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.lake.forget.rewrite import read_faces
from facelake.lake.forget.tombstones import FACE, TRACK, VIDEO
from facelake.lake.labels import read_labels
from facelake.lake.names import find_video
from facelake.match import Negatives, score_identities
from facelake.people import settle_labels
from facelake.schema import unpack_embeddings


@dataclass(frozen=True)
class Request:
    """Who or what must be forgotten: exactly one of identity, faces and video.

    Attributes
    ----------
    identity
        Everybody enrolled under this name, every face that is most like them, and every face
        that a label says is them.
    threshold
        Lowest score of such a face.
    face_ids
        Faces by name.
    video
        A video's id, path or file name.
    faces_only
        Keep to the faces. Otherwise the whole track of a face goes: it shows the same person.
    outputs
        Folders to look for clips in.
    """

    identity: str | None = None
    threshold: float = 0.30
    face_ids: tuple[str, ...] = ()
    video: str | None = None
    faces_only: bool = False
    outputs: tuple[str | Path, ...] = ()

    def __post_init__(self) -> None:
        n_named = (self.identity is not None) + bool(self.face_ids) + (self.video is not None)
        if n_named != 1:
            raise ValueError(
                "exactly one of an identity, faces and a video must be named, but "
                f"{n_named or 'none'} are"
            )
        if not -1.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in [-1, 1], but is {self.threshold}")

    @property
    def kind(self) -> str:
        """``identity``, ``face`` or ``video``."""
        if self.identity is not None:
            return "identity"
        return "face" if self.video is None else "video"

    @property
    def scope(self) -> str:
        """The scope of the tombstones."""
        if self.video is not None:
            return VIDEO
        return FACE if self.faces_only else TRACK


class Seeker:
    """Finds what a request means in a catalog.

    Raises
    ------
    GalleryError
        Nobody of this name is enrolled, and no face is labelled so.
    CatalogError
        Several videos have this name.
    """

    def __init__(self, lake: Lake, request: Request, runs: Sequence[dict[str, Any]]) -> None:
        self._lake, self._request = lake, request
        self._galleries: dict[str, _Gallery] = {}
        self._named = list(request.face_ids)
        self.video_id = None if request.video is None else find_video(request.video, runs)
        if request.identity is not None:
            self._named = _labelled_faces(lake, request.identity)
            self._galleries = _galleries(lake, request.identity, is_labelled=bool(self._named))

    @property
    def exemplars(self) -> dict[str, pa.Table]:
        """The exemplars of the identity, by space."""
        return {space: gallery.own for space, gallery in self._galleries.items()}

    def face_ids(self, run: dict[str, Any]) -> pa.Array:
        """The faces of a run that are meant; ``run`` is its ``videos`` row."""
        request, space = self._request, run["space"]
        if request.video is not None or not run["n_samples"]:
            return pa.array([], pa.string())
        names = read_faces(self._lake, run, ["face_id"])["face_id"].combine_chunks()
        found = names.filter(pc.is_in(names, pa.array(self._named, pa.string())))
        if space not in self._galleries:
            return found
        faces = read_faces(self._lake, run, ["face_id", "embedded_face_id", "embedding"])
        alike = self._galleries[space].most_like(faces, request.threshold)
        return pc.unique(pa.concat_arrays([found, alike]))


@dataclass(frozen=True)
class _Gallery:
    """Everybody enrolled in a space, and who of them is meant."""

    table: pa.Table
    identity: str

    @property
    def own(self) -> pa.Table:
        return self.table.filter(pc.field("identity") == self.identity)

    def most_like(self, faces: pa.Table, threshold: float) -> pa.Array:
        """The faces that spans at this threshold are made of; a stand-in's score is its faces'."""
        probes = Probes.of(self.table)
        known = faces.filter(pc.is_valid(faces["embedding"]))
        match = score_identities(
            unpack_embeddings(known["embedding"]),
            probes.vectors,
            probes.identity_of,
            n_identities=len(probes.names),
            negatives=Negatives(probes.negatives, probes.negative_of),
        )
        own = np.flatnonzero(probes.names == self.identity)  # none where all are vetoed
        meant = np.isin(match.identity, own) & (match.score >= threshold)
        found = known["face_id"].filter(pa.array(meant)).combine_chunks()
        stood_for = faces["face_id"].filter(pc.is_in(faces["embedded_face_id"], found))
        return pa.concat_arrays([found, stood_for.combine_chunks()])


def _labelled_faces(lake: Lake, identity: str) -> list[str]:
    """The faces that labels say are an identity's."""
    settled = settle_labels(read_labels(lake))
    name = plain_name(identity)
    return sorted(face_id for face_id, label in settled.items() if label.name == name)


def _galleries(lake: Lake, identity: str, *, is_labelled: bool) -> dict[str, _Gallery]:
    """The galleries that know an identity, by space."""
    name = plain_name(identity)
    tables = {space: lake.exemplars(space) for space in sorted(lake.spaces)}
    known = {who for table in tables.values() for who in table["identity"].to_pylist()}
    if not is_labelled:
        refuse_unknown(name, sorted(known))
    galleries = {space: _Gallery(table, name) for space, table in tables.items()}
    return {space: gallery for space, gallery in galleries.items() if len(gallery.own)}
