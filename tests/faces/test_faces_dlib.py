"""dlib's face recognition network: read out of a file as dlib lays it out, and taken with limits of its own."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from voxdata import weights
from voxdata.faces.dlib_resnet import EMBEDDING, INPUT_PX, LEVELS, DlibResNet, header, tensors_of
from voxdata.faces.measures.embedding import usual_limits
from voxdata.format.errors import WeightsError
from voxdata.recipe.reading import load_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
JUNK = b"\x01\x02\x01\x07serialised words between the tensors\x01\x02"
NAMED = "faces.measure.embedding_model"


def sizes() -> list[tuple[int, int]]:
    """(samples, channels) of each tensor, as a picture passes them."""
    found, channels = [(32 * 3 * 49 + 32, 1), (64, 1)], 32
    for filters, blocks, _ in LEVELS:
        for _ in range(blocks):
            for inner in (channels, filters):
                found += [(filters * inner * 9 + filters, 1), (2 * filters, 1)]
            channels = filters
    return [*found, (channels, EMBEDDING)]


def written(value: float = 0.01) -> bytes:
    """A file whose tensors all hold one number."""
    parts = [JUNK + header(*size) + np.full(size[0] * size[1], value, "<f4").tobytes() for size in sizes()]
    return b"".join(parts)


def test_tensors_lie_between_other_things() -> None:
    first, second = np.arange(3, dtype="<f4"), np.arange(300, dtype="<f4")
    data = JUNK + header(3, 1) + first.tobytes() + JUNK + header(300, 1) + second.tobytes()
    found = tensors_of(data, [(3, 1), (300, 1)], "x")
    assert [each.tolist() for each in found] == [first.tolist(), second.tolist()]


def test_a_picture_passes_every_layer() -> None:
    """Zeros after the stem: only the linear layer's answer to the stem's constant is left."""
    network = DlibResNet(written(0.0), "x")
    pixels = torch.full((2, 3, INPUT_PX, INPUT_PX), 90.0)
    assert torch.equal(network(pixels), torch.zeros(2, EMBEDDING))
    assert DlibResNet(written(), "x")(pixels).shape == (2, EMBEDDING)


@pytest.mark.parametrize("cut", [1, 200_000])
def test_a_file_without_all_tensors_is_refused(cut: int) -> None:
    with pytest.raises(WeightsError, match=r"here.dat is not dlib's face recognition network: its tensor \d+"):
        DlibResNet(written()[:-cut], "here.dat")


@pytest.mark.index
def test_the_published_file_embeds_as_dlib_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXDATA_WEIGHTS", str(tmp_path / "weights"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    for command in (
        [*pip, "--target", str(tmp_path / "dlib"), "dlib-bin==20.0.1.post1"],
        [sys.executable, "-m", "flows.cli", "weights", "pull", "dlib_resnet"],
    ):
        subprocess.run(command, cwd=REPOSITORY, check=True, timeout=600)
    monkeypatch.syspath_prepend(tmp_path / "dlib")
    dlib: Any = importlib.import_module("dlib")
    file = weights.path("dlib_resnet")
    pixels = np.random.default_rng(0).integers(0, 256, (INPUT_PX, INPUT_PX, 3), np.uint8)
    ours = DlibResNet(file.read_bytes(), "x")(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
    theirs = np.array(dlib.face_recognition_model_v1(str(file)).compute_face_descriptor(pixels))
    np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["dlib_resnet", "mobilefacenet"])
def test_an_embedder_has_its_own_limits(name: str) -> None:
    faces = load_recipe("voxceleb-folder", [f"{NAMED}={name}"]).faces
    own = weights.find(name)
    assert (faces.link.agreement_similarity, faces.purity.min_similarity) == (
        own.agreement_similarity,
        own.min_similarity,
    )
    assert usual_limits(name) == usual_limits(f"/somewhere/{own.file}")


def test_what_a_recipe_says_stands_above_the_embedders_limits() -> None:
    faces = load_recipe("voxceleb-folder", [f"{NAMED}=dlib_resnet", "faces.purity.min_similarity=0.5"]).faces
    assert faces.purity.min_similarity == 0.5
    assert faces.link.agreement_similarity == weights.find("dlib_resnet").agreement_similarity


def test_a_recipe_that_was_written_with_limits_keeps_them(tmp_path: Path) -> None:
    """Also where the registry has learned others since."""
    before = load_recipe("voxceleb-folder", [f"{NAMED}=mobilefacenet"]).model_dump(mode="json")
    before["faces"]["measure"]["embedding_model"] = "dlib_resnet"
    after = type(load_recipe("demo")).model_validate(before)
    assert after.faces.purity.min_similarity == before["faces"]["purity"]["min_similarity"]


def test_no_limits_are_taken_from_another_network() -> None:
    assert usual_limits("sface") == {}
    assert usual_limits(hashlib.sha256(b"x").hexdigest()) == {}
