"""mini_XCEPTION against a forward pass in NumPy, and the rules that a recipe can choose for expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from face_kit import encoded, face_row, faces_table, link_row, links_table, photo_item
from keras_kit import forward, random_weights, read_weights, write_keras_file

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.link import link
from voxdata.faces.measures.emotion import EMOTIONS, INPUT_PX, emotion_crop, open_emotion_net
from voxdata.faces.mini_xception import KerasFile, MiniXception
from voxdata.format.errors import DecisionError, RecipeError, WeightsError
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import draw_people

PUBLISHED = "fer2013_mini_XCEPTION.102-0.66.hdf5"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keras_file(tmp_path_factory.mktemp("keras") / "random.hdf5", random_weights())


def gray_faces(count: int) -> Any:
    """(N, 64, 64) in -1..1 with structure at every scale, different in each quarter."""
    rng = np.random.default_rng(5)
    coarse = [cv2.resize(rng.standard_normal((9, 9)), (INPUT_PX, INPUT_PX)) for _ in range(count)]
    return np.clip(np.array(coarse) / 2 + rng.normal(0, 0.1, (count, INPUT_PX, INPUT_PX)), -1, 1).astype(np.float32)


def compare_layers(path: Path, weights: Any, faces: Any) -> None:
    network = MiniXception(KerasFile(path), str(path))
    fed = torch.from_numpy(faces[:, None])
    found, expected = network.activations(fed), forward(weights, faces)
    assert set(found) == set(expected) - {"predictions"}
    for name, maps in found.items():
        array = maps.numpy()
        channels_last = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
        assert channels_last.shape == expected[name].shape, name
        assert np.abs(channels_last - expected[name]).max() <= 2e-5 * max(1.0, np.abs(expected[name]).max()), name
    assert np.abs(network(fed).numpy() - expected["predictions"]).max() < 1e-5


def test_every_layer_agrees_with_numpy(model: Path) -> None:
    compare_layers(model, random_weights(), gray_faces(2))


def test_every_layer_of_the_published_file_agrees_with_numpy(shared_data: Path) -> None:
    path = shared_data / "weights" / PUBLISHED
    compare_layers(path, read_weights(path), gray_faces(2))


def test_published_file_knows_fer2013(shared_data: Path) -> None:
    """About 62 % of these images; 65.5 % were published for the whole test set, another mix of classes."""
    paths = sorted((shared_data / "truth" / "emotion-fer2013").glob("*/*.jpg"))
    truth = np.array([EMOTIONS.index(path.parent.name) for path in paths])
    gray = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    crops = np.array([cv2.resize(pixels, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA) for pixels in gray])
    net = open_emotion_net(str(shared_data / "weights" / PUBLISHED))
    right = net.probabilities(crops).argmax(axis=1) == truth
    assert len(right) == 736
    assert right.mean() == pytest.approx(0.62, abs=0.02)
    assert net.name == "fer2013_mini_XCEPTION.102-0.66@59534287fdfb"


@pytest.mark.parametrize("missing", ["conv2d_4", "batch_normalization_9", "separable_conv2d_8"])
def test_another_network_is_refused_by_its_layer(tmp_path: Path, missing: str) -> None:
    weights = random_weights()
    del weights[missing]
    path = write_keras_file(tmp_path / "cut.hdf5", weights)
    with pytest.raises(WeightsError, match=rf"cut\.hdf5 is no mini_XCEPTION: layer {missing} has no"):
        open_emotion_net(str(path))


def test_wrong_files_say_what_is_wrong(tmp_path: Path) -> None:
    gender = write_keras_file(tmp_path / "gender.hdf5", random_weights(classes=2))
    with pytest.raises(WeightsError, match=r"2 classes.*7 emotions"):
        open_emotion_net(str(gender))
    wider = random_weights()
    wider["conv2d_2"]["kernel"] = np.zeros((3, 3, 8, 9), np.float32)
    with pytest.raises(WeightsError, match=r"conv2d_2/kernel is \(3, 3, 8, 9\), must be \(3, 3, 8, 8\)"):
        open_emotion_net(str(write_keras_file(tmp_path / "wide.hdf5", wider)))
    text = tmp_path / "page.hdf5"
    text.write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match=r"page\.hdf5 is not a Keras HDF5 file"):
        open_emotion_net(str(text))
    with pytest.raises(WeightsError, match=r"emotion_model=null.*rule=geometry"):
        open_emotion_net(str(tmp_path / "missing.hdf5"))


def test_measured_emotions_are_probabilities_and_name_their_network(model: Path) -> None:
    person = draw_people(1, seed=3, link=1.0)[0]
    item = photo_item(encoded(paint_photo(person, size_px=320, seed=1)))
    (row,) = measure.run([item], FaceMeasure(emotion_model=str(model))).rows.to_pylist()
    values = [row[f"emotion_{name}"] for name in EMOTIONS]
    assert sum(values) == pytest.approx(1.0, abs=1e-5)
    assert min(values) >= 0
    assert row["emotion_model"].startswith("random@")
    (without,) = measure.run([item], FaceMeasure()).rows.to_pylist()
    assert without["emotion_model"] is None
    assert without["emotion_neutral"] is None
    assert without["smile"] == row["smile"]


def test_fingerprint_names_the_network(model: Path, tmp_path: Path) -> None:
    other = write_keras_file(tmp_path / "random.hdf5", random_weights(seed=1))
    copy = tmp_path / "copy.hdf5"
    copy.write_bytes(model.read_bytes())
    prints = [measure.fingerprint(FaceMeasure(emotion_model=str(path))) for path in (model, other, copy)]
    assert prints[0] == prints[2]
    assert len({*prints, measure.fingerprint(FaceMeasure())}) == 3


def test_crop_turns_with_the_face_and_keeps_to_it() -> None:
    points = np.zeros((478, 3))
    rng = np.random.default_rng(0)
    points[:, :2] = rng.uniform(100, 200, (478, 2))
    points[468:473, :2], points[473:, :2] = (125, 140), (175, 140)
    canvas = np.tile(np.linspace(0, 255, 300, dtype=np.uint8)[:, None, None], (1, 300, 3))
    upright = emotion_crop(canvas, points)
    turned = points.copy()
    turned[:, 0], turned[:, 1] = 299 - points[:, 1], points[:, 0]
    assert upright.shape == (INPUT_PX, INPUT_PX)
    assert np.abs(emotion_crop(np.ascontiguousarray(np.rot90(canvas, -1)), turned).astype(int) - upright).max() <= 2
    assert upright[0].mean() < upright[-1].mean()
    far = points + np.array([200, 0, 0])
    assert np.abs(emotion_crop(canvas, far).astype(int) - upright).max() <= 2  # the edge is repeated, nothing is black


CALM = {f"emotion_{name}": 0.02 for name in EMOTIONS} | {"emotion_neutral": 0.88, "emotion_model": "net@1"}
SLIGHT = CALM | {"emotion_neutral": 0.10, "emotion_happy": 0.80}
BEAMING = CALM | {"emotion_neutral": 0.02, "emotion_happy": 0.96}
ANGRY = CALM | {"emotion_neutral": 0.10, "emotion_angry": 0.80}


def reasons(rule: str, **changes: Any) -> list[str]:
    settings = Faces.model_validate({"expression": {"rule": rule}, "measure": {"emotion_model": "mini_xception"}})
    row = face_row(**changes)
    found: list[str] = decide(faces_table(row), links_table(link_row(row)), settings)["reasons"].to_pylist()[0]
    return found


@pytest.mark.parametrize(("face", "expected"), [(CALM, []), (SLIGHT, []), (BEAMING, ["emotion"]), (ANGRY, ["emotion"])])
def test_emotion_rule_keeps_calm_and_slightly_smiling_faces(face: dict[str, Any], expected: list[str]) -> None:
    assert reasons("emotion", **face) == expected
    assert reasons("both", **face) == expected
    assert reasons("geometry", **face) == []


def test_the_recipe_chooses_who_judges() -> None:
    grin = CALM | {"smile": 5.0, "expression": 5.0}
    assert reasons("geometry", **grin) == reasons("both", **grin) == ["smiling", "expression"]
    assert reasons("emotion", **grin) == []
    assert reasons("emotion", **CALM, eyes_open=0.01) == ["eyes_closed"]


def test_released_portraits_pass_every_rule_of_expression(shared_data: Path) -> None:
    paths = sorted((shared_data / "truth" / "hq-voxceleb-samples").glob("*/*.jpg"))
    model = str(shared_data / "weights" / PUBLISHED)
    items = [photo_item(path.read_bytes(), path.parent.name) for path in paths]
    faces = measure.run(items, FaceMeasure(emotion_model=model)).rows
    for rule in ("geometry", "emotion", "both"):
        settings = Faces.model_validate({"expression": {"rule": rule}, "measure": {"emotion_model": model}})
        found = decide(faces, link(faces, settings.link), settings)["reasons"].to_pylist()
        calm = [not {"smiling", "mouth_open", "eyes_closed", "expression", "emotion"} & set(each) for each in found]
        assert len(calm) == 13
        assert sum(calm) >= 11, rule


def test_rule_without_a_network_is_refused_with_the_command() -> None:
    with pytest.raises(RecipeError, match=r"both.*--set faces\.measure\.emotion_model=mini_xception"):
        load_recipe("hq-voxceleb-automatic", ["faces.expression.rule=both"])
    with pytest.raises(DecisionError, match=r"1 faces.*--set faces\.measure\.emotion_model=mini_xception"):
        reasons("both")
