"""The measuring stage: photos in, one row per face out, no thresholds.

Floors (`recipe.FaceMeasure`) spare expensive measurements; `measured_until` says where a row stopped: `decode` (no
pixels), `detect` (a face without landmarks), `landmarks` (the face was too far turned to be measured further) or `all`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxdata.faces.decode import Photo, decode_photo, is_grayscale, perceptual_hash, thumbnail
from voxdata.faces.detect.backends import landmarker_version, open_landmarker
from voxdata.faces.detect.landmarks import Box, Floats, Landmarker, backend_version
from voxdata.faces.detect.upside_down import PhotoFaces
from voxdata.faces.measures.embed import Embedder, open_embedder, weights_sha256
from voxdata.faces.measures.emotion import EmotionNet, emotion_file, open_emotion_net
from voxdata.faces.measures.eyes import find_pupils
from voxdata.faces.measures.geometry import measure_geometry, second_look
from voxdata.faces.measures.lighting import measure_lighting
from voxdata.faces.measures.occlusion import measure_occlusion
from voxdata.faces.measures.patch import FacePatch, face_patch
from voxdata.faces.measures.sharpness import measure_sharpness
from voxdata.format.errors import PhotoDecodeError, StorageError
from voxdata.people.identities import safe_key
from voxdata.recipe.faces import FaceMeasure
from voxdata.store import fragments
from voxdata.store.fragments import Fragment
from voxdata.store.items import PhotoItem
from voxdata.tables.schemas import EMOTIONS, FACES

STAGE = "faces.measure"
VERSION = 8
LANDMARK_FILES = ("landmarker_model", "fan_model", "fan_detector_model")  # their hashes are in the backend's version
MIN_PUPIL_DISTANCE_PX = 2.0  # below, pupils do not define a scale: a profile whose eyes fall together

Row = dict[str, Any]


def fingerprint(settings: FaceMeasure) -> str:
    """Name everything that the stage's results depend on besides the photos. Raises `BackendError`, `WeightsError`."""
    named = settings.model_dump(mode="json", exclude={"embedding_model", "emotion_model", *LANDMARK_FILES})
    backends = {name: importlib.metadata.version(name) for name in ("opencv-contrib-python", "pillow")}
    backends[settings.backend] = landmarker_version(settings.backend, **_landmark_files(settings))
    if settings.embedding_model is not None:
        backends["onnxruntime"] = backend_version("onnxruntime")
        backends["embedding"] = weights_sha256(settings.embedding_model)
    if settings.emotion_model is not None:
        backends["torch"] = backend_version("torch")
        backends["emotion"] = emotion_file(settings.emotion_model).sha256
    return fragments.fingerprint(STAGE, VERSION, named, backends)


def run(items: Iterable[PhotoItem], settings: FaceMeasure) -> Fragment:
    """Measure photos. Rows conform to `schemas.FACES`; a photo without a face keeps one row that says why.

    Raises `BackendError` or `WeightsError` when a backend cannot start, nothing for a bad photo.
    """
    models = _open_models(settings)
    rows = [row for item in items for row in _measure_item(item, settings, models)]
    return Fragment(rows=pa.Table.from_pylist(rows, schema=FACES))


@dataclass(frozen=True, kw_only=True)
class _Models:
    landmarker: Landmarker
    embedder: Embedder | None
    emotion_net: EmotionNet | None


def _open_models(settings: FaceMeasure) -> _Models:
    return _Models(
        landmarker=open_landmarker(settings.backend, **_landmark_files(settings)),
        embedder=open_embedder(settings.embedding_model) if settings.embedding_model is not None else None,
        emotion_net=open_emotion_net(settings.emotion_model) if settings.emotion_model is not None else None,
    )


def _landmark_files(settings: FaceMeasure) -> dict[str, str]:
    return {name: getattr(settings, name) for name in LANDMARK_FILES}


def _measure_item(item: PhotoItem, settings: FaceMeasure, models: _Models) -> list[Row]:
    landmarker = models.landmarker
    base = {key: item.row[key] for key in ("item_id", "identity", "person", "bucket", "photo_sha256")}
    base |= {"backend": landmarker.name, "backend_version": landmarker.version, "face_count": 0}
    try:
        photo = decode_photo(
            item.data(), max_megapixels=settings.max_photo_megapixels, min_side_px=settings.min_photo_px
        )
    except PhotoDecodeError as error:
        return [{**base, "photo_status": error.reason, "measured_until": "decode"}]
    except (OSError, StorageError):
        return [{**base, "photo_status": "unreadable", "measured_until": "decode"}]
    faces = PhotoFaces(photo.pixels, landmarker)
    small = thumbnail(faces.small)
    base |= {
        "photo_width_px": photo.width_px,
        "photo_height_px": photo.height_px,
        "photo_phash": perceptual_hash(small),
        "grayscale": is_grayscale(small),
        "measured_until": "detect",
    }
    boxes = faces.detect(settings.min_detection_score)
    count = sum(min(box.width, box.height) >= settings.min_face_px for box in boxes)
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
    if min(box.width, box.height) < settings.min_face_px:
        return row
    landmarks = faces.landmarks(box)
    if landmarks is None:
        return row
    mirrored = second_look(photo.pixels, box, landmarks, models.landmarker)
    row |= measure_geometry(landmarks, mirrored, settings.frontal_pitch_deg)
    if row["pupil_distance_px"] < MIN_PUPIL_DISTANCE_PX:
        return {**row, "measured_until": "landmarks"}
    points = landmarks.points
    patch = face_patch(photo.pixels, points, find_pupils(points))
    row |= {"measured_until": "all", **_surface(patch)}
    if models.embedder is not None:
        row |= {"embedding_model": models.embedder.name, "embedding": models.embedder(photo.pixels, points)}
    if models.emotion_net is not None:
        row |= _emotions(models.emotion_net, photo, points)
    return row


def _surface(patch: FacePatch) -> Row:
    light, occlusion = measure_lighting(patch), measure_occlusion(patch)
    return {
        "glasses": occlusion.glasses,
        "occlusion": occlusion.occlusion,
        "light_left_right": light.left_right,
        "light_top_bottom": light.top_bottom,
        "light_evenness": light.evenness,
        "skin_level": light.level,
        "highlight_share": light.highlight_share,
        "shadow_share": light.shadow_share,
        "sharpness": measure_sharpness(patch),
    }


def _emotions(emotion_net: EmotionNet, photo: Photo, points: Floats) -> Row:
    probabilities = emotion_net(photo.pixels, points)
    named = {f"emotion_{name}": float(value) for name, value in zip(EMOTIONS, probabilities, strict=True)}
    return {"emotion_model": emotion_net.name, **named}
