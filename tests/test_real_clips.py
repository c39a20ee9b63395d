"""The whole path on a real clip, against truth made by eye. Nothing of the clip is kept.

The clips are film without a licence to pass on; they lie beside the repository or nowhere.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import facelake
from facelake.bench.ask import Question, compare_answers
from facelake.bench.footage import plan_footage
from facelake.bench.spans import SpanComparison
from facelake.catalog import Catalog
from facelake.media import frame_rgb, open_media
from facelake.results import Scores, Spans
from facelake.schema import unpack_embeddings

pytestmark = [pytest.mark.shared, pytest.mark.models]

STEP_S = 0.05  # the score counts in such steps
COLLAR_S = 0.35  # around the edges of the truth, which is good to 0.3 s, nothing is counted
FIRST_S = 1.704  # the clip's first frame: not 0
FRAME_S = 1001 / 24000
LEAST_F1 = 0.97


@pytest.fixture(scope="module")
def poker(shared: Path) -> Path:
    folder = shared / "videos" / "friends_poker"
    if not folder.is_dir():
        pytest.skip(f"shared: no {folder.name} among the clips")
    return folder


@pytest.fixture(scope="module")
def catalog(poker: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Five frames a second, and a photo of each of the six."""
    catalog = facelake.open_catalog(tmp_path_factory.mktemp("catalogs") / "poker")
    report = catalog.ingest(poker / "friends_poker.mp4", sample_fps=5, workers=2, progress=False)
    assert report.n_failed == 0
    gallery = catalog.enrol(poker / "refs", progress=False)
    assert len(gallery.identities) == 6
    return catalog


@pytest.fixture(scope="module")
def scores(catalog: Catalog) -> Scores:
    return catalog.match()


