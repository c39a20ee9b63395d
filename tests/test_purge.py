"""A catalog says what it is for and until when it may be kept, and goes when that has passed."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from planted import alike, new_lake, plant_video

from facelake.catalog import open_catalog
from facelake.cli import main
from facelake.errors import CatalogError
from facelake.forget import find_expired, purge_catalog
from facelake.lake import Lake
from facelake.lake.forget.retention import today_utc
from facelake.lake.stores.store import LocalStore

YESTERDAY, TOMORROW = (today_utc() + timedelta(days=days) for days in (-1, 1))


def run(*args: str | Path, **more: Any) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], **more)


def plant(root: Path, retain_until: date | None = None) -> Path:
    """A catalog with a video, and unfinished work beside it."""
    lake = new_lake(root)
    plant_video(lake, "film", {0: [alike(p0=0.7)]})
    lake.staging("film", "later").begin(0, "session")
    if retain_until is not None:
        open_catalog(root).describe(retain_until=retain_until)
    return root


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock")


# Saying what it is for --------------------------------------------------------------------------


def test_what_is_noted_is_told_and_what_is_empty_goes(tmp_path: Path) -> None:
    catalog = open_catalog(plant(tmp_path / "tv"))
    assert set(catalog.describe().values()) == {None}
    catalog.describe(purpose="Research", retain_until="2031-02-28", contact="a@example.org")
    told = json.loads((tmp_path / "tv" / "catalog.json").read_text())
    assert (told["purpose"], told["retain_until"]) == ("Research", "2031-02-28")
    assert catalog.info()["contact"] == "a@example.org"
    catalog.describe(purpose="", contact="b@example.org")
    assert catalog.describe() == {
        "purpose": None,
        "retain_until": "2031-02-28",
        "contact": "b@example.org",
    }


@pytest.mark.parametrize("day", ["2031-02-29", "soon", "31.12.2031"])
def test_a_last_day_must_be_a_day(tmp_path: Path, day: str) -> None:
    root = plant(tmp_path / "tv")
    before = (root / "catalog.json").read_bytes()
    told = run("describe", "-c", root, "--purpose", "x", "--retain-until", day)
    assert told.exit_code == 2
    assert f"must be a day such as 2027-12-31, but is '{day}'" in told.stderr
    assert (root / "catalog.json").read_bytes() == before


def test_the_command_notes_and_tells(tmp_path: Path) -> None:
    root = plant(tmp_path / "tv")
    told = run("describe", "-c", root, "--purpose", "Research", "--retain-until", "2031-02-28")
    assert told.exit_code == 0, told.stderr
    lines = [line.split(maxsplit=1) for line in told.stdout.splitlines()]
    assert lines == [["purpose", "Research"], ["retain_until", "2031-02-28"], ["contact", "–"]]
    shown = run("info", "-c", root)
    assert "purpose      Research" in shown.stdout
    assert "keep until   2031-02-28" in shown.stdout
    as_json = json.loads(run("describe", "-c", root, "--format", "json").stdout)
    assert as_json["contact"] is None


# Purging ----------------------------------------------------------------------------------------


def test_only_catalogs_whose_last_day_has_passed_go_and_all_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "catalogs"
    plant(folder / "old", YESTERDAY)
    for name, day in (("today", today_utc()), ("new", TOMORROW), ("forever", None)):
        plant(folder / name, day)
    (folder / "old" / "notes.txt").write_text("somebody's")
    kept = [path for path in everything(folder) if "old" not in path.parts]

    told = run("purge", "--expired", folder, "--yes")

    assert told.exit_code == 0, told.stderr
    (row,) = [line.split() for line in told.stdout.splitlines()[1:]]
    assert row[:2] == [str(folder / "old"), str(YESTERDAY)]
    assert everything(folder) == kept


def test_a_catalog_goes_from_the_day_after_its_last(tmp_path: Path) -> None:
    root = plant(tmp_path / "tv", date(2031, 2, 28))
    assert find_expired([root], today=date(2031, 2, 28)) == ([], [])
    with pytest.raises(CatalogError, match="it may be kept until 2031-02-28"):
        purge_catalog(Lake.open(root), today=date(2031, 2, 28))
    ((one,), _) = find_expired([tmp_path], today=date(2031, 3, 1))
    assert (one.root, one.told["retain_until"]) == (str(root), "2031-02-28")
    assert one.size_bytes == sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    purge_catalog(Lake.open(root), today=date(2031, 3, 1))
    assert not root.exists()


def test_a_catalog_without_a_last_day_is_never_removed(tmp_path: Path) -> None:
    root = plant(tmp_path / "tv")
    with pytest.raises(CatalogError, match="it has no last day"):
        open_catalog(root).purge()
    assert root.is_dir()


def test_a_dry_run_lists_and_touches_nothing(tmp_path: Path) -> None:
    root = plant(tmp_path / "tv", YESTERDAY)
    before = everything(tmp_path)
    told = run("purge", "--expired", tmp_path, "--dry-run", "--format", "csv")
    assert told.exit_code == 0
    (row,) = csv.DictReader(io.StringIO(told.stdout))
    assert row["catalog"] == str(root)
    assert everything(tmp_path) == before


def test_where_nobody_can_be_asked_nothing_is_removed(tmp_path: Path) -> None:
    plant(tmp_path / "tv", YESTERDAY)
    told = run("purge", "--expired", tmp_path)
    assert told.exit_code == 2
    assert "give --yes" in told.stderr
    assert run("purge", tmp_path, "--yes").exit_code == 2  # without --expired
    assert (tmp_path / "tv" / "catalog.json").is_file()


def test_the_usual_folder_is_catalogs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "catalogs" / "tv", YESTERDAY)
    monkeypatch.chdir(tmp_path)
    assert run("purge", "--expired", "--yes").exit_code == 0
    assert not (tmp_path / "catalogs" / "tv").exists()


def test_a_catalog_that_cannot_be_read_is_told_and_left(tmp_path: Path) -> None:
    for name in ("broken", "odd"):
        plant(tmp_path / name, YESTERDAY)
    (tmp_path / "broken" / "catalog.json").write_text("{")
    odd = tmp_path / "odd" / "catalog.json"
    odd.write_text(odd.read_text().replace(str(YESTERDAY), "some day"))
    told = run("purge", "--expired", tmp_path, "--yes")
    assert told.exit_code == 3
    assert "must be readable JSON" in told.stderr
    assert "retain_until must be a day" in told.stderr
    assert odd.is_file()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    told = run("purge", "--expired", tmp_path / "nowhere")
    assert told.exit_code == 1
    assert "there is no such folder of catalogs" in told.stderr


def test_an_interrupted_purge_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(tmp_path / "catalogs" / "tv", YESTERDAY)
    remove_tree, left = LocalStore.remove_tree, [2]

    def dying(store: LocalStore, folder: str) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        remove_tree(store, folder)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "remove_tree", dying)
        with pytest.raises(KeyboardInterrupt):
            open_catalog(root).purge()
    assert find_expired([root])[0]
    open_catalog(root).purge()
    assert not any((tmp_path / "catalogs").rglob("*.parquet"))
    assert not root.exists()


def test_a_catalog_that_is_being_written_is_not_removed(tmp_path: Path) -> None:
    root = plant(tmp_path / "tv", YESTERDAY)
    with Lake.open(root).writing(), pytest.raises(CatalogError, match="somebody does"):
        open_catalog(root).purge()
    assert list(root.rglob("*.parquet"))
