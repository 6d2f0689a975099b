"""Real photographs, where they lie beside the checkout."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_kit import face_item, photo_item

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.link import link
from voxdata.faces.portrait import render
from voxdata.recipe.faces import FaceMeasure, Faces, Link, Render
from voxdata.recipe.reading import load_recipe


def measured(paths: list[Path], **settings: Any) -> list[dict[str, Any]]:
    items = [photo_item(path.read_bytes(), path.parent.name) for path in paths]
    rows: list[dict[str, Any]] = measure.run(items, FaceMeasure(**settings)).rows.to_pylist()
    return rows


@pytest.fixture(scope="session")
def released(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "truth" / "hq-voxceleb-samples").glob("*/*.jpg"))


# Limits that were chosen with the released portraits in sight, which cannot confirm them: see docs/faces.md.
CHOSEN_ON_THEM = {"uneven_light", "highlights", "shadows", "blurred", "smiling", "mouth_open", "expression"}


def test_released_portraits_are_good_faces(released: list[Path]) -> None:
    recipe = load_recipe("hq-voxceleb-automatic", ["faces.select.min_per_identity=1"]).faces
    items = [photo_item(path.read_bytes(), path.parent.name) for path in released]
    faces = measure.run(items, recipe.measure).rows
    rows = faces.to_pylist()
    assert len(rows) == len(released)
    targets = np.array([(row["pupil_left_x_px"], row["pupil_left_y_px"]) for row in rows])
    sides = np.array([row["photo_width_px"] for row in rows])
    assert np.abs(targets / sides[:, None] - (0.375, 0.475)).mean() < 0.01
    reasons = [
        set(found) - CHOSEN_ON_THEM for found in decide(faces, link(faces, Link()), recipe)["reasons"].to_pylist()
    ]
    assert reasons.count(set()) >= 12


def test_released_portraits_render_as_themselves(released: list[Path]) -> None:
    (row,) = measured(released[:1])
    rendered = render.run([face_item(row, released[0].read_bytes())], Render(size_px=256)).rows.to_pylist()[0]
    assert rendered["render_status"] == "ok"
    assert rendered["outside_share"] < 0.05


def test_pose_on_the_half_that_was_not_fitted(shared_data: Path) -> None:
    folder = shared_data / "truth" / "pose-aflw2000"
    with open(folder / "pose.tsv", newline="") as file:
        truth = {row["image"]: row for row in csv.DictReader(file, delimiter="\t")}
    angles = ("yaw_deg", "pitch_deg", "roll_deg")
    names = [name for name, row in truth.items() if max(abs(float(row[angle])) for angle in angles) < 20]
    unfitted = [name for name in names if hashlib.sha256(name.encode()).digest()[0] % 2][:40]
    items = [photo_item((folder / name).read_bytes(), name) for name in unfitted]
    rows = measure.run(items, FaceMeasure()).rows.to_pylist()
    known = [row for row in rows if row["measured_until"] == "all" and row["face_count"] == 1]
    errors = [[abs(row[angle] - float(truth[row["identity"]][angle])) for angle in angles] for row in known]
    assert len(errors) > 30
    assert np.median(errors, axis=0).max() < 4


def test_purity_finds_a_strangers_photo(shared_data: Path) -> None:
    pytest.importorskip("onnxruntime")
    weights = shared_data / "weights" / "mobilefacenet_y1.onnx"
    people = sorted(folder for folder in (shared_data / "photos" / "web").iterdir() if folder.is_dir())
    mine, others = sorted(people[0].iterdir())[:6], sorted(people[1].iterdir())[:3]
    items = [photo_item(path.read_bytes(), "mixed") for path in [*mine, *others]]
    faces = measure.run(items, FaceMeasure(embedding_model=str(weights))).rows
    verdicts = decide(faces, link(faces, Link()), Faces())
    reasons = dict.fromkeys(faces["item_id"].to_pylist(), frozenset[str]())
    for item, found in zip(verdicts["item_id"].to_pylist(), verdicts["reasons"].to_pylist(), strict=True):
        reasons[item] |= frozenset(found)
    strangers = ["other_person" in reasons[item.row["item_id"]] for item in items]
    assert all(strangers[len(mine) :])
    assert faces["embedding_model"].to_pylist()[0].startswith("mobilefacenet_y1@")
