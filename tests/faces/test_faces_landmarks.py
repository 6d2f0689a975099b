"""Landmark backends: what each gives, what it is called in the fingerprint, and what it says when a file is missing."""

from __future__ import annotations

import importlib.metadata
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_kit import encoded, face_row, faces_table, links_table, photo_item
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.detect import fan, landmarks
from voxdata.faces.detect.backends import landmarker_version, open_landmarker
from voxdata.faces.detect.landmarks import Box, Landmarks
from voxdata.faces.geometry.eyes import find_pupils, lid_centres
from voxdata.faces.geometry.pose import asymmetry
from voxdata.faces.geometry.pose_68 import MODEL_68_MM, MODEL_68_POINTS, estimate_pose_68
from voxdata.format.errors import BackendError, DecisionError, RecipeError, WeightsError
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import paint_photo
from voxdata.simulate.head import Pose
from voxdata.simulate.people import draw_people

SIDE_PX = 256


def projected_68(yaw: float, pitch: float, roll: float, scale: float = 1.0) -> np.ndarray:
    """(68, 2) pixels of the model turned by known angles, seen from 600 mm; others are at its mean."""
    rotation = Pose(yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll, centre_px=(0, 0), unit_px=1).rotation
    turned = MODEL_68_MM @ rotation.T
    flat = turned[:, :2] * (600 / (600 - turned[:, 2:])) * (1, -1) * scale
    points = np.tile(flat.mean(axis=0), (68, 1))
    points[MODEL_68_POINTS] = flat
    return points + 120


angle = st.floats(-40, 40)


@settings(max_examples=40, deadline=None)
@given(angle, angle, angle, st.floats(0.2, 5))
def test_pose_of_68_points_is_the_angle_they_were_turned_by(
    yaw: float, pitch: float, roll: float, scale: float
) -> None:
    pose = estimate_pose_68(projected_68(yaw, pitch, roll, scale))
    assert (pose.yaw_deg, pose.pitch_deg, pose.roll_deg) == pytest.approx((yaw, pitch, roll), abs=0.2)


def face_68() -> np.ndarray:
    """A symmetric frontal face in a 256 px square."""
    points = np.zeros((68, 2))
    turn = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([128 + 70 * np.cos(turn), 110 + 100 * np.sin(turn)], axis=1)
    points[17:22] = np.stack([np.linspace(72, 112, 5), [92, 86, 84, 86, 90]], axis=1)
    points[22:27] = [256, 0] + points[17:22][::-1] * [-1, 1]
    points[27:31] = np.stack([np.full(4, 128), np.linspace(104, 140, 4)], axis=1)
    points[31:36] = np.stack([np.linspace(114, 142, 5), [148, 150, 152, 150, 148]], axis=1)
    points[36:42] = [(82, 106), (90, 101), (99, 101), (107, 106), (99, 110), (90, 110)]
    points[42:48] = [(149, 106), (157, 101), (166, 101), (174, 106), (166, 110), (157, 110)]
    mouth = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    points[48:60] = np.stack([128 + 26 * np.cos(mouth), 176 - 9 * np.sin(mouth)], axis=1)
    inner = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    points[60:68] = np.stack([128 + 20 * np.cos(inner), 176 - 3 * np.sin(inner)], axis=1)
    return points


def test_68_points_lie_where_the_mesh_has_them() -> None:
    points68 = face_68()
    found = fan.from_package([points68.astype(np.float32)])
    assert found is not None
    pupils = find_pupils(found.points)
    assert pupils.as_array() == pytest.approx(np.array([points68[36:42].mean(0), points68[42:48].mean(0)]), abs=1e-4)
    assert lid_centres(found.points).as_array() == pytest.approx(pupils.as_array(), abs=1e-4)
    assert found.points[152, :2] == pytest.approx(points68[8], abs=1)
    assert found.points[10, 1] < points68[17:27, 1].min()
    assert asymmetry(found.points) < 0.02
    assert np.isnan(found.points[:, 2]).all()


def test_what_is_no_face_of_68_points_is_none_or_an_error() -> None:
    assert fan.from_package(None) is None
    assert fan.from_package([]) is None
    assert fan.from_package([np.full((68, 2), np.nan, np.float32)]) is None
    with pytest.raises(BackendError, match="98 points; 68"):
        fan.from_package([np.zeros((98, 2), np.float32)])


def spots(points: np.ndarray) -> Any:
    """A network that sees known points in the package's crop: heatmaps (1, 68, 64, 64)."""
    import torch

    class Spots(torch.nn.Module):
        def forward(self, crop: Any) -> Any:
            y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
            maps = [torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 4) for a, b in points]
            return torch.stack(maps)[None].repeat(len(crop), 1, 1, 1)

    return Spots()


