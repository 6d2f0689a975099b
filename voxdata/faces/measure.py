"""The measuring stage: photos in, one row per face out, no thresholds.

Floors (`recipe.FaceMeasure`) spare expensive measurements; `measured_until` says where a row stopped: `decode` (no
pixels), `detect` (a face without landmarks), `landmarks` (the face was too far turned to be measured further) or `all`.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxdata.faces.columns import FACES, FIRST, OWN, measures_of, more_fields
from voxdata.faces.decode import Photo, decode_photo, is_grayscale, perceptual_hash, thumbnail
from voxdata.faces.detect.backends import GROUP, find_backend
from voxdata.faces.detect.landmarks import Box, Landmarker
from voxdata.faces.detect.upside_down import PhotoFaces
from voxdata.faces.face import Face, Measure, Settings, Take
from voxdata.faces.geometry.looks import second_look
from voxdata.format.digests import digest
from voxdata.format.errors import BackendError, PhotoDecodeError
from voxdata.people.identities import safe_key
from voxdata.plugins import package_of
from voxdata.recipe.faces import FaceMeasure
from voxdata.rules import is_beyond
from voxdata.store import fragments
from voxdata.store.fragments import Fragment, Named
from voxdata.store.items import PhotoItem

STAGE = "faces.measure"
VERSION = 8
LANDMARK_FILES = ("landmarker_model", "fan_model", "fan_detector_model")  # their hashes are in the backend's version
NETWORK_FILES = ("embedding_model", "emotion_model")  # their hashes are in the versions that their measures name
MIN_PUPIL_DISTANCE_PX = 2.0  # below, pupils do not define a scale: a profile whose eyes fall together
_COPIED = ("item_id", "identity", "person", "bucket", "photo_sha256")

Row = dict[str, Any]


def named(settings: FaceMeasure) -> Named:
    """Everything that the stage's results depend on besides the photos; other packages by name and version.

    Raises `BackendError`, `WeightsError`, and `RecipeError` for a measure that is not installed.
    """
    dumped = settings.model_dump(mode="json")
    given = {name: value for name, value in dumped.items() if name not in (*NETWORK_FILES, *LANDMARK_FILES)}
    measures = measures_of(dumped)
    if joined := {measure.name: measure.version for measure in measures if measure.name not in FIRST}:
        given["more"] = joined
    backends = {name: importlib.metadata.version(name) for name in ("opencv-contrib-python", "pillow")}
    backends[settings.backend] = find_backend(settings.backend).version(settings)
    if (package := package_of(GROUP, settings.backend)) is not None:
        backends["landmarks"] = package
    for measure in measures:
        backends |= measure.backends(dumped)
    return fragments.named(STAGE, VERSION, given, backends)


def fingerprint(settings: FaceMeasure) -> str:
    """16 hex digits of what is `named`. Raises what that raises."""
    return digest(named(settings))


def schema(settings: FaceMeasure) -> pa.Schema:
    """`columns.FACES` with the columns of the measures that the recipe adds."""
    return pa.schema([*FACES.schema, *more_fields(settings.model_dump(mode="json"))])


def run(items: Iterable[PhotoItem], settings: FaceMeasure) -> Fragment:
    """Measure photos. Rows conform to `schema`; a photo without a face keeps one row that says why.

    Raises `BackendError` or `WeightsError` when a backend cannot start, and what reading a photo raises; nothing for a
    photo whose bytes are bad.
    """
    models = _open_models(settings)
    rows = [row for item in items for row in _measure_item(item, settings, models)]
    return Fragment(rows=pa.Table.from_pylist(rows, schema=schema(settings)))


def killed(items: Iterable[PhotoItem], settings: FaceMeasure) -> Fragment:
    """The rows of photos that end the process which measures them."""
    of_backend = {"backend": settings.backend, "backend_version": find_backend(settings.backend).version(settings)}
    ended = {**of_backend, "face_count": 0, "photo_status": "killed_worker", "measured_until": "decode"}
    rows = [{**{key: item.row[key] for key in _COPIED}, **ended} for item in items]
    return Fragment(rows=pa.Table.from_pylist(rows, schema=schema(settings)))


@dataclass(frozen=True, kw_only=True)
class _Models:
    """What is loaded once: the detector with its landmarks, and the measures that the recipe asks for."""

    landmarker: Landmarker
    measures: tuple[tuple[Measure, Take], ...]


def _open_models(settings: FaceMeasure) -> _Models:
    given: Settings = settings.model_dump(mode="json")
    opened = ((measure, measure.opened(given)) for measure in measures_of(given))
    return _Models(
        landmarker=find_backend(settings.backend).open(settings),
        measures=tuple((measure, take) for measure, take in opened if take is not None),
    )


def _measure_item(item: PhotoItem, settings: FaceMeasure, models: _Models) -> list[Row]:
    landmarker = models.landmarker
    base = {key: item.row[key] for key in _COPIED}
    base |= {"backend": landmarker.name, "backend_version": landmarker.version, "face_count": 0}
    data = item.data()
    try:
        photo = decode_photo(
            data,
            max_megapixels=settings.max_photo_megapixels,
            min_side_px=settings.min_photo_px,
            min_decoded_share=settings.min_decoded_share,
        )
    except PhotoDecodeError as error:
        if isinstance(error.__cause__, MemoryError):  # what this machine has tells nothing of the photo
            raise error.__cause__ from None
        return [{**base, "photo_status": error.reason, "measured_until": "decode"}]
    faces = PhotoFaces(photo.pixels, landmarker)
    small = thumbnail(faces.small)
    base |= {
        "photo_width_px": photo.width_px,
        "photo_height_px": photo.height_px,
        "decoded_share": photo.decoded_share,
        "photo_phash": perceptual_hash(small),
        "grayscale": is_grayscale(small),
        "measured_until": "detect",
    }
    boxes = faces.detect(settings.min_detection_score)
    count = sum(not _is_small(box, settings) for box in boxes)
    base["face_count"] = count
    if not boxes:
        return [{**base, "photo_status": "no_face"}]
    prefix = f"{safe_key(item.row['identity'])}/{item.row['photo_sha256'][:16]}"
    return [
        {
            **base,
            "photo_status": "ok",
            "face_index": index,
            "face_id": f"{prefix}_{index}",
            **_measure_face(photo, faces, box, settings, models),
        }
        for index, box in enumerate(boxes[: settings.max_faces])
    ]


def _measure_face(photo: Photo, faces: PhotoFaces, box: Box, settings: FaceMeasure, models: _Models) -> Row:
    row: Row = {
        "box_x_px": box.x,
        "box_y_px": box.y,
        "box_width_px": box.width,
        "box_height_px": box.height,
        "detection_score": box.score,
        "face_share": box.area / (photo.width_px * photo.height_px),
    }
    if _is_small(box, settings):
        return row
    landmarks = faces.landmarks(box)
    if landmarks is None:
        return row
    face = Face(
        photo=photo,
        box=box,
        landmarks=landmarks,
        mirrored=second_look(photo.pixels, box, landmarks, models.landmarker),
        frontal_pitch_deg=settings.frontal_pitch_deg,
    )
    row |= {"measured_until": "landmarks", **_taken("landmarks", face, models)}
    if face.pupils.distance_px >= MIN_PUPIL_DISTANCE_PX:
        row |= {"measured_until": "all", **_taken("all", face, models)}
    return row


def _is_small(box: Box, settings: FaceMeasure) -> bool:
    """As the rule `face_too_small` says it of the stored box."""
    return is_beyond(min(box.width, box.height), settings.min_face_px, "min")


def _taken(at: str, face: Face, models: _Models) -> Row:
    """The values of the measures that are taken here; numbers that are not finite are null."""
    row: Row = {}
    for measure, take in models.measures:
        if measure.at == at:
            row |= _values(measure, take, face)
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _values(measure: Measure, take: Take, face: Face) -> Mapping[str, Any]:
    if measure.name in OWN:
        return take(face)
    try:
        return take(face)
    except Exception as error:  # whatever another package raises
        raise BackendError(
            f"faces.measure.more: the measure {measure.name} failed: {type(error).__name__}: {error}; "
            "mend its package, or leave it out of faces.measure.more"
        ) from error
