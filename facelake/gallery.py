"""The gallery room: which photo shows whom, which face of a photo counts, and do photos agree.

A folder per person, or one photo named after them; every usable photo is an exemplar. Nothing is
skipped silently: each photo has an outcome and a sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facelake.errors import GalleryError
from facelake.schema import Face

# In a photo of one person, a bystander is much smaller; below this ratio of areas nobody can say
# who is meant.
CLEARLY_LARGER = 4.0
# Strangers' photos score 0.19 at most on LFW with buffalo_sc, a person's own 0.61 on average.
STRANGER_SCORE = 0.20


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
    """

    identity: str
    photo: str
    used: bool
    note: str


def find_references(source: str | Path, extensions: frozenset[str]) -> list[Reference]:
    """The photos of a folder and who they are of, in order.

    Photos in a subfolder are of the person the subfolder is named after, however deep they lie;
    photos directly in the folder, and a single photo, are of whom the file is named after.

    Parameters
    ----------
    source
        A folder or one photo.
    extensions
        Endings of pictures, with the dot, lower case.

    Raises
    ------
    GalleryError
        There is no such place, or no photo in it.
    """
    root = Path(source).expanduser()
    if root.is_file():
        return [Reference(root.stem, root)]
    if not root.is_dir():
        raise GalleryError(f"{source}: there is no such photo or folder")
    references = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix.lower() in extensions and not any(p.startswith(".") for p in parts):
            references.append(Reference(parts[0] if len(parts) > 1 else path.stem, path))
    if not references:
        raise GalleryError(
            f"{source}: must hold photos, as a folder per person or one photo named after them, "
            f"but holds none ({', '.join(sorted(extensions))})"
        )
    return references


def choose_face(faces: Sequence[Face]) -> tuple[Face | None, str]:
    """The face of a photo that is meant, and what to say about it.

    One face is the one. Of several the largest is, when its area is at least 4 times the next
    one's; else nobody can say, and none is.
    """
    if not faces:
        return None, "no face was found; use a sharper or less cropped photo"
    by_size = sorted(faces, key=lambda face: face.size_px, reverse=True)
    if len(faces) == 1:
        return by_size[0], ""
    ratio = (by_size[0].size_px / max(by_size[1].size_px, 1.0)) ** 2
    if ratio < CLEARLY_LARGER:
        return None, f"{len(faces)} faces of similar size; crop it to the one that is meant"
    return by_size[0], f"{len(faces)} faces; took the largest, {ratio:.0f} times the next"


def exemplar_id(identity: str, photo_sha256: str, space: str) -> str:
    """Name of an exemplar, 16 hex digits: the same photo of the same person has the same name."""
    return hashlib.blake2b(f"{identity}|{photo_sha256}|{space}".encode(), digest_size=8).hexdigest()


def find_disagreements(
    identities: Sequence[str], embeddings: npt.NDArray[np.float32]
) -> Iterator[tuple[int, str]]:
    """Exemplars that look like a stranger among those of their identity.

    Yields the row and a sentence where an exemplar's best score with another photo of its person
    is below `STRANGER_SCORE`, or below its best score with somebody else's.

    Parameters
    ----------
    identities
        Of each exemplar, length ``n``.
    embeddings
        Unit length, shape ``(n, dim)``.
    """
    vectors = np.asarray(embeddings, np.float32)
    names = np.array(identities, object)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    for row, name in enumerate(names):
        own = scores[row][names == name]
        others = scores[row][names != name]
        own_best = float(own.max()) if len(own) > 1 else np.nan
        other_best = float(others.max(initial=-1.0))
        if own_best < STRANGER_SCORE:
            yield row, f"unlike every other photo of {name} (best score {own_best:.2f})"
        elif other_best > STRANGER_SCORE and not own_best > other_best:
            nearest = names[names != name][int(others.argmax())]
            yield row, f"as much like {nearest} (score {other_best:.2f}) as like {name}"


def refuse_unknown(identity: str, known: Sequence[str]) -> None:
    """Raise a sentence with the nearest name when an identity is not enrolled.

    Raises
    ------
    GalleryError
        It is not among ``known``.
    """
    if identity in known:
        return
    near = get_close_matches(identity.casefold(), [name.casefold() for name in known], 1, 0.4)
    match = next((name for name in known if near and name.casefold() == near[0]), None)
    hint = f"did you mean {match!r}?" if match else f"enrolled are: {', '.join(sorted(set(known)))}"
    raise GalleryError(f"there is no identity {identity!r} in the gallery; {hint}")
