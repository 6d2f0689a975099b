"""The released HQ-VoxCeleb portraits under the shipped recipe, and which pitch counts as frontal.

AFLW2000's zero pitch is that of a 3D morphable model. `faces.measure.frontal_pitch_deg` of the recipe is the median
pitch of people who are photographed from the front (yaw within 5 deg) in CelebAMask, LFW, YouTube Faces and VoxCeleb
frames; the portraits, which it is judged by, take no part in it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Section, interval, mean_figure

from voxdata.faces import measure as faces_measure
from voxdata.faces.decide import decide
from voxdata.faces.link import link
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT
from voxdata.recipe.faces import FaceMeasure
from voxdata.recipe.reading import load_recipe
from voxdata.store.items import PhotoItem

FRONTAL_YAW_DEG = 5.0
SOURCES = {
    "CelebAMask": "truth/mask-celebamask/**/*.jpg",
    "LFW": "photos/lfw-gray/**/*.*",
    "YouTube Faces": "truth/landmarks-ytf/*/*.jpg",
    "VoxCeleb frames": "voxceleb1-mini/photos/*/*.jpg",
}


def measure(data: Path, backend: str = "mediapipe") -> Section:
    """How many pass every automatic rule, and how far their pupils are from where the recipe puts them."""
    recipe = load_recipe("hq-voxceleb-automatic", [f"faces.measure.backend={backend}"]).faces
    paths = sorted((data / "truth" / "hq-voxceleb-samples").glob("*/*.jpg"))
    faces = faces_measure.run([_item(path) for path in paths], recipe.measure).rows
    rows = faces.to_pylist()
    links = link(faces, recipe.link)
    verdicts = decide(faces, links, recipe).to_pylist()
    own = {row["face_id"]: {name: row[name] for name in ("own_zero_deg", "nod_deg")} for row in links.to_pylist()}
    kept = np.array([row["verdict"] == "keep" for row in verdicts], float)
    off, edge = (np.array([_pupils_off(row, origin) for row in rows]) for origin in (0.0, 0.5))
    low, high = interval(kept, lambda drawn: float(drawn.sum()))
    figures = [
        Figure(
            name="portraits that pass every automatic rule of hq-voxceleb",
            value=float(kept.sum()),
            n=len(rows),
            low=low,
            high=high,
            must=12,
            stretch=13,
            higher=True,
        ),
        mean_figure("pupils off target, share of the side", off, must=0.01, stretch=0.005),
        mean_figure("the same, the side counted from the first pixel's edge", edge),
    ]
    columns = ("yaw_deg", "pitch_deg", "smile", "mouth_open", "expression")
    portraits = [
        {
            "portrait": f"{path.parent.name}/{path.stem}",
            **{name: row[name] for name in columns},
            **own[row["face_id"]],
            "pupils off": float(each),
            "reasons": ", ".join(verdict["reasons"]),
        }
        for path, row, verdict, each in zip(paths, rows, verdicts, off, strict=True)
    ]
    zero, sources = frontal_pitch(data, recipe.measure.model_copy(update={"frontal_pitch_deg": 0.0}))
    note = (
        f"Median pitch of frontal faces: {zero:.2f} deg; the recipe has "
        f"faces.measure.frontal_pitch_deg = {recipe.measure.frontal_pitch_deg:g}."
    )
    tables = {"portraits": portraits, "pitch of faces with yaw within 5 deg": sources}
    return Section(title=f"Released portraits, {backend}", figures=figures, tables=tables, notes=[note])


def frontal_pitch(data: Path, settings: FaceMeasure) -> tuple[float, list[dict[str, Any]]]:
    """Median over all sources together, and a row per source."""
    pooled: list[float] = []
    table = []
    for name, pattern in SOURCES.items():
        faces = faces_measure.run(items(data, pattern), settings).rows.to_pylist()
        pitch = [
            row["pitch_deg"]
            for row in faces
            if row["face_index"] == 0 and row["yaw_deg"] is not None and abs(row["yaw_deg"]) <= FRONTAL_YAW_DEG
        ]
        low, middle, high = map(float, np.percentile(pitch, [25, 50, 75]))
        table.append({"photos": name, "n": len(pitch), "25 %": low, "median": middle, "75 %": high})
        pooled += pitch
    return float(np.median(pooled)), table


def items(data: Path, pattern: str) -> list[PhotoItem]:
    """The photos under `data` that a pattern finds; whose folder they are in is their person."""
    return [_item(path) for path in sorted(data.glob(pattern)) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]


def _pupils_off(row: dict[str, Any], origin: float = 0.0) -> float:
    """Mean distance of both pupils from their targets, share of the side, which begins `origin` px before (0, 0)."""
    side = np.array([row["photo_width_px"], row["photo_height_px"]])
    found = np.array([[row[f"pupil_{which}_{axis}_px"] for axis in "xy"] for which in ("left", "right")])
    return float(np.hypot(*((found + origin) / side - np.array([PUPIL_LEFT, PUPIL_RIGHT])).T).mean())


def _item(path: Path) -> PhotoItem:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    who = {"identity": path.parent.name, "person": path.parent.name, "bucket": 0}
    return PhotoItem(
        row={"item_id": f"{path.parent.name}/{sha256}", "photo_sha256": sha256, **who}, data=path.read_bytes
    )
