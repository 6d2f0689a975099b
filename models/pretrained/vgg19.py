"""VGG-19 (Simonyan & Zisserman 2015) as torchvision publishes it, for perceptual losses.

Maps are named as in the literature: conv3_4 is the fourth convolution of the third group before its ReLU, relu3_4 after
it. GFP-GAN compares conv1_2, conv2_2, conv3_4, conv4_4 and conv5_4. Children carry the published keys; the file's
classifier, six sevenths of it, must fit and is then dropped.

Shapes: B batch, image_B3SS in [-1, 1] RGB, S >= 16; groups 1 to 5 have 64, 128, 256, 512, 512 channels and sides S,
S / 2, S / 4, S / 8, S / 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from models.pretrained.tensors import fill, read_tensors

GROUPS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
GFPGAN_MAPS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLASSES = 1000


class Vgg19(nn.Module):
    """The convolutions, and the classifier that the file holds besides."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.names: list[str] = []
        c_in = 3
        for group, (count, c_out) in enumerate(GROUPS, start=1):
            for index in range(1, count + 1):
                layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU()]
                self.names += [f"conv{group}_{index}", f"relu{group}_{index}"]
                c_in = c_out
            layers.append(nn.MaxPool2d(2))
            self.names.append(f"pool{group}")
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(c_in * 49, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, _CLASSES),
        )

    @classmethod
    def from_file(cls, path: Path) -> Vgg19:
        """The frozen convolutions with the weights of the published file. Raises `PretrainedError`."""
        network = fill(cls, read_tensors(path), path)
        network.classifier = nn.Sequential()
        return network.eval().requires_grad_(False)

    def forward(self, image_B3SS: Tensor, maps: Sequence[str] = GFPGAN_MAPS) -> tuple[Tensor, ...]:
        """The named maps in the network's order; nothing after the last of them is computed."""
        mean, std = (image_B3SS.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        x = ((image_B3SS + 1) / 2 - mean) / std
        found: list[Tensor] = []
        last = max(self.names.index(name) for name in maps)
        for name, layer in zip(self.names[: last + 1], self.features, strict=False):
            x = layer(x)
            if name in maps:
                found.append(x)
        return tuple(found)
