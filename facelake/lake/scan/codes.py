"""Five-bit twins of embeddings, and what they prove about scores.

A twin c of an embedding f holds five bits a dimension, a scale s and the length e of what is left:
f = s·c + r with ‖r‖ = e. For a probe u, quantised to û, u = û + d, Cauchy and Schwarz give

    ⟨u, f⟩ = ⟨û, s·c⟩ + ⟨d, s·c⟩ + ⟨u, r⟩ ≤ s·⟨û, c⟩ + ‖d‖·‖s·c‖ + ‖u‖·e

so a face whose right side is below a threshold is below it itself, whatever was rounded away. The
twin is a third of the float16 vector's bytes, and e is about 0.06. On 9,285 real faces with 14
probes at 0.30, counting the faces whose embeddings have to be read after all: 4 bits 503 bytes a
face, 5 bits 463, 6 bits 471, 8 bits 553, float16 1,024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.lake.scan.kernels import Kernel, KernelName, make_kernel
from facelake.schema import unpack_embeddings

_LEVELS = 32
_ZERO = 16  # the code of 0: codes 0…31 stand for −16…15
_NIBBLE, _HALF_BYTE = np.uint8(15), np.uint8(4)
# For every byte its eight bits, the first in the lowest place, as eight bytes of 0 or 16.
_BITS = np.ascontiguousarray(
    ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.uint8) << _HALF_BYTE
).view(np.uint64)[:, 0]
# Steps tried, in units of the embedding's root mean square. For normally distributed numbers 32
# even steps do best at 0.188 (Max 1960, table II); six steps gain half a per cent and take twice
# the time.
_STEPS = np.array([0.21, 0.185, 0.16], np.float32)
_TAIL_BYTES = 16  # scale and error, float32 each, and parity
_WORD = np.dtype("<u8")
# Products of integers are exact; what floating point adds to the bound on the way is less.
_SLACK = 1e-5
_ROWS = 1024  # codes worked on together: they stay in a core's own cache


def twin_bytes(dim: int) -> int:
    """Bytes of a twin: half a byte and a bit a dimension; scale, error and parity."""
    half = _half(dim)
    return half + half // 4 + _TAIL_BYTES


def _half(dim: int) -> int:
    """Bytes that hold the lower four bits of the codes: two codes each, a multiple of four."""
    return -(-dim // 8) * 4


def encode_twins(embeddings: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column of twins of an embedding column; null where it is null.

    With h = 4·⌈dim/8⌉: the lower four bits of code j are the low half of byte j, those of code
    j + h its high half; then the highest bit of every code, the first in the lowest place; then the
    scale and the error, little-endian float32; then the parity of the embedding, 8 bytes
    (`parities`). What a code stands for is the code minus 16.
    """
    parts = [pa.array([], pa.binary(twin_bytes(embeddings.type.byte_width // 2)))]
    for begin in range(0, len(embeddings), _ROWS):
        block = embeddings.slice(begin, _ROWS)
        vectors = unpack_embeddings(block, missing_ok=True)
        known = ~np.isnan(vectors[:, 0])
        rows = np.zeros((len(vectors), twin_bytes(vectors.shape[1])), np.uint8)
        rows[known] = _encode(vectors[known])
        valid = None if known.all() else pa.array(known).buffers()[1]
        width = pa.binary(rows.shape[1])
        parts.append(pa.Array.from_buffers(width, len(rows), [valid, pa.py_buffer(rows.tobytes())]))
    return pa.concat_arrays(parts)


def _encode(embeddings: npt.NDArray[np.float16]) -> npt.NDArray[np.uint8]:
    vectors = embeddings.astype(np.float32)
    n, dim = vectors.shape
    rms = np.sqrt(np.mean(np.square(vectors), axis=1)) if n else np.empty(0, np.float32)
    best_error = np.full(n, np.inf)
    best_codes = np.zeros((n, dim), np.int8)
    best_scale = np.zeros(n, np.float32)
    for width in _STEPS:
        step = np.maximum(width * rms, np.float32(1e-12))[:, None]
        codes = np.clip(np.rint(vectors / step), -_ZERO, _LEVELS - 1 - _ZERO)
        # Of all scales for these codes, least squares leaves the least.
        length = np.maximum(np.einsum("ij,ij->i", codes, codes), np.float32(1.0))
        scale = np.einsum("ij,ij->i", codes, vectors) / length
        left = vectors.astype(np.float64) - codes * scale.astype(np.float64)[:, None]
        error = np.sqrt(np.einsum("ij,ij->i", left, left))
        better = error < best_error
        best_error[better], best_scale[better] = error[better], scale[better]
        best_codes[better] = codes[better]
    up = np.nextafter(best_error.astype("<f4"), np.float32(np.inf)).astype("<f4")
    half = _half(dim)
    raised = np.full((n, 2 * half), _ZERO, np.uint8)
    raised[:, :dim] = best_codes + _ZERO
    numbers = np.stack([best_scale.astype("<f4"), up], axis=1)
    return np.concatenate(
        [
            (raised[:, :half] & _NIBBLE) | (raised[:, half:] << _HALF_BYTE),
            np.packbits(raised >> _HALF_BYTE, axis=1, bitorder="little"),
            numbers.view(np.uint8),
            parities(embeddings)[:, None].view(np.uint8),
        ],
        axis=1,
    )


def twin_rows(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of a column of twins that holds no null, shape ``(n, twin_bytes(dim))``."""
    array = column
    if isinstance(column, pa.ChunkedArray):  # joining copies, even what is one piece
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    width = array.type.byte_width
    raw = np.frombuffer(array.buffers()[1] or b"", np.uint8)
    raw = raw[array.offset * width : (array.offset + len(array)) * width]
    return raw.reshape(len(array), width)


def decode_twins(
    rows: npt.NDArray[np.uint8], dim: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What twins stand for, shape ``(n, dim)``, and the lengths of what they leave out."""
    scale, error = _tail(rows)
    unpack, codes = _Unpacker(_half(dim)), np.empty((len(rows), 2 * _half(dim)), np.uint8)
    for begin in range(0, len(rows), _ROWS):
        codes[begin : begin + _ROWS] = np.concatenate(unpack(rows[begin : begin + _ROWS]), axis=1)
    meant = (codes[:, :dim].astype(np.float64) - _ZERO) * scale[:, None]
    return meant, error.astype(np.float64)


class _Unpacker:
    """Unpacks codes into memory of its own: to ask for it anew takes longer than the work."""

    def __init__(self, half: int) -> None:
        self._low, self._high = np.empty((2, _ROWS, half), np.uint8)
        self._bits = np.empty((_ROWS, half // 4), np.uint64)

    def __call__(
        self, rows: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """The codes 0…31 of the first and of the second half of the dimensions.

        Until the next call, which takes their place; at most ``_ROWS`` rows.
        """
        n, half = len(rows), self._low.shape[1]
        lower, low, high = rows[:, :half], self._low[:n], self._high[:n]
        # With ``mode="raise"`` NumPy would go through a copy.
        highest = np.take(_BITS, rows[:, half:-_TAIL_BYTES], out=self._bits[:n], mode="clip")
        lifted = highest.view(np.uint8)
        np.bitwise_and(lower, _NIBBLE, out=low)
        np.bitwise_or(low, lifted[:, :half], out=low)
        np.right_shift(lower, _HALF_BYTE, out=high)
        np.bitwise_or(high, lifted[:, half:], out=high)
        return low, high


def parities(vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.uint64]:
    """Exclusive or of the 8-byte words of each embedding, the last one filled up with zeros.

    It changes with every single bit, and costs far less than reckoning the residual anew.
    """
    n, dim = vectors.shape
    raw = np.ascontiguousarray(vectors, "<f2")
    if dim % 4:
        filled = np.zeros((n, -(-dim // 4) * 4), "<f2")
        filled[:, :dim] = raw
        raw = filled
    words: npt.NDArray[np.uint64] = np.bitwise_xor.reduce(raw.view(_WORD), axis=1)
    return words


def twin_parities(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The parities of the embeddings that twins were made of."""
    return np.ascontiguousarray(rows[:, -_WORD.itemsize :]).view(_WORD)[:, 0]


def _tail(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Scales and errors, shape ``(2, n)``."""
    numbers = np.ascontiguousarray(rows[:, -_TAIL_BYTES : -_WORD.itemsize]).view("<f4")
    return np.ascontiguousarray(numbers.T).astype(np.float32, copy=False)


@dataclass(frozen=True)
class TwinProbes:
    """Probes made ready to be held against twins.

    Attributes
    ----------
    low, high
        The probes' halves as int8, shape ``(n, 4·⌈dim/8⌉)``, all with one scale.
    scale
        Of these integers.
    length, left
        The longest probe, and the longest of what their quantisation leaves out.
    """

    low: npt.NDArray[np.int8]
    high: npt.NDArray[np.int8]
    scale: float
    length: float
    left: float

    @classmethod
    def of(cls, probes: npt.NDArray[np.floating[Any]]) -> TwinProbes:
        """The probes, shape ``(n, dim)``, one or more."""
        wide = np.asarray(probes, np.float64)
        half = _half(wide.shape[1])
        padded = np.zeros((len(wide), 2 * half))
        padded[:, : wide.shape[1]] = wide
        # One scale for all: then the greatest of a row's integers is the greatest of its products.
        scale = float(np.abs(padded).max(initial=1e-12)) / 127
        codes = np.rint(padded / scale)
        left = float(np.linalg.norm(padded - codes * scale, axis=1).max())
        length = float(np.linalg.norm(padded, axis=1).max())
        whole = codes.astype(np.int8)
        low, high = np.ascontiguousarray(whole[:, :half]), np.ascontiguousarray(whole[:, half:])
        return cls(low, high, scale, length, left)

    def kernel(self, name: KernelName = "auto") -> Kernel:
        """What makes these probes' products; see `kernels.make_kernel`."""
        return make_kernel(self.low, self.high, zero=_ZERO, name=name)

    def upper_bounds(self, rows: npt.NDArray[np.uint8], kernel: Kernel) -> npt.NDArray[np.float32]:
        """What the best probe's score of each face cannot exceed, shape ``(n,)``.

        Parameters
        ----------
        rows
            Twins, from `twin_rows`.
        kernel
            From `kernel`.
        """
        scale, error = _tail(rows)
        best = np.empty(len(rows), np.int32)
        unpack = _Unpacker(self.low.shape[1])
        for begin in range(0, len(rows), _ROWS):
            best[begin : begin + _ROWS] = kernel(*unpack(rows[begin : begin + _ROWS]))
        # ‖s·c‖ ≤ ‖f‖ + e, and float16 makes no unit vector longer than 1.001.
        reach = self.left * (1.001 + error) + self.length * error + _SLACK
        bounds: npt.NDArray[np.float32] = best * (np.float32(self.scale) * scale) + reach
        return bounds
