"""What the first slice of a packet says: can decoding start here, does anything refer to it.

A container's key-frame flag is a claim: files exist that flag every n-th packet. decord seeks by
the flag and shows what comes out. For H.264 and HEVC the header of the first slice's NAL unit tells
(ITU-T H.264 table 7-1, H.265 table 7-1); other codecs of `index.py` have no such trap.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

SLICE_CODECS = frozenset({"h264", "hevc"})
"""Codecs whose slices are read, by FFmpeg's canonical names."""

_H264_IDR = 5
_HEVC_START = range(16, 22)  # BLA, IDR and CRA pictures
_HEVC_NON_REFERENCE = range(0, 15, 2)  # sub-layer non-reference pictures
# Between start codes the first slice mostly begins this near; the rest is only copied where not.
_NEAR = 128
_START_CODE = b"\0\0\1"


def first_slice(codec: str, extradata: bytes, packet: bytes | memoryview) -> int:
    """The first two bytes of the NAL unit that is a packet's first slice, as one number.

    Parameters
    ----------
    codec
        ``h264`` or ``hevc``.
    extradata
        The stream's codec configuration (avcC, hvcC, or Annex B).
    packet
        The packet's bytes.

    Returns
    -------
    int
        0 to 65,535, or −1 when the packet holds no slice.
    """
    size = length_size(codec, extradata)
    is_slice = _is_h264_slice if codec == "h264" else _is_hevc_slice
    for part in (packet,) if size else (packet[:_NEAR], packet):
        for unit in iter_units(part, size):
            if len(unit) >= 2 and is_slice(unit[0]):
                return unit[0] << 8 | unit[1]
    return -1


def starts_decoding(codec: str, unit: int) -> bool:
    """Whether the first slice belongs to a picture that needs no earlier one.

    Parameters
    ----------
    codec
        Canonical FFmpeg name; anything but ``h264`` and ``hevc`` is taken at its word.
    unit
        What `first_slice` gave.
    """
    if codec == "h264":
        return unit >= 0 and unit >> 8 & 0x1F == _H264_IDR
    if codec == "hevc":
        return unit >= 0 and unit >> 9 & 0x3F in _HEVC_START
    return True


def are_references(codec: str, units: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which pictures a decoder must decode because others may refer to them.

    Parameters
    ----------
    codec
        ``h264`` or ``hevc``.
    units
        What `first_slice` gave for each packet, shape ``(n,)``.

    Returns
    -------
    ndarray
        Shape ``(n,)``, bool. All False when a packet holds no slice, or in HEVC when frames of
        a higher temporal layer may refer to one that FFmpeg takes for a non-reference.
    """
    none = np.zeros(len(units), np.bool_)
    if (units < 0).any():
        return none
    if codec == "h264":
        return np.asarray(units >> 13 & 3 != 0)
    kinds, layers = units >> 9 & 0x3F, units & 7
    leaves = np.isin(kinds, _HEVC_NON_REFERENCE)
    # "Sub-layer non-reference" speaks of its own temporal layer: only the highest has leaves.
    if (leaves & (layers < layers.max(initial=0))).any():
        return none
    return ~leaves


def length_size(codec: str, extradata: bytes) -> int:
    """Bytes of each unit's length field; 0 where units are parted by start codes (Annex B)."""
    at = 4 if codec == "h264" else 21
    is_configuration = len(extradata) > at and extradata[0] == 1
    return (extradata[at] & 3) + 1 if is_configuration else 0


def iter_units(packet: bytes | memoryview, length_size: int) -> Iterator[bytes | memoryview]:
    """The NAL units of a packet; the last may be cut short by its end."""
    at, size = 0, len(packet)
    if length_size:
        while at + length_size < size:
            start = at + length_size
            at = start + int.from_bytes(packet[at:start], "big")
            yield packet[start:at]
        return
    data = bytes(packet)
    at = data.find(_START_CODE)
    while at >= 0:
        start = at + len(_START_CODE)
        at = data.find(_START_CODE, start)
        yield data[start:at] if at >= 0 else data[start:]


def _is_h264_slice(header: int) -> bool:
    return 1 <= header & 0x1F <= 5


def _is_hevc_slice(header: int) -> bool:
    return header >> 1 & 0x3F < 32
