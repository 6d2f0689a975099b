"""The person's mask, its soft edges, and the backends behind it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from face_kit import encoded, face_item, photo_item
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.faces import measure
from voxdata.faces.portrait import deeplab as matting_deeplab
from voxdata.faces.portrait import matting, render
from voxdata.faces.portrait import refine as matting_refine
from voxdata.faces.portrait.deeplab import DeepLabV3
from voxdata.faces.portrait.selfie import person_box, widened
from voxdata.format.errors import RecipeError, WeightsError
from voxdata.recipe.faces import FaceMeasure, Render
from voxdata.simulate.face import Scene, Shot, paint_photo, paint_scene
from voxdata.simulate.people import SimulatedPerson, draw_people

PEOPLE = draw_people(2, seed=11, link=1.0)
# sha256 of "<key> <shape>" lines of torchvision 0.28's deeplabv3_resnet50(aux_loss=True, num_classes=21).state_dict()
TORCHVISION_KEYS = "f008324ccadaea08e46b7556a7d57f1994c1cd231cc469e4ade4a658c5f1be8e"


def disc(size: int = 160, radius: float = 50, blur: float = 3.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    hard = (np.hypot(x - size / 2, y - size / 2) < radius).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(hard, (0, 0), blur), np.float32)


@pytest.mark.parametrize("background", [(0, 0, 0), (30, 200, 40), (10, 20, 230)])
def test_soft_edge_on_white_has_no_halo_of_the_background(background: tuple[int, int, int]) -> None:
    alpha = disc()[:, :, None]
    person = np.array([180.0, 120.0, 90.0])
    photo = np.round(alpha * person + (1 - alpha) * np.array(background)).astype(np.uint8)
    wanted = alpha * person + (1 - alpha) * 255
    soft = (alpha[:, :, 0] > 0.02) & (alpha[:, :, 0] < 0.98)
    plain = photo * alpha + 255 * (1 - alpha)
    off = np.abs(matting.on_white(photo, alpha[:, :, 0]) - wanted)[soft].mean()
    assert off < 4
    assert off < 0.25 * np.abs(plain - wanted)[soft].mean()


def test_composite_keeps_the_person_and_whitens_the_rest() -> None:
    alpha = disc()
    photo = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    composite = matting.on_white(photo, alpha)
    assert (composite[alpha == 1] == photo[alpha == 1]).all()
    assert (composite[alpha == 0] == 255).all()


@pytest.mark.parametrize("size", [(600, 600), (90, 140), (7, 1)])
def test_own_colours_are_those_of_the_photo_where_nothing_is_mixed(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    alpha = np.ones(size, np.float32)
    alpha[: size[0] // 2] = 0.5
    places = np.flatnonzero(alpha == 1)
    own = matting_refine.own_colours(pixels, alpha, places)
    assert own == pytest.approx(pixels.reshape(-1, 3)[places], abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.sampled_from(["zero", "one", "any"]))
def test_any_mask_refines_to_an_alpha(height: int, width: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = {"zero": np.zeros, "one": np.ones, "any": rng.random}[kind]((height, width)).astype(np.float32)
    alpha = matting_refine.refine(pixels, mask)
    assert alpha.shape == (height, width)
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() <= alpha.max() <= 1
    assert matting.on_white(pixels, alpha).shape == pixels.shape


def test_small_part_beside_the_person_is_dropped() -> None:
    mask = np.zeros((200, 200), np.float32)
    mask[60:200, 80:190] = 0.95
    mask[80:120, 10:40] = 0.95
    pixels = np.where(mask[:, :, None] > 0, np.uint8(90), np.uint8(200)).repeat(3, axis=2)
    alpha = matting_refine.refine(pixels, mask)
    assert alpha[90:110, 15:35].max() == 0
    assert alpha[80:190, 100:180].min() == 1


def test_box_of_a_person_with_its_margin_stays_in_the_photo() -> None:
    mask = np.zeros((100, 80), np.float32)
    mask[50:, 20:40] = 1
    box = person_box(mask)
    assert box == (50, 100, 20, 40)
    assert widened(box, 0.25, mask.shape) == (37, 100, 15, 45)
    assert person_box(np.zeros((4, 6), np.float32)) == (0, 4, 0, 6)


def test_alpha_covers_the_painted_person_and_is_repeatable() -> None:
    with_person = paint_photo(PEOPLE[0], size_px=256, seed=0, background="plain")
    alpha = matting.person_alpha(with_person)
    assert alpha[110:150, 110:146].min() > 0.95
    assert alpha[:40, :30].max() < 0.05
    assert (alpha == matting.person_alpha(with_person)).all()


@pytest.mark.parametrize("person", range(2))
def test_beside_a_painted_person_the_portrait_is_white(person: int) -> None:
    """The 5th percentile of the grey level within 10 px of a 512 px portrait's person, two pixels off the edge."""
    photos = [paint_scene(Scene(background="plain", noise=0.0, shots=s), size_px=512, seed=7) for s in shots(person)]
    person_there = (np.abs(photos[0].astype(int) - photos[1]).max(axis=2) > 6).astype(np.uint8)
    away = cv2.distanceTransform(1 - cv2.morphologyEx(person_there, cv2.MORPH_CLOSE, np.ones((9, 9))), cv2.DIST_L2, 5)
    portrait = matting.on_white(photos[0], matting.person_alpha(photos[0]))
    beside = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY))[(away > 2) & (away <= 10)]
    assert np.percentile(beside, 5) >= 245


