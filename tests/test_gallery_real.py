"""Galleries of real photos: those that do not agree are told."""

from __future__ import annotations

from pathlib import Path

import pytest

import facelake


@pytest.mark.models
@pytest.mark.shared
def test_three_men_under_one_name_are_told(shared: Path, tmp_path: Path) -> None:
    photos = shared / "videos" / "hyland_connections" / "refs_inconsistent_Mike"
    catalog = facelake.open_catalog(tmp_path / "catalog")
    gallery = catalog.enrol(photos, identity="Mike Tirico", progress=False)
    assert len(gallery.outcomes) == 3
    for one in gallery.outcomes:
        assert one.note.startswith("unlike every other photo of this person")
    notes = catalog.gallery().members()["note"].to_pylist()  # and later, without a model
    assert notes == [one.note for one in sorted(gallery.outcomes, key=lambda one: one.exemplar_id)]


@pytest.mark.models
@pytest.mark.shared
def test_photos_with_a_stray_face_are_listed(shared: Path, tmp_path: Path) -> None:
    photos = shared / "labelled" / "friends_gallery" / "Rachel_Green"
    catalog = facelake.open_catalog(tmp_path / "catalog")
    gallery = catalog.enrol(photos, identity="Rachel", progress=False)
    strays = {Path(one.photo).name for one in gallery.outcomes if not one.used}
    assert strays == {"00000038.jpg", "00000051.jpg"}  # by eye: somebody else is beside her
