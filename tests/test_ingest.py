"""What is planted is in the catalog; what is in the catalog is not looked at again."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b, sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

from facelake.catalog import open_catalog
from facelake.cli import main
from facelake.errors import CatalogError, EngineError, FacelakeError, PackError, SourceError
from facelake.faces import engine as engine_module
from facelake.faces import find_pack
from facelake.faces import network as network_module
from facelake.faces import session as session_module
from facelake.faces.chip import decode_chip
from facelake.ingest import IngestReport, Tally, ingest_videos
from facelake.ingest import engines as engines_module
from facelake.ingest import loop as loop_module
from facelake.ingest import work as work_module
from facelake.ingest.engines import EnginePlugin
from facelake.ingest.publish import publish_video
from facelake.ingest.task import Published, SourceFile, Task, Video
from facelake.ingest.work import index_file, look_at_stretch
from facelake.lake import Lake
from facelake.lake import files as files_module
from facelake.schema import IngestSettings, unpack_embeddings
from facelake.testing.cases import N_FRAMES, make_case
from facelake.testing.fakepack import FakeArchive, write_fake_archive, write_fake_pack
from facelake.testing.footage import numbered_frames, write_video
from facelake.video import index_video, plan_stretches

pytestmark = pytest.mark.models

SETTINGS = IngestSettings(sample_fps=5.0, det_size=320)
EVERY_FRAME = IngestSettings(sample_fps=None, det_size=320)
HOW = ("created_utc", "decoder", "decoder_reason", "generation")
SECONDS = ("decode_s", "detect_s", "align_s", "embed_s", "write_s")
Ingest = Callable[..., IngestReport]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> FakeArchive:
    return write_fake_archive(tmp_path_factory.mktemp("archive"), 3)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Somebody else's scheduler, whose worker has two threads and lives in this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def ingest(pack: Path, scheduler: str) -> Ingest:
    def ingest(root: Path, *sources: Path, settings: IngestSettings = SETTINGS, **more: Any) -> Any:
        options: dict[str, Any] = {"pack": pack, "scheduler": scheduler} | more
        return ingest_videos(root, sources, settings, **options)

    return ingest


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and starting or joining a cluster is an error from then on."""

    def forbid() -> None:
        def fail(**_: object) -> None:
            raise AssertionError("there is nothing to do, so no cluster is needed")

        monkeypatch.setattr(loop_module, "open_cluster", fail)

    return forbid


def content(root: Path) -> dict[object, object]:
    """All that a catalog says, but for when it was said, how long it took and what decoded it.

    A worker of one thread takes another decoder than one of two.
    """
    lake = Lake.open(root)
    told: dict[object, object] = {"spaces": lake.spaces}
    for row in lake.runs().drop_columns([*HOW, *SECONDS]).to_pylist():
        video_id, space = row["video_id"], row["space"]
        told[video_id, row["run"]] = row
        told[video_id, space] = (*lake.read_video(video_id, space), lake.tracks(video_id, space))
    return told


def files(root: Path) -> dict[Path, tuple[int, int]]:
    """Every file of a catalog, with what a write would change."""
    stats = {path: path.stat() for path in root.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in stats.items()}


def tables(root: Path) -> dict[Path, tuple[int, int]]:
    """As `files`, without the ``videos`` rows, which learn new paths."""
    return {path: stat for path, stat in files(root).items() if "videos" not in path.parts}


def rows(root: Path) -> dict[str, dict[str, Any]]:
    """The ``videos`` rows by the name of the first file."""
    return {Path(row["paths"][0]).name: row for row in Lake.open(root).videos().to_pylist()}


def space_of(root: Path) -> str:
    return Lake.open(root).only_space()


# What is planted is found -----------------------------------------------------------------------


