"""Photos turned by 180 deg without an EXIF tag, and the same photos upright: what becomes of them.

Faces whose true or measured angle is small, on the half that the limits of `voxdata.faces.detect.upside_down` were not
chosen on, and painted people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figures import Section, in_fitting_half, mean_figure

from accuracy.masks import png
from voxdata.faces import measure as face_stage
from voxdata.faces.decide import decide
from voxdata.faces.decode import Pixels, decode_photo
from voxdata.faces.link import link
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import draw_people
from voxdata.store.items import PhotoItem

SETS = {
    "CelebAMask": "truth/mask-celebamask/images/*.jpg",
    "AFLW2000": "truth/pose-aflw2000/*.jpg",
    "VoxCeleb frames": "voxceleb1-mini/photos/*/*.jpg",
}
PAINTED = 40
UPSIDE_DOWN_DEG = 135.0  # a roll beyond
POSE_REASONS = ("rolled", "face_angle", "no_landmarks", "no_face")


def measure(data: Path) -> Section:
    """Shares of turned photos that are known to hang, and that a pose rule misses; of upright ones called hanging."""
    table: list[dict[str, Any]] = []
    rolled_upright, found, missed = [], [], []
    for name, photos in _sets(data):
        upright, turned = look(photos), look([np.ascontiguousarray(pixels[::-1, ::-1]) for pixels in photos])
        rolled_upright += [_hangs(row) for row in upright]
        found += [_hangs(row) for row in turned]
        missed += [not set(row["reasons"]) & set(POSE_REASONS) for row in turned]
        counts = {reason: sum(row["reason_of_pose"] == reason for row in turned) for reason in (*POSE_REASONS, "")}
        table.append({"photos": name, "n": len(photos)} | {key or "none of these": n for key, n in counts.items()})
    figures = [
        mean_figure("turned photos whose face is found to hang", np.array(found, float), higher=True),
        mean_figure("turned photos that every pose rule lets through", np.array(missed, float)),
        mean_figure("upright photos whose face is said to hang", np.array(rolled_upright, float)),
    ]
    return Section(title="Photos upside down", figures=figures, tables={"first pose reason of turned photos": table})


def look(photos: Sequence[Pixels]) -> list[dict[str, Any]]:
    """Per photo: roll of its largest face, all reasons, and the first of `POSE_REASONS`."""
    recipe = load_recipe("hq-voxceleb-automatic").faces
    items = [PhotoItem(row=_who(index), data=lambda pixels=pixels: png(pixels)) for index, pixels in enumerate(photos)]
    faces = face_stage.run(items, recipe.measure).rows
    rows = []
    verdicts = decide(faces, link(faces, recipe.link), recipe).to_pylist()
    for face, verdict in zip(faces.to_pylist(), verdicts, strict=True):
        if face["face_index"] in (0, None):
            first = next((reason for reason in POSE_REASONS if reason in verdict["reasons"]), "")
            rows.append({"roll_deg": face["roll_deg"], "reasons": verdict["reasons"], "reason_of_pose": first})
    return rows


def _hangs(row: dict[str, Any]) -> bool:
    return row["roll_deg"] is not None and abs(row["roll_deg"]) > UPSIDE_DOWN_DEG


def _sets(data: Path) -> Iterator[tuple[str, list[Pixels]]]:
    for name, pattern in SETS.items():
        paths = [path for path in sorted(data.glob(pattern)) if not in_fitting_half(path.name)]
        yield name, [decode_photo(path.read_bytes(), max_megapixels=100, min_side_px=32).pixels for path in paths]
    people = draw_people(PAINTED, seed=3, link=1.0)
    yield "painted", [paint_photo(person, size_px=320, seed=number) for number, person in enumerate(people)]


def _who(index: int) -> dict[str, Any]:
    name = f"p{index}"
    return {"item_id": name, "identity": name, "person": name, "bucket": 0, "photo_sha256": f"{index:064x}"}
