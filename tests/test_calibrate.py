"""Pairs of faces that need no label, and the rates and thresholds that follow from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_curve

from facelake.calibrate import (
    COUNTED,
    OVERLAPPING,
    SEEN_TWICE,
    Curves,
    Kind,
    PairCounts,
    PairSettings,
    VideoFaces,
    VideoPairs,
    choice_table,
    quality_table,
    rate_table,
    sample_pairs,
    size_table,
)
from facelake.calibrate.counts import SCORE_EDGES, score_bins
from facelake.calibrate.rates import ErrorCurve
from facelake.errors import CalibrationError
from facelake.schema import (
    CALIBRATION,
    CALIBRATION_BY_QUALITY,
    CALIBRATION_BY_SIZE,
    THRESHOLD_CHOICES,
)

DIM = 16
ALL = PairSettings(reference_quality=0.0)


def seen(*faces: dict[str, Any]) -> VideoFaces:
    """A video of these faces: ``at``, ``track``, ``vector``, and ``x``, ``size``, ``quality``."""
    boxes = [
        (f.get("x", 100 * n), 0, f.get("x", 100 * n) + f.get("size", 50), f.get("size", 50))
        for n, f in enumerate(faces)
    ]
    vectors = [np.full(DIM, np.nan) if f["vector"] is None else f["vector"] for f in faces]
    return VideoFaces(
        pts=np.array([round(1000 * f["at"]) for f in faces], np.int64),
        time_s=np.array([f["at"] for f in faces], np.float64),
        track_id=np.array([f.get("track", -1) for f in faces], np.int64),
        bbox_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        quality=np.array([f.get("quality", 0.5) for f in faces], np.float32),
        embedding=np.array(vectors, np.float32).reshape(-1, DIM),
    )


def person(number: int) -> npt.NDArray[np.float32]:
    vector = np.zeros(DIM, np.float32)
    vector[number] = 1.0
    return vector


def near(number: int, cosine: float, other: int) -> npt.NDArray[np.float32]:
    """A face with this cosine to a person, the rest of it along another axis."""
    return cosine * person(number) + np.float32(np.sqrt(1.0 - cosine**2)) * person(other)


def scores(found: VideoPairs, kind: Kind) -> list[float]:
    """Lower edge of the score of each pair of a kind, in order."""
    of_kind = found.counts.where(kind=kind)
    return sorted(np.repeat(SCORE_EDGES[of_kind.column("score_bin")], of_kind.n))


# Impostor pairs ---------------------------------------------------------------------------------


def test_two_faces_of_one_frame_are_an_impostor_pair() -> None:
    video = seen({"at": 0, "vector": person(0)}, {"at": 0, "vector": near(0, 0.25, 1)})
    assert scores(sample_pairs(video, ALL), Kind.IMPOSTOR) == [0.25]


def test_faces_that_were_never_in_one_frame_are_no_pair() -> None:
    video = seen({"at": 0, "vector": person(0)}, {"at": 1, "vector": person(1)})
    assert scores(sample_pairs(video, ALL), Kind.IMPOSTOR) == []


def test_tracks_that_share_a_frame_are_compared_at_all_their_times() -> None:
    video = seen(
        {"at": 0, "track": 0, "vector": person(0)},
        {"at": 1, "track": 0, "vector": None},  # a frame is shared even where nobody is embedded
        {"at": 1, "track": 1, "vector": None},
        {"at": 2, "track": 1, "vector": near(0, 0.5, 1)},
        {"at": 3, "track": 1, "vector": person(2)},
    )
    found = sample_pairs(video, ALL)
    assert scores(found, Kind.IMPOSTOR) == [0.0, 0.5]
    assert scores(found, Kind.BEST_IMPOSTOR) == [0.5]
    assert found.told["n_track_pairs"] == 1
    assert found.told["n_same_frame"] == 0


def test_two_faces_of_one_track_in_one_frame_are_no_impostor_pair() -> None:
    video = seen(
        {"at": 0, "track": 0, "vector": person(0)}, {"at": 0, "track": 0, "vector": person(1)}
    )
    found = sample_pairs(video, ALL)
    assert scores(found, Kind.IMPOSTOR) == []
    assert found.told["n_seen_twice"] == 0


def test_a_face_without_an_embedding_of_its_own_is_no_observation() -> None:
    video = seen({"at": 0, "vector": person(0)}, {"at": 0, "vector": None})
    assert sample_pairs(video, ALL).counts.n_pairs == 0


def test_a_video_without_faces_gives_no_pairs() -> None:
    assert sample_pairs(seen(), ALL).counts.n_pairs == 0


def test_one_person_seen_twice_is_set_apart_with_all_their_pairs() -> None:
    video = seen(
        {"at": 0, "track": 0, "vector": person(0)},
        {"at": 0, "track": 1, "vector": near(0, 0.95, 1)},  # a mirror
        {"at": 1, "track": 1, "vector": near(0, 0.70, 1)},
        {"at": 0, "track": 2, "vector": person(3)},
    )
    found = sample_pairs(video, ALL)
    assert scores(found, Kind.IMPOSTOR) == [0.0, 0.0, 0.0]
    assert found.told["n_seen_twice"] == 2
    (twice,) = [one for one in found.look_alikes if one.verdict == SEEN_TWICE]
    assert (twice.row, twice.other_row, twice.n_pairs) == (0, 1, 2)
    assert twice.score == pytest.approx(0.95)


def test_one_face_detected_twice_is_set_apart() -> None:
    video = seen(
        {"at": 0, "x": 0, "vector": person(0)},
        {"at": 0, "x": 25, "vector": near(0, 0.6, 1)},  # IoU 1/3
        {"at": 0, "x": 200, "vector": person(2)},
    )
    found = sample_pairs(video, ALL)
    assert scores(found, Kind.IMPOSTOR) == [0.0, 0.0]
    assert found.told["n_overlapping"] == 1
    assert [one.verdict for one in found.look_alikes] == [COUNTED, COUNTED, OVERLAPPING]
    assert not sample_pairs(video, PairSettings(reference_quality=0, overlap_iou=0.34)).told[
        "n_overlapping"
    ]


def test_pairs_without_a_face_of_reference_quality_are_kept_apart() -> None:
    video = seen(
        {"at": 0, "quality": 0.1, "vector": person(0)},
        {"at": 0, "quality": 0.2, "vector": near(0, 0.5, 1)},
        {"at": 0, "quality": 0.4, "vector": person(2)},
    )
    found = sample_pairs(video, PairSettings(reference_quality=float(np.float32(0.4))))
    assert scores(found, Kind.IMPOSTOR) == [0.0, 0.0]
    assert scores(found, Kind.POOR_IMPOSTOR) == [0.5]


def test_more_pairs_of_tracks_than_wanted_are_drawn_by_the_seed() -> None:
    faces = [{"at": 0, "vector": near(0, n / 20, n + 1)} for n in range(8)]
    few = {
        seed: scores(
            sample_pairs(seen(*faces), PairSettings(0.0, max_track_pairs=3, seed=seed)),
            Kind.IMPOSTOR,
        )
        for seed in (0, 0, 1, 2, 3)
    }
    assert all(len(drawn) == 3 for drawn in few.values())
    assert len({tuple(drawn) for drawn in few.values()}) > 1
    again = sample_pairs(seen(*faces), PairSettings(0.0, max_track_pairs=3, seed=2))
    assert scores(again, Kind.IMPOSTOR) == few[2]
    assert again.told["n_track_pairs_left_out"] == 28 - 3


@st.composite
def videos(draw: st.DrawFn) -> VideoFaces:
    """Up to 4 tracks, each at some instants of a few seconds; half of the faces are embedded."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    faces = [
        {
            "at": at / 2,
            "track": track,
            "x": 60 * track,
            "quality": random.random(),
            "vector": random.normal(size=DIM) if random.random() < 0.5 else None,
        }
        for track in range(draw(st.integers(0, 4)))
        for at in sorted(random.choice(12, draw(st.integers(1, 8)), replace=False))
    ]
    return seen(*[faces[n] for n in random.permutation(len(faces))])


