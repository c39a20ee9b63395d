"""Clusters → tables: sums by hand, ids that stay, conflicts that are told."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from filmed import label
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.people import Clustered, TrackNames, name_tracks, settle_labels, tabulate_people
from facelake.schema import LABELS, PEOPLE, PEOPLE_CONFLICTS, PEOPLE_TRACKS

COLUMNS = [name for name in PEOPLE_TRACKS.names if name not in ("person_id", "name", "score")]


def track(video: str, number: int, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    return {
        "video_id": video,
        "path": f"/archive/{video}.mp4",
        "track_id": number,
        "start_s": start_s,
        "end_s": end_s,
        "n_faces": 10,
        "best_face_id": f"{video}{number}",
        "best_time_s": start_s,
        "quality": 0.5,
        "cos_to_mean_min": 0.9,
    } | more


def clustered(
    tracks: list[dict[str, Any]],
    cluster: list[int],
    *,
    vectors: npt.ArrayLike | None = None,
    names: TrackNames | None = None,
    apart: list[list[int]] | None = None,
    threshold: float = 0.4,
) -> Clustered:
    schema = pa.schema([PEOPLE_TRACKS.field(name) for name in COLUMNS])
    alike = np.eye(8, dtype=np.float32)[cluster]
    return Clustered(
        pa.Table.from_pylist(tracks, schema),
        alike if vectors is None else np.asarray(vectors, np.float32),
        np.array(cluster, np.int64),
        names or name_tracks([], [], n_tracks=len(tracks)),
        np.array(apart or [], np.int64).reshape(-1, 2),
        threshold,
    )


def tables(found: Clustered) -> tuple[pa.Table, pa.Table, pa.Table]:
    nobody = np.full(found.n_people, np.nan, np.float32)
    return tabulate_people(found, identity=[None] * found.n_people, score=nobody)


def test_a_person_is_the_sum_of_their_tracks() -> None:
    found = clustered(
        [
            track("b", 0, 1.0, 3.0, quality=0.3),
            track("b", 4, 2.0, 5.0, n_faces=7, quality=0.8),  # overlaps by a second
            track("a", 1, 10.0, 12.0),
            track("a", 2, 0.0, 1.0),  # somebody else
        ],
        [0, 0, 0, 1],
    )
    people, tracks, conflicts = tables(found)
    assert people.schema.equals(PEOPLE)
    assert tracks.schema.equals(PEOPLE_TRACKS)
    first, second = people.to_pylist()
    expected = {
        "n_tracks": 3, "n_faces": 27, "n_videos": 2, "seconds": 6.0, "first_video_id": "a",
        "first_s": 10.0, "last_video_id": "b", "last_s": 5.0, "best_face_id": "b4",
        "best_video_id": "b", "best_time_s": 2.0, "name": None, "identity": None, "score": None,
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert (second["n_tracks"], second["seconds"]) == (1, 1.0)
    assert not len(conflicts)
    assert tracks["person_id"].to_pylist() == [
        second["person_id"], *[first["person_id"]] * 3
    ]  # fmt: skip


def test_the_least_alike_track_is_told_by_its_cosine_to_the_mean() -> None:
    # Two at 60° to each other: each is at 30° to the mean, a cosine of √3 / 2.
    found = clustered(
        [track("a", 0, 0, 1), track("a", 1, 2, 3)],
        [0, 0],
        vectors=[[1, 0], [0.5, np.sqrt(0.75)]],
    )
    people, tracks, _ = tables(found)
    assert people["cos_to_mean_min"][0].as_py() == pytest.approx(np.sqrt(0.75))
    assert tracks["score"].to_pylist() == pytest.approx([np.sqrt(0.75)] * 2)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=10), st.data())
def test_each_person_has_an_id_of_their_own_that_new_tracks_seldom_change(
    cluster: list[int], data: st.DataObject
) -> None:
    cluster = np.unique(cluster, return_inverse=True)[1].tolist()
    made = [track("v", number, number, number + 1) for number in range(len(cluster))]
    people, tracks, _ = tables(clustered(made, cluster))
    ids = dict(zip(tracks["track_id"].to_pylist(), tracks["person_id"].to_pylist(), strict=True))
    assert len(set(people["person_id"].to_pylist())) == len(people)
    # A track whose best face is not the least of its person's may go, and no id changes.
    least = {min((f"v{n}", n) for n in range(len(cluster)) if cluster[n] == one)[1]
             for one in set(cluster)}  # fmt: skip
    others = [n for n in range(len(cluster)) if n not in least]
    if others:
        gone = data.draw(st.sampled_from(others))
        kept = [n for n in range(len(cluster)) if n != gone]
        _, after, _ = tables(clustered([made[n] for n in kept], [cluster[n] for n in kept]))
        assert dict(
            zip(after["track_id"].to_pylist(), after["person_id"].to_pylist(), strict=True)
        ) == {n: ids[n] for n in kept}


def named(*names: str | None, n_tracks: int) -> TrackNames:
    rows = [label(f"f{at}", name, at=at) for at, name in enumerate(names) if name]
    settled = settle_labels(pa.Table.from_pylist(rows, LABELS))
    return name_tracks(list(settled.values()), [int(one[1:]) for one in settled], n_tracks=n_tracks)


def test_a_name_is_everybodys_in_the_cluster_and_a_hash_name_is_not_shown() -> None:
    found = clustered(
        [track("a", 0, 0, 9), track("a", 1, 10, 11), track("a", 2, 12, 13)],
        [0, 0, 1],
        names=named("Ann", None, "#0a1b", n_tracks=3),
    )
    people, tracks, _ = tables(found)
    assert people["name"].to_pylist() == ["Ann", None]
    assert tracks["name"].to_pylist() == ["Ann", "Ann", None]


def test_two_tracks_of_one_name_at_one_instant_are_a_conflict() -> None:
    found = clustered(
        [track("a", 0, 0, 9), track("a", 1, 1, 2)],
        [0, 0],
        names=named("Ann", "Ann", n_tracks=2),
        apart=[[0, 1]],
    )
    people, _, conflicts = tables(found)
    assert conflicts.schema.equals(PEOPLE_CONFLICTS)
    (row,) = conflicts.to_pylist()
    assert (row["kind"], row["name"], row["track_id"]) == ("same_instant", "Ann", 0)
    assert row["what"] == "tracks 0 and 1 have this name and share an instant"
    assert people["n_conflicts"].to_pylist() == [1]


def test_a_track_that_only_its_label_keeps_is_a_conflict() -> None:
    found = clustered(
        [track("a", number, number, number + 1) for number in range(3)],
        [0, 0, 0],
        vectors=[[1, 0, 0], [1, 0, 0], [0.2, np.sqrt(0.96), 0]],
        names=named("Ann", "Ann", "Ann", n_tracks=3),
        threshold=0.4,
    )
    _, _, conflicts = tables(found)
    # The third scores 0.2 with the first two; the first scores more than 0.4 with the others.
    assert [(row["kind"], row["track_id"]) for row in conflicts.to_pylist()] == [("unlike", 2)]
    assert "scores 0.20" in conflicts["what"][0].as_py()


def test_nobody_gives_empty_tables_with_the_right_columns() -> None:
    found = clustered([], [], vectors=np.empty((0, 8)))
    people, tracks, conflicts = tables(found)
    assert people.equals(PEOPLE.empty_table())
    assert tracks.equals(PEOPLE_TRACKS.empty_table())
    assert conflicts.equals(PEOPLE_CONFLICTS.empty_table())
