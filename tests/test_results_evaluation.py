"""What a catalog's spans answer to a truth, and the command that asks; times on paper."""

from __future__ import annotations

import csv
import io
import json
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from planted import alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake import schema
from facelake.cli import main
from facelake.query.evaluate import TruthRules
from facelake.results import Evaluation, Spans

TRUTH = """\
video,label,start_s,end_s,visibility
tv/film.mp4,ann,1.0,2.0,front
tv/film.mp4,Bob,3.0,3.5,front
tv/film.mp4,Bob,3.5,4.0,profile
tv/other.mp4,Ann,0.0,5.0,front
"""


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def plant(root: Path) -> Path:
    """Ann from 1 to 2 s, Bob from 3 to 4 s in a film of 4 s, and a video with nobody."""
    lake = new_lake(root)
    looks: dict[int, Any] = {pts: [] for pts in range(0, 4000, 40)}
    looks |= {pts: [alike(p0=0.7)] for pts in range(1000, 2000, 40)}
    looks |= {pts: [alike(p1=0.45)] for pts in range(3000, 4000, 40)}
    plant_video(lake, "film", looks, paths=["/archive/film.mp4"])
    plant_video(lake, "empty", {0: [], 40: []}, paths=["/archive/empty.mp4"])
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    return lake.root


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("catalogs") / "tv")


@pytest.fixture(scope="module")
def spans(catalog: Path) -> Spans:
    return facelake.open_catalog(catalog).match().spans(threshold=0.3)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text(TRUTH)
    return path


@pytest.fixture
def spans_csv(spans: Spans, tmp_path: Path) -> Path:
    return spans.to_csv(tmp_path / "spans.csv")


def rows_of(table: pa.Table) -> dict[tuple[str, ...], dict[str, Any]]:
    return {(row["video"], row["identity"]): row for row in table.to_pylist()}


# In Python ----------------------------------------------------------------------------------------


def test_spans_are_evaluated_in_the_videos_that_the_catalog_holds(
    spans: Spans, truth: Path
) -> None:
    told = spans.evaluate(truth, collar_s=0.0)
    rows = rows_of(told.table)
    assert set(rows) == {("film.mp4", "ann"), ("film.mp4", "Bob")}
    assert rows["film.mp4", "ann"]["f1"] == 1.0
    # Of Bob, 0.5 s in front; that in profile counts neither way.
    bob = rows["film.mp4", "Bob"]
    assert (bob["truth_s"], bob["found_s"]) == pytest.approx((0.5, 0.5))
    assert told.notes == ("truth.csv tells of other.mp4, which nobody asked: left out",)


def test_every_visibility_can_count(spans: Spans, truth: Path) -> None:
    told = spans.evaluate(truth, collar_s=0.0, visibilities=["front", "profile"])
    assert rows_of(told.table)["film.mp4", "Bob"]["truth_s"] == pytest.approx(1.0)


def test_one_person_alone_can_be_asked_for(spans: Spans, truth: Path) -> None:
    told = spans.evaluate(truth, identities=["BOB"])
    assert told.table["identity"].to_pylist() == ["Bob"]


def test_spans_can_be_held_against_other_spans(catalog: Path, spans: Spans) -> None:
    strict = facelake.open_catalog(catalog).match().spans(threshold=0.5)  # Ann alone
    told = strict.evaluate(spans, collar_s=0.0)
    (all_,) = told.totals.slice(len(told.totals) - 1).to_pylist()
    assert (all_["precision"], all_["recall"]) == pytest.approx((1.0, 0.5))
    assert told.notes == ("named in the truth, but never found: Bob",)


def test_the_report_has_counts_beside_every_rate(spans: Spans, truth: Path) -> None:
    assert repr(spans.evaluate(truth, collar_s=0.0)).splitlines() == [
        "2 identities in 1 video against truth.csv",
        "seconds  precision 1.000 of 1.5 s found, recall 1.000 of 1.5 s wanted, F1 1.000",
        "spans    precision 1.000 of 2 found, recall 1.000 of 2 wanted, F1 1.000, "
        "matched from an IoU of 0.5 on",
        "edges    2 starts: error 0.00 s (median), 0.00 s (90 %), mean +0.00 s; "
        "1 end: error 0.00 s (median), 0.00 s (90 %), mean +0.00 s",
        "not counted: 0 s around the truth's edges (seconds alone), and visibilities other than "
        "front, angle",
    ]


def test_where_nothing_is_found_and_wanted_there_is_no_rate(catalog: Path, tmp_path: Path) -> None:
    nothing = facelake.open_catalog(catalog).match().spans(threshold=0.99)
    path = tmp_path / "truth.csv"
    path.write_text("video,label,start_s,end_s\nempty.mp4,(nobody),0,\n")
    told = nothing.evaluate(path)
    assert len(told.table) == 0
    assert "precision – of 0.0 s found, recall – of 0.0 s wanted, F1 –" in repr(told)