@pytest.mark.long  # the package compiles its decoding of heatmaps at the first face, for two minutes
def test_adapter_reads_the_packages_own_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the networks is the package's: cropping, decoding of heatmaps, its list of arrays."""
    face_alignment = pytest.importorskip("face_alignment")

    class Stubbed(face_alignment.FaceAlignment):  # type: ignore[misc, unused-ignore]
        def _load_native(self, *_: Any) -> Any:
            return spots(face_68() / 4)

    aligner = Stubbed(1, device="cpu", face_detector="folder", compile=False, flip_input=False)
    box = [np.array([64.0, 64.0, 192.0, 192.0, 1.0])]
    aligner.face_detector = type("Found", (), {"detect_from_image": lambda self, _: box, "reference_scale": 195})()
    monkeypatch.setattr(fan, "fan_version", lambda *_: "1.5.0+tested")
    monkeypatch.setattr(fan, "resolve", Path)
    monkeypatch.setattr(fan, "_aligner", lambda *_: aligner)
    monkeypatch.setattr(fan, "open_fan", fan.FanLandmarker)
    pixels = np.full((SIDE_PX, SIDE_PX, 3), 128, np.uint8)
    found = open_landmarker("face-alignment").detect(pixels, 0.5)
    assert found == [Box(x=64, y=64, width=128, height=128, score=1)]
    (row,) = measure.run([photo_item(encoded(pixels))], FaceMeasure(backend="face-alignment")).rows.to_pylist()
    assert (row["backend"], row["backend_version"]) == ("face-alignment", "1.5.0+tested")
    assert row["measured_until"] == "all"
    assert row["pupil_right_x_px"] - row["pupil_left_x_px"] == pytest.approx(row["pupil_distance_px"], abs=1)
    assert abs(row["yaw_deg"]) < 6
    assert abs(row["roll_deg"]) < 3
    assert row["eyes_open"] > 0.1
    assert row["light_evenness"] is not None
    assert {row[name] for name in ("smile", "mouth_open", "brow_raise", "expression", "blend_smile")} == {None}


@pytest.mark.parametrize(
    ("backend", "file", "host"),
    [("face-alignment", "2DFAN4", "adrianbulat.com"), ("mediapipe-tasks", "face_landmarker.task", "googleapis.com")],
)
def test_missing_file_says_where_it_is_and_how_to_import_it(
    backend: str, file: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXDATA_WEIGHTS", str(tmp_path))
    for ask in (lambda: open_landmarker(backend), lambda: measure.fingerprint(FaceMeasure(backend=backend))):
        with pytest.raises(WeightsError, match=rf"{host}.*voxdata weights import .*{file}"):
            ask()


def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"wrong\.bin is not a face landmarker"):
        open_landmarker("mediapipe-tasks", landmarker_model=str(wrong))
    with pytest.raises(WeightsError, match=r"wrong\.bin"):
        open_landmarker("face-alignment", fan_model=str(wrong), fan_detector_model=str(wrong))


