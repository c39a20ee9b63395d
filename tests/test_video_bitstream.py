"""What a packet's first slice tells: NAL units by the standards, and what encoders write."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.testing import cases
from facelake.video.bitstream import are_references, first_slice, starts_decoding

# Configurations that say "lengths have n bytes": avcC (ISO/IEC 14496-15, 5.3.3) holds n − 1 in the
# last bits of byte 4, hvcC (8.3.3) in those of byte 21.
AVCC = {n: bytes([1, 100, 0, 30, 0xFC | (n - 1), 0xE1]) for n in (1, 2, 4)}
HVCC = {n: bytes([1, *[0] * 20, 0xFC | (n - 1), 0]) for n in (1, 2, 4)}
ANNEX_B = b"\0\0\0\1\x67\x64\0\x1e"  # a parameter set, as transport streams carry it

SPS, PPS, SEI, AUD, SLICE, IDR = 7, 8, 6, 9, 1, 5
BODY = b"\x88\x84\x21"


def h264_unit(kind: int) -> bytes:
    return bytes([0x60 | kind]) + BODY


def hevc_unit(kind: int) -> bytes:
    return bytes([kind << 1, 1]) + BODY


def framed(units: list[bytes], length_size: int) -> bytes:
    """Units with lengths before them, or with start codes where ``length_size`` is 0."""
    if not length_size:
        return b"".join(b"\0\0\1" + unit for unit in units)
    return b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)


def starts(codec: str, extradata: bytes, packet: bytes) -> bool:
    return starts_decoding(codec, first_slice(codec, extradata, memoryview(packet)))


# Where decoding can start -----------------------------------------------------------------------


@pytest.mark.parametrize("length_size", [0, 1, 2, 4])
@pytest.mark.parametrize(
    ("kinds", "does"),
    [
        ([IDR], True),
        ([SPS, PPS, SEI, IDR, IDR], True),
        ([AUD, SPS, PPS, SLICE], False),
        ([SEI, SLICE, IDR], False),  # the first slice decides
        ([SPS, PPS], False),
        ([], False),
    ],
)
def test_an_h264_packet_starts_decoding_when_its_first_slice_is_of_an_idr_picture(
    kinds: list[int], does: bool, length_size: int
) -> None:
    extradata = AVCC[length_size] if length_size else ANNEX_B
    packet = framed([h264_unit(kind) for kind in kinds], length_size)
    assert starts("h264", extradata, packet) is does


@pytest.mark.parametrize("length_size", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", range(32))
def test_an_hevc_packet_starts_decoding_with_types_16_to_21(kind: int, length_size: int) -> None:
    extradata = HVCC[length_size] if length_size else b""
    parameters, enhancement = [32, 33, 34], 39
    packet = framed([hevc_unit(k) for k in [*parameters, enhancement, kind]], length_size)
    assert starts("hevc", extradata, packet) is (16 <= kind <= 21)


@pytest.mark.parametrize("codec", ["vp9", "vp8", "mjpeg", "av1", "mpeg4"])
def test_other_codecs_are_taken_at_their_word(codec: str) -> None:
    assert starts_decoding(codec, -1)


@given(st.sampled_from(["h264", "hevc"]), st.binary(max_size=40), st.binary(max_size=200))
def test_no_bytes_make_it_stumble(codec: str, extradata: bytes, packet: bytes) -> None:
    assert -1 <= first_slice(codec, extradata, memoryview(packet)) <= 0xFFFF
    assert starts(codec, extradata, packet) in (True, False)


def starting_packets(path: Path) -> tuple[list[bool], list[bool]]:
    """What the container flags as key frames, and what the bits say, packet by packet."""
    flags, bits = [], []
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        for packet in container.demux(video=0):
            if packet.size:
                flags.append(packet.is_keyframe)
                name, extradata = codec.codec.canonical_name, codec.extradata or b""
                bits.append(starts(name, extradata, bytes(packet)))
    return flags, bits


@pytest.mark.parametrize(
    "name", ["closed_gop", "mpegts", "open_gop_hevc", "ten_bit_hevc", "no_timestamps"]
)
def test_encoders_flag_exactly_the_packets_that_start_decoding(name: str, tmp_path: Path) -> None:
    flags, bits = starting_packets(cases.make_case(name, tmp_path).path)
    assert flags == bits
    assert (sum(bits), len(bits)) == (5, 60)  # one each 12 frames


def test_open_groups_of_h264_start_with_an_idr_picture_only_once(tmp_path: Path) -> None:
    flags, bits = starting_packets(cases.make_case("open_gop_h264", tmp_path).path)
    assert (sum(flags), sum(bits), bits[0]) == (5, 1, True)


@pytest.mark.parametrize("size", [3, 100, 125, 126, 127, 128, 129, 5000])
@pytest.mark.parametrize("length_size", [0, 4])
def test_the_first_slice_is_found_behind_any_message(size: int, length_size: int) -> None:
    message = bytes([SEI]) + b"\x55" * size
    packet = framed([message, h264_unit(IDR), h264_unit(SLICE)], length_size)
    extradata = AVCC[length_size] if length_size else ANNEX_B
    assert first_slice("h264", extradata, packet) == 0x60 << 8 | IDR << 8 | BODY[0]


# What others refer to ---------------------------------------------------------------------------


def test_an_h264_picture_is_referred_to_unless_its_two_bits_are_zero() -> None:
    units = np.array([(bits << 5 | kind) << 8 for bits in range(4) for kind in (SLICE, IDR)])
    assert are_references("h264", units).tolist() == [False] * 2 + [True] * 6


def test_an_hevc_picture_is_referred_to_unless_its_type_is_even_and_below_15() -> None:
    units = np.array([int.from_bytes(hevc_unit(kind)[:2], "big") for kind in range(32)])
    left_out = [kind for kind in range(32) if not are_references("hevc", units)[kind]]
    assert left_out == [0, 2, 4, 6, 8, 10, 12, 14]  # H.265, table 7-1: TRAIL_N to RSV_VCL_N14


TRAIL_N, TRAIL_R, TSA_N = 0, 1, 2


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([(TRAIL_R, 1), (TSA_N, 2), (TRAIL_R, 1)], [True, False, True]),
        ([(TRAIL_R, 1), (TRAIL_N, 1), (TSA_N, 2)], [False] * 3),  # a higher layer may refer to it
        ([], []),
    ],
)
def test_only_the_highest_temporal_layer_of_hevc_can_be_left_out(
    pictures: list[tuple[int, int]], expected: list[bool]
) -> None:
    units = np.array([kind << 9 | layer for kind, layer in pictures], np.int64)
    assert are_references("hevc", units).tolist() == expected


def test_nothing_is_known_where_one_packet_holds_no_slice() -> None:
    assert are_references("h264", np.array([0x6500, -1, 0x0100])).tolist() == [False] * 3
