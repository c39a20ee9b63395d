"""Chips are small pictures that embed as the frame's own pixels do, and nothing else is decoded."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facelake.errors import CatalogError
from facelake.faces import FaceEngine, find_pack
from facelake.faces.chip import CHIP_FORMAT, decode_chip, encode_chip
from facelake.schema import IngestSettings


def soft_chip(seed: int = 0) -> npt.NDArray[np.uint8]:
    """Colours that change slowly, as on a face."""
    coarse = np.random.default_rng(seed).integers(30, 220, (7, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((112, 112), Image.Resampling.BICUBIC))


def as_file(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@given(st.integers(0, 2**32 - 1))
def test_a_chip_comes_back_as_it_was_but_for_a_few_grey_levels(seed: int) -> None:
    chip = soft_chip(seed)
    picture = encode_chip(chip)
    decoded = decode_chip(picture)
    assert decoded.shape == (112, 112, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - chip).mean() < 3
    assert len(picture) < 6000


def test_red_stays_red() -> None:
    red = np.full((112, 112, 3), (200, 20, 20), np.uint8)
    assert np.abs(decode_chip(encode_chip(red)).astype(int) - red).max() <= 3


def test_any_reader_of_pictures_reads_what_the_format_says() -> None:
    with Image.open(io.BytesIO(encode_chip(soft_chip()))) as image:
        assert (image.format, image.size, image.mode) == (CHIP_FORMAT.upper(), (112, 112), "RGB")
        assert not image.getexif()


def test_webp_and_grey_chips_are_decoded_too() -> None:
    chip = soft_chip()
    webp = decode_chip(as_file(Image.fromarray(chip), "WEBP", lossless=True))
    np.testing.assert_array_equal(webp, chip)
    grey = decode_chip(as_file(Image.fromarray(chip).convert("L"), "JPEG"))
    assert grey.shape == (112, 112, 3)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"", "must be a JPEG or WebP picture"),
        (b"no picture at all", "must be a JPEG or WebP picture"),
        (encode_chip(soft_chip())[:600], "must be a JPEG or WebP picture"),
        (as_file(Image.new("RGB", (112, 112)), "PNG"), "must be a JPEG or WebP picture"),
        (as_file(Image.new("RGB", (112, 96)), "JPEG"), "112×112 pixels, but has 112×96"),
        (as_file(Image.new("RGB", (20_000, 10_000)), "JPEG"), "must be a JPEG or WebP|112×112"),
    ],
    ids=["empty", "text", "cut short", "PNG", "another size", "a bomb"],
)
def test_what_is_no_chip_is_refused(picture: bytes, reason: str) -> None:
    with pytest.raises(CatalogError, match=reason):
        decode_chip(picture)


@pytest.mark.models
@pytest.mark.shared
@pytest.mark.parametrize(
    "clip", ["friends_poker/friends_poker.mp4", "friends_shots/out14.mp4"], ids=["poker", "shots"]
)
def test_a_chip_embeds_as_the_pixels_of_the_frame_do(shared: Path, clip: str) -> None:
    import av

    engine = FaceEngine(find_pack("buffalo_sc"), IngestSettings(), device="cpu", threads=0)
    with av.open(str(shared / "videos" / clip)) as video:
        frames = islice(video.decode(video=0), 0, 600, 15)
        images = [frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False) for frame in frames]
    chips = [found.chip for image in images for found in engine.look([image])[0]]
    assert len(chips) > 15
    pictures = [encode_chip(chip) for chip in chips]
    before, after = engine.embed(chips), engine.embed([decode_chip(each) for each in pictures])
    cosine = np.einsum("nd,nd->n", before, after)
    assert np.median(cosine) >= 0.99
    assert np.percentile(cosine, 1) >= 0.97
    assert np.mean([len(picture) for picture in pictures]) < 5000
