"""The command line as people and scripts meet it: output, messages, exit codes, bad input."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from planted import OTHER_SPACE, SPACE, add_space, alike, axis, new_lake, plant_gallery, plant_video
from rich.cells import cell_len

import facelake
from facelake.catalog import Catalog
from facelake.cli import main
from facelake.cli.common import render
from facelake.errors import FacelakeError
from facelake.lake import Lake
from facelake.results import Scores
from facelake.schema import SPANS
from facelake.testing.fakepack import write_fake_archive, write_fake_pack
from facelake.testing.footage import numbered_frames, write_video

ZOE = "Zoë Müller 日本"
FILM = "Ünï clip's (1) 日本.mp4"
FPS, N_FRAMES = 25, 100


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def run_process(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    start = "from facelake.cli import main; main(prog_name='facelake')"
    command = [sys.executable, "-c", start, *map(str, args)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, text=True, encoding="utf-8", timeout=120, **piped)


def complaint(result: Result, code: int = 1) -> str:
    """The one sentence of a command that could not do what was asked."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.endswith("\n")
    (line,) = result.stderr.splitlines()
    assert line.startswith("facelake: ")
    assert "Traceback" not in line
    return line


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / FILM
    return write_video(path, numbered_frames(N_FRAMES), fps=FPS)


def plant(root: Path, film: Path) -> Path:
    """Zoë from 1 to 2 s and Bob from 3 s on in a film of 4 s, and a video that failed."""
    lake = new_lake(root)
    looks: dict[int, Any] = {pts: [] for pts in range(0, 4000, 40)}
    looks |= {pts: [alike(p0=0.7)] for pts in range(1000, 2000, 40)}
    looks |= {pts: [alike(p1=0.45)] for pts in range(3000, 4000, 40)}
    plant_video(lake, "film", looks, paths=[film], size_bytes=film.stat().st_size)
    plant_video(lake, "torn", {}, paths=["/archive/torn.mp4"])
    plant_gallery(lake, {ZOE: [axis(0)], "Bob": [axis(1)]})
    return lake.root


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    """A catalog that is only read."""
    return plant(tmp_path_factory.mktemp("catalogs") / "télé 1", film)


@pytest.fixture
def own_catalog(tmp_path: Path, film: Path) -> Path:
    """A catalog that may be broken."""
    return plant(tmp_path / "catalogs" / "tv", film)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# Spans ------------------------------------------------------------------------------------------


def test_spans_are_a_table_for_people_and_a_summary_beside_it(catalog: Path) -> None:
    result = run("spans", "-c", catalog, "--threshold", "0.3")
    assert result.exit_code == 0
    header, zoe, bob = result.stdout.splitlines()
    assert header.split() == [
        "video", "identity", "start_s", "end_s", "score_max", "score_mean", "n_hits",
    ]  # fmt: skip
    assert zoe.split() == [*FILM.split(), *ZOE.split(), "1.000", "2.000", "0.70", "0.70", "25"]
    assert bob.split() == [*FILM.split(), "Bob", "3.000", "4.000", "0.45", "0.45", "25"]
    version = facelake.open_catalog(catalog).gallery().version
    summary = "2 spans of 2 identities in 1 video, 0:02 in all, at threshold 0.3"
    assert result.stderr == f"{summary}, gallery {version}\n"


def test_spans_as_csv_are_nothing_but_rows(catalog: Path, film: Path) -> None:
    result = run("spans", "-c", catalog, "-t", "0.3", "--format", "csv")
    assert result.exit_code == 0
    rows = read_csv(result.stdout)
    assert list(rows[0]) == SPANS.names
    assert list(rows[0])[:8] == [
        "video_id", "path", "identity", "start_s", "end_s", "score_max", "score_mean", "n_hits",
    ]  # fmt: skip
    assert [row["identity"] for row in rows] == [ZOE, "Bob"]
    # As tools/score_spans.py reads it.
    assert {PurePosixPath(row.get("path") or row["video_id"]).stem for row in rows} == {film.stem}
    assert [(float(row["start_s"]), float(row["end_s"])) for row in rows] == [(1, 2), (3, 4)]


