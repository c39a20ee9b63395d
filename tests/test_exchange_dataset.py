"""Catalogs as Parquet data sets: what is in them, and that they are there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import (
    DIM,
    OTHER_SPACE,
    SPACE,
    add_space,
    alike,
    axis,
    new_lake,
    plant_gallery,
    plant_video,
)

import facelake.exchange.dataset as dataset_module
from facelake.catalog import Catalog
from facelake.cli import main
from facelake.errors import CatalogError, ExportError
from facelake.exchange.meanings import ADDED, MEANINGS
from facelake.exchange.parquet import EmbeddingKind, TableWriter, to_embedding_kind
from facelake.exchange.place import replacing_folder
from facelake.schema import FACES, pack_embeddings, with_embedding
from facelake.tracks import stand_in_rows

ANN, BOB = alike(p0=0.6), alike(p1=0.5)


def plant(root: Path) -> Catalog:
    """Ann in 10 instants and Bob in 5 of a video, Bob in 3 of another, and a video that failed."""
    lake = new_lake(root)
    nobody: dict[int, Any] = {pts: [] for pts in range(0, 20_000, 1000)}
    both = {pts: [ANN, BOB] for pts in range(0, 5000, 1000)}
    ann = {pts: [ANN] for pts in range(5000, 10_000, 1000)}
    plant_video(lake, "00123", nobody | both | ann | {19_000: None})
    plant_video(lake, "evening", nobody | {pts: [BOB] for pts in range(0, 3000, 1000)})
    plant_video(lake, "torn", {})
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1), axis(1)]})
    catalog = Catalog(root)
    catalog.label(catalog.faces()["face_id"][0].as_py(), "Ann")
    return catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog that is only read."""
    return plant(tmp_path_factory.mktemp("catalogs") / "tv")


def export(catalog: Catalog, to: Path, **options: Any) -> Path:
    catalog.export(to, progress=False, **options)
    return to


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


# What is in it ----------------------------------------------------------------------------------


def test_a_folder_holds_every_table_and_says_what_it_is(catalog: Catalog, tmp_path: Path) -> None:
    to = tmp_path / "outputs" / "tv"
    report = catalog.export(to, progress=False)
    assert report.rows == {
        "videos": 3, "samples": 40, "faces": 18, "tracks": 0, "gallery": 3, "labels": 1,
    }  # fmt: skip
    assert report.n_files == 6
    assert report.n_bytes == sum(file.stat().st_size for file in to.rglob("*.parquet"))
    assert sorted(path.name for path in to.iterdir()) == [
        "README.md", "faces", "gallery", "labels", "samples", "schema.json", "tracks", "videos",
    ]  # fmt: skip
    assert str(report).startswith(f"{to}: rows of videos 3, samples 40, faces 18, tracks 0")
    assert {name: len(pq.read_table(to / name)) for name in report.rows} == report.rows


def test_every_row_says_which_video_it_is_of_and_where_that_lies(
    catalog: Catalog, tmp_path: Path
) -> None:
    to = export(catalog, tmp_path / "tv")
    paths = {row["video_id"]: row["path"] for row in pq.read_table(to / "videos").to_pylist()}
    assert {Path(path).stem for path in paths.values()} == {"00123", "evening", "torn"}
    for name in ("samples", "faces"):
        rows = pq.read_table(to / name, columns=["video_id", "path"]).to_pylist()
        assert all(paths[row["video_id"]] == row["path"] for row in rows)
    assert set(pq.read_table(to / "faces")["space"].to_pylist()) == {SPACE}


def test_embeddings_are_the_catalogs_numbers_as_lists(catalog: Catalog, tmp_path: Path) -> None:
    faces = pq.read_table(export(catalog, tmp_path / "faces.parquet"))
    assert faces.schema.field("embedding").type == pa.list_(pa.float32())
    assert faces.schema.field("embedding").metadata[b"space"].decode() == SPACE
    vectors = np.array(faces["embedding"].to_pylist())
    assert vectors.shape == (18, DIM)
    # Float16 halves of what was planted: 0.6 is 0.60009765625 there.
    assert {float(v) for v in vectors[:, 0]} == {0.0, 0.60009765625}


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("list-f32", pa.list_(pa.float32())),
        ("list-f16", pa.list_(pa.float16())),
        ("binary", pa.binary(2 * DIM)),
        ("none", None),
    ],
)
def test_each_kind_of_embedding_is_what_it_says(
    catalog: Catalog, tmp_path: Path, kind: EmbeddingKind, kept: pa.DataType | None
) -> None:
    schema = pq.read_schema(export(catalog, tmp_path / "f.parquet", embeddings=kind))
    assert ("embedding" in schema.names) == (kept is not None)
    if kept is not None:
        assert schema.field("embedding").type == kept
    assert schema.names[:3] == ["video_id", "path", "space"]


