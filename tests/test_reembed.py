"""What a video's chips become in another model's space is what the video would have become."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner, Result
from planted import axis, new_lake, plant_video

from facelake import reembed as reembed_module
from facelake.catalog import Catalog, open_catalog
from facelake.cli import main
from facelake.errors import CatalogError, GalleryError, PackError
from facelake.faces import find_pack
from facelake.faces.pack import file_sha256
from facelake.ingest import ingest_videos
from facelake.lake import Lake
from facelake.lake.layout import CHIPS_FOLDER, part_of
from facelake.reembed import ReembedReport, reembed_videos
from facelake.schema import FACES, TRACKS, IngestSettings, unpack_embeddings
from facelake.testing.cases import make_case
from facelake.testing.fakepack import COLOURS, FakeArchive, write_fake_archive, write_fake_pack

pytestmark = pytest.mark.models

SETTINGS = IngestSettings(sample_fps=5.0, det_size=320, chips=True)
PLAIN = IngestSettings(sample_fps=5.0, det_size=320)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, pack: Path) -> Path:
    """A pack with another model, whose every embedding is the negative of the first's."""
    folder = tmp_path_factory.mktemp("other") / "pack"
    shutil.copytree(pack, folder)
    told = json.loads((folder / "manifest.json").read_text())
    model = onnx.load(folder / told["embedder"]["file"])
    model.graph.node[-1].output[0] = "positive"
    model.graph.node.append(onnx.helper.make_node("Neg", ["positive"], ["embedding"]))
    onnx.save(model, folder / "negative.onnx")
    told["name"] = "negative"
    told["embedder"] |= {
        "file": "negative.onnx",
        "sha256": file_sha256(folder / "negative.onnx"),
    }
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> FakeArchive:
    return write_fake_archive(tmp_path_factory.mktemp("archive"), 2)


@pytest.fixture(scope="module")
def with_chips(tmp_path_factory: pytest.TempPathFactory, archive: FakeArchive, pack: Path) -> Path:
    """A catalog with chips, of which tests take copies, and whose videos are gone."""
    folder = tmp_path_factory.mktemp("with_chips")
    shutil.copytree(archive.videos[0].parent, folder / "videos")
    ingest_videos(folder / "tv", [folder / "videos"], SETTINGS, pack=pack, workers=1)
    shutil.rmtree(folder / "videos")
    return folder / "tv"


@pytest.fixture
def catalog(tmp_path: Path, with_chips: Path) -> Catalog:
    return open_catalog(shutil.copytree(with_chips, tmp_path / "tv"))


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and opening a model is an error from then on."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("there is nothing to embed, so no model is needed")

    return lambda: monkeypatch.setattr(reembed_module, "FaceEngine", fail)


def spaces(pack: Path, other: Path) -> tuple[str, str]:
    return find_pack(pack).space, find_pack(other).space


def files(catalog: Catalog) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(catalog.path).rglob("*.parquet")}


def vectors(table: pa.Table) -> np.ndarray:
    return unpack_embeddings(table["embedding"], missing_ok=True).astype(np.float32)


def source_of(lake: Lake, video_id: str, space: str) -> dict[str, Any]:
    (run,) = lake.runs_of(video_id, space)
    return run


# What comes out ---------------------------------------------------------------------------------


def test_the_same_faces_and_tracks_are_there_with_the_other_models_embeddings(
    catalog: Catalog, pack: Path, other: Path
) -> None:
    report = catalog.reembed(other, progress=False)
    old, new = spaces(pack, other)
    lake = Lake.open(catalog.path)
    assert set(lake.spaces) == {old, new}
    n_embedded = 0
    for video_id in lake.iter_video_ids():
        samples, faces = lake.read_video(video_id, old)
        new_samples, new_faces = lake.read_video(video_id, new)
        assert new_samples.equals(samples)
        assert new_faces.select(FACES.names).equals(faces.select(FACES.names))
        before, after = vectors(faces), vectors(new_faces)
        known = ~np.isnan(before).any(axis=1)
        assert np.array_equal(known, ~np.isnan(after).any(axis=1))
        cosine = np.einsum("nd,nd->n", before[known], after[known])
        assert cosine.max() < -0.999
        tracks, new_tracks = lake.tracks(video_id, old), lake.tracks(video_id, new)
        same = [name for name in TRACKS.names if name != "cos_to_mean_min"]
        assert new_tracks.select(same).equals(tracks.select(same))
        cosine = np.einsum("nd,nd->n", vectors(tracks), vectors(new_tracks))
        assert cosine.max() < -0.999
        n_embedded += int(known.sum())
    assert (report.space, report.n_new, report.n_present) == (new, 2, 0)
    assert (report.n_without_chips, report.n_faces, report.troubles) == (0, n_embedded, ())


