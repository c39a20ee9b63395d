"""The files of Visage, a folder a video: detections.csv, embeddings.hdf5, metadata.json.

`frame_num` counts decoded frames from 0, `face_num` the faces of a frame; the rows of the CSV and
of the HDF5 file's ``/embeddings``, ``/frame_nums`` and ``/face_nums`` are the same faces in one
order.
https://github.com/astaileyyoung/Visage
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from facelake.errors import ExportError, SourceError

if TYPE_CHECKING:
    import h5py

DETECTIONS, EMBEDDINGS, METADATA = "detections.csv", "embeddings.hdf5", "metadata.json"
_COLUMNS = {
    "frame_num": pa.int64(),
    "face_num": pa.int64(),
    **dict.fromkeys(("x1", "y1", "x2", "y2", "confidence"), pa.float64()),
}
_NEEDED = {"frameskip": int, "detector": str, "embedder": str, "filepath": str}


@dataclass(frozen=True)
class VisageVideo:
    """What Visage found in one video, row-aligned, in order of frame and face.

    Attributes
    ----------
    frame_num, face_num
        Shape ``(n,)``, int64.
    bbox_xyxy
        Left, top, right, bottom in pixels, shape ``(n, 4)``, float32.
    confidence
        The detector's score, in [0, 1], shape ``(n,)``, float32.
    embedding
        As the model gave it, of any length, shape ``(n, dim)``, float32.
    embedded
        Whether a vector was made of this very face, and not of one that stands for it; shape
        ``(n,)``, bool.
    metadata
        Of the video and how it was looked at: ``filepath``, ``frameskip``, ``detector`` …
    """

    frame_num: npt.NDArray[np.int64]
    face_num: npt.NDArray[np.int64]
    bbox_xyxy: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]
    embedded: npt.NDArray[np.bool_]
    metadata: dict[str, Any]

    def __len__(self) -> int:
        return len(self.frame_num)


def find_visage(folder: Path) -> list[Path]:
    """The folder itself where it is a video's, else the videos' folders in it.

    Raises
    ------
    SourceError
        There is none.
    """
    if any((folder / name).is_file() for name in (DETECTIONS, EMBEDDINGS, METADATA)):
        return [folder]
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in below if (path / DETECTIONS).is_file()]
    if not found:
        raise SourceError(
            f"{folder}: must be a folder that Visage wrote, or hold such folders, but there is no "
            f"{DETECTIONS} in it"
        )
    return found


def is_visage(folder: Path) -> bool:
    """Whether a folder holds nothing but videos' folders of this kind."""
    return folder.is_dir() and all((path / METADATA).is_file() for path in folder.iterdir())


# Reading ----------------------------------------------------------------------------------------


