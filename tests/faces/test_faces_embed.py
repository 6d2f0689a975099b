"""Face embedders: found through the registry, fed as their authors feed them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from face_kit import face_row, faces_table
from onnx_writer import flatten_network

from voxdata import weights
from voxdata.faces import measure
from voxdata.faces.link import link
from voxdata.faces.measures.embedding import (
    DLIB,
    FIVE_POINTS,
    INPUT_PX,
    SCALES,
    TEMPLATE,
    aligned_crop,
    network_input,
    open_embedder,
    weights_sha256,
)
from voxdata.format.errors import BackendError, WeightsError
from voxdata.recipe.faces import FaceMeasure, Link
from voxdata.recipe.reading import load_recipe

NETWORK = flatten_network(INPUT_PX)
PIXELS = np.random.default_rng(4).integers(0, 256, (200, 240, 3), np.uint8)


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flattening network, known as a face embedder by the name `flat` and not yet in the cache."""
    return known_network(tmp_path, monkeypatch, "rgb-255")


def known_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face_input: str | None, network: bytes = NETWORK
) -> Path:
    digest = hashlib.sha256(network).hexdigest()
    takes = f'face_input = "{face_input}"' if face_input else ""
    own = tmp_path / "own.toml"
    own.write_text(
        f'[weights.flat]\nfile = "flat.onnx"\nformat = "onnx"\nurl = "https://example.org/flat.onnx"\n'
        f'sha256 = "{digest}"\nlicence = "MIT"\ncommercial = "yes"\ntrained_on = "nothing"\n{takes}\n'
    )
    monkeypatch.setenv(weights.REGISTRY_VARIABLE, str(own))
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    file = tmp_path / "mine.onnx"
    file.write_bytes(network)
    return file


def landmarks() -> npt.NDArray[np.float64]:
    """(478, 3) with the five points where a face in `PIXELS` would have them, turned a little."""
    points = np.zeros((478, 3))
    points[list(FIVE_POINTS), :2] = TEMPLATE @ np.array([[1.1, 0.2], [-0.2, 1.1]]) + (40.0, 20.0)
    return points


def fed_by_opencv(face_input: str, bgr: npt.NDArray[np.uint8], file: Path) -> npt.NDArray[np.float32]:
    """What the reference feeds the network: OpenCV's own SFace class, and the blob that InsightFace makes."""
    if face_input == "rgb-255":
        return np.asarray(cv2.FaceRecognizerSF.create(str(file), "").feature(bgr)).reshape(-1)
    return np.asarray(cv2.dnn.blobFromImage(bgr, 1 / 127.5, (112, 112), (127.5,) * 3, swapRB=True)).reshape(-1)


@pytest.mark.parametrize("face_input", sorted(set(SCALES) - {DLIB}))
def test_pixels_are_fed_as_the_authors_feed_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face_input: str
) -> None:
    pytest.importorskip("onnxruntime")
    file = known_network(tmp_path, monkeypatch, face_input)
    unit = open_embedder(str(file))(PIXELS, landmarks())
    crop = aligned_crop(PIXELS, landmarks())
    expected = fed_by_opencv(face_input, np.ascontiguousarray(crop[..., ::-1]), file)
    np.testing.assert_allclose(network_input(crop, face_input).reshape(-1), expected, atol=1e-5)
    np.testing.assert_allclose(unit, expected / np.linalg.norm(expected), atol=1e-6)
    assert unit.shape == (3 * INPUT_PX**2,)


def test_a_name_and_a_path_are_the_same_network(registered: Path) -> None:
    pytest.importorskip("onnxruntime")
    weights.import_file(registered)
    by_path, by_name = open_embedder(str(registered)), open_embedder("flat")
    assert by_name.name == by_path.name == f"flat@{hashlib.sha256(NETWORK).hexdigest()[:12]}"
    fingerprints = {measure.fingerprint(FaceMeasure(embedding_model=model)) for model in ("flat", str(registered))}
    assert len(fingerprints) == 1
    assert fingerprints != {measure.fingerprint(FaceMeasure())}


def test_a_snapshot_holds_the_name_and_no_place(registered: Path) -> None:
    by_name = load_recipe("voxceleb-folder", ["faces.measure.embedding_model=flat"]).result_settings()
    assert by_name["faces"]["measure"]["embedding_model"] == "flat"
    by_path = load_recipe("voxceleb-folder", [f"faces.measure.embedding_model={registered}"]).result_settings()
    assert str(registered.parent) not in str(by_path)


def test_a_missing_network_says_how_to_get_it_or_do_without(registered: Path) -> None:
    match = r"embedding_model = flat: .*voxdata weights pull flat;.*import flat.onnx.*embedding_model=null"
    with pytest.raises(WeightsError, match=match):
        weights_sha256("flat")
    with pytest.raises(WeightsError, match=r"near: flat.*embedding_model=null"):
        measure.fingerprint(FaceMeasure(embedding_model="flatt"))


@pytest.mark.parametrize("face_input", [None, "rgb-255"])
def test_a_network_of_unknown_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face_input: str | None
) -> None:
    file = known_network(tmp_path, monkeypatch, face_input)
    if face_input is not None:
        file.write_bytes(NETWORK + b"\x0a\x00")
    with pytest.raises(WeightsError, match=r"no face embedder with sha256 .*known: .*mobilefacenet.*face_input"):
        measure.fingerprint(FaceMeasure(embedding_model=str(file)))


def test_without_onnxruntime_the_message_says_what_to_install(
    registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"pip install 'voxdata\[onnx\]'"):
        open_embedder(str(registered))


def test_a_registered_file_that_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    file = known_network(tmp_path, monkeypatch, "rgb-255", b"no network")
    with pytest.raises(WeightsError, match=r"mine.onnx is not an ONNX model"):
        open_embedder(str(file))


def test_faces_of_512_values_are_linked() -> None:
    rng = np.random.default_rng(7)
    mine, other = rng.normal(size=(2, 512))
    vectors = [mine + 0.3 * rng.normal(size=512) for _ in range(5)] + [other]
    rows = [
        face_row("ann", f"p{index}", embedding=(vector / np.linalg.norm(vector)).tolist())
        for index, vector in enumerate(vectors)
    ]
    found = {row["face_id"]: row["centroid_similarity"] for row in link(faces_table(*rows), Link()).to_pylist()}
    similarity = [found[row["face_id"]] for row in rows]
    assert min(similarity[:5]) > 0.9
    assert similarity[5] < 0.2


def test_the_real_network_by_its_name(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(weights.REGISTRY_VARIABLE, raising=False)
    weights.import_file(shared_data / "weights" / "mobilefacenet_y1.onnx")
    embedder = open_embedder("mobilefacenet")
    assert embedder.name == "mobilefacenet_y1@98851f834174"
    assert embedder(PIXELS, landmarks()).shape == (128,)
