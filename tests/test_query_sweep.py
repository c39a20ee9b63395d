"""Sweeps of whole catalogs: rows against fresh queries, lives, totals, and grids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import SPACE, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.errors import CatalogError, ExportError, GalleryError
from facelake.lake import Lake
from facelake.query import SpanSettings
from facelake.query.grid import Grid, GridPoint, make_grid, spread_tasks, sweep_grid
from facelake.query.sweep import DEFAULT_THRESHOLDS, choose_thresholds, sweep_scores
from facelake.results import Scores
from facelake.schema import (
    FACES,
    SPAN_LIVES,
    SWEEP,
    SWEEP_GRID,
    SWEEP_PLATEAUS,
    SWEEP_TOTALS,
)

THRESHOLDS = (0.1, 0.2, 0.3, 0.45, 0.6)


def plant(lake: Lake, *, seed: int = 5) -> None:
    """Two videos of 8 s and one with nobody: faces of two people whose scores wander."""
    random = np.random.default_rng(seed)
    for name in ("one", "two"):
        looks: dict[int, Any] = {pts: [] for pts in range(0, 8000, 200)}
        for person in (0, 1):
            for pts in random.choice(list(looks), 25, replace=False):
                score = float(random.uniform(0.05, 0.75))
                looks[int(pts)] = [*looks[int(pts)], alike(**{f"p{person}": score})]
        plant_video(lake, name, looks)
    plant_video(lake, "empty", dict.fromkeys(range(0, 1000, 200), ()))
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)], "Cleo": [axis(2)]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = new_lake(tmp_path / "catalogs" / "tv")
    plant(lake)
    return lake


@pytest.fixture
def scores(lake: Lake) -> Scores:
    return facelake.open_catalog(lake.root).match()


def seconds(spans: list[dict[str, Any]]) -> Any:
    return sum((span["end_s"] - span["start_s"] for span in spans), 0.0)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"miss_s": 0.0, "min_hits": 2},
        {"bridge_s": 1.5, "min_span_s": 0.5},
        {"exit_threshold": 0.2},
        {"exit_threshold": 0.05, "min_hits": 3, "blind_s": 0.1},
    ],
)
def test_a_row_equals_a_fresh_query(scores: Scores, rules: dict[str, Any]) -> None:
    sweep = scores.sweep(THRESHOLDS, **rules)
    assert sweep.table.schema.equals(SWEEP)
    assert len(sweep) == 2 * 2 * len(THRESHOLDS)
    for row in sweep.table.to_pylist():
        stay = rules.get("exit_threshold")
        lowered = rules | {"exit_threshold": None if stay is None else min(stay, row["threshold"])}
        spans = scores.spans(row["threshold"], identities=row["identity"], **lowered)
        fresh = [s for s in spans.table.to_pylist() if s["video_id"] == row["video_id"]]
        assert row["n_spans"] == len(fresh)
        assert row["seconds"] == pytest.approx(seconds(fresh))
        faces = [
            face["score"]
            for face in scores.table.to_pylist()
            if (face["video_id"], face["identity"]) == (row["video_id"], row["identity"])
        ]
        assert row["n_faces"] == sum(score >= row["threshold"] for score in faces)
        assert row["n_tracks"] == 0  # these faces have none


def test_totals_are_the_rows_of_all_videos_and_everybody_has_some(scores: Scores) -> None:
    sweep = scores.sweep(THRESHOLDS)
    assert sweep.totals.schema.equals(SWEEP_TOTALS)
    assert len(sweep.totals) == 3 * len(THRESHOLDS)
    rows = sweep.table.to_pylist()
    for total in sweep.totals.to_pylist():
        of = [r for r in rows if all(r[k] == total[k] for k in ("identity", "threshold"))]
        assert total["n_videos"] == sum(row["n_spans"] > 0 for row in of)
        assert total["n_spans"] == sum(row["n_spans"] for row in of)
        assert total["seconds"] == pytest.approx(sum(row["seconds"] for row in of))
    assert sweep.curve("Cleo")["n_faces"].to_pylist() == [0] * len(THRESHOLDS)
    with pytest.raises(GalleryError, match="Zoe"):
        sweep.curve("Zoe")


def test_as_many_lives_as_spans_and_the_best_face_is_that_of_the_span(scores: Scores) -> None:
    sweep = scores.sweep(THRESHOLDS)
    assert sweep.lives.schema.equals(SPAN_LIVES)
    lives = sweep.lives.to_pylist()
    assert [life["life_id"] for life in lives] == list(range(len(lives)))
    for threshold in THRESHOLDS:
        alive = [
            life for life in lives
            if threshold <= life["high_threshold"]
            and (life["low_threshold"] < threshold or life["parent_id"] is None)
        ]  # fmt: skip
        assert len(alive) == len(scores.spans(threshold))
    lowest = scores.spans(THRESHOLDS[0]).table.to_pylist()
    names = ("video_id", "path", "identity", "start_s", "end_s", "best_face_id", "best_time_s")
    roots = [life for life in lives if life["parent_id"] is None]
    assert sorted([life[name] for name in names] for life in roots) == sorted(
        [span[name] for name in names] for span in lowest
    )
    for life in lives:
        if life["parent_id"] is not None:
            parent = lives[life["parent_id"]]
            assert parent["identity"] == life["identity"]
            assert parent["video_id"] == life["video_id"]


def test_tracks_are_counted_once_and_by_their_best_face(lake: Lake, scores: Scores) -> None:
    rows = scores.table.to_pylist()
    for number, row in enumerate(rows):
        row["track_id"] = None if number % 5 == 0 else number % 4
    told = pa.Table.from_pylist(rows, scores.table.schema)
    swept = sweep_scores(
        lake, told, SPACE, SpanSettings(0.6), THRESHOLDS, identities=("Ann", "Bob")
    )
    for row in swept.table.to_pylist():
        tracks = {
            face["track_id"]
            for face in rows
            if (face["video_id"], face["identity"]) == (row["video_id"], row["identity"])
            and face["score"] >= row["threshold"]
        } - {None}
        assert row["n_tracks"] == len(tracks)


def test_the_plateau_is_the_widest_range_without_a_change(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    scores = {0: 0.625, 1000: 0.575, 9000: 0.325}  # two spans up to 0.32, one from 0.33 on
    plant_video(lake, "one", {p: [alike(p0=scores[p])] if p in scores else []
                              for p in range(0, 10_000, 200)})  # fmt: skip
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    sweep = facelake.open_catalog(lake.root).match().sweep()
    assert sweep.plateaus.schema.equals(SWEEP_PLATEAUS)
    (row,) = sweep.plateaus.to_pylist()  # Bob has no span
    assert (row["identity"], row["n_videos"]) == ("Ann", 1)
    assert (row["low_threshold"], row["high_threshold"], row["n_spans"]) == (0.33, 0.62, 1)
    assert row["seconds_at_low"] == pytest.approx(1.04)
    assert row["seconds_at_high"] == pytest.approx(0.04)
    assert "Ann: 1 span from 0.33 to 0.62" in repr(sweep)


def test_thresholds_are_those_that_the_scores_can_be_asked_for(lake: Lake) -> None:
    assert len(DEFAULT_THRESHOLDS) == 61
    assert DEFAULT_THRESHOLDS[::60] == (0.1, 0.7)
    assert choose_thresholds(None, 0.25)[0] == 0.25
    scores = facelake.open_catalog(lake.root).match(min_score=0.4)
    assert scores.sweep().thresholds[0] == 0.4
    with pytest.raises(ValueError, match=r"kept from 0.4 on.*threshold of 0.2"):
        scores.sweep([0.2, 0.5])
    with pytest.raises(ValueError, match=r"kept from 0.4 on.*threshold of 0.3"):
        scores.sweep([0.5], exit_threshold=0.3)
    with pytest.raises(ValueError, match="above all of the usual thresholds"):
        choose_thresholds(None, 0.9)
    with pytest.raises(ValueError, match="strictly increasing"):
        scores.sweep([0.6, 0.5])
    with pytest.raises(ValueError, match="exit_threshold must be at most"):
        scores.sweep([0.5], exit_threshold=0.6)


def test_an_unknown_identity_is_refused(scores: Scores) -> None:
    with pytest.raises(GalleryError, match="Anne"):
        scores.sweep(THRESHOLDS, identities="Anne")
    assert scores.sweep(THRESHOLDS, identities="Bob").identities == ("Bob",)


def test_nothing_above_the_thresholds_gives_empty_tables(scores: Scores) -> None:
    sweep = scores.sweep([0.95, 0.99])
    assert (len(sweep.table), len(sweep.lives), len(sweep.plateaus)) == (0, 0, 0)
    assert sweep.table.schema.equals(SWEEP)
    assert sweep.lives.schema.equals(SPAN_LIVES)
    assert set(sweep.totals["n_spans"].to_pylist()) == {0}
    assert repr(sweep).startswith("Sweep of 3 identities in 0 videos over 2 thresholds")


def test_scores_of_another_catalog_are_refused(tmp_path: Path, scores: Scores) -> None:
    other = new_lake(tmp_path / "other")
    plant_video(other, "elsewhere", {0: []})
    with pytest.raises(CatalogError, match="every score must be of a video of this catalog"):
        sweep_scores(other, scores.table, SPACE, SpanSettings(0.6), THRESHOLDS, identities=("Ann",))


def test_a_score_that_is_no_number_is_refused(lake: Lake, scores: Scores) -> None:
    at = scores.table.schema.get_field_index("score")
    values = scores.table["score"].to_numpy().copy()
    values[3] = np.nan
    broken = scores.table.set_column(at, scores.table.schema.field(at), pa.array(values))
    with pytest.raises(ValueError, match=r"every score must be a number.* is NaN"):
        sweep_scores(
            lake, broken, SPACE, SpanSettings(0.6), THRESHOLDS, identities=("Ann", "Bob", "Cleo")
        )


def test_a_face_where_nobody_looked_is_refused(lake: Lake, scores: Scores) -> None:
    moved = pa.array(scores.table["pts"].to_numpy() + 1)
    at = scores.table.schema.get_field_index("pts")
    told = scores.table.set_column(at, scores.table.schema.field(at), moved)
    with pytest.raises(CatalogError, match="must lie at an examined instant"):
        sweep_scores(lake, told, SPACE, SpanSettings(0.6), THRESHOLDS, identities=("Ann", "Bob"))


def test_a_sweep_is_taken_along_as_a_file(scores: Scores, tmp_path: Path) -> None:
    sweep = scores.sweep(THRESHOLDS)
    lines = sweep.to_csv(tmp_path / "sweep.csv").read_text().splitlines()
    assert len(lines) == 1 + len(sweep)
    assert list(sweep.to_pandas().columns) == SWEEP.names
    assert sweep._repr_html_().startswith("<pre>Sweep of 3 identities")
    assert sweep.plot().shape == (2, 2)  # Cleo is never there


# Grids ------------------------------------------------------------------------------------------


def grid_of(lake: Lake, out: Path, **values: Any) -> Any:
    spread = values.pop("spread", spread_tasks)
    grid = Grid(make_grid(**values), THRESHOLDS, ("Ann", "Bob"), SPACE)
    return sweep_grid(lake, lake.exemplars(SPACE), grid, out, spread=spread)


def rows_of(table: pa.Table, **where: Any) -> list[dict[str, Any]]:
    """The sweep's columns of the rows of a combination."""
    return [
        {name: row[name] for name in SWEEP.names}
        for row in table.to_pylist()
        if all(row[name] == value for name, value in where.items())
    ]