def test_spans_as_json_are_an_array_of_objects(catalog: Path) -> None:
    result = run("spans", "-c", catalog, "-t", "0.3", "--format", "json")
    rows = json.loads(result.stdout)
    assert [list(row) for row in rows] == [SPANS.names] * 2
    assert [(row["identity"], row["start_s"], row["n_hits"]) for row in rows] == [
        (ZOE, 1.0, 25),
        ("Bob", 3.0, 25),
    ]
    assert rows[0]["score_max"] == pytest.approx(0.7, abs=1e-3)


def test_every_way_to_write_spans_holds_the_same(catalog: Path, tmp_path: Path) -> None:
    texts = {}
    for ending in ("csv", "json", "parquet", "txt"):
        out = tmp_path / "new folder" / f"spans.{ending}"
        result = run("spans", "-c", catalog, "-t", "0.3", "--out", out)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.startswith(f"{out}: 2 spans of 2 identities")
        texts[ending] = out
    table = pq.read_table(texts["parquet"])
    assert table.schema.remove_metadata().equals(SPANS)
    assert [row["identity"] for row in read_csv(texts["csv"].read_text("utf-8"))] == [ZOE, "Bob"]
    assert json.loads(texts["json"].read_text("utf-8"))[1]["end_s"] == 4.0
    printed = run("spans", "-c", catalog, "-t", "0.3").stdout
    assert texts["txt"].read_text("utf-8") == printed


