"""The corridor of photo pairs: labelled pairs of pictures → faces → a score for each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import GalleryError, SourceError
from facelake.evaluate import THRESHOLDS, PairErrors, evaluate_pairs, read_pairs
from facelake.faces import FaceEngine, find_in_photo, find_pack, read_photo
from facelake.schema import PAIRS, PICTURES, Device, Face, IngestSettings
from facelake.words import counted


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of pictures with their scores.

    Attributes
    ----------
    pairs
        Rows of `schema.PAIRS`; ``score`` is null where one of the two could not be enrolled.
    pictures
        Rows of `schema.PICTURES`, one for each picture.
    space
        The space of the embeddings that were compared.
    """

    pairs: pa.Table
    pictures: pa.Table
    space: str


def score_photo_pairs(
    pairs: pa.Table,
    images: str | Path,
    *,
    pack: str | Path = "buffalo_sc",
    device: Device = "auto",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> ScoredPairs:
    """The score of each pair; every picture is looked at once.

    Of several faces in a picture the one nearest to its centre is taken, as the protocol of
    Labeled Faces in the Wild has it (Huang et al., UMass 07-49).

    Parameters
    ----------
    pairs
        Rows of `schema.PAIRS`.
    images
        Folder in which the pictures lie by the names that the pairs give them.
    progress
        Called with the number of pictures done and of all.

    Raises
    ------
    SourceError
        A picture is not there.
    PackError
        The pack is not to be had.
    """
    folder = Path(images)
    names = list(dict.fromkeys([*pairs["image_a"].to_pylist(), *pairs["image_b"].to_pylist()]))
    _refuse_absent(folder, names)
    engine = FaceEngine(find_pack(pack), IngestSettings(), device=device, threads=0)
    rows, vectors = [], np.full((len(names), engine.dim), np.nan, np.float32)
    for number, name in enumerate(names):
        progress(number, len(names))
        row, face = _look(engine, folder / name)
        rows.append({"image": name} | row)
        if face is not None:
            vectors[number] = face.embedding
    progress(len(names), len(names))
    return ScoredPairs(
        _scored(pairs, names, vectors), pa.Table.from_pylist(rows, PICTURES), engine.space
    )


def rate_photo_pairs(
    files: Iterable[str | Path],
    images: str | Path,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    **options: Any,
) -> tuple[ScoredPairs, PairErrors]:
    """Scores of the pairs that files list, and the error rates of those that could be compared.

    Parameters
    ----------
    files
        As `evaluate.read_pairs` takes them.
    thresholds
        At which FMR and FNMR are told.
    options
        As in `score_photo_pairs`.

    Raises
    ------
    ValueError
        A file is no list of pairs.
    """
    scored = score_photo_pairs(read_pairs(files), images, **options)
    compared = scored.pairs.filter(pc.is_valid(scored.pairs["score"]))
    folds = compared["fold"]
    errors = evaluate_pairs(
        compared["score"].to_numpy(),
        compared["same"].to_numpy(),
        fold=None if folds.null_count else folds.to_numpy(),
        thresholds=thresholds,
    )
    return scored, errors


def choose_central(faces: list[Face], photo: npt.NDArray[np.uint8]) -> Face | None:
    """The face whose box has its middle nearest to that of the photo; ``None`` of none."""
    height, width = photo.shape[:2]
    centre = np.array([width, height]) / 2

    def distance(face: Face) -> float:
        x1, y1, x2, y2 = face.bbox_xyxy
        return float(np.linalg.norm(np.array([x1 + x2, y1 + y2]) / 2 - centre))

    return min(faces, key=distance, default=None)


def _refuse_absent(folder: Path, names: list[str]) -> None:
    lost = [name for name in names if not (folder / name).is_file()]
    if lost:
        raise SourceError(
            f"{folder}: must hold every picture of the pairs, but lacks "
            f"{counted(len(lost), 'picture')} of {len(names):,}, {lost[0]} the first; "
            "name the folder that the pairs' names begin in"
        )


def _look(engine: FaceEngine, path: Path) -> tuple[dict[str, Any], Face | None]:
    """A row of `schema.PICTURES` without its name, and the face that was taken."""
    try:
        photo = read_photo(path)
    except GalleryError as error:
        return {"n_faces": 0, "error": str(error).removeprefix(f"{path}: ")}, None
    faces = find_in_photo(engine, photo)
    face = choose_central(faces, photo)
    if face is None:
        return {"n_faces": 0, "error": "no face was found"}, None
    told = {"bbox_xyxy": face.bbox_xyxy, "det_score": face.det_score}
    return {"n_faces": len(faces)} | told, face


def _scored(pairs: pa.Table, names: list[str], vectors: npt.NDArray[np.float32]) -> pa.Table:
    place = {name: number for number, name in enumerate(names)}
    one, other = (
        vectors[[place[name] for name in pairs[side].to_pylist()]]
        for side in ("image_a", "image_b")
    )
    score = np.einsum("ij,ij->i", one, other)
    column = pairs.schema.get_field_index("score")
    return pairs.set_column(column, PAIRS.field("score"), pa.array(score, from_pandas=True))
