"""Photo bytes to RGB, or a reason why not. The header is read and judged before a pixel is decoded.

Floors and limits come from the recipe (`faces.measure`); the paper's crawl ranges from 47x59 to 6245x8093 px
(SF2F, App. B.1, data collection). Pillow's own bomb limit (about 179 megapixels) holds on top.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from voxdata.faces.colours import to_srgb
from voxdata.faces.cut_files import (
    gif_frame,
    jpeg_2000,
    jpeg_variants,
    plain_variants,
    png_rows,
    png_without_profile,
    webp_variants,
)
from voxdata.format.errors import PhotoDecodeError, brief
from voxdata.recipe.faces import MIN_DECODED_SHARE
from voxdata.rules import is_beyond
from voxdata.sources.magic import HEIC_EXTRA, is_heic, reads_heic

Pixels = npt.NDArray[np.uint8]

Image.init()  # which registers all formats

# Of what Pillow reads: photos. Others run programs (EPS), or hold pictures of another size than they state (ICO).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000", "AVIF", "HEIF")

_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_AT_ONCE_PX = 1 << 24  # 50 MB, which Pillow holds three times while an array is made of it
_STRIP_PX = 1 << 22  # of larger ones
_THUMBNAIL_PX = 128
_HASHED_PX = 32  # what the hash makes of every picture, without averaging
_GRAY_TOLERANCE = 8  # grey levels between channels that JPEG chroma rounding leaves in a gray photo
_GRAY_SHARE = 0.99
_TINT_TOLERANCE = 5.0  # of Cr and Cb, 0..255: how far a print of one tint strays from one colour per brightness
_TINT_BIN = 8  # brightness levels that count as one
_CUT_TOLERANCE = 8  # levels that the last scan of a progressive JPEG refines without being missed
_NO_CHROMA = 128.0  # Cr and Cb of gray


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded photo: `pixels` uint8 (H, W, 3), sRGB, upright, transparency on white.

    `decoded_share` is the part of the picture that a cut file still held; None: all of it.
    """

    pixels: Pixels
    decoded_share: float | None = None

    @property
    def width_px(self) -> int:
        """Width after the EXIF rotation."""
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        """Height after the EXIF rotation."""
        return int(self.pixels.shape[0])


def decode_photo(
    data: bytes, *, max_megapixels: float, min_side_px: int = 1, min_decoded_share: float = MIN_DECODED_SHARE
) -> Photo:
    """Decode the first frame of a photo (`FORMATS`), in sRGB, turned upright by its EXIF tag.

    A picture that ends early is read as far as it goes, where its format can be (`cut_files.py`). Raises
    `PhotoDecodeError` whose `reason` is `unreadable` (also where less than `min_decoded_share` of the picture is
    there), `too_large` or `too_small`.
    """
    limits = max_megapixels, min_side_px
    try:
        return Photo(pixels=_decode(data, *limits))
    except PhotoDecodeError as error:
        if error.reason != "unreadable":
            raise
        cut = _decode_cut(data, *limits)
        if cut is None:
            raise
    if cut.decoded_share is not None and is_beyond(cut.decoded_share, min_decoded_share, "min"):
        raise PhotoDecodeError(
            f"the file ends early: {cut.decoded_share:.1%} of the picture are there, at least {min_decoded_share:.0%} "
            "are needed (faces.measure.min_decoded_share)",
            "unreadable",
        )
    return cut


