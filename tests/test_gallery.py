"""Which photo shows whom, which face of it is meant, and who looks like whom: no model needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from facelake.errors import GalleryError
from facelake.gallery import (
    choose_face,
    exemplar_id,
    find_disagreements,
    find_references,
    plain_name,
    refuse_unknown,
)
from facelake.schema import Face

EXTENSIONS = frozenset({".jpg", ".png"})


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def who(source: Path, identity: str | None = None) -> list[tuple[str, str]]:
    found = find_references(source, EXTENSIONS, identity=identity)
    return [(one.identity, one.photo.name) for one in found.references]


def face(side_px: float) -> Face:
    return Face(
        bbox_xyxy=np.array([0, 0, side_px, side_px], np.float32),
        det_score=0.9,
        landmarks=np.zeros((5, 2), np.float32),
        embedding=None,
        align_rms=1.0,
        sharpness=100.0,
    )


# Photos -----------------------------------------------------------------------------------------


def test_a_folder_is_named_after_its_person_and_a_photo_beside_it_after_its_own(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "Ann Lee/2.jpg", "Ann Lee/1.PNG", "Bob.png")
    assert who(tmp_path) == [("Ann Lee", "1.PNG"), ("Ann Lee", "2.jpg"), ("Bob", "Bob.png")]


def test_however_deep_a_photo_lies_it_is_of_the_first_folder(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/1999/spring/a.jpg", "Ann/b.jpg")
    assert {name for name, _ in who(tmp_path)} == {"Ann"}


def test_a_single_photo_is_of_whom_it_is_named_after(tmp_path: Path) -> None:
    touch(tmp_path, "Ann Lee.jpg")
    assert who(tmp_path / "Ann Lee.jpg") == [("Ann Lee", "Ann Lee.jpg")]


def test_a_given_identity_is_that_of_every_photo(tmp_path: Path) -> None:
    touch(tmp_path, "IMG_1.jpg", "more/IMG_2.jpg")
    assert {name for name, _ in who(tmp_path, "Ann  Lee ")} == {"Ann Lee"}
    assert who(tmp_path / "IMG_1.jpg", "Ann Lee") == [("Ann Lee", "IMG_1.jpg")]


def test_a_blank_identity_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    with pytest.raises(ValueError, match="identity must be a name, but is blank"):
        who(tmp_path, "  ")


def test_hidden_files_and_folders_called_like_photos_are_no_photos(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/._1.jpg", ".trash/Eve/1.jpg", "Bob.jpg/real.png")
    assert who(tmp_path) == [("Bob.jpg", "real.png")]


def test_files_that_are_no_photos_are_counted_by_their_endings(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/1.jpg", "Ann/2.HEIC", "Ann/3.heic", "Ann/notes", ".DS_Store")
    found = find_references(tmp_path, EXTENSIONS)
    assert found.passed_over == {".heic": 2, "(no ending)": 1}


def test_a_name_is_the_same_whichever_way_its_accents_are_stored(tmp_path: Path) -> None:
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"  # typed; as a Mac stores a folder's name
    touch(tmp_path, f"{decomposed}/1.jpg")
    assert who(tmp_path) == [(composed, "1.jpg")]
    assert plain_name(decomposed) == plain_name(composed) == composed


@pytest.mark.parametrize("names", [(), ("notes.txt", "Ann/film.mp4")])
def test_a_folder_without_photos_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(GalleryError, match=r"must hold photos.* but holds none \(\.jpg, \.png\)"):
        who(tmp_path)


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="there is no such photo or folder"):
        who(tmp_path / "nowhere")


# Faces of a photo -------------------------------------------------------------------------------


def test_the_only_face_is_the_one_and_needs_no_words() -> None:
    only = face(50)
    assert choose_face([only]) == (only, "")


def test_a_photo_without_a_face_is_not_used() -> None:
    chosen, note = choose_face([])
    assert chosen is None
    assert note.startswith("no face was found")


def test_of_faces_of_similar_size_none_is_used() -> None:
    chosen, note = choose_face([face(100), face(80), face(20)])
    assert chosen is None
    assert note.startswith("3 faces of similar size")


def test_a_face_that_is_clearly_larger_is_used_and_said() -> None:
    large = face(100)
    chosen, note = choose_face([face(25), large, face(40)])
    assert chosen is large
    assert note == "3 faces; took the largest, 6 times the next"  # 100² / 40² = 6.25


def test_four_times_the_area_is_clearly_larger_and_less_is_not() -> None:
    assert choose_face([face(100), face(50)])[0] is not None
    assert choose_face([face(100), face(50.5)])[0] is None


# Exemplars --------------------------------------------------------------------------------------


def test_an_exemplar_is_named_by_person_photo_and_model() -> None:
    names = {exemplar_id(*told) for told in [
        ("Ann", "aa", "s1"), ("Bob", "aa", "s1"), ("Ann", "bb", "s1"), ("Ann", "aa", "s2"),
    ]}  # fmt: skip
    assert len(names) == 4
    assert exemplar_id("Ann", "aa", "s1") in names


# Who looks like whom ----------------------------------------------------------------------------


def at_angles(*degrees: float) -> npt.NDArray[np.float32]:
    """Unit vectors in a plane: two of them are alike by the cosine of the angle between them."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_photos_of_two_people_that_agree_are_not_mentioned() -> None:
    photos = at_angles(0, 20, 100, 120)
    assert list(find_disagreements(["Ann", "Ann", "Bob", "Bob"], photos)) == []


