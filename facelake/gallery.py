"""The gallery room: which photo shows whom, which face of a photo counts, and do photos agree.

A folder per person, or one photo named after them; every usable photo is an exemplar. Nothing is
skipped silently: each photo has an outcome and a sentence.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
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
# Of the thousands of pairs in a large gallery some strangers pass that; few pass this.
LOOKALIKE_SCORE = 0.30
_BLOCK_ROWS = 256
_MOST_NAMES = 8  # of the enrolled in an error sentence

NOBODY = "nobody is enrolled in this catalog; facelake enrol PHOTOS -c CATALOG comes first"


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


def plain_name(name: str) -> str:
    """An identity as it is kept and compared: Unicode NFC, single spaces.

    A Mac writes the é of a folder's name as two characters where a keyboard types one.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


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


def exemplar_id(identity: str, photo_sha256: str, space: str) -> str:
    """Name of an exemplar, 16 hex digits: the same photo of the same person has the same name."""
    return hashlib.blake2b(f"{identity}|{photo_sha256}|{space}".encode(), digest_size=8).hexdigest()


def find_disagreements(
    identities: Sequence[str], embeddings: npt.NDArray[np.float32]
) -> Iterator[tuple[int, str]]:
    """Exemplars that look like a stranger among those of their identity.

    Yields the row and a sentence where an exemplar's best score with another photo of its person
    is below `STRANGER_SCORE`, or below its best score with somebody else's. Of two such photos
    that look alike, the one with less support among its own is meant: a photo in the wrong folder
    does not cast doubt on those of the right one. The only photo of a person is told when it looks
    like somebody else by more than `LOOKALIKE_SCORE`.

    Parameters
    ----------
    identities
        Of each exemplar, length ``n``.
    embeddings
        Unit length, shape ``(n, dim)``.
    """
    names, identity = np.unique(np.array(identities, object), return_inverse=True)
    own, other, nearest = _best_scores(np.asarray(embeddings, np.float32), identity)
    for row in range(len(own)):
        alone = np.isneginf(own[row])
        enough = LOOKALIKE_SCORE if alone else max(own[row], STRANGER_SCORE)
        if other[row] > enough and own[row] <= own[nearest[row]]:
            like = f"like {names[identity[nearest[row]]]} (score {other[row]:.2f})"
            if alone:
                yield row, f"looks {like}; if both are one person, use one name"
            else:
                yield row, f"looks more {like} than like the others ({own[row]:z.2f})"
        elif not alone and own[row] < STRANGER_SCORE:
            yield row, f"unlike every other photo of this person (best score {own[row]:z.2f})"


def _best_scores(
    vectors: npt.NDArray[np.float32], identity: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Of each exemplar: best score with its own, with others', and whose row that is.

    −inf where there is no other photo to compare with.
    """
    own_best, other_best = np.empty((2, len(vectors)), np.float32)
    nearest = np.empty(len(vectors), np.intp)
    for begin in range(0, len(vectors), _BLOCK_ROWS):
        scores = vectors[begin : begin + _BLOCK_ROWS] @ vectors.T
        block = slice(begin, begin + len(scores))
        own = identity[block, None] == identity
        others = np.where(own, -np.inf, scores)
        np.fill_diagonal(scores[:, begin:], -np.inf)  # not with itself
        own_best[block] = np.where(own, scores, -np.inf).max(axis=1)
        other_best[block] = others.max(axis=1)
        nearest[block] = others.argmax(axis=1)
    return own_best, other_best, nearest


def refuse_unknown(identity: str, known: Sequence[str]) -> None:
    """Raise a sentence with the nearest name when an identity is not enrolled.

    Raises
    ------
    GalleryError
        It is not among ``known``, or nobody is.
    """
    if not known:
        raise GalleryError(NOBODY)
    if identity in known:
        return
    folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    near = get_close_matches(identity.casefold(), folded, 1, 0.4)
    raise GalleryError(
        f"the identity must be one that is enrolled, but {identity!r} is not; "
        + (f"did you mean {folded[near[0]]!r}?" if near else f"enrolled are {_list(known)}")
    )


def _list(names: Sequence[str]) -> str:
    names = sorted(set(names))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
