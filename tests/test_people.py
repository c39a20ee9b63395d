"""People of planted catalogs: found, named, merged, split; what was said stays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from filmed import Shot, box_of, content_id, face_of, film, label
from planted import OTHER_SPACE, SPACE, add_space, alike, axis, new_lake, plant_gallery

import facelake
from facelake import Catalog
from facelake.cli import main
from facelake.errors import CatalogError
from facelake.lake import Lake
from facelake.lake.labels import add_labels
from facelake.lake.thresholds import write_threshold
from facelake.schema import LABELS, PEOPLE, PEOPLE_CONFLICTS, PEOPLE_TRACKS, StoredThreshold

ANN, BOB = axis(0), axis(1)


def turned(score: float) -> Any:
    """Ann, so that this face scores so much with her."""
    return alike(p0=score)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Ann and Bob together in one video, Ann again and a stranger in another."""
    lake = new_lake(tmp_path / "c")
    film(lake, "news", {0: Shot([0, 200, 400], ANN), 1: Shot([200, 400], BOB, 0.9)})
    film(lake, "talk", {0: Shot([0, 200], turned(0.9)), 3: Shot([1000], axis(2))})
    return facelake.open_catalog(tmp_path / "c")


def lake_of(catalog: Catalog) -> Lake:
    return Lake.open(catalog.path)


def who(catalog: Catalog, **options: Any) -> dict[tuple[str, int], str]:
    """The person of each track, by the video's name and the track's number."""
    rows = catalog.people(**options).tracks.to_pylist()
    return {(row["video_id"].split("-")[0], row["track_id"]): row["person_id"] for row in rows}


def names(catalog: Catalog, **options: Any) -> dict[tuple[str, int], str | None]:
    rows = catalog.people(**options).tracks.to_pylist()
    return {(row["video_id"].split("-")[0], row["track_id"]): row["name"] for row in rows}


def test_a_person_is_one_across_videos(catalog: Catalog) -> None:
    found = catalog.people()
    persons = who(catalog)
    assert persons["news", 0] == persons["talk", 0]
    assert len(set(persons.values())) == 3
    assert found.table.schema.equals(PEOPLE)
    ann = found.person(persons["news", 0])
    # 0 to 0.44 s in one, 0 to 0.24 s in the other.
    assert (ann["n_tracks"], ann["n_faces"], ann["n_videos"]) == (2, 5, 2)
    assert ann["seconds"] == pytest.approx(0.68)
    assert ann["cos_to_mean_min"] == pytest.approx(np.sqrt((1 + 0.9) / 2), abs=1e-3)
    assert repr(found) == "3 people (0 named) in 4 tracks, 0:01 in all, at threshold 0.4 (default)"


