"""Photos of anybody, damaged in every way: pixels within the recipe's limits, or a reason; no memory, no hang."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tests.mutations import complaint, damaged, few
from voxdata.crawl.contents import image_format, looks_whole, text_kind
from voxdata.faces.cut_files import (
    gif_frame,
    jpeg_2000,
    jpeg_variants,
    plain_variants,
    png_chunks,
    png_rows,
    png_without_profile,
    webp_variants,
)
from voxdata.faces.decode import Photo, decode_photo
from voxdata.format.errors import PhotoDecodeError

FORMS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "TIFF",
    "GIF",
    "JPEG2000",
    "TIFF packed",
    "JPEG progressive",
    "GIF interlaced",
    "PNG profile",
)
LIMIT, SIDE_PX = 0.01, 4  # megapixels, and a floor of the shorter side


@cache
def photo(form: str) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((60, 50))
    name, _, kind = form.partition(" ")
    more = {"packed": {"compression": "tiff_lzw"}, "progressive": {"progressive": True}, "interlaced": {"interlace": 1}}
    options = more.get(kind, {"icc_profile": b"\0\0\1\0" + bytes(252)} if kind else {})
    exif = Image.Exif()
    exif[0x0112] = 6
    if name in ("JPEG", "PNG", "WEBP"):
        options = {**options, "exif": exif}
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def decoded(data: bytes) -> Photo:
    found = decode_photo(data, max_megapixels=LIMIT, min_side_px=SIDE_PX, min_decoded_share=0.1)
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape == (found.height_px, found.width_px, 3)
    assert 16 <= found.width_px * found.height_px <= LIMIT * 1e6
    assert found.decoded_share is None or 0.1 <= found.decoded_share <= 1
    return found


@few(150)
@given(st.data(), st.sampled_from(FORMS))
def test_any_photo_has_pixels_or_a_reason(data: st.DataObject, form: str) -> None:
    damage = data.draw(damaged(photo(form)))
    found: list[Photo] = []
    said = complaint(lambda: found.append(decoded(damage)), PhotoDecodeError)
    assert said or min(found[0].width_px, found[0].height_px) >= SIDE_PX


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, body: bytes, *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


ZEROS = zlib.compress(bytes(300 << 20), 1)
ICON = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 0, 22)
BIG = png(20_000, 20_000, b"")
TILE = (
    b"II*\0\x08\0\0\0"
    + struct.pack("<H", 8)
    + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in ((256, 10), (257, 10), (258, 8), (259, 5), (262, 1), (322, 30_000), (323, 30_000), (324, 8))
    )
)
BOMBS = {
    "pixels that are not announced": png(40, 40, ZEROS),
    "a text": png(40, 40, zlib.compress(bytes(40 * 121)), chunk(b"zTXt", b"a\0\0" + ZEROS)),
    "a profile": png(40, 40, zlib.compress(bytes(40 * 121)), chunk(b"iCCP", b"a\0\0" + ZEROS)),
    "an icon of one size with a picture of another": ICON[:14] + struct.pack("<II", len(BIG), 22) + BIG,
    "a tile that is larger than its picture": TILE + bytes(400),
    "a drawing for a printer": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n(x) run\n",
    "a GIF that announces a screen": b"GIF89a\xff\xff\xff\xff\0\0\0" + photo("GIF")[13:],
}


@pytest.mark.parametrize("name", BOMBS)
def test_photos_that_would_fill_the_memory_have_a_reason(name: str) -> None:
    said = complaint(lambda: decoded(BOMBS[name]), PhotoDecodeError)
    assert said or name in ("pixels that are not announced", "a text", "a profile")


@pytest.mark.parametrize("form", ["EPS", "PPM", "ICO", "TGA", "PCX", "SGI", "DDS", "ICNS", "PDF", "SPIDER"])
def test_formats_that_are_no_photos_are_not_decoded(form: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, form)
    assert "are no image" in str(complaint(lambda: decoded(out.getvalue()), PhotoDecodeError))


@few(150)
@given(st.data(), st.sampled_from(FORMS))
def test_no_file_that_was_cut_grows(data: st.DataObject, form: str) -> None:
    damage = data.draw(damaged(photo(form)))

    def completed() -> None:
        for variants in (jpeg_variants(damage), webp_variants(damage), plain_variants(damage)):
            for each in variants or ():
                assert len(each) < 16 * len(damage) + (1 << 16)
        for counted in (gif_frame(damage, LIMIT * 1e6), jpeg_2000(damage), png_rows(damage, LIMIT * 1e6)):
            assert counted is None or 0 <= counted[1] <= 1
        png_without_profile(damage)
        assert sum(len(body) for _, body in png_chunks(damage)) <= len(damage)

    assert complaint(completed) is None


@few(100)
@given(st.sampled_from(FORMS).flatmap(lambda form: damaged(photo(form))) | st.binary(max_size=64))
@example(b"")
@example(b"<" * 5000)
def test_any_body_is_told_by_its_first_bytes(data: bytes) -> None:
    text_kind(data)
    form = image_format(data)
    assert form is None or looks_whole(form, data) in (True, False)