@given(videos())
@settings(max_examples=60, deadline=None)
def test_impostor_pairs_are_those_of_a_naive_comparison(video: VideoFaces) -> None:
    expected: list[float] = []
    unit = video.embedding / np.linalg.norm(video.embedding, axis=1, keepdims=True)
    instants = {
        track: set(video.pts[video.track_id == track]) for track in np.unique(video.track_id)
    }
    for one in range(len(video.pts)):
        for other in range(one):
            a, b = video.track_id[one], video.track_id[other]
            score = float(unit[one] @ unit[other])
            good = max(video.quality[one], video.quality[other]) >= 0.4
            if a != b and good and not np.isnan(score) and instants[a] & instants[b]:
                expected.append(score)
    found = sample_pairs(video, PairSettings(reference_quality=0.4, lookalike_score=1.0))
    bins = sorted(score_bins(np.array(expected, np.float32)))
    # A product summed in another order may fall on the other side of a bin's edge.
    got = np.sort(np.repeat(found.counts.where(kind=Kind.IMPOSTOR).column("score_bin"),
                            found.counts.where(kind=Kind.IMPOSTOR).n))  # fmt: skip
    assert len(got) == len(bins)
    assert np.abs(got - np.array(bins, np.int64)).max(initial=0) <= 1


# Genuine pairs ----------------------------------------------------------------------------------


