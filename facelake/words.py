"""Numbers as people read them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "span"), counted(2, "identity"), counted(1200, "face")
    ('1 span', '2 identities', '1,200 faces')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def clock(seconds: float) -> str:
    """A duration as ``m:ss`` or ``h:mm:ss``.

    Examples
    --------
    >>> clock(59.6), clock(3725)
    ('1:00', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
