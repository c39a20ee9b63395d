"""Whether a packet flagged as a key frame really lets a decoder start there.

A container's key-frame flag is a claim: files exist that flag every n-th packet. decord seeks by
the flag and shows what comes out. For H.264 and HEVC the first slice's NAL unit type tells
(ITU-T H.264 table 7-1, H.265 table 7-1); other codecs of `index.py` have no such trap.
"""

from __future__ import annotations

from collections.abc import Iterator

_H264_IDR = 5
_HEVC_START = range(16, 22)  # BLA, IDR and CRA pictures


def starts_decoding(codec: str, extradata: bytes, packet: bytes) -> bool:
    """Whether the packet's first slice belongs to a picture that needs no earlier one.

    Parameters
    ----------
    codec
        Canonical FFmpeg name; anything but ``h264`` and ``hevc`` is taken at its word.
    extradata
        The stream's codec configuration (avcC, hvcC, or Annex B).
    packet
        The packet's bytes.
    """
    if codec == "h264":
        kinds = (unit[0] & 0x1F for unit in _units(packet, _length_size(extradata, 4)) if unit)
        return next((kind for kind in kinds if 1 <= kind <= 5), 0) == _H264_IDR
    if codec == "hevc":
        kinds = (
            unit[0] >> 1 & 0x3F for unit in _units(packet, _length_size(extradata, 21)) if unit
        )
        return next((kind for kind in kinds if kind < 32), 0) in _HEVC_START
    return True


def _length_size(extradata: bytes, at: int) -> int:
    """Bytes of each unit's length field; 0 where units are parted by start codes (Annex B)."""
    is_configuration = len(extradata) > at and extradata[0] == 1
    return (extradata[at] & 3) + 1 if is_configuration else 0


def _units(packet: bytes, length_size: int) -> Iterator[bytes]:
    """The first two bytes of each NAL unit of a packet."""
    if not length_size:
        at = packet.find(b"\0\0\1")
        while at >= 0:
            yield packet[at + 3 : at + 5]
            at = packet.find(b"\0\0\1", at + 3)
        return
    at = 0
    while at + length_size < len(packet):
        length = int.from_bytes(packet[at : at + length_size], "big")
        at += length_size
        yield packet[at : at + 2]
        at += length
