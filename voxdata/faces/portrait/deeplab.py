"""DeepLabV3 with a dilated ResNet (Chen, Papandreou, Schroff and Adam 2017), for portraits' masks.

The state-dict keys are those of torchvision's `deeplabv3_resnet50` and `deeplabv3_resnet101`, so that its published
files (`deeplabv3_resnet50_coco-cd0a2569.pth` and the like, the 21 classes of Pascal VOC) load strictly. SF2F used
PSPNet; both widen a dilated ResNet's view before a per-pixel classifier.

Shape suffixes: B batch, C channels, H and W pixels; the backbone's maps are H/8 x W/8.
"""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxdata.faces.decode import Pixels
from voxdata.faces.portrait.matting import Matting
from voxdata.format.errors import WeightsError, brief
from voxdata.recipe.faces import USUAL_DEEPLABV3
from voxdata.weights import load_state_dict, resolve, sha256_of

CLASSES, PERSON = 21, 15  # Pascal VOC with background; the person's index
INPUT_PX = 520  # shorter side that the published file was trained at
MAX_PX = 1040  # longer side at most: bounds memory for strips
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB 0..1
EXPANSION = 4
THIRD_STAGE = (6, 23)  # bottlenecks in it: a ResNet-50, a ResNet-101
RATES = (12, 24, 36)  # of the atrous spatial pyramid
PYRAMID_CHANNELS = 256


class Bottleneck(nn.Module):
    """1x1, 3x3 (stride or dilation), 1x1, beside the identity or a 1x1 projection."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same size, or halved by the stride."""
        beside = x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        y = F.relu(self.bn1(self.conv1(x_BCHW)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + beside)


class Backbone(nn.Module):
    """ResNet whose last two stages dilate instead of striding."""

    def __init__(self, third: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 3, stride=1, first=1, rest=1)
        self.layer2 = _stage(256, 128, 4, stride=2, first=1, rest=1)
        self.layer3 = _stage(512, 256, third, stride=1, first=1, rest=2)
        self.layer4 = _stage(1024, 512, 3, stride=1, first=2, rest=4)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of layer 4 (B, 2048, H/8, W/8) and of layer 3 (B, 1024, H/8, W/8)."""
        y = F.max_pool2d(F.relu(self.bn1(self.conv1(x_BCHW))), 3, 2, 1)
        third = self.layer3(self.layer2(self.layer1(y)))
        return self.layer4(third), third


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the mean of the map, joined by a 1x1."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_convolved(inputs, PYRAMID_CHANNELS, 1))
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*_convolved(inputs, PYRAMID_CHANNELS, 1)),
                *(nn.Sequential(*_convolved(inputs, PYRAMID_CHANNELS, 3, rate)) for rate in RATES),
                pooled,
            ]
        )
        joined = PYRAMID_CHANNELS * (len(RATES) + 2)
        self.project = nn.Sequential(*_convolved(joined, PYRAMID_CHANNELS, 1), nn.Dropout(0.5))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, 256, H, W)."""
        size = x_BCHW.shape[-2:]
        views = [conv(x_BCHW) for conv in self.convs]
        views[-1] = F.interpolate(views[-1], size=size, mode="bilinear", align_corners=False)
        joined: Tensor = self.project(torch.cat(views, dim=1))
        return joined


class DeepLabV3(nn.Module):
    """The whole network; `aux_classifier` was used in training only and is there for the published keys."""

    def __init__(self, third: int = THIRD_STAGE[0]) -> None:
        super().__init__()
        self.backbone = Backbone(third)
        head = _convolved(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3)
        self.classifier = nn.Sequential(Pyramid(2048), *head, nn.Conv2d(PYRAMID_CHANNELS, CLASSES, 1))
        self.aux_classifier = nn.Sequential(*_convolved(1024, 256, 3), nn.Dropout(0.1), nn.Conv2d(256, CLASSES, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Class logits (B, 21, H, W) of normalised RGB (B, 3, H, W)."""
        last, _ = self.backbone(x_BCHW)
        return F.interpolate(self.classifier(last), size=x_BCHW.shape[-2:], mode="bilinear", align_corners=False)


def person_mask(pixels: Pixels, model: str) -> npt.NDArray[np.float32]:
    """Probability of the person class, float32 (H, W), in uint8 (H, W, 3). Raises `WeightsError`."""
    network = _network(str(resolve(model)))
    height, width = pixels.shape[:2]
    scale = min(INPUT_PX / min(height, width), MAX_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(pixels, size, interpolation=resampling).astype(np.float32) / 255.0
    normal = (image - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))[None])
        person = torch.softmax(logits, dim=1)[0, PERSON].numpy()
    return np.asarray(cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def version(model: str) -> str:
    """SHA-256 of the weights. Raises `WeightsError` where they are not to be had."""
    return sha256_of(resolve(model))


DEEPLABV3 = Matting(
    mask=lambda pixels, model: person_mask(pixels, model or USUAL_DEEPLABV3),
    version=lambda model: version(model or USUAL_DEEPLABV3),
)


@functools.cache
def _network(file: str) -> DeepLabV3:
    state = load_state_dict(Path(file))
    short, long = THIRD_STAGE
    network = DeepLabV3(long if f"backbone.layer3.{long - 1}.conv1.weight" in state else short)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        cause = brief(str(error).strip().rpartition("\n")[2])
        raise WeightsError(
            f"{file} is not torchvision's deeplabv3_resnet50 or deeplabv3_resnet101 with {CLASSES} classes: {cause}; "
            "show the known files with: voxdata weights list"
        ) from error
    return network.eval()


def _stage(inputs: int, width: int, blocks: int, *, stride: int, first: int, rest: int) -> nn.Sequential:
    """Bottlenecks; the first has the stride and its own dilation."""
    more = [Bottleneck(width * EXPANSION, width, 1, rest) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(inputs, width, stride, first), *more)


def _convolved(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