def test_faces_of_one_track_are_genuine_pairs_at_their_gap() -> None:
    times = [0.0, 0.5, 5.0, 30.0]
    vectors = [person(0), near(0, 0.9, 1), near(0, 0.6, 1), near(0, 0.3, 1)]
    faces = [{"at": t, "track": 0, "vector": v} for t, v in zip(times, vectors, strict=True)]
    found = sample_pairs(seen(*faces), ALL)
    assert scores(found, Kind.GAP_500MS) == pytest.approx([0.9], abs=0.001)
    half_to_5 = 0.9 * 0.6 + np.sqrt((1 - 0.81) * (1 - 0.36))
    assert scores(found, Kind.GAP_5S) == pytest.approx([0.6, half_to_5], abs=0.001)
    last = [c * 0.3 + np.sqrt((1 - c**2) * (1 - 0.09)) for c in (1.0, 0.9, 0.6)]
    assert scores(found, Kind.GAP_30S) == pytest.approx(sorted(last), abs=0.001)


def test_faces_of_two_tracks_are_no_genuine_pair_however_near() -> None:
    faces = [{"at": n / 2, "track": n, "vector": person(0)} for n in range(4)]
    found = sample_pairs(seen(*faces), PairSettings(reference_quality=0, link_score=1.0))
    assert found.counts.where(kind=Kind.GAP_500MS).n_pairs == 0


def test_a_genuine_pair_takes_the_face_nearest_to_the_gap() -> None:
    faces = [
        {"at": 0.0, "track": 0, "vector": person(0)},
        {"at": 3.1, "track": 0, "vector": near(0, 0.2, 1)},
        {"at": 4.9, "track": 0, "vector": near(0, 0.8, 1)},
    ]
    assert scores(sample_pairs(seen(*faces), ALL), Kind.GAP_5S) == pytest.approx([0.8], abs=0.001)


def test_tracks_across_shots_are_linked_directly_or_over_others() -> None:
    a, b = near(0, 0.95, 1), person(0)
    c = near(0, 0.8, 2)  # 0.76 to a, 0.8 to b: only over b is it one with a at a bar of 0.78
    faces = [{"at": 10 * n, "track": n, "vector": v} for n, v in enumerate((a, b, c))]
    found = sample_pairs(seen(*faces), PairSettings(reference_quality=0, link_score=0.78))
    assert scores(found, Kind.ACROSS_SHOTS) == pytest.approx([0.76, 0.8, 0.95], abs=0.001)