def shots(person: int) -> list[tuple[tuple[SimulatedPerson, Shot], ...]]:
    return [((PEOPLE[person], Shot()),), ()]


@pytest.fixture
def small_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network on a small picture: its own 520 px take seconds."""
    monkeypatch.setattr(matting_deeplab, "INPUT_PX", 48)


@pytest.fixture(scope="module")
def deeplab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = DeepLabV3()
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), file)
    return file


def test_deeplab_has_torchvisions_keys_and_shapes() -> None:
    with torch.device("meta"):
        state = DeepLabV3().state_dict()
    lines = "".join(f"{name} {tuple(tensor.shape)}\n" for name, tensor in state.items())
    assert len(state) == 370
    assert hashlib.sha256(lines.encode()).hexdigest() == TORCHVISION_KEYS


@pytest.mark.usefixtures("small_input")
def test_deeplab_loads_strictly_and_gives_a_mask_of_any_size(deeplab_file: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 91, 3), dtype=np.uint8)
    mask = matting_deeplab.person_mask(pixels, str(deeplab_file))
    assert mask.shape == (60, 91)
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask.std() > 0


@pytest.mark.usefixtures("small_input")
def test_deeplab_refuses_other_files(deeplab_file: Path, tmp_path: Path) -> None:
    state = torch.load(deeplab_file, weights_only=True)
    del state["classifier.4.bias"]
    other = tmp_path / "other.pth"
    torch.save(state, other)
    with pytest.raises(WeightsError, match=r"deeplabv3_resnet50.*voxdata weights list"):
        matting_deeplab.person_mask(np.zeros((32, 32, 3), np.uint8), str(other))
    with pytest.raises(WeightsError):
        render.fingerprint(Render(matting="deeplabv3", matting_model=str(tmp_path / "missing.pth")))
    with pytest.raises(RecipeError, match=r"faces\.render\.matting = 'pspnet'.*deeplabv3, mediapipe-selfie"):
        matting.matting_version("pspnet")


@pytest.mark.usefixtures("small_input")
def test_rows_and_fingerprint_name_the_weights(deeplab_file: Path, tmp_path: Path) -> None:
    pixels = paint_photo(PEOPLE[1], size_px=160, seed=1)
    (face,) = measure.run([photo_item(encoded(pixels))], FaceMeasure()).rows.to_pylist()
    chosen = Render(size_px=64, matting="deeplabv3", matting_model=str(deeplab_file))
    (row,) = render.run([face_item(face, encoded(pixels))], chosen).rows.to_pylist()
    digest = hashlib.sha256(deeplab_file.read_bytes()).hexdigest()
    assert (row["matting_backend"], row["matting_version"]) == ("deeplabv3", digest)
    assert row["render_status"] == "matting_failed"
    moved = tmp_path / "moved.pth"
    moved.write_bytes(deeplab_file.read_bytes())
    again = chosen.model_copy(update={"matting_model": str(moved)})
    assert render.fingerprint(again) == render.fingerprint(chosen) != render.fingerprint(Render(size_px=64))
    moved.write_bytes(moved.read_bytes() + b"\0")
    assert render.fingerprint(again) != render.fingerprint(chosen)
