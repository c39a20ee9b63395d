"""What labels come to: of a face the newest counts, of a track the most."""

from typing import Any

import numpy as np
import pyarrow as pa
from filmed import label
from hypothesis import given
from hypothesis import strategies as st

from facelake.people import FaceLabel, is_anonymous, name_tracks, settle_labels
from facelake.schema import LABELS


def settle(*rows: dict[str, Any]) -> dict[str, FaceLabel]:
    return settle_labels(pa.Table.from_pylist(list(rows), LABELS))


def test_the_newest_label_of_a_face_counts_in_whatever_order_they_are_read() -> None:
    rows = [label("f", "Bob", at=2), label("f", "Ann", at=1), label("g", "Cid", at=3)]
    assert {face: one.name for face, one in settle(*rows).items()} == {"f": "Bob", "g": "Cid"}


def test_what_was_said_can_be_taken_back() -> None:
    assert settle(label("f", "Ann", at=1), label("f", "", "none", at=2)) == {}
    again = settle(label("f", "Ann", at=1), label("f", "", "none", at=2), label("f", "Bob", at=3))
    assert again["f"].name == "Bob"


def test_is_not_takes_the_same_name_back_and_leaves_another() -> None:
    one = settle(label("f", "Ann", at=1), label("f", "Ann", "is_not", at=2))["f"]
    assert (one.name, one.not_names) == (None, frozenset({"Ann"}))
    two = settle(label("f", "Ann", at=1), label("f", "Bob", "is_not", at=2))["f"]
    assert (two.name, two.not_names) == ("Ann", frozenset({"Bob"}))
    three = settle(label("f", "Ann", "is_not", at=1), label("f", "Ann", at=2))["f"]
    assert (three.name, three.not_names) == ("Ann", frozenset[str]())


@given(st.permutations(range(6)))
def test_the_order_of_the_rows_does_not_matter(order: list[int]) -> None:
    kinds = ["is", "is_not", "is", "none", "is", "is_not"]
    rows = [label("f", "Ann" if n % 2 else "Bob", kinds[n], at=n) for n in range(6)]
    assert settle(*(rows[n] for n in order)) == settle(*rows)


def test_a_track_has_the_name_of_most_of_its_faces_and_the_others_are_told() -> None:
    found = settle(label("f", "Ann", at=1), label("g", "Ann", at=2), label("h", "Bob", at=3))
    names = name_tracks(list(found.values()), [0, 0, 0], n_tracks=2)
    assert names.names == ("Ann",)
    assert names.name_of.tolist() == [0, -1]
    (clash,) = names.clashes
    assert (clash.kind, clash.track, clash.face_id) == ("two_names", 0, "h")


def test_of_two_names_given_as_often_the_newer_counts() -> None:
    found = settle(label("f", "Zoe", at=1), label("g", "Ann", at=2))
    names = name_tracks(list(found.values()), [0, 0], n_tracks=1)
    assert [names.names[one] for one in names.name_of] == ["Ann"]


def test_who_a_track_is_not_is_told_by_its_row_and_name() -> None:
    found = settle(label("f", "Ann", at=1), label("g", "Ann", "is_not", at=2))
    names = name_tracks(list(found.values()), [0, 2], n_tracks=3)
    assert names.names == ("Ann",)
    assert names.name_of.tolist() == [0, -1, -1]
    assert names.not_named.tolist() == [[2, 0]]
    assert not names.clashes


def test_a_track_with_a_face_that_is_not_its_name_is_told() -> None:
    found = settle(label("f", "Ann", at=1), label("g", "Ann", "is_not", at=2))
    names = name_tracks(list(found.values()), [0, 0], n_tracks=1)
    assert names.name_of.tolist() == [0]
    assert len(names.not_named) == 0
    assert [(one.kind, one.face_id) for one in names.clashes] == [("not_named", "g")]


def test_a_labelled_face_in_no_track_is_told() -> None:
    found = settle(label("f", "Ann"), label("g", "Bob", "is_not"))
    names = name_tracks(list(found.values()), [-1, -1], n_tracks=1)
    assert names.name_of.tolist() == [-1]
    assert [(one.kind, one.name) for one in names.clashes] == [("lost", "Ann"), ("lost", "Bob")]


def test_the_oldest_label_tells_the_id_that_a_name_keeps() -> None:
    found = settle(
        label("f", "Ann", at=5, person_id="late"),
        label("g", "Ann", at=1),
        label("h", "Ann", at=2, person_id="early"),
    )
    names = name_tracks(list(found.values()), [0, 1, 2], n_tracks=3)
    assert names.person_ids == {"Ann": "early"}


def test_no_labels_name_nobody() -> None:
    names = name_tracks([], np.empty(0, np.int64), n_tracks=3)
    assert names.name_of.tolist() == [-1, -1, -1]
    assert names.not_named.shape == (0, 2)


def test_only_what_begins_with_a_hash_is_nobodys_name() -> None:
    assert is_anonymous("#1")
    assert not is_anonymous("Ann #1")
