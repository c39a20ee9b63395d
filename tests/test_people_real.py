"""People of real clips, against truth made by eye. Nothing of the clips is kept."""

import csv
from pathlib import Path

import pytest

import facelake
from facelake.evaluate import evaluate_clusters

pytestmark = [pytest.mark.shared, pytest.mark.models]

LEAST_F1 = 0.85


@pytest.fixture
def truth(shared: Path) -> dict[str, str]:
    """Clips that show one person and nobody else: the clip's name and theirs."""
    with (shared / "TRUTH_friends_shots.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            row["clip"]: row["main"] for row in rows if " " not in row["main"] and not row["also"]
        }


def test_the_people_of_film_clips_are_told_apart_and_found_again(
    shared: Path, truth: dict[str, str], tmp_path: Path
) -> None:
    clips = [shared / "videos" / "friends_shots" / f"{clip}.mp4" for clip in truth]
    if not all(clip.is_file() for clip in clips):
        pytest.skip("shared: no friends_shots among the clips")
    catalog = facelake.open_catalog(tmp_path / "c")
    report = catalog.ingest(*clips, workers=2, progress=False)
    assert report.n_failed == 0
    # Each clip's longest track is of the one who is named; others are flowers and seconds of blur.
    tracks = catalog.people().tracks.sort_by([("n_faces", "ascending")]).to_pylist()
    found = {Path(row["path"]).stem: row["person_id"] for row in tracks}
    errors = evaluate_clusters([found[clip] for clip in truth], list(truth.values()))
    assert (errors.precision, errors.n_wrong_merges) == (1.0, 0)
    assert errors.f1 >= LEAST_F1
