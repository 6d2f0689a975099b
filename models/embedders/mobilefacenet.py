"""MobileFaceNet (Chen et al. 2018) as InsightFace trained it ("y1"): 112x112 RGB to 128 values.

The published graph: (x - 127.5) / 128 on RGB 0..255, inverted bottlenecks (1x1 expand, depthwise 3x3, 1x1 project),
each convolution followed by BatchNorm (epsilon 1e-3) and, except projections, PReLU; a depthwise 7x7 over the last
map, a linear layer and a last BatchNorm (epsilon 2e-5). Weights are found by the names of the ONNX initialisers.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.embedders.base import Embedder, crop_arcface
from models.embedders.onnx_weights import Float32Array, read_initialisers
from models.errors import PretrainedError

EMBEDDING = 128

_BATCHNORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}


class ConvNorm(nn.Module):
    """Convolution, BatchNorm and, unless `linear`, PReLU."""

    FOLDS = (("conv", "norm"),)

    def __init__(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, padding: int = 0, groups: int = 1, linear: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(c_out, eps=1e-3)
        self.act = nn.Identity() if linear else nn.PReLU(c_out)

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, S / stride, S / stride)."""
        return self.act(self.norm(self.conv(x_BCSS)))  # type: ignore[no-any-return]

    def load(self, weights: dict[str, Float32Array], prefix: str) -> None:
        """Take this layer's weights out of `weights` by the published names."""
        state = {"conv.weight": weights.pop(f"{prefix}_conv2d_weight")}
        state |= {f"norm.{ours}": weights.pop(f"{prefix}_batchnorm_{theirs}") for ours, theirs in _BATCHNORM.items()}
        if isinstance(self.act, nn.PReLU):
            state["act.weight"] = weights.pop(f"{prefix}_relu_gamma").reshape(-1)
        tensors = {key: torch.from_numpy(value) for key, value in state.items()}
        self.load_state_dict({"norm.num_batches_tracked": torch.tensor(0), **tensors})


class Bottleneck(nn.Module):
    """Expand, depthwise, project; with a skip where nothing shrinks."""

    def __init__(self, c_in: int, c_mid: int, c_out: int, *, stride: int) -> None:
        super().__init__()
        self.sep = ConvNorm(c_in, c_mid, 1, linear=False)
        self.dw = ConvNorm(c_mid, c_mid, 3, stride=stride, padding=1, groups=c_mid, linear=False)
        self.proj = ConvNorm(c_mid, c_out, 1, linear=True)
        self.skip = stride == 1

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, S / stride, S / stride)."""
        projected: Tensor = self.proj(self.dw(self.sep(x_BCSS)))
        return x_BCSS + projected if self.skip else projected

    def load(self, weights: dict[str, Float32Array], prefix: str) -> None:
        """Take this block's weights out of `weights` by the published names."""
        for part in ("sep", "dw", "proj"):
            getattr(self, part).load(weights, f"{prefix}_conv_{part}")


class MobileFaceNet(Embedder):
    """Features after the 28, 14 and 7 pixel stages, and the unit embedding."""

    FOLDS = (("fc1", "fc1_norm"),)
    name = "mobilefacenet"

    def __init__(self) -> None:
        super().__init__()
        self.conv_1 = ConvNorm(3, 64, 3, stride=2, padding=1, linear=False)
        self.conv_2_dw = ConvNorm(64, 64, 3, padding=1, groups=64, linear=False)
        self.dconv_23 = Bottleneck(64, 128, 64, stride=2)
        self.res_3 = nn.Sequential(*(Bottleneck(64, 128, 64, stride=1) for _ in range(4)))
        self.dconv_34 = Bottleneck(64, 256, 128, stride=2)
        self.res_4 = nn.Sequential(*(Bottleneck(128, 256, 128, stride=1) for _ in range(6)))
        self.dconv_45 = Bottleneck(128, 512, 128, stride=2)
        self.res_5 = nn.Sequential(*(Bottleneck(128, 256, 128, stride=1) for _ in range(2)))
        self.conv_6sep = ConvNorm(128, 512, 1, linear=False)
        self.conv_6dw7_7 = ConvNorm(512, 512, 7, groups=512, linear=True)
        self.fc1 = nn.Linear(512, EMBEDDING)
        self.fc1_norm = nn.BatchNorm1d(EMBEDDING, eps=2e-5)

    @classmethod
    def from_onnx(cls, path: Path) -> MobileFaceNet:
        """Build the network with the initialisers of a published ONNX file, all used. Raises `PretrainedError`."""
        weights = read_initialisers(path)
        network = cls()
        try:
            scale = [float(weights.pop(name)[0]) for name in ("_minusscalar0_c", "_mulscalar0_c")]
            network._load(weights)
        except (KeyError, RuntimeError) as error:
            raise PretrainedError(f"{path} is not the published MobileFaceNet: {error}") from None
        if weights or scale != [127.5, 1 / 128]:
            raise PretrainedError(f"{path} is not the published MobileFaceNet: left over {sorted(weights)}, {scale}")
        return network

    def _load(self, weights: dict[str, Float32Array]) -> None:
        for prefix in ("conv_1", "conv_2_dw", "dconv_23", "dconv_34", "dconv_45", "conv_6sep", "conv_6dw7_7"):
            getattr(self, prefix).load(weights, prefix)
        for stage in ("res_3", "res_4", "res_5"):
            for index, block in enumerate(getattr(self, stage)):
                block.load(weights, f"{stage}_block{index}")
        linear = {"weight": weights.pop("fc1_weight"), "bias": weights.pop("pre_fc1_bias")}
        self.fc1.load_state_dict({key: torch.from_numpy(value) for key, value in linear.items()})
        norm = {ours: torch.from_numpy(weights.pop(f"fc1_{theirs}")) for ours, theirs in _BATCHNORM.items()}
        self.fc1_norm.load_state_dict({"num_batches_tracked": torch.tensor(0), **norm})

    def forward(self, rgb_B3SS: Tensor) -> tuple[Tensor, ...]:
        """RGB 0..255 (B, 3, 112, 112) to (B, 64, 28, 28), (B, 128, 14, 14), (B, 128, 7, 7) and raw values (B, 128)."""
        x = self.conv_2_dw(self.conv_1((rgb_B3SS - 127.5) / 128))
        x_28 = self.res_3(self.dconv_23(x))
        x_14 = self.res_4(self.dconv_34(x_28))
        x_7 = self.res_5(self.dconv_45(x_14))
        raw = self.fc1_norm(self.fc1(self.conv_6dw7_7(self.conv_6sep(x_7)).flatten(1)))
        return x_28, x_14, x_7, raw

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """See `Embedder.features`; the portrait is cut to ArcFace's alignment first."""
        *maps, raw = self.forward((crop_arcface(image_B3SS) + 1) * 127.5)
        return (*maps, nnf.normalize(raw))
