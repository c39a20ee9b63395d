"""The threshold that real clips give without a label, held against labelled pairs of LFW.

Nothing of the clips or pictures is kept; they lie beside the repository or nowhere.
"""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import facelake
from facelake.errors import CalibrationError
from facelake.faces import FaceEngine, find_in_photo, find_pack
from facelake.schema import IngestSettings

pytestmark = [pytest.mark.shared, pytest.mark.models]

CLIPS = ("friends_poker/friends_poker.mp4", "avengers/avenger2.mp4")
N_PAIRS = 40  # of two people, of fold 1: 80 photos
WANTED_FMR = 0.05  # two short clips carry little less


@pytest.fixture(scope="module")
def impostors(shared: Path) -> npt.NDArray[np.float64]:
    """The scores of every two photos of different people among some labelled pairs."""
    folder = shared / "labelled" / "lfw"
    if not (folder / "lfw_fold01.tar").is_file():
        pytest.skip("shared: no labelled/lfw among the clips")
    with (folder / "pairs_fold01.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["same"] == "0"][:N_PAIRS]
    engine = FaceEngine(find_pack("buffalo_sc"), IngestSettings(), device="cpu")
    with tarfile.open(folder / "lfw_fold01.tar") as pictures:
        photos = sorted({row[side] for row in rows for side in "ab"})
        faces = np.array([_embed(engine, pictures, photo) for photo in photos])
    person = np.array([photo.split("/")[0] for photo in photos])
    one, other = np.triu_indices(len(photos), 1)
    apart = person[one] != person[other]
    scores: npt.NDArray[np.float64] = (faces[one[apart]] * faces[other[apart]]).sum(axis=1)
    return scores


def _embed(engine: FaceEngine, pictures: tarfile.TarFile, name: str) -> npt.NDArray[np.float32]:
    """The face nearest to the middle: LFW centres the one it means."""
    file = pictures.extractfile(f"lfw/{name}")
    assert file is not None
    photo = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
    middle = np.array(photo.shape[1::-1]) / 2
    found = [face for face in find_in_photo(engine, photo) if face.embedding is not None]
    face = min(
        found,
        key=lambda one: float(np.hypot(*((one.bbox_xyxy[:2] + one.bbox_xyxy[2:]) / 2 - middle))),
    )
    assert face.embedding is not None
    return face.embedding


def test_a_threshold_found_without_labels_keeps_its_rate_on_labelled_pairs(
    shared: Path, impostors: npt.NDArray[np.float64], tmp_path: Path
) -> None:
    catalog = facelake.open_catalog(tmp_path / "clips")
    videos = [shared / "videos" / clip for clip in CLIPS]
    if not all(video.is_file() for video in videos):
        pytest.skip("shared: not all of the clips are there")
    catalog.ingest(*videos, sample_fps=5, workers=2, progress=False)
    calibration = catalog.calibrate(progress=False)
    choice = calibration.threshold(fmr=WANTED_FMR)
    assert choice.fmr.rate <= WANTED_FMR
    assert choice.fmr.low <= np.mean(impostors >= choice.threshold) <= choice.fmr.high
    with pytest.raises(CalibrationError, match="cannot be told from this archive"):
        calibration.threshold(fmr=0.001)
