"""What identities and exemplars are called."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

from facelake.errors import GalleryError

_MOST_NAMES = 8  # of the enrolled in an error sentence

NOBODY = "nobody is enrolled in this catalog; facelake enrol PHOTOS -c CATALOG comes first"
NOBODY_LEFT = (
    "nobody in this gallery has an exemplar left to compare with: all are vetoed or negatives; "
    "facelake enrol adds more, facelake gallery lists them"
)


def plain_name(name: str) -> str:
    """An identity as it is kept and compared: Unicode NFC, single spaces.

    A Mac writes the é of a folder's name as two characters where a keyboard types one.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def exemplar_id(identity: str, photo_sha256: str, space: str) -> str:
    """Name of an exemplar, 16 hex digits: the same photo of the same person has the same name."""
    return hashlib.blake2b(f"{identity}|{photo_sha256}|{space}".encode(), digest_size=8).hexdigest()


def face_exemplar_id(identity: str, face_id: str, space: str) -> str:
    """Name of an exemplar that is a face of the lake, 16 hex digits: whatever its role is."""
    return exemplar_id(identity, f"face {face_id}", space)


def refuse_unknown(identity: str, known: Sequence[str], without: Sequence[str] = ()) -> None:
    """Raise a sentence with the nearest name when an identity is not enrolled.

    Parameters
    ----------
    without
        Identities all of whose exemplars are vetoed or negatives.

    Raises
    ------
    GalleryError
        It is not among ``known``, nobody is, or it has no exemplar left.
    """
    if identity in without:
        raise GalleryError(
            f"{identity!r} must have an exemplar to compare with, but has none left: all are "
            "vetoed or negatives; enrol a photo or a face, or take one back with facelake gallery "
            "remove"
        )
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