def thumbnail(pixels: Pixels) -> Pixels:
    """At most 128 px a side, averaged: what `perceptual_hash` and `is_grayscale` look at.

    Both sides are halved while they can be: what is left to do is then the same for every size.
    """
    shorter = min(pixels.shape[:2])
    if shorter <= _THUMBNAIL_PX:
        return pixels
    small = halved(pixels, (shorter // _THUMBNAIL_PX).bit_length() - 1)
    return np.asarray(cv2.resize(small, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def perceptual_hash(small: Pixels) -> str:
    """64-bit DCT hash (pHash) of a thumbnail as 16 hex digits; survives rescaling and recompression."""
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    averaged = cv2.resize(gray, (_HASHED_PX, _HASHED_PX), interpolation=cv2.INTER_AREA)
    hashed: bytes = cv2.img_hash.pHash(averaged).tobytes()
    return hashed.hex()


def is_grayscale(small: Pixels) -> bool:
    """Whether a thumbnail carries no colour beyond rounding, or one tint only, as sepia does."""
    red, green, blue = cv2.split(small)
    spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
    return np.count_nonzero(spread <= _GRAY_TOLERANCE) >= _GRAY_SHARE * spread.size or _is_tinted(small)


def _is_tinted(small: Pixels) -> bool:
    """Whether every pixel has the colour of its brightness, and those colours are one hue, more or less strong.

    Judged by how far Cr and Cb lie from the hue's line at that brightness, of 99 % of the pixels.
    """
    brightness, *chroma = cv2.split(cv2.cvtColor(np.ascontiguousarray(small[::4, ::4]), cv2.COLOR_RGB2YCrCb))
    red, blue = (channel.ravel().astype(np.float32) - np.float32(_NO_CHROMA) for channel in chroma)
    level = brightness.ravel() // _TINT_BIN
    length = max(float(np.hypot(red.mean(), blue.mean())), 1e-6)
    hue_red, hue_blue = np.float32(red.mean() / length), np.float32(blue.mean() / length)
    strength = np.bincount(level, red * hue_red + blue * hue_blue) / np.maximum(np.bincount(level), 1)
    expected = np.maximum(strength, 0.0).astype(np.float32)[level]
    strays = np.maximum(np.abs(red - expected * hue_red), np.abs(blue - expected * hue_blue))
    return bool(np.count_nonzero(strays <= _TINT_TOLERANCE) >= _GRAY_SHARE * strays.size)


def resize_area(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Reduce uint8 (H, W, 3) to (width, height) by averaging areas."""
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def halved(pixels: Pixels, times: int) -> Pixels:
    """Means of 2x2 pixels of uint8 (H, W, 3), `times` times over; what does not fill the last is left out.

    Halving takes a quarter of the time, or less, that `resize_area` does for other sizes.
    """
    height, width = (length >> times for length in pixels.shape[:2])
    smaller = pixels[: height << times, : width << times]
    for left in range(times - 1, -1, -1):
        smaller = resize_area(smaller, (width << left, height << left))
    return np.ascontiguousarray(smaller)


def _decode(data: bytes, max_megapixels: float, min_side_px: int, profile: bytes | None = None) -> Pixels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _open(data)
        _judge_header(image.width, image.height, max_megapixels, min_side_px)
        try:
            orientation = _orientation(image)
            image.load()
            image = to_srgb(image, profile or image.info.get("icc_profile"))
            upright = image.transpose(_ORIENTATIONS[orientation]) if orientation in _ORIENTATIONS else image
            pixels = _to_rgb(upright)
        except PhotoDecodeError:
            raise
        except Exception as error:  # a damaged file can make Pillow's decoders raise nearly anything
            raise PhotoDecodeError(f"{len(data)} bytes of {image.format}: {brief(error)}", "unreadable") from error
    return np.ascontiguousarray(pixels)


def _decode_cut(data: bytes, max_megapixels: float, min_side_px: int) -> Photo | None:
    """The pixels of a file that ends early, or whose profile is too large for Pillow; None where there are none."""
    limits = max_megapixels, min_side_px
    try:
        if (bare := png_without_profile(data)) is not None:
            try:
                return Photo(pixels=_decode(bare[0], *limits, bare[1]))
            except PhotoDecodeError:
                rows = png_rows(bare[0], max_megapixels * 1e6)
                return rows and Photo(pixels=_decode(rows[0], *limits, bare[1]), decoded_share=rows[1])
        if (counted := gif_frame(data, max_megapixels * 1e6) or jpeg_2000(data)) is not None:
            return Photo(pixels=_decode(counted[0], *limits), decoded_share=counted[1])
        variants = jpeg_variants(data) or webp_variants(data) or plain_variants(data)
        if variants is None:
            return None
        shown, other = (_decode(each, *limits) for each in variants)
    except PhotoDecodeError:
        return None
    same = np.abs(shown.astype(np.int16) - other).max(axis=2) <= _CUT_TOLERANCE
    return Photo(pixels=shown, decoded_share=float(same.mean()))


def _open(data: bytes) -> Image.Image:
    if not data:
        raise PhotoDecodeError("the file is empty", "unreadable")
    try:
        if is_heic(data) and reads_heic():
            import pillow_heif

            pillow_heif.register_heif_opener()
        return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PhotoDecodeError(brief(error), "too_large") from error
    except UnidentifiedImageError as error:
        need = f" that can be read; {HEIC_EXTRA}" if is_heic(data) and not reads_heic() else ""
        raise PhotoDecodeError(
            f"{len(data)} bytes that start {data[:12]!r} are no image{need}", "unreadable"
        ) from error
    except Exception as error:  # a damaged header can make Pillow's plugins raise nearly anything
        raise PhotoDecodeError(f"{len(data)} bytes: {brief(error)}", "unreadable") from error


def _judge_header(width: int, height: int, max_megapixels: float, min_side_px: int) -> None:
    if width * height > max_megapixels * 1e6:
        raise PhotoDecodeError(f"{width}x{height} px is above the limit of {max_megapixels:g} megapixels", "too_large")
    if min(width, height) < min_side_px:
        raise PhotoDecodeError(f"{width}x{height} px is below the floor of {min_side_px} px", "too_small")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # an unreadable EXIF block leaves the pixels as good as they are
        return 1


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        shift = 8 if deep.max(initial=0) > 255 else 0
        gray = np.clip(deep >> shift, 0, 255).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise PhotoDecodeError("floating point pixels have no agreed white", "unreadable")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, layered).convert("RGB"))
    return _rgb_array(image if image.mode == "RGB" else image.convert("RGB"))


def _rgb_array(image: Image.Image) -> Pixels:
    """Pixels of an RGB image; of a large one strip by strip, because all at once Pillow holds them three times."""
    if image.width * image.height <= _AT_ONCE_PX:
        return np.asarray(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP_PX // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels
