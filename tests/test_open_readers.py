"""Other people's readers over an exported data set, and over the catalog itself."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from planted import DIM, SPACE, Vector, alike, axis, new_lake, plant_gallery, plant_video

from facelake.catalog import Catalog
from facelake.errors import ExportError
from facelake.exchange import open_frame
from facelake.schema import unpack_embeddings

NUMBERED = "00123"  # what Hive inference takes for a number


def at(start_s: int, end_s: int, *faces: Vector) -> dict[int, Any]:
    """These faces once a second."""
    return {1000 * second: list(faces) for second in range(start_s, end_s)}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of 100 s; Ann at 0–9 s and 70–79 s of one, with Bob at 5–14 s; empty the other."""
    work = tmp_path_factory.mktemp("work")
    lake = new_lake(work / "catalogs" / "tv")
    nobody: dict[int, Any] = {pts: [] for pts in range(0, 100_000, 1000)}
    ann, bob = alike(p0=0.7), alike(p1=0.6)
    both = nobody | at(0, 5, ann) | at(5, 10, ann, bob) | at(10, 15, bob) | at(70, 80, ann)
    plant_video(lake, "film", both, video_id=NUMBERED)
    plant_video(lake, "film", {pts: [ann] for pts in range(0, 5000, 1000)}, video_id=NUMBERED,
                run="sparse")  # fmt: skip
    strangers = np.random.default_rng(0).normal(size=(25, DIM)).astype(np.float32)
    strangers[:, :2] = 0.0  # neither Ann nor Bob
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    crowd = {90_000 + 10 * number: [vector] for number, vector in enumerate(strangers)}
    plant_video(lake, "crowd", nobody | crowd | {99_500: None})
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)]})
    catalog = Catalog(lake.root)
    catalog.export(work / "outputs" / "tv", progress=False)
    catalog.export(work / "outputs" / "f16", embeddings="list-f16", progress=False)
    return work


@pytest.fixture
def catalog(work: Path) -> Catalog:
    return Catalog(work / "catalogs" / "tv")


@pytest.fixture
def faces(work: Path) -> Path:
    return work / "outputs" / "tv" / "faces"


N_FACES = 5 + 10 + 5 + 10 + 25  # the sparse run saw nothing that the other did not