def test_the_row_says_what_it_was_made_from_and_of_what(
    catalog: Catalog, pack: Path, other: Path
) -> None:
    catalog.reembed(other, device="cpu", progress=False)
    old, new = spaces(pack, other)
    lake = Lake.open(catalog.path)
    for video_id in lake.iter_video_ids():
        before, after = source_of(lake, video_id, old), source_of(lake, video_id, new)
        assert json.loads(after["settings"]) == json.loads(PLAIN.to_json()) | {
            "from_chips": before["run"]
        }
        assert (after["space"], after["pack"], after["device"]) == (new, "negative", "cpu")
        assert after["provider"] == "CPUExecutionProvider"
        assert re.fullmatch("[0-9a-f]{12}", after["run"])
        assert after["created_utc"] > before["created_utc"]
        assert after["decode_s"] is after["embed_s"] is None
        same = [name for name in before if name.startswith("n_")]
        same += ["content_id", "paths", "status", "detector", "width", "duration_s", "sample_fps"]
        assert {name: after[name] for name in same} == {name: before[name] for name in same}


def test_people_are_found_in_the_new_space_where_they_were_planted(
    catalog: Catalog, archive: FakeArchive, pack: Path, other: Path
) -> None:
    _, new = spaces(pack, other)
    catalog.reembed(other, progress=False)
    catalog.enrol(archive.photos, pack=pack, progress=False)
    catalog.enrol(archive.photos, pack=other, progress=False)
    scores = catalog.match(catalog.gallery(new))
    found = scores.spans(threshold=0.8).table.to_pylist()
    told = sorted((Path(x["path"]).name, x["identity"], x["start_s"], x["end_s"]) for x in found)
    planted = sorted((x.video, x.identity, x.start_s, x.end_s) for x in archive.truth)
    assert [each[:2] for each in told] == [each[:2] for each in planted]
    np.testing.assert_allclose(
        np.array([each[2:] for each in told], float), [each[2:] for each in planted]
    )
    with pytest.raises(CatalogError, match="faces of several models; name one space with --space"):
        catalog.match()


def test_embeddings_of_two_models_are_never_compared(
    tmp_path: Path, catalog: Catalog, archive: FakeArchive, other: Path
) -> None:
    with pytest.raises(PackError, match="embeddings of two models cannot be compared"):
        catalog.enrol(archive.photos, pack=other, progress=False)
    elsewhere = open_catalog(tmp_path / "elsewhere")
    strangers = elsewhere.enrol(archive.photos, pack=other, progress=False)
    with pytest.raises(CatalogError, match="embeddings of two models cannot be compared"):
        catalog.match(strangers)
    catalog.reembed(other, progress=False)
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        catalog.match(catalog.gallery(find_pack(other).space))
    assert len(catalog.match(strangers)) > 0


def test_each_run_with_chips_becomes_one_and_what_is_looked_at_most_still_counts(
    tmp_path: Path, archive: FakeArchive, pack: Path, other: Path
) -> None:
    root = tmp_path / "tv"
    for fps in (5.0, None):
        settings = IngestSettings(sample_fps=fps, det_size=320, chips=True)
        ingest_videos(root, archive.videos[:1], settings, pack=pack, workers=1)
    report = reembed_videos(root, other)
    old, new = spaces(pack, other)
    lake = Lake.open(root)
    (video_id,) = lake.iter_video_ids()
    before, after = lake.runs_of(video_id, old), lake.runs_of(video_id, new)
    assert [run["n_samples"] for run in after] == [run["n_samples"] for run in before]
    assert [json.loads(run["settings"])["from_chips"] for run in after] == [
        run["run"] for run in before
    ]
    assert lake.samples(video_id, new).equals(lake.samples(video_id, old))
    assert report.n_new == 1
    assert report.n_faces == sum(run["n_embedded"] for run in before)


