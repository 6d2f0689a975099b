"""Pictures as small JPEG data URIs: portraits from shards, rejected faces from photos, voices as log-mels."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from voxdata.faces.decode import Pixels, decode_photo
from voxdata.faces.portrait.render import MAX_MEGAPIXELS
from voxdata.format.errors import PhotoDecodeError, StorageError
from voxdata.sources.originals import original_reader
from voxdata.store.storage import Storage

SIDE_PX = 144
CROP_MARGIN = 0.45  # of the face box, on each side
MAX_PICTURE_BYTES = 9_000
QUALITIES = (82, 70, 55, 40, 25)
VOICE_FRAMES = 300  # three seconds at 10 ms
VOICE_PX = (300, 80)
BOX_COLOUR = (235, 110, 20)

# Dark to light through purple and orange; the ends keep clear of the page's own black and white.
_MEL_COLOURS = np.array([[12, 8, 38], [78, 18, 110], [160, 45, 110], [226, 94, 62], [250, 170, 60], [250, 240, 170]])

Row = dict[str, Any]
Box = tuple[float, float, float, float]  # x, y, width, height in px


def data_uri(image: Image.Image, max_bytes: int = MAX_PICTURE_BYTES) -> str:
    """A JPEG data URI of at most `max_bytes` before its encoding, at the best quality that allows it."""
    rgb = image.convert("RGB")
    for quality in QUALITIES:
        sink = io.BytesIO()
        rgb.save(sink, "JPEG", quality=quality, optimize=True)
        if sink.tell() <= max_bytes:
            break
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


def small_picture(data: bytes, *, side_px: int = SIDE_PX, max_bytes: int = MAX_PICTURE_BYTES) -> str | None:
    """A data URI of an encoded image, reduced to `side_px`; None when it cannot be decoded."""
    try:
        pixels = decode_photo(data, max_megapixels=MAX_MEGAPIXELS, min_decoded_share=0.0).pixels
    except PhotoDecodeError:
        return None
    return data_uri(reduced(Image.fromarray(pixels), side_px), max_bytes)


def member(storage: Storage, sample: Row, suffixes: tuple[str, ...]) -> bytes | None:
    """Bytes of the first of `suffixes` that a row of the catalog's `samples` has; None where there is none."""
    found = {where["suffix"]: where for where in sample["members"]}
    for suffix in suffixes:
        if suffix in found:
            try:
                return storage.read_range(sample["tar"], found[suffix]["byte_offset"], found[suffix]["size_bytes"])
            except StorageError:
                return None
    return None


class Originals:
    """Faces of original photos, cut out of the photo store."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._readers: dict[int, Callable[[str], Callable[[], bytes]]] = {}

    def picture(self, face: Row, *, whole: bool) -> str | None:
        """The face of a row of the catalog's `faces`, or the whole photo with the face outlined; None if unreadable."""
        pixels = self._pixels(face)
        if pixels is None:
            return None
        box = face_box(face)
        if whole or box is None:
            return data_uri(outlined(pixels, box, SIDE_PX))
        return data_uri(reduced(square_around(pixels, box), SIDE_PX))

    def _pixels(self, face: Row) -> Pixels | None:
        bucket = face["bucket"]
        if bucket not in self._readers:
            self._readers[bucket] = original_reader(self._storage, bucket)
        try:
            data = self._readers[bucket](face["item_id"])()
            return decode_photo(data, max_megapixels=MAX_MEGAPIXELS, min_decoded_share=0.0).pixels
        except (KeyError, OSError, StorageError, PhotoDecodeError):
            return None


def voice_picture(data: bytes) -> str | None:
    """A log-mel array (F, T) as a picture, time to the right and low frequencies at the bottom; None if it is none."""
    image = voice_image(data)
    return None if image is None else data_uri(image)


def voice_image(data: bytes, frames: int = VOICE_FRAMES, size_px: tuple[int, int] = VOICE_PX) -> Image.Image | None:
    """The first frames of a log-mel array (F, T), as `voice_picture` shows them; None if it is none."""
    try:
        mel_FT = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if mel_FT.ndim != 2 or not mel_FT.size:
        return None
    return Image.fromarray(_coloured(mel_FT[:, :frames].astype(np.float32))).resize(size_px)


def _coloured(mel_FT: npt.NDArray[np.float32]) -> Pixels:
    low, high = np.quantile(mel_FT, [0.02, 0.995])
    share = np.clip((mel_FT[::-1] - low) / max(float(high - low), 1e-6), 0, 1)
    stops = np.linspace(0, 1, len(_MEL_COLOURS))
    channels = [np.interp(share, stops, _MEL_COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def face_box(face: Row) -> Box | None:
    """The box (x, y, width, height in px) of a row of the catalog's `faces`; None where it has none."""
    values = [face[f"box_{name}_px"] for name in ("x", "y", "width", "height")]
    if any(value is None for value in values) or min(values[2:]) <= 0:
        return None
    return values[0], values[1], values[2], values[3]


def square_around(pixels: Pixels, box: Box) -> Image.Image:
    """A square around the face, moved and if need be reduced until it lies in the photo."""
    x, y, width, height = box
    image = Image.fromarray(pixels)
    side = min(max(round(max(width, height) * (1 + 2 * CROP_MARGIN)), 1), *image.size)
    left = min(max(round(x + width / 2 - side / 2), 0), image.width - side)
    top = min(max(round(y + height / 2 - side / 2), 0), image.height - side)
    return image.crop((left, top, left + side, top + side))


def outlined(pixels: Pixels, box: Box | None, side_px: int) -> Image.Image:
    """A whole photo reduced to `side_px`, with a face's box drawn on it."""
    image = reduced(Image.fromarray(pixels), side_px)
    if box is not None:
        scale = image.width / pixels.shape[1]
        x, y, width, height = (value * scale for value in box)
        ImageDraw.Draw(image).rectangle((x, y, x + width, y + height), outline=BOX_COLOUR, width=2)
    return image


def reduced(image: Image.Image, side_px: int) -> Image.Image:
    """Reduced to at most `side_px` a side; never enlarged."""
    scale = side_px / max(image.size)
    if scale >= 1:
        return image
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.LANCZOS)
