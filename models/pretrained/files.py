"""The published weight files that `models/` can use, by their names in catalogs/weights.toml.

`run.json` says under `weights` where each lies. A file of another digest is refused; where nobody published a digest,
any file whose tensors fit the network exactly is taken, and outputs name the digest that was found.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from models.errors import PretrainedError
from voxdata.format.digests import file_sha256


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """A published weight file: its name, digest (None: nobody states one), where it is to be had, under which terms.

    `trained_on` and `knows_test_people`, whether VoxCeleb's test people are among these, are stated of face embedders,
    as catalogs/weights.toml has them.
    """

    file: str
    sha256: str | None
    source: str
    licence: str
    trained_on: str = "other pictures than people's"
    knows_test_people: Literal["yes", "likely", "unknown"] = "unknown"


PUBLISHED: Mapping[str, PublishedWeights] = MappingProxyType(
    {
        "mobilefacenet": PublishedWeights(
            file="mobilefacenet_y1.onnx",
            sha256="98851f834174bcff774c45c7581f5c8099463907ad6f432c74d37ce289774cd5",
            source="the ONNX export of InsightFace's MobileFaceNet y1",
            licence="non-commercial research",
            trained_on="refined MS-Celeb-1M",
            knows_test_people="likely",
        ),
        "facenet": PublishedWeights(
            file="20180402-114759-vggface2.pt",
            sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
            source="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
            licence="code MIT; trained on VGGFace2 (research)",
            trained_on="VGGFace2",
            knows_test_people="yes",
        ),
        "w600k_r50": PublishedWeights(
            file="w600k_r50.onnx",
            sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
            source="in https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",
            licence="non-commercial research",
            trained_on="WebFace600K",
            knows_test_people="likely",
        ),
        "vggface2_resnet50": PublishedWeights(
            file="resnet50_ft_weight.pkl",
            sha256=None,
            source="a pickle behind a shared drive, to be converted to a torch file offline (docs/weights.md)",
            licence="not stated; trained on VGGFace2 (research)",
            trained_on="MS-Celeb-1M, then VGGFace2",
            knows_test_people="yes",
        ),
        "vgg19": PublishedWeights(
            file="vgg19-dcbb9e9d.pth",
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            source="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            licence="BSD-3-Clause (torchvision)",
        ),
        "gfpgan": PublishedWeights(
            file="GFPGANv1.4.pth",
            sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
            source="https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",
            licence="Apache-2.0 with exceptions; trained on FFHQ (non-commercial)",
        ),
        "fid_inception": PublishedWeights(
            file="pt_inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            source="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            licence="Apache-2.0 (pytorch-fid)",
        ),
    }
)


def weight_file(name: str, weights: Mapping[str, str]) -> Path:
    """The file that `weights` names for a published network, its digest checked. Raises `PretrainedError`."""
    published = PUBLISHED[name]
    if name not in weights:
        raise PretrainedError(f"{name}: its weight file is not given; {how_to_get(name)}")
    path = Path(weights[name])
    found = _digest(name, path)
    if published.sha256 is not None and found != published.sha256:
        raise PretrainedError(f"{name}: {path} has sha256 {found}; {how_to_get(name)}")
    return path


def digest(name: str, weights: Mapping[str, str]) -> str | None:
    """The digest that outputs state: the published one, else that of the file at hand. Raises `PretrainedError`."""
    published = PUBLISHED[name].sha256
    return published if published or name not in weights else _digest(name, Path(weights[name]))


def how_to_get(name: str) -> str:
    """Where the file is to be had, and what to do with it."""
    published = PUBLISHED[name]
    stated = f", sha256 {published.sha256}" if published.sha256 else ""
    return (
        f"get {published.file} ({published.source}; {published.licence}){stated}, "
        f'and name it in run.json: "weights": {{"{name}": "PATH"}}'
    )


def _digest(name: str, path: Path) -> str:
    try:
        state = path.stat()
        return _read_digest(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise PretrainedError(f"{name}: {path} cannot be read ({error.strerror}); {how_to_get(name)}") from None


@functools.cache
def _read_digest(path: Path, size: int, mtime_ns: int) -> str:
    return file_sha256(path)
