"""Face embedders for the perceptual loss and the retrieval figures: the registry.

Every output names the embedder, because figures of different embedders must never share a column. `self-trained` is
made in the run; the others load a published file that `run.json` names under `weights`, and only that file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from models.embedders.base import Embedder
from models.embedders.facenet import FaceNet
from models.embedders.iresnet import ArcFace
from models.embedders.mobilefacenet import MobileFaceNet
from models.embedders.vggface2_resnet import VggFace2ResNet50
from models.errors import EmbedderError
from models.pretrained import files

SELF_TRAINED = "self-trained"

_READ: Mapping[str, Callable[[Path], Embedder]] = {
    "mobilefacenet": MobileFaceNet.from_onnx,
    "facenet": FaceNet.from_file,
    "w600k_r50": ArcFace.from_file,
    "vggface2_resnet50": VggFace2ResNet50.from_file,
}

PUBLISHED: Mapping[str, files.PublishedWeights] = {name: files.PUBLISHED[name] for name in _READ}


_KNOWS = {
    "yes": "was trained on {}, whose people are VoxCeleb's, too: it knows test people from other photos",
    "likely": "was trained on {}, celebrities like VoxCeleb's people: it probably knows test people from other photos",
    "unknown": "was trained on {}: whether it knows test people is not known",
}


def describe_embedder(name: str, weights: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """How outputs name an embedder: `name`, `sha256` of its file, `kind`. Raises `PretrainedError`."""
    if name not in PUBLISHED:
        return {"name": name, "sha256": None, "kind": "trained in the run"}
    return {"name": name, "sha256": files.digest(name, weights or {}), "kind": "published"}


def knows_test_people(name: str) -> str | None:
    """Whether a published embedder was trained on VoxCeleb's test people, in words; None for one of the run's own.

    Such a judge has seen other photos of the people whom it tells apart, as no judge of strangers has.
    """
    if name not in PUBLISHED:
        return None
    published = PUBLISHED[name]
    return _KNOWS[published.knows_test_people].format(published.trained_on)


def check_embedder(name: str, weights: Mapping[str, str]) -> None:
    """Check that an embedder can be had before anything long starts. Raises `EmbedderError`, `PretrainedError`."""
    if name != SELF_TRAINED:
        _weight_file(name, weights)


def load_published(name: str, weights: Mapping[str, str]) -> Embedder:
    """Load a published embedder from the file that `weights` names, frozen.

    Raises `EmbedderError` for an unknown name, `PretrainedError` for a file that is missing or not the published one.
    """
    path = _weight_file(name, weights)
    return _READ[name](path).freeze()


def _weight_file(name: str, weights: Mapping[str, str]) -> Path:
    if name not in PUBLISHED:
        known = ", ".join([SELF_TRAINED, *PUBLISHED])
        raise EmbedderError(f"embedder {name!r}: no such embedder; there are {known}")
    return files.weight_file(name, weights)
