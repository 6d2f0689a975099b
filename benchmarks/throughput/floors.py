"""What the shipped measurement floors spare, and which faces they leave unmeasured for ever."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from figures import Figure, Section

from throughput.calls import alternated, medians, spent
from voxdata.faces import measure
from voxdata.faces.columns import FACES
from voxdata.faces.decide import decide
from voxdata.faces.link import link
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.store.items import PhotoItem

LOWEST = {"min_photo_px": 8, "min_detection_score": 0.0, "min_face_px": 8.0, "max_faces": 100}
# reasons that are not the face's own fault
AMONG_FACES = {"duplicate", "several_faces", "shared_photo", "too_few_portraits", "over_cap"}
SAME_FACE = 0.5  # of the box's shorter side, between the centres of one face's boxes

Row = dict[str, Any]


def floors(name: str, items: Sequence[PhotoItem], recipe: Faces, rounds: int) -> Section:
    """Time of the stage under the recipe's floors and under the lowest ones, and the faces that make the difference."""
    recipes = {
        "shipped": recipe,
        "lowest": recipe.model_copy(update={"measure": recipe.measure.model_copy(update=LOWEST)}),
    }
    measured: dict[str, pa.Table] = {}
    turns = {floor: partial(_turn, floor, items, recipes[floor], measured) for floor in recipes}
    seconds = medians(alternated(turns, rounds))
    rows, lowest_rows = (_judged(measured[floor], recipes[floor]) for floor in recipes)
    rejected = 1 - len({row["item_id"] for row in rows if not row["own"]}) / len(items)
    found = [row for row in lowest_rows if row["pupil_distance_px"] is not None]
    never = _never_measured(rows, found)
    figures = [
        Figure(name="photos without a face that passes its own rules", value=rejected, n=len(items)),
        *(
            Figure(name=f"{line} floors, ms per photo", value=1e3 * each / len(items), n=len(items))
            for line, each in seconds.items()
        ),
        Figure(name="shipped over lowest, CPU", value=seconds["shipped CPU"] / seconds["lowest CPU"], n=len(items)),
        Figure(name="faces that stay unmeasured for ever, share", value=len(never) / max(len(found), 1), n=len(found)),
    ]
    causes = [_cause(row, recipe.measure) for row in never]
    table = [
        _cost(floor, [row for row, cause in zip(never, causes, strict=True) if cause == floor]) for floor in LOWEST
    ]
    return Section(title=f"{name}: {len(items)} photos", figures=figures, tables={"Never measured, by floor": table})


def _turn(floor: str, items: Sequence[PhotoItem], recipe: Faces, measured: dict[str, pa.Table]) -> dict[str, float]:
    def work() -> None:
        measured[floor] = measure.run(items, recipe.measure).rows

    return {f"{floor} {kind}": seconds for kind, seconds in spent(work).items()}


def _judged(measured: pa.Table, recipe: Faces) -> list[Row]:
    """Measured rows, each with the reasons that are its `own`, whatever other faces there are."""
    faces = measured.select(FACES.names)
    reasons = decide(faces, link(faces, recipe.link), recipe)["reasons"].to_pylist()
    return [
        {**row, "own": set(all_reasons) - AMONG_FACES}
        for row, all_reasons in zip(faces.to_pylist(), reasons, strict=True)
    ]


def _never_measured(rows: list[Row], found: list[Row]) -> list[Row]:
    """Of the faces found under the lowest floors those that the shipped ones leave without measurements."""
    measured: dict[str, list[Row]] = {}
    for row in rows:
        if row["pupil_distance_px"] is not None:
            measured.setdefault(row["item_id"], []).append(row)
    return [row for row in found if not any(_same(row, other) for other in measured.get(row["item_id"], []))]


def _same(a: Row, b: Row) -> bool:
    apart = np.hypot(*(_centre(a) - _centre(b)))
    return bool(apart <= SAME_FACE * min(_shorter(a), _shorter(b)))


def _centre(row: Row) -> np.ndarray[Any, Any]:
    return np.array([row["box_x_px"] + row["box_width_px"] / 2, row["box_y_px"] + row["box_height_px"] / 2])


def _shorter(row: Row) -> float:
    return min(float(row["box_width_px"]), float(row["box_height_px"]))


def _cause(row: Row, shipped: FaceMeasure) -> str:
    if min(row["photo_width_px"], row["photo_height_px"]) < shipped.min_photo_px:
        return "min_photo_px"
    if row["detection_score"] < shipped.min_detection_score:
        return "min_detection_score"
    return "min_face_px" if _shorter(row) < shipped.min_face_px else "max_faces"


def _cost(floor: str, faces: list[Row]) -> Row:
    pupils = [float(row["pupil_distance_px"]) for row in faces]
    return {
        "floor": floor,
        "faces": len(faces),
        "pupils px, median": float(np.median(pupils)) if pupils else "",
        "pupils px, most": max(pupils, default=""),
        "would pass but for resolution": sum(row["own"] <= {"low_resolution"} for row in faces),
        "would pass": sum(not row["own"] for row in faces),
    }
