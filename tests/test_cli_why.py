"""explain, why-not and audit as people and scripts meet them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from planted import alike, axis, new_lake, plant_gallery, plant_video

from facelake.catalog import Catalog
from facelake.cli import main
from facelake.query.why_not import Reason
from facelake.schema import EXPLANATION, WHY_NOT


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = new_lake(tmp_path_factory.mktemp("catalogs") / "tv")
    plant_video(lake, "film", {0: (), 1000: [alike(p0=0.26, p1=0.1)], 2000: ()})
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    return lake.root


@pytest.fixture(scope="module")
def face_id(catalog: Path) -> str:
    (name,) = Catalog(catalog).faces()["face_id"].to_pylist()
    return str(name)


def test_why_not_answers_in_a_sentence(catalog: Path) -> None:
    result = run("why-not", "film.mp4", "1", "Ann", "-c", catalog, "-t", "0.3")
    assert result.exit_code == 0
    assert result.stdout == (
        "Ann is not found in film.mp4 at 1.000 s: the face scores 0.260 for Ann, 0.040 below the "
        "threshold 0.3; it would count from 0.260 on\n"
    )
    assert result.stderr == ""


def test_why_not_as_csv_json_and_parquet(catalog: Path, tmp_path: Path) -> None:
    asked = (
        "why-not",
        "film.mp4",
        "1",
        "Ann",
        "-c",
        catalog,
        "-t",
        "0.3",
        "--exit-threshold",
        "0.2",
    )
    (row,) = csv.DictReader(io.StringIO(run(*asked, "--format", "csv").stdout))
    assert list(row) == WHY_NOT.names
    assert row["reason"] == "below_entry"
    told = json.loads(run(*asked, "--format", "json").stdout)
    assert told["rules"]["exit_threshold"] == 0.2
    for name in ("why.parquet", "why.json", "why.txt"):
        assert run(*asked, "--out", tmp_path / name).stdout == ""
    assert pq.read_table(tmp_path / "why.parquet")["reason"].to_pylist() == ["below_entry"]
    assert json.loads((tmp_path / "why.json").read_text("utf-8")) == told
    assert (tmp_path / "why.txt").read_text("utf-8").startswith("Ann is not found")


def test_the_help_of_why_not_names_every_reason() -> None:
    text = run("why-not", "--help").stdout
    assert [reason for reason in Reason if reason not in text] == []


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("film.mp4", "1", "Anne", "-t", "0.3"), 1, "did you mean 'Ann'?"),
        (("film.mp4", "1", "Ann"), 1, "no threshold is given and none is stored"),
        (("film.mp4", "nan", "Ann", "-t", "0.3"), 2, "but is nan"),
        (("film.mp4", "1", "Ann", "-t", "3"), 2, "threshold must lie in [-1, 1]"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    catalog: Path, more: tuple[str, ...], code: int, said: str
) -> None:
    result = run("why-not", *more, "-c", catalog)
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert said in line


def test_explain_tells_in_sentences_and_as_a_table(catalog: Path, face_id: str) -> None:
    text = run("explain", face_id, "-c", catalog, "-t", "0.2").stdout
    assert text.startswith(f"face {face_id} of film.mp4 at 1.000 s")
    assert "counts as Ann with 0.26, 0.16 before Bob" in text
    table = run("explain", face_id, "-c", catalog, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert list(rows[0]) == EXPLANATION.names
    assert [row["identity"] for row in rows] == ["Ann", "Bob"]
    told = json.loads(run("explain", face_id, "-c", catalog, "--format", "json").stdout)
    assert told["counts_as"] == "Ann"
    assert told["span"] is None


def test_a_face_that_is_not_there_is_one_sentence(catalog: Path) -> None:
    result = run("explain", "nonsense", "-c", catalog)
    assert result.exit_code == 1
    assert "nonsense: the catalog holds no such face" in result.stderr


def test_an_audit_of_videos_that_are_gone_is_one_sentence(catalog: Path) -> None:
    from facelake.testing.fakepack import write_fake_pack

    pack = write_fake_pack(catalog.parent / "pack")
    result = run("audit", "-c", catalog, "--n", "20", "-q", "--pack", pack)
    assert result.exit_code == 1
    assert "none of 1 can be" in result.stderr
    assert run("audit", "-c", catalog, "--n", "3").exit_code == 2