def test_a_cluster_that_holds_two_people_of_one_frame_is_no_cluster() -> None:
    faces = [
        {"at": 0, "track": 0, "vector": near(0, 0.9, 1)},
        {"at": 0, "track": 1, "vector": near(0, 0.9, 2)},
        {"at": 9, "track": 2, "vector": person(0)},  # like both
    ]
    found = sample_pairs(seen(*faces), ALL)
    assert found.counts.where(kind=Kind.ACROSS_SHOTS).n_pairs == 0


def test_a_track_that_may_hold_two_people_is_told() -> None:
    faces = [{"at": n, "track": 0, "vector": person(n % 5)} for n in range(10)]
    assert sample_pairs(seen(*faces), ALL).told["n_mixed_tracks"] == 0  # cosine 0.447 to the mean
    faces = [{"at": n, "track": 0, "vector": person(n % 10)} for n in range(10)]
    assert sample_pairs(seen(*faces), ALL).told["n_mixed_tracks"] == 1  # 0.316


# Rates ------------------------------------------------------------------------------------------


def counts_of(kind: Kind, per_video: list[npt.NDArray[np.float32]]) -> PairCounts:
    """Counts of videos with these scores, each pair a group of its own."""
    return PairCounts.of_archive(
        PairCounts.of(
            kind,
            group=np.arange(len(score)),
            quality=np.full(len(score), 0.5, np.float32),
            size_px=np.full(len(score), 60.0),
            score=score,
        )
        for score in per_video
    )


def normal(seed: int, n: int, mean: float = 0.0, sd: float = 0.1) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(mean, sd, n).clip(-1, 1).astype(np.float32)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1), st.sampled_from(range(0, 4001, 7)))
@settings(deadline=None)
def test_a_bin_holds_the_scores_from_its_edge_on(values: list[float], edge: int) -> None:
    score = np.array(values, np.float32)
    expected = score.astype(np.float64) >= SCORE_EDGES[edge]
    assert np.array_equal(score_bins(score) >= edge, expected)


def test_rates_are_those_of_scikit_learn() -> None:
    impostor, genuine = normal(1, 3000), normal(2, 500, 0.4)
    edges = np.arange(-500, 1500, 10) / 2000
    fmr = ErrorCurve(counts_of(Kind.IMPOSTOR, [impostor]), errors_above=True).at(edges)
    fnmr = ErrorCurve(counts_of(Kind.GAP_5S, [genuine]), errors_above=False).at(edges)
    score = np.concatenate([impostor, genuine])
    label = np.r_[np.zeros(3000), np.ones(500)]
    false_positive, true_positive, at = roc_curve(label, score, drop_intermediate=False)
    # The last of the falling thresholds that is still at the edge or above.
    place = np.searchsorted(-at, -edges, side="right") - 1
    assert np.allclose(fmr.rate, false_positive[place])
    assert np.allclose(fnmr.rate, 1 - true_positive[place])
    assert np.array_equal(fmr.n_errors, [(impostor >= edge).sum() for edge in edges])


