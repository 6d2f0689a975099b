"""Every kind of photo that a crawl brings: a row with its reason, or a measured face; never an exception."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from functools import cache

import cv2
import numpy as np
import pytest
from face_kit import encoded, photo_item
from PIL import Image, features

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.decode import decode_photo
from voxdata.faces.link import link
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.simulate.face import Scene, Shot, paint_photo, paint_scene
from voxdata.simulate.people import draw_people

PEOPLE = draw_people(3, seed=11, link=1.0)
ANIMATED = ("GIF", "WEBP", "AVIF")


@cache
def face() -> Image.Image:
    return Image.fromarray(paint_photo(PEOPLE[0], size_px=200, seed=0))


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@cache
def png_bomb(width: int, height: int) -> bytes:
    """A true one-bit PNG of zeros: some kilobytes that claim and hold width x height pixels."""
    rows = zlib.compressobj(9)
    line = bytes(1 + -(-width // 8))
    data = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def adobe_cmyk() -> bytes:
    """As photo editors write it: inverted inks and an Adobe marker, which Pillow writes for CMYK JPEGs."""
    data = saved(face().convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    return data


def sixteen_bit_rgb() -> bytes:
    deep = np.asarray(face(), np.uint16)[:, :, ::-1] * 257
    return bytes(cv2.imencode(".png", deep)[1])


def transparent(mode: str) -> bytes:
    layered = face().convert(mode)
    layered.putalpha(255)
    return saved(layered, "PNG")


def animated(form: str) -> bytes:
    blank = Image.new("RGB", face().size, (90, 120, 90))
    return saved(face(), form, save_all=True, append_images=[blank], duration=80)


def turned(orientation: int) -> bytes:
    """Stored turned, with the tag that turns it upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = face().transpose(undo[orientation]) if orientation in undo else face()
    return saved(stored, "JPEG", quality=95, exif=exif)