def test_the_format_wins_over_the_ending(catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "spans.data"
    assert run("spans", "-c", catalog, "-t", "0.3", "--format", "csv", "--out", out).exit_code == 0
    assert len(read_csv(out.read_text("utf-8"))) == 2


def test_a_dash_is_standard_output(catalog: Path, tmp_path: Path) -> None:
    result = run("spans", "-c", catalog, "-t", "0.3", "--format", "csv", "--out", "-")
    assert len(read_csv(result.stdout)) == 2


def test_one_person_can_be_asked_for(catalog: Path) -> None:
    args = ("spans", "-c", catalog, "-t", "0.3", "--format", "csv", "--identity")
    assert [row["identity"] for row in read_csv(run(*args, ZOE).stdout)] == [ZOE]
    both = run(*args, "Bob", "--identity", ZOE)
    assert len(read_csv(both.stdout)) == 2


def test_where_nothing_is_found_the_best_score_says_how_far_off_it_is(catalog: Path) -> None:
    result = run("spans", "-c", catalog, "-t", "0.9")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1  # the header
    assert result.stderr == f"no spans at threshold 0.9: the best score is 0.70, of {ZOE}\n"
    result = run("spans", "-c", catalog, "-t", "0.9", "--identity", "Bob", "--format", "csv")
    assert read_csv(result.stdout) == []
    assert result.stderr == "no spans at threshold 0.9: the best score is 0.45, of Bob\n"


def test_where_there_are_no_faces_that_is_said(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "empty", {0: [], 40: []})
    plant_gallery(lake, {"Bob": [axis(1)]})
    result = run("spans", "-c", lake.root, "-t", "0.3", "--format", "json")
    assert json.loads(result.stdout) == []
    assert result.stderr == "no spans at threshold 0.3: no face was found in the videos\n"


@pytest.mark.filterwarnings("ignore:Glyph")
def test_every_rule_reaches_the_spans(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    spans = Scores.spans

    def noted(self: Scores, **rules: Any) -> Any:
        asked.append(rules)
        return spans(self, **rules)

    monkeypatch.setattr(Scores, "spans", noted)
    rules = {
        "threshold": 0.5, "exit_threshold": 0.4, "min_hits": 3, "miss_s": 1.5, "blind_s": 2.5,
        "bridge_s": 0.25, "min_span_s": 0.75,
    }  # fmt: skip
    options = [f"--{name.replace('_', '-')}={value}" for name, value in rules.items()]
    for words in (("spans",), ("plot", "spans", "--out", catalog.parent / "timeline.png")):
        assert run(*words, "-c", catalog, *options, "--identity", "Bob").exit_code == 0
    assert asked == [rules | {"identities": ("Bob",)}] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        ("spans", "-t", "0.3"),
        ("spans", "-c", "CATALOG", "-t", "high"),
        ("spans", "-c", "CATALOG", "-t", "0.3", "--format", "parquet"),
        ("spans", "-c", "CATALOG", "-t", "0.3", "--format", "xlsx"),
        ("spans", "-c", "CATALOG", "-t", "0.3", "--out", "spans.xlsx"),
        ("spans", "-c", "CATALOG", "-t", "0.3", "--min-hits", "0"),
        ("clips", "-c", "CATALOG", "-t", "0.3", "--pad-s", "-1"),
        ("ingest", "-c", "CATALOG"),
        ("ingest", "film.mp4", "-c", "CATALOG", "--decoder", "vlc"),
        ("unheard-of",),
        ("spans", "--unheard-of"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_points_to_the_help(
    catalog: Path, wrong: tuple[str, ...]
) -> None:
    result = run(*(str(catalog) if word == "CATALOG" else word for word in wrong))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--help" in result.stderr
    assert "Error: " in result.stderr


# Tables for people ------------------------------------------------------------------------------

NAMES = ["[red]Ann[/red]", ":smile: Bob", "x" * 500, "日本" * 30]


def test_a_name_is_printed_as_it_is_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"identity": NAMES, "score_max": [0.5] * 4})
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = render(table, to_terminal=False).splitlines()
    assert [line.removesuffix("0.50").rstrip() for line in lines[1:]] == NAMES
    assert "\x1b" not in "".join(lines)


def test_a_narrow_terminal_folds_names_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    table = pa.table({"identity": NAMES, "start_s": [1234.5678, 0.0, 0.0, 0.0]})
    text = re.sub(r"\x1b\[[0-9;]*m", "", render(table, to_terminal=True))
    assert max(cell_len(line) for line in text.splitlines()) <= 40
    assert "1234.568" in text
    together = "".join(re.sub("1234.568|0.000", "", text).split())
    assert all(name.replace(" ", "") in together for name in NAMES)


def test_what_is_not_known_is_a_dash() -> None:
    text = render(pa.table({"error": [None], "n": [3]}), to_terminal=False)
    assert text.splitlines()[1].split() == ["–", "3"]


# Clips and plots --------------------------------------------------------------------------------


def test_clips_are_cut_named_and_listed(catalog: Path, tmp_path: Path) -> None:
    result = run("clips", "-c", catalog, "-t", "0.3", "--identity", ZOE, "--out", tmp_path / "cut")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"{tmp_path / 'cut'}: 1 clip and clips.csv, of 1 span")
    (row,) = read_csv((tmp_path / "cut" / "clips.csv").read_text("utf-8"))
    assert (tmp_path / "cut" / row["clip"]).is_file()
    assert int(row["n_frames"]) == 25
    padded = run("clips", "-c", catalog, "-t", "0.3", "--identity", ZOE, "--pad-s", "0.2",
                 "--template", "{identity}.mp4", "--out", tmp_path / "padded", "-q")  # fmt: skip
    assert padded.exit_code == 0
    (row,) = read_csv((tmp_path / "padded" / "clips.csv").read_text("utf-8"))
    assert (row["n_frames"], row["clip"]) == ("35", "Zoë_Müller_日本.mp4")


def test_a_template_with_an_unknown_field_is_refused(catalog: Path, tmp_path: Path) -> None:
    result = run(
        "clips", "-c", catalog, "-t", "0.3", "--template", "{who}.mp4", "--out", tmp_path / "x"
    )
    assert "unknown field 'who'" in complaint(result, code=2)
    assert not (tmp_path / "x").exists()