@given(st.integers(0, 999), st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_rates_fall_and_rise_with_the_threshold_within_their_intervals(seed: int, n: int) -> None:
    counts = counts_of(Kind.IMPOSTOR, [normal(seed + k, 40) for k in range(n)])
    edges = np.arange(-60, 60) / 100
    fmr = ErrorCurve(counts, errors_above=True).at(edges)
    fnmr = ErrorCurve(counts, errors_above=False).at(edges)
    assert (np.diff(fmr.rate) <= 0).all()
    assert np.allclose(fmr.rate + fnmr.rate, 1.0)
    for found in (fmr, fnmr):
        assert (found.low <= found.rate).all()
        assert (found.rate <= found.high).all()
        assert (found.low >= 0).all()
        assert (found.high <= 1).all()


def test_without_an_error_the_upper_end_is_the_rule_of_3_for_groups() -> None:
    # 40 groups of 100 pairs that say the same: 40 observations, not 4,000.
    video = PairCounts.of(
        Kind.IMPOSTOR,
        group=np.repeat(np.arange(40), 100),
        quality=np.full(4000, 0.5, np.float32),
        size_px=np.full(4000, 60.0),
        score=np.zeros(4000, np.float32),
    )
    found = ErrorCurve(PairCounts.of_archive([video]), errors_above=True).at(np.array([0.5]))
    assert found.high[0] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert found.low[0] == 0.0


def test_pairs_that_repeat_each_other_count_once() -> None:
    random = np.random.default_rng(3)
    shifts = random.normal(0, 0.1, 60)
    few = [(shift + random.normal(0, 0.1, 30)).astype(np.float32) for shift in shifts]
    counts = counts_of(Kind.IMPOSTOR, few)
    many = PairCounts(counts.key, counts.n * 50)
    edges = np.array([0.1])
    alone, repeated = (ErrorCurve(one, errors_above=True).at(edges) for one in (counts, many))
    assert repeated.n_pairs == 50 * alone.n_pairs
    assert np.allclose(repeated.low, alone.low)
    assert np.allclose(repeated.high, alone.high)


def test_pairs_of_a_video_that_all_say_the_same_count_as_one() -> None:
    same = [np.full(30, 0.6 if n < 12 else 0.0, np.float32) for n in range(60)]
    curve = ErrorCurve(counts_of(Kind.IMPOSTOR, same), errors_above=True)
    at = [int(np.searchsorted(SCORE_EDGES, 0.5))]
    n_effective = curve.n_effective(np.array([0.2]), curve.replicates()[:, at])
    assert n_effective[0] == pytest.approx(60, rel=0.2)


def test_intervals_hold_the_true_rate_of_archives_with_a_known_one() -> None:
    """Each video adds a shift of its own to its scores: pairs of one video are not independent."""
    threshold, held = 0.2, 0
    truth = norm.sf(threshold, scale=np.hypot(0.08, 0.06))
    for seed in range(60):
        random = np.random.default_rng(seed)
        videos = [
            (random.normal(0, 0.06) + random.normal(0, 0.08, 100)).astype(np.float32)
            for _ in range(80)
        ]
        found = ErrorCurve(counts_of(Kind.IMPOSTOR, videos), errors_above=True)
        rates = found.at(np.array([threshold]))
        held += bool(rates.low[0] <= truth <= rates.high[0])
    assert held >= 52  # 57 of 60 is 95 %; below 52 of 60 has a chance of 0.4 % then


# Choosing ---------------------------------------------------------------------------------------


def curves_of(impostors: list[npt.NDArray[np.float32]]) -> Curves:
    """Impostor pairs, each of two tracks of its own, and genuine pairs around 0.5."""
    genuine = [normal(1000 + n, 20, 0.5) for n in range(len(impostors))]
    counts = [
        counts_of(Kind.IMPOSTOR, impostors),
        counts_of(Kind.BEST_IMPOSTOR, impostors),
        counts_of(Kind.GAP_5S, genuine),
    ]
    return Curves(PairCounts.sum(counts), "made-up", ALL)


def test_the_threshold_is_the_lowest_with_at_most_the_wanted_rate() -> None:
    impostors = [normal(n, 500) for n in range(40)]
    choice = curves_of(impostors).choose(0.01)
    score = np.concatenate(impostors).astype(np.float64)
    assert (score >= choice.threshold).mean() <= 0.01
    assert (score >= choice.threshold - 1 / 2000).mean() > 0.01
    assert choice.n_false_matches == (score >= choice.threshold).sum()
    assert choice.fmr.low <= choice.fmr.rate <= choice.fmr.high
    # The true threshold of N(0, 0.1) at a rate of 0.01.
    assert choice.threshold_low <= 0.1 * norm.isf(0.01) <= choice.threshold_high
    genuine = np.concatenate([normal(1000 + n, 20, 0.5) for n in range(40)])
    assert choice.fnmr["5s"].rate == pytest.approx((genuine < choice.threshold).mean())
    assert set(choice.fnmr) == {"5s"}


@given(st.integers(0, 99), st.floats(0.005, 0.5), st.floats(0.005, 0.5))
@settings(max_examples=10, deadline=None)
def test_a_lower_rate_never_has_a_lower_threshold(seed: int, one: float, other: float) -> None:
    curves = curves_of([normal(seed + n, 300) for n in range(20)])
    low, high = (curves.choose(fmr).threshold for fmr in sorted((one, other)))
    assert low >= high


def test_a_rate_below_what_the_counts_carry_is_refused_with_the_smallest_they_do() -> None:
    curves = curves_of([normal(n, 25) for n in range(40)])  # 1,000 independent pairs: 3 in 1,000
    with pytest.raises(CalibrationError, match=r"1,000 impostor pairs.*carry no rate below 0.003"):
        curves.choose(0.0005)
    assert curves.choose(0.02).n_false_matches == 20


def test_false_matches_of_few_videos_carry_no_rate_however_many_they_are() -> None:
    two = [np.full(25, 0.6, np.float32)] * 2  # 50 pairs of tracks, but 2 effective errors
    curves = curves_of([*[np.zeros(25, np.float32)] * 58, *two])
    with pytest.raises(CalibrationError, match="carry no rate at all"):
        curves.choose(0.04)


def test_false_matches_of_two_pairs_of_tracks_carry_no_rate() -> None:
    impostors = [normal(n, 500) for n in range(30)]
    best = np.array([*[0.0] * 98, 0.9, 0.9], np.float32)
    counts = [counts_of(Kind.IMPOSTOR, impostors), counts_of(Kind.BEST_IMPOSTOR, [best])]
    with pytest.raises(CalibrationError, match="cannot be told from this archive"):
        Curves(PairCounts.sum(counts), "made-up", ALL).choose(0.02)


@pytest.mark.parametrize("fmr", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(fmr: float) -> None:
    with pytest.raises(ValueError, match="fmr must lie between 0 and 1"):
        curves_of([normal(0, 50)]).choose(fmr)


def test_a_choice_is_kept_with_its_evidence() -> None:
    stored = curves_of([normal(n, 500) for n in range(40)]).choose(0.01).to_stored()
    assert stored.note == "calibrated for FMR 0.01"
    assert stored.evidence["n_impostor"] == 20_000
    assert stored.evidence["settings"]["reference_quality"] == 0.0
    assert type(stored).from_dict(stored.to_dict()) == stored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference_quality": 1.5}, r"reference_quality must lie in \[0, 1\], but is 1.5"),
        ({"lookalike_score": float("nan")}, "lookalike_score must lie in"),
        ({"faces_a_track": 0}, "faces_a_track must be at least 1"),
    ],
)
def test_settings_that_are_none_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairSettings(**change)