def test_two_who_share_an_instant_are_two_however_alike(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    film(lake, "twins", {0: Shot([0, 200], ANN), 1: Shot([200, 400], ANN)})
    film(lake, "later", {0: Shot([0], ANN), 1: Shot([200], ANN)})
    persons = who(facelake.open_catalog(tmp_path / "c"))
    assert persons["twins", 0] != persons["twins", 1]
    assert persons["later", 0] == persons["later", 1]


def test_the_threshold_is_the_given_one_else_the_stored_one_where_it_is_higher(
    catalog: Catalog,
) -> None:
    assert len(catalog.people(threshold=0.95)) == 4
    write_threshold(lake_of(catalog), SPACE, StoredThreshold(0.95, "FMR 0.001", "2026-01-01"))
    found = catalog.people()
    assert (found.threshold, len(found)) == (0.95, 4)
    assert repr(found).endswith("at threshold 0.95 (FMR 0.001)")
    write_threshold(lake_of(catalog), SPACE, StoredThreshold(0.2, "FMR 0.1", "2026-01-01"))
    assert catalog.people().threshold == 0.40


def test_a_name_stays_with_every_track_at_any_threshold(catalog: Catalog) -> None:
    person = who(catalog)["news", 0]
    said = catalog.name_person(person, " Ann  Lee ", evidence="caption", author="me")
    assert said.schema.equals(LABELS)
    assert said["face_id"].to_pylist() == [face_of("news", 0, 0), face_of("talk", 0, 0)]
    assert set(said["person_id"].to_pylist()) == {person}
    for threshold in (-0.5, 0.4, 1.0):
        found = names(catalog, threshold=threshold)
        assert (found["news", 0], found["talk", 0]) == ("Ann Lee", "Ann Lee")
        assert catalog.people(threshold=threshold).person("Ann Lee")["person_id"] == person
        assert found["news", 1] is None  # they share instants
    kinds = catalog.people(threshold=1.0).conflicts["kind"].to_pylist()
    assert kinds == ["unlike", "unlike"]


def test_a_name_stays_when_more_is_ingested_and_with_another_model(catalog: Catalog) -> None:
    person = who(catalog)["news", 0]
    catalog.name_person(person, "Ann")
    lake = lake_of(catalog)
    film(lake, "atfirst", {0: Shot([0], turned(0.8))})
    assert names(catalog)["atfirst", 0] == "Ann"
    assert catalog.people().person("Ann")["person_id"] == person
    add_space(lake, OTHER_SPACE)
    film(lake, "news", {0: Shot([0, 200, 400], axis(5)), 1: Shot([200, 400], axis(6))},
         space=OTHER_SPACE, run="other")  # fmt: skip
    found = names(catalog, space=OTHER_SPACE)
    assert found == {("news", 0): "Ann", ("news", 1): None}
    lost = catalog.people(space=OTHER_SPACE).conflicts.to_pylist()
    assert [(row["kind"], row["name"]) for row in lost] == [("lost", "Ann")]  # of the other video


def test_a_label_finds_the_face_that_another_detector_drew_a_little_aside(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    film(lake, "news", {0: Shot([0], ANN), 7: Shot([0], BOB)})
    place: dict[str, Any] = {"video_id": "renamed", "content_id": content_id("news"), "pts": 0}
    box = box_of(7) + np.float32(8)
    row = label("0123456789abcdef", "Bob", bbox_xyxy=box.tolist(), **place)
    add_labels(lake, pa.Table.from_pylist([row], LABELS))
    assert names(facelake.open_catalog(tmp_path / "c")) == {("news", 0): None, ("news", 7): "Bob"}


def test_naming_again_renames_and_clearing_takes_it_back(catalog: Catalog) -> None:
    catalog.name_person(who(catalog)["news", 0], "Ann")
    again = catalog.name_person("Ann", "Anna")
    before = catalog.labels()["label_id"].to_pylist()[:2]
    assert sorted(again["replaces"].to_pylist()) == before
    assert len(catalog.labels()) == 4
    assert names(catalog)["talk", 0] == "Anna"
    assert not len(catalog.name_person("Anna", "Anna"))
    catalog.name_person("Anna", None)
    assert set(names(catalog).values()) == {None}
    assert len(catalog.labels()) == 6


def test_merging_two_makes_them_one_without_a_name_or_with_one(catalog: Catalog) -> None:
    persons = who(catalog)
    catalog.merge_people(persons["news", 0], persons["talk", 3])
    after = who(catalog)
    assert after["talk", 3] == persons["news", 0] == after["talk", 0]
    assert set(names(catalog).values()) == {None}
    catalog.name_person(persons["news", 1], "Bob")
    catalog.merge_people(persons["news", 0], "Bob")
    assert set(names(catalog).values()) == {"Bob"}
    assert set(who(catalog).values()) == {persons["news", 1]}
    assert catalog.people().conflicts["kind"].to_pylist().count("same_instant") == 1


def test_two_names_are_not_merged_without_saying_which(catalog: Catalog) -> None:
    persons = who(catalog)
    catalog.name_person(persons["news", 0], "Ann")
    catalog.name_person(persons["news", 1], "Bob")
    with pytest.raises(CatalogError, match="these are called Ann, Bob; say which"):
        catalog.merge_people("Ann", "Bob")
    catalog.merge_people("Ann", "Bob", name="Bob")
    assert {name for name in names(catalog).values() if name} == {"Bob"}
    with pytest.raises(ValueError, match="two people or more must be named, but 1 is"):
        catalog.merge_people("Bob", persons["news", 1])


@pytest.mark.parametrize("name", [None, "Zoe"])
def test_a_part_that_is_split_off_stays_off_and_the_rest_keeps_its_id(
    catalog: Catalog, name: str | None
) -> None:
    person = who(catalog)["news", 0]
    catalog.split_person(person, [face_of("talk", 0, 200)], name=name)
    for threshold in (-0.9, 0.4):
        after = who(catalog, threshold=threshold)
        assert after["news", 0] == person
        assert after["talk", 0] != person
        assert names(catalog, threshold=threshold)["talk", 0] == name
    again = who(catalog)
    catalog.merge_people(again["news", 0], again["talk", 0])
    assert len(set(who(catalog).values())) == 3


def test_the_rest_keeps_its_name_when_a_part_is_split_off(catalog: Catalog) -> None:
    catalog.name_person(who(catalog)["news", 0], "Ann")
    catalog.split_person("Ann", [face_of("news", 0, 0)])
    found = names(catalog)
    assert (found["news", 0], found["talk", 0]) == (None, "Ann")


def test_a_split_must_leave_something_on_both_sides(catalog: Catalog) -> None:
    person = who(catalog)["news", 0]
    with pytest.raises(ValueError, match="and not all: 2 of 2 are"):
        catalog.split_person(person, [face_of("news", 0, 0), face_of("talk", 0, 0)])
    with pytest.raises(ValueError, match="0 of 2 are"):
        catalog.split_person(person, [])
    with pytest.raises(CatalogError, match="must be a face of"):
        catalog.split_person(person, [face_of("news", 1, 200)])
    catalog.name_person(person, "Ann")
    with pytest.raises(ValueError, match="must get another name than Ann"):
        catalog.split_person("Ann", [face_of("news", 0, 0)], name="Ann")


def test_a_single_face_can_be_named_or_said_to_be_somebody_else(catalog: Catalog) -> None:
    catalog.label(face_of("news", 0, 0), "Ann")
    assert names(catalog)["talk", 0] == "Ann"
    catalog.label(face_of("talk", 0, 200), "Ann", kind="is_not")
    assert names(catalog)["talk", 0] is None
    catalog.label(face_of("talk", 0, 200), None, kind="none")
    assert names(catalog)["talk", 0] == "Ann"


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("  ", "is", "must not be blank nor begin with #"),
        ("#1", "is", "must not be blank nor begin with #"),
        (None, "is", "is and is_not need a name"),
        ("Ann", "none", "none takes no name"),
        ("Ann", "maybe", "kind must be one of is, is_not, none, but is 'maybe'"),
    ],
)
def test_a_label_that_says_nothing_is_refused(
    catalog: Catalog, name: str | None, kind: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        catalog.label(face_of("news", 0, 0), name, kind=kind)
    assert not len(catalog.labels())


def test_whom_nobody_knows_is_told_with_the_nearest(catalog: Catalog) -> None:
    catalog.name_person(who(catalog)["news", 0], "Ann Lee")
    with pytest.raises(CatalogError, match="did you mean Ann Lee"):
        catalog.name_person("Ann Leigh", "Bob")
    with pytest.raises(CatalogError, match="facelake people lists them"):
        catalog.name_person("zzz", "Bob")
    with pytest.raises(CatalogError, match="the catalog holds no such face"):
        catalog.label("0000000000000000", "Bob")


def test_people_are_meant_by_the_first_digits_of_their_ids(catalog: Catalog) -> None:
    found = catalog.people()
    person = found.table["person_id"][0].as_py()
    assert found.person(person[:6])["person_id"] == person
    with pytest.raises(CatalogError):
        found.person(person[:3])
    assert len(found.tracks_of(person)) == found.person(person)["n_tracks"]


def test_strangers_are_those_without_a_name_and_like_nobody_enrolled(catalog: Catalog) -> None:
    plant_gallery(lake_of(catalog), {"Ann": [ANN], "Cid": [axis(6)]})
    found = catalog.people()
    persons = who(catalog)
    ann = found.person(persons["news", 0])
    assert ann["identity"] == "Ann"
    assert ann["score"] == pytest.approx(np.sqrt((1 + 0.9) / 2), abs=1e-3)
    left = {persons["news", 1], persons["talk", 3]}
    assert set(found.strangers().table["person_id"].to_pylist()) == left
    assert set(found.strangers().tracks["person_id"].to_pylist()) == left
    catalog.name_person(persons["news", 1], "Bob")
    assert catalog.people().strangers().table["person_id"].to_pylist() == [persons["talk", 3]]


def test_people_with_few_tracks_are_left_out_unless_named(catalog: Catalog) -> None:
    persons = who(catalog)
    assert len(catalog.people(min_tracks=2)) == 1
    catalog.name_person(persons["talk", 3], "Zoe")
    found = catalog.people(min_tracks=2)
    assert len(found) == 2
    assert len(found.tracks) == 3
    with pytest.raises(ValueError, match="min_tracks must be at least 1, but is 0"):
        catalog.people(min_tracks=0)


def test_faces_without_a_track_are_left_out_and_counted(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    film(lake, "news", {0: Shot([0, 200], ANN)}, n_loose=3)
    found = facelake.open_catalog(tmp_path / "c").people()
    assert found.n_left_out == 3
    assert found.person(found.table["person_id"][0].as_py())["n_faces"] == 2
    assert "; 3 faces without a track" in repr(found)


def test_a_catalog_without_tracks_has_nobody(tmp_path: Path) -> None:
    new_lake(tmp_path / "c")
    found = facelake.open_catalog(tmp_path / "c").people()
    assert found.table.equals(PEOPLE.empty_table())
    assert found.tracks.equals(PEOPLE_TRACKS.empty_table())
    assert found.conflicts.equals(PEOPLE_CONFLICTS.empty_table())
    assert repr(found) == "nobody at threshold 0.4 (default)"


def test_a_catalog_without_videos_says_what_comes_first(tmp_path: Path) -> None:
    Lake.create(tmp_path / "c")
    with pytest.raises(CatalogError, match="nothing is ingested yet"):
        facelake.open_catalog(tmp_path / "c").people()


def test_a_person_can_be_enrolled_and_is_found_then(catalog: Catalog) -> None:
    person = who(catalog)["news", 0]
    with pytest.raises(ValueError, match="has no name yet"):
        catalog.enrol_person(person)
    gallery = catalog.enrol_person(person, identity="Ann")
    assert gallery.identities == ("Ann",)
    assert set(gallery.table["face_id"].to_pylist()) == {
        face_of("news", 0, 0), face_of("talk", 0, 0)
    }  # fmt: skip
    assert catalog.people().person(person)["identity"] == "Ann"


def test_forgetting_takes_labels_with_their_faces_videos_and_names(catalog: Catalog) -> None:
    persons = who(catalog)
    catalog.name_person(persons["news", 0], "Ann")
    catalog.name_person(persons["news", 1], "Bob")
    catalog.name_person(persons["talk", 3], "Zoe")
    report = catalog.forget(faces=[face_of("news", 1, 200)])
    assert report.n_labels == 1
    assert "1 label" in str(report)
    assert set(catalog.labels()["name"].to_pylist()) == {"Ann", "Zoe"}
    catalog.label(face_of("talk", 3, 1000), "Ann", kind="is_not")
    # Nobody called Ann is enrolled: labels say which faces are hers.
    assert catalog.forget(identity="Ann").total("n_faces") == 5
    assert catalog.labels()["name"].to_pylist() == ["Zoe"]
    assert set(names(catalog).values()) == {"Zoe"}
    assert catalog.forget(video="talk.mp4").n_labels == 1
    assert catalog.labels().equals(LABELS.empty_table())


# The command line -------------------------------------------------------------------------------


def run(catalog: Catalog, *words: str) -> Result:
    return CliRunner().invoke(main, ["people", *words, "-c", str(catalog.path)])


def test_people_lists_without_being_told(catalog: Catalog) -> None:
    result = run(catalog, "--format", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["n_tracks"] for row in rows] == [2, 1, 1]
    assert list(rows[0]) == PEOPLE.names
    assert "3 people (0 named)" in result.stderr
    assert run(catalog, "list", "--format", "json").stdout == result.stdout


def test_people_are_named_merged_split_and_cleared_by_command(catalog: Catalog) -> None:
    person = who(catalog)["news", 0]
    stranger = who(catalog)["talk", 3]
    assert "2 labels added" in run(catalog, "name", person[:5], "Ann", "--author", "me").stderr
    assert run(catalog, "merge", "Ann", stranger).exit_code == 0
    assert names(catalog)["talk", 3] == "Ann"
    assert run(catalog, "split", "Ann", face_of("talk", 3, 1000), "--name", "Zoe").exit_code == 0
    assert names(catalog)["talk", 3] == "Zoe"
    assert run(catalog, "label", face_of("talk", 3, 1000), "--kind", "none").exit_code == 0
    assert names(catalog)["talk", 3] is None
    assert "Gallery of 1 identity" in run(catalog, "enrol", "Ann").stderr
    assert run(catalog, "name", "Ann", "--clear").exit_code == 0
    told = run(catalog, "labels", "--format", "csv").stdout.splitlines()
    assert len(told) == 1 + len(catalog.labels())


def test_tracks_and_conflicts_are_tables(catalog: Catalog) -> None:
    person = who(catalog)["news", 0]
    run(catalog, "name", person, "Ann")
    tracks = json.loads(run(catalog, "tracks", "Ann", "--format", "json").stdout)
    assert [(row["video_id"].split("-")[0], row["track_id"]) for row in tracks] == [
        ("news", 0), ("talk", 0)
    ]  # fmt: skip
    result = run(catalog, "conflicts", "-t", "1.0", "--format", "csv")
    assert result.stdout.splitlines()[0].replace('"', "") == ",".join(PEOPLE_CONFLICTS.names)
    assert "2 conflicts" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["name", "abcd"], 2, "give a NAME, or --clear"),
        (["name", "abcd", "Ann"], 1, "abcd: nobody has this id or name"),
        (["list", "-t", "7"], 2, "threshold must lie in [-1, 1], but is 7.0"),
        (["merge", "abcd"], 1, "nobody has this id"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    catalog: Catalog, words: list[str], code: int, sentence: str
) -> None:
    result = run(catalog, *words)
    assert result.exit_code == code
    assert sentence in result.stderr