@pytest.mark.filterwarnings("ignore:Glyph")  # a machine without CJK fonts
@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_timeline_is_drawn(catalog: Path, tmp_path: Path, ending: str, magic: bytes) -> None:
    out = tmp_path / "pictures" / f"timeline.{ending}"
    result = run("plot", "spans", "-c", catalog, "-t", "0.3", "--out", out, "--dpi", "40")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"{out}: 2 spans")
    assert out.read_bytes().startswith(magic)


def test_a_picture_of_an_unknown_kind_is_refused(catalog: Path, tmp_path: Path) -> None:
    result = run("plot", "spans", "-c", catalog, "-t", "0.3", "--out", tmp_path / "timeline.docx")
    assert "a picture must end in one of" in complaint(result)


# Info -------------------------------------------------------------------------------------------


def test_info_says_what_is_there_and_what_failed(catalog: Path) -> None:
    result = run("info", "-c", catalog)
    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout
    assert text.startswith(str(catalog))
    for part in (
        "2 (1 ok, 0 partial, 1 failed), 0:04 of footage",
        "100 frames (0 of them where somebody comes or goes, 0 unchanged): 50 faces, 50 embedded",
        f"{SPACE} (8 dimensions), of the pack pack of {SPACE}",
        f"Bob (1), {ZOE} (1)",
        "failed       /archive/torn.mp4: no frame could be decoded",
    ):
        assert part in text


def test_info_as_json_is_what_the_catalog_tells(catalog: Path) -> None:
    told = json.loads(run("info", "-c", catalog, "--format", "json").stdout)
    assert told == Catalog(catalog).info()


def test_info_lists_the_videos(catalog: Path) -> None:
    header, *rows = run("info", "-c", catalog, "--videos").stdout.splitlines()
    assert header.split()[:4] == ["video", "status", "duration_s", "n_samples"]
    assert [row.split()[0] for row in rows] == ["torn.mp4", FILM.split()[0]]
    told = json.loads(run("info", "-c", catalog, "--videos", "--format", "json").stdout)
    assert {row["status"] for row in told} == {"ok", "failed"}


def test_info_of_a_catalog_with_nobody_in_it_says_how_to_go_on(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "one", {0: []})
    assert "nobody yet; facelake enrol PHOTOS" in run("info", "-c", lake.root).stdout


# Bad input --------------------------------------------------------------------------------------


@pytest.fixture
def dummy_pack(tmp_path: Path) -> Path:
    """A model pack whose files are no models: enough to get as far as opening them."""
    folder = tmp_path / "pack"
    folder.mkdir()
    told: dict[str, Any] = {"name": "dummy", "licence": "none", "source": "this test"}
    for part in ("detector", "embedder"):
        (folder / f"{part}.onnx").write_bytes(part.encode())
        sha256 = hashlib.sha256(part.encode()).hexdigest()
        told[part] = {"file": f"{part}.onnx", "sha256": sha256}
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "Ann.png"
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(path)
    return path


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    result = run("ingest", tmp_path / "gone.mp4", "-c", tmp_path / "tv")
    assert complaint(result).endswith("gone.mp4: there is no such file or folder")
    assert not (tmp_path / "tv").exists()


def test_a_folder_without_a_video_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "notes.txt").touch()
    line = complaint(run("ingest", tmp_path / "archive", "-c", tmp_path / "tv"))
    assert "must name at least one video, but it holds none" in line
    assert "1 × .txt" in line