def test_a_grid_holds_the_sweep_of_every_combination(
    lake: Lake, scores: Scores, tmp_path: Path
) -> None:
    table = grid_of(lake, tmp_path / "grid", bridge_s=[0.0, 1.0], min_hits=[1, 2])
    assert table.schema.equals(SWEEP_GRID)
    for bridge_s in (0.0, 1.0):
        for min_hits in (1, 2):
            alone = scores.sweep(
                THRESHOLDS, bridge_s=bridge_s, min_hits=min_hits, identities=["Ann", "Bob"]
            )
            found = rows_of(table, bridge_s=bridge_s, min_hits=min_hits)
            assert found == alone.table.to_pylist()


def test_thinned_samples_are_those_of_a_slower_look(tmp_path: Path) -> None:
    fast, slow = new_lake(tmp_path / "fast"), new_lake(tmp_path / "slow")
    random = np.random.default_rng(1)
    looks: dict[int, Any] = {
        pts: [alike(p0=float(random.uniform(0.05, 0.7)))] if random.random() < 0.7 else []
        for pts in range(700, 20_700, 200)
    }
    plant_video(fast, "one", looks)
    plant_video(slow, "one", {pts: looks[pts] for pts in range(700, 20_700, 1000)})
    for lake in (fast, slow):
        plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    thinned = grid_of(fast, tmp_path / "grid", sample_fps=[1.0])
    whole = facelake.open_catalog(slow.root).match().sweep(THRESHOLDS)
    assert rows_of(thinned) == whole.table.to_pylist()


