"""Searching for the faces of a photo; an engine that sees what it is told stands in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from planted import DIM, SPACE, alike, axis, new_lake, plant_video

import facelake
from facelake import enrol, search_photo
from facelake.catalog import Catalog
from facelake.errors import GalleryError, PackError
from facelake.faces import Pack
from facelake.schema import Device, Face, IngestSettings

Seen = list[tuple[npt.NDArray[np.float32], float]]


class ToldEngine:
    """`facelake.faces.FaceEngine` to the eye: embeddings and sides in pixels, as a test says."""

    dim = DIM
    sees: Seen

    def __init__(
        self, pack: Pack, _settings: IngestSettings, *, device: Device, threads: int
    ) -> None:
        self.space = pack.space

    def find(self, _image: npt.NDArray[np.uint8]) -> list[Face]:
        return [
            Face(np.array([0, 0, side, side], np.float32), 0.9, np.zeros((5, 2), np.float32),
                 vector, 1.0, 100.0)
            for vector, side in self.sees
        ]  # fmt: skip


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What the engine sees in every photo; empty until a test fills it."""
    embedder, sha256 = SPACE.rsplit("-", 1)

    def find_pack(name: str | Path) -> Pack:
        if str(name) != f"pack of {SPACE}":
            raise PackError(f"there is no pack {str(name)!r} here")
        return Pack(
            str(name), "none", "made up",
            Path("told.onnx"), "0" * 64, Path(f"{embedder}.onnx"), sha256.ljust(64, "0"),
        )  # fmt: skip

    told: Seen = []
    monkeypatch.setattr(ToldEngine, "sees", told, raising=False)
    monkeypatch.setattr(search_photo, "FaceEngine", ToldEngine)
    monkeypatch.setattr(enrol, "find_pack", find_pack)
    return told


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "me@home.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Person 0 and somebody 0.6 like person 1."""
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "news", {0: [axis(0)], 1000: [alike(p1=0.6)], 2000: [axis(3)]})
    return facelake.open_catalog(lake.root)


def test_the_only_face_of_a_photo_is_called_like_it(
    catalog: Catalog, photo: Path, sees: Seen
) -> None:
    sees.append((axis(0), 50))
    answer = catalog.search(photo, min_score=0.5)
    (row,) = answer.table.to_pylist()
    assert answer.queries == ("me@home.png",)
    assert (row["query"], row["query_face_id"], row["best_time_s"]) == ("me@home.png", None, 0.0)
    assert row["score"] == pytest.approx(1.0)


def test_several_faces_are_numbered_the_largest_first(
    catalog: Catalog, photo: Path, sees: Seen
) -> None:
    sees += [(axis(0), 20), (axis(1), 50)]
    answer = catalog.search(photo, min_score=0.5)
    assert answer.queries == ("me@home.png face 1", "me@home.png face 2")
    rows = answer.table.select(["query", "score"]).to_pylist()
    assert [(row["query"], round(row["score"], 2)) for row in rows] == [
        ("me@home.png face 2", 1.0),
        ("me@home.png face 1", 0.6),
    ]


def test_one_of_them_can_be_chosen(catalog: Catalog, photo: Path, sees: Seen) -> None:
    sees += [(axis(0), 20), (axis(1), 50)]
    answer = catalog.search(photo, min_score=0.5, face_number=1)
    assert answer.queries == ("me@home.png face 1",)
    assert answer.table["best_time_s"].to_pylist() == [1.0]
    with pytest.raises(GalleryError, match="must lie in 1 to 2, the faces that were found"):
        catalog.search(photo, face_number=3)


def test_nothing_of_the_photo_is_kept(catalog: Catalog, photo: Path, sees: Seen) -> None:
    def files() -> set[Path]:
        return {path for path in Path(catalog.path).rglob("*") if path.is_file()}

    before = files()
    sees.append((axis(0), 50))
    catalog.search(photo, min_score=0.5)
    assert files() == before


def test_a_photo_without_a_face_is_refused(catalog: Catalog, photo: Path, sees: Seen) -> None:
    assert sees == []
    with pytest.raises(GalleryError, match="must show a face, but none was found"):
        catalog.search(photo)


def test_a_file_that_is_no_photo_is_refused(catalog: Catalog, tmp_path: Path, sees: Seen) -> None:
    assert sees == []
    (tmp_path / "words.txt").write_text("no picture")
    with pytest.raises(GalleryError, match="must be a picture"):
        catalog.search(tmp_path / "words.txt")


def test_a_pack_that_is_not_the_videos_is_refused(
    catalog: Catalog, photo: Path, sees: Seen
) -> None:
    sees.append((axis(0), 50))
    with pytest.raises(PackError, match="there is no pack 'other'"):
        catalog.search(photo, pack="other")


def test_a_photo_has_no_other_videos(catalog: Catalog, photo: Path, sees: Seen) -> None:
    sees.append((axis(0), 50))
    with pytest.raises(ValueError, match="what is asked for is from none"):
        catalog.search(photo, other_videos=True)
