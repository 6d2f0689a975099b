"""The annotated faces of AFLW2000 as a landmark backend sees them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import Numbers

from voxdata.faces.decode import decode_photo
from voxdata.faces.detect.landmarks import Box, Landmarker, Landmarks
from voxdata.faces.geometry.looks import second_look

ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
LIMIT_DEG = 99.0  # the usual protocol leaves out photos with a true angle beyond
MIN_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class Face:
    """True yaw, pitch, roll (3,) in degrees, and the landmarks of one or two looks; None where none were found."""

    name: str
    truth: Numbers
    landmarks: Landmarks | None
    mirrored: Landmarks | None


def read_faces(data: Path, landmarker: Landmarker) -> list[Face]:
    """All photos whose true angles are within `LIMIT_DEG`."""
    folder = data / "truth" / "pose-aflw2000"
    with open(folder / "pose.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    faces = []
    for row in rows:
        truth = np.array([float(row[angle]) for angle in ANGLES])
        if np.abs(truth).max() > LIMIT_DEG:
            continue
        photo = decode_photo((folder / row["image"]).read_bytes(), max_megapixels=100, min_side_px=32)
        box = annotated(
            landmarker.detect(photo.pixels, MIN_SCORE), [float(row[key]) for key in ("x0", "y0", "x1", "y1")]
        )
        seen = None if box is None else landmarker.landmarks(photo.pixels, box)
        mirrored = None if box is None or seen is None else second_look(photo.pixels, box, seen, landmarker)
        faces.append(Face(name=row["image"], truth=truth, landmarks=seen, mirrored=mirrored))
    return faces


def annotated(boxes: list[Box], corners: list[float]) -> Box | None:
    """The box whose centre is nearest to that of the annotated one, within half its width."""
    best, nearest = None, (corners[2] - corners[0]) / 2
    for box in boxes:
        offset = max(
            abs(box.x + box.width / 2 - (corners[0] + corners[2]) / 2),
            abs(box.y + box.height / 2 - (corners[1] + corners[3]) / 2),
        )
        if offset < nearest:
            best, nearest = box, offset
    return best