@pytest.mark.parametrize("command", ["spans", "info", "clips", "plot"])
@pytest.mark.parametrize("text", ["{", "[]", "null", '{"format": "other"}', "\udcff\udcfe"])
def test_an_unreadable_catalog_is_refused(own_catalog: Path, command: str, text: str) -> None:
    (own_catalog / "catalog.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    words = {"plot": ["plot", "spans"]}.get(command, [command])
    asked = [] if command == "info" else ["-t", "0.3"]
    assert "catalog.json" in complaint(run(*words, "-c", own_catalog, *asked))


def test_a_damaged_table_is_refused_by_name(own_catalog: Path) -> None:
    (path,) = own_catalog.glob("faces/*/video_id=film*/*.parquet")
    path.write_bytes(path.read_bytes()[:200])
    line = complaint(run("spans", "-c", own_catalog, "-t", "0.3"))
    assert str(path) in line
    assert "damaged" in line


def test_a_catalog_that_is_not_there_is_refused_with_the_nearest(own_catalog: Path) -> None:
    line = complaint(run("spans", "-c", own_catalog.with_name("tvv"), "-t", "0.3"))
    assert f"there is no such catalog; did you mean {own_catalog}?" in line


def test_without_a_threshold_and_none_stored_the_sentence_says_what_to_do(catalog: Path) -> None:
    line = complaint(run("spans", "-c", catalog))
    assert "no threshold is given and none is stored" in line
    assert f"facelake calibrate -c {catalog} --fmr 0.001 --store" in line


def test_a_catalog_of_a_newer_schema_is_refused(own_catalog: Path) -> None:
    told = json.loads((own_catalog / "catalog.json").read_text())
    (own_catalog / "catalog.json").write_text(json.dumps(told | {"schema_version": 99}))
    line = complaint(run("spans", "-c", own_catalog, "-t", "0.3"))
    assert "schema version must be at most 3, but is 99" in line
    assert "pip install -U facelake" in line


def test_a_catalog_of_another_space_is_refused(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv", SPACE, OTHER_SPACE)
    plant_video(lake, "one", {0: [alike(p0=0.6)]})
    plant_gallery(lake, {"Ann": [axis(0)]}, space=OTHER_SPACE)
    line = complaint(run("spans", "-c", lake.root, "-t", "0.3"))
    assert f"the gallery's faces are of space {OTHER_SPACE}, but the videos' are of {SPACE}" in line
    assert "enrol the photos with the pack that the videos were ingested with" in line


def test_a_catalog_of_several_spaces_is_asked_in_one_by_name(own_catalog: Path) -> None:
    lake = Lake.open(own_catalog)
    add_space(lake, OTHER_SPACE)
    plant_video(lake, "one", {0: [alike(p1=0.8)]}, space=OTHER_SPACE, run="other")
    plant_gallery(lake, {"Bob": [axis(1)]}, space=OTHER_SPACE)
    assert "name one space with --space" in complaint(run("spans", "-c", own_catalog, "-t", "0.3"))
    result = run("spans", "-c", own_catalog, "-t", "0.3", "--space", OTHER_SPACE, "--format", "csv")
    assert [row["path"] for row in read_csv(result.stdout)] == ["/archive/one.mp4"]
    wrong = run("spans", "-c", own_catalog, "-t", "0.3", "--space", "arcface")
    assert "the space must be one of" in complaint(wrong)


@pytest.mark.parametrize("threshold", ["1.5", "-1.01", "nan"])
@pytest.mark.parametrize("command", [("spans",), ("clips",), ("plot", "spans")])
def test_a_threshold_that_is_no_cosine_is_refused_before_any_work(
    catalog: Path, command: tuple[str, ...], threshold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalog, "match", lambda *_: pytest.fail("matched"))
    result = run(*command, "-c", catalog, "--threshold", threshold)
    line = complaint(result, code=2)
    assert "threshold must lie in [-1, 1]" in line
    assert f"but is {float(threshold)}; 0.2 to 0.4 is usual" in line


def test_an_unknown_identity_is_refused_with_the_nearest_name(catalog: Path) -> None:
    result = run("spans", "-c", catalog, "-t", "0.3", "--identity", "bob")
    assert complaint(result).endswith("'bob' is not; did you mean 'Bob'?")


def test_without_onnxruntime_photos_cannot_be_enrolled_and_it_is_said_how_to_get_it(
    tmp_path: Path, dummy_pack: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what Python does where there is none
    line = complaint(run("enrol", photo, "-c", tmp_path / "tv", "--pack", dummy_pack))
    assert "needs onnxruntime, which is not installed; pip install 'facelake[cpu]'" in line


def test_without_onnxruntime_videos_cannot_be_ingested_and_everything_else_works(
    own_catalog: Path, dummy_pack: Path, film: Path, tmp_path: Path
) -> None:
    (tmp_path / "without").mkdir()
    missing = "raise ModuleNotFoundError(\"No module named 'onnxruntime'\", name='onnxruntime')\n"
    (tmp_path / "without" / "onnxruntime.py").write_text(missing)
    env = os.environ | {"PYTHONPATH": str(tmp_path / "without")}
    ingest = run_process(
        "ingest", film, "-c", tmp_path / "new", "--pack", dummy_pack, "--workers", "1", env=env
    )
    assert ingest.returncode == 1
    (line,) = ingest.stderr.splitlines()
    assert "needs onnxruntime, which is not installed; pip install 'facelake[cpu]'" in line
    spans = run_process("spans", "-c", own_catalog, "-t", "0.3", "--format", "csv", env=env)
    assert (spans.returncode, len(read_csv(spans.stdout))) == (0, 2)


@pytest.mark.parametrize("command", ["ingest", "enrol"])
def test_a_model_that_is_not_what_its_manifest_says_is_refused(
    tmp_path: Path, dummy_pack: Path, film: Path, photo: Path, command: str
) -> None:
    (dummy_pack / "embedder.onnx").write_bytes(b"another")
    what = film if command == "ingest" else photo
    line = complaint(run(command, what, "-c", tmp_path / "tv", "--pack", dummy_pack))
    assert "its SHA-256 must be" in line
    assert "embedder.onnx" in line
    assert "install it again" in line


def test_a_pack_that_is_not_there_is_refused(tmp_path: Path, film: Path) -> None:
    result = run("ingest", film, "-c", tmp_path / "tv", "--pack", "buffalo_xxl")
    assert "there is no pack 'buffalo_xxl' here" in complaint(result)


def test_photos_that_are_not_there_are_refused(tmp_path: Path) -> None:
    line = complaint(run("enrol", tmp_path / "photos", "-c", tmp_path / "tv"))
    assert line.endswith("photos: there is no such photo or folder")
    assert not (tmp_path / "tv").exists()


def test_a_video_that_was_moved_cannot_be_cut_and_it_is_said_what_to_do(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "one", {0: [alike(p0=0.6)]}, paths=[tmp_path / "gone.mp4"])
    plant_gallery(lake, {"Ann": [axis(0)]})
    line = complaint(run("clips", "-c", lake.root, "-t", "0.3", "--out", tmp_path / "clips"))
    assert "1 of 1 clip could not be cut; the first: " in line
    assert "gone.mp4: the video must still be there to be cut" in line


@pytest.mark.parametrize(
    "command",
    [
        ("spans", "--out", "spans.csv"),
        ("spans", "--out", "spans.json"),
        ("spans", "--out", "spans.parquet"),
        ("spans", "--out", "spans.txt"),
        ("clips", "--out", "clips"),
        ("plot", "spans", "--out", "timeline.png"),
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_written_to_is_one_sentence(
    catalog: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    *words, name = command
    result = run(*words, tmp_path / "file" / name, "-c", catalog, "-t", "0.3")
    assert str(tmp_path / "file") in complaint(result)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to every folder"
)
def test_a_read_only_folder_is_one_sentence(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    result = run("spans", "-c", catalog, "-t", "0.3", "--out", tmp_path / "locked" / "spans.csv")
    line = complaint(result)
    assert str(tmp_path / "locked") in line
    assert "Permission denied" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_a_full_disk_is_one_sentence(catalog: Path, kind: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_process("spans", "-c", catalog, "-t", "0.3", "--format", kind, stdout=full)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line


def test_an_interrupted_command_says_how_it_goes_on(
    catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Catalog, "match", interrupted)
    result = run("spans", "-c", catalog, "-t", "0.3")
    assert "the same command goes on where this one stopped" in complaint(result, code=130)


def test_a_mistake_of_ours_is_not_hidden(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise pa.ArrowInvalid("no such kernel")  # a ValueError too

    monkeypatch.setattr(Catalog, "match", broken)
    assert isinstance(run("spans", "-c", catalog, "-t", "0.3").exception, pa.ArrowInvalid)


# Debugging --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
def test_with_debug_the_error_comes_through_wherever_it_stands(catalog: Path, before: bool) -> None:
    words = ["spans", "-c", str(catalog), "-t", "0.3", "--identity", "bob"]
    result = run(*(["--debug", *words] if before else [*words, "--debug"]))
    assert isinstance(result.exception, FacelakeError)
    below = run("plot", "spans", "-c", catalog, "-t", "7", "--debug")
    assert isinstance(below.exception, ValueError)


def test_a_traceback_is_printed_with_debug_and_not_without(catalog: Path) -> None:
    words = ("spans", "-c", catalog, "-t", "0.3", "--identity", "bob")
    shown, hidden = run_process(*words, "--debug"), run_process(*words)
    assert (shown.returncode, hidden.returncode) == (1, 1)
    assert "Traceback (most recent call last)" in shown.stderr
    assert len(hidden.stderr.splitlines()) == 1
    assert "Traceback" not in hidden.stderr


# Pipes ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE and other errors")
@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_a_reader_that_has_seen_enough_is_no_error(catalog: Path, kind: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = run_process("spans", "-c", catalog, "-t", "0.3", "--format", kind, stdout=write_end)
    finally:
        os.close(write_end)
    assert done.stderr == ""


def test_names_of_any_script_survive_a_pipe_where_the_language_is_c(catalog: Path) -> None:
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))
    }
    for kind in ("table", "csv", "json"):
        words = ("spans", "-c", catalog, "-t", "0.3", "--format", kind)
        done = run_process(*words, env=env | {"LC_ALL": "C"})
        assert done.returncode == 0
        assert ZOE in done.stdout
        assert FILM in done.stdout


# Help -------------------------------------------------------------------------------------------


def commands(group: click.Group = main, above: str = "facelake") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{above} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{above} {name}")


@pytest.mark.parametrize(("words", "command"), [*commands()], ids=[name for name, _ in commands()])
def test_the_help_of_a_command_shows_how_it_is_called(words: str, command: click.Command) -> None:
    result = run(*words.split()[1:], "--help")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    examples = [line for line in lines if line.startswith(f"{words} ") or line == words]
    assert examples, "an example on a line of its own"
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert all(option.help for option in options)
    for example in examples:
        used = {word for word in example.split() if word.startswith("--")}
        known = {name for option in [*options, *below(command)] for name in option.opts}
        assert used <= known


def below(command: click.Command) -> list[click.Parameter]:
    """The options of a group's commands."""
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return [option for one in inner for option in one.params]


def test_the_first_help_lists_the_commands_in_order_of_need_and_the_exit_codes() -> None:
    text = run("--help").stdout
    listed = [line.split()[0] for line in text.split("Commands:\n")[1].splitlines()]
    assert listed == [
        "demo", "ingest", "reembed", "enrol", "gallery", "calibrate", "spans", "sweep",
        "sweep-grid", "decide", "people", "search", "copies", "screentime", "together", "explain",
        "why-not", "evaluate", "audit", "clips", "plot", "export", "import", "info", "coverage",
        "verify", "describe", "forget", "purge", "doctor", "bench", "lab",
    ]  # fmt: skip
    assert "..." not in text.split("Commands:\n")[1]
    assert "3 done with some videos failed" in text
    assert "    facelake" not in text.split("Options:")[0].replace("\n  facelake", "")


def test_the_version_is_told() -> None:
    assert facelake.__version__ in run("--version").stdout


# The machine's commands -------------------------------------------------------------------------


def test_doctor_as_json_parses() -> None:
    result = run("doctor", "--format", "json")
    assert result.exit_code in (0, 1)
    assert json.loads(result.stdout)


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_a_demo_that_finds_too_little_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, passed: bool, code: int
) -> None:
    asked: list[Any] = []

    class Done(SimpleNamespace):
        def __str__(self) -> str:
            return "found this much"

    def run_demo(out: Path, **options: Any) -> Done:
        asked.append((out, options))
        return Done(passed=passed)

    monkeypatch.setattr("facelake.demo.run_demo", run_demo)
    result = run("demo", "--out", tmp_path, "--workers", "2", "-q")
    assert (result.exit_code, result.stdout) == (code, "found this much\n")
    assert asked == [(tmp_path, {"workers": 2, "progress": False})]


def test_bench_passes_on_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def compare_speed(sources: Any, **options: Any) -> SimpleNamespace:
        asked.append((sources, options))
        return SimpleNamespace(to_dict=lambda: {"ratio": 2.5})

    monkeypatch.setattr("facelake.bench.compare_speed", compare_speed)
    result = run("bench", "a.mp4", "b/", "--runs", "1", "--format", "json", "-q")
    assert json.loads(result.stdout) == {"ratio": 2.5}
    assert asked == [
        (
            ("a.mp4", "b/"),
            {
                "sample_fps": None,
                "every_frame": False,
                "gallery": None,
                "threshold": 0.3,
                "truth": None,
                "runs": 1,
                "workers": None,
                "progress": False,
            },
        )
    ]


def test_lab_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install 'facelake[lab]'" in complaint(run("lab", tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert "there is no such folder" in complaint(run("lab", tmp_path / "nowhere"))


def test_lab_ends_as_jupyter_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(returncode=5))
    assert run("lab", tmp_path).exit_code == 5


# Everything, once -------------------------------------------------------------------------------


@pytest.mark.models
def test_from_videos_to_spans_on_the_command_line(tmp_path: Path) -> None:
    archive = write_fake_archive(tmp_path, 2)
    videos = archive.videos[0].parent
    (videos / "torn.mp4").write_text("no video at all")
    (videos / "notes.txt").touch()
    catalog = tmp_path / "catalogs" / "squares"
    ingest = ("-c", catalog, "--pack", write_fake_pack(tmp_path / "pack"))

    first = run("ingest", videos, *ingest, "--sample-fps", "10", "--workers", "2")
    assert (first.exit_code, first.stdout) == (3, "")
    summary, failed, passed_over = first.stderr.splitlines()
    assert summary.startswith("3 videos looked at, 0 already there, 1 failed")
    assert failed.startswith(f"  failed: {videos / 'torn.mp4'}: ")
    assert passed_over.endswith("1 × .txt")

    again = run("ingest", videos, *ingest, "--sample-fps", "10", "--workers", "2")
    assert again.exit_code == 3
    assert again.stderr.startswith("0 videos looked at, 3 already there, 1 failed")
    good = run("ingest", *archive.videos, *ingest, "--sample-fps", "10", "--workers", "2")
    assert good.exit_code == 0

    unnamed = run("enrol", archive.photos, "-c", catalog)
    assert "the pack 'fake-squares', which is not found by its name" in complaint(unnamed)
    enrolled = run("enrol", archive.photos, *ingest)
    assert (enrolled.exit_code, enrolled.stdout) == (0, "")
    assert enrolled.stderr.splitlines()[0].startswith("Gallery of 6 identities, 12 exemplars: blue")
    assert enrolled.stderr.splitlines()[1] == "12 of 12 photos used"

    found = run("spans", "-c", catalog, "-t", "0.9", "--format", "csv")
    spans = {
        (PurePosixPath(row["path"]).name, row["identity"], float(row["start_s"]),
         float(row["end_s"])) for row in read_csv(found.stdout)
    }  # fmt: skip
    assert spans == {(one.video, one.identity, one.start_s, one.end_s) for one in archive.truth}