@pytest.fixture(scope="module")
def compared(
    poker: Path, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> SpanComparison:
    """The spans beside those of every frame with every face embedded."""
    dense = facelake.open_catalog(tmp_path_factory.mktemp("catalogs") / "dense")
    clip = str(poker / "friends_poker.mp4")
    dense.ingest(clip, every_frame=True, embed="all", workers=2, progress=False)
    question = Question(catalog.gallery(), 0.30)
    return compare_answers(
        question, Path(catalog.path), Path(dense.path), plan_footage((clip,), None)
    )


@pytest.mark.parametrize("min_score", [-1.0, 0.1, 0.2, 0.3, 0.45, 0.7])
def test_from_a_least_score_on_real_faces_score_as_in_a_comparison_with_all(
    catalog: Catalog, scores: Scores, min_score: float
) -> None:
    enough = scores.table["score"].to_numpy() >= np.float32(min_score)
    expected = scores.table.filter(pa.array(enough))
    assert catalog.match(min_score=min_score).table.equals(expected)
    # Somebody else's answer for the faces that have an embedding of their own.
    faces = catalog.faces()
    faces = faces.filter(pc.field("embedding").is_valid())
    exemplars = unpack_embeddings(catalog.gallery().table["embedding"]).astype(np.float64)
    exemplars /= np.linalg.norm(exemplars, axis=1, keepdims=True)
    vectors = unpack_embeddings(faces["embedding"]).astype(np.float64)
    best = (vectors @ exemplars.T).max(axis=1)
    sure = np.abs(best - min_score) > 1e-6  # of the others rounding decides
    own = {row["face_id"] for row in expected.to_pylist()}
    found = [face_id in own for face_id in faces["face_id"].to_pylist()]
    assert np.array_equal(np.array(found)[sure], (best >= min_score)[sure])


@pytest.fixture(scope="module")
def spans(scores: Scores) -> Spans:
    return scores.spans(threshold=0.30)


@pytest.fixture(scope="module")
def clips(scores: Scores, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Clips of the one who is there in the first frame."""
    folder = tmp_path_factory.mktemp("clips")
    found = scores.spans(threshold=0.30, identities="Rachel")
    rows: list[dict[str, Any]] = found.clips(folder, progress=False).to_pylist()
    return [row | {"file": folder / row["clip"]} for row in rows]


@pytest.fixture(scope="module")
def source(poker: Path) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.uint8]]]:
    """Times of the source's frames, and the frames at an eighth of their size."""
    times, pictures = [], []
    with open_media(poker / "friends_poker.mp4") as container:
        for frame in container.decode(video=0):
            times.append(frame.time)
            pictures.append(small(frame))
    return np.array(times), pictures


def small(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    return frame_rgb(frame)[::8, ::8]


# Spans ------------------------------------------------------------------------------------------


def key(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.lower())


def steps(start_s: float, end_s: float) -> set[int]:
    return set(range(round(start_s / STEP_S), round(end_s / STEP_S)))


def counted_steps(truth: Path, video: str) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """By person: the steps in which the face is to be seen, and those that do not count."""
    wanted: dict[str, set[int]] = defaultdict(set)
    ignored: dict[str, set[int]] = defaultdict(set)
    with truth.open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            if PurePosixPath(row["video"]).stem != video:
                continue
            name, start_s, end_s = key(row["label"]), float(row["start_s"]), float(row["end_s"])
            for edge in (start_s, end_s):
                ignored[name] |= steps(edge - COLLAR_S, edge + COLLAR_S)
            visible = row["visibility"] in ("front", "angle")
            (wanted if visible else ignored)[name].update(steps(start_s, end_s))
    return wanted, ignored


def f1_of(spans: Spans, truth: Path) -> float:
    wanted, ignored = counted_steps(truth, "friends_poker")
    found: dict[str, set[int]] = defaultdict(set)
    for row in spans.table.to_pylist():
        found[key(row["identity"])] |= steps(row["start_s"], row["end_s"])
    n_right = n_wrong = 0
    for name in {*wanted, *found}:
        right, got = wanted[name] - ignored[name], found[name] - ignored[name]
        n_right += len(right & got)
        n_wrong += len(right ^ got)
    return 2 * n_right / (2 * n_right + n_wrong)


def test_the_spans_are_those_of_the_truth(spans: Spans, shared: Path) -> None:
    assert f1_of(spans, shared / "TRUTH.csv") >= LEAST_F1


def test_five_frames_a_second_know_to_the_frame_when_a_face_comes_or_goes(
    compared: SpanComparison,
) -> None:
    edges = compared.edges
    assert edges["face"].n_edges >= 15
    assert edges["face"].share == 1.0
    assert edges["video"].share == 1.0


def test_a_third_of_the_embeddings_give_the_spans_of_all(compared: SpanComparison) -> None:
    assert compared.seconds.f1 is not None
    assert compared.seconds.f1 >= 0.95


def test_the_projects_own_scorer_reads_the_csv_and_agrees(
    spans: Spans, shared: Path, scorer: ModuleType, tmp_path: Path
) -> None:
    found = scorer.read_spans(spans.to_csv(tmp_path / "spans.csv"))
    wanted, ignored = scorer.read_truth(shared / "TRUTH.csv", {"front", "angle"}, COLLAR_S)
    n_right = n_wrong = 0
    for where in {where for where in {*wanted, *found} if where[0] == "friends_poker"}:
        right, got = wanted[where] - ignored[where], found[where] - ignored[where]
        n_right += len(right & got)
        n_wrong += len(got - wanted[where]) + len(right - got)
    f1 = 2 * n_right / (2 * n_right + n_wrong)
    assert f1 == pytest.approx(f1_of(spans, shared / "TRUTH.csv"))


def test_evaluate_says_to_a_hundredth_what_the_count_in_steps_says(
    spans: Spans, shared: Path
) -> None:
    told = spans.evaluate(shared / "TRUTH.csv", collar_s=COLLAR_S)
    (all_,) = told.totals.slice(len(told.totals) - 1).to_pylist()
    assert all_["f1"] == pytest.approx(f1_of(spans, shared / "TRUTH.csv"), abs=0.01)
    assert all_["n_truth_spans"] == 9  # in front or at an angle
    assert all_["span_recall"] == 1.0


def test_spans_start_with_the_clips_first_frame_and_not_at_0(spans: Spans) -> None:
    first_s = min(spans.table["start_s"].to_pylist())
    assert first_s == pytest.approx(FIRST_S, abs=FRAME_S)


def test_spans_of_one_person_are_apart_and_within_the_clip(spans: Spans) -> None:
    rows = spans.table.to_pylist()
    for one, next_one in pairwise(sorted(rows, key=lambda row: (row["identity"], row["start_s"]))):
        if one["identity"] == next_one["identity"]:
            assert one["end_s"] < next_one["start_s"]
    assert max(row["end_s"] for row in rows) <= FIRST_S + 632 * FRAME_S + 1e-6
    assert all(row["score_max"] >= row["score_mean"] >= 0.30 for row in rows)


# Clips ------------------------------------------------------------------------------------------


def difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Mean absolute difference, in grey levels of 255."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def test_a_clips_first_and_last_frame_are_those_of_the_source(
    clips: list[dict[str, Any]],
    source: tuple[npt.NDArray[np.float64], list[npt.NDArray[np.uint8]]],
) -> None:
    times, pictures = source
    told_apart = 0
    for clip in clips:
        with open_media(clip["file"]) as container:
            frames = [small(frame) for frame in container.decode(video=0)]
        inside = np.flatnonzero((times > clip["start_s"] - 1e-4) & (times < clip["end_s"] - 1e-4))
        assert len(frames) == len(inside) == clip["n_frames"]
        for shown, at in ((frames[0], inside[0]), (frames[-1], inside[-1])):
            same = difference(shown, pictures[at])
            assert same < 3.0
            for other in (at - 2, at + 2):
                if 0 <= other < len(pictures) and difference(pictures[other], pictures[at]) > 1.0:
                    assert same < difference(shown, pictures[other])
                    told_apart += 1
    assert told_apart > 2 * len(clips)  # the comparison meant something


def test_clips_say_when_they_begin_in_the_source_and_carry_its_sound(
    clips: list[dict[str, Any]],
) -> None:
    assert clips
    for clip in clips:
        assert clip["clip_start_s"] == pytest.approx(clip["start_s"], abs=1e-3)
        assert clip["has_audio"]
    assert min(clip["clip_start_s"] for clip in clips) == pytest.approx(FIRST_S, abs=FRAME_S)
