"""The front door: what a catalog tells and writes; every number is on paper."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import OTHER_SPACE, SPACE, add_space, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.catalog import Catalog
from facelake.errors import CatalogError, EngineError, ExportError, GalleryError
from facelake.lake import Lake
from facelake.results import Gallery, Scores, Spans
from facelake.schema import FACES, SAMPLES, SPANS, IngestSettings
from facelake.tabular import to_json, write_tabular


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two people in two videos, and a video that failed."""
    lake = new_lake(tmp_path / "catalogs" / "tv")
    ann, bob = [alike(p0=0.6)], [alike(p1=0.5)]
    looks: dict[int, Any] = {pts: [] for pts in range(0, 60_000, 1000)}
    morning = looks | dict.fromkeys(range(10_000, 20_000, 1000), ann + bob) | {30_000: None}
    plant_video(lake, "morning", morning, decoder="decord")
    plant_video(lake, "evening", looks | dict.fromkeys(range(0, 5000, 1000), bob), status="partial",
                error="2 damaged packets")  # fmt: skip
    plant_video(lake, "broken", {})
    plant_gallery(lake, {"Ann": [axis(0), axis(0)], "Bob": [axis(1)]})
    return lake


@pytest.fixture
def catalog(lake: Lake) -> Catalog:
    return facelake.open_catalog(lake.root)


# Opening ----------------------------------------------------------------------------------------


def test_opening_touches_nothing(tmp_path: Path) -> None:
    catalog = facelake.open_catalog(tmp_path / "new")
    assert repr(catalog) == f"Catalog({str(tmp_path / 'new')!r})"
    assert not list(tmp_path.iterdir())


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert facelake.open_catalog("~/tv").path == tmp_path / "tv"