def test_every_planted_square_is_a_face_at_its_time_and_nothing_else_is(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    report = ingest(tmp_path / "tv", archive.videos[0].parent)
    lake, space = Lake.open(tmp_path / "tv"), space_of(tmp_path / "tv")
    vectors: dict[str, list[np.ndarray]] = {}
    n_samples = n_faces = 0
    for name, row in rows(tmp_path / "tv").items():
        samples, faces = lake.read_video(row["video_id"], space)
        n_samples, n_faces = n_samples + len(samples), n_faces + len(faces)
        # 8 s at 10 frames a second: one of each two frames, and the last.
        grid = samples.filter(pc.field("source") != "refined")["time_s"].to_numpy()
        assert sorted(set(np.floor(grid * 5 + 1e-6).tolist())) == list(range(40))
        assert grid[-1] == pytest.approx(7.9)
        assert samples["shown_s"].to_pylist() == pytest.approx([0.1] * len(samples))
        embeddings = unpack_embeddings(faces["embedding"], missing_ok=True).astype(np.float32)
        for sample in samples.to_pylist():
            time_s = sample["time_s"]
            planted = [
                one.identity
                for one in archive.truth
                if one.video == name and one.start_s <= time_s + 1e-9 < one.end_s
            ]
            at = np.flatnonzero(faces["pts"].to_numpy() == sample["pts"])
            boxes = np.array([faces["bbox_xyxy"][int(i)].as_py() for i in at]).reshape(-1, 4)
            assert sample["n_faces"] == len(at) == len(planted)
            assert (boxes[:, 2:] - boxes[:, :2] == pytest.approx(40, abs=4)) if len(at) else True
            # The first of a cast plays on the left.
            for identity, i in zip(planted, at[np.argsort(boxes[:, 0])], strict=True):
                if not np.isnan(embeddings[i]).any():
                    vectors.setdefault(identity, []).append(embeddings[i])
    flat = [(identity, vector) for identity, found in vectors.items() for vector in found]
    same = np.array([[a == b for b, _ in flat] for a, _ in flat])
    matrix = np.array([vector for _, vector in flat])
    cosine = matrix @ matrix.T
    assert cosine[same].min() > 0.9
    assert cosine[~same].max() < 0.5
    assert (report.n_files, report.n_new, report.n_present) == (3, 3, 0)
    assert (report.n_samples, report.n_faces) == (n_samples, n_faces)
    assert (report.n_failed, report.n_partial, report.troubles) == (0, 0, ())


def test_each_planted_appearance_is_a_track(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    ingest(tmp_path / "tv", *archive.videos)
    lake, space = Lake.open(tmp_path / "tv"), space_of(tmp_path / "tv")
    for name, row in rows(tmp_path / "tv").items():
        tracks = lake.tracks(row["video_id"], space)
        planted = sorted((one.start_s, one.end_s) for one in archive.truth if one.video == name)
        found = sorted(zip(tracks["start_s"].to_pylist(), tracks["end_s"].to_pylist(), strict=True))
        assert np.array(found) == pytest.approx(np.array(planted))  # to the frame
        faces = lake.faces(row["video_id"], space)
        assert Counter(faces["track_id"].to_pylist()) == {
            track["track_id"]: track["n_faces"] for track in tracks.to_pylist()
        }
        assert set(tracks["best_face_id"].to_pylist()) <= set(faces["face_id"].to_pylist())


def test_the_first_and_the_last_frame_of_an_appearance_are_known_by_those_beside_them(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    ingest(tmp_path / "tv", *archive.videos)
    lake, space = Lake.open(tmp_path / "tv"), space_of(tmp_path / "tv")
    for name, row in rows(tmp_path / "tv").items():
        samples = lake.samples(row["video_id"], space)
        frames = set(np.round(samples["time_s"].to_numpy() * 10).astype(int).tolist())
        edges = {
            round(edge_s * 10)
            for one in archive.truth
            if one.video == name
            for edge_s in (one.start_s, one.end_s)
        }
        assert {x for edge in edges for x in (edge - 1, edge) if 0 <= x < 80} <= frames
        # A cut is every second: no more is looked at than lies there between two samples.
        refined = samples.filter(pc.field("source") == "refined")
        assert len(refined) <= len(edges) * 2
        # What is behind the squares stays, so no shot is new.
        assert samples["new_shot"].to_pylist() == [None] + [False] * (len(samples) - 1)


def test_a_face_without_an_embedding_names_one_of_its_track_that_has_one(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    ingest(tmp_path / "tv", *archive.videos)
    lake, space = Lake.open(tmp_path / "tv"), space_of(tmp_path / "tv")
    n_without = 0
    for row in rows(tmp_path / "tv").values():
        faces = lake.faces(row["video_id"], space).to_pylist()
        by_id = {face["face_id"]: face for face in faces}
        for face in faces:
            if face["embedding"] is not None:
                assert face["embedded_face_id"] is None
                continue
            n_without += 1
            other = by_id[face["embedded_face_id"]]
            assert other["embedding"] is not None
            assert other["track_id"] == face["track_id"]
            gaps = [
                abs(each["time_s"] - face["time_s"])
                for each in faces
                if each["track_id"] == face["track_id"] and each["embedding"] is not None
            ]
            assert abs(other["time_s"] - face["time_s"]) == pytest.approx(min(gaps))
        assert row["n_embedded"] == sum(face["embedding"] is not None for face in faces)
    assert n_without > 0


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        IngestSettings(sample_fps=5.0, det_size=320, embed="all"),
        IngestSettings(sample_fps=None, det_size=320, embed="all"),
    ],
    ids=["tracks", "all", "every frame, all"],
)
def test_spans_are_those_that_were_planted_to_the_frame_however_much_is_embedded(
    tmp_path: Path, archive: FakeArchive, pack: Path, ingest: Ingest, settings: IngestSettings
) -> None:
    ingest(tmp_path / "tv", *archive.videos, settings=settings)
    catalog = open_catalog(tmp_path / "tv")
    catalog.enrol(archive.photos, pack=pack)
    found = catalog.match().spans(threshold=0.8).table.to_pylist()
    told = sorted((Path(x["path"]).name, x["identity"], x["start_s"], x["end_s"]) for x in found)
    planted = sorted((x.video, x.identity, x.start_s, x.end_s) for x in archive.truth)
    assert [each[:2] for each in told] == [each[:2] for each in planted]
    edges = np.array([each[2:] for each in told], np.float64)
    assert edges == pytest.approx(np.array([each[2:] for each in planted], np.float64))


def test_the_row_of_a_video_says_what_was_measured_and_how(
    tmp_path: Path, archive: FakeArchive, pack: Path, ingest: Ingest
) -> None:
    video = archive.videos[0]
    ingest(tmp_path / "tv", video)
    (row,) = rows(tmp_path / "tv").values()
    found = find_pack(pack)
    assert row["video_id"] == f"squares-00-{row['content_id'][:8]}"
    assert (row["paths"], row["size_bytes"]) == ([str(video)], video.stat().st_size)
    assert row["mtimes_ns"] == [video.stat().st_mtime_ns]
    assert (row["status"], row["error"]) == ("ok", None)
    assert (row["width"], row["height"], row["codec"]) == (320, 240, "h264")
    assert (row["start_s"], row["duration_s"], row["n_frames"]) == (0.0, pytest.approx(8.0), 80)
    assert json.loads(row["settings"]) == json.loads(SETTINGS.to_json())
    assert (row["sample_fps"], row["space"]) == (5.0, found.space)
    assert (row["pack"], row["detector"]) == ("fake-squares", found.detector_id)
    assert (row["device"], row["provider"]) == ("auto", "CPUExecutionProvider")
    assert row["decoder"] in ("decord", "pyav")
    assert row["decoder_reason"]
    assert row["n_samples"] - row["n_refined"] in (40, 41)  # one of each two, and the last
    assert row["n_tracks"] == 4
    # Two seconds without anybody stand still: looked at once a second, and where something begins.
    assert 4 <= row["n_carried"] <= 8
    assert 8 <= row["n_embedded"] < row["n_faces"] < 60
    assert row["n_second_looks"] == 0  # no square is large
    assert all(row[stage] >= 0 for stage in SECONDS)
    (told,) = Lake.open(tmp_path / "tv").spaces.values()
    assert (told["dim"], told["licence"]) == (512, "Apache-2.0")


# Chips ------------------------------------------------------------------------------------------


def test_without_chips_a_run_is_what_it_was_before_there_were_any(
    tmp_path: Path, archive: FakeArchive, pack: Path, ingest: Ingest
) -> None:
    ingest(tmp_path / "tv", archive.videos[0], settings=IngestSettings())
    (row,) = Lake.open(tmp_path / "tv").runs().to_pylist()
    told = (
        '{"decoder": "auto", "det_size": 640, "det_threshold": 0.5, "embed": "tracks", '
        '"nms_iou": 0.4, "refine": true, "sample_fps": 5.0}'
    )
    assert row["settings"] == told
    found = find_pack(pack)
    name = repr((1, row["content_id"], told, found.detector_id, found.space))
    assert row["run"] == blake2b(name.encode(), digest_size=6).hexdigest()
    assert not (tmp_path / "tv" / "chips").exists()


def test_with_chips_the_same_is_seen_and_every_embedded_face_has_one(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    for name, chips in (("without", False), ("with", True)):
        settings = IngestSettings(sample_fps=5.0, det_size=320, chips=chips)
        ingest(tmp_path / name, *archive.videos, settings=settings)
    before, after = Lake.open(tmp_path / "without"), Lake.open(tmp_path / "with")
    space = before.only_space()
    for video_id in before.iter_video_ids():
        for old, new in zip(
            before.read_video(video_id, space), after.read_video(video_id, space), strict=True
        ):
            assert new.equals(old)
        assert after.tracks(video_id, space).equals(before.tracks(video_id, space))
        faces, chips = after.faces(video_id, space), after.chips(video_id, space)
        embedded = faces.filter(pc.field("embedding").is_valid())
        assert chips.select(["face_id", "pts"]).equals(embedded.select(["face_id", "pts"]))
        assert set(chips["format"].to_pylist()) == {"jpeg"}
        # The landmarks lie so that the chip is the square itself: its middle is of one colour.
        for picture in chips["picture"].to_pylist():
            assert np.ptp(decode_chip(picture)[30:80, 30:80], axis=(0, 1)).max() < 40
        assert len(before.chips(video_id, space)) == 0


def test_asking_for_chips_later_looks_again_and_adds_a_run_that_counts(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    root, kept = tmp_path / "tv", IngestSettings(sample_fps=5.0, det_size=320, chips=True)
    ingest(root, archive.videos[0])
    lake, space = Lake.open(root), space_of(root)
    (video_id,) = lake.iter_video_ids()
    before = lake.read_video(video_id, space)
    assert ingest(root, archive.videos[0], settings=kept).n_new == 1
    assert [json.loads(row["settings"]).get("chips") for row in lake.runs_of(video_id, space)] == [
        True,
        None,
    ]
    assert len(lake.chips(video_id, space)) > 0
    for old, new in zip(before, lake.read_video(video_id, space), strict=True):
        assert new.equals(old)
    assert ingest(root, archive.videos[0], settings=kept).n_present == 1


def test_a_video_with_chips_is_not_looked_at_again_without_them(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, no_cluster: Callable[[], None]
) -> None:
    kept = IngestSettings(sample_fps=5.0, det_size=320, chips=True)
    ingest(tmp_path / "tv", archive.videos[0], settings=kept)
    before = files(tmp_path / "tv")
    no_cluster()
    report = ingest(tmp_path / "tv", archive.videos[0])
    assert (report.n_new, report.n_present) == (0, 1)
    assert files(tmp_path / "tv") == before


def test_a_moved_video_with_chips_is_recognised_without_them(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    kept = IngestSettings(sample_fps=5.0, det_size=320, chips=True)
    ingest(tmp_path / "tv", archive.videos[0], settings=kept)
    moved = shutil.copy(archive.videos[0], tmp_path / "moved.mp4")
    report = ingest(tmp_path / "tv", moved)
    assert (report.n_new, report.n_present) == (0, 1)
    (row,) = Lake.open(tmp_path / "tv").runs().to_pylist()
    assert row["paths"] == sorted([str(archive.videos[0]), str(moved)])


# What is there is left alone --------------------------------------------------------------------


def test_a_second_run_does_nothing(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, no_cluster: Callable[[], None]
) -> None:
    text = tmp_path / "in" / "text.mp4"
    text.parent.mkdir()
    text.write_text("no video")
    ingest(tmp_path / "tv", *archive.videos, text)
    before = files(tmp_path / "tv")
    no_cluster()
    report = ingest(tmp_path / "tv", *archive.videos, text)
    assert files(tmp_path / "tv") == before
    assert (report.n_new, report.n_present, report.n_failed) == (0, 4, 1)
    assert (report.n_samples, report.n_faces) == (0, 0)
    assert report.troubles[0][:2] == (str(text), "failed")


def test_fresh_catalogs_are_equal_whatever_the_workers(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    for case in ("truncated", "text", "no_timestamps"):
        make_case(case, tmp_path / "in")
    sources = [archive.videos[0].parent, tmp_path / "in"]
    ingest(tmp_path / "two_threads", *sources)
    ingest(tmp_path / "one_process", *sources, scheduler=None, workers=1)
    ingest(tmp_path / "backwards", *sources[::-1])
    expected = content(tmp_path / "two_threads")
    assert len(expected) == 1 + 2 * 6
    assert content(tmp_path / "one_process") == expected
    assert content(tmp_path / "backwards") == expected


def test_a_moved_file_is_recognised(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, no_cluster: Callable[[], None]
) -> None:
    old, new = tmp_path / "in" / "old.mp4", tmp_path / "elsewhere" / "new name.mp4"
    old.parent.mkdir()
    new.parent.mkdir()
    shutil.copy(archive.videos[0], old)
    ingest(tmp_path / "tv", old)
    before = tables(tmp_path / "tv")
    old.rename(new)
    report = ingest(tmp_path / "tv", new)
    assert (report.n_new, report.n_present) == (0, 1)
    assert tables(tmp_path / "tv") == before
    (row,) = rows(tmp_path / "tv").values()
    assert row["paths"] == sorted([str(old), str(new)])
    assert row["video_id"].startswith("old-")
    no_cluster()
    ingest(tmp_path / "tv", new)


def test_copies_are_one_video_now_and_later(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(archive.videos[0], folder / name)
    report = ingest(tmp_path / "tv", folder)
    assert (report.n_files, report.n_new) == (2, 1)
    before = tables(tmp_path / "tv")
    shutil.copy(archive.videos[0], folder / "c.mp4")
    report = ingest(tmp_path / "tv", folder)
    assert (report.n_files, report.n_new, report.n_present) == (3, 0, 1)
    (row,) = rows(tmp_path / "tv").values()
    assert row["paths"] == [str(folder / name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    assert tables(tmp_path / "tv") == before


def test_a_touched_file_is_recognised_and_then_known(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, no_cluster: Callable[[], None]
) -> None:
    video = tmp_path / "a.mp4"
    shutil.copy(archive.videos[0], video)
    ingest(tmp_path / "tv", video)
    before = tables(tmp_path / "tv")
    os.utime(video, ns=(10**18, 10**18))
    assert ingest(tmp_path / "tv", video).n_new == 0
    assert tables(tmp_path / "tv") == before
    (row,) = rows(tmp_path / "tv").values()
    assert (row["paths"], row["mtimes_ns"]) == ([str(video)], [10**18])
    no_cluster()
    ingest(tmp_path / "tv", video)


def test_files_of_equal_size_are_told_apart(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    size = max(video.stat().st_size for video in archive.videos) + 8
    for video in archive.videos:
        data = video.read_bytes()
        free = size - len(data)  # an empty box at the end makes them equally long
        padding = free.to_bytes(4, "big") + b"free" + bytes(free - 8)
        (folder / video.name).write_bytes(data + padding)
    report = ingest(tmp_path / "tv", folder)
    assert (report.n_new, report.n_failed, report.n_partial) == (3, 0, 0)
    assert len({row["content_id"] for row in rows(tmp_path / "tv").values()}) == 3


def test_a_name_that_holds_another_video_now_is_taken_from_the_first(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    one, other = tmp_path / "one.mp4", tmp_path / "other.mp4"
    for path in (one, other):
        shutil.copy(archive.videos[0], path)
    ingest(tmp_path / "tv", one, other)
    shutil.copy(archive.videos[1], one)
    report = ingest(tmp_path / "tv", one, other)
    assert (report.n_new, report.n_present) == (1, 1)
    paths = [row["paths"] for row in Lake.open(tmp_path / "tv").videos().to_pylist()]
    assert sorted(paths) == [[str(one)], [str(other)]]


def test_a_part_that_was_deleted_is_written_again(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    ingest(tmp_path / "tv", archive.videos[0])
    before = content(tmp_path / "tv")
    for table in ("faces", "videos"):
        (part,) = (tmp_path / "tv" / table).rglob("*.parquet")
        part.unlink()
        assert ingest(tmp_path / "tv", archive.videos[0]).n_new == 1
        assert content(tmp_path / "tv") == before


# Trouble ----------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_a_row_with_a_reason(
    tmp_path: Path, archive: FakeArchive, pack: Path, scheduler: str
) -> None:
    cases = ("text", "empty", "no_index", "audio_only", "playlist", "truncated")
    sources = [archive.videos[0], *(make_case(case, tmp_path / "in").path for case in cases)]
    command = ["ingest", *map(str, sources), "-c", str(tmp_path / "tv"), "--pack", str(pack)]
    done = CliRunner().invoke(main, [*command, "--scheduler", scheduler, "--det-size", "320", "-q"])
    assert done.exit_code == 3, done.output
    found = rows(tmp_path / "tv")
    assert len(found) == len(sources)
    assert {name: row["status"] for name, row in found.items()} == {
        "squares_00.mp4": "ok",
        "text.mp4": "failed",
        "empty.mp4": "failed",
        "no_index.mp4": "failed",
        "audio_only.mp4": "failed",
        "playlist.mp4": "failed",
        "truncated.mp4": "partial",
    }
    reasons = {
        "text.mp4": "not a video",
        "empty.mp4": "empty",
        "no_index.mp4": "not a video",
        "audio_only.mp4": "no video stream, only audio",
        "playlist.mp4": "not a video",
        "truncated.mp4": "could not be decoded|damaged packets|fewer than its header promises",
    }
    for name, reason in reasons.items():
        assert any(word in found[name]["error"] for word in reason.split("|")), found[name]["error"]
        assert str(tmp_path) not in found[name]["error"]  # the row's paths say where
        assert name in done.output
    assert found["truncated.mp4"]["n_samples"] > 0


def test_partial_videos_alone_are_no_failure(tmp_path: Path, pack: Path, scheduler: str) -> None:
    source = make_case("truncated", tmp_path / "in").path
    command = ["ingest", str(source), "-c", str(tmp_path / "tv"), "--pack", str(pack), "-q"]
    done = CliRunner().invoke(main, [*command, "--scheduler", scheduler, "--det-size", "320"])
    assert done.exit_code == 0
    assert "1 partial" in done.output


def test_what_failed_is_tried_again_only_when_asked(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, no_cluster: Callable[[], None]
) -> None:
    ingest(tmp_path / "tv", archive.videos[0])
    expected = content(tmp_path / "tv")
    # As if the disk had been gone on the first day.
    lake = Lake.open(tmp_path / "tv")
    (row,) = lake.runs().to_pylist()
    nothing = {"n_samples": 0, "n_faces": 0, "n_tracks": 0}
    lake.publish(row | nothing | {"status": "failed", "error": "the disk was gone"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "open_cluster", None)
        report = ingest(tmp_path / "tv", archive.videos[0])
    assert (report.n_new, report.n_failed) == (0, 1)
    assert report.troubles == ((str(archive.videos[0]), "failed", "the disk was gone"),)
    report = ingest(tmp_path / "tv", archive.videos[0], retry_failed=True)
    assert (report.n_new, report.n_failed) == (1, 0)
    assert content(tmp_path / "tv") == expected
    no_cluster()
    ingest(tmp_path / "tv", archive.videos[0], retry_failed=True)


def test_trying_again_what_still_fails_leaves_one_row(tmp_path: Path, ingest: Ingest) -> None:
    source = make_case("text", tmp_path / "in").path
    ingest(tmp_path / "tv", source)
    before = content(tmp_path / "tv")
    report = ingest(tmp_path / "tv", source, retry_failed=True)
    assert (report.n_new, report.n_failed) == (1, 1)
    assert content(tmp_path / "tv") == before


def test_a_download_that_was_finished_leaves_no_failure_behind(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(archive.videos[0].read_bytes()[:2000])
    assert ingest(tmp_path / "tv", video).n_failed == 1
    shutil.copy(archive.videos[0], video)
    assert ingest(tmp_path / "tv", video).n_failed == 0
    (row,) = rows(tmp_path / "tv").values()
    assert row["status"] == "ok"


def test_files_that_cannot_be_read_have_a_row_each_until_they_can(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    if not Path("/proc/self/mem").is_file():
        pytest.skip("needs a file that opens and cannot be read, as Linux's /proc/self/mem")
    names = [tmp_path / "in" / "ab.mp4", tmp_path / "other" / "ab.mp4"]
    for name in names:  # of equal size, and with equal slugs
        name.parent.mkdir()
        name.symlink_to("/proc/self/mem")
    for _ in range(2):  # nobody said --retry-failed, but nothing was read either
        report = ingest(tmp_path / "tv", *names)
        assert (report.n_new, report.n_failed) == (2, 2)
        found = Lake.open(tmp_path / "tv").videos().to_pylist()
        assert sorted(row["paths"] for row in found) == [[str(name)] for name in names]
        assert all("the file cannot be read (Input/output error)" in row["error"] for row in found)
    for name, video in zip(names, archive.videos, strict=False):
        name.unlink()
        shutil.copy(video, name)
    report = ingest(tmp_path / "tv", *names)
    assert (report.n_new, report.n_failed) == (2, 0)
    assert len(Lake.open(tmp_path / "tv").runs()) == 2


def test_no_video_is_an_error_before_anything_is_made(tmp_path: Path, ingest: Ingest) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError, match="holds none"):
        ingest(tmp_path / "tv", tmp_path / "in")
    assert not (tmp_path / "tv").exists()


def test_an_unknown_pack_is_an_error_before_anything_is_made(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    with pytest.raises(PackError, match="no pack 'buffalo_xxl'"):
        ingest(tmp_path / "tv", archive.videos[0], pack="buffalo_xxl")
    assert not (tmp_path / "tv").exists()


# Sessions that fail -----------------------------------------------------------------------------


class Flaky:
    """Stands between the networks and their sessions, which live in this process."""

    def __init__(self, fails: Callable[[str, tuple[int, ...]], bool]) -> None:
        self.fails = fails
        self.batches: list[int] = []
        self._run = session_module.run_session

    def __call__(self, session: Any, name: str, feed: dict[str, np.ndarray]) -> Any:
        (blob,) = feed.values()
        self.batches.append(len(blob))
        if self.fails(name, blob.shape):
            session = NoMemory()
        return self._run(session, name, feed)


class NoMemory:
    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def run(self, *_: object) -> None:
        raise RuntimeError("bad allocation")


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flaky]:
    """Call it with what fails; sessions take 4 frames and 3 faces at once from then on."""

    def make(fails: Callable[[str, tuple[int, ...]], bool]) -> Flaky:
        made = Flaky(fails)
        monkeypatch.setattr(engine_module, "_BATCH", {"CPUExecutionProvider": (4, 3)})
        monkeypatch.setattr(network_module, "run_session", made)
        return made

    return make


def other_settings(number: int) -> IngestSettings:
    """Settings of which the worker has no sessions yet, and that find the same."""
    return IngestSettings(sample_fps=5.0, det_size=320, det_threshold=0.5 + number / 1000)


def seen(root: Path) -> list[Any]:
    """What a catalog says of each video's samples and faces."""
    lake = Lake.open(root)
    columns = ["pts", "time_s", "n_faces", "status", "source", "new_shot"]
    return [
        (
            samples.select(columns).to_pylist(),
            faces.select(["face_id", "pts", "track_id"]).to_pylist(),
            faces["embedding"].is_null().to_pylist(),
        )
        for row in sorted(lake.videos().to_pylist(), key=lambda row: str(row["paths"]))
        for samples, faces in [lake.read_video(row["video_id"], row["space"])]
    ]


def is_upright(shape: tuple[int, ...]) -> bool:
    """Whether a blob's pictures are higher than wide, wherever its channels are."""
    height, width = (side for side in shape[1:] if side != 3)
    return height > width


@pytest.mark.parametrize("model", ["squares_detector.onnx", "colour_embedder.onnx"])
def test_sessions_that_fail_with_more_than_one_are_tried_with_one_and_nothing_is_lost(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, flaky: Callable[..., Flaky], model: str
) -> None:
    settings = other_settings(1 + len(model))
    ingest(tmp_path / "whole", *archive.videos)
    run = flaky(lambda name, shape: name == model and shape[0] > 1)
    report = ingest(tmp_path / "tv", *archive.videos, settings=settings)
    assert max(run.batches) > 1
    assert (report.n_failed, report.n_partial) == (0, 0)
    assert seen(tmp_path / "tv") == seen(tmp_path / "whole")
    notes = [row["engine_note"] for row in rows(tmp_path / "tv").values()]
    (note,) = {note for note in notes if note}
    assert note.startswith(f"one frame and one face at a time, because {model} cannot be run on ")
    assert "bad allocation" in note


def test_a_session_that_fails_once_costs_a_second_try_and_no_video(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, flaky: Callable[..., Flaky]
) -> None:
    ingest(tmp_path / "whole", archive.videos[0])
    once = iter([False, False, True])
    flaky(lambda *_: next(once, False))
    report = ingest(tmp_path / "tv", archive.videos[0], settings=other_settings(2))
    assert (report.n_new, report.n_failed, report.n_partial) == (1, 0, 0)
    assert seen(tmp_path / "tv") == seen(tmp_path / "whole")
    (row,) = rows(tmp_path / "tv").values()
    assert "bad allocation" in row["engine_note"]


def test_sessions_that_always_fail_make_the_video_failed_with_the_shapes_and_not_the_others(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, flaky: Callable[..., Flaky]
) -> None:
    upright = write_video(
        tmp_path / "upright.mp4", numbered_frames(20, width=160, height=320), fps=10
    )
    # The frames of that video are too much for the machine.
    flaky(lambda _, shape: is_upright(shape))
    report = ingest(tmp_path / "tv", *archive.videos, upright, settings=other_settings(3))
    assert (report.n_new, report.n_failed, report.n_partial) == (4, 1, 0)
    found = rows(tmp_path / "tv")
    assert {name for name, row in found.items() if row["status"] != "ok"} == {"upright.mp4"}
    error = found["upright.mp4"]["error"]
    assert "squares_detector.onnx cannot be run on " in error
    assert "1×320×192×3" in error or "1×3×320×192" in error
    assert "bad allocation" in error
    assert str(tmp_path) not in error


def test_sessions_that_fail_on_one_stretch_make_the_video_partial_and_keep_the_rest(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, flaky: Callable[..., Flaky]
) -> None:
    lost: list[int] = []

    def on_second_stretch(name: str, shape: tuple[int, ...]) -> bool:
        return bool(lost)

    looked = work_module._examine

    def examine(task: Any, video: Any, stretch: Any, *more: Any) -> Any:
        if stretch.number == 1:
            lost.append(1)
        try:
            return looked(task, video, stretch, *more)
        finally:
            lost.clear()

    flaky(on_second_stretch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_module, "_examine", examine)
        with LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster:
            report = ingest(
                tmp_path / "tv",
                archive.videos[0],
                settings=other_settings(4),
                scheduler=cluster.scheduler_address,
            )
    assert (report.n_failed, report.n_partial) == (0, 1)
    (row,) = rows(tmp_path / "tv").values()
    assert "1 of 3 stretches gave nothing" in row["error"]
    assert "bad allocation" in row["error"]
    times = Lake.open(tmp_path / "tv").samples(row["video_id"], row["space"])["time_s"].to_numpy()
    assert ((times < 3.0) | (times >= 6.0)).all()
    assert {int(time_s) for time_s in times} == {0, 1, 2, 6, 7}


# Other settings, other models -------------------------------------------------------------------


def test_every_frame_adds_to_what_was_sampled(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    root, video = tmp_path / "tv", archive.videos[0]
    ingest(root, video)
    lake, space = Lake.open(root), space_of(root)
    (video_id,) = lake.iter_video_ids()
    sparse = lake.faces(video_id, space)
    before = tables(root)
    report = ingest(root, video, settings=EVERY_FRAME)
    assert (report.n_new, report.n_samples) == (1, 80)
    assert before.items() <= tables(root).items()
    samples, faces = lake.read_video(video_id, space)
    assert samples["time_s"].to_pylist() == pytest.approx([k / 10 for k in range(80)])
    assert len(faces) == 80  # one face in 20, two in 20, none in 20 and one in 20 frames
    assert len(set(faces["face_id"].to_pylist())) == 80
    assert set(sparse["face_id"].to_pylist()) < set(faces["face_id"].to_pylist())
    assert (len(lake.runs()), len(lake.videos())) == (2, 1)
    assert lake.videos()["sample_fps"].to_pylist() == [None]
    assert set(lake.tracks(video_id, space)["track_id"].to_pylist()) == set(
        faces["track_id"].to_pylist()
    )


def test_a_file_without_times_is_counted_through(tmp_path: Path, ingest: Ingest) -> None:
    case = make_case("no_timestamps", tmp_path / "in")
    ingest(tmp_path / "tv", case.path)
    (row,) = rows(tmp_path / "tv").values()
    assert (row["status"], row["assumed_fps"], row["n_samples"]) == ("ok", 25.0, N_FRAMES // 5)
    lake = Lake.open(tmp_path / "tv")
    samples = lake.samples(row["video_id"], row["space"])
    assert samples["time_s"].to_pylist() == pytest.approx([k / 5 for k in range(N_FRAMES // 5)])


def test_a_second_pack_adds_a_space(
    tmp_path: Path, archive: FakeArchive, pack: Path, ingest: Ingest
) -> None:
    other = tmp_path / "other pack"
    shutil.copytree(pack, other)
    model = onnx.load(str(other / "colour_embedder.onnx"))
    model.doc_string = "the same numbers, another file"
    onnx.save(model, str(other / "colour_embedder.onnx"))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["embedder"]["sha256"] = sha256(
        (other / "colour_embedder.onnx").read_bytes()
    ).hexdigest()
    (other / "manifest.json").write_text(json.dumps(manifest))
    root = tmp_path / "tv"
    ingest(root, archive.videos[0])
    before = tables(root)
    before.pop(root / "catalog.json")
    ingest(root, archive.videos[0], pack=other)
    assert before.items() <= tables(root).items()
    lake = Lake.open(root)
    (video_id,) = lake.iter_video_ids()
    one, two = sorted(lake.spaces)
    assert (
        lake.faces(video_id, one)
        .drop_columns(["embedding"])
        .equals(lake.faces(video_id, two).drop_columns(["embedding"]))
    )
    assert len(lake.runs()) == 2


def test_a_relative_pack_holds_in_any_folder(
    tmp_path: Path, archive: FakeArchive, pack: Path, ingest: Ingest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(pack.parent)
    used: list[Task] = []
    real = loop_module._open_engines

    def note(cluster: Any, lake: Lake, task: Task) -> None:
        used.append(task)
        real(cluster, lake, task)

    monkeypatch.setattr(loop_module, "_open_engines", note)
    ingest(tmp_path / "tv", archive.videos[0], pack=pack.name)
    assert used[0].pack.detector.is_absolute()
    assert used[0].pack.embedder.is_absolute()
    assert Path(used[0].root).is_absolute()


def test_the_engine_of_a_worker_is_named_by_all_it_depends_on(pack: Path, tmp_path: Path) -> None:
    # Two ingests may share the workers of one scheduler.
    def engine(settings: IngestSettings, device: Any = "cpu") -> str:
        return Task(str(tmp_path), "s", settings, find_pack(pack), device, 60.0).engine

    names = {
        engine(SETTINGS),
        engine(IngestSettings(det_size=320, det_threshold=0.3)),
        engine(IngestSettings(det_size=640)),
        engine(SETTINGS, "auto"),
    }
    assert len(names) == 4
    assert engine(SETTINGS) == engine(SETTINGS)


# Report and progress ----------------------------------------------------------------------------


def test_progress_ends_where_all_is_done(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    text = make_case("text", tmp_path / "in").path
    seen: list[tuple[int, float, int]] = []

    def progress(tally: Tally) -> None:
        seen.append((tally.n_files_done, tally.bytes_done, tally.n_samples))
        final.append(tally)

    final: list[Tally] = []
    report = ingest(tmp_path / "tv", *archive.videos, text, progress=progress)
    assert seen == sorted(seen)
    tally = final[-1]
    assert (tally.n_files, tally.n_files_done, tally.n_failed) == (4, 4, 1)
    assert tally.bytes_done == pytest.approx(tally.bytes_total)
    assert tally.n_samples == report.n_samples
    assert tally.left_s == pytest.approx(0.0, abs=1e-9)


def test_nobody_knows_the_time_left_before_anything_is_done() -> None:
    assert Tally(bytes_total=100).left_s is None
    assert Tally(bytes_total=100, bytes_done=25, elapsed_s=10).left_s == 30


def test_the_report_says_what_happened_in_words() -> None:
    report = IngestReport(
        n_files=5, n_new=3, n_present=2, n_failed=1, n_partial=1, n_samples=1200, n_faces=34,
        video_s=240.0, troubles=(("/a.mp4", "failed", "it is empty"),), passed_over={".txt": 2},
        start_s=1.0, work_s=10.0,
    )  # fmt: skip
    text = str(report)
    parts = [
        "3 videos looked at", "2 already there", "1 partial", "1 failed", "4:00 of video",
        "1,200 frames", "34 faces", "24.0× real time", "failed: /a.mp4: it is empty", "2 × .txt",
    ]  # fmt: skip
    assert [part for part in parts if part not in text] == []


# What is not a video's fault --------------------------------------------------------------------


def task_for(root: Path, pack: Path, settings: IngestSettings = SETTINGS) -> Task:
    return Task(str(root), "today", settings, find_pack(pack), "cpu", 120.0)


def test_publishing_again_what_is_published_changes_nothing(
    tmp_path: Path, archive: FakeArchive, pack: Path, ingest: Ingest
) -> None:
    # Dask runs a task again whose worker died before its result was fetched; the staged stretches
    # are gone by then.
    root, path = tmp_path / "tv", archive.videos[0]
    ingest(root, path)
    before, (row,) = files(root), Lake.open(root).runs().to_pylist()
    source = SourceFile(str(path), row["size_bytes"], row["mtimes_ns"][0])
    index = index_video(path)
    video = Video(row["video_id"], row["content_id"], (source,), index.facts)
    for reason in ("", "1 of 1 stretches gave nothing"):
        again = publish_video(task_for(root, pack), video, 1, reason)
        assert again == Published(row["video_id"], "ok", "", row["n_samples"], row["n_faces"])
        assert files(root) == before


def test_a_worker_without_an_engine_fails_no_video(
    tmp_path: Path, archive: FakeArchive, pack: Path, scheduler: str
) -> None:
    root, path = tmp_path / "tv", archive.videos[0]
    Lake.create(root)
    index = index_video(path)
    video = Video("v", "0" * 64, (SourceFile(str(path), 1, 1),), index.facts)
    stretch = plan_stretches(index, 5.0)[0]
    task = task_for(root, pack, IngestSettings(det_size=96))
    with Client(scheduler, set_as_default=False) as client:
        future = client.submit(look_at_stretch, task, video, stretch, pure=False)
        with pytest.raises(EngineError, match="was given no face engine"):
            loop_module._outcome(future)


def test_engines_that_do_not_open_stop_the_ingest_before_a_video_is_touched(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EngineError("no GPU here")

    monkeypatch.setattr(engines_module, "FaceEngine", refuse)  # the worker lives in this process
    with pytest.raises(EngineError, match="no GPU here"):
        ingest(tmp_path / "tv", *archive.videos, settings=IngestSettings(det_size=128))
    assert len(Lake.open(tmp_path / "tv").runs()) == 0


def test_a_full_disk_stops_the_ingest_and_fails_no_video(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = tmp_path / "tv"
    with monkeypatch.context() as full:
        full.setattr(files_module, "_save", refuse)
        with pytest.raises(CatalogError, match=r"cannot be written \(No space left.*run the same"):
            ingest(root, *archive.videos)
    with monkeypatch.context() as full:
        full.setattr(Lake, "publish", refuse)
        with pytest.raises(FacelakeError, match=r"No space left.*run the same command again"):
            ingest(root, *archive.videos)
    assert len(Lake.open(root).runs()) == 0
    assert ingest(root, *archive.videos).n_new == 3


def test_a_scheduler_that_goes_away_stops_the_ingest_and_fails_no_video(
    tmp_path: Path, archive: FakeArchive, ingest: Ingest
) -> None:
    theirs = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    )

    def progress(tally: Tally) -> None:
        theirs.close()

    with theirs, pytest.raises(FacelakeError, match="went away; run the same command again"):
        ingest(
            tmp_path / "tv",
            *archive.videos,
            scheduler=theirs.scheduler_address,
            progress=progress,
        )
    runs = Lake.open(tmp_path / "tv").runs()
    assert set(runs["status"].to_pylist()) <= {"ok"}


def test_reading_a_file_that_killed_two_workers_is_not_tried_a_third_time(
    tmp_path: Path, archive: FakeArchive, pack: Path
) -> None:
    root, path = tmp_path / "tv", archive.videos[0]
    lake, task = Lake.create(root), task_for(root, pack)
    source = SourceFile(str(path), path.stat().st_size, 1)
    content_id = work_module.unread_id(source)
    attempts = lake.staging("index", content_id.removeprefix(work_module.UNREAD)[:16])
    for session, n_before, stopped in (("today", 1, False), ("today", 2, True), ("old", 2, False)):
        for _ in range(n_before):
            attempts.begin(0, session)
        indexed = index_file(task, source)
        assert (indexed.index is None) == stopped
        assert ("dies or hangs (tried 2 times" in indexed.error) == stopped
        assert indexed.content_id.startswith("unread:") == stopped
        assert not Path(attempts.where).exists()


def test_sessions_made_anew_say_why_for_as_long_as_they_run_so(tmp_path: Path, pack: Path) -> None:
    plugin = EnginePlugin(task_for(tmp_path / "tv", pack))
    plugin.setup(SimpleNamespace(state=SimpleNamespace(nthreads=1)))
    assert plugin.opened().note == ""
    plugin.reopen("memory ran out")
    assert plugin.opened().note == "one frame and one face at a time, because memory ran out"
    assert (plugin.opened().detector.batch, plugin.opened().embedder.batch) == (1, 1)
