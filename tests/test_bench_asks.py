"""The made-up archives of `facelake bench ask`, and that every question is asked of them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

import facelake
from facelake.bench.archive import N_ENROLLED, plant_archive
from facelake.bench.asks import QUESTIONS, Asked, AskResult, compare_asks
from facelake.cli import main
from facelake.schema import unpack_embeddings


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench") / "archive"
    plant_archive(root, n_tracks=200, faces_a_track=6)
    return root


def test_an_archive_holds_what_was_asked_for(archive: Path) -> None:
    catalog = facelake.open_catalog(archive)
    assert len(catalog.tracks()) == 200
    assert len(catalog.faces()) == 1200
    assert len(catalog.videos()) == 3  # 84 tracks a video
    assert len(catalog.gallery().identities) == N_ENROLLED
    assert not catalog.verify(progress=False).troubles


def test_two_are_on_screen_at_once_and_are_two(archive: Path) -> None:
    faces = facelake.open_catalog(archive).faces()
    keys = pc.binary_join_element_wise(
        faces["video_id"], faces["pts"].cast("string"), "|"
    ).to_pylist()
    vectors = unpack_embeddings(faces["embedding"]).astype(np.float64)
    together = [(a, b) for a, b in pairwise(range(len(keys))) if keys[a] == keys[b]]
    assert len(together) == len(keys) / 2
    scores = [float(vectors[a] @ vectors[b]) for a, b in together]
    assert np.quantile(scores, 0.9) < 0.3


def test_neighbours_in_a_track_are_alike(archive: Path) -> None:
    faces = facelake.open_catalog(archive).faces()
    order = [("video_id", "ascending"), ("track_id", "ascending"), ("pts", "ascending")]
    vectors = unpack_embeddings(faces.sort_by(order)["embedding"]).astype(np.float64)
    scores = (vectors[:-1] * vectors[1:]).sum(axis=1)
    inside = np.arange(1, len(vectors)) % 6 != 0
    assert 0.85 < np.median(scores[inside]) < 0.99
    assert np.median(scores[~inside]) < 0.4


def test_an_archive_that_lies_there_is_taken_as_it_is(archive: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*.parquet")}
    plant_archive(archive, n_tracks=200, faces_a_track=6)
    assert {path: path.stat().st_mtime_ns for path in archive.rglob("*.parquet")} == before


def test_every_question_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    args = ["bench", "ask", "--scores", "2000", "--faces", "2000", "--spans", "500", "--tracks",
            "100", "--runs", "1", "--out", tmp_path]  # fmt: skip
    result = CliRunner().invoke(main, [*map(str, args), "--format", "json", "-q"])
    assert result.exit_code == 0, result.output
    asked = {one["question"]: one for one in json.loads(result.stdout)["asked"]}
    assert tuple(asked) == QUESTIONS
    assert all(one["peak_bytes"] > 0 for one in asked.values())
    sweep = asked["sweep"]["counts"]
    assert sweep["scores"] == 1980  # 66 tracks of 30 faces
    assert sweep["spans"] == sweep["spans of the sweep"] > 0
    assert asked["algebra"]["counts"]["spans"] == 500
    assert asked["people"]["counts"]["tracks"] == 100


def test_only_some_can_be_asked(tmp_path: Path) -> None:
    said: list[str] = []
    result = compare_asks(tmp_path, n_spans=50, runs=2, questions=("algebra",), say=said.append)
    assert [one.question for one in result.asked] == ["algebra"]
    assert {len(seconds) for seconds in result.asked[0].seconds.values()} == {2}
    assert said == ["asking: algebra"]
    assert list(tmp_path.iterdir()) == []


def test_the_report_tells_ratios_of_medians() -> None:
    seconds = {"sweep": [1.0, 3.0, 2.0], "one query": [4.0], "all queries": [100.0]}
    counts = {"thresholds": 61, "spans": 5, "spans of the sweep": 5}
    text = str(AskResult((Asked("sweep", seconds, counts, 2_000_000),)))
    assert "the sweep takes 0.50 × the time of one query" in text
    assert "61 queries take 50.0 × the time of the sweep" in text
    assert "2 MB at most" in text
    assert "DIFFER" not in text
    wrong = Asked("sweep", seconds, counts | {"spans": 6}, 0)
    assert "THE SWEEP AND THE QUERIES DIFFER" in str(AskResult((wrong,)))
