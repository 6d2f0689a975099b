"""Small photos and hand-made tables for the face tests."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from voxdata.faces.columns import FACES
from voxdata.store.items import FaceItem, PhotoItem
from voxdata.tables.schemas import LINKS, RENDERS

GOOD_FACE: Mapping[str, Any] = {
    "photo_status": "ok",
    "measured_until": "all",
    "face_count": 1,
    "photo_width_px": 400,
    "photo_height_px": 400,
    "grayscale": False,
    "box_x_px": 100.0,
    "box_y_px": 100.0,
    "box_width_px": 150.0,
    "box_height_px": 150.0,
    "detection_score": 0.9,
    "pupil_left_x_px": 140.0,
    "pupil_left_y_px": 160.0,
    "pupil_right_x_px": 210.0,
    "pupil_right_y_px": 160.0,
    "pupil_distance_px": 70.0,
    "yaw_deg": 1.0,
    "pitch_deg": 1.0,
    "roll_deg": 2.0,
    "face_angle_deg": 1.4,
    "asymmetry": 0.05,
    "smile": 0.1,
    "mouth_open": 0.02,
    "eyes_open": 0.3,
    "brow_raise": 0.0,
    "expression": 0.2,
    "light_left_right": 0.9,
    "light_top_bottom": 0.95,
    "light_evenness": 0.9,
    "skin_level": 0.3,
    "highlight_share": 0.0,
    "shadow_share": 0.0,
    "sharpness": 0.2,
    "square_outside_share": 0.0,
    "head_cut_share": 0.0,
    "eyes_hidden": 0.02,
    "lower_face_hidden": 0.02,
}


def face_row(person: str = "ann", photo: str = "p", index: int = 0, **changes: Any) -> dict[str, Any]:
    """A face that passes every rule, but for `changes`; `photo` names its photo."""
    sha256 = hashlib.sha256(photo.encode()).hexdigest()
    named = {
        "item_id": f"{person}/{sha256}",
        "identity": person,
        "person": person,
        "bucket": 1,
        "photo_sha256": sha256,
        "face_index": index,
        "face_id": f"{person}/{sha256[:16]}_{index}",
        "photo_phash": hashlib.sha256(photo.encode()).hexdigest()[:16],
    }
    return {**GOOD_FACE, **named, **changes}


def faces_table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=FACES.schema)


def links_table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=LINKS)


def link_row(face: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The link of a face that is alone in its cluster, but for `changes`."""
    alone = {"photo_cluster": face["photo_sha256"], "cluster_people": 1, "cluster_photos": 1}
    return {"face_id": face["face_id"], "photo_sha256": face["photo_sha256"], **alone, **changes}


def renders_table(statuses: Mapping[str, str]) -> pa.Table:
    rows = [{"item_id": face_id, "face_id": face_id, "render_status": status} for face_id, status in statuses.items()]
    return pa.Table.from_pylist(rows, schema=RENDERS)


def photo_item(data: bytes, identity: str = "ann") -> PhotoItem:
    sha256 = hashlib.sha256(data).hexdigest()
    row = {
        "item_id": f"{identity}/{sha256}",
        "identity": identity,
        "person": identity,
        "bucket": 1,
        "photo_sha256": sha256,
    }
    return PhotoItem(row=row, data=lambda: data)


def face_item(row: Mapping[str, Any], data: bytes) -> FaceItem:
    return FaceItem(row=row, data=lambda: data)


def encoded(pixels: npt.NDArray[np.uint8], form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()
