"""Face embedders for the perceptual loss and the retrieval figures: the registry.

Every output names the embedder, because figures of different embedders must never share a column. `self-trained` is
made in the run; the others load a published file that `run.json` names under `weights`, and only that file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.embedders.base import Embedder
from models.embedders.mobilefacenet import MobileFaceNet
from models.errors import EmbedderError

SELF_TRAINED = "self-trained"


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """A published weight file: its name, size, digest, where it is to be had, and under which terms."""

    file: str
    sha256: str
    source: str
    licence: str


PUBLISHED: Mapping[str, PublishedWeights] = {
    "mobilefacenet": PublishedWeights(
        file="mobilefacenet_y1.onnx",
        sha256="98851f834174bcff774c45c7581f5c8099463907ad6f432c74d37ce289774cd5",
        source="the ONNX export of InsightFace's MobileFaceNet y1",
        licence="non-commercial research",
    ),
    "facenet": PublishedWeights(
        file="20180402-114759-vggface2.pt",
        sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        source="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
        licence="code MIT; trained on VGGFace2 (research)",
    ),
}


def describe_embedder(name: str) -> dict[str, str | None]:
    """How outputs name an embedder: `name`, `sha256` of the published file, `kind`."""
    published = PUBLISHED.get(name)
    kind = "published" if published else "trained in the run"
    return {"name": name, "sha256": published.sha256 if published else None, "kind": kind}


def check_embedder(name: str, weights: Mapping[str, str]) -> None:
    """Check that an embedder can be had before anything long starts. Raises `EmbedderError`."""
    if name == SELF_TRAINED:
        return
    path = _weight_file(name, weights)
    if name == "facenet":
        raise EmbedderError(
            f"embedder facenet: {path} is the published file, but this version defines no InceptionResnetV1 to put it "
            "in; use mobilefacenet or self-trained"
        )


def load_published(name: str, weights: Mapping[str, str]) -> Embedder:
    """Load a published embedder from the file that `weights` names, frozen. Raises `EmbedderError`."""
    check_embedder(name, weights)
    return MobileFaceNet.from_onnx(_weight_file(name, weights)).freeze()


def _weight_file(name: str, weights: Mapping[str, str]) -> Path:
    if name not in PUBLISHED:
        known = ", ".join([SELF_TRAINED, *PUBLISHED])
        raise EmbedderError(f"embedder {name!r}: no such embedder; there are {known}")
    published = PUBLISHED[name]
    how = (
        f"get {published.file} ({published.source}; {published.licence}), sha256 {published.sha256}, "
        f'and name it in run.json: "weights": {{"{name}": "PATH"}}'
    )
    if name not in weights:
        raise EmbedderError(f"embedder {name}: its weight file is not given; {how}")
    path = Path(weights[name])
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EmbedderError(f"embedder {name}: {path} cannot be read ({error.strerror}); {how}") from None
    if found != published.sha256:
        raise EmbedderError(f"embedder {name}: {path} has sha256 {found}; {how}")
    return path