def read_visage(folder: Path) -> VisageVideo:
    """What is in a video's folder.

    Raises
    ------
    SourceError
        A file is missing, damaged, or does not fit the others.
    ExportError
        h5py is not installed.
    """
    for name in (DETECTIONS, EMBEDDINGS, METADATA):
        if not (folder / name).is_file():
            raise SourceError(f"{folder}: a video's folder must hold {name}, but it is missing")
    metadata = _read_metadata(folder / METADATA)
    table = _read_detections(folder / DETECTIONS)
    numbers = {name: table[name].to_numpy() for name in ("frame_num", "face_num")}
    embedding, embedded = _read_embeddings(folder / EMBEDDINGS, numbers)
    order = np.lexsort((numbers["face_num"], numbers["frame_num"]))
    boxes = [table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")]
    return VisageVideo(
        frame_num=numbers["frame_num"][order],
        face_num=numbers["face_num"][order],
        bbox_xyxy=np.stack(boxes, axis=1).astype(np.float32)[order],
        confidence=table["confidence"].to_numpy().astype(np.float32)[order],
        embedding=embedding[order],
        embedded=embedded[order],
        metadata=metadata,
    )


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: must be readable JSON, but is not ({error})") from error
    for name, kind in _NEEDED.items():
        value = told.get(name) if isinstance(told, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SourceError(
                f"{path}: {name} must be {'a number' if kind is int else 'text'}, but is {value!r}"
            )
    if told["frameskip"] < 1:
        raise SourceError(f"{path}: frameskip must be at least 1, but is {told['frameskip']}")
    known: dict[str, Any] = told
    return known


def _read_detections(path: Path) -> pa.Table:
    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=_COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: must be a CSV of numbers, but is not ({error})") from error
    if table.column_names[: len(_COLUMNS)] != list(_COLUMNS):
        raise SourceError(
            f"{path}: its columns must be {','.join(_COLUMNS)}, but are "
            f"{','.join(table.column_names)}"
        )
    for name in _COLUMNS:
        values = table[name].to_numpy()
        wrong = np.flatnonzero(~np.isfinite(values) | (values < 0 if "num" in name else False))
        if len(wrong):
            raise SourceError(
                f"{path}: {name} must be a number{' from 0' if 'num' in name else ''} in every "
                f"row, but in row {wrong[0] + 1} it is {values[wrong[0]]}"
            )
    return table


def _read_embeddings(
    path: Path, numbers: dict[str, npt.NDArray[np.int64]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Vectors, row-aligned with the detections, and which are their faces' own."""
    h5py = _h5py()
    n_faces = len(numbers["frame_num"])
    try:
        with h5py.File(path, "r") as file:
            vectors = _dataset(file, "embeddings", n_faces, 2)
            for name, expected in numbers.items():
                _refuse_misaligned(name, _dataset(file, f"{name}s", n_faces, 1), expected)
            own = _dataset(file, "embedded", n_faces, 1) if "embedded" in file else None
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    except (OSError, KeyError, RuntimeError) as error:
        raise SourceError(f"{path}: must be an HDF5 file, but cannot be read ({error})") from error
    embedded = np.ones(n_faces, bool) if own is None else own.astype(bool)
    return vectors.astype(np.float32), embedded


def _dataset(file: h5py.File, name: str, n_rows: int, n_axes: int) -> npt.NDArray[Any]:
    h5py = _h5py()
    link = file.get(name, getlink=True)
    found: Any = file[name] if isinstance(link, h5py.HardLink) else None
    # A link, or data that lies outside, would have another file of this machine read.
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise SourceError(f"must hold a data set /{name} of its own, but holds none")
    shape = ("n", "dim")[:n_axes]
    if len(found.shape) != n_axes or found.shape[0] != n_rows or found.dtype.kind not in "biuf":
        raise SourceError(
            f"/{name} must hold numbers of shape ({', '.join(shape)}{',' * (n_axes == 1)}) for the "
            f"{n_rows:,} rows of {DETECTIONS}, but has shape {found.shape} of {found.dtype}"
        )
    values: npt.NDArray[Any] = found[...]
    return values


def _refuse_misaligned(
    name: str, found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]
) -> None:
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        row = int(wrong[0])
        raise SourceError(
            f"its rows must be those of {DETECTIONS}, but in row {row + 1} {name} is "
            f"{found[row]} here and {expected[row]} there"
        )


# Writing ----------------------------------------------------------------------------------------


def write_visage(folder: Path, video: VisageVideo) -> None:
    """Write a video's three files into a new folder.

    Raises
    ------
    ExportError
        h5py is not installed.
    """
    h5py = _h5py()
    folder.mkdir()
    text = json.dumps(video.metadata, indent=4, sort_keys=True, ensure_ascii=False)
    (folder / METADATA).write_text(text, "utf-8")
    rows = zip(
        video.frame_num.tolist(),
        video.face_num.tolist(),
        np.round(video.bbox_xyxy).astype(np.int64).tolist(),
        video.confidence.tolist(),
        strict=True,
    )
    with (folder / DETECTIONS).open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(_COLUMNS) + "\n")
        for frame_num, face_num, box, confidence in rows:
            file.write(f"{frame_num},{face_num},{','.join(map(str, box))},{_short(confidence)}\n")
    with h5py.File(folder / EMBEDDINGS, "w") as file:
        file["embeddings"] = video.embedding.astype(np.float32)
        file["frame_nums"] = video.frame_num.astype(np.int32)
        file["face_nums"] = video.face_num.astype(np.int32)
        file["embedded"] = video.embedded.astype(np.uint8)


def _short(confidence: float) -> str:
    """Three decimals without trailing zeros, as Visage writes them."""
    return f"{confidence:.3f}".rstrip("0").rstrip(".")


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ExportError(
            "the embeddings of Visage are an HDF5 file, and h5py is not installed; "
            "pip install 'facelake[visage]'"
        ) from error
    return h5py
