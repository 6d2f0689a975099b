"""Face angles against ground truth: `python benchmarks/face_pose.py --data DIR`.

DIR holds `truth/pose-aflw2000` (AFLW2000 photos with `pose.tsv`), and, where present, `voxceleb1-mini/photos` and
`truth/hq-voxceleb-samples`, for which it counts how many faces are within 5, 10 and 15 deg. What `voxdata.faces.pose`
calibrates was fitted on the half of AFLW2000 whose file names' SHA-256 starts with an even byte; the table's "held out"
rows are the other half. Prints the table and writes the same numbers to `benchmarks/results/face_pose.json`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.faces import measure
from voxdata.items import PhotoItem
from voxdata.recipe_faces import FaceMeasure

RESULTS = Path(__file__).parent / "results" / "face_pose.json"
ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
LIMIT_DEG = 99.0  # the usual protocol leaves out photos with a true angle beyond
FRONTAL_DEG = 20.0
BOOTSTRAP_DRAWS = 2000
Numbers = npt.NDArray[np.float64]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="face angles against ground truth")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/pose-aflw2000")
    data: Path = parser.parse_args().data
    names, truth, found, images = aflw(data / "truth" / "pose-aflw2000")
    held_out = np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 1 for name in names], bool)
    frontal = np.abs(truth).max(axis=1) < FRONTAL_DEG
    groups = {
        "held out, within 99 deg": held_out,
        "held out, under 20 deg": held_out & frontal,
        "fitted half, within 99 deg": ~held_out,
        "fitted half, under 20 deg": ~held_out & frontal,
    }
    report: dict[str, Any] = {"images": images, "measured": len(names)}
    print(f"AFLW2000: {images} photos with true angles within {LIMIT_DEG:g} deg, {len(names)} with landmarks")
    print(f"{'mean absolute error, deg (95 % interval)':42s}{'n':>5s}{'yaw':>20s}{'pitch':>20s}{'roll':>20s}")
    for name, rows in groups.items():
        report[name] = row = errors(found[rows] - truth[rows])
        cells = "".join(f"{row[a]['mae']:8.2f} ({row[a]['low']:.2f}-{row[a]['high']:.2f})" for a in ANGLES)
        print(f"{name:42s}{int(rows.sum()):5d}{cells}")
    report["rule at 5 deg"] = rule(truth[held_out], found[held_out])
    print(f"rule at 5 deg, held out: {report['rule at 5 deg']}")
    for title, folder in (("video frames", "voxceleb1-mini/photos"), ("portraits", "truth/hq-voxceleb-samples")):
        if (data / folder).is_dir():
            report[title] = counts(sorted((data / folder).glob("*/*.jpg")))
            print(f"{title}: {report[title]}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")


def aflw(folder: Path) -> tuple[list[str], Numbers, Numbers, int]:
    """Names, true and measured angles (N, 3) of the annotated faces, and how many photos were looked at."""
    with open(folder / "pose.tsv", newline="") as file:
        rows = [
            row for row in csv.DictReader(file, delimiter="\t") if max(abs(float(row[a])) for a in ANGLES) <= LIMIT_DEG
        ]
    by_name = measured(folder / row["image"] for row in rows)
    names, truth, found = [], [], []
    for row in rows:
        face = annotated_face(by_name[row["image"]], [float(row[key]) for key in ("x0", "y0", "x1", "y1")])
        if face is not None:
            names.append(row["image"])
            truth.append([float(row[angle]) for angle in ANGLES])
            found.append([face[angle] for angle in ANGLES])
    return names, np.array(truth), np.array(found), len(rows)


def annotated_face(faces: list[dict[str, Any]], box: list[float]) -> dict[str, Any] | None:
    """The measured face whose centre is nearest to that of the annotated box, within half its width."""
    side, centre = box[2] - box[0], np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    best, nearest = None, side / 2
    for face in faces:
        middle = (face["box_x_px"] + face["box_width_px"] / 2, face["box_y_px"] + face["box_height_px"] / 2)
        offset = float(np.abs(np.array(middle) - centre).max())
        if offset < nearest:
            best, nearest = face, offset
    return best


def measured(paths: Iterable[Path]) -> dict[str, list[dict[str, Any]]]:
    """Faces with landmarks per file name, largest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        who = {"item_id": path.name, "identity": path.name, "person": path.name, "bucket": 0}
        item = PhotoItem(
            row={**who, "photo_sha256": hashlib.sha256(path.name.encode()).hexdigest()}, data=path.read_bytes
        )
        rows = measure.run([item], FaceMeasure()).rows.to_pylist()
        found[path.name] = [row for row in rows if row["yaw_deg"] is not None]
    return found


def errors(difference: Numbers) -> dict[str, dict[str, float]]:
    """Mean absolute error per angle with its bootstrap interval."""
    rng = np.random.default_rng(0)
    size = np.abs(difference)
    draws = size[rng.integers(0, len(size), (BOOTSTRAP_DRAWS, len(size)))].mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return {
        angle: {"n": len(size), "mae": float(size[:, k].mean()), "low": float(low[k]), "high": float(high[k])}
        for k, angle in enumerate(ANGLES)
    }


def face_angle(angles: Numbers) -> Numbers:
    """acos(cos yaw * cos pitch) in degrees of (N, 3) yaw, pitch, roll."""
    cosine = np.cos(np.radians(angles[:, 0])) * np.cos(np.radians(angles[:, 1]))
    degrees: Numbers = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return degrees


def rule(truth: Numbers, found: Numbers) -> dict[str, float]:
    """What a limit of 5 deg does: share of truly frontal faces kept, and of faces beyond 12 deg let through."""
    true_angle, kept = face_angle(truth), face_angle(found) <= 5
    frontal, turned = true_angle <= 5, true_angle > 12
    return {
        "truly within 5": int(frontal.sum()),
        "of them kept": float(kept[frontal].mean()) if frontal.any() else 0.0,
        "truly beyond 12": int(turned.sum()),
        "of them let through": float(kept[turned].mean()) if turned.any() else 0.0,
    }


def counts(paths: list[Path]) -> dict[str, float]:
    """How many photos have their largest face within 5, 10 and 15 deg."""
    angles, pitch = [], []
    for path in paths:
        faces = measured([path])[path.name]
        if faces:
            angles.append(faces[0]["face_angle_deg"])
            pitch.append(faces[0]["pitch_deg"])
    within = {f"within {limit}": int((np.array(angles) <= limit).sum()) for limit in (5, 10, 15)}
    return {"photos": len(paths), "with landmarks": len(angles), **within, "median pitch": float(np.median(pitch))}


if __name__ == "__main__":
    main()