def test_a_video_without_faces_and_one_that_failed_are_there_too(
    tmp_path: Path, pack: Path, other: Path
) -> None:
    for case in ("text", "closed_gop"):
        make_case(case, tmp_path / "in")
    ingest_videos(tmp_path / "tv", [tmp_path / "in"], SETTINGS, pack=pack, workers=1)
    reembed_videos(tmp_path / "tv", other)
    old, new = spaces(pack, other)
    lake = Lake.open(tmp_path / "tv")
    columns = ["status", "n_samples", "n_faces"]
    told = [sorted(lake.runs(space).select(columns).to_pylist(), key=str) for space in (old, new)]
    assert told[0] == told[1]
    assert [(row["status"], row["n_faces"]) for row in told[1]] == [("failed", 0), ("ok", 0)]
    assert told[1][1]["n_samples"] > 0
    for video_id in lake.iter_video_ids(new):
        assert lake.samples(video_id, new).equals(lake.samples(video_id, old))


def test_a_face_without_a_chip_is_one_without_an_embedding_and_has_a_stand_in(
    catalog: Catalog, pack: Path, other: Path
) -> None:
    old, new = spaces(pack, other)
    lake = Lake.open(catalog.path)
    video_id = next(lake.iter_video_ids())
    samples, faces = lake.read_video(video_id, old)
    tracks, chips = lake.tracks(video_id, old), lake.chips(video_id, old)
    lost = chips["face_id"][1].as_py()
    lake.publish(
        source_of(lake, video_id, old), samples, faces, tracks,
        chips.filter(pc.field("face_id") != lost),
    )  # fmt: skip
    catalog.reembed(other, progress=False)
    lake = Lake.open(catalog.path)
    rows = {row["face_id"]: row for row in lake.faces(video_id, new).to_pylist()}
    assert rows[lost]["embedding"] is None
    stand_in = rows[rows[lost]["embedded_face_id"]]
    assert stand_in["embedding"] is not None
    assert stand_in["track_id"] == rows[lost]["track_id"]
    assert source_of(lake, video_id, new)["n_embedded"] == len(chips) - 1
    assert lost not in {row["embedded_face_id"] for row in rows.values()}


# What is done and what is not -------------------------------------------------------------------


def test_a_second_call_does_nothing(
    catalog: Catalog, other: Path, no_model: Callable[[], None]
) -> None:
    catalog.reembed(other, progress=False)
    before = files(catalog)
    no_model()
    report = catalog.reembed(other, progress=False)
    assert files(catalog) == before
    assert (report.n_new, report.n_present, report.n_faces) == (0, 2, 0)


def test_the_pack_of_the_videos_has_nothing_to_do(
    catalog: Catalog, pack: Path, no_model: Callable[[], None]
) -> None:
    no_model()
    report = catalog.reembed(pack, progress=False)
    assert (report.n_new, report.n_present) == (0, 2)


def test_what_was_embedded_from_the_frames_themselves_is_left_alone(
    catalog: Catalog, archive: FakeArchive, other: Path
) -> None:
    ingest_videos(catalog.path, archive.videos[:1], PLAIN, pack=other, workers=1)
    before = files(catalog)
    report = catalog.reembed(other, progress=False)
    assert (report.n_new, report.n_present) == (1, 1)
    assert {path: at for path, at in files(catalog).items() if path in before} == before
    lake = Lake.open(catalog.path)
    made = [json.loads(row["settings"]) for row in lake.runs(find_pack(other).space).to_pylist()]
    assert sorted("from_chips" in settings for settings in made) == [False, True]