def test_a_face_below_a_gate_counts_as_not_there(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "one", {p: [alike(p0=0.5)] for p in range(0, 1000, 200)})
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    (path,) = lake.root.glob("faces/*/*/*.parquet")
    faces = pq.read_table(path, partitioning=None)
    for name, values in {
        "quality": [0.9, 0.9, 0.1, 0.9, 0.9],
        "det_score": [0.9, 0.9, 0.9, 0.5, 0.9],
        "bbox_xyxy": [[0, 0, 50, 50]] * 4 + [[0, 0, 40, 10]],  # 50 px and 20 px
    }.items():
        field = FACES.field(name)
        at = faces.schema.get_field_index(name)
        faces = faces.set_column(at, field, pa.array(values, field.type))
    pq.write_table(faces, path)
    table = grid_of(
        lake, tmp_path / "grid", min_quality=[0, 0.5], min_det_score=[0, 0.6],
        min_size_px=[0, 20.0, 21.0],
    )  # fmt: skip
    for row in table.to_pylist():
        if row["threshold"] == 0.3:
            gone = (row["min_quality"] > 0.1) + (row["min_det_score"] > 0.5)
            assert row["n_faces"] == 5 - gone - (row["min_size_px"] > 20)


def interrupted(n_done: int) -> Callable[..., Iterable[Path]]:
    """What works on so many tasks and is then stopped."""

    def spread(function: Callable[[Any], Path], tasks: Sequence[Any]) -> Iterable[Path]:
        for task in tasks[:n_done]:
            yield function(task)
        raise KeyboardInterrupt

    return spread


