"""A gallery over a catalog: enrolling its faces, negatives, growth, vetoes, versions, decisions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import DIM, SPACE, Vector, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.catalog import Catalog
from facelake.errors import CatalogError, GalleryError
from facelake.forget import Request, carry_out, plan_forgetting
from facelake.gallery import ANCHOR, GROWN, NEGATIVE, VETOED, face_exemplar_id
from facelake.lake import Lake
from facelake.query import match_gallery
from facelake.schema import (
    DECISIONS,
    GALLERY_AUDIT,
    GALLERY_MEMBERS,
    GROWTH,
    SCORES,
    TWIN,
    unpack_embeddings,
)

ANN, BOB = {"Ann": [axis(0)]}, {"Bob": [axis(1)]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return new_lake(tmp_path / "catalogs" / "tv")


@pytest.fixture
def catalog(lake: Lake) -> Catalog:
    return facelake.open_catalog(lake.root)


def set_columns(lake: Lake, video_id: str, **columns: Any) -> None:
    """Change columns of a planted video's faces."""
    (path,) = lake.root.glob(f"faces/*/video_id={video_id}/*.parquet")
    table = pq.read_table(path, partitioning=None)
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(at, field, pa.array(values, field.type))
    pq.write_table(table, path)


def take_second_embedding(lake: Lake, video_id: str) -> None:
    """Let the first of a video's two faces stand for the second."""
    (path,) = lake.root.glob(f"faces/*/video_id={video_id}/*.parquet")
    row = pq.read_table(path, partitioning=None).to_pylist()[0]
    kept = {name: [row[name], None] for name in ("embedding", TWIN)}
    set_columns(lake, video_id, **kept, embedded_face_id=[None, row["face_id"]])


def film(
    lake: Lake, name: str, faces: list[Vector], *, track: int | None = 0, quality: float = 0.8
) -> list[str]:
    """A video with one face every two seconds, of one track; gives the names of the faces."""
    video_id = plant_video(lake, name, {2000 * n: [face] for n, face in enumerate(faces)})
    n = len(faces)
    set_columns(lake, video_id, track_id=[track] * n, quality=[quality] * n)
    names: list[str] = lake.faces(video_id, SPACE)["face_id"].to_pylist()
    return names


def roles(catalog: Catalog) -> dict[str, int]:
    return dict(Counter(catalog.gallery().members()["role"].to_pylist()))


def told(catalog: Catalog, **options: Any) -> list[tuple[str, str]]:
    """Who each face is most like, by time."""
    table = catalog.match(**options).table
    return list(zip(table["face_id"].to_pylist(), table["identity"].to_pylist(), strict=True))


# Faces of the lake as exemplars -----------------------------------------------------------------


def test_a_face_of_the_lake_is_an_anchor_that_says_where_it_is_from(
    lake: Lake, catalog: Catalog
) -> None:
    first, second = film(lake, "one", [alike(p0=0.9), alike(p0=0.9)])
    gallery = catalog.enrol_faces("Ann  Lee", faces=[second])
    (row,) = gallery.table.drop_columns(["embedding", "bbox_xyxy"]).to_pylist()
    content_id = lake.runs()["content_id"][0].as_py()
    assert row["identity"] == "Ann Lee"
    assert row["photo"] == "/archive/one.mp4#t=2.000"
    assert row["photo_sha256"] == content_id
    assert (row["face_id"], row["time_s"], row["role"]) == (second, 2.0, ANCHOR)
    assert row["exemplar_id"] == face_exemplar_id("Ann Lee", second, SPACE)
    assert row["added_utc"] is not None
    assert [one.used for one in gallery.outcomes] == [True]
    # found at once, in its own video and in others
    assert dict(told(catalog))[first] == "Ann Lee"


def test_enrolling_a_face_again_changes_nothing(lake: Lake, catalog: Catalog) -> None:
    (face,) = film(lake, "one", [alike(p0=0.9)])
    before = catalog.enrol_faces("Ann", faces=[face, face]).table
    assert len(before) == 1
    assert catalog.enrol_faces("Ann", faces=[face]).table.equals(before)


