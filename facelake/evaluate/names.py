"""The same person and the same video, whatever two tables call them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PureWindowsPath
from typing import NamedTuple

# Accents, which people leave out; the marks of other scripts make other letters.
_ACCENTS = re.compile("[\u0300-\u036f]")


class VideoName(NamedTuple):
    """What a table calls a video.

    Attributes
    ----------
    path
        A path, a file name, or either without its ending.
    video_id
        The id of its content in a catalog; ``None`` where the table has none.
    """

    path: str
    video_id: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and the file's name without its ending, in reverse."""
        path = PureWindowsPath(self.path)  # knows both kinds of slashes
        return (path.stem, *reversed(path.parts[:-1]))

    @property
    def title(self) -> str:
        """The file's name."""
        return PureWindowsPath(self.path).name


def plain_key(name: str) -> str:
    """A person's name without case, accents and punctuation.

    Examples
    --------
    >>> plain_key("Zoë_Kravitz-2"), plain_key("山田 太郎")
    ('zoekravitz2', '山田太郎')
    """
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", name)).casefold()
    return "".join(letter for letter in plain if unicodedata.category(letter)[0] in "LMN")


def pair_videos(found: Sequence[VideoName], told: Sequence[VideoName]) -> dict[int, int]:
    """Which video of one table is which of the other: positions in ``found`` → in ``told``.

    Two names mean one video when they have its id, else when the file's name is the same but for
    its ending; of several such the one that shares the most folders.

    Raises
    ------
    ValueError
        Two videos are as likely.

    Examples
    --------
    >>> pair_videos([VideoName("/a/2/x.mp4"), VideoName("y.mkv")], [VideoName("2/x.mov")])
    {0: 0}
    """
    by_id = {name.video_id: place for place, name in enumerate(told) if name.video_id}
    pairs = {row: by_id[name.video_id] for row, name in enumerate(found) if name.video_id in by_id}
    by_stem = defaultdict(list)
    for place in set(range(len(told))) - set(pairs.values()):
        by_stem[told[place].parts[0]].append(place)
    claims: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, name in enumerate(found):
        if row not in pairs and name.parts[0] in by_stem:
            near = [(_shared(name, told[place]), place) for place in by_stem[name.parts[0]]]
            likeness, place = _clear_best(near, name.path, told)
            claims[place].append((likeness, row))
    named = {_clear_best(rows, told[place].path, found)[1]: place for place, rows in claims.items()}
    return pairs | named


def _shared(one: VideoName, other: VideoName) -> int:
    """How many parts of two paths are the same, from the file's name on."""
    count = 0
    for part, other_part in zip(one.parts, other.parts, strict=False):
        if part != other_part:
            break
        count += 1
    return count


def _clear_best(
    rated: Sequence[tuple[int, int]], path: str, names: Sequence[VideoName]
) -> tuple[int, int]:
    best = max(rated)
    tied = [names[place].path for likeness, place in rated if likeness == best[0]]
    if len(tied) > 1:
        raise ValueError(
            f"{path}: must be one video, but could be {tied[0]} or {tied[1]}; name the videos of "
            "the truth with their folders"
        )
    return best