def counting(asked: list[Any]) -> Callable[..., Iterable[Path]]:
    def spread(function: Callable[[Any], Path], tasks: Sequence[Any]) -> Iterable[Path]:
        asked.extend(tasks)
        return [function(task) for task in tasks]

    return spread


def test_an_interrupted_grid_goes_on_and_a_finished_one_is_read(lake: Lake, tmp_path: Path) -> None:
    out, bridges = tmp_path / "grid", [0.0, 1.0, 2.0]
    with pytest.raises(KeyboardInterrupt):
        grid_of(lake, out, bridge_s=bridges, spread=interrupted(2))
    assert not (out / "grid.parquet").exists()
    asked: list[Any] = []
    table = grid_of(lake, out, bridge_s=bridges, spread=counting(asked))
    assert [task.point.bridge_s for task in asked] == [2.0]
    assert [path.name for path in out.iterdir()] == ["grid.parquet"]
    again = grid_of(lake, out, bridge_s=bridges, spread=interrupted(0))  # has nothing to do
    assert again.equals(table)
    assert table.equals(grid_of(lake, tmp_path / "other", bridge_s=bridges))


def test_a_damaged_part_is_made_again(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    with pytest.raises(KeyboardInterrupt):
        grid_of(lake, out, bridge_s=[0.0, 1.0], spread=interrupted(1))
    (part,) = (out / "parts").glob("part-*")
    part.write_bytes(b"torn")
    asked: list[Any] = []
    grid_of(lake, out, bridge_s=[0.0, 1.0], spread=counting(asked))
    assert len(asked) == 2


def test_a_changed_catalog_or_gallery_is_swept_anew(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    before = grid_of(lake, out, bridge_s=[0.0])
    plant_video(lake, "three", {p: [alike(p0=0.5)] for p in range(0, 1000, 200)})
    more = grid_of(lake, out, bridge_s=[0.0])
    assert len(more) == len(before) + len(THRESHOLDS)
    plant_gallery(lake, {"Ann": [axis(0), axis(1)]})  # now Bob's faces are hers as much
    assert not grid_of(lake, out, bridge_s=[0.0]).equals(more)


def test_a_grid_over_nothing_is_an_empty_table(lake: Lake, tmp_path: Path) -> None:
    grid = Grid(make_grid(min_size_px=[0, 1e6]), (0.95,), ("Ann",), SPACE)
    table = sweep_grid(lake, lake.exemplars(SPACE), grid, tmp_path / "grid")
    assert len(table) == 0
    assert table.schema.equals(SWEEP_GRID)


def test_a_grid_does_not_go_into_the_catalog(lake: Lake) -> None:
    with pytest.raises(ExportError, match="must lie outside the catalog"):
        grid_of(lake, lake.root / "sweeps")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bridge_s": []}, "bridge_s must have one value or more"),
        ({"sample_fps": [0]}, "sample_fps must be above 0, but is 0; None takes all"),
        ({"sample_fps": float("nan")}, "sample_fps must be above 0, but is nan"),
        ({"min_quality": [0.5, 1.5]}, "min_quality must be from 0 to 1, but is 1.5"),
        ({"min_size_px": float("nan")}, "min_size_px must be 0 or more"),
        ({"min_size_px": float("inf")}, "min_size_px must be 0 or more"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_grid(**values)


def test_a_wrong_rule_is_refused_before_any_work(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    with pytest.raises(ValueError, match="bridge_s must be 0 or more seconds, but is -1"):
        grid_of(lake, out, bridge_s=[0.0, -1.0])
    assert not out.exists()


def test_combinations_are_each_made_once() -> None:
    points = make_grid(bridge_s=[0.0, 0.0, 1.0], sample_fps=[None, 5.0])
    assert [(p.bridge_s, p.sample_fps) for p in points] == [
        (0.0, None), (0.0, 5.0), (1.0, None), (1.0, 5.0),
    ]  # fmt: skip
    assert make_grid() == (GridPoint(),)


def test_a_catalog_sweeps_a_grid_over_a_dask_cluster_as_over_threads(
    lake: Lake, tmp_path: Path
) -> None:
    catalog = facelake.open_catalog(lake.root)
    asked: dict[str, Any] = {"bridge_s": [0.0, 1.0], "identities": "Ann", "progress": False}
    threads = catalog.sweep_grid(THRESHOLDS, out=tmp_path / "a", **asked)
    workers = catalog.sweep_grid(THRESHOLDS, out=tmp_path / "b", workers=1, **asked)
    assert workers.table.equals(threads.table)
    assert threads.axes == {"bridge_s": [0.0, 1.0]}
    assert threads.path == tmp_path / "a" / "grid.parquet"
    assert repr(threads).startswith("Sweep grid of 2 combinations of bridge_s (0, 1): ")
    assert pq.read_table(threads.path).num_rows == len(threads.to_pandas()) == len(threads)
    assert threads.to_csv(tmp_path / "grid.csv").is_file()
    with pytest.raises(GalleryError, match="Zoe"):
        catalog.sweep_grid(THRESHOLDS, identities="Zoe", progress=False)
