"""A clip's file name, made from a template."""

from __future__ import annotations

import re
import unicodedata
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TEMPLATE = "{video}_{identity}_{start}-{end}.mp4"
TEMPLATE_FIELDS = ("video", "identity", "start", "end", "start_s", "end_s", "score_max", "n")

_MAX_BYTES = 200  # of a name, in UTF-8: file systems allow 255, synchronising tools often less
_SHORT_BYTES = 60  # of a video's or identity's name where the whole would be too long
_NUMBER_BYTES = 8  # left for the number of a repeated name
_SUFFIX = ".mp4"
_ILLEGAL = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\.|$)", re.IGNORECASE)


def clip_name(
    template: str = DEFAULT_TEMPLATE,
    *,
    video: str,
    identity: str,
    start_s: float,
    end_s: float,
    score_max: float,
    n: int,
    taken: set[str],
) -> str:
    """A clip's path within its folder: legal on every file system, and given to no other clip.

    ``{start}`` and ``{end}`` read ``00h01m23.450s``: they sort as text and hold no colon.
    ``{video}`` and ``{identity}`` keep letters and digits of any script; everything else becomes
    ``_``. A name is at most 200 bytes of UTF-8; a longer one is made with shortened videos and
    identities.

    Parameters
    ----------
    template
        Python's format syntax over ``{video} {identity} {start} {end} {start_s} {end_s}
        {score_max} {n}``, for instance ``{identity}/{n:04d}_{start}.mp4``. A ``/`` makes a folder.
    video, identity
        As they shall read.
    start_s, end_s
        Of the span, in seconds.
    score_max
        Its best score, in [−1, 1].
    n
        Number of the clip in its plan, from 1.
    taken
        The names given so far, case-folded because some file systems do not tell ``Ann`` from
        ``ann``. The new one is added; a name that is taken gets ``_2``, ``_3``, …

    Raises
    ------
    ValueError
        The template names an unknown field, leads out of the folder, holds a character that is
        not legal everywhere, or does not end in ``.mp4``.

    Examples
    --------
    >>> facts = dict(start_s=83.45, end_s=90.0, score_max=0.71, n=1, taken=set())
    >>> clip_name(video="news 7", identity="Zoë O'Neil", **facts)
    'news_7_Zoë_O_Neil_00h01m23.450s-00h01m30.000s.mp4'
    """
    _refuse(template)
    fields: dict[str, object] = {
        "video": _slug(video),
        "identity": _slug(identity),
        "start": format_time(start_s),
        "end": format_time(end_s),
        "start_s": start_s,
        "end_s": end_s,
        "score_max": score_max,
        "n": n,
    }
    name = _render(template, fields)
    if any(len(part.encode()) > _MAX_BYTES for part in name.split("/")):
        short = {key: _cut(str(fields[key]), _SHORT_BYTES) for key in ("video", "identity")}
        name = _render(template, fields | short)
    stem = "/".join(_legal(part) for part in name[: -len(_SUFFIX)].split("/"))
    return _give(stem, taken)


def format_time(time_s: float) -> str:
    """Seconds as ``00h01m23.450s``; ``neg…`` before 0.

    >>> format_time(3683.4504)
    '01h01m23.450s'
    """
    milliseconds = round(abs(time_s) * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "neg" if time_s < 0 else ""
    return f"{sign}{hours:02d}h{minutes:02d}m{seconds:02d}.{milliseconds:03d}s"


def _refuse(template: str) -> None:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"template {template!r} cannot be read: {error}") from error
    for literal, field, spec, _ in parts:
        if field is not None and field not in TEMPLATE_FIELDS:
            raise ValueError(
                f"template {template!r} names the unknown field {field!r}; "
                f"known are {', '.join(TEMPLATE_FIELDS)}"
            )
        if "{" in (spec or ""):
            raise ValueError(f"template {template!r} must not put a field into a format")
        illegal = _ILLEGAL.search(literal)
        if illegal:
            raise ValueError(
                f"template {template!r} holds {illegal[0]!r}, which not every file system takes; "
                "folders are divided by /"
            )
    if any(part.strip() in ("", ".", "..") for part in template.split("/")):
        raise ValueError(
            f"template {template!r} must stay within the folder: no / at the start, no empty part, "
            "no . or .."
        )
    if not template.lower().endswith(_SUFFIX):
        raise ValueError(f"template {template!r} must end in {_SUFFIX}: clips are MP4 files")


def _render(template: str, fields: Mapping[str, object]) -> str:
    try:
        return template.format_map(fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"template {template!r} cannot be filled in: {error}") from error


def _slug(text: str) -> str:
    """Letters, marks and digits of any script, ``-`` and ``.``; everything else is one ``_``."""
    kept = "".join(
        char if char in "-." or unicodedata.category(char)[0] in "LMN" else "_"
        for char in unicodedata.normalize("NFC", text)
    )
    slug = re.sub(r"\.{2,}", ".", re.sub(r"_{2,}", "_", kept)).strip("_-.")
    return slug or "unnamed"


def _legal(part: str) -> str:
    """One part of a path without what a file system or a shell would take amiss."""
    part = _ILLEGAL.sub("_", unicodedata.normalize("NFC", part)).strip(" .").lstrip("-. ")
    if _RESERVED.match(part):
        part = f"_{part}"
    room = _MAX_BYTES - len(_SUFFIX) - _NUMBER_BYTES
    return _cut(part, room).rstrip(" .") or "unnamed"


def _cut(text: str, n_bytes: int) -> str:
    """The text's beginning that fits, without half a character."""
    return text.encode()[:n_bytes].decode(errors="ignore")


def _give(stem: str, taken: set[str]) -> str:
    number = 1
    while True:
        name = f"{stem}{'' if number == 1 else f'_{number}'}{_SUFFIX}"
        folded = unicodedata.normalize("NFC", name.casefold())
        if folded not in taken:
            taken.add(folded)
            return name
        number += 1