@cache
def crowd() -> bytes:
    """60 painted faces, ten a row, each head 70 px high."""
    shots = tuple(
        (
            PEOPLE[number % 3],
            Shot(head_share=0.055, centre=(0.06 + 0.098 * (number % 10), 0.08 + 0.15 * (number // 10))),
        )
        for number in range(60)
    )
    return encoded(paint_scene(Scene(background="plain", shots=shots), size_px=1300, seed=1), "JPEG", quality=92)


READABLE = {
    "CMYK JPEG": adobe_cmyk,
    "CMYK TIFF": lambda: saved(face().convert("CMYK"), "TIFF"),
    "16-bit gray PNG": lambda: encoded(np.asarray(face().convert("L"), np.uint16) * 257),
    "16-bit RGB PNG": sixteen_bit_rgb,
    "palette PNG": lambda: saved(face().quantize(128), "PNG"),
    "palette with transparency": lambda: saved(face().quantize(128), "PNG", transparency=0),
    "gray with alpha": lambda: transparent("LA"),
    "RGBA": lambda: transparent("RGBA"),
    "BMP": lambda: saved(face(), "BMP"),
    "TIFF": lambda: saved(face(), "TIFF"),
    **{f"animated {form}": lambda form=form: animated(form) for form in ANIMATED},
    **{f"EXIF orientation {tag}": lambda tag=tag: turned(tag) for tag in range(1, 9)},
}
BAD = {
    "zero bytes": (lambda: b"", "unreadable"),
    "HTML as .jpg": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "unreadable"),
    "truncated JPEG": (lambda: saved(face(), "JPEG")[:2500], "unreadable"),
    "truncated PNG": (lambda: saved(face(), "PNG")[:9000], "unreadable"),
    "truncated WebP": (lambda: saved(face(), "WEBP")[:1200], "unreadable"),
    "1x1": (lambda: saved(face().resize((1, 1)), "PNG"), "too_small"),
    "20000x20000": (lambda: png_bomb(20_000, 20_000), "too_large"),
    "12000x12000": (lambda: png_bomb(12_000, 12_000), "too_large"),
}


def rows_of(data: bytes, **settings: object) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = measure.run([photo_item(data)], FaceMeasure(**settings)).rows.to_pylist()
    return rows


@pytest.mark.parametrize("name", READABLE)
def test_every_readable_kind_is_measured_as_the_plain_photo_is(name: str) -> None:
    if name == "animated AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    (row,) = rows_of(READABLE[name]())
    (plain,) = rows_of(saved(face(), "PNG"))
    assert (row["photo_status"], row["measured_until"], row["face_count"]) == ("ok", "all", 1)
    for column in ("pupil_left_x_px", "pupil_left_y_px", "pupil_right_x_px", "pupil_right_y_px"):
        assert row[column] == pytest.approx(plain[column], abs=3.0)


@pytest.mark.parametrize("name", ["CMYK JPEG", "16-bit RGB PNG", "RGBA", "BMP", "TIFF"])
def test_colours_are_the_plain_photos(name: str) -> None:
    pixels = decode_photo(READABLE[name](), max_megapixels=5.0).pixels.astype(int)
    assert np.abs(pixels - np.asarray(face(), int)).mean() < 3


@pytest.mark.parametrize("name", BAD)
def test_bad_photo_keeps_a_row_with_its_reason(name: str) -> None:
    data, reason = BAD[name]
    (row,) = rows_of(data())
    assert (row["photo_status"], row["measured_until"]) == (reason, "decode")
    assert row["face_id"] is None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_cut_by_one_per_cent_is_measured_and_says_what_is_missing(form: str) -> None:
    whole = saved(face(), form)
    (row,) = rows_of(whole[: int(0.99 * len(whole))])
    (plain,) = rows_of(whole)
    assert (row["photo_status"], row["measured_until"]) == ("ok", "all")
    assert 0.9 < float(str(row["decoded_share"])) <= 1.0
    assert plain["decoded_share"] is None
    assert row["pupil_left_y_px"] == pytest.approx(plain["pupil_left_y_px"], abs=0.5)
    (refused,) = rows_of(whole[: len(whole) // 2])
    assert refused["photo_status"] == "unreadable"


def test_huge_photo_is_refused_by_its_header_without_memory() -> None:
    data = png_bomb(20_000, 20_000)
    assert len(data) < 100_000
    rows_of(b"")  # loads the models
    tracemalloc.start()
    (row,) = rows_of(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert row["photo_status"] == "too_large"
    assert peak < 20e6


def test_crowd_is_measured_up_to_the_recipes_number() -> None:
    rows = rows_of(crowd())
    assert len(rows) == FaceMeasure().max_faces
    assert {(row["photo_status"], row["measured_until"]) for row in rows} == {("ok", "all")}
    assert {row["face_count"] for row in rows} == {rows[0]["face_count"]}
    assert 40 <= rows[0]["face_count"] <= 60


def profile() -> bytes:
    return encoded(paint_photo(PEOPLE[0], size_px=240, seed=0, yaw_deg=85.0))


def masked() -> bytes:
    """A surgical mask painted over nose and mouth."""
    pixels = paint_photo(PEOPLE[1], size_px=240, seed=0).copy()
    cv2.ellipse(pixels, (120, 145), (42, 32), 0, 0, 360, (150, 200, 215), -1)
    return encoded(pixels)


def drawing() -> bytes:
    """A circle with two dots and a line."""
    pixels = np.full((240, 240, 3), 255, np.uint8)
    cv2.circle(pixels, (120, 120), 80, (0, 0, 0), 3)
    cv2.circle(pixels, (92, 100), 8, (0, 0, 0), -1)
    cv2.circle(pixels, (148, 100), 8, (0, 0, 0), -1)
    cv2.ellipse(pixels, (120, 140), (35, 22), 0, 0, 180, (0, 0, 0), 3)
    return encoded(pixels)


def upside_down() -> bytes:
    """Without an EXIF tag that would say so."""
    return encoded(np.asarray(face())[::-1, ::-1])


ODD = {
    "upside down": (upside_down, "ok", "all"),
    "profile": (profile, "ok", "detect"),
    "surgical mask": (masked, "ok", "all"),
    "drawing": (drawing, "no_face", "detect"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_faces_end_in_their_row(name: str) -> None:
    picture, status, until = ODD[name]
    (row,) = rows_of(picture())
    assert (row["photo_status"], row["measured_until"]) == (status, until)


def test_face_that_hangs_is_measured_as_rolled_and_upright_again_where_a_recipe_allows_it() -> None:
    items = [photo_item(upside_down())]
    faces = measure.run(items, FaceMeasure()).rows
    (row,), (upright,) = faces.to_pylist(), rows_of(encoded(np.asarray(face())))
    assert abs(row["roll_deg"] - upright["roll_deg"]) == pytest.approx(180, abs=3)
    assert row["pupil_left_x_px"] == pytest.approx(199 - upright["pupil_left_x_px"], abs=2)
    assert row["pupil_left_y_px"] == pytest.approx(199 - upright["pupil_left_y_px"], abs=2)
    for limit, reasons in ((45, ["rolled"]), (180, [])):
        recipe = Faces.model_validate({"pose": {"max_angle_deg": 12, "max_roll_deg": limit}})
        assert decide(faces, link(faces, recipe.link), recipe)["reasons"].to_pylist() == [reasons]
