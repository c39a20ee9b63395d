"""facelake sweep, sweep-grid and plot sweep as people and scripts meet them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from planted import alike, axis, new_lake, plant_gallery, plant_video

from facelake.catalog import Catalog
from facelake.cli import main
from facelake.schema import SPAN_LIVES, SWEEP, SWEEP_GRID, SWEEP_TOTALS


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ann from 1 to 2 s at 0.7 and Bob from 3 to 4 s at 0.45."""
    lake = new_lake(tmp_path_factory.mktemp("catalogs") / "tv")
    looks: dict[int, Any] = {pts: [] for pts in range(0, 4000, 40)}
    looks |= {pts: [alike(p0=0.7)] for pts in range(1000, 2000, 40)}
    looks |= {pts: [alike(p1=0.45)] for pts in range(3000, 4000, 40)}
    plant_video(lake, "film", looks)
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    return lake.root


def test_a_sweep_is_a_table_for_people_and_the_plateaus_beside_it(catalog: Path) -> None:
    result = run("sweep", "-c", catalog, "--thresholds", "0.3:0.5:0.1")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        "identity threshold n_videos n_faces n_tracks n_spans seconds".split(),
        ["Ann", "0.30", "1", "25", "0", "1", "1.00"],
        ["Ann", "0.40", "1", "25", "0", "1", "1.00"],
        ["Ann", "0.50", "1", "25", "0", "1", "1.00"],
        ["Bob", "0.30", "1", "25", "0", "1", "1.00"],
        ["Bob", "0.40", "1", "25", "0", "1", "1.00"],
        ["Bob", "0.50", "0", "0", "0", "0", "0.00"],
    ]
    assert "Ann: 1 span from 0.3 to 0.5, 0:01" in result.stderr
    assert "Bob: 1 span from 0.3 to 0.4, 0:01" in result.stderr


def test_people_see_some_of_many_thresholds_and_files_have_all(
    catalog: Path, tmp_path: Path
) -> None:
    assert len(run("sweep", "-c", catalog).stdout.splitlines()) == 1 + 2 * 16
    rows = rows_of(run("sweep", "-c", catalog, "--format", "csv").stdout)
    assert list(rows[0]) == SWEEP_TOTALS.names
    assert len(rows) == 2 * 61
    told = json.loads(run("sweep", "-c", catalog, "--by", "video", "--format", "json").stdout)
    assert [list(row) for row in told] == [SWEEP.names] * 122
    out = tmp_path / "lives.parquet"
    assert run("sweep", "-c", catalog, "--lives", "--out", out).exit_code == 0
    assert pq.read_table(out).schema.names == SPAN_LIVES.names


def test_lives_are_one_row_a_span(catalog: Path) -> None:
    header, ann, bob = run("sweep", "-c", catalog, "--lives").stdout.splitlines()
    assert header.split()[:4] == ["life_id", "parent_id", "video", "identity"]
    assert ann.split() == ["0", "–", "film.mp4", "Ann", "0.70", "0.10", "0.60", "1.000", "2.000"]
    assert bob.split()[3:6] == ["Bob", "0.45", "0.10"]


def test_the_rules_of_spans_are_those_of_the_sweep(catalog: Path) -> None:
    options = ("--thresholds", "0.4", "--min-span-s", "1.1", "--format", "csv")
    rows = rows_of(run("sweep", "-c", catalog, "--identity", "Ann", *options).stdout)
    assert [(row["identity"], row["n_spans"]) for row in rows] == [("Ann", "0")]


@pytest.mark.parametrize(
    ("thresholds", "sentence"),
    [
        ("0.1:0.7", "must be START:STOP:STEP, as 0.1:0.7:0.01, or numbers with commas"),
        ("0.1:0.7:0", "must be START:STOP:STEP"),
        ("0.1:nan:0.1", "must be START:STOP:STEP"),
        ("much", "must be START:STOP:STEP"),
        ("0.7:0.1:0.1", "must be 1 to 10,001 thresholds, but is 0"),
        ("0:1:0.00001", "must be 1 to 10,001 thresholds, but is 100001"),
        ("0.3,0.2", "must be strictly increasing"),
        ("0.3,1.2", "must lie in [-1, 1]"),
        ("0.3,nan", "must lie in [-1, 1]"),
    ],
)
@pytest.mark.parametrize("command", [("sweep",), ("plot", "sweep"), ("sweep-grid",)])
def test_thresholds_that_make_no_sense_are_wrong_usage(
    catalog: Path, tmp_path: Path, command: tuple[str, ...], thresholds: str, sentence: str
) -> None:
    out = ("--out", tmp_path / "out") if command == ("sweep-grid",) else ()
    result = run(*command, "-c", catalog, "--thresholds", thresholds, *out)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_what_does_not_go_together_is_wrong_usage(catalog: Path) -> None:
    result = run("sweep", "-c", catalog, "--lives", "--by", "video")
    assert result.exit_code == 2
    assert "leave out --by video" in result.stderr


def test_an_unknown_person_fails_with_a_sentence(catalog: Path) -> None:
    result = run("sweep", "-c", catalog, "--identity", "Anne")
    assert result.exit_code == 1
    assert "Anne" in result.stderr
    assert "Ann" in result.stderr


def test_nothing_found_is_an_empty_table_with_the_right_columns(catalog: Path) -> None:
    result = run("sweep", "-c", catalog, "--thresholds", "0.99", "--by", "video", "--format", "csv")
    assert result.exit_code == 0
    assert result.stdout.strip().replace('"', "").split(",") == SWEEP.names


def test_a_grid_lands_in_one_file_and_prints_its_rows_when_asked(
    catalog: Path, tmp_path: Path
) -> None:
    asked = (
        "sweep-grid", "-c", catalog, "--thresholds", "0.3:0.5:0.1", "--bridge-s", "0",
        "--bridge-s", "2", "--min-span-s", "0", "--min-span-s", "1.5",
        "--out", tmp_path / "grid", "-q",
    )  # fmt: skip
    result = run(*asked)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("Sweep grid of 4 combinations of bridge_s (0, 2) × min_span_s")
    table = pq.read_table(tmp_path / "grid" / "grid.parquet")
    assert table.schema.names == SWEEP_GRID.names
    assert len(table) == 4 * 2 * 3
    rows = rows_of(run(*asked, "--format", "csv").stdout)
    assert len(rows) == len(table)
    assert {row["n_spans"] for row in rows if row["min_span_s"] == "1.5"} == {"0"}


def test_a_file_of_a_sweep_names_its_gallery_and_rules(catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    result = run("sweep", "-c", catalog, "--bridge-s", "2", "--out", out)
    told = json.loads(pq.read_schema(out).metadata[b"facelake"])
    assert told["bridge_s"] == 2.0
    assert "threshold" not in told
    assert f"gallery {told['gallery_version']})" in result.stderr
    assert told["gallery_version"] == Catalog(catalog).gallery().version


def test_a_sweep_is_drawn(catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.png"
    result = run("plot", "sweep", "-c", catalog, "--out", out, "--dpi", "40")
    assert result.exit_code == 0, result.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    assert f"{out}: Sweep of 2 identities in 1 video" in result.stderr
