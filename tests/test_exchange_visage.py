"""Visage's files in and out: frame numbers and times, what is kept, and bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from planted import DIM, SPACE, Vector, alike, axis, new_lake, plant_gallery, plant_video

from facelake.catalog import Catalog
from facelake.cli import main
from facelake.errors import ExportError, SourceError
from facelake.exchange import export_visage, import_visage
from facelake.lake import Lake
from facelake.schema import unpack_embeddings
from facelake.testing.footage import numbered_frames, write_video

HEADER = "frame_num,face_num,x1,y1,x2,y2,confidence"
FPS, N_FRAMES = 25, 50
WIDTH, HEIGHT = 160, 128
LACKING = ["landmarks", "align_rms", "sharpness"]  # NaN, which equals nothing

Found = list[tuple[int, int, tuple[int, int, int, int], float]]
"""Frame number, face number, box, confidence."""

SEEN: Found = [
    (0, 0, (10, 20, 50, 70), 0.9),
    (0, 1, (80, 20, 120, 70), 0.75),
    (10, 0, (12, 20, 52, 70), 0.912),
    (40, 0, (100, 100, 160, 128), 0.5),
]


def write_visage(folder: Path, film: Path, found: Found = SEEN, **metadata: Any) -> Path:
    """What Visage would have written, by hand."""
    folder.mkdir(parents=True)
    told = {
        "codec": "h264", "detector": "yolov11m-face", "embedder": "facenet", "filepath": str(film),
        "fps": 25.0, "framecount": N_FRAMES, "frameskip": 5, "height": HEIGHT, "width": WIDTH,
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(told | metadata, indent=4))
    rows = [f"{f},{n},{','.join(map(str, box))},{score:g}" for f, n, box, score in found]
    (folder / "detections.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    with h5py.File(folder / "embeddings.hdf5", "w") as file:
        file["embeddings"] = vectors_of(found)
        file["frame_nums"] = np.array([row[0] for row in found], np.int32)
        file["face_nums"] = np.array([row[1] for row in found], np.int32)
    return folder


def vectors_of(found: Found) -> Vector:
    """Two people, on the left and on the right, by vectors of length 10."""
    people = [axis(int(box[0] > 60)) for _, _, box, _ in found]
    return np.array(people, np.float32).reshape(-1, DIM) * 10.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "film.mp4"
    return write_video(path, numbered_frames(N_FRAMES, width=WIDTH, height=HEIGHT), fps=FPS)


@pytest.fixture
def results(tmp_path: Path, film: Path) -> Path:
    return write_visage(tmp_path / "results" / "film", film)


def bring(root: Path, folder: Path, **options: Any) -> Catalog:
    import_visage(root, folder, **options)
    return Catalog(root)


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


# In ---------------------------------------------------------------------------------------------


def test_faces_lie_at_the_times_of_their_frames(tmp_path: Path, results: Path) -> None:
    faces = bring(tmp_path / "tv", results).faces()
    assert faces["time_s"].to_pylist() == [0.0, 0.0, 0.4, 1.6]  # n / 25
    assert faces["bbox_xyxy"].to_pylist() == [list(box) for _, _, box, _ in SEEN]
    assert faces["det_score"].to_pylist() == pytest.approx([0.9, 0.75, 0.912, 0.5])


def test_times_are_the_containers_and_not_number_by_rate(tmp_path: Path) -> None:
    # Starts late, and its frames come at any time.
    times_s = [1.5 + 0.04 * n + 0.3 * (n >= 10) for n in range(N_FRAMES)]
    film = write_video(
        tmp_path / "vfr.mkv", numbered_frames(N_FRAMES, width=WIDTH, height=HEIGHT), times_s=times_s
    )
    faces = bring(tmp_path / "tv", write_visage(tmp_path / "vfr", film)).faces()
    meant = [times_s[frame] for frame, *_ in SEEN]
    assert faces["time_s"].to_pylist() == pytest.approx(meant, abs=1e-3)  # mkv's millisecond


def test_a_file_without_times_is_counted_at_its_rate(tmp_path: Path) -> None:
    film = write_video(
        tmp_path / "film.avi", numbered_frames(N_FRAMES, width=WIDTH, height=HEIGHT), fps=FPS,
        codec="mpeg4",
    )  # fmt: skip
    folder = write_visage(tmp_path / "film", film)
    catalog = bring(tmp_path / "tv", folder)
    assert catalog.videos()["assumed_fps"].to_pylist() == [25.0]
    assert catalog.faces()["time_s"].to_pylist() == pytest.approx([0.0, 0.0, 0.4, 1.6])
    assert len(catalog.samples()) == 10
    back = export_visage(Lake.open(tmp_path / "tv"), tmp_path / "back", space="visage")
    (video,) = back.path.iterdir()
    assert [row[:2] for row in read_csv(video)] == [
        ["0", "0"],
        ["0", "1"],
        ["10", "0"],
        ["40", "0"],
    ]


def test_every_kth_frame_counts_as_examined_also_the_empty_ones(
    tmp_path: Path, results: Path
) -> None:
    catalog = bring(tmp_path / "tv", results)
    samples = catalog.samples()
    assert samples["time_s"].to_pylist() == pytest.approx([n / 25 for n in range(0, 50, 5)])
    assert samples["n_faces"].to_pylist() == [2, 0, 1, 0, 0, 0, 0, 0, 1, 0]
    assert samples["shown_s"].to_pylist() == pytest.approx([1 / 25] * 10)
    assert catalog.videos()["sample_fps"].to_pylist() == [5.0]


def test_embeddings_get_unit_length_and_a_space_of_their_own(tmp_path: Path, results: Path) -> None:
    catalog = bring(tmp_path / "tv", results)
    vectors = unpack_embeddings(catalog.faces()["embedding"])
    assert np.array_equal(vectors, np.array([axis(0), axis(1), axis(0), axis(1)], np.float16))
    space = Lake.open(tmp_path / "tv").spaces["visage"]
    assert (space["dim"], space["pack"]) == (DIM, "visage facenet")


def test_what_the_format_lacks_is_nan(tmp_path: Path, results: Path) -> None:
    row = bring(tmp_path / "tv", results).faces().to_pylist()[0]
    lacking = [row["align_rms"], row["sharpness"], *row["landmarks"]]
    assert len(lacking) == 12
    assert np.isnan(lacking).all()
    # det_score × min(1, size / 112), the face taken as frontal; 40 × 50 pixels.
    assert row["quality"] == pytest.approx(0.9 * np.sqrt(40 * 50) / 112)


def test_tracks_are_linked(tmp_path: Path, results: Path) -> None:
    catalog = bring(tmp_path / "tv", results)
    assert catalog.faces()["track_id"].to_pylist() == [0, 1, 0, 2]
    assert catalog.tracks()["n_faces"].to_pylist() == [2, 1, 1]


def test_an_imported_video_has_every_column_that_must_not_be_null(
    tmp_path: Path, results: Path, film: Path
) -> None:
    video = bring(tmp_path / "tv", results).videos().to_pylist()[0]
    assert video["content_id"] == sha256(film.read_bytes()).hexdigest()
    assert video["paths"] == [str(film)]
    assert (video["width"], video["height"], video["codec"]) == (WIDTH, HEIGHT, "h264")
    assert (video["n_samples"], video["n_faces"], video["n_tracks"]) == (10, 4, 3)
    assert (video["status"], video["detector"]) == ("ok", "yolov11m-face")


def test_imported_people_are_found_and_cut_out(tmp_path: Path, results: Path) -> None:
    catalog = bring(tmp_path / "tv", results)
    plant_gallery(Lake.open(tmp_path / "tv"), {"Ann": [axis(0)]}, space="visage")
    spans = catalog.match().spans(threshold=0.5)
    (span,) = spans.table.to_pylist()
    assert (span["identity"], span["n_hits"]) == ("Ann", 2)
    assert (span["start_s"], span["end_s"]) == (0.0, pytest.approx(0.44))
    clips = spans.clips(tmp_path / "clips", progress=False)
    assert clips["n_frames"].to_pylist() == [11]


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path, film: Path) -> None:
    one = bring(tmp_path / "a", write_visage(tmp_path / "one", film)).faces()
    other = bring(tmp_path / "b", write_visage(tmp_path / "other", film, SEEN[::-1])).faces()
    assert one.drop_columns(LACKING).equals(other.drop_columns(LACKING))


def test_a_vector_of_zeros_is_a_face_without_an_embedding(tmp_path: Path, results: Path) -> None:
    with h5py.File(results / "embeddings.hdf5", "a") as file:
        file["embeddings"][2] = 0.0
    faces = bring(tmp_path / "tv", results).faces().to_pylist()
    assert [face["embedding"] is None for face in faces] == [False, False, True, False]
    assert faces[2]["embedded_face_id"] == faces[0]["face_id"]  # of its track


def test_a_video_without_a_face_is_samples(tmp_path: Path, film: Path) -> None:
    catalog = bring(tmp_path / "tv", write_visage(tmp_path / "none", film, []))
    assert (len(catalog.samples()), len(catalog.faces())) == (10, 0)
    back = export_visage(Lake.open(tmp_path / "tv"), tmp_path / "back", space="visage")
    assert (back.n_videos, back.n_faces) == (1, 0)
    (video,) = back.path.iterdir()
    again = bring(tmp_path / "again", video)
    assert len(again.samples()) == 10


def test_importing_again_replaces_what_was_there(tmp_path: Path, film: Path) -> None:
    catalog = bring(tmp_path / "tv", write_visage(tmp_path / "one", film))
    bring(tmp_path / "tv", write_visage(tmp_path / "two", film, SEEN[:2]))
    assert len(catalog.faces()) == 2
    assert len(Lake.open(tmp_path / "tv").runs()) == 1


def test_a_video_of_the_catalog_keeps_its_name_and_its_own_faces(
    tmp_path: Path, results: Path, film: Path
) -> None:
    lake = new_lake(tmp_path / "tv")
    content_id = sha256(film.read_bytes()).hexdigest()
    video_id = plant_video(lake, "known", {0: [alike(p0=0.5)]}, content_id=content_id)
    report = import_visage(tmp_path / "tv", results)
    assert report.video_ids == (video_id,)
    catalog = Catalog(lake.root)
    assert len(catalog.faces(SPACE)) == 1
    assert len(catalog.faces("visage")) == 4


@pytest.mark.parametrize("place", ["in the folder", "beside the folder", "named"])
def test_a_video_is_found_though_a_container_called_it_otherwise(
    tmp_path: Path, film: Path, place: str
) -> None:
    folder = write_visage(tmp_path / "results" / "film", film, filepath="archive/film.mp4")
    target = {"in the folder": folder, "beside the folder": folder.parent, "named": tmp_path}[place]
    (target / "film.mp4").write_bytes(film.read_bytes())
    video = tmp_path / "film.mp4" if place == "named" else None
    catalog = bring(tmp_path / "tv", folder, video=video)
    assert catalog.videos()["paths"].to_pylist() == [[str(target / "film.mp4")]]


# Out and back -----------------------------------------------------------------------------------


def read_csv(folder: Path) -> list[list[str]]:
    with (folder / "detections.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert ",".join(header) == HEADER
    return rows


def plant_film(root: Path, film: Path, looks: dict[int, Any], **facts: Any) -> Lake:
    lake = new_lake(root)
    plant_video(
        lake, "film", looks, paths=[film], size_bytes=film.stat().st_size, width=WIDTH,
        height=HEIGHT, time_base_num=1, time_base_den=12_800, **facts,
    )  # fmt: skip
    return lake


# Frame n of the film is at pts 512 n: MP4's time base for 25 frames a second is 1/12,800.
STRIDE_5: dict[int, Any] = {512 * n: [] for n in range(0, N_FRAMES, 5)}


def test_an_export_has_the_files_of_visage(tmp_path: Path, film: Path) -> None:
    looks = STRIDE_5 | {512 * 10: [alike(p0=0.7), alike(p1=0.6)], 512 * 45: [alike(p2=0.5)]}
    lake = plant_film(tmp_path / "tv", film, looks)
    report = export_visage(lake, tmp_path / "out", space=SPACE)
    (folder,) = (tmp_path / "out").iterdir()
    assert str(report) == f"{tmp_path / 'out'}: 3 faces of 1 video"
    # The second box goes from 100 to 150 in a picture of 160 × 128.
    assert read_csv(folder) == [
        ["10", "0", "0", "0", "50", "50", "0.9"],
        ["10", "1", "100", "0", "150", "50", "0.9"],
        ["45", "0", "0", "0", "50", "50", "0.9"],
    ]
    told = json.loads((folder / "metadata.json").read_text())
    assert told == {
        "filepath": str(film), "width": WIDTH, "height": HEIGHT, "fps": 25.0, "detector": "none",
        "embedder": SPACE, "framecount": N_FRAMES, "frameskip": 5, "codec": "h264",
    }  # fmt: skip
    with h5py.File(folder / "embeddings.hdf5") as file:
        assert file["embeddings"].dtype == np.float32
        meant = np.stack([alike(p0=0.7), alike(p1=0.6), alike(p2=0.5)]).astype(np.float16)
        assert np.array_equal(file["embeddings"][...], meant)
        assert file["frame_nums"][...].tolist() == [10, 10, 45]
        assert file["face_nums"][...].tolist() == [0, 1, 0]


@pytest.mark.parametrize("stride", [5, None], ids=["every fifth frame", "here and there"])
def test_out_and_back_are_the_same_faces_and_instants(
    tmp_path: Path, film: Path, stride: int | None
) -> None:
    numbers = range(0, N_FRAMES, 5) if stride else [0, 3, 4, 5, 17, 31, 49]
    looks = {512 * n: [alike(p0=0.1 * n / 5), alike(p1=0.6)][: n % 3] for n in numbers}
    lake = plant_film(tmp_path / "tv", film, looks)
    before = Catalog(lake.root)
    report = export_visage(lake, tmp_path / "out", space=SPACE)
    after = bring(tmp_path / "again", tmp_path / "out", space=SPACE)
    assert report.n_faces == len(before.faces()) > 0
    for name in ("pts", "n_faces", "status"):
        assert after.samples()[name].to_pylist() == before.samples()[name].to_pylist()
    for name in ("pts", "bbox_xyxy"):
        assert after.faces()[name].to_pylist() == before.faces()[name].to_pylist()
    one, other = (unpack_embeddings(c.faces()["embedding"]) for c in (before, after))
    np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), atol=1e-3)


def test_faces_without_an_embedding_of_their_own_come_back_without(
    tmp_path: Path, results: Path
) -> None:
    with h5py.File(results / "embeddings.hdf5", "a") as file:
        file["embeddings"][2:] = 0.0
    bring(tmp_path / "tv", results)
    export_visage(Lake.open(tmp_path / "tv"), tmp_path / "out", space="visage")
    (folder,) = (tmp_path / "out").iterdir()
    with h5py.File(folder / "embeddings.hdf5") as file:
        assert file["embeddings"][2].tolist() == axis(0).tolist()  # of the face before it
        assert file["embeddings"][3].tolist() == [0.0] * DIM  # alone in its track
        assert file["embedded"][...].tolist() == [1, 1, 0, 0]
    back = bring(tmp_path / "back", folder).faces()
    assert [value is None for value in back["embedding"].to_pylist()] == [False, False, True, True]


def test_boxes_are_cut_at_the_edge_of_the_frame(tmp_path: Path, film: Path) -> None:
    # Boxes of planted faces begin at 0, 100, 200: the third lies beyond the 160 pixels.
    lake = plant_film(tmp_path / "tv", film, {0: [alike(p0=0.7)] * 3})
    export_visage(lake, tmp_path / "out", space=SPACE)
    (folder,) = (tmp_path / "out").iterdir()
    assert [row[2:6] for row in read_csv(folder)][2] == ["160", "0", "160", "50"]


def test_a_video_that_failed_is_left_out_aloud(tmp_path: Path, film: Path) -> None:
    lake = plant_film(tmp_path / "tv", film, {0: []})
    torn = plant_video(lake, "torn", {})
    report = export_visage(lake, tmp_path / "out", space=SPACE)
    assert report.left_out == (torn,)
    assert torn in str(report)


def test_a_video_that_is_gone_stops_the_export(tmp_path: Path, film: Path) -> None:
    lake = plant_film(tmp_path / "tv", film, {0: []})
    plant_video(lake, "gone", {0: []})
    with pytest.raises(ExportError, match=r"/archive/gone.mp4: the video must still be there"):
        export_visage(lake, tmp_path / "out", space=SPACE)
    assert not (tmp_path / "out").exists()
    assert export_visage(lake, tmp_path / "out", space=SPACE, videos=["film.mp4"]).n_videos == 1


def test_instants_that_are_no_frames_of_the_video_are_refused(tmp_path: Path, film: Path) -> None:
    lake = plant_film(tmp_path / "tv", film, {100: []})
    with pytest.raises(ExportError, match="the catalog's instants must be frames of the video"):
        export_visage(lake, tmp_path / "out", space=SPACE)


def test_an_export_is_replaced_only_when_asked_and_nothing_else_ever_is(
    tmp_path: Path, film: Path
) -> None:
    lake = plant_film(tmp_path / "tv", film, {0: []})
    export_visage(lake, tmp_path / "out", space=SPACE)
    with pytest.raises(ExportError, match="is there already"):
        export_visage(lake, tmp_path / "out", space=SPACE)
    export_visage(lake, tmp_path / "out", space=SPACE, overwrite=True)
    (tmp_path / "out" / "letter.txt").write_text("Dear Ann")
    with pytest.raises(ExportError, match="only an earlier export"):
        export_visage(lake, tmp_path / "out", space=SPACE, overwrite=True)


# Bad input --------------------------------------------------------------------------------------


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_text(text, "utf-8")

    return edit


def retell(**told: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | told))

    return edit


def hdf5(edit: Callable[[Any], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with h5py.File(folder / "embeddings.hdf5", "a") as file:
            edit(file)

    return change


def put(name: str, values: Any) -> Callable[[Path], None]:
    def edit(file: Any) -> None:
        del file[name]
        if values is not None:
            file[name] = values

    return hdf5(edit)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no detections": (lose("detections.csv"), "must hold detections.csv, but it is missing"),
    "no embeddings": (lose("embeddings.hdf5"), "must hold embeddings.hdf5, but it is missing"),
    "no metadata": (lose("metadata.json"), "must hold metadata.json, but it is missing"),
    "no JSON": (write("metadata.json", "{"), "metadata.json: must be readable JSON"),
    "no object": (write("metadata.json", "[]"), "frameskip must be a number, but is None"),
    "no frameskip": (retell(frameskip=None), "frameskip must be a number, but is None"),
    "frameskip 0": (retell(frameskip=0), "frameskip must be at least 1, but is 0"),
    "other columns": (
        write("detections.csv", "frame,x,y\n0,1,2\n"), "columns must be frame_num.*but are frame,x",
    ),
    "empty CSV": (write("detections.csv", ""), "must be a CSV of numbers"),
    "words": (write("detections.csv", f"{HEADER}\n0,0,a,2,3,4,0.5\n"), "must be a CSV of numbers"),
    "hole": (write("detections.csv", f"{HEADER}\n0,0,,2,3,4,0.5\n"), "x1 must be a number"),
    "below 0": (write("detections.csv", f"{HEADER}\n-1,0,1,2,3,4,0.5\n"), "frame_num.*from 0.*-1"),
    "no HDF5": (write("embeddings.hdf5", "no"), "embeddings.hdf5: must be an HDF5 file"),
    "a row less": (
        put("embeddings", np.ones((3, DIM))),
        r"/embeddings must hold numbers of shape \(n, dim\) for the 4 rows.*\(3, 8\)",
    ),
    "no vectors": (put("embeddings", np.ones(4)), r"of shape \(n, dim\).*has shape \(4,\)"),
    "no frame_nums": (put("frame_nums", None), "must hold a data set /frame_nums of its own"),
    "misaligned": (
        put("frame_nums", [0, 0, 11, 40]), "in row 3 frame_nums? is 11 here and 10 there",
    ),
    "a link": (
        put("embeddings", h5py.ExternalLink("other.hdf5", "/x")),
        "must hold a data set /embeddings",
    ),
    "beyond the video": (
        lambda folder: write_beyond(folder), "frame_num must be below the 50 frames.*goes to 50",
    ),
    "another size": (retell(width=640, height=480), "which is 160 × 128.*but is 640 × 480"),
    "boxes beyond": (
        write("detections.csv", f"{HEADER}\n" + "\n".join(
            f"{f},{n},0,0,300,300,0.5" for f, n, *_ in SEEN)),
        "160 × 128 pixels upright, but has faces beyond",
    ),
    "no video": (retell(filepath="/nowhere/film.mp4"), "/nowhere/film.mp4 is not; name it with"),
    "frames list": (retell(facelake_examined=[0, 99]), "must be a list of frame numbers from 0 to"),
}  # fmt: skip


def write_beyond(folder: Path) -> None:
    write("detections.csv", f"{HEADER}\n50,0,1,2,3,4,0.5\n")(folder)
    hdf5(lambda file: file.clear())(folder)
    with h5py.File(folder / "embeddings.hdf5", "w") as file:
        file["embeddings"], file["frame_nums"], file["face_nums"] = np.ones((1, DIM)), [50], [0]


@pytest.mark.parametrize(("spoil", "sentence"), BAD.values(), ids=list(BAD))
def test_bad_input_is_one_sentence_and_leaves_no_catalog(
    tmp_path: Path, results: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    spoil(results)
    with pytest.raises(SourceError, match=sentence) as refused:
        import_visage(tmp_path / "tv", results)
    assert str(refused.value).startswith(str(results))
    assert not (tmp_path / "tv").exists()


def test_embeddings_of_two_models_are_not_put_into_one_space(tmp_path: Path, film: Path) -> None:
    bring(tmp_path / "tv", write_visage(tmp_path / "one", film))
    other = write_visage(tmp_path / "two", film, embedder="arcface")
    with pytest.raises(SourceError, match=r"must be of visage facenet.*of arcface.*--space"):
        import_visage(tmp_path / "tv", other)
    import_visage(tmp_path / "tv", other, space="arcface")
    assert set(Lake.open(tmp_path / "tv").spaces) == {"visage", "arcface"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(SourceError, match="must be a folder that Visage wrote"):
            import_visage(tmp_path / "tv", tmp_path / name)


@pytest.mark.parametrize("space", ["", "../up", "a b", ".hidden"])
def test_a_space_that_is_no_name_is_refused(tmp_path: Path, results: Path, space: str) -> None:
    with pytest.raises(ValueError, match="space must be letters, digits"):
        import_visage(tmp_path / "tv", results, space=space)


def test_without_h5py_it_says_what_to_install(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ExportError, match=r"pip install 'facelake\[visage\]'"):
        import_visage(tmp_path / "tv", results)


# The commands -----------------------------------------------------------------------------------


def test_the_commands_go_out_and_come_back(tmp_path: Path, film: Path) -> None:
    lake = plant_film(tmp_path / "tv", film, STRIDE_5 | {0: [alike(p0=0.7)]})
    out = run("export", "-c", lake.root, "--to", f"visage:{tmp_path / 'out'}", "--quiet")
    assert (out.exit_code, out.stdout) == (0, "")
    assert out.stderr == f"{tmp_path / 'out'}: 1 face of 1 video\n"
    back = run("import", "visage", tmp_path / "out", "-c", tmp_path / "back", "--quiet")
    assert (back.exit_code, back.stdout) == (0, "")
    assert back.stderr == "1 video, 1 face, 1 embedded, in the space visage\n"


def test_one_bad_folder_does_not_stop_the_others(tmp_path: Path, film: Path) -> None:
    write_visage(tmp_path / "in" / "good", film)
    write_visage(tmp_path / "in" / "bad", film, frameskip=0)
    done = run("import", "visage", tmp_path / "in", "-c", tmp_path / "tv", "-q")
    assert done.exit_code == 3
    assert "1 video, 4 faces" in done.stderr
    assert "not imported" in done.stderr
    assert "frameskip must be at least 1" in done.stderr
    assert len(Catalog(tmp_path / "tv").faces()) == 4


def test_a_file_cannot_be_named_for_several_videos(tmp_path: Path, film: Path) -> None:
    for name in ("one", "two"):
        write_visage(tmp_path / "in" / name, film)
    done = run("import", "visage", tmp_path / "in", "-c", tmp_path / "tv", "--video", film)
    assert done.exit_code == 2
    assert "--video is for one video's folder, but this holds 2" in done.stderr


def test_options_of_parquet_are_wrong_usage_for_visage(tmp_path: Path, film: Path) -> None:
    lake = plant_film(tmp_path / "tv", film, {0: []})
    done = run("export", "-c", lake.root, "--to", "visage:out", "--tables", "faces")
    assert done.exit_code == 2
    assert "--tables and --embeddings are of Parquet" in done.stderr


def test_a_failed_import_into_a_catalog_leaves_it_as_it_was(tmp_path: Path, results: Path) -> None:
    catalog = bring(tmp_path / "tv", results)
    before = catalog.faces()
    retell(frameskip=0)(results)
    with pytest.raises(SourceError):
        import_visage(tmp_path / "tv", results)
    assert catalog.faces().drop_columns(LACKING).equals(before.drop_columns(LACKING))
