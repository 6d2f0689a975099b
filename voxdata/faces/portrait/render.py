"""The rendering stage: chosen faces in, portraits out. Aligned pupils, person on white, one square size.

SF2F, App. B.1, image processing. What cannot be rendered well keeps a row that says why: `enlarged_too_much` (the
photo is too small for the recipe's limit), `matting_failed` (the mask misses the person), `unreadable`, and with the
crop `haar` `cascade_missed` (the detector that should have cut the face does not see it).
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from PIL import Image

from voxdata.faces.align import align_matrix, outside_share, photo_cover, scale_of, warp
from voxdata.faces.decode import Pixels, decode_photo
from voxdata.faces.geometry.eyes import Pupils
from voxdata.faces.portrait.haar import cascade_matrix
from voxdata.faces.portrait.matting import DEFAULT_MATTING, GROUP, matting_version, on_white, person_alpha
from voxdata.faces.portrait.refine import Alpha
from voxdata.format.digests import digest
from voxdata.format.errors import PhotoDecodeError
from voxdata.plugins import package_of
from voxdata.recipe.faces import DECIDED, Render
from voxdata.rules import is_beyond
from voxdata.store import fragments
from voxdata.store.fragments import Fragment, Named
from voxdata.store.items import FaceItem
from voxdata.tables.schemas import RENDERS

STAGE = "faces.render"
VERSION = 3
MAX_MEGAPIXELS = 178.0  # what Pillow opens at most; the recipe's own limit was applied when the photo was measured
MIN_FACE_ALPHA = 0.8  # mean alpha that the middle of the face needs
FACE_WINDOW = (0.35, 0.65, 0.40, 0.70)  # left, right, top, bottom of the middle of the face, shares of the side

Row = dict[str, Any]


def named(settings: Render) -> Named:
    """Everything that a portrait depends on besides the photo and its pupils.

    A matting of another package adds that package.

    Raises `RecipeError`, `BackendError`, `WeightsError`.
    """
    backends = {name: importlib.metadata.version(name) for name in ("opencv-contrib-python", "pillow")}
    backends[settings.matting] = matting_version(settings.matting, settings.matting_model)
    if (package := package_of(GROUP, settings.matting)) is not None:
        backends["matting"] = package
    without = {"matting_model", *DECIDED} | ({"crop"} if settings.crop == "aligned" else set())
    given = settings.model_dump(mode="json", exclude=without)
    return fragments.named(STAGE, VERSION, given, backends)


def fingerprint(settings: Render) -> str:
    """16 hex digits of what is `named`. Raises what that raises."""
    return digest(named(settings))


def run(items: Iterable[FaceItem], settings: Render) -> Fragment:
    """Render faces. Rows conform to `schemas.RENDERS`; blobs are face_id -> {format: bytes} where the status is ok.

    Raises what reading a photo's bytes raises.
    """
    rows: list[Row] = []
    blobs: dict[str, dict[str, bytes]] = {}
    for item in items:
        row, portrait = _render_item(item, settings)
        rows.append(row)
        if portrait is not None:
            blobs[row["face_id"]] = {settings.format: encode(portrait, settings)}
    return Fragment(rows=pa.Table.from_pylist(rows, schema=RENDERS), blobs=blobs)


def killed(items: Iterable[FaceItem], settings: Render) -> Fragment:
    """The rows of faces that end the process which renders them."""
    rows = [{**_of_face(item, settings), "render_status": "killed_worker"} for item in items]
    return Fragment(rows=pa.Table.from_pylist(rows, schema=RENDERS))


def encode(portrait: Pixels, settings: Render) -> bytes:
    """uint8 (H, W, 3) as JPEG without chroma subsampling, or as lossless WebP; the same bytes for the same pixels."""
    buffer = io.BytesIO()
    image = Image.fromarray(portrait)
    if settings.format == "jpg":
        image.save(buffer, "JPEG", quality=settings.jpeg_quality, subsampling=0, optimize=True)
    else:
        image.save(buffer, "WEBP", lossless=True, quality=100, method=4)
    return buffer.getvalue()


def _of_face(item: FaceItem, settings: Render) -> Row:
    row: Row = {key: item.row[key] for key in ("face_id", "identity", "person", "bucket", "photo_sha256")}
    return row | {
        "item_id": item.row["face_id"],
        "size_px": settings.size_px,
        "matting_backend": settings.matting,
        "matting_version": matting_version(settings.matting, settings.matting_model),
        "format": settings.format,
    }


def _render_item(item: FaceItem, settings: Render) -> tuple[Row, Pixels | None]:
    source = item.row
    row = _of_face(item, settings)
    pupils = Pupils(
        left=(source["pupil_left_x_px"], source["pupil_left_y_px"]),
        right=(source["pupil_right_x_px"], source["pupil_right_y_px"]),
    )
    matrix = align_matrix(pupils, settings.size_px)
    row["scale"] = scale_of(matrix)
    if is_beyond(row["scale"], settings.max_enlargement, "max"):
        return {**row, "render_status": "enlarged_too_much"}, None
    data = item.data()
    try:
        photo = decode_photo(data, max_megapixels=MAX_MEGAPIXELS, min_decoded_share=0.0)
    except PhotoDecodeError:
        return {**row, "render_status": "unreadable"}, None
    if settings.crop == "haar":
        return _cascade_crop(row, photo.pixels, pupils, settings)
    portrait, alpha = cut_out(
        photo.pixels, pupils, settings.size_px, backend=settings.matting, model=settings.matting_model
    )
    row["outside_share"] = outside_share(photo.pixels.shape, matrix, settings.size_px)
    row["person_share"] = float(alpha.mean())
    if is_beyond(row["person_share"], settings.min_person_share, "min") or _face_alpha(alpha) < MIN_FACE_ALPHA:
        return {**row, "render_status": "matting_failed"}, None
    return {**row, "render_status": "ok"}, portrait


def _cascade_crop(row: Row, pixels: Pixels, pupils: Pupils, settings: Render) -> tuple[Row, Pixels | None]:
    matrix = cascade_matrix(pixels, pupils, settings.size_px)
    row |= {"matting_backend": None, "matting_version": None}
    if matrix is None:
        return {**row, "render_status": "cascade_missed"}, None
    row |= {"scale": scale_of(matrix), "outside_share": outside_share(pixels.shape, matrix, settings.size_px)}
    return {**row, "render_status": "ok"}, warp(pixels, matrix, settings.size_px)


def cut_out(
    pixels: Pixels, pupils: Pupils, size_px: int, *, backend: str = DEFAULT_MATTING, model: str | None = None
) -> tuple[Pixels, Alpha]:
    """Portrait uint8 (size, size, 3) on white and its alpha (size, size) from a photo uint8 (H, W, 3).

    Raises `BackendError`, `WeightsError`.
    """
    matrix = align_matrix(pupils, size_px)
    aligned = warp(pixels, matrix, size_px)
    alpha = person_alpha(aligned, backend, model) * photo_cover(pixels.shape, matrix, size_px)
    return on_white(aligned, alpha), alpha


def _face_alpha(alpha: Alpha) -> float:
    side = alpha.shape[0]
    left, right, top, bottom = (round(share * side) for share in FACE_WINDOW)
    return float(alpha[top:bottom, left:right].mean())
