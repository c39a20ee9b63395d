"""What H.264's sequence parameter sets say of interlacing (ITU-T H.264, 7.3.2.1.1)."""

from __future__ import annotations

from collections.abc import Iterator

from facelake.video.bitstream import iter_units, length_size

_SEQUENCE_SET = 7
# Profiles whose sets tell of chroma and scaling before anything else.
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})


def allows_fields(extradata: bytes, packet: bytes | memoryview = b"") -> bool:
    """Whether a sequence parameter set lets a picture be a single field.

    Parameters
    ----------
    extradata
        The stream's codec configuration (avcC, or Annex B); its sets are read when no packet comes.
    packet
        A packet whose sets are read.

    Returns
    -------
    bool
        False when there is no set. True for one that cannot be read.
    """
    size = length_size("h264", extradata)
    is_configuration = size > 0 and not len(packet)
    units = _configured(extradata) if is_configuration else iter_units(packet or extradata, size)
    sets = (unit for unit in units if len(unit) and unit[0] & 0x1F == _SEQUENCE_SET)
    return any(not _frames_only(bytes(unit)) for unit in sets)


def _configured(extradata: bytes) -> Iterator[bytes]:
    """The sequence parameter sets of an avcC box (ISO/IEC 14496-15, 5.3.3.1)."""
    at = 6
    for _ in range(extradata[5] & 0x1F if len(extradata) > 5 else 0):
        end = at + 2 + int.from_bytes(extradata[at : at + 2], "big")
        yield extradata[at + 2 : end]
        at = end


def _frames_only(unit: bytes) -> bool:
    """The set's ``frame_mbs_only_flag``."""
    bits = _Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    try:
        profile = bits.read(8)
        bits.read(16)  # constraints and level
        bits.read_ue()  # the set's number
        if profile in _HIGH_PROFILES:
            _skip_chroma_and_scaling(bits)
        bits.read_ue()  # bits of frame numbers
        _skip_picture_order(bits)
        bits.read_ue()  # reference frames
        bits.read(1)
        bits.read_ue()  # width and height in macroblocks
        bits.read_ue()
        return bits.read(1) == 1
    except EOFError:
        return False


def _skip_chroma_and_scaling(bits: _Bits) -> None:
    chroma = bits.read_ue()
    if chroma == 3:
        bits.read(1)
    bits.read_ue()  # bits of luma and chroma
    bits.read_ue()
    bits.read(1)
    if not bits.read(1):
        return
    for number in range(12 if chroma == 3 else 8):
        if bits.read(1):
            _skip_scaling_list(bits, 16 if number < 6 else 64)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = 8
    for _ in range(size):
        last = (last + bits.read_se()) % 256
        if last == 0:  # the rest repeats the one before
            return


def _skip_picture_order(bits: _Bits) -> None:
    kind = bits.read_ue()
    if kind == 0:
        bits.read_ue()
    elif kind == 1:
        bits.read(1)
        bits.read_se()
        bits.read_se()
        for _ in range(bits.read_ue()):
            bits.read_se()


class _Bits:
    """Bits, and the Exp-Golomb codes of H.264, 9.1, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, n_bits: int) -> int:
        if n_bits > self._left:
            raise EOFError
        self._left -= n_bits
        return self._value >> self._left & ((1 << n_bits) - 1)

    def read_ue(self) -> int:
        n_zeros = 0
        while not self.read(1):
            n_zeros += 1
        return (1 << n_zeros) - 1 + self.read(n_zeros)

    def read_se(self) -> int:
        code = self.read_ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)