def test_an_interrupted_call_goes_on_with_the_next_video(
    catalog: Catalog, pack: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Lake.publish
    published: list[str] = []

    def once(lake: Lake, *tables: Any) -> None:
        if published:
            raise KeyboardInterrupt
        published.append(tables[0]["video_id"])
        publish(lake, *tables)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(Lake, "publish", once)
        with pytest.raises(KeyboardInterrupt):
            catalog.reembed(other, progress=False)
    new = spaces(pack, other)[1]
    assert len(Lake.open(catalog.path).runs(new)) == 1
    before = files(catalog)
    report = catalog.reembed(other, progress=False)
    assert (report.n_new, report.n_present) == (1, 1)
    assert len(set(Lake.open(catalog.path).runs(new)["video_id"].to_pylist())) == 2
    assert files(catalog).items() >= before.items()


def test_videos_without_chips_are_counted_and_told(
    catalog: Catalog, archive: FakeArchive, tmp_path: Path, pack: Path, other: Path
) -> None:
    more = write_fake_archive(tmp_path / "more", 1, seed=7)
    ingest_videos(catalog.path, more.videos, PLAIN, pack=pack, workers=1)
    report = catalog.reembed(other, progress=False)
    assert (report.n_new, report.n_without_chips) == (2, 1)
    assert "without chips: 1 video; facelake ingest --chips keeps them" in str(report)


def test_a_catalog_without_chips_is_told_how_to_keep_them(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "news", {0: [axis(0)]})
    with pytest.raises(CatalogError, match=r"no video keeps chips.*ingest SOURCE --chips -c"):
        reembed_videos(tmp_path / "tv", "a pack that is not there")


@pytest.mark.parametrize("harm", ["bits", "gone", "no picture"])
def test_a_video_whose_chips_cannot_be_read_is_told_and_the_others_are_done(
    catalog: Catalog, pack: Path, other: Path, harm: str
) -> None:
    old, new = spaces(pack, other)
    lake = Lake.open(catalog.path)
    first, second = lake.iter_video_ids()
    run = source_of(lake, first, old)
    part = Path(catalog.path) / part_of(CHIPS_FOLDER, run)
    if harm == "gone":
        part.unlink()
    elif harm == "bits":
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    else:
        chips = lake.chips(first, old)
        column = pa.array([b"none"] * len(chips), pa.binary())
        place = chips.schema.get_field_index("picture")
        lake.publish(
            run, *lake.read_video(first, old), lake.tracks(first, old),
            chips.set_column(place, chips.schema.field(place), column),
        )  # fmt: skip
    report = catalog.reembed(other, progress=False)
    assert Lake.open(catalog.path).runs(new)["video_id"].to_pylist() == [second]
    assert report.n_new == 1
    ((path, reason),) = report.troubles
    assert path == run["paths"][0]
    assert f"not embedded: {path}: {reason}" in str(report)


def test_how_far_it_is_is_told_in_faces(catalog: Catalog, other: Path) -> None:
    told: list[tuple[int, int]] = []
    report = reembed_videos(catalog.path, other, progress=lambda *at: told.append(at))
    assert told == sorted(told)
    assert told[-1] == (report.n_faces, report.n_faces)


# Thumbnails -------------------------------------------------------------------------------------


def test_the_thumbnail_of_a_span_shows_who_it_is(
    catalog: Catalog, archive: FakeArchive, pack: Path
) -> None:
    catalog.enrol(archive.photos, pack=pack, progress=False)
    spans = catalog.match().spans(threshold=0.8).table.to_pylist()
    assert len(spans) > 0
    for span in spans:
        for video_id in (None, span["video_id"]):
            image = catalog.thumbnail(span["best_face_id"], video_id=video_id)
            assert (image.size, image.mode) == ((112, 112), "RGB")
            middle = np.asarray(image, float)[30:80, 30:80].mean(axis=(0, 1))
            assert np.abs(middle - COLOURS[span["identity"]]).max() < 25


def test_without_a_chip_a_sentence_says_how_to_keep_them(
    tmp_path: Path, catalog: Catalog, with_chips: Path
) -> None:
    how = r"keeps no picture of face .*facelake ingest SOURCE --chips -c"
    lake = Lake.open(with_chips)
    first, second = lake.iter_video_ids()
    faces = lake.faces(first, lake.only_space())
    without = faces.filter(pc.field("embedding").is_null())["face_id"][0].as_py()
    embedded = faces.filter(pc.field("embedding").is_valid())["face_id"][0].as_py()
    for face_id, video_id in ((without, None), ("f" * 16, None), (embedded, second)):
        with pytest.raises(CatalogError, match=how):
            catalog.thumbnail(face_id, video_id=video_id)
    plant_video(new_lake(tmp_path / "plain"), "news", {0: [axis(0)]})
    with pytest.raises(CatalogError, match=how):
        open_catalog(tmp_path / "plain").thumbnail(embedded)


# The command ------------------------------------------------------------------------------------


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_the_command_embeds_and_reports(catalog: Catalog, other: Path) -> None:
    done = run("reembed", "-c", catalog.path, "--pack", other, "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")
    assert re.search(
        r"^2 videos embedded as negative-.*, 0 already there: .* faces/s\)", done.stderr
    )
    again = run("reembed", "-c", catalog.path, "--pack", other)
    assert "0 videos embedded" in again.stderr
    assert "2 already there" in again.stderr


def test_the_command_ends_with_3_when_a_video_was_left_out(
    catalog: Catalog, pack: Path, other: Path
) -> None:
    lake = Lake.open(catalog.path)
    first = next(lake.iter_video_ids())
    chips = part_of(CHIPS_FOLDER, source_of(lake, first, find_pack(pack).space))
    (Path(catalog.path) / chips).unlink()
    done = run("reembed", "-c", catalog.path, "--pack", other, "-q")
    assert done.exit_code == 3
    assert "not embedded: " in done.stderr


def test_the_command_keeps_chips_only_when_it_is_told_to(
    tmp_path: Path, archive: FakeArchive, pack: Path
) -> None:
    assert "Off by default" in run("ingest", "--help").stdout
    for name, more in (("without", ()), ("with", ("--chips",))):
        done = run(
            "ingest", archive.videos[0], "-c", tmp_path / name, "--pack", pack, "--workers", "1",
            "--det-size", "320", "-q", *more,
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / name / "chips").exists() == (name == "with")


def test_the_report_says_what_happened_in_words() -> None:
    report = ReembedReport(
        "s-1", n_new=2, n_present=1, n_without_chips=3, n_faces=1200, work_s=10.0,
        note="one face at a time", troubles=(("/a.mp4", "it is damaged"),),
    )  # fmt: skip
    parts = [
        "2 videos embedded as s-1", "1 already there", "1,200 faces in 10.0 s (120 faces/s)",
        "without chips: 3 videos", "slower: one face at a time", "/a.mp4: it is damaged",
    ]  # fmt: skip
    assert [part for part in parts if part not in str(report)] == []


# Real faces -------------------------------------------------------------------------------------


@pytest.mark.shared
def test_embeddings_from_chips_are_those_from_the_frames(tmp_path: Path, shared: Path) -> None:
    found = find_pack("buffalo_sc")
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for model in (found.detector, found.embedder):
        shutil.copy(model, renamed)
    (renamed / found.embedder.name).rename(renamed / "renamed.onnx")
    told = {
        "name": "renamed", "licence": found.licence, "source": found.source,
        "detector": {"file": found.detector.name, "sha256": found.detector_sha256},
        "embedder": {"file": "renamed.onnx", "sha256": found.embedder_sha256, "dim": 512},
    }  # fmt: skip
    (renamed / "manifest.json").write_text(json.dumps(told))
    clip = shared / "videos" / "friends_shots" / "out14.mp4"
    ingest_videos(tmp_path / "tv", [clip], IngestSettings(chips=True), workers=1)
    report = reembed_videos(tmp_path / "tv", renamed)
    lake = Lake.open(tmp_path / "tv")
    (video_id,) = lake.iter_video_ids()
    before, after = (vectors(lake.faces(video_id, space)) for space in (found.space, report.space))
    cosine = np.einsum("nd,nd->n", before, after)
    cosine = cosine[~np.isnan(cosine)]
    assert len(cosine) == report.n_faces > 20
    assert np.median(cosine) >= 0.99
