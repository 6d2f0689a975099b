"""The measuring stage: photos in, one row per face out, no thresholds.

Floors (`recipe.FaceMeasure`) spare expensive measurements; `measured_until` says where a row stopped: `decode` (no
pixels), `detect` (a face without landmarks), `landmarks` (the face was too far turned to be measured further) or `all`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from voxdata import fragments
from voxdata.errors import PhotoDecodeError, StorageError
from voxdata.faces.decode import Photo, decode_photo, is_grayscale, perceptual_hash, thumbnail
from voxdata.faces.embed import Embedder, open_embedder, weights_sha256
from voxdata.faces.emotion import EmotionNet, emotion_file, open_emotion_net
from voxdata.faces.expression import measure_expression
from voxdata.faces.eyes import eyes_open, find_pupils
from voxdata.faces.landmarks import Box, Floats, Landmarker, backend_version, open_landmarker
from voxdata.faces.lighting import measure_lighting
from voxdata.faces.patch import face_patch
from voxdata.faces.pose import SECOND_LOOK_DEG, asymmetry, estimate_pose
from voxdata.faces.sharpness import measure_sharpness
from voxdata.fragments import Fragment
from voxdata.identities import safe_key
from voxdata.items import PhotoItem
from voxdata.recipe_faces import FaceMeasure
from voxdata.schemas import EMOTIONS, FACES

STAGE = "faces.measure"
VERSION = 2
MIN_PUPIL_DISTANCE_PX = 2.0  # below, pupils do not define a scale: a profile whose eyes fall together

Row = dict[str, Any]


def fingerprint(settings: FaceMeasure) -> str:
    """Name everything that the stage's results depend on besides the photos. Raises `BackendError`, `WeightsError`."""
    named = settings.model_dump(mode="json", exclude={"embedding_model", "emotion_model"})
    backends = {name: importlib.metadata.version(name) for name in ("opencv-contrib-python", "pillow", "ImageHash")}
    backends[settings.backend] = backend_version(settings.backend)
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
        landmarker=open_landmarker(settings.backend),
        embedder=open_embedder(settings.embedding_model) if settings.embedding_model is not None else None,
        emotion_net=open_emotion_net(settings.emotion_model) if settings.emotion_model is not None else None,
    )


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
    small = thumbnail(photo.pixels)
    base |= {
        "photo_width_px": photo.width_px,
        "photo_height_px": photo.height_px,
        "photo_phash": perceptual_hash(small),
        "grayscale": is_grayscale(small),
        "measured_until": "detect",
    }
    boxes = landmarker.detect(photo.pixels, settings.min_detection_score)
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
            **_measure_face(photo, box, settings, models),
        }
        for index, box in enumerate(boxes[: settings.max_faces])
    ]


def _measure_face(photo: Photo, box: Box, settings: FaceMeasure, models: _Models) -> Row:
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
    points = models.landmarker.landmarks(photo.pixels, box)
    if points is None:
        return row
    row |= _geometry(points, _second_look(photo, box, points, models.landmarker))
    if row["pupil_distance_px"] < MIN_PUPIL_DISTANCE_PX:
        return {**row, "measured_until": "landmarks"}
    patch = face_patch(photo.pixels, points, find_pupils(points))
    light = measure_lighting(patch)
    row |= {
        "measured_until": "all",
        "light_evenness": light.evenness,
        "highlight_share": light.highlight_share,
        "shadow_share": light.shadow_share,
        "sharpness": measure_sharpness(patch),
    }
    if models.embedder is not None:
        row |= {"embedding_model": models.embedder.name, "embedding": models.embedder(photo.pixels, points)}
    if models.emotion_net is not None:
        row |= _emotions(models.emotion_net, photo, points)
    return row


def _emotions(emotion_net: EmotionNet, photo: Photo, points: Floats) -> Row:
    probabilities = emotion_net(photo.pixels, points)
    named = {f"emotion_{name}": float(value) for name, value in zip(EMOTIONS, probabilities, strict=True)}
    return {"emotion_model": emotion_net.name, **named}


def _second_look(photo: Photo, box: Box, points: Floats, landmarker: Landmarker) -> Floats | None:
    if estimate_pose(points).face_angle_deg > SECOND_LOOK_DEG:
        return None
    there = replace(box, x=photo.width_px - box.x - box.width)
    return landmarker.landmarks(photo.pixels[:, ::-1], there)


def _geometry(points: Floats, mirrored_points: Floats | None) -> Row:
    pupils = find_pupils(points)
    pose = estimate_pose(points, mirrored_points)
    expression = measure_expression(points, pose.rotation)
    mirrored = asymmetry(points)
    return {
        "pupil_left_x_px": pupils.left[0],
        "pupil_left_y_px": pupils.left[1],
        "pupil_right_x_px": pupils.right[0],
        "pupil_right_y_px": pupils.right[1],
        "pupil_distance_px": pupils.distance_px,
        "yaw_deg": pose.yaw_deg,
        "pitch_deg": pose.pitch_deg,
        "roll_deg": pose.roll_deg,
        "face_angle_deg": pose.face_angle_deg,
        "asymmetry": mirrored if np.isfinite(mirrored) else None,
        "smile": expression.smile,
        "mouth_open": expression.mouth_open,
        "eyes_open": eyes_open(points),
        "brow_raise": expression.brow_raise,
        "expression": expression.distance,
    }