# Tables -----------------------------------------------------------------------------------------


def test_tables_have_their_columns_and_null_where_there_is_no_pair() -> None:
    curves = curves_of([normal(n, 100) for n in range(25)])
    table = rate_table(curves)
    assert table.schema == CALIBRATION
    row = table.to_pylist()[20]
    assert row["threshold"] == 0.2
    assert row["n_impostor"] == 2500
    assert row["fnmr_5s"] is not None
    assert row["n_genuine_30s"] == 0
    assert row["fnmr_30s"] is None
    by_quality, by_size = quality_table(curves), size_table(curves)
    assert by_quality.schema == CALIBRATION_BY_QUALITY
    assert by_size.schema == CALIBRATION_BY_SIZE
    assert set(by_quality["quality_from"].to_pylist()) == {0.4}  # all faces have 0.5
    assert set(by_size["size_to_px"].to_pylist()) == {64.0}
    at = by_quality["threshold"].to_pylist().index(0.2)
    assert by_quality["fmr"][at].as_py() == row["fmr"]


def test_choices_are_a_row_for_each_rate_with_the_reason_where_there_is_none() -> None:
    table = choice_table(curves_of([normal(n, 100) for n in range(25)]), [0.05, 0.00001])
    assert table.schema == THRESHOLD_CHOICES
    carried, refused = table.to_pylist()
    assert carried["why"] is None
    assert carried["fmr"] <= 0.05
    assert refused["threshold"] is None
    assert "cannot be told from this archive" in refused["why"]
