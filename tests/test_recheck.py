"""Looking at a video again: made footage of squares, and a model that sees squares.

The detector sees squares from 24 pixels of its input on, and scores smaller ones by their area. In
footage 320 pixels wide a square of 14 is found with an input of 640 and not with one of 320.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from planted import SPACE, alike, axis, new_lake, plant_gallery, plant_video

from facelake.audit import EMPTY, EMPTY_INDEED, MISSED, STRATA, UNEXAMINED, WITH_FACES
from facelake.catalog import Catalog
from facelake.errors import CatalogError, PackError
from facelake.faces import find_pack
from facelake.lake import Lake
from facelake.lake.names import find_source
from facelake.query.why_not import Reason
from facelake.recheck.look import FrameFinder, Seen, StrongLook, _together
from facelake.results.audit import Audit
from facelake.schema import AUDIT_FACES, AUDIT_INSTANTS, IngestSettings
from facelake.testing.cases import WHOLE_CASES, make_case
from facelake.testing.fakepack import COLOURS, write_fake_pack
from facelake.testing.footage import numbered_frames, read_number, write_video

FPS, N_FRAMES = 10, 40
FILM_FPS = 25  # of the cases of facelake.testing
LARGE_PX, SMALL_PX = 40, 14
USUAL = IngestSettings(det_size=320)
Image = npt.NDArray[np.uint8]


def squares(size_px: int, n_frames: int) -> Iterator[Image]:
    """A red square that moves 4 pixels a frame."""
    for number in range(n_frames):
        frame = np.full((240, 320, 3), 120, np.uint8)
        left, top = 60 + 4 * number, 100
        frame[top : top + size_px, left : left + size_px] = COLOURS["red"]
        yield frame


def film() -> Iterator[Image]:
    """Two seconds of a large square, then two of one too small for the ingest."""
    yield from squares(LARGE_PX, N_FRAMES // 2)
    yield from squares(SMALL_PX, N_FRAMES // 2)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory, pack: Path) -> Catalog:
    """The film, looked at five times in its ten frames a second, and red enrolled."""
    folder = tmp_path_factory.mktemp("archive")
    path = write_video(folder / "film.mp4", film(), fps=FPS, options={"crf": "1"}, gop=10)
    catalog = Catalog(tmp_path_factory.mktemp("catalogs") / "tv")
    settings: dict[str, Any] = {
        "sample_fps": 5,
        "refine": False,
        "det_size": 320,
        "decoder": "pyav",
    }
    report = catalog.ingest(path, **settings, pack=pack, workers=1, progress=False)
    assert report.n_failed == 0
    photo = folder / "red.png"
    _save(photo, next(squares(LARGE_PX, 1)))
    catalog.enrol(photo, pack=pack, progress=False)
    return catalog


def _save(path: Path, picture: Image) -> None:
    from PIL import Image as Picture

    Picture.fromarray(picture).save(path)


# Frames -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", WHOLE_CASES)
def test_the_frame_of_an_instant_is_the_one_on_screen(tmp_path: Path, case: str) -> None:
    made = make_case(case, tmp_path)
    frames = FrameFinder(made.path, unknown_row(made.path))
    counted = case in ("mpeg4_avi", "no_timestamps")  # files without times are counted through
    times = [number / FILM_FPS for number in range(made.n_frames)] if counted else made.times_s
    for number in (0, 1, len(times) // 2, len(times) - 1):
        frame = frames.at_s(times[number] + 1e-4)
        assert frame is not None
        if case != "second_stream":  # whose numbers are another stream's
            assert read_number(frame.rgb()) == number


def unknown_row(path: Path) -> dict[str, Any]:
    """A ``videos`` row that knows nothing of its file."""
    names = ("stream", "container", "time_base_num", "start_s", "duration_s", "rotation")
    return dict.fromkeys(names)


def test_before_the_first_frame_there_is_none(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mp4", numbered_frames(5), fps=10, start_s=2.0)
    assert FrameFinder(path, unknown_row(path)).at_s(1.0) is None


def test_what_the_catalog_tells_of_a_video_finds_the_same_frames_as_its_packets(
    catalog: Catalog,
) -> None:
    (row,) = catalog.videos().to_pylist()
    path = Path(row["paths"][0])
    one, other = FrameFinder(path, row), FrameFinder(path, unknown_row(path))
    for time_s in (0.0, 0.05, 1.95, 2.0, 3.9, 3.99):
        ours, theirs = one.at_s(time_s), other.at_s(time_s)
        assert ours is not None
        assert theirs is not None
        assert ours.pts == theirs.pts
        assert np.array_equal(ours.rgb(), theirs.rgb())


def test_a_file_that_was_changed_is_not_the_video_any_more(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    row = {"paths": ["/gone.mp4", str(path)], "size_bytes": 4}
    assert find_source(row) == path
    assert find_source(row | {"size_bytes": 5}) is None


# The strongest look -----------------------------------------------------------------------------


def test_the_strong_look_sees_what_the_usual_size_does_not(pack: Path) -> None:
    small = next(squares(SMALL_PX, 1))
    looker = StrongLook(find_pack(pack), det_size=640)
    seen = looker.see(small, USUAL)
    assert len(seen) == 1
    assert seen.bbox_xyxy[0] == pytest.approx([60, 100, 74, 114], abs=2.0)
    assert len(StrongLook(find_pack(pack), det_size=320).see(small, USUAL)) == 0


def test_a_face_that_three_looks_see_is_one_face(pack: Path) -> None:
    looker = StrongLook(find_pack(pack), det_size=640)
    seen = looker.see(next(squares(30, 1)), USUAL)
    assert len(seen) == 1
    assert seen.bbox_xyxy[0] == pytest.approx([60, 100, 90, 130], abs=2.0)


def test_no_look_counts_below_the_score_of_the_ingest(pack: Path) -> None:
    image = next(squares(SMALL_PX, 1))
    looker = StrongLook(find_pack(pack), det_size=640, det_threshold=0.1)
    assert len(looker.see(image, replace(USUAL, det_threshold=0.5))) == 1
    assert len(looker.see(image, replace(USUAL, det_threshold=0.99))) == 0


def test_of_overlapping_boxes_the_better_score_counts_and_new_ones_are_added() -> None:
    def seen(*rows: tuple[float, ...]) -> Seen:
        table = np.array(rows, np.float32)
        return Seen(table[:, :4], table[:, 4])

    one = seen((0, 0, 10, 10, 0.6), (50, 0, 60, 10, 0.9))
    other = seen((1, 0, 11, 10, 0.8), (90, 0, 99, 9, 0.7))
    found = _together([one, other])
    assert found.det_score == pytest.approx([0.9, 0.8, 0.7])
    assert found.bbox_xyxy[:, 0].tolist() == [50.0, 0.0, 90.0]


# Why not ----------------------------------------------------------------------------------------


def test_a_larger_input_and_a_lower_threshold_are_tried_where_nothing_was_detected(
    catalog: Catalog, pack: Path
) -> None:
    found = catalog.why_not("film.mp4", 3.0, "red", threshold=0.5, pack=pack)
    assert found.reason is Reason.NOT_DETECTED
    assert found.second is not None
    own, own_weak, larger, _ = found.second.looks
    assert (own.det_size, own.det_threshold, own.n_faces) == (320, 0.5, 0)
    assert (own_weak.det_size, own_weak.det_threshold, own_weak.n_faces) == (320, 0.02, 1)
    assert own_weak.det_score is not None
    assert 0.02 <= own_weak.det_score < 0.5
    assert (larger.det_size, larger.det_threshold, larger.n_faces) == (1280, 0.5, 1)
    assert larger.size_px == pytest.approx(SMALL_PX, abs=2.0)
    assert larger.score is not None
    assert larger.score > 0.9
    assert "looking again with det_size 1280 and det_threshold 0.5: 1 face" in repr(found)
    json.dumps(found.to_dict())


def test_who_does_not_ask_for_a_look_gets_none(catalog: Catalog) -> None:
    found = catalog.why_not("film.mp4", 3.0, "red", threshold=0.5, look=False)
    assert found.second is None


def test_without_the_models_the_answer_says_so(catalog: Catalog) -> None:
    found = catalog.why_not("film.mp4", 3.0, "red", threshold=0.5)  # "fake-squares" by name
    assert found.reason is Reason.NOT_DETECTED
    assert "nobody looked again" in repr(found)
    assert "give the folder it is in with --pack" in repr(found)


def test_a_face_that_was_not_embedded_is_embedded_to_see_what_it_scores(
    catalog: Catalog, pack: Path, tmp_path: Path
) -> None:
    other = _without_embeddings(copy_of(catalog, tmp_path))
    found = other.why_not("film.mp4", 1.0, "red", threshold=0.5, pack=pack)
    assert found.reason is Reason.NOT_EMBEDDED
    assert found.second is not None
    assert found.second.own_score is not None
    assert found.second.own_score > 0.9
    assert "this very face scores" in repr(found)


def copy_of(catalog: Catalog, folder: Path) -> Catalog:
    """A catalog that may be changed."""
    return Catalog(shutil.copytree(catalog.path, folder / "tv"))


def _without_embeddings(catalog: Catalog) -> Catalog:
    """The catalog with none of its faces embedded."""
    lake = Lake.open(catalog.path)
    (video,) = lake.runs().to_pylist()
    samples, faces, tracks = _tables_of(lake, video["space"])
    changed = {
        "embedding": pa.nulls(len(faces), faces.schema.field("embedding").type),
        "embedded_face_id": pa.nulls(len(faces), pa.string()),
        # Sharp enough to be recognised: a square of one colour has no detail.
        "sharpness": pa.array([99.0] * len(faces), pa.float32()),
    }
    for name, values in changed.items():
        at = faces.schema.get_field_index(name)
        faces = faces.set_column(at, faces.schema.field(at), values)
    lake.publish(video, samples, faces, tracks)
    return catalog


# Audit ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audit(catalog: Catalog, pack: Path) -> Audit:
    return catalog.audit(60, det_size=640, pack=pack, progress=False)


def share(audit: Audit, what: str, where: str) -> dict[str, Any]:
    (row,) = (r for r in audit.summary.to_pylist() if (r["what"], r["where"]) == (what, where))
    return dict(row)


def test_an_audit_knows_how_much_time_each_stratum_has(audit: Audit) -> None:
    # Every other of 40 frames of 0.1 s was looked at; 10 of these show the large square.
    assert dict(zip(STRATA, audit.tables.seconds, strict=True)) == pytest.approx(
        {UNEXAMINED: 2.0, EMPTY: 1.0, WITH_FACES: 1.0}
    )
    assert len(audit.instants) == 60
    assert audit.instants["weight_s"].to_numpy().sum() == pytest.approx(4.0)
    assert pc.all(pc.equal(audit.instants["status"], "ok")).as_py()


@pytest.fixture
def last_s(catalog: Catalog) -> float:
    """When the catalog last has the square: the last sample that shows the large one."""
    times_s: list[float] = catalog.faces()["time_s"].to_pylist()
    return max(times_s)


def test_an_audit_finds_the_faces_that_were_missed_and_only_these(
    audit: Audit, last_s: float
) -> None:
    assert audit.table.schema.equals(AUDIT_FACES)
    assert audit.instants.schema.equals(AUDIT_INSTANTS)
    assert len(audit.table) == 60  # one square in every frame
    for row in audit.table.to_pylist():
        assert row["found"] == (row["time_s"] < last_s + 0.05)  # half a frame
        assert row["size_px"] == pytest.approx(
            LARGE_PX if row["time_s"] < 1.95 else SMALL_PX, abs=3
        )
    assert share(audit, MISSED, EMPTY)["share"] == 1.0
    assert share(audit, MISSED, WITH_FACES)["share"] == 0.0
    assert share(audit, EMPTY_INDEED, EMPTY)["share"] == 0.0


def test_the_interval_covers_the_share_that_was_planted(audit: Audit, last_s: float) -> None:
    whole = share(audit, MISSED, "all time")
    n_found = round(last_s * FPS) + 1
    assert whole["low"] <= 1 - n_found / N_FRAMES <= whole["high"]
    assert share(audit, MISSED, "under 16 px")["share"] == 1.0


def test_found_faces_are_named_where_the_frame_was_looked_at(
    audit: Audit, catalog: Catalog
) -> None:
    known = set(catalog.faces()["face_id"].to_pylist())
    for row in audit.table.to_pylist():
        assert (row["face_id"] in known) == (row["found"] and row["stratum"] == WITH_FACES)
        assert (row["track_id"] is not None) == row["found"]


def test_the_same_seed_gives_the_same_audit_and_another_another(
    audit: Audit, catalog: Catalog, pack: Path
) -> None:
    again = catalog.audit(60, det_size=640, pack=pack, progress=False)
    assert again.instants.equals(audit.instants)
    assert again.table.equals(audit.table)
    other = catalog.audit(20, seed=1, det_size=640, pack=pack, progress=False)
    ours, theirs = (set(one.instants["time_s"].to_pylist()) for one in (other, again))
    assert ours != theirs


def test_an_audit_in_words_says_the_share_its_interval_and_the_counts(audit: Audit) -> None:
    whole = share(audit, MISSED, "all time")
    first = repr(audit).splitlines()[0]
    assert f"{whole['share']:.1%} ({whole['low']:.1%} to {whole['high']:.1%})" in first
    assert f"{whole['n_counted']} of 60 faces" in first
    told = json.loads(json.dumps(audit.to_dict()))
    assert told["seconds"][UNEXAMINED] == pytest.approx(2.0)


def test_a_face_that_was_forgotten_is_not_missed(
    catalog: Catalog, pack: Path, tmp_path: Path
) -> None:
    other = copy_of(catalog, tmp_path)
    other.forget(faces=other.faces()["face_id"].to_pylist())
    found = other.audit(40, det_size=640, pack=pack, progress=False)
    times = found.table["time_s"].to_pylist()
    assert times
    assert min(times) > 1.75  # the small square nobody asked to be forgotten


def test_a_video_that_is_gone_is_told_with_its_share_of_the_time(
    catalog: Catalog, pack: Path, tmp_path: Path
) -> None:
    other = copy_of(catalog, tmp_path)
    lake = Lake.open(other.path)
    (row,) = lake.runs().to_pylist()
    gone = {"video_id": "gone-00000000", "content_id": "00" * 32, "paths": ["/gone.mp4"]}
    lake.publish(row | gone, *_tables_of(lake, row["space"]))
    found = other.audit(20, det_size=640, pack=pack, progress=False)
    assert [(path, reason) for path, reason, _ in found.tables.left_out] == [
        ("/gone.mp4", "the video is gone or changed")
    ]
    assert "1 video left out, 50% of the time that is known" in repr(found)
    assert set(found.instants["path"].to_pylist()) == set(row["paths"])


def _tables_of(lake: Lake, space: str) -> tuple[pa.Table, pa.Table, pa.Table]:
    (video_id,) = lake.videos(space)["video_id"].to_pylist()
    return lake.samples(video_id, space), lake.faces(video_id, space), lake.tracks(video_id, space)


def test_where_no_video_can_be_looked_at_an_audit_says_so(tmp_path: Path, pack: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    with pytest.raises(CatalogError, match="nothing is ingested yet"):
        Catalog(lake.root).audit(20, det_size=640, pack=pack, progress=False)
    plant_video(lake, "film", {0: [alike(p0=0.5)]})
    plant_gallery(lake, {"Ann": [axis(0)]})
    with pytest.raises(CatalogError, match=r"none of 1 can be \(/archive/film.mp4: the video is"):
        Catalog(lake.root).audit(20, det_size=640, pack=pack, progress=False)


def test_an_audit_that_cannot_be_is_refused(catalog: Catalog, pack: Path) -> None:
    with pytest.raises(ValueError, match="n must be at least 20 instants, but is 5"):
        catalog.audit(5, det_size=640, pack=pack, progress=False)
    with pytest.raises(ValueError, match="det_threshold must lie between 0 and 1, but is 1"):
        catalog.audit(20, pack=pack, det_threshold=1.0, progress=False)
    with pytest.raises(PackError, match="give the folder it is in with --pack"):
        catalog.audit(20, progress=False)


def test_planted_spaces_have_no_pack_of_that_name(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "film", {0: ()})
    with pytest.raises(PackError, match=f"'pack of {SPACE}'"):
        Catalog(lake.root).audit(20, progress=False)