def test_the_table_can_be_saved_and_taken_on(spans: Spans, truth: Path, tmp_path: Path) -> None:
    told = spans.evaluate(truth)
    frame = told.to_pandas()
    assert list(frame.columns) == schema.EVALUATION.names
    assert len(frame) == len(told.rows()) == 2 + 2 + 1 + 1
    with told.to_csv(tmp_path / "told.csv").open(newline="") as file:
        assert [row["level"] for row in csv.DictReader(file)] == frame["level"].to_list()
    assert told.truth in told._repr_html_()


# On the command line ------------------------------------------------------------------------------


def test_a_file_of_spans_is_evaluated(spans_csv: Path, truth: Path) -> None:
    result = run("evaluate", spans_csv, truth, "--video", "film", "--collar-s", "0")
    assert result.exit_code == 0
    header, ann, bob, all_ = result.stdout.splitlines()
    assert header.split()[:5] == ["video", "identity", "truth_s", "found_s", "precision"]
    assert bob.split() == ["film.mp4", "Bob", "0.500", "0.500", *["1.00"] * 3, *["1"] * 3]
    assert ann.split()[:2] == ["film.mp4", "ann"]
    assert all_.split()[:4] == ["all", "all", "1.500", "1.500"]
    assert "2 identities in 1 video against truth.csv" in result.stderr


def test_a_video_without_a_span_is_missed_and_told(spans_csv: Path, truth: Path) -> None:
    result = run("evaluate", spans_csv, truth, "--format", "csv", "--collar-s", "0")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == schema.EVALUATION.names
    (missed,) = (row for row in rows if (row["level"], row["video"]) == ("each", "other.mp4"))
    assert (float(missed["missed_s"]), missed["recall"], missed["precision"]) == (5.0, "0", "")
    assert "no span in other.mp4: whom truth.csv names there is missed" in result.stderr


def test_a_catalog_is_evaluated_by_the_rules(catalog: Path, truth: Path) -> None:
    args = ("evaluate", "-c", catalog, truth, "--collar-s", "0", "--format", "json", "-t")
    low, high = (json.loads(run(*args, threshold).stdout) for threshold in ("0.3", "0.5"))
    assert low["totals"][-1]["recall"] == pytest.approx(1.0)
    assert high["totals"][-1]["recall"] == pytest.approx(1.0 / 1.5)
    assert list(low) == ["truth", "rules", "notes", "table", "totals", "matches"]
    assert low["rules"]["visibilities"] == ["front", "angle"]


