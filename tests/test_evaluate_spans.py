"""Spans against a truth: numbers on paper, brute force, scikit-learn, pyannote, our own scorer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.detection import DetectionPrecisionRecallFMeasure
from pyannote.metrics.identification import IdentificationErrorRate
from sklearn.metrics import precision_recall_fscore_support

from facelake.evaluate import (
    Agreement,
    Appearance,
    SpanEvaluation,
    Truth,
    VideoName,
    agree,
    evaluate_spans,
    intervals_of,
    plain_key,
    read_spans,
    read_truth,
)
from facelake.evaluate.agreement import join_touching
from facelake.evaluate.spans import match_spans
from facelake.schema import EVALUATION, SPAN_MATCHES

A, B = VideoName("a.mp4"), VideoName("b.mp4")
PEOPLE = ("Rachel", "Joey", "Monica", "Chandler", "Phoebe", "Ross", "Gunther")

times = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12)).map(
        lambda place: (place[0] / 4, (place[0] + place[1]) / 4)
    ),
    max_size=8,
)


def one(
    start_s: float, end_s: float, who: str = "Ann", *, video: VideoName = A, counts: bool = True
) -> Appearance:
    return Appearance(video, who, start_s, end_s, counts)


def truth_of(*appearances: Appearance, videos: Sequence[VideoName] = (A, B)) -> Truth:
    return Truth("truth.csv", tuple(videos), appearances)


def evaluated(
    found: Sequence[Appearance], truth: Truth, *, collar_s: float = 0.0, **options: Any
) -> SpanEvaluation:
    return evaluate_spans(found, truth, collar_s=collar_s, **options)


def in_all(evaluation: SpanEvaluation) -> dict[str, Any]:
    rows: list[dict[str, Any]] = evaluation.totals.to_pylist()
    return rows[-1]


def covered(intervals: Sequence[tuple[float, float]], step: int) -> bool:
    """Whether a quarter of a second is inside."""
    return any(start <= step / 4 < end for start, end in intervals)


# Seconds ------------------------------------------------------------------------------------------


def test_seconds_are_right_missed_or_false() -> None:
    # Of [0, 4) and [6, 8): 3 + 1 s found, 1 + 1 s missed; 1 s after 8 is false.
    agreement = agree(intervals_of([(1, 4), (7, 9)]), intervals_of([(0, 4), (6, 8)]))
    assert agreement == Agreement(right_s=4.0, missed_s=2.0, false_s=1.0)
    assert agreement.recall == pytest.approx(4 / 6)
    assert agreement.precision == pytest.approx(4 / 5)
    assert agreement.f1 == pytest.approx(8 / 11)


def test_of_nothing_there_is_no_rate() -> None:
    nothing = agree(intervals_of([]), intervals_of([]))
    assert (nothing.recall, nothing.precision, nothing.f1) == (None, None, None)
    assert agree(intervals_of([(0, 1)]), intervals_of([])).recall is None


@given(times, times, times)
def test_agreement_is_that_of_counting_quarters_of_a_second(
    found: list[tuple[float, float]],
    wanted: list[tuple[float, float]],
    ignored: list[tuple[float, float]],
) -> None:
    told = agree(*map(intervals_of, (found, wanted, ignored)))
    steps = [step for step in range(60) if not covered(ignored, step)]
    got = [step for step in steps if covered(found, step)]
    want = [step for step in steps if covered(wanted, step)]
    assert told.right_s == len(set(got) & set(want)) / 4
    assert told.missed_s == len(set(want) - set(got)) / 4
    assert told.false_s == len(set(got) - set(want)) / 4


@given(times)
def test_joined_intervals_are_apart_and_cover_the_same(given_: list[tuple[float, float]]) -> None:
    joined = join_touching(intervals_of(given_))
    assert (joined[:-1, 1] < joined[1:, 0]).all()
    assert (joined[:, 0] < joined[:, 1]).all()
    for step in range(60):
        assert covered([(row[0], row[1]) for row in joined], step) == covered(given_, step)


def test_a_collar_and_other_visibilities_count_neither_way() -> None:
    truth = truth_of(one(1.0, 3.0), one(5.0, 6.0, counts=False))
    # From 1.3 to 2.0 right, to 2.7 missed; 4.5 to 4.7 and 6.3 to 6.5 false.
    row = in_all(evaluated([one(0.8, 2.0), one(4.5, 6.5)], truth, collar_s=0.3))
    assert row["right_s"] == pytest.approx(0.7)
    assert row["missed_s"] == pytest.approx(0.7)
    assert row["false_s"] == pytest.approx(0.4)


def test_whom_the_truth_does_not_name_in_a_video_is_false_there() -> None:
    truth = truth_of(one(0, 4, "Ann", video=A), one(0, 4, "Bob", video=B))
    row = in_all(evaluated([one(0, 2, "Bob", video=A)], truth))
    assert (row["false_s"], row["missed_s"]) == (2.0, 8.0)


def test_names_are_compared_plainly() -> None:
    row = in_all(evaluated([one(0, 2, "zoe-k")], truth_of(one(0, 2, "Zoë K."))))
    assert (row["f1"], row["span_f1"]) == (1.0, 1.0)


def test_rows_are_summed_for_each_person_for_each_video_and_in_all() -> None:
    truth = truth_of(one(0, 4), one(0, 2, video=B), one(4, 6, "Bob"))
    told = evaluated([one(0, 3), one(0, 2, video=B), one(5, 7, "Bob")], truth)
    assert told.table.schema == EVALUATION
    rows = {
        (row["level"], row["video"], row["identity"]): (
            row["right_s"], row["missed_s"], row["false_s"],
        )
        for table in (told.table, told.totals)
        for row in table.to_pylist()
    }  # fmt: skip
    assert rows == {
        ("each", "a.mp4", "Ann"): (3, 1, 0),
        ("each", "a.mp4", "Bob"): (1, 1, 1),
        ("each", "b.mp4", "Ann"): (2, 0, 0),
        ("identity", None, "Ann"): (5, 1, 0),
        ("identity", None, "Bob"): (1, 1, 1),
        ("video", "a.mp4", None): (4, 2, 1),
        ("video", "b.mp4", None): (2, 0, 0),
        ("all", None, None): (6, 2, 1),
    }
    assert told.seconds == Agreement(6, 2, 1)


def test_without_spans_and_truth_there_are_tables_with_the_right_columns() -> None:
    told = evaluated([], truth_of(videos=()))
    assert (told.table.schema, len(told.table)) == (EVALUATION, 0)
    assert (told.matches.schema, len(told.matches)) == (SPAN_MATCHES, 0)
    row = in_all(told)
    assert row["truth_s"] == 0.0
    assert [row[name] for name in ("precision", "recall", "f1", "span_f1")] == [None] * 4
    assert told.notes == ()


# Whole spans --------------------------------------------------------------------------------------


def outcomes(told: SpanEvaluation) -> list[tuple[Any, ...]]:
    columns = ["outcome", "truth_start_s", "found_start_s"]
    return [tuple(row.values()) for row in told.matches.select(columns).to_pylist()]


def test_spans_match_from_an_iou_of_a_half_on() -> None:
    # [0, 4) and [2, 6): 2 of 6 s. [10, 14) and [10, 12): 2 of 4 s.
    told = evaluated([one(2, 6), one(10, 12)], truth_of(one(0, 4), one(10, 14)))
    assert outcomes(told) == [("missed", 0, None), ("false", None, 2), ("matched", 10, 10)]
    row = in_all(told)
    assert (row["n_truth_spans"], row["n_found_spans"], row["n_matched"]) == (2, 2, 1)
    assert (row["span_precision"], row["span_recall"], row["span_f1"]) == (0.5, 0.5, 0.5)
    assert told.matches["iou"].to_pylist() == [None, None, 0.5]
    stricter = evaluated([one(10, 12)], truth_of(one(10, 14)), min_iou=0.51)
    assert in_all(stricter)["n_matched"] == 0


def test_of_several_that_match_the_best_is_taken_and_each_only_once() -> None:
    told = evaluated([one(0, 9), one(0, 10)], truth_of(one(0, 10)))
    rows = {row["found_end_s"]: row["outcome"] for row in told.matches.to_pylist()}
    assert rows == {9.0: "false", 10.0: "matched"}


def test_rows_of_the_truth_that_touch_are_one_span() -> None:
    told = evaluated([one(0, 10)], truth_of(one(0, 5), one(5, 10)))
    assert outcomes(told) == [("matched", 0, 0)]


def test_edges_are_late_or_early() -> None:
    truth = truth_of(one(0, 10), one(20, 30), one(40, 50))
    row = in_all(evaluated([one(1, 9), one(20.5, 30), one(39, 50.5)], truth))
    # Starts +1, +0.5, −1; ends −1, 0, +0.5.
    assert (row["n_starts"], row["n_ends"]) == (3, 3)
    assert row["start_error_median_s"] == 1.0
    assert row["start_bias_s"] == pytest.approx(0.5 / 3)
    assert row["end_error_median_s"] == 0.5
    assert row["end_error_p90_s"] == pytest.approx(np.percentile([1, 0, 0.5], 90))
    assert row["end_bias_s"] == pytest.approx(-0.5 / 3)


def test_where_time_that_does_not_count_adjoins_there_is_no_edge_and_no_union() -> None:
    # Small from 0 to 10, in front from 10 to 20. Found from 2 on.
    truth = truth_of(one(0, 10, counts=False), one(10, 20))
    told = evaluated([one(2, 19)], truth)
    (row,) = told.matches.to_pylist()
    assert row["outcome"] == "matched"
    assert row["iou"] == pytest.approx(9 / 10)
    assert (row["start_error_s"], row["end_error_s"]) == (None, -1.0)


def test_a_span_that_lies_mostly_where_nothing_counts_is_left_out() -> None:
    truth = truth_of(one(0, 10, counts=False), one(30, 40))
    assert outcomes(evaluated([one(6, 13)], truth)) == [("left out", None, 6), ("missed", 30, None)]
    assert outcomes(evaluated([one(6, 15)], truth)) == [("false", None, 6), ("missed", 30, None)]


def test_a_span_of_the_truth_under_time_that_does_not_count_is_left_out() -> None:
    told = evaluated([], truth_of(one(2, 4), one(0, 10, counts=False)))
    assert outcomes(told) == [("left out", 2, None)]
    assert in_all(told)["span_recall"] is None


def most_matches(found: list[Any], wanted: list[Any], min_iou: float) -> int:
    """By trying every way to pair them."""
    short, long = sorted((found, wanted), key=len)
    best = 0
    for chosen in itertools.permutations(long, len(short)):
        best = max(best, sum(iou_of(a, b) >= min_iou for a, b in zip(short, chosen, strict=True)))
    return best


def iou_of(one_span: tuple[float, float], other: tuple[float, float]) -> float:
    common = max(0.0, min(one_span[1], other[1]) - max(one_span[0], other[0]))
    union = one_span[1] - one_span[0] + other[1] - other[0] - common
    return common / union


@settings(max_examples=60)
@given(times, times)
def test_no_other_pairing_matches_more_spans(
    found: list[tuple[float, float]], wanted: list[tuple[float, float]]
) -> None:
    got = join_touching(intervals_of(found))[:5]
    want = join_touching(intervals_of(wanted))[:5]
    none = intervals_of([])
    matches = match_spans(got, want, none, none, min_iou=0.5)
    n_matched = sum(match.outcome == "matched" for match in matches)
    assert n_matched == most_matches([*map(tuple, got)], [*map(tuple, want)], 0.5)
    assert len(matches) == len(got) + len(want) - n_matched


# What only one side knows -------------------------------------------------------------------------


def test_names_and_videos_that_only_one_side_knows_are_told() -> None:
    truth = truth_of(one(0, 1, "Ann"), one(0, 1, "Bob", video=B))
    found = [one(0, 1, "Ann"), one(0, 1, "Carl"), one(0, 1, "Ann", video=VideoName("/x/c.mp4"))]
    assert evaluated(found, truth).notes == (
        "truth.csv tells nothing of c.mp4: left out",
        "no span in b.mp4: whom truth.csv names there is missed",
        "found, but truth.csv never names them, so all of it is false: Carl",
        "named in truth.csv, but never found: Bob",
    )


def test_of_videos_that_were_not_looked_at_nothing_is_asked() -> None:
    truth = truth_of(one(0, 1, "Ann"), one(0, 1, "Bob", video=B))
    told = evaluated([one(0, 1, "Ann")], truth, videos=[A, VideoName("c.mp4")])
    assert in_all(told)["recall"] == 1.0
    assert told.notes == ("truth.csv tells of b.mp4, which nobody asked: left out",)
    # One that was looked at and has no span is missed.
    both = evaluated([one(0, 1, "Ann")], truth, videos=[A, B])
    assert in_all(both)["recall"] == 0.5


def test_somebody_found_where_the_truth_names_nobody_is_false() -> None:
    told = evaluated([one(0, 3)], truth_of(videos=[A]))
    assert in_all(told)["false_s"] == 3.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"collar_s": -0.1}, "collar_s must be 0 or more seconds, but is -0.1"),
        ({"collar_s": float("nan")}, "collar_s must be"),
        ({"min_iou": 0.0}, r"min_iou must lie in \(0, 1\], but is 0.0"),
        ({"min_iou": 1.1}, "min_iou must lie in"),
    ],
)
def test_rules_that_are_none_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluated([], truth_of(), **options)


# Somebody else's answer ---------------------------------------------------------------------------


def annotation(appearances: Sequence[Appearance]) -> Annotation:
    told = Annotation(uri="a")
    for track, each in enumerate(appearances):
        if each.end_s > each.start_s:
            told[Segment(each.start_s, each.end_s), track] = each.identity
    return told


def many(seed: int, n: int, people: Sequence[str]) -> list[Appearance]:
    """Disjoint spans of each of several people, at times that are no multiples of anything."""
    noise = np.random.default_rng(seed)
    return [
        one(float(edges[0]), float(edges[1]), who)
        for who in people
        for edges in np.sort(noise.uniform(0, 100, 2 * n)).reshape(-1, 2)
    ]


@pytest.mark.parametrize("collar_s", [0.0, 0.4])
def test_agrees_with_pyannote_on_detection(collar_s: float) -> None:
    found, wanted = many(1, 9, ["Ann"]), many(2, 9, ["Ann"])
    # pyannote's collar is the whole width; it scores within the frame that it is given.
    metric = DetectionPrecisionRecallFMeasure(collar=2 * collar_s)
    detail = metric.compute_components(
        annotation(wanted), annotation(found), uem=Timeline([Segment(-10, 110)])
    )
    row = in_all(evaluated(found, truth_of(*wanted), collar_s=collar_s))
    assert row["found_s"] == pytest.approx(detail["retrieved"])
    assert row["truth_s"] == pytest.approx(detail["relevant"])
    assert row["right_s"] == pytest.approx(detail["relevant retrieved"])
    assert row["f1"] == pytest.approx(metric.compute_metric(detail))


def test_agrees_with_pyannote_on_identification() -> None:
    found, wanted = many(3, 5, ["Ann", "Bob", "Carl"]), many(4, 5, ["Ann", "Bob", "Dora"])
    parts = IdentificationErrorRate(collar=0.0).compute_components(
        annotation(wanted), annotation(found), uem=Timeline([Segment(-10, 110)])
    )
    row = in_all(evaluated(found, truth_of(*wanted)))
    assert row["right_s"] == pytest.approx(parts["correct"])
    assert row["truth_s"] == pytest.approx(parts["total"])
    # Who is taken for somebody else is missed and false at once.
    assert row["missed_s"] == pytest.approx(parts["missed detection"] + parts["confusion"])
    assert row["false_s"] == pytest.approx(parts["false alarm"] + parts["confusion"])


def test_agrees_with_scikit_learn_second_by_second() -> None:
    noise = np.random.default_rng(5)
    found, wanted = noise.random(200) < 0.4, noise.random(200) < 0.5

    def seconds(flags: Any) -> list[Appearance]:
        return [one(float(second), second + 1.0) for second in np.flatnonzero(flags)]

    precision, recall, f1, _ = precision_recall_fscore_support(wanted, found, average="binary")
    row = in_all(evaluated(seconds(found), truth_of(*seconds(wanted))))
    assert [row["precision"], row["recall"], row["f1"]] == pytest.approx([precision, recall, f1])


@pytest.mark.shared
def test_the_projects_own_scorer_agrees(shared: Path, scorer: ModuleType, tmp_path: Path) -> None:
    """It counts in steps of 0.05 s: on times that are such steps both must say the same."""
    truth_csv, spans_csv = tmp_path / "truth.csv", tmp_path / "spans.csv"
    truth_csv.write_text(_on_steps((shared / "TRUTH.csv").read_text("utf-8")), "utf-8")
    rows = [
        f"/x/friends_poker.mp4,{name},{7 * n / 20:.2f},{(7 * n + 44) / 20:.2f}"
        for n, name in enumerate(itertools.islice(itertools.cycle(PEOPLE), 70))
    ]
    spans_csv.write_text("\n".join(["path,identity,start_s,end_s", *rows]))
    wanted, ignored = scorer.read_truth(truth_csv, {"front", "angle"}, 0.35)
    found = scorer.read_spans(spans_csv)
    truth = read_truth(truth_csv).only(["friends_poker"])
    told = evaluate_spans(read_spans(spans_csv), truth, collar_s=0.35)
    for row in told.table.to_pylist():
        where = ("friends_poker", plain_key(row["identity"]))
        got, want = found[where] - ignored[where], wanted[where] - ignored[where]
        assert row["right_s"] == pytest.approx(len(got & want) * scorer.STEP_S)
        assert row["missed_s"] == pytest.approx(len(want - got) * scorer.STEP_S)
        assert row["false_s"] == pytest.approx(len(got - want) * scorer.STEP_S)
    assert min(told.seconds.right_s, told.seconds.missed_s, told.seconds.false_s) > 0


def _on_steps(text: str) -> str:
    """A truth with its times rounded to steps of 0.05 s."""
    lines = []
    for line in text.splitlines():
        parts = line.split(",")
        for column in (2, 3):
            if len(parts) > 3 and parts[column].replace(".", "").isdecimal():
                parts[column] = f"{round(float(parts[column]) * 20) / 20:.2f}"
        lines.append(",".join(parts))
    return "\n".join(lines)
