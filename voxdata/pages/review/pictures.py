"""The page's pictures: portraits as they were rendered, faces cut out of photos, whole photos with the face outlined.

A face that was not rendered is cut out as a portrait would be, pupils level and in their places, but with its
background; a face without landmarks is the square around its box, a photo without a face the whole photo.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from voxdata.faces.align import align_matrix, warp
from voxdata.faces.decode import Pixels, decode_photo
from voxdata.faces.geometry.eyes import Pupils
from voxdata.faces.portrait.render import MAX_MEGAPIXELS
from voxdata.format.errors import PhotoDecodeError, StorageError
from voxdata.pages.members import KEPT_BUCKETS, Members
from voxdata.pages.report.pictures import face_box, outlined, reduced, square_around
from voxdata.sources.originals import original_reader
from voxdata.store.storage import Storage

CROP_PX = 320
PHOTO_PX = 1600
CROP_FILL = (128, 128, 128)
JPEG_QUALITY = 85
CACHE_BYTES = 64 << 20
DECODERS = 2  # photos that are decoded at once: each takes its pixels in memory
TYPES = {"jpg": "image/jpeg", "webp": "image/webp"}

Row = dict[str, Any]
Picture = tuple[bytes, str]  # bytes, media type


class Pictures:
    """Pictures of a root's faces. Thread-safe; crops are made on demand and the last ones kept."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(DECODERS)
        self._crops: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._crop_bytes = 0
        self._members = Members(storage)
        self._readers: OrderedDict[int, Callable[[str], Callable[[], bytes]]] = OrderedDict()

    def rendered(self, bucket: int, parts: list[str]) -> Mapping[str, Sequence[Row]]:
        """face_id -> where its portrait lies, of the render parts of a bucket."""
        return self._members.of(bucket, parts)

    def portrait(self, face: Row, parts: list[str]) -> Picture | None:
        """The rendered portrait of a face; None where there is none."""
        found = self.rendered(face["bucket"], parts).get(face["face_id"])
        if found is None:
            return None
        where = found[0]
        data = self._storage.read_range(where["tar"], where["offset"], where["size"])
        return data, TYPES.get(where["suffix"], "application/octet-stream")

    def crop(self, face: Row) -> Picture | None:
        """The face as its photo shows it, at most `CROP_PX` a side; None where the photo cannot be read."""
        return self._made("crop", face, lambda pixels: _cut(pixels, face))

    def photo(self, face: Row) -> Picture | None:
        """The whole photo with the face outlined, at most `PHOTO_PX` a side; None where it cannot be read."""
        return self._made("photo", face, lambda pixels: outlined(pixels, face_box(face), PHOTO_PX))

    def _made(self, kind: str, face: Row, make: Callable[[Pixels], Image.Image]) -> Picture | None:
        key = (kind, face["key"])
        with self._lock:
            if key in self._crops:
                self._crops.move_to_end(key)
                return self._crops[key], TYPES["jpg"]
        with self._decoding:
            pixels = self._pixels(face)
            data = None if pixels is None else _jpeg(make(pixels))
        if data is None:
            return None
        self._keep(key, data)
        return data, TYPES["jpg"]

    def _keep(self, key: tuple[str, str], data: bytes) -> None:
        with self._lock:
            self._crop_bytes += len(data) - len(self._crops.pop(key, b""))
            self._crops[key] = data
            while self._crop_bytes > CACHE_BYTES:
                self._crop_bytes -= len(self._crops.popitem(last=False)[1])

    def _pixels(self, face: Row) -> Pixels | None:
        try:
            data = self._reader(face["bucket"])(face["item_id"])()
            return decode_photo(data, max_megapixels=MAX_MEGAPIXELS, min_decoded_share=0.0).pixels
        except (KeyError, OSError, StorageError, PhotoDecodeError):
            return None

    def _reader(self, bucket: int) -> Callable[[str], Callable[[], bytes]]:
        with self._lock:
            reader = self._readers.pop(bucket, None)
        reader = reader or original_reader(self._storage, bucket)
        with self._lock:
            self._readers[bucket] = reader
            while len(self._readers) > KEPT_BUCKETS:
                self._readers.popitem(last=False)
        return reader


def _cut(pixels: Pixels, face: Row) -> Image.Image:
    sides = [face[f"pupil_{side}_{axis}_px"] for side in ("left", "right") for axis in "xy"]
    if None not in sides and (sides[0], sides[1]) != (sides[2], sides[3]):
        pupils = Pupils(left=(sides[0], sides[1]), right=(sides[2], sides[3]))
        return Image.fromarray(warp(pixels, align_matrix(pupils, CROP_PX), CROP_PX, CROP_FILL))
    box = face_box(face)
    return reduced(Image.fromarray(pixels) if box is None else square_around(pixels, box), CROP_PX)


def _jpeg(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=JPEG_QUALITY)
    return sink.getvalue()
