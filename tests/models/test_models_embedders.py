"""Face embedders: the registry's errors, the portrait's crop, and MobileFaceNet against onnxruntime."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.embedders import load_published
from models.embedders.base import crop_arcface
from models.embedders.mobilefacenet import MobileFaceNet
from models.embedders.onnx_weights import read_initialisers
from models.errors import EmbedderError, PretrainedError
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT


def field(number: int, payload: bytes) -> bytes:
    size = b""
    rest = len(payload)
    while True:
        size += bytes([rest & 0x7F | (0x80 if rest > 0x7F else 0)])
        rest >>= 7
        if not rest:
            return bytes([number << 3 | 2]) + size + payload


def tensor(name: str, values: np.ndarray, *, packed: bool) -> bytes:
    if packed:
        dims = field(1, bytes(values.shape))
        data = field(4, values.astype("<f4").tobytes())
    else:
        dims = b"".join(bytes([1 << 3, size]) for size in values.shape)
        data = field(9, values.astype("<f4").tobytes())
    return field(5, dims + bytes([2 << 3, 1]) + field(8, name.encode()) + data)


def test_initialisers_in_both_encodings(tmp_path: Path) -> None:
    first, second = np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.array([0.5, -2.0], np.float32)
    graph = field(2, b"graph") + tensor("a", first, packed=False) + tensor("b", second, packed=True)
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes([1 << 3, 7]) + field(7, graph))
    found = read_initialisers(path)
    np.testing.assert_array_equal(found["a"], first)
    np.testing.assert_array_equal(found["b"], second)


@pytest.mark.parametrize("data", [b"hello, this is a text file", struct.pack("<B", 0x3A) + b"\xff\x7f", b"\x3a"])
def test_what_is_no_onnx_file_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(PretrainedError, match="not an ONNX model"):
        read_initialisers(path)


def test_facenet_is_asked_for_and_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match=r"facenet.*20180402-114759-vggface2.pt.*https://.*281cebca.*run.json"):
        load_published("facenet", {})
    wrong = tmp_path / "20180402-114759-vggface2.pt"
    wrong.write_bytes(b"other")
    with pytest.raises(PretrainedError, match="has sha256 d9298a10"):
        load_published("facenet", {"facenet": str(wrong)})


def test_unknown_and_missing_embedders() -> None:
    with pytest.raises(EmbedderError, match="'arcnet': no such embedder; there are self-trained, mobilefacenet"):
        load_published("arcnet", {})
    with pytest.raises(PretrainedError, match=r"nowhere.onnx cannot be read"):
        load_published("mobilefacenet", {"mobilefacenet": "nowhere.onnx"})


def test_crop_puts_the_pupils_where_arcface_has_eyes() -> None:
    side = 512
    rows, columns = np.mgrid[:side, :side] + 0.5
    image = np.zeros((3, side, side), np.float32)
    for channel, (x, y) in enumerate((PUPIL_LEFT, PUPIL_RIGHT)):
        image[channel] = np.exp(-((columns - x * side) ** 2 + (rows - y * side) ** 2) / 200)
    crop = crop_arcface(torch.from_numpy(image)[None])[0]
    for channel, (x, y) in enumerate(((38.2946, 51.6963), (73.5318, 51.5014))):
        weights = crop[channel].numpy()
        centre_rows, centre_columns = np.mgrid[:112, :112] + 0.5
        assert (weights * centre_columns).sum() / weights.sum() == pytest.approx(x, abs=0.2)
        assert (weights * centre_rows).sum() / weights.sum() == pytest.approx(y, abs=0.2)


def test_gradients_reach_the_image_not_the_weights() -> None:
    network = MobileFaceNet().freeze()
    image = torch.randn(2, 3, 64, 64, requires_grad=True)
    *maps, embedding = network.features(image)
    assert [tuple(x.shape[1:]) for x in maps] == [(64, 28, 28), (128, 14, 14), (128, 7, 7)]
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    embedding[:, 0].sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_mobilefacenet_agrees_with_onnxruntime(shared_data: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    weights = shared_data / "weights" / "mobilefacenet_y1.onnx"
    if not weights.exists():
        pytest.skip("no mobilefacenet_y1.onnx in ../shared/data/weights")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    network = load_published("mobilefacenet", {"mobilefacenet": str(weights)})
    photos = sorted((shared_data / "photos" / "web").rglob("*.jpg"))[:6]
    real = [np.asarray(Image.open(path).convert("RGB").resize((112, 112)), np.float32) for path in photos]
    noise = np.random.default_rng(0).uniform(0, 255, (4, 112, 112, 3)).astype(np.float32)
    batch = np.stack([*real, *noise]).transpose(0, 3, 1, 2).copy()
    expected = session.run(None, {"data": batch})[0]
    with torch.no_grad():
        found = network(torch.from_numpy(batch))[-1].numpy()
    assert len(real) == 6
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.5