def test_json_has_the_columns_of_the_tables(catalog: Path, truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    result = run("evaluate", "-c", catalog, truth, "-t", "0.3", "--out", out)
    assert (result.exit_code, result.stdout) == (0, "")
    told = json.loads(out.read_text())
    assert list(told["matches"][0]) == schema.SPAN_MATCHES.names
    assert list(told["table"][0]) == schema.EVALUATION.names


def test_matches_are_a_row_for_each_span(catalog: Path, truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "matches.parquet"
    run("evaluate", "-c", catalog, truth, "-t", "0.3", "--matches", "--out", out)
    table = pq.read_table(out)
    assert table.schema.remove_metadata() == schema.SPAN_MATCHES
    assert table["outcome"].to_pylist() == ["matched", "matched"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("spans.csv",), "give SPANS and TRUTH, or -c CATALOG and TRUTH, or --pairs FILE"),
        (("-c", "CATALOG", "spans.csv", "truth.csv"), "with -c CATALOG give TRUTH alone"),
        (
            ("spans.csv", "truth.csv", "-t", "0.3"),
            "--threshold means nothing without -c CATALOG",
        ),
        (("spans.csv", "truth.csv", "--pack", "x"), "--pack means nothing without -c CATALOG or"),
        (("-c", "CATALOG", "truth.csv", "--images", "x"), "--images means nothing without --pairs"),
        (("--pairs", "p.csv", "-t", "0.3"), "--threshold means nothing with --pairs"),
        (("--pairs", "p.csv", "truth.csv"), "TRUTH means nothing with --pairs"),
        (("--pairs", "p.csv"), "--pairs needs --images DIR"),
    ],
)
def test_what_means_nothing_is_wrong_usage(
    catalog: Path, args: tuple[str, ...], words: str
) -> None:
    result = run("evaluate", *(catalog if arg == "CATALOG" else arg for arg in args))
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_reversed_times_are_refused_with_their_line(spans_csv: Path, tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("video,label,start_s,end_s\nfilm,Ann,2,1\n")
    result = run("evaluate", spans_csv, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.match(r"facelake: .*truth\.csv, line 2: start_s must be", result.stderr)


def test_a_file_that_is_not_there_is_named(spans_csv: Path, tmp_path: Path) -> None:
    result = run("evaluate", spans_csv, tmp_path / "none.csv")
    assert result.exit_code == 1
    assert "none.csv: cannot be read" in result.stderr


def test_pairs_are_rated_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facelake.evaluate import evaluate_pairs
    from facelake.results import PairEvaluation

    asked: dict[str, Any] = {}

    def rated(pairs: Any, images: Any, **options: Any) -> PairEvaluation:
        asked.update(options, pairs=pairs, images=images)
        errors = evaluate_pairs([0.6, 0.1, 0.25, 0.0], [1, 1, 0, 0], fmrs=[1e-4])
        empty = schema.PAIRS.empty_table(), schema.PICTURES.empty_table()
        return PairEvaluation(errors, *empty, "space-0")

    command = import_module("facelake.cli.evaluate")
    monkeypatch.setattr(command, "evaluate_photo_pairs", rated)
    picture = tmp_path / "det.png"
    args = ("evaluate", "--pairs", "1.csv", "--pairs", "2.txt", "--images", "lfw", "-q")
    result = run(*args, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert asked["pairs"] == (Path("1.csv"), Path("2.txt"))
    assert (asked["pack"], asked["device"], asked["progress"]) == ("buffalo_sc", "auto", False)
    lines = result.stdout.splitlines()
    assert lines[1].split()[:5] == ["at", "0.200", "0.5", "(1", "of"]
    assert "FMR 0.0001" in lines[-1]
    assert "insufficient data: 10,000 impostor pairs are needed" in lines[-1]
    assert picture.stat().st_size > 1000
    assert "equal error rate 50.00%" in result.stderr
    told = json.loads(run(*args, "--format", "json").stdout)
    assert list(told["rates"][0]) == schema.PAIR_RATES.names
    assert told["equal_error"]["rate"] == 0.5
    rows = list(csv.DictReader(io.StringIO(run(*args, "--format", "csv").stdout)))
    assert list(rows[0]) == schema.PAIR_RATES.names


# The page -----------------------------------------------------------------------------------------

TABLES = {
    "evaluation": schema.EVALUATION,
    "matches": schema.SPAN_MATCHES,
    "rates": schema.PAIR_RATES,
    "curve": schema.PAIR_CURVE,
    "folds": schema.PAIR_FOLDS,
    "pairs": schema.PAIRS,
    "pictures": schema.PICTURES,
}


@pytest.mark.parametrize(("name", "table"), TABLES.items(), ids=list(TABLES))
def test_the_page_names_every_column(root: Path, name: str, table: pa.Schema) -> None:
    text = (root / "docs" / "evaluation.md").read_text()
    section = text.split(f"\n### {name}\n")[1].split("\n##")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (yes)? *\|", section, flags=re.MULTILINE)
    assert rows == [
        (field.name, str(field.type), "yes" if field.nullable else "") for field in table
    ]


# Real clips ---------------------------------------------------------------------------------------


@pytest.mark.shared
def test_on_made_up_spans_of_real_truth_the_projects_own_scorer_agrees(
    shared: Path, scorer: ModuleType, tmp_path: Path
) -> None:
    """Both read the files; its steps of 0.05 s are off by at most half a step at each edge."""
    with (shared / "TRUTH.csv").open(encoding="utf-8") as file:
        wanted = list(csv.DictReader(line for line in file if not line.startswith("#")))
    path = tmp_path / "spans.csv"
    named = [row for row in wanted if row["end_s"] and not row["label"].startswith("(")]
    lines = [
        f"{row['video']},{row['label']},{float(row['start_s']) + 0.41},{float(row['end_s']) + 0.37}"
        for row in named
    ]
    path.write_text("\n".join(["path,identity,start_s,end_s", *lines]))
    told = Evaluation.of(path, shared / "TRUTH.csv", TruthRules(collar_s=0.35))
    truth, ignored = scorer.read_truth(shared / "TRUTH.csv", {"front", "angle"}, 0.35)
    found = scorer.read_spans(path)
    videos = {video for video, _ in truth}
    right = sum(len(truth[at] & found[at] - ignored[at]) for at in truth)
    false = sum(len(found[at] - truth[at] - ignored[at]) for at in found if at[0] in videos)
    missed = sum(len(truth[at] - found[at] - ignored[at]) for at in truth)
    (all_,) = told.totals.slice(len(told.totals) - 1).to_pylist()
    slack_s = scorer.STEP_S * len(named)
    seconds = [all_[name] for name in ("right_s", "missed_s", "false_s")]
    assert seconds == pytest.approx(
        [count * scorer.STEP_S for count in (right, missed, false)], abs=slack_s
    )
    assert all_["f1"] == pytest.approx(2 * right / (2 * right + missed + false), abs=0.01)
