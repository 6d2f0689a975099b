"""Photos of every kind become upright RGB or a reason."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from face_kit import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from voxdata.faces.decode import decode_photo, is_grayscale, perceptual_hash, thumbnail
from voxdata.format.errors import PhotoDecodeError
from voxdata.recipe.faces import FaceMeasure

RAMP = np.dstack([np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1)), np.full((48, 64), 90, np.uint8)] * 2)[:, :, :3]


def save(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to no pixels."""
    claimed = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", claimed) + png_chunk(b"IDAT", zlib.compress(bytes(100)))


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


BAD_PHOTOS = {
    "zero bytes": (b"", "unreadable"),
    "HTML as jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "unreadable"),
    "a JPEG cut in half": (encoded(RAMP, "JPEG")[: len(encoded(RAMP, "JPEG")) // 2], "unreadable"),
    "only a JPEG's first bytes": (encoded(RAMP, "JPEG")[:20], "unreadable"),
    "a PNG cut in half": (encoded(RAMP)[: len(encoded(RAMP)) // 2], "unreadable"),
    "1x1": (encoded(RAMP[:1, :1]), "too_small"),
    "20000x20000 by its header": (png_header(20_000, 20_000), "too_large"),
    "above the recipe's limit": (png_header(3_000, 2_000), "too_large"),
    "floating point": (save(Image.fromarray(np.ones((40, 40), np.float32)), "TIFF"), "unreadable"),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_bad_photo_gets_its_reason(name: str) -> None:
    data, reason = BAD_PHOTOS[name]
    with pytest.raises(PhotoDecodeError) as caught:
        decode_photo(data, max_megapixels=5.0, min_side_px=16)
    assert caught.value.reason == reason
    assert str(caught.value)


NOISE = np.random.default_rng(3).integers(0, 256, (40, 30, 3), dtype=np.uint8)
SCENE = Image.fromarray(NOISE).resize((600, 800), Image.Resampling.BICUBIC)
CUT = {
    "JPEG": {"quality": 92},
    "progressive JPEG": {"quality": 92, "progressive": True},
    "PNG": {},
    "WEBP": {"quality": 90},
    "BMP": {},
    "TIFF": {},
    "GIF": {"interlace": 0},
    "interlaced GIF": {"interlace": 1},
    "JPEG2000": {},
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_by_one_per_cent_is_read_and_says_how_much_is_missing(name: str) -> None:
    whole = save(SCENE, name.split()[-1], **CUT[name])
    photo = decode_photo(whole[: int(0.99 * len(whole))], max_megapixels=5.0)
    assert photo.decoded_share is not None
    assert 0.95 <= photo.decoded_share <= 1.0
    plain = decode_photo(whole, max_megapixels=5.0)
    assert plain.decoded_share is None
    kept = slice(60, None) if name == "BMP" else slice(0, 740)  # a BMP begins with its last row
    assert np.abs(photo.pixels[kept].astype(int) - plain.pixels[kept]).mean() < 4


@given(kept=st.floats(0.3, 0.999), colours=st.sampled_from([2, 7, 256]), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_cut_gif_has_the_pixels_that_came_before_the_cut(kept: float, colours: int, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, colours, (61, 97), dtype=np.uint8)
    whole = save(Image.fromarray(levels).convert("P"), "GIF", interlace=0)
    plain = decode_photo(whole, max_megapixels=5.0).pixels
    photo = decode_photo(whole[: int(kept * len(whole))], max_megapixels=5.0, min_decoded_share=0.01)
    there = round(float(photo.decoded_share or 0) * levels.size)
    assert np.array_equal(photo.pixels.reshape(-1, 3)[:there], plain.reshape(-1, 3)[:there])
    assert there < levels.size


@given(st.binary(max_size=400), st.sampled_from([b"GIF89a", b"BM", b"II*\0", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "]))
@settings(max_examples=200, deadline=None)
def test_no_cut_file_is_a_traceback(rest: bytes, start: bytes) -> None:
    try:
        photo = decode_photo(start + rest, max_megapixels=5.0)
    except PhotoDecodeError:
        return
    assert photo.pixels.size <= 3 * 5_000_000
    assert photo.decoded_share is None or 0 < photo.decoded_share <= 1


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("JPEG", 0.8),
        ("JPEG", 0.4),
        ("progressive JPEG", 0.3),
        ("PNG", 0.8),
        ("WEBP", 0.8),
        ("BMP", 0.8),
        ("TIFF", 0.8),
        ("GIF", 0.8),
        ("GIF", 0.4),
        ("interlaced GIF", 0.93),
        ("JPEG2000", 0.8),
    ],
)
def test_a_file_of_which_too_much_is_missing_says_how_much_is_there(name: str, kept: float) -> None:
    whole = save(SCENE, name.split()[-1], **CUT[name])
    with pytest.raises(PhotoDecodeError, match=r"of the picture are there, at least 90%") as caught:
        decode_photo(whole[: int(kept * len(whole))], max_megapixels=5.0)
    assert caught.value.reason == "unreadable"


def test_a_recipe_may_ask_for_less_of_a_cut_photo() -> None:
    whole = save(SCENE, "JPEG", quality=92)
    photo = decode_photo(whole[: len(whole) // 2], max_megapixels=5.0, min_decoded_share=0.3)
    assert photo.decoded_share == pytest.approx(0.5, abs=0.06)
    assert (FaceMeasure(min_decoded_share=0.3).model_dump().keys() - FaceMeasure().model_dump().keys()) == {
        "min_decoded_share"
    }


def test_a_photo_of_a_phone_is_read_with_the_extra() -> None:
    pillow_heif: Any = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed (the extra heic)")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(SCENE).save(buffer, quality=90)
    pixels = decode_photo(buffer.getvalue(), max_megapixels=5.0).pixels
    assert np.abs(pixels.astype(int) - np.asarray(SCENE)).mean() < 6


def test_a_photo_of_a_phone_says_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxdata.sources.magic.find_spec", lambda name: None)
    with pytest.raises(PhotoDecodeError, match=r"pip install 'voxdata\[heic\]'"):
        decode_photo(b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(400), max_megapixels=5.0)


def rgb_profile(primaries: list[tuple[float, float, float]], gamma: float) -> bytes:
    """An ICC profile of three primaries (XYZ under D50) and one gamma."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, int(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = [(b"desc", name + bytes(-len(name) % 4)), (b"wtpt", xyz(0.9642, 1.0, 0.8249))]
    tags += [(key, xyz(*each)) for key, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    tags += [(key, curve) for key in (b"rTRC", b"gTRC", b"bTRC")]
    table, body = struct.pack(">I", len(tags)), b""
    for key, value in tags:
        table += key + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value
    head = struct.pack(">I4sI4s4s4s", 132 + 12 * len(tags) + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:]
    return head.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(65536 * value)) for value in values)


WIDE = rgb_profile([(0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)], 1.8)  # ProPhoto
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("padding", [0, 2 << 20])
def test_colours_under_a_wide_profile_are_those_of_the_plain_photo(mode: str, padding: int) -> None:
    """Written by hand: the same colours in ProPhoto's numbers, as a camera writes them; also with a 2 MB profile."""
    soft = Image.fromarray(64 + NOISE // 2)
    there = ImageCms.profileToProfile(
        soft, ImageCms.createProfile("sRGB"), ImageCms.getOpenProfile(io.BytesIO(WIDE)), outputMode="RGB"
    )
    assert np.abs(np.asarray(there, int) - np.asarray(soft)).mean() > 10
    data = save(there.convert(mode), "PNG", icc_profile=WIDE + bytes(padding))
    pixels = decode_photo(data, max_megapixels=5.0).pixels
    assert np.abs(pixels.astype(int) - np.asarray(soft)).max() <= 3


@pytest.mark.parametrize("profile", [None, SRGB, b"no profile", WIDE[:200]])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA"])
def test_a_photo_in_srgb_keeps_its_pixels_exactly(profile: bytes | None, mode: str) -> None:
    image = Image.fromarray(NOISE).convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    pixels = decode_photo(save(image, form, icc_profile=profile), max_megapixels=5.0).pixels
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


SHAPES = {
    "gray": Image.fromarray(RAMP).convert("L"),
    "palette": Image.fromarray(RAMP).convert("P"),
    "CMYK": Image.fromarray(RAMP).convert("CMYK"),
    "bilevel": Image.fromarray(RAMP).convert("1"),
    "alpha": Image.fromarray(RAMP).convert("RGBA"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_other_colour_models_become_rgb(name: str) -> None:
    data = save(SHAPES[name], "TIFF")
    pixels = decode_photo(data, max_megapixels=5.0).pixels
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    expected = np.asarray(SHAPES[name].convert("RGB"), np.int16)
    assert np.abs(pixels.astype(np.int16) - expected).max() <= 2


def test_sixteen_bit_gray_keeps_its_brightness() -> None:
    deep = (np.tile(np.arange(64, dtype=np.uint16), (48, 1)) * 1024).astype(np.uint16)
    pixels = decode_photo(save(Image.fromarray(deep), "PNG"), max_megapixels=5.0).pixels
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 63].tolist() == [252, 252, 252]


def test_transparency_lies_on_white() -> None:
    clear = np.zeros((40, 40, 4), np.uint8)
    clear[:, 20:, 3] = 255
    pixels = decode_photo(save(Image.fromarray(clear), "PNG"), max_megapixels=5.0).pixels
    assert pixels[5, 5].tolist() == [255, 255, 255]
    assert pixels[5, 30].tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_first_frame_of_an_animation(form: str) -> None:
    red, blue = Image.new("RGB", (40, 40), (255, 0, 0)), Image.new("RGB", (40, 40), (0, 0, 255))
    data = save(red, form, save_all=True, append_images=[blue], duration=100)
    pixel = decode_photo(data, max_megapixels=5.0).pixels[20, 20].astype(int)
    assert pixel[0] > 200
    assert pixel[2] < 60


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_exif_rotation_turns_the_photo_upright(orientation: int, corner: tuple[int, int]) -> None:
    marked = np.zeros((40, 60, 3), np.uint8)
    marked[:10, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_photo(save(Image.fromarray(marked), "PNG", exif=exif), max_megapixels=5.0).pixels
    assert pixels[corner].tolist() == [255, 255, 255]
    assert pixels.shape[:2] == ((60, 40) if orientation in (6, 8) else (40, 60))


def test_perceptual_hash_survives_scale_and_compression() -> None:
    rng = np.random.default_rng(5)
    picture = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (480, 360), Image.Resampling.BICUBIC
    )
    small = picture.resize((240, 180), Image.Resampling.LANCZOS)
    again = decode_photo(save(small, "JPEG", quality=60), max_megapixels=5.0).pixels
    other = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (480, 360), Image.Resampling.BICUBIC
    )
    mine, copy, stranger = (int(perceptual_hash(thumbnail(np.asarray(p))), 16) for p in (picture, again, other))
    assert (mine ^ copy).bit_count() <= 6
    assert (mine ^ stranger).bit_count() > 12


def test_grayscale_is_told_from_colour() -> None:
    gray = np.repeat(RAMP[:, :, :1], 3, axis=2)
    assert is_grayscale(gray)
    assert not is_grayscale(RAMP)


def test_two_hues_are_colour_even_where_each_has_its_brightness() -> None:
    level = np.tile(np.arange(128, dtype=np.uint8)[None, :, None] * 2, (128, 1, 1))
    warm, cold = level * np.array([1.0, 0.85, 0.6]), level * np.array([0.7, 0.9, 1.0])
    assert is_grayscale(warm.astype(np.uint8))
    assert not is_grayscale(np.where(level < 128, warm, cold).astype(np.uint8))


@pytest.mark.parametrize("strip_px", [1, 64, 64 * 7])
def test_large_photos_are_read_in_strips_without_a_seam(strip_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxdata.faces.decode._STRIP_PX", strip_px)
    monkeypatch.setattr("voxdata.faces.decode._AT_ONCE_PX", 1)
    pixels = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    assert (decode_photo(encoded(pixels, "PNG"), max_megapixels=1).pixels == pixels).all()
