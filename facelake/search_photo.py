"""The corridor of questions: something of the catalog, or a photo → the faces to search for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from facelake.enrol import choose_pack
from facelake.errors import GalleryError
from facelake.faces import FaceEngine, find_in_photo, read_photo
from facelake.gallery import exemplar_id
from facelake.lake import Lake
from facelake.query.questions import ask_identity, ask_lake, refuse_unknown_query
from facelake.schema import (
    EXEMPLARS,
    Device,
    Face,
    IngestSettings,
    pack_embeddings,
    with_embedding,
)


def find_queries(
    lake: Lake,
    query: str | Path | None,
    space: str,
    *,
    identity: str | None = None,
    face_number: int | None = None,
    pack: str | Path | None = None,
    device: Device = "auto",
) -> pa.Table:
    """The faces that a question means: rows of `schema.EXEMPLARS` with their embeddings.

    Parameters
    ----------
    query
        A face, a video or an instant of the catalog, as `ask_lake` takes it, else a photo.
    identity
        An enrolled person instead.
    face_number, pack, device
        For a photo; see `ask_photo`.

    Raises
    ------
    CatalogError
        The query names nothing, or several videos.
    GalleryError
        The photo shows no face, or nobody of this name is enrolled.
    ValueError
        Neither a query nor an identity is given, or both; or a face number without a photo.
    """
    if (query is None) == (identity is None):
        raise ValueError("a search takes a query or an identity: one of them, not both")
    name = str(query)
    asked = ask_lake(lake, name, space) if identity is None else ask_identity(lake, identity, space)
    if asked is None and Path(name).expanduser().is_file():
        return ask_photo(lake, name, space, face_number=face_number, pack=pack, device=device)
    if asked is None:
        refuse_unknown_query(lake, name, space)
    if face_number is not None:
        raise ValueError(f"face_number chooses a face of a photo, but {identity or name} is none")
    return asked


def ask_photo(
    lake: Lake,
    photo: str | Path,
    space: str,
    *,
    face_number: int | None = None,
    pack: str | Path | None = None,
    device: Device = "auto",
) -> pa.Table:
    """The faces of a photo as queries: rows of `schema.EXEMPLARS`; nothing is stored.

    Several faces are numbered by size, the largest is 1.

    Parameters
    ----------
    space
        The catalog's space to search in.
    face_number
        Only this face; ``None`` is all.
    pack
        Name or folder of a model pack; ``None`` is the one that the space was made with.

    Raises
    ------
    GalleryError
        The photo cannot be read, holds no face, or not so many.
    PackError
        The pack is not to be had, or is another one than the videos were ingested with.
    """
    path = Path(photo).expanduser()
    picture = read_photo(path)
    told = lake.spaces.get(space, {}).get("pack") if pack is None else pack
    engine = FaceEngine(choose_pack(lake, told), IngestSettings(), device=device, threads=0)
    faces = sorted(find_in_photo(engine, picture), key=lambda face: face.size_px, reverse=True)
    if not faces:
        raise GalleryError(
            f"{path}: a photo that is searched for must show a face, but none was found; take a "
            "sharper one that shows the whole face"
        )
    names = [f"{path.name} face {n}" for n in range(1, len(faces) + 1)]
    if face_number is not None:
        if not 1 <= face_number <= len(faces):
            raise GalleryError(
                f"{path}: face_number must lie in 1 to {len(faces)}, the faces that were found, "
                f"but is {face_number}"
            )
        chosen = slice(face_number - 1, face_number)
        faces, names = faces[chosen], names[chosen]
    return _queries(engine, path, faces, names if len(names) > 1 or face_number else [path.name])


def _queries(engine: FaceEngine, path: Path, faces: list[Face], names: list[str]) -> pa.Table:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = [
        {
            "exemplar_id": exemplar_id(name, sha256, engine.space),
            "identity": name,
            "photo": str(path.absolute()),
            "photo_sha256": sha256,
            "bbox_xyxy": face.bbox_xyxy,
            "det_score": face.det_score,
            "quality": face.quality,
        }
        for name, face in zip(names, faces, strict=True)
    ]
    vectors = np.array([face.embedding for face in faces], np.float32).reshape(-1, engine.dim)
    told = pa.Table.from_pylist(rows, schema=EXEMPLARS)
    schema = with_embedding(EXEMPLARS, engine.space, engine.dim)
    return pa.table([*told.columns, pack_embeddings(vectors)], schema=schema)
