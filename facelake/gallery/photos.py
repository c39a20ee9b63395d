"""Which photo shows whom, and which face of a photo counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facelake.errors import GalleryError
from facelake.gallery.names import plain_name
from facelake.schema import Face

# In a photo of one person, a bystander is much smaller; below this ratio of areas nobody can say
# who is meant.
CLEARLY_LARGER = 4.0


@dataclass(frozen=True)
class Reference:
    """A photo and the identity it is of."""

    identity: str
    photo: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Attributes
    ----------
    used
        Whether it is an exemplar now.
    note
        What a person should know; empty when there is nothing to say.
    exemplar_id
        Its name in the gallery; empty where it is none.
    """

    identity: str
    photo: str
    used: bool
    note: str
    exemplar_id: str = ""


@dataclass(frozen=True)
class FoundPhotos:
    """The photos of a place, and what lay beside them.

    Attributes
    ----------
    references
        In order of their paths.
    passed_over
        Files that are no photos by their names: ending → how many.
    """

    references: tuple[Reference, ...]
    passed_over: dict[str, int]


def find_references(
    source: str | Path, extensions: frozenset[str], *, identity: str | None = None
) -> FoundPhotos:
    """The photos of a folder and who they are of.

    Photos in a subfolder are of the person the subfolder is named after, however deep they lie;
    photos directly in the folder, and a single photo, are of whom the file is named after. Hidden
    files and folders are left out.

    Parameters
    ----------
    source
        A folder or one photo.
    extensions
        Endings of pictures, with the dot, lower case.
    identity
        Who all of them are of, instead.

    Raises
    ------
    GalleryError
        There is no such place, or no photo in it.
    ValueError
        The identity is blank.
    """
    root = Path(source).expanduser()
    if identity is not None and not plain_name(identity):
        raise ValueError("identity must be a name, but is blank")
    if root.is_file():
        return FoundPhotos((Reference(plain_name(identity or root.stem), root),), {})
    if not root.is_dir():
        raise GalleryError(f"{source}: there is no such photo or folder")
    references, passed_over = [], Counter[str]()
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") for part in parts) or not path.is_file():
            continue
        if path.suffix.lower() not in extensions:
            passed_over[path.suffix.lower() or "(no ending)"] += 1
            continue
        name = identity or (parts[0] if len(parts) > 1 else path.stem)
        references.append(Reference(plain_name(name), path))
    if not references:
        raise GalleryError(
            f"{source}: must hold photos, as a folder per person or one photo named after them, "
            f"but holds none ({', '.join(sorted(extensions))})"
        )
    return FoundPhotos(tuple(references), dict(passed_over))


def choose_face(faces: Sequence[Face]) -> tuple[Face | None, str]:
    """The face of a photo that is meant, and what to say about it.

    One face is the one. Of several the largest is, when its area is at least 4 times the next
    one's; else nobody can say, and none is.
    """
    if not faces:
        return None, "no face was found; take a sharper photo that shows the whole face"
    by_size = sorted(faces, key=lambda face: face.size_px, reverse=True)
    if len(faces) == 1:
        return by_size[0], ""
    ratio = (by_size[0].size_px / max(by_size[1].size_px, 1.0)) ** 2
    if ratio < CLEARLY_LARGER:
        return None, f"{len(faces)} faces of similar size; crop it to the one that is meant"
    return by_size[0], f"{len(faces)} faces; took the largest, {ratio:.0f} times the next"