def test_a_stranger_among_a_persons_photos_is_said() -> None:
    found = dict(find_disagreements(["Ann", "Ann", "Ann"], at_angles(0, 20, 100)))
    # cos 80° = 0.17
    assert found == {2: "unlike every other photo of this person (best score 0.17)"}


def test_a_photo_in_somebody_elses_folder_is_said_and_those_in_the_right_one_are_not() -> None:
    names = ["Ann", "Ann", "Ann", "Bob", "Bob"]
    found = dict(find_disagreements(names, at_angles(0, 10, 92, 95, 100)))
    # cos 3° = 1.00 to Bob, whose own are 5° apart; cos 82° = 0.14 to Ann
    assert found == {2: "looks more like Bob (score 1.00) than like the others (0.14)"}


def test_two_people_with_a_photo_each_who_look_alike_are_said_to_be_perhaps_one() -> None:
    found = dict(find_disagreements(["ann-1", "ann-2", "Bob"], at_angles(0, 30, 115)))
    assert found == {
        0: "looks like ann-2 (score 0.87); if both are one person, use one name",
        1: "looks like ann-1 (score 0.87); if both are one person, use one name",
    }


def test_the_only_photo_of_somebody_unlike_all_others_is_not_mentioned() -> None:
    assert list(find_disagreements(["Ann", "Bob"], at_angles(0, 75))) == []  # cos 75° = 0.26
    assert list(find_disagreements(["Ann"], at_angles(0))) == []
    assert list(find_disagreements([], np.empty((0, 2), np.float32))) == []


def test_a_large_gallery_is_looked_through_as_a_small_one() -> None:
    # 600 photos, more than are compared at once; the last one lies in the wrong folder.
    names = [f"p{number // 2}" for number in range(600)]
    vectors = np.repeat(np.eye(300, dtype=np.float32), 2, axis=0)
    vectors[599] = vectors[0]
    found = dict(find_disagreements(names, vectors))
    assert found == {
        598: "unlike every other photo of this person (best score 0.00)",
        599: "looks more like p0 (score 1.00) than like the others (0.00)",
    }


# Unknown names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [("ann lee", "Ann Lee"), ("An Lee", "Ann Lee"), ("ANN LEE", "Ann Lee"), ("bobb", "Bob")],
)
def test_an_unknown_identity_is_refused_with_the_nearest_name(asked: str, nearest: str) -> None:
    with pytest.raises(GalleryError, match=rf"but '{asked}' is not; did you mean '{nearest}'\?"):
        refuse_unknown(asked, ("Ann Lee", "Bob", "Cleo"))


def test_where_no_name_is_near_the_enrolled_are_listed() -> None:
    with pytest.raises(GalleryError, match=r"'xyz' is not; enrolled are Ann, Bob$"):
        refuse_unknown("xyz", ("Bob", "Ann"))


def test_of_very_many_enrolled_only_some_are_listed() -> None:
    known = tuple(f"person {number:03d}" for number in range(500))
    with pytest.raises(GalleryError, match=r"person 000, .* and 492 more$"):
        refuse_unknown("ÿÿÿ", known)


def test_where_nobody_is_enrolled_that_is_what_is_said() -> None:
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        refuse_unknown("Ann", ())


def test_a_known_identity_is_let_through() -> None:
    refuse_unknown("Ann", ("Ann", "ann"))
