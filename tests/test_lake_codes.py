"""Twins prove what they claim: no face that could score enough is ever left out."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.errors import EngineError
from facelake.lake.scan.codes import (
    TwinProbes,
    decode_twins,
    encode_twins,
    parities,
    twin_bytes,
    twin_parities,
    twin_rows,
)
from facelake.lake.scan.kernels import BestScore, KernelName, make_kernel
from facelake.schema import pack_embeddings, unpack_embeddings


def unit(n: int, dim: int, seed: int, *, spread: float = 0.0) -> npt.NDArray[np.float32]:
    """Unit vectors; with ``spread`` a few dimensions hold most of their length."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, dim)) * np.exp(-spread * np.arange(dim))
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def twins_of(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return twin_rows(encode_twins(pack_embeddings(vectors)))


dims = st.sampled_from([1, 2, 7, 8, 16, 33, 128, 512])


@given(dims, st.integers(1, 40), st.integers(1, 20), st.integers(0, 99), st.sampled_from([0, 0.1]))
@settings(max_examples=60, deadline=None)
def test_no_score_exceeds_its_bound(
    dim: int, n_faces: int, n_probes: int, seed: int, spread: float
) -> None:
    faces, probes = unit(n_faces, dim, seed, spread=spread), unit(n_probes, dim, seed + 1)
    kept = unpack_embeddings(pack_embeddings(faces)).astype(np.float64)
    best = (kept @ probes.astype(np.float64).T).max(axis=1)
    twin_probes = TwinProbes.of(probes)
    bounds = twin_probes.upper_bounds(twins_of(faces), twin_probes.kernel())
    assert np.all(bounds >= best)
    # Nor is the bound idle: it is no further above than the proof allows.
    _, error = decode_twins(twins_of(faces), dim)
    slack = 2 * (error + twin_probes.left * (1.001 + error)) + 1e-4
    assert np.all(bounds <= best + slack)


def test_the_bound_is_reached_by_the_probe_that_points_along_what_was_left_out() -> None:
    face = unit(1, 64, 3)
    twin = twins_of(face)
    meant, error = decode_twins(twin, 64)
    left = unpack_embeddings(pack_embeddings(face)).astype(np.float64) - meant
    probe = left / np.linalg.norm(left)
    score = float((unpack_embeddings(pack_embeddings(face)).astype(np.float64) @ probe.T)[0, 0])
    probes = TwinProbes.of(probe)
    bound = float(probes.upper_bounds(twin, probes.kernel())[0])
    assert score == pytest.approx(float(error[0]), abs=2e-2)
    assert score <= bound <= score + 2 * probes.left + 1e-4


@given(dims, st.integers(0, 30), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_what_a_twin_leaves_out_is_what_it_says(dim: int, n: int, seed: int) -> None:
    faces = unit(n, dim, seed)
    meant, error = decode_twins(twins_of(faces), dim)
    left = np.linalg.norm(unpack_embeddings(pack_embeddings(faces)) - meant, axis=1)
    assert meant.shape == (n, dim)
    assert np.all(error >= left)
    assert np.allclose(error, left, atol=3e-8)


def test_five_bits_leave_out_what_max_1960_says() -> None:
    # Table II: 32 even steps leave 0.00349 of a normal variable's variance, 0.0591 of its length;
    # a scale of each vector's own does a little better.
    _, error = decode_twins(twins_of(unit(4000, 512, 1)), 512)
    assert 0.054 < float(np.mean(error)) < 0.0591


def test_a_face_without_an_embedding_has_no_twin() -> None:
    vectors = unit(5, 16, 0)
    vectors[[1, 4]] = np.nan
    column = encode_twins(pa.chunked_array([pack_embeddings(vectors)]))
    assert column.type == pa.binary(twin_bytes(16))
    assert column.is_null().to_pylist() == [False, True, False, False, True]
    known = twins_of(vectors[[0, 2, 3]])
    assert np.array_equal(twin_rows(column.drop_null()), known)


def test_a_twin_is_a_third_of_its_embedding() -> None:
    assert twin_bytes(512) == 512 // 2 + 512 // 8 + 16
    assert len(encode_twins(pack_embeddings(np.empty((0, 512), np.float32)))) == 0


@given(st.integers(1, 60), st.integers(1, 24), st.integers(1, 64), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_kernel_gives_the_same_integers(n: int, n_probes: int, half: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    low, high = random.integers(-127, 128, (2, n_probes, half)).astype(np.int8)
    codes = random.integers(0, 32, (2, n, half)).astype(np.uint8)
    expected = (
        np.concatenate([low, high], 1).astype(int) @ (np.concatenate(codes, 1).astype(int) - 16).T
    ).max(axis=0)
    names: list[KernelName] = ["numkong", "numpy", "auto"]
    for name in names:
        kernel = make_kernel(low, high, zero=16, name=name)
        assert np.array_equal(kernel(codes[0], codes[1]), expected), name


@pytest.mark.gpu
def test_the_gpu_gives_the_same_integers() -> None:
    pytest.importorskip("cupy")
    faces, probes = twins_of(unit(5000, 512, 1)), TwinProbes.of(unit(16, 512, 2))
    on_cpu = probes.upper_bounds(faces, probes.kernel("numpy"))
    assert np.array_equal(probes.upper_bounds(faces, probes.kernel("cupy")), on_cpu)


def test_without_a_gpu_the_gpu_kernel_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(EngineError, match="CuPy is not installed: pip install cupy-cuda13x"):
        TwinProbes.of(unit(1, 8, 0)).kernel("cupy")


def test_where_numkong_is_not_installed_numpy_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numkong", None)
    faces, probes = unit(50, 32, 0), TwinProbes.of(unit(3, 32, 1))
    auto = probes.upper_bounds(twins_of(faces), probes.kernel())
    assert np.array_equal(auto, probes.upper_bounds(twins_of(faces), probes.kernel("numpy")))
    with pytest.raises(EngineError, match="pip install numkong"):
        probes.kernel("numkong")


@given(dims, st.integers(1, 30), st.integers(1, 20), st.integers(0, 99), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_best_score_is_no_further_off_than_it_says(
    dim: int, n_faces: int, n_probes: int, seed: int, without_numkong: bool
) -> None:
    vectors = unpack_embeddings(pack_embeddings(unit(n_faces, dim, seed)))
    probes = unit(n_probes, dim, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        if without_numkong:
            patch.setitem(sys.modules, "numkong", None)
        best = BestScore(probes)
    exact = (vectors.astype(np.float64) @ probes.astype(np.float64).T).max(axis=1)
    assert np.all(np.abs(best(vectors) - exact) <= best.slack)
    assert best.slack < 1e-3


@given(dims, st.integers(0, 99), st.data())
@settings(max_examples=40, deadline=None)
def test_every_flipped_bit_of_an_embedding_is_seen_by_its_parity(
    dim: int, seed: int, data: st.DataObject
) -> None:
    vectors = unpack_embeddings(pack_embeddings(unit(3, dim, seed)))
    twins = twins_of(vectors.astype(np.float32))
    assert np.array_equal(parities(vectors), twin_parities(twins))
    bit = data.draw(st.integers(0, 16 * dim - 1))
    flipped = np.ascontiguousarray(vectors).view(np.uint8).copy()
    flipped[1, bit // 8] ^= np.uint8(1 << bit % 8)
    seen = parities(flipped.view(np.float16)) != twin_parities(twins)
    assert seen.tolist() == [False, True, False]


def test_a_driver_that_finds_no_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDeviceError(RuntimeError):
        pass

    def count() -> int:
        raise NoDeviceError("cudaErrorNoDevice: no CUDA-capable device is detected")

    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=NoDeviceError)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(EngineError, match=r"finds no GPU it can use .*cudaErrorNoDevice"):
        TwinProbes.of(unit(1, 8, 0)).kernel("cupy")