def test_fingerprint_names_the_content_of_a_file_and_not_its_place(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.task", "b.task", "c.task")]
    for file, content in zip(files, (b"one", b"one", b"two"), strict=True):
        file.write_bytes(content)
    prints = [measure.fingerprint(FaceMeasure(backend="mediapipe-tasks", landmarker_model=str(file))) for file in files]
    assert prints[0] == prints[1] != prints[2]
    assert landmarker_version("mediapipe-tasks", landmarker_model=str(files[0])) in (
        landmarker_version("mediapipe-tasks", landmarker_model=str(files[1])),
    )
    assert measure.fingerprint(FaceMeasure()) == measure.fingerprint(FaceMeasure(landmarker_model=str(files[0])))


def test_tasks_backend_measures_what_the_wheels_does_and_blendshapes(shared_data: Path) -> None:
    file = str(shared_data / "weights" / "face_landmarker.task")
    people = draw_people(2, seed=11, link=1.0)
    shots = [{}, {"yaw_deg": 15.0}, {"mouth_open": 1.0, "smile": 1.0}]
    items = [photo_item(encoded(paint_photo(people[0], size_px=320, **shot))) for shot in shots]
    tasks = measure.run(items, FaceMeasure(backend="mediapipe-tasks", landmarker_model=file)).rows.to_pylist()
    wheel = measure.run(items, FaceMeasure()).rows.to_pylist()
    for ours, other in zip(tasks, wheel, strict=True):
        assert ours["pupil_left_x_px"] == pytest.approx(other["pupil_left_x_px"], abs=0.1 * other["pupil_distance_px"])
        assert ours["yaw_deg"] == pytest.approx(other["yaw_deg"], abs=6)
        assert 0 <= ours["blend_eyes_closed"] <= 1
        assert other["blend_smile"] is None
    assert tasks[2]["blend_smile"] > tasks[0]["blend_smile"]
    assert tasks[2]["blend_jaw_open"] > tasks[0]["blend_jaw_open"]
    assert "64184e229b26" in tasks[0]["backend_version"]


def test_tasks_matrix_turns_with_the_face(shared_data: Path) -> None:
    landmarker = open_landmarker(
        "mediapipe-tasks", landmarker_model=str(shared_data / "weights" / "face_landmarker.task")
    )
    person = draw_people(1, seed=11, link=1.0)[0]

    def seen(yaw: float) -> Landmarks:
        pixels = paint_photo(person, size_px=320, yaw_deg=yaw)
        found = landmarker.landmarks(pixels, landmarker.detect(pixels, 0.5)[0])
        assert found is not None
        return found

    left, right = (np.asarray(seen(yaw).matrix) for yaw in (-15.0, 15.0))
    assert left[0, 2] - right[0, 2] == pytest.approx(2 * np.sin(np.radians(15)), abs=0.2)
    assert len(seen(0.0).blendshapes or ()) == 52


TASKS = {"backend": "mediapipe-tasks"}


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"blend_smile": 0.3, "blend_jaw_open": 0.01}, []),
        ({"blend_smile": 0.9, "blend_jaw_open": 0.01}, ["smiling"]),
        ({"blend_smile": 0.0, "blend_jaw_open": 0.5}, ["mouth_open"]),
    ],
)
def test_blendshapes_judge_in_the_place_of_geometry(shapes: dict[str, float], expected: list[str]) -> None:
    row = faces_table(face_row(smile=3.0, expression=3.0, **shapes))
    by_blendshapes = Faces.model_validate({"measure": TASKS, "expression": {"rule": "blendshapes"}})
    assert decide(row, links_table(), by_blendshapes)["reasons"].to_pylist() == [expected]
    by_geometry = Faces.model_validate({"measure": TASKS})
    assert decide(row, links_table(), by_geometry)["reasons"].to_pylist() == [["smiling", "expression"]]


def test_blendshapes_that_were_not_measured_are_refused_with_the_command() -> None:
    with pytest.raises(RecipeError, match=r"blendshapes.*--set faces\.measure\.backend=mediapipe-tasks"):
        load_recipe("hq-voxceleb-automatic", ["faces.expression.rule=blendshapes"])
    recipe = Faces.model_validate({"measure": TASKS, "expression": {"rule": "blendshapes"}})
    with pytest.raises(DecisionError, match=r"1 faces.*--set faces\.measure\.backend=mediapipe-tasks"):
        decide(faces_table(face_row()), links_table(), recipe)


def test_stored_angles_count_from_the_pitch_that_looks_into_the_camera() -> None:
    item = photo_item(encoded(paint_photo(draw_people(1, seed=11, link=1.0)[0], size_px=320, yaw_deg=6.0)))
    (plain,), (moved,) = (
        measure.run([item], FaceMeasure(frontal_pitch_deg=frontal)).rows.to_pylist() for frontal in (0.0, -7.0)
    )
    assert moved["pitch_deg"] == pytest.approx(plain["pitch_deg"] + 7.0, abs=1e-4)
    assert moved["yaw_deg"] == plain["yaw_deg"]
    cosine = math.cos(math.radians(moved["yaw_deg"])) * math.cos(math.radians(moved["pitch_deg"]))
    assert moved["face_angle_deg"] == pytest.approx(math.degrees(math.acos(cosine)), abs=0.01)
    assert {name for name in plain if plain[name] != moved[name]} == {"pitch_deg", "face_angle_deg"}


@pytest.mark.parametrize(
    ("name", "frontal"),
    [
        ("hq-voxceleb-automatic", -5.5),
        ("hq-voxceleb", -5.5),
        ("released", -5.5),
        ("voxceleb-folder", -5.5),
        ("demo", 0),
    ],
)
def test_recipes_for_real_people_know_their_frontal_pitch_and_painted_ones_keep_the_paints(
    name: str, frontal: float
) -> None:
    assert load_recipe(name).faces.measure.frontal_pitch_deg == frontal


def test_a_python_without_mediapipe_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(landmarks.importlib.metadata, "version", missing)
    with pytest.raises(BackendError, match=r"mediapipe is not installed; run: pip install mediapipe==0\.10\.21$"):
        landmarks.backend_version("mediapipe")
    monkeypatch.setattr(landmarks, "NO_MEDIAPIPE", sys.version_info[:2])
    with pytest.raises(BackendError, match=r"no wheel for Python 3\.1.*build with Python 3\.11 or 3\.12"):
        landmarks.backend_version("mediapipe")