def test_a_catalog_that_is_not_there_is_refused_when_it_is_asked(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no such catalog"):
        facelake.open_catalog(tmp_path / "tv").match()


def test_asking_needs_neither_models_nor_decoders(catalog: Catalog) -> None:
    asking = f"""
import sys
import facelake
spans = facelake.open_catalog({str(catalog.path)!r}).match().spans(threshold=0.3)
assert len(spans) == 3
heavy = {{"onnxruntime", "cv2", "decord", "av", "dask", "distributed", "matplotlib", "rich"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# Ingest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every_frame", "sample_fps"), [(False, 2.0), (True, None)])
def test_an_ingest_is_told_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, every_frame: bool, sample_fps: float | None
) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(
        "facelake.ingest.ingest_videos", lambda *args, **options: calls.append((args, options))
    )
    facelake.open_catalog("tv").ingest(
        "a.mp4", "b/", sample_fps=2.0, every_frame=every_frame, decoder="pyav", det_size=320,
        det_threshold=0.6, pack="mine", device="cpu", workers=3, retry_failed=True, progress=False,
    )  # fmt: skip
    ((path, sources, settings), options) = calls[0]
    assert (path, sources) == (Path("tv"), ("a.mp4", "b/"))
    assert settings == IngestSettings(sample_fps, "pyav", 320, 0.6)
    options.pop("progress")
    assert options == {
        "pack": "mine", "device": "cpu", "workers": 3, "scheduler": None, "retry_failed": True,
    }  # fmt: skip


# What is in it ----------------------------------------------------------------------------------


def test_info_counts_what_was_planted(catalog: Catalog) -> None:
    told = catalog.info()
    assert (told["n_videos"], told["n_ok"], told["n_partial"], told["n_failed"]) == (3, 1, 1, 1)
    assert told["hours"] == pytest.approx(2 * 59.04 / 3600)
    assert told["n_samples"] == 120
    assert told["n_faces"] == 10 * 2 + 5
    assert told["n_labels"] == 0
    assert told["enrolled"] == {SPACE: {"Ann": 2, "Bob": 1}}
    assert told["decoders"] == {"decord": 1, "pyav": 1}
    assert told["providers"] == {"CPUExecutionProvider": 2}
    assert told["spaces"][SPACE]["licence"] == "none"
    assert [(one["status"], one["error"]) for one in told["troubles"]] == [
        ("failed", "no frame could be decoded"),
        ("partial", "2 damaged packets"),
    ]
    assert told["bytes"] == sum(
        p.stat().st_size for p in Path(catalog.path).rglob("*.*") if p.is_file()
    )
    json.dumps(told)


def test_samples_and_faces_of_all_videos_are_one_table_each(catalog: Catalog) -> None:
    samples, faces = catalog.samples(), catalog.faces()
    assert samples.column_names == ["video_id", *SAMPLES.names]
    assert len(samples) == 120
    assert samples["status"].to_pylist().count("undecodable") == 1
    assert faces.column_names == ["video_id", *FACES.names, "embedding"]
    assert len(faces) == 25
    assert len(set(faces["video_id"].to_pylist())) == 2
    assert catalog.tracks().column_names[:2] == ["video_id", "track_id"]
    assert len(catalog.videos()) == 3


def test_tables_of_a_catalog_without_videos_are_empty_and_have_their_columns(
    tmp_path: Path,
) -> None:
    lake = new_lake(tmp_path / "tv")
    catalog = Catalog(lake.root)
    assert catalog.samples().column_names == ["video_id", *SAMPLES.names]
    assert catalog.faces().column_names == ["video_id", *FACES.names, "embedding"]
    assert [len(table) for table in (catalog.samples(), catalog.faces(), catalog.tracks())] == [
        0, 0, 0,
    ]  # fmt: skip
    assert len(catalog.videos()) == 0
    assert catalog.info()["n_videos"] == 0


def test_with_two_models_the_tables_are_those_of_the_videos(catalog: Catalog, lake: Lake) -> None:
    add_space(lake, OTHER_SPACE)
    assert len(catalog.faces()) == 25
    assert len(catalog.gallery()) == 3
    assert len(catalog.faces(OTHER_SPACE)) == 0


# Asking -----------------------------------------------------------------------------------------


def test_a_gallery_says_who_is_in_it(catalog: Catalog) -> None:
    gallery = catalog.gallery()
    assert gallery.identities == ("Ann", "Bob")
    assert len(gallery) == 3
    assert repr(gallery) == "Gallery of 2 identities, 3 exemplars: Ann (2), Bob (1)"


def test_an_empty_gallery_says_so_and_nothing_can_be_asked_of_it(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "one", {0: [alike(p0=0.6)]})
    catalog = Catalog(lake.root)
    assert repr(catalog.gallery()) == "Gallery of 0 identities, 0 exemplars"
    with pytest.raises(GalleryError, match="nobody is enrolled in this catalog"):
        catalog.match()


def test_scores_are_asked_again_and_again_without_matching(catalog: Catalog) -> None:
    scores = catalog.match()
    assert isinstance(scores, Scores)
    of = f"{SPACE}, gallery {catalog.gallery().version}"
    assert repr(scores) == f"Scores of 25 faces with 2 identities ({of})"
    assert [len(scores.spans(threshold)) for threshold in (0.3, 0.55, 0.9)] == [3, 1, 0]


def test_scores_from_a_least_one_on_answer_thresholds_from_there_on(catalog: Catalog) -> None:
    every, some = catalog.match(), catalog.match(min_score=0.55)
    assert len(some) < len(every)
    assert some.spans(0.55).table.equals(every.spans(0.55).table)
    assert some.spans(0.6, exit_threshold=0.55).table.equals(
        every.spans(0.6, exit_threshold=0.55).table
    )
    assert "from 0.55 on" in repr(some)
    with pytest.raises(
        ValueError, match=r"were kept from 0\.55 on.*match again with min_score=0\.4"
    ):
        some.spans(0.6, exit_threshold=0.4)


def test_workers_of_a_running_scheduler_may_compare(catalog: Catalog) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        for min_score in (None, 0.5):
            scores = catalog.match(min_score=min_score, scheduler=address)
            assert scores.table.equals(catalog.match(min_score=min_score).table)


def test_a_gpu_that_is_not_there_is_not_quietly_done_without(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(EngineError, match="CuPy is not installed"):
        catalog.match(min_score=0.5, device="cuda")
    with pytest.raises(ValueError, match=r"device='cuda'.*no min_score is given"):
        catalog.match(device="cuda")


def test_a_part_of_the_gallery_can_be_asked_for(catalog: Catalog) -> None:
    gallery = catalog.gallery()
    only = gallery.table.filter(
        pa.array([name == "Bob" for name in gallery.table["identity"].to_pylist()])
    )
    assert catalog.match(Gallery(only)).identities == ("Bob",)


def test_one_or_some_identities_can_be_asked_for(catalog: Catalog) -> None:
    scores = catalog.match()
    assert set(scores.spans(0.3, identities="Ann").table["identity"].to_pylist()) == {"Ann"}
    both = scores.spans(0.3, identities=["Bob", "Ann"])
    assert both.table.equals(scores.spans(0.3).table)


def test_an_unknown_identity_is_refused_with_the_nearest_name(catalog: Catalog) -> None:
    with pytest.raises(GalleryError, match="'bob' is not; did you mean 'Bob'"):
        catalog.match().spans(0.3, identities="bob")


def test_a_name_is_found_whichever_way_its_accents_are_typed(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "one", {0: [alike(p0=0.6)]})
    plant_gallery(lake, {"Zo\u00eb": [axis(0)]})
    assert len(Catalog(lake.root).match().spans(0.3, identities="Zoe\u0308")) == 1


@pytest.mark.parametrize("threshold", [1.01, -1.01, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(catalog: Catalog, threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold must lie in \[-1, 1\]"):
        catalog.match().spans(threshold)


# Spans ------------------------------------------------------------------------------------------


@pytest.fixture
def spans(catalog: Catalog) -> Spans:
    return catalog.match().spans(threshold=0.3)


def test_spans_say_how_many_they_are_in_words(catalog: Catalog, spans: Spans) -> None:
    # Bob 0–4.04 s in one video, Ann and Bob 10–19.04 s in the other.
    of = f", gallery {catalog.gallery().version}"
    assert repr(spans) == f"3 spans of 2 identities in 2 videos, 0:22 in all, at threshold 0.3{of}"
    one = catalog.match().spans(0.55)
    assert repr(one) == f"1 span of 1 identity in 1 video, 0:09 in all, at threshold 0.55{of}"
    assert repr(catalog.match().spans(0.9)) == "no spans at threshold 0.9"
    assert spans.table.schema.equals(SPANS)
    assert spans.settings.threshold == 0.3


def test_spans_as_csv_are_what_they_are_as_a_table(spans: Spans, tmp_path: Path) -> None:
    path = spans.to_csv(tmp_path / "new" / "spans.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == SPANS.names
    for row, meant in zip(rows, spans.table.to_pylist(), strict=True):
        assert row["identity"] == meant["identity"]
        assert float(row["start_s"]) == meant["start_s"]
        assert float(row["end_s"]) == meant["end_s"]
        assert np.float32(row["score_max"]) == np.float32(meant["score_max"])
        assert row["start_after_s"] == ("" if meant["start_after_s"] is None else
                                        f"{meant['start_after_s']:g}")  # fmt: skip


def test_spans_show_themselves_in_a_notebook(spans: Spans) -> None:
    pytest.importorskip("pandas")
    html = spans._repr_html_()
    assert repr(spans) in html
    assert html.count("<tr") == 1 + len(spans)
    assert list(spans.to_pandas().columns) == SPANS.names


# Files ------------------------------------------------------------------------------------------

TABLE = pa.table(
    {
        "identity": ['Zoë, "the" O\'Neil', "line\nbreak", "日本"],
        "score": pa.array([0.7, None, -1.0], pa.float32()),
        "time_s": [1.7, 0.1 + 0.2, None],
        "n": [1, 2, 3],
    }
)


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_written_as_csv_json_or_parquet_reads_back_the_same(tmp_path: Path) -> None:
    for kind in ("csv", "json", "parquet"):
        write_tabular(TABLE, tmp_path / "deep" / f"table.{kind}", kind)
    assert pq.read_table(tmp_path / "deep" / "table.parquet").equals(TABLE)
    assert json.loads((tmp_path / "deep" / "table.json").read_text("utf-8")) == [
        {"identity": 'Zoë, "the" O\'Neil', "score": 0.7, "time_s": 1.7, "n": 1},
        {"identity": "line\nbreak", "score": None, "time_s": 0.1 + 0.2, "n": 2},
        {"identity": "日本", "score": -1.0, "time_s": None, "n": 3},
    ]
    rows = read_csv(tmp_path / "deep" / "table.csv")
    assert [row["identity"] for row in rows] == TABLE["identity"].to_pylist()
    assert [row["score"] for row in rows] == ["0.7", "", "-1"]
    assert float(rows[1]["time_s"]) == 0.1 + 0.2
    assert len(list((tmp_path / "deep").iterdir())) == 3


def test_an_empty_table_is_an_empty_list_and_a_header(tmp_path: Path) -> None:
    assert json.loads(to_json(SPANS.empty_table())) == []
    write_tabular(SPANS.empty_table(), tmp_path / "spans.csv", "csv")
    (header,) = csv.reader((tmp_path / "spans.csv").read_text().splitlines())
    assert header == SPANS.names


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.csv"
    path.write_text("before")

    def torn(_table: pa.Table, part: Path) -> None:
        Path(part).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facelake.tabular.csv.write_csv", torn)
    with pytest.raises(OSError, match="No space"):
        write_tabular(TABLE, path, "csv")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_folder_or_a_device_is_not_replaced_by_a_file(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ExportError, match="must be written to a file, but this is none"):
        write_tabular(TABLE, tmp_path, kind)
    device = Path("/dev/null")
    if device.exists():
        with pytest.raises(ExportError, match="must be written to a file"):
            write_tabular(TABLE, device, kind)
        assert not device.is_file()
