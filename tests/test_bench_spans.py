"""Spans beside spans: edges, seconds, and a truth made by hand; every number is on paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import Vector, alike, axis, new_lake, plant_gallery, plant_video

from facelake.bench.ask import Question, compare_answers, prepare_question
from facelake.bench.footage import Film, Footage
from facelake.bench.spans import (
    Edge,
    EdgeCount,
    Looked,
    Span,
    at_same_borders,
    compare_seconds,
    count_edges,
    edges_of,
    find_edges,
)
from facelake.evaluate import Agreement, read_truth
from facelake.results import Gallery

FRAME_S = {"a": 0.04, "b": 0.04}


def span(start_s: float, end_s: float, identity: str = "Ann", video: str = "a") -> Span:
    return Span(video, identity, start_s, end_s)


def found(wanted: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    return find_edges(edges_of(wanted), edges_of(spans), FRAME_S)


# Edges --------------------------------------------------------------------------------------------


def test_an_edge_is_found_one_frame_away_and_not_two() -> None:
    assert found([span(1.0, 2.0)], [span(1.04, 1.92)]) == [True, False]
    assert found([span(1.0, 2.0)], [span(0.96, 2.08)]) == [True, False]


def test_a_millisecond_of_rounding_is_still_one_frame() -> None:
    assert found([span(1.0, 2.0)], [span(1.041, 2.042)]) == [True, False]


@pytest.mark.parametrize("other", [span(1.0, 2.0, "Bob"), span(1.0, 2.0, video="b")])
def test_another_person_or_video_has_other_edges(other: Span) -> None:
    assert found([span(1.0, 2.0)], [other]) == [False, False]


def test_a_start_is_no_end() -> None:
    assert found([span(1.0, 2.0)], [span(2.0, 3.0), span(0.0, 1.0)]) == [False, False]


def test_an_edge_is_found_only_once() -> None:
    # Starts at 1.00 and 1.06; the one at 1.03 is in reach of both.
    wanted = [span(1.0, 1.04), span(1.06, 2.0)]
    assert found(wanted, [span(1.03, 2.0)]) == [True, False, False, True]
    # One at 1.03 and one at 1.07: the first takes what only it can have.
    assert found(wanted, [span(1.03, 1.04), span(1.07, 2.0)]) == [True] * 4


@given(
    st.lists(st.integers(0, 30), max_size=6, unique=True),
    st.lists(st.integers(0, 30), max_size=6, unique=True),
)
def test_as_many_edges_are_found_as_can_be_paired(one: list[int], other: list[int]) -> None:
    # Frames of 0.04 s, edges at multiples of 0.02 s: in reach are those up to 2 apart.
    wanted = [Edge("a", "Ann", "start", 0.02 * place) for place in one]
    had = [Edge("a", "Ann", "start", 0.02 * place) for place in other]
    assert sum(find_edges(wanted, had, FRAME_S)) == most_pairs(one, other)


def most_pairs(one: Sequence[int], other: Sequence[int]) -> int:
    """By trying everything."""
    if not one:
        return 0
    rest = one[1:]
    return max(
        most_pairs(rest, other),
        *(
            1 + most_pairs(rest, [place for place in other if place != taken])
            for taken in other
            if abs(taken - one[0]) <= 2
        ),
        0,
    )


def test_spans_up_to_where_looking_ended_are_as_long_as_the_others() -> None:
    looked, dense = {"a": Looked(0.0, 9.84)}, {"a": Looked(0.0, 10.0)}
    assert at_same_borders([span(0.0, 9.84)], looked, dense) == [span(0.0, 10.0)]
    assert at_same_borders([span(0.2, 9.6)], looked, dense) == [span(0.2, 9.6)]


def test_edges_are_counted_by_what_made_them() -> None:
    counts = count_edges([True, False, True], ["face", "score", "face"])
    assert counts == {"face": EdgeCount(2, 2), "score": EdgeCount(1, 0), "video": EdgeCount(0, 0)}
    assert [count.share for count in counts.values()] == [1.0, 0.0, None]


# Seconds ------------------------------------------------------------------------------------------


def test_seconds_are_right_missed_or_false() -> None:
    # Of [0, 4) and [6, 8): 3 + 1 s found, 1 + 1 s missed; 1 s after 8 and 2 s of Bob are false.
    agreement = compare_seconds(
        [span(1.0, 4.0), span(7.0, 9.0), span(0.0, 2.0, "Bob")], [span(0.0, 4.0), span(6.0, 8.0)]
    )
    assert agreement == Agreement(right_s=4.0, missed_s=2.0, false_s=3.0)
    assert agreement.recall == pytest.approx(4 / 6)
    assert agreement.precision == pytest.approx(4 / 7)
    assert agreement.f1 == pytest.approx(8 / 13)


def test_of_nothing_there_is_no_rate() -> None:
    nothing = compare_seconds([], [])
    assert (nothing.recall, nothing.precision, nothing.f1) == (None, None, None)


# Both catalogs ------------------------------------------------------------------------------------

PATH = "/archive/a.mp4"
FOOTAGE = Footage((Film(PATH, 0, 8.0, 200, 0.04, []),), {})


def scene(period_ms: int) -> dict[int, list[Vector]]:
    """Eight seconds, looked at every so often.

    A face that is like Ann from 0 to 2 s, like nobody until 4 s, and like Ann again until 5 s, when
    it vanishes; another face like Ann from 7 s to the end.
    """
    ann, nobody = [alike(p0=0.6)], [alike(p0=0.1)]

    def seen(pts: int) -> list[Vector]:
        if 5000 <= pts < 7000:
            return []
        return nobody if 2000 <= pts < 4000 else ann

    return {pts: seen(pts) for pts in range(0, 8000, period_ms)}


def plant(folder: Path, period_ms: int) -> Gallery:
    """A catalog of the scene, in which the two faces are two tracks."""
    lake = new_lake(folder)
    plant_video(lake, "a", scene(period_ms), paths=[PATH])
    (file,) = folder.glob("faces/*/*/*.parquet")
    faces = pq.ParquetFile(file).read()
    column = faces.schema.get_field_index("track_id")
    track = pc.cast(pc.greater_equal(faces["pts"], 7000), faces.schema.field(column).type)
    pq.write_table(faces.set_column(column, faces.schema.field(column), track), file)
    return Gallery(plant_gallery(lake, {"Ann": [axis(0)]}))


def test_two_catalogs_are_compared_edge_by_edge(tmp_path: Path) -> None:
    gallery = plant(tmp_path / "dense", 40)
    plant(tmp_path / "default", 200)
    compared = compare_answers(
        Question(gallery, 0.3), tmp_path / "default", tmp_path / "dense", FOOTAGE
    )
    assert (compared.n_spans, compared.n_dense_spans) == (3, 3)
    # Dense: [0, 2), [4, 5), [7, 8). Five times a second, a frame being shown for 0.04 s: [0, 1.84),
    # [4, 4.84), and [7, 7.84), where looking ended and so as good as 8.
    assert compared.edges == {
        "face": EdgeCount(2, 1),  # vanishes at 5 s, appears at 7 s
        "score": EdgeCount(2, 1),  # falls at 2 s, rises at 4 s
        "video": EdgeCount(2, 2),
    }
    assert compared.all_edges == EdgeCount(6, 4)
    assert compared.n_extra_edges == 2
    assert compared.seconds.recall == pytest.approx((1.84 + 0.84 + 1.0) / 4.0)
    assert compared.seconds.precision == pytest.approx(1.0)


def test_both_catalogs_are_compared_with_the_truth(tmp_path: Path) -> None:
    gallery = plant(tmp_path / "dense", 40)
    plant(tmp_path / "default", 200)
    truth = tmp_path / "truth.csv"
    truth.write_text("video,label,start_s,end_s\na.mp4,Ann,0,2\na.mp4,Ann,6,8\n")
    question = Question(gallery, 0.3, read_truth(truth), truth.name)
    told = compare_answers(question, tmp_path / "default", tmp_path / "dense", FOOTAGE)
    assert told.dense_to_truth is not None
    assert told.to_truth is not None
    # Of [0, 2) and [6, 8), 0.3 s at each edge do not count: 1.4 + 0.7 s right, 0.7 s missed, and
    # [4, 5) false, of which the default settings have 0.84 s.
    assert told.dense_to_truth.right_s == pytest.approx(2.1)
    assert told.dense_to_truth.false_s == pytest.approx(1.0)
    assert told.to_truth.right_s == pytest.approx(2.1)
    assert told.to_truth.false_s == pytest.approx(0.84)
    assert told.to_dict()["to_truth"]["recall"] == pytest.approx(2.1 / 2.8)


def test_a_catalog_without_a_span_is_compared_too(tmp_path: Path) -> None:
    gallery = plant(tmp_path / "dense", 40)
    told = compare_answers(Question(gallery, 0.9), tmp_path / "dense", tmp_path / "dense", FOOTAGE)
    assert told.all_edges == EdgeCount(0, 0)
    assert told.seconds.f1 is None


@pytest.fixture
def truth_csv(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text("video,label,start_s,end_s\nother.mp4,Ann,0,2\n")
    return path


@pytest.mark.parametrize(
    ("threshold", "with_truth", "words"),
    [(0.3, True, r"names none of them; a\.mp4 is the first"), (3.0, False, "threshold must lie")],
)
def test_what_is_wrong_is_refused_before_a_photo_is_looked_at(
    tmp_path: Path, truth_csv: Path, threshold: float, with_truth: bool, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        prepare_question(
            tmp_path / "gallery",
            "no/such/photos",
            FOOTAGE,
            pack="buffalo_sc",
            threshold=threshold,
            truth=truth_csv if with_truth else None,
        )
