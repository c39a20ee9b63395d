"""The commands about the gallery and decisions, as people and scripts meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from planted import SPACE, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.cli import main
from facelake.lake import Lake
from facelake.schema import DECISIONS, GALLERY_MEMBERS, GROWTH


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Ann herself and a look-alike of hers in two videos."""
    lake = new_lake(tmp_path / "catalogs" / "tv")
    plant_video(lake, "one", {0: [alike(p0=0.98)]})
    plant_video(lake, "two", {0: [alike(p0=0.6, p3=0.7)]})
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    return lake


def face_of(lake: Lake, name: str) -> str:
    row = next(row for row in lake.videos().to_pylist() if row["video_id"].startswith(name))
    face: str = lake.faces(row["video_id"], SPACE)["face_id"][0].as_py()
    return face


def test_without_a_word_the_gallery_is_listed(lake: Lake) -> None:
    result = run("gallery", "-c", lake.root)
    assert result.exit_code == 0
    header, ann, bob = result.stdout.splitlines()
    assert header.split()[:3] == ["identity", "role", "exemplar_id"]
    assert ann.split()[:3] == ["Ann", "anchor", "Ann-0"]
    assert bob.split()[:3] == ["Bob", "anchor", "Bob-0"]
    version = facelake.open_catalog(lake.root).gallery().version
    assert result.stderr.splitlines()[-1] == f"version {version}"
    assert run("gallery", "list", "-c", lake.root).stdout == result.stdout


def test_the_list_is_of_one_person_and_of_every_format(lake: Lake, tmp_path: Path) -> None:
    rows = json.loads(
        run("gallery", "-c", lake.root, "--identity", "Bob", "--format", "json").stdout
    )
    assert [row["exemplar_id"] for row in rows] == ["Bob-0"]
    out = tmp_path / "gallery.parquet"
    assert run("gallery", "-c", lake.root, "--out", out).exit_code == 0
    table = pq.read_table(out)
    assert table.column_names == GALLERY_MEMBERS.names
    assert b"gallery_version" in table.schema.metadata[b"facelake"]
    unknown = run("gallery", "-c", lake.root, "--identity", "Bop")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "did you mean 'Bob'?" in unknown.stderr


def test_a_look_alike_is_said_not_to_be_the_person_and_taken_back(lake: Lake) -> None:
    face = face_of(lake, "two")
    spans: list[str | Path] = ["spans", "-c", lake.root, "-t", "0.5", "--format", "csv"]
    assert run(*spans).stdout.count("Ann") == 2
    result = run("gallery", "not", face, "--identity", "Ann", "-c", lake.root)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 anchors, 1 negative" in result.stderr
    assert run(*spans).stdout.count("Ann") == 1
    rows = json.loads(run("gallery", "-c", lake.root, "--format", "json").stdout)
    (name,) = [row["exemplar_id"] for row in rows if row["role"] == "negative"]
    assert run("gallery", "remove", name, "-c", lake.root).exit_code == 0
    assert run(*spans).stdout.count("Ann") == 2


def test_growing_is_shown_first_done_then_audited_and_vetoed(lake: Lake) -> None:
    grow: list[str | Path] = ["gallery", "grow", "-c", lake.root, "--add-threshold", "0.5"]
    planned = run(*grow, "--dry-run", "--format", "json")
    assert planned.exit_code == 0
    (row,) = json.loads(planned.stdout)
    assert row["face_id"] == face_of(lake, "two")
    assert "1 face would be added: Ann (+1); bar 0.50" in planned.stderr
    assert "1 face added" in run(*grow).stderr
    assert "0 faces added" in run(*grow).stderr
    audit = run("gallery", "audit", "-c", lake.root, "-t", "0.5", "--format", "json")
    counts = {row["exemplar_id"]: row["n_faces"] for row in json.loads(audit.stdout)}
    assert counts == {"Ann-0": 2, "Bob-0": 0, row["exemplar_id"]: 2}
    vetoed = run("gallery", "veto", row["exemplar_id"], "-c", lake.root)
    assert vetoed.stderr.startswith("1 exemplar vetoed\n")
    assert "0 faces added" in run(*grow).stderr
    assert run(*grow, "--format", "csv").stdout.splitlines() == [
        ",".join(f'"{name}"' for name in GROWTH.names)
    ]


def test_a_face_and_a_track_of_the_catalog_are_enrolled(lake: Lake) -> None:
    enrol: list[str | Path] = ["enrol", "-c", lake.root, "--identity", "Eve"]
    result = run(*enrol, "--face", face_of(lake, "two"))
    assert result.exit_code == 0
    assert "Eve (1)" in result.stderr
    assert "1 of 1 face used" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name either PHOTOS or faces of the catalog"),
        (["photos/", "--face", "beef"], "name either PHOTOS or faces of the catalog"),
        (["--face", "beef"], "faces of the catalog need a name: --identity NAME"),
        (["--face", "beef", "--identity", "Ann", "--replace"], "are for PHOTOS"),
        (["--track", "one.mp4", "--identity", "Ann"], "--track one.mp4: must be VIDEO:N"),
    ],
)
def test_words_that_make_no_sense_are_wrong_usage(
    lake: Lake, words: list[str], sentence: str
) -> None:
    result = run("enrol", "-c", lake.root, *words)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_track_that_is_not_there_is_a_sentence(lake: Lake) -> None:
    result = run("enrol", "-c", lake.root, "--identity", "Ann", "--track", "one.mp4:3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "one.mp4: must have a track 3 with an embedded face, but has none" in result.stderr


def test_decisions_are_a_table_with_their_rule(lake: Lake, tmp_path: Path) -> None:
    result = run("decide", "-c", lake.root, "-t", "0.3")
    assert result.exit_code == 0
    assert "a single face: all 0.55 or more, 0.10 ahead" in result.stdout
    assert result.stderr.startswith("2 tracks: 2 certain, at threshold 0.3, gallery ")
    out = tmp_path / "sure.parquet"
    assert (
        run("decide", "-c", lake.root, "-t", "0.3", "--tier", "unknown", "--out", out).exit_code
        == 0
    )
    table = pq.read_table(out)
    assert (len(table), table.column_names) == (0, DECISIONS.names)
    facts = json.loads(table.schema.metadata[b"facelake"])
    assert facts["threshold"] == 0.3
    missing = run("decide", "-c", lake.root)
    assert missing.exit_code == 1
    assert "no threshold is given and none is stored" in missing.stderr