@given(st.lists(st.one_of(st.none(), st.integers(0, DIM - 1)), max_size=20))
def test_vectors_survive_every_kind_and_faces_without_one_stay_without(
    axes: list[int | None],
) -> None:
    vectors = np.array(
        [np.full(DIM, np.nan) if one is None else axis(one) for one in axes], np.float32
    ).reshape(-1, DIM)
    table = pa.table(
        [pack_embeddings(vectors)],
        schema=pa.schema([with_embedding(pa.schema([]), SPACE, DIM).field(0)]),
    )
    meant = [None if one is None else axis(one).tolist() for one in axes]
    for kind in ("list-f32", "list-f16"):
        assert to_embedding_kind(table, kind)["embedding"].to_pylist() == meant
    assert to_embedding_kind(table, "binary").equals(table)


def test_a_face_without_an_embedding_names_one_of_this_table_that_has_one(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    # The first was taken by another run, and names the second, which names the third.
    faces = face_table(["a", "b", "c", "d"], ["b", "c", None, "gone"], [False, False, True, False])
    assert stand_in_rows(faces).tolist() == [2, 2, 2, -1]
    video_id = plant_video(lake, "film", {0: [ANN]})
    row = lake.run_row(video_id, "run")
    lake.publish(row, lake.samples(video_id, SPACE), faces, lake.tracks(video_id, SPACE))
    told = pq.read_table(export(Catalog(lake.root), tmp_path / "f.parquet")).to_pylist()
    assert {row["face_id"]: row["embedded_face_id"] for row in told} == {
        "a": "c", "b": "c", "c": None, "d": None,
    }  # fmt: skip
    assert [row["embedding"] is None for row in told] == [True, True, False, True]


def face_table(ids: list[str], named: list[str | None], embedded: list[bool]) -> pa.Table:
    rows = [
        {
            "face_id": face_id, "pts": 0, "time_s": 0.0, "bbox_xyxy": [0.0, 0.0, 9.0, 9.0],
            "det_score": 0.9, "landmarks": [0.0] * 10, "align_rms": 1.0, "sharpness": 1.0,
            "quality": 0.5, "track_id": 0, "embedded_face_id": name,
        }
        for face_id, name in zip(ids, named, strict=True)
    ]  # fmt: skip
    vectors = [ANN if own else np.full(DIM, np.nan, np.float32) for own in embedded]
    table = pa.Table.from_pylist(rows, FACES)
    packed = pack_embeddings(np.array(vectors, np.float32))
    return pa.table([*table.columns, packed], schema=with_embedding(FACES, SPACE, DIM))


def test_what_two_runs_saw_twice_appears_once(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    sparse = {pts: [ANN] for pts in range(0, 4000, 1000)}
    dense = {pts: [ANN] for pts in range(0, 4000, 500)}
    plant_video(lake, "film", sparse, run="sparse")
    plant_video(lake, "film", dense, run="dense")
    report = Catalog(lake.root).export(tmp_path / "out", progress=False)
    assert (report.rows["videos"], report.rows["samples"], report.rows["faces"]) == (1, 8, 8)


def test_a_catalog_without_videos_is_tables_without_rows(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    report = Catalog(lake.root).export(tmp_path / "out", progress=False)
    assert set(report.rows.values()) == {0}
    assert "embedding" in pq.read_table(tmp_path / "out" / "faces").column_names


def test_only_the_tables_and_videos_that_were_asked_for_are_written(
    catalog: Catalog, tmp_path: Path
) -> None:
    to = export(catalog, tmp_path / "tv", tables=["samples", "videos"], videos=["evening.mp4"])
    assert sorted(path.name for path in to.iterdir() if path.is_dir()) == ["samples", "videos"]
    assert len(pq.read_table(to / "videos")) == 1
    assert len(pq.read_table(to / "samples")) == 20


def test_faces_of_two_models_are_exported_one_at_a_time(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "film", {0: [ANN]})
    add_space(lake, OTHER_SPACE)
    plant_video(lake, "film", {0: [BOB, BOB]}, space=OTHER_SPACE, run="other")
    catalog = Catalog(lake.root)
    with pytest.raises(CatalogError, match="name one space with --space"):
        catalog.export(tmp_path / "out", progress=False)
    faces = pq.read_table(export(catalog, tmp_path / "f.parquet", space=OTHER_SPACE))
    assert faces["space"].to_pylist() == [OTHER_SPACE] * 2


# What it says of itself -------------------------------------------------------------------------


def test_schema_and_readme_name_every_column_with_its_meaning(
    catalog: Catalog, tmp_path: Path
) -> None:
    to = export(catalog, tmp_path / "tv")
    told = json.loads((to / "schema.json").read_text())
    readme = (to / "README.md").read_text()
    assert told["space"]["name"] == SPACE
    assert told["space"]["licence"] == "none"
    assert "Licence of the model: none" in readme
    for name, table in told["tables"].items():
        written = pq.read_table(to / name)
        assert [column["name"] for column in table["columns"]] == written.column_names
        assert table["n_rows"] == len(written)
        assert [column["name"] for column in table["columns"] if not column["meaning"]] == []
        assert all(f"| `{column}` |" in readme for column in written.column_names)


def test_the_meanings_are_those_of_the_catalog_page(root: Path) -> None:
    page = (root / "docs" / "catalog.md").read_text().replace("`", "")
    for table, columns in MEANINGS.items():
        section = page.split(f"\n## {table}\n")[1].split("\n## ")[0]
        for column, meaning in columns.items():
            assert f"| {column} |" in section, f"{table}.{column}"
            assert f"| {meaning} |" in section, f"{table}.{column}"
    assert "embedding" in ADDED


def test_a_file_says_in_its_metadata_whose_embeddings_it_holds(
    catalog: Catalog, tmp_path: Path
) -> None:
    schema = pq.read_schema(export(catalog, tmp_path / "f.parquet"))
    told = json.loads(schema.metadata[b"facelake"])
    assert (told["table"], told["space"], told["licence"]) == ("faces", SPACE, "none")


# Files ------------------------------------------------------------------------------------------


def test_files_are_cut_at_a_size_and_hold_all_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facelake.exchange.parquet._GROUP_BYTES", 8000)
    numbers = np.random.default_rng(0).integers(2**62, size=20_000)
    schema = pa.schema([("n", pa.int64())])
    paths = (tmp_path / f"part-{n}.parquet" for n in range(1000))
    with TableWriter(paths, schema, file_bytes=20_000) as writer:
        for begin in range(0, 20_000, 500):
            writer.add(pa.table({"n": numbers[begin : begin + 500]}))
    files = sorted(tmp_path.iterdir(), key=lambda path: int(path.stem[5:]))
    assert len(files) > 2
    assert all(20_000 <= file.stat().st_size < 40_000 for file in files[:-1])
    read = np.concatenate([pq.read_table(file)["n"].to_numpy() for file in files])
    assert np.array_equal(read, numbers)
    assert writer.n_rows == 20_000


def test_lists_of_float32_take_less_than_the_float16_bytes(tmp_path: Path) -> None:
    # Random directions are the worst case.
    vectors = np.random.default_rng(0).normal(size=(2000, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = pa.table([pack_embeddings(vectors)], schema=with_embedding(pa.schema([]), SPACE, 512))
    lists = to_embedding_kind(table, "list-f32")
    path = tmp_path / "vectors.parquet"
    with TableWriter(iter([path]), lists.schema) as writer:
        writer.add(lists)
    assert path.stat().st_size < 2000 * 1024
    read = np.array(pq.read_table(path)["embedding"].to_pylist(), np.float32)
    assert np.array_equal(read, vectors.astype(np.float16))


def fail(*_args: Any, **_options: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("point", ["faces", "README.md", "rename"])
@pytest.mark.parametrize("there", [False, True])
def test_an_export_that_fails_leaves_what_was_there(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, there: bool
) -> None:
    to = tmp_path / "tv"
    if there:
        export(catalog, to, tables=["videos"])
    before = everything(tmp_path)
    if point == "faces":
        monkeypatch.setattr(TableWriter, "_write_group", fail)
    elif point == "README.md":
        monkeypatch.setattr(dataset_module, "to_readme", fail)
    else:
        original = Path.rename

        def rename(path: Path, target: Path) -> Path:
            if path.suffix == ".part":
                fail()
            return original(path, target)

        monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="No space"):
        catalog.export(to, overwrite=True, progress=False)
    assert everything(tmp_path) == before
    assert to.exists() == there
    assert [path for path in tmp_path.iterdir() if path != to] == []


def test_a_file_that_fails_leaves_what_was_there(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = export(catalog, tmp_path / "faces.parquet")
    before = everything(tmp_path)
    monkeypatch.setattr(TableWriter, "_write_group", fail)
    with pytest.raises(OSError, match="No space"):
        catalog.export(to, overwrite=True, progress=False)
    assert everything(tmp_path) == before


def test_an_export_is_replaced_as_a_whole_and_only_when_asked(
    catalog: Catalog, tmp_path: Path
) -> None:
    to = export(catalog, tmp_path / "tv")
    with pytest.raises(ExportError, match=r"is there already.*--overwrite"):
        catalog.export(to, progress=False)
    export(catalog, to, tables=["videos"], overwrite=True)
    assert sorted(path.name for path in to.iterdir()) == ["README.md", "schema.json", "videos"]
    assert list(tmp_path.iterdir()) == [to]


@pytest.mark.parametrize("name", ["documents", "letter.parquet", "set.parquet"])
def test_what_is_no_export_is_never_replaced(catalog: Catalog, tmp_path: Path, name: str) -> None:
    to = tmp_path / name
    if name == "letter.parquet":
        to.write_text("Dear Ann")
    else:
        to.mkdir()
        (to / "letter.txt").write_text("Dear Ann")
    before = everything(tmp_path)
    with pytest.raises(ExportError, match="only an earlier export of this kind may be replaced"):
        catalog.export(to, overwrite=True, progress=False)
    assert everything(tmp_path) == before


def test_an_empty_folder_is_filled(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "tv").mkdir()
    assert (export(catalog, tmp_path / "tv") / "README.md").is_file()


@pytest.mark.parametrize(
    "place",
    [
        lambda path: path,
        lambda path: path / "out",
        lambda path: path.parent,
        lambda path: "s3://b/c",
    ],
    ids=["the catalog", "in it", "around it", "a URL"],
)
def test_an_export_keeps_away_from_the_catalog(
    catalog: Catalog, place: Callable[[Path], Path | str]
) -> None:
    assert isinstance(catalog.path, Path)
    before = everything(catalog.path)
    with pytest.raises(ExportError, match="an export must"):
        catalog.export(place(catalog.path), overwrite=True, progress=False)
    assert everything(catalog.path) == before


def test_a_link_to_a_folder_in_the_catalog_leads_not_in(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(catalog.path)
    with pytest.raises(ExportError, match="must lie outside the catalog"):
        catalog.export(tmp_path / "link" / "out", progress=False)


def test_a_folder_that_is_interrupted_is_not_there(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing_folder(tmp_path / "new") as draft:
            (draft / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tables": ["faces", "clips"]}, "tables must be some of videos.*but are clips"),
        ({"tables": []}, "but are none"),
        ({"embeddings": "f64"}, "embeddings must be one of list-f32.*but is 'f64'"),
    ],
)
def test_what_there_is_not_is_refused(
    catalog: Catalog, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        catalog.export(tmp_path / "tv", progress=False, **options)
    assert list(tmp_path.iterdir()) == []


def test_one_file_holds_one_table(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one file holds one table, but videos, faces"):
        catalog.export(tmp_path / "f.parquet", tables=["faces", "videos"], progress=False)
    assert len(pq.read_table(export(catalog, tmp_path / "v.parquet", tables=["videos"]))) == 3


def test_a_video_that_is_not_there_is_refused_with_the_nearest_name(
    catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(CatalogError, match=r"evenin.mp4.*did you mean evening.mp4"):
        catalog.export(tmp_path / "tv", videos=["evenin.mp4"], progress=False)


def test_a_name_that_two_videos_share_is_refused(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    ids = [plant_video(lake, name, {0: []}, paths=[f"/{name}/film.mp4"]) for name in ("a", "b")]
    with pytest.raises(CatalogError, match=f"several videos have this name.*{ids[0]}, {ids[1]}"):
        Catalog(lake.root).export(tmp_path / "out", videos=["film.mp4"], progress=False)
    report = Catalog(lake.root).export(tmp_path / "out", videos=["/b/film.mp4"], progress=False)
    assert report.rows["videos"] == 1


# The command ------------------------------------------------------------------------------------


def test_the_command_writes_and_says_what_it_wrote(catalog: Catalog, tmp_path: Path) -> None:
    to = tmp_path / "tv"
    done = run("export", "-c", catalog.path, "--to", to, "--tables", "faces, videos", "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{to}: rows of videos 3, faces 18; 2 files, ")
    again = run("export", "-c", catalog.path, "--to", to)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_the_command_refuses_a_table_that_there_is_not_as_wrong_usage(
    catalog: Catalog, tmp_path: Path
) -> None:
    done = run("export", "-c", catalog.path, "--to", tmp_path / "tv", "--tables", "people")
    assert done.exit_code == 2
    assert "but are people" in done.stderr


# Laws -------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.integers(0, 30), st.integers(0, 3), min_size=1, max_size=8),
        min_size=0, max_size=3,
    )
)  # fmt: skip
def test_an_export_holds_just_the_rows_that_the_catalog_shows(
    tmp_path_factory: pytest.TempPathFactory, videos: list[dict[int, int]]
) -> None:
    work = tmp_path_factory.mktemp("law")
    lake = new_lake(work / "tv")
    for number, looks in enumerate(videos):
        plant_video(lake, f"v{number}", {pts: [ANN] * n for pts, n in looks.items()})
    catalog = Catalog(lake.root)
    to = export(catalog, work / "out", embeddings="binary")
    for name, shown in (("faces", catalog.faces()), ("samples", catalog.samples())):
        written = pq.read_table(to / name).select(shown.column_names)
        assert written.replace_schema_metadata().cast(shown.schema).equals(shown)