def sql(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return rows


# The exported set -------------------------------------------------------------------------------


def test_pyarrow_opens_it_as_a_dataset(faces: Path, catalog: Catalog) -> None:
    found = ds.dataset(faces)
    assert found.count_rows() == N_FACES
    late = found.to_table(["face_id"], filter=ds.field("time_s") >= 70)
    assert len(late) == 10 + 25
    shown = catalog.faces()
    assert found.to_table()["face_id"].to_pylist() == shown["face_id"].to_pylist()


def test_pandas_opens_it(faces: Path) -> None:
    table = pd.read_parquet(faces)
    assert len(table) == N_FACES
    assert set(table["video_id"]) >= {NUMBERED}
    assert np.stack(table["embedding"].tolist()).shape == (N_FACES, DIM)


@pytest.mark.parametrize("kind", ["tv", "f16"])
def test_duckdbs_cosine_is_that_of_numpy(work: Path, catalog: Catalog, kind: str) -> None:
    files = work / "outputs" / kind / "faces" / "*.parquet"
    rows = sql(
        f"SELECT a.face_id, b.face_id, array_cosine_similarity(a.embedding::FLOAT[{DIM}], "
        f"b.embedding::FLOAT[{DIM}]) FROM '{files}' a, '{files}' b"
    )
    shown = catalog.faces()
    vectors = unpack_embeddings(shown["embedding"]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    place = {face_id: row for row, face_id in enumerate(shown["face_id"].to_pylist())}
    one, other = (np.array([place[row[side]] for row in rows]) for side in (0, 1))
    cosine = np.einsum("nd,nd->n", vectors[one], vectors[other])
    assert len(rows) == N_FACES**2
    np.testing.assert_allclose([row[2] for row in rows], cosine, atol=1e-6)


def test_polars_opens_it_lazily(faces: Path) -> None:
    counted = (
        pl.scan_parquet(faces / "*.parquet").group_by("video_id").agg(pl.len().alias("n")).collect()
    )
    assert dict(counted.iter_rows())[NUMBERED] == 30
    table = pl.read_parquet(faces)
    vectors = np.stack(table["embedding"].to_list())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
    assert table.schema["embedding"] == pl.List(pl.Float32)


# The catalog itself -----------------------------------------------------------------------------


def test_duckdb_opens_the_catalog_and_names_of_videos_stay_text(catalog: Catalog) -> None:
    rows = sql(
        f"SELECT video_id, typeof(video_id), count(*) "
        f"FROM read_parquet('{catalog.path}/faces/**/*.parquet', hive_partitioning = true, "
        "hive_types = {'video_id': VARCHAR, 'space': VARCHAR}) GROUP BY ALL ORDER BY video_id"
    )
    assert rows[0] == (NUMBERED, "VARCHAR", 30 + 5)  # both runs: the files are read as they lie
    assert {row[1] for row in rows} == {"VARCHAR"}


def test_dask_opens_the_catalog_lazily_and_goes_by_which_rows_count(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = catalog.to_dask("faces")
    assert faces.npartitions == 2
    n_faces = faces.groupby("video_id").size().compute().to_dict()
    assert n_faces[NUMBERED] == 30
    assert sum(n_faces.values()) == N_FACES
    whole = faces.compute()
    shown = catalog.faces().to_pandas()
    assert whole["face_id"].tolist() == shown["face_id"].tolist()
    assert whole["time_s"].tolist() == shown["time_s"].tolist()
    vectors = unpack_embeddings(catalog.faces()["embedding"]).astype(np.float32)
    assert np.array_equal(np.stack(whole["embedding"].tolist()), vectors)


@pytest.mark.parametrize("table", ["samples", "faces", "tracks"])
def test_a_frame_has_the_columns_and_types_that_it_promises(catalog: Catalog, table: Any) -> None:
    frame = catalog.to_dask(table)
    computed = frame.compute()
    assert list(computed.columns) == list(frame.columns)
    assert computed.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
    assert len(computed) == len(getattr(catalog, table)())


def test_a_frame_reads_only_the_columns_that_are_used(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    import facelake.lake

    read = facelake.lake.Lake.faces

    def noted(lake: Any, video_id: str, space: str, columns: Any = None) -> Any:
        asked.append(columns)
        return read(lake, video_id, space, columns)

    monkeypatch.setattr(facelake.lake.Lake, "faces", noted)
    frame = catalog.to_dask("faces")
    assert asked == []
    frame["quality"].mean().compute(scheduler="synchronous")
    assert asked == [["quality"], ["quality"]]


def test_a_frame_is_read_where_the_worker_runs(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    frame = Catalog(Path("catalogs/tv")).to_dask("samples")
    monkeypatch.chdir(tmp_path)
    assert len(pickle.loads(pickle.dumps(frame)).compute()) == 100 + 125


def test_a_catalog_without_videos_is_an_empty_frame(tmp_path: Path) -> None:
    frame = Catalog(new_lake(tmp_path / "tv").root).to_dask("faces")
    assert len(frame.compute()) == 0
    assert "embedding" in frame.columns


def test_a_table_that_is_no_frame_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="table must be samples, faces or tracks, but is 'clips'"):
        catalog.to_dask("clips")  # type: ignore[arg-type]


def test_without_pandas_a_frame_is_refused_with_what_to_install(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dask.dataframe", None)
    with pytest.raises(ExportError, match=r"needs pandas.*pip install 'dask\[dataframe\]'"):
        open_frame(catalog._lake(), "faces", space=SPACE)


# The page ---------------------------------------------------------------------------------------


def page_sql(root: Path) -> list[str]:
    text = (root / "docs" / "open-tables.md").read_text()
    return re.findall(r"^```sql\n(.*?)^```$", text, flags=re.M | re.S)


def test_the_sql_of_the_page_answers_what_it_says(
    root: Path, work: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    catalog.match().spans(threshold=0.3).to_csv(work / "outputs" / "spans.csv")
    sql("COPY (FROM 'outputs/spans.csv') TO 'outputs/spans.parquet'")
    of_film = catalog.faces().filter(pc.field("video_id") == NUMBERED)
    bob = of_film.filter(pc.field("time_s") >= 10)["face_id"][0].as_py()
    minutes, nearest, examined, together, in_place = (
        sql(query.replace("FLOAT[512]", f"FLOAT[{DIM}]").replace("8b3c3802fd18840c", bob))
        for query in page_sql(root)
    )
    assert minutes == [("/archive/crowd.mp4", 1, 25), ("/archive/film.mp4", 0, 20),
                       ("/archive/film.mp4", 1, 10)]  # fmt: skip
    assert len(nearest) == 20
    assert {row[1] for row in nearest[:10]} == set(range(5, 15))  # Bob's other faces
    assert nearest[0][3] == pytest.approx(1.0)
    assert [row[3] for row in nearest] == sorted((row[3] for row in nearest), reverse=True)
    # Film: 25 of its 100 seconds have a face, 5 of them two; crowd: the first face is at 90 s.
    assert examined == [("/archive/crowd.mp4", 124, 99), ("/archive/film.mp4", 100, 75)]
    ((one, other, seconds),) = together
    assert (one, other) == ("Ann", "Bob")
    assert seconds == pytest.approx(9.04 - 5)
    assert dict(in_place)[NUMBERED] == 35