def test_enrol_from_one_video_and_find_in_another_in_two_calls(
    lake: Lake, catalog: Catalog
) -> None:
    (face,) = film(lake, "one", [alike(p0=0.9)])
    (other,) = film(lake, "two", [alike(p0=0.95)])
    catalog.enrol_faces("Ann", faces=[face])
    spans = catalog.match().spans(threshold=0.5)
    assert other in spans.table["best_face_id"].to_pylist()


def test_a_track_gives_its_best_faces_that_differ(lake: Lake, catalog: Catalog) -> None:
    looks = [alike(p0=0.9), alike(p0=0.88), alike(p0=0.5, p1=0.5), alike(p0=0.6, p2=0.7)]
    names = film(lake, "one", looks)
    video_id = next(lake.iter_video_ids(SPACE))
    set_columns(lake, video_id, quality=[0.7, 0.8, 0.6, 0.3])
    gallery = catalog.enrol_faces("Ann", tracks=[("one.mp4", 0)])
    # 0 and 1 are alike (0.9 × 0.88 + √(1 − 0.81) √(1 − 0.7744) = 0.999); 3 is of less than half
    # the best's quality.
    assert set(gallery.table["face_id"].to_pylist()) == {names[1], names[2]}


def test_a_face_without_an_embedding_is_stood_for(lake: Lake, catalog: Catalog) -> None:
    names = film(lake, "one", [alike(p0=0.9), alike(p0=0.9)])
    take_second_embedding(lake, next(lake.iter_video_ids(SPACE)))
    gallery = catalog.enrol_faces("Ann", faces=[names[1]])
    assert gallery.table["face_id"].to_pylist() == [names[0]]
    assert gallery.outcomes[0].note == f"stands for {names[1]}, which has no embedding of its own"


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"faces": ["beef"]}, CatalogError, "beef: the catalog holds no such face in made-up"),
        ({"tracks": [("two.mp4", 0)]}, CatalogError, "two.mp4: the catalog holds no such video"),
        ({"tracks": [("one.mp4", 7)]}, CatalogError, "one.mp4: must have a track 7 with an"),
        ({}, ValueError, "faces or tracks of the catalog must be named, but neither is"),
    ],
)
def test_what_is_not_there_cannot_be_enrolled(
    lake: Lake, catalog: Catalog, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    film(lake, "one", [alike(p0=0.9)])
    with pytest.raises(error, match=sentence):
        catalog.enrol_faces("Ann", **options)
    with pytest.raises(ValueError, match="identity must be a name, but is blank"):
        catalog.enrol_faces("  ", faces=["beef"])


# Negatives --------------------------------------------------------------------------------------


def test_a_look_alike_disappears_and_no_true_hit_is_lost(lake: Lake, catalog: Catalog) -> None:
    own = film(lake, "one", [alike(p0=0.9), alike(p0=0.8)])
    twin = film(lake, "two", [alike(p0=0.6, p3=0.7), alike(p0=0.55, p3=0.75)])
    # The second own face is like the first twin by 0.8 × 0.6 + 0.6 × 0.387 = 0.71, less than 0.8.
    plant_gallery(lake, ANN | BOB)
    assert set(told(catalog, min_score=0.5)) == {(name, "Ann") for name in own + twin}
    gallery = catalog.add_negative("Ann", faces=twin[:1])
    assert roles(catalog) == {ANCHOR: 2, NEGATIVE: 1}
    assert gallery.identities == ("Ann", "Bob")
    for min_score in (0.5, None):
        found = told(catalog, min_score=min_score)
        assert {name for name, who in found if who == "Ann"} == set(own)
    # They are held against the others: Bob is 0 like them.
    assert {who for name, who in told(catalog) if name in twin} == {"Bob"}


def test_a_face_for_which_everybody_is_ruled_out_has_no_score(lake: Lake, catalog: Catalog) -> None:
    face = film(lake, "one", [alike(p0=0.7), alike(p0=0.2)])[0]
    plant_gallery(lake, ANN)
    catalog.add_negative("Ann", faces=[face])
    # the other one is like the negative by 0.2 × 0.7 + √0.96 √0.51 = 0.84
    assert told(catalog) == []
    assert catalog.match().table.schema.equals(SCORES)
    assert len(catalog.match().spans(threshold=0.1)) == 0


def test_who_is_not_enrolled_cannot_have_a_look_alike(lake: Lake, catalog: Catalog) -> None:
    (face,) = film(lake, "one", [alike(p0=0.7)])
    plant_gallery(lake, ANN)
    with pytest.raises(GalleryError, match="'Anna' is not; did you mean 'Ann'"):
        catalog.add_negative("Anna", faces=[face])
    for options in ({}, {"faces": [face], "photos": "twin.jpg"}):
        with pytest.raises(ValueError, match="either faces or photos must be named, and not both"):
            catalog.add_negative("Ann", **options)  # type: ignore[arg-type]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32), st.sampled_from([None, -0.2, 0.3]))
def test_negatives_agree_with_brute_force_with_and_without_a_least_score(
    tmp_path_factory: pytest.TempPathFactory, seed: int, min_score: float | None
) -> None:
    random = np.random.default_rng(seed)

    def vectors(n: int) -> list[Vector]:
        raw = random.normal(size=(n, DIM)) + axis(0)
        return list((raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))

    lake = new_lake(tmp_path_factory.mktemp("law") / "tv")
    plant_video(lake, "one", {pts: vectors(2) for pts in range(0, 2000, 200)})
    plant_gallery(lake, {"Ann": vectors(2), "Bob": vectors(1)})
    catalog = facelake.open_catalog(lake.root)
    faces = lake.faces(next(lake.iter_video_ids(SPACE)), SPACE)
    plain = match_gallery(lake, lake.exemplars(SPACE)).to_pylist()
    for name in random.choice(faces["face_id"].to_pylist(), 2, replace=False):
        catalog.add_negative(str(random.choice(["Ann", "Bob"])), faces=[str(name)])

    rows = catalog.gallery().table
    wide = unpack_embeddings(rows["embedding"]).astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    product = unpack_embeddings(faces["embedding"]).astype(np.float64) @ wide.T
    expected = {}
    for number, name in enumerate(faces["face_id"].to_pylist()):
        left = {}
        for who in ("Ann", "Bob"):
            mine = np.array([one == who for one in rows["identity"].to_pylist()])
            against = np.array([one == NEGATIVE for one in rows["role"].to_pylist()])
            best = product[number, mine & ~against].max()
            if best > product[number, mine & against].max(initial=-2.0):
                left[who] = best
        if left and (min_score is None or max(left.values()) >= min_score):
            expected[name] = max(left, key=left.__getitem__)
    found = catalog.match(min_score=min_score).table.to_pylist()
    assert {row["face_id"]: row["identity"] for row in found} == expected
    before = {row["face_id"]: row["score"] for row in plain}
    assert all(row["score"] <= before[row["face_id"]] for row in found)


# Vetoes, and an identity with nothing left ------------------------------------------------------


def test_an_identity_with_no_exemplar_left_is_a_sentence(lake: Lake, catalog: Catalog) -> None:
    film(lake, "one", [alike(p0=0.7), alike(p1=0.7)])
    plant_gallery(lake, ANN | BOB)
    gallery = catalog.veto("Ann-0")
    assert (gallery.identities, gallery.without_exemplar) == (("Bob",), ("Ann",))
    assert "no exemplar left to compare with: Ann" in repr(gallery)
    assert {who for _, who in told(catalog)} == {"Bob"}
    with pytest.raises(GalleryError, match="'Ann' must have an exemplar to compare with, but has"):
        catalog.match().spans(threshold=0.3, identities="Ann")
    catalog.veto("Bob-0")
    for ask in (
        catalog.match,
        lambda: catalog.decide(threshold=0.3),
        lambda: catalog.gallery().audit(0.3),
        lambda: catalog.grow_gallery(add_threshold=0.5),
    ):
        with pytest.raises(GalleryError, match="nobody in this gallery has an exemplar left"):
            ask()


def test_a_veto_is_taken_back_by_removing_it_and_not_by_enrolling_again(
    lake: Lake, catalog: Catalog
) -> None:
    (face,) = film(lake, "one", [alike(p0=0.9)])
    name = catalog.enrol_faces("Ann", faces=[face]).table["exemplar_id"][0].as_py()
    catalog.veto(name)
    again = catalog.enrol_faces("Ann", faces=[face])
    assert [(one.used, one.note) for one in again.outcomes] == [
        (False, f"is vetoed and stays so; facelake gallery remove {name} takes that back")
    ]
    assert roles(catalog) == {VETOED: 1}
    assert len(catalog.remove_exemplars(name)) == 0
    catalog.enrol_faces("Ann", faces=[face])
    assert roles(catalog) == {ANCHOR: 1}


@pytest.mark.parametrize("names", [["beef"], []])
def test_an_exemplar_that_nobody_has_cannot_be_vetoed_or_removed(
    lake: Lake, catalog: Catalog, names: list[str]
) -> None:
    plant_gallery(lake, ANN)
    for ask in (catalog.veto, catalog.remove_exemplars):
        with pytest.raises(GalleryError, match="must be the name of an exemplar, 16 hex digits"):
            ask(*names)


# Growth -----------------------------------------------------------------------------------------


def test_a_gallery_grows_by_what_is_surely_the_person_and_says_by_what(
    lake: Lake, catalog: Catalog
) -> None:
    sure = film(lake, "one", [alike(p0=0.7, p2=0.6), alike(p0=0.6)])
    film(lake, "two", [alike(p0=0.49)])
    film(lake, "three", [alike(p0=0.6, p1=0.5)])  # a margin of 0.1
    film(lake, "four", [alike(p0=0.7)], quality=0.4)
    plant_gallery(lake, ANN | BOB)
    plan = catalog.grow_gallery(add_threshold=0.5, dry_run=True)
    assert roles(catalog) == {ANCHOR: 2}
    grown = catalog.grow_gallery(add_threshold=0.5)
    assert grown.table.equals(plan.table)
    assert grown.table.schema.equals(GROWTH)
    (row,) = grown.table.to_pylist()
    assert (row["identity"], row["face_id"]) == ("Ann", sure[1])  # of a track the less alike
    assert (row["score"], row["likeness"]) == pytest.approx((0.6, 0.6), abs=1e-3)
    assert row["margin"] == pytest.approx(0.6, abs=1e-3)
    assert grown.refused["Ann"] == {
        "enough of its track": 1,
        "margin to the next identity too small": 1,
        "quality too low": 1,
    }
    member = catalog.gallery().members().filter(pa.compute.field("role") == GROWN).to_pylist()[0]
    assert member["face_id"] == sure[1]
    assert (member["score"], member["margin"]) == (row["score"], row["margin"])
    assert member["added_utc"] is not None
    assert "1 face added: Ann (+1); bar 0.50" in repr(grown)


def test_growing_again_adds_nothing_and_a_gallery_cannot_wander_off(
    lake: Lake, catalog: Catalog
) -> None:
    film(lake, "one", [alike(p0=0.6, p2=0.75)])
    film(lake, "two", [alike(p2=0.95)])  # like the grown one by 0.71, like Ann by 0
    plant_gallery(lake, ANN | BOB)
    assert len(catalog.grow_gallery(add_threshold=0.5)) == 1
    before = catalog.gallery().table
    assert len(catalog.grow_gallery(add_threshold=0.5)) == 0
    assert catalog.gallery().table.equals(before)


def test_what_was_vetoed_is_not_grown_again_nor_its_twin(lake: Lake, catalog: Catalog) -> None:
    film(lake, "one", [alike(p0=0.6)])
    film(lake, "two", [alike(p0=0.61)])
    plant_gallery(lake, ANN | BOB)
    name = catalog.grow_gallery(add_threshold=0.5).table["exemplar_id"][0].as_py()
    catalog.veto(name)
    again = catalog.grow_gallery(add_threshold=0.5)
    assert len(again) == 0
    assert again.refused["Ann"] == {"like a vetoed exemplar": 2}
    assert roles(catalog) == {ANCHOR: 2, VETOED: 1}


def test_a_face_nearer_to_a_negative_is_not_grown(lake: Lake, catalog: Catalog) -> None:
    twin = film(lake, "one", [alike(p0=0.6, p3=0.7)])
    film(lake, "two", [alike(p0=0.55, p3=0.75)])
    plant_gallery(lake, ANN | BOB)
    catalog.add_negative("Ann", faces=twin)
    assert len(catalog.grow_gallery(add_threshold=0.5)) == 0


def test_only_the_named_identity_grows_and_an_unknown_one_is_refused(
    lake: Lake, catalog: Catalog
) -> None:
    film(lake, "one", [alike(p0=0.7)])
    film(lake, "two", [alike(p1=0.7)])
    plant_gallery(lake, ANN | BOB)
    grown = catalog.grow_gallery("Bob", add_threshold=0.5)
    assert grown.table["identity"].to_pylist() == ["Bob"]
    with pytest.raises(GalleryError, match="'Zoe' is not"):
        catalog.grow_gallery("Zoe", add_threshold=0.5)


def test_without_a_bar_the_stored_threshold_is_asked_for(lake: Lake, catalog: Catalog) -> None:
    plant_gallery(lake, ANN)
    with pytest.raises(CatalogError, match="no threshold is given and none is stored"):
        catalog.grow_gallery()


# Members and audit ------------------------------------------------------------------------------


def test_the_members_say_whom_they_are_like(lake: Lake, catalog: Catalog) -> None:
    plant_gallery(lake, {"Ann": [axis(0), alike(p0=0.8)], "Bob": [alike(p0=0.6)]})
    members = catalog.gallery().members()
    assert members.schema.equals(GALLERY_MEMBERS)
    by_name = {row["exemplar_id"]: row for row in members.to_pylist()}
    assert by_name["Ann-0"]["to_anchors"] == pytest.approx(0.8, abs=1e-3)
    # 0.8 × 0.6 + 0.6 × 0.8 = 0.96: Ann's second photo looks more like Bob than like her first
    assert by_name["Ann-1"]["to_nearest"] == pytest.approx(0.96, abs=1e-3)
    assert (by_name["Ann-1"]["nearest"], by_name["Bob-0"]["to_anchors"]) == ("Bob", None)
    assert by_name["Bob-0"]["note"].startswith("looks like Ann (score 0.96)")


def test_an_audit_counts_what_each_exemplar_brings_in_alone(lake: Lake, catalog: Catalog) -> None:
    film(lake, "one", [alike(p0=0.7), alike(p2=0.7), alike(p0=0.6, p2=0.6), alike(p1=0.9)])
    plant_gallery(lake, {"Ann": [axis(0), axis(2)], "Bob": [axis(1)]})
    audit = catalog.gallery().audit(0.5)
    assert audit.schema.equals(GALLERY_AUDIT)
    counted = {row["exemplar_id"]: (row["n_faces"], row["n_alone"]) for row in audit.to_pylist()}
    assert counted == {"Ann-0": (2, 1), "Ann-1": (2, 1), "Bob-0": (1, 1)}


def test_an_audit_leaves_out_the_vetoed_and_counts_the_faces_stood_for(
    lake: Lake, catalog: Catalog
) -> None:
    video_id = plant_video(lake, "one", {0: [alike(p0=0.7)], 40: [alike(p0=0.7)]}, n_embedded=1)
    take_second_embedding(lake, video_id)
    plant_gallery(lake, {"Ann": [axis(0), axis(2)]})
    catalog.veto("Ann-1")
    counted = [(row["n_faces"], row["n_alone"]) for row in catalog.gallery().audit(0.5).to_pylist()]
    assert counted == [(2, 2), (None, None)]


def test_the_members_of_an_empty_gallery_are_an_empty_table(catalog: Catalog) -> None:
    members = catalog.gallery().members()
    assert (len(members), members.schema.equals(GALLERY_MEMBERS)) == (0, True)
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        catalog.gallery().audit(0.3)


# Versions ---------------------------------------------------------------------------------------


def test_results_name_the_version_of_the_gallery(lake: Lake, catalog: Catalog) -> None:
    film(lake, "one", [alike(p0=0.7)])
    plant_gallery(lake, ANN)
    version = catalog.gallery().version
    scores = catalog.match()
    assert scores.gallery_version == scores.spans(threshold=0.3).gallery_version == version
    assert repr(scores).endswith(f"gallery {version})")
    assert repr(scores.spans(threshold=0.3)).endswith(f"gallery {version}")


def test_the_version_is_of_what_is_compared(lake: Lake, catalog: Catalog) -> None:
    (face,) = film(lake, "one", [alike(p0=0.9)])
    plant_gallery(lake, ANN)
    first = catalog.gallery().version
    name = catalog.add_negative("Ann", faces=[face]).table["exemplar_id"].to_pylist()
    second = catalog.gallery().version
    catalog.veto(*[one for one in name if one != "Ann-0"])
    assert len({first, second}) == 2
    assert catalog.gallery().version == first  # vetoed ones take no part
    backwards = catalog.gallery().table.take([1, 0])
    assert facelake.catalog.Gallery(backwards).version == first


# Decisions --------------------------------------------------------------------------------------


def test_each_track_has_a_decision(lake: Lake, catalog: Catalog) -> None:
    names = film(lake, "one", [alike(p0=0.7), alike(p0=0.6), alike(p0=0.5)])
    film(lake, "two", [alike(p1=0.46)], track=None)
    film(lake, "three", [alike(p0=0.1)])
    plant_gallery(lake, ANN | BOB)
    decisions = catalog.decide(threshold=0.30)
    assert decisions.table.schema.equals(DECISIONS)
    one, three, two = sorted(decisions.table.to_pylist(), key=lambda row: row["path"])
    assert (one["identity"], one["tier"], one["track_id"]) == ("Ann", "certain", 0)
    assert one["score_mean"] == pytest.approx(0.6, abs=1e-3)
    assert (one["start_s"], one["end_s"]) == (0.0, pytest.approx(4.04))  # the last is shown 40 ms
    assert (one["n_faces"], one["best_face_id"]) == (3, names[0])
    assert (one["rank"], one["n_ranked"]) == (1, 5)
    assert (two["identity"], two["tier"], two["track_id"]) == ("Bob", "likely", None)
    assert two["rule"] == "a single face: 1 of 1 at 0.45 or more"
    assert three["tier"] == "unknown"
    assert repr(decisions).startswith("3 tracks: 1 certain, 1 likely, 1 unknown, at threshold 0.3")
    assert len(decisions.of("certain", "likely")) == 2
    with pytest.raises(ValueError, match=r"tier must be one of certain, .* but is 'sure'"):
        decisions.of("sure")


def test_a_grown_exemplar_does_not_speak_for_its_own_track(lake: Lake, catalog: Catalog) -> None:
    film(lake, "one", [alike(p0=0.52)])
    film(lake, "two", [alike(p0=0.51, p3=0.1)])
    plant_gallery(lake, ANN | BOB)
    before = catalog.decide(threshold=0.30).table
    assert before["tier"].to_pylist() == ["likely", "likely"]
    assert len(catalog.grow_gallery(add_threshold=0.515)) == 1
    after = catalog.decide(threshold=0.30).table
    assert after["tier"].to_pylist() == ["likely", "certain"]  # only the other track is surer
    assert after["score"][0] == before["score"][0]


def test_a_track_that_negatives_rule_out_is_nobody(lake: Lake, catalog: Catalog) -> None:
    (face,) = film(lake, "one", [alike(p0=0.9)])
    plant_gallery(lake, ANN)
    catalog.add_negative("Ann", faces=[face])
    (row,) = catalog.decide(threshold=0.30).table.to_pylist()
    assert (row["identity"], row["tier"], row["score"], row["rank"]) == (
        None,
        "unknown",
        None,
        None,
    )
    assert row["rule"] == "negatives rule out everybody"


def test_a_catalog_without_faces_gives_an_empty_table(lake: Lake, catalog: Catalog) -> None:
    plant_video(lake, "one", {0: []})
    plant_gallery(lake, ANN)
    decisions = catalog.decide(threshold=0.30)
    assert (len(decisions), decisions.table.schema.equals(DECISIONS)) == (0, True)
    grown = catalog.grow_gallery(add_threshold=0.5)
    assert (len(grown), grown.table.schema.equals(GROWTH)) == (0, True)
    with pytest.raises(CatalogError, match="no threshold is given and none is stored"):
        catalog.decide()


# Forgetting and verifying -----------------------------------------------------------------------


def planted_in_two_roles(lake: Lake, catalog: Catalog) -> tuple[list[str], list[str]]:
    """Ann's faces in one video, one enrolled as Ann and one as not Bob; Bob's in another."""
    own = film(lake, "one", [alike(p0=0.9), alike(p0=0.5)])
    others = film(lake, "two", [alike(p1=0.9)])
    plant_gallery(lake, ANN | BOB)
    catalog.enrol_faces("Ann", faces=own[:1])
    catalog.add_negative("Bob", faces=own[1:])
    catalog.enrol_faces("Bob", faces=others)
    return own, others


@pytest.mark.parametrize("what", ["identity", "face", "video"])
def test_forgetting_takes_the_exemplars_made_of_what_goes(
    lake: Lake, catalog: Catalog, what: str
) -> None:
    own, others = planted_in_two_roles(lake, catalog)
    request = {
        "identity": Request(identity="Ann"),
        "face": Request(face_ids=(own[0],)),  # its whole track goes
        "video": Request(video="one.mp4"),
    }[what]
    report = carry_out(lake, plan_forgetting(lake, request))
    assert report.left == ()
    left = catalog.gallery().table
    assert set(left["face_id"].to_pylist()) == {None, *others}
    assert ("Ann" in left["identity"].to_pylist()) == (what != "identity")
    assert report.n_exemplars == (3 if what == "identity" else 2)


def test_an_interrupted_forgetting_takes_the_exemplars_later(lake: Lake, catalog: Catalog) -> None:
    own, _ = planted_in_two_roles(lake, catalog)
    kept = lake.exemplars(SPACE)
    request = Request(face_ids=(own[0],))
    carry_out(lake, plan_forgetting(lake, request))
    lake.add_exemplars(kept, SPACE)  # as if it had been stopped before the exemplars went
    carry_out(lake, plan_forgetting(lake, request))
    assert not set(catalog.gallery().table["face_id"].to_pylist()) & set(own)


def test_forgetting_a_person_keeps_those_said_not_to_be_that_person(
    lake: Lake, catalog: Catalog
) -> None:
    film(lake, "one", [alike(p0=0.7)])
    twin = film(lake, "two", [alike(p0=0.6, p3=0.7)])
    plant_gallery(lake, ANN | BOB)
    catalog.add_negative("Ann", faces=twin)
    carry_out(lake, plan_forgetting(lake, Request(identity="Ann", threshold=0.5)))
    left = [
        n for v in lake.iter_video_ids(SPACE) for n in lake.faces(v, SPACE)["face_id"].to_pylist()
    ]
    assert left == twin


def test_a_catalog_with_every_role_verifies(lake: Lake, catalog: Catalog) -> None:
    own, _ = planted_in_two_roles(lake, catalog)
    catalog.veto(face_exemplar_id("Ann", own[0], SPACE))
    wrong = [one for one in catalog.verify().table.to_pylist() if "gallery" in one["file"]]
    assert wrong == []
