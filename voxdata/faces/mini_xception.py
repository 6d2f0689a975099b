"""mini_XCEPTION: a small convolutional network that names the emotion of a gray face, in torch, for inference.

Architecture: Arriaga, Plöger, Valdenegro, "Real-time Convolutional Neural Networks for Emotion and Gender
Classification" (2017), section III and Fig. 3: two convolutions, four residual blocks of depthwise separable
convolutions, a convolution to the classes, global average pooling, softmax. Strides, padding and the epsilon of the
batch normalisation are those that the published Keras file states in its own `model_config`.

A batch normalisation that follows a convolution is folded into it: one kernel and one bias per convolution.

Keras' "same" padding for a stride of 2 and a window of 3 on an even side adds one row below and one column to the
right, none above and left: torch's symmetric padding would shift every map. Shapes: N batch, C channels, H, W sides.

The weights come out of the published file without Keras. A file of Keras 1 or 2 (`model.save`) is an HDF5 tree: the
root's attribute `model_config` is the model as JSON, and the group `model_weights` holds one group per layer whose
attribute `weight_names` lists its arrays in Keras' order, each at that path under the layer's group. Kernels lie
channels last: (height, width, in, out), those of depthwise convolutions (height, width, in, multiplier).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from voxdata.format.errors import WeightsError, brief
from voxdata.format.json_text import read_json

Array = npt.NDArray[np.float32]
INPUT_PX = 64
BLOCKS = 4
STEM_CHANNELS = (8, 8)
POOL_PX = 3
STRIDE = 2
DEFAULT_EPSILON = 1e-3


class MiniXception:
    """The network with the weights of a Keras file. `layers` maps the file's layer names to (kernel, bias)."""

    def __init__(self, file: KerasFile, source: str) -> None:
        """Raises `WeightsError` naming the layer that is missing or has another shape."""
        self._file, self._source = file, source
        self.layers: dict[str, tuple[Tensor, Tensor]] = {}
        self._fold("conv2d_1", "batch_normalization_1", (3, 3, 1, STEM_CHANNELS[0]))
        self._fold("conv2d_2", "batch_normalization_2", (3, 3, *STEM_CHANNELS))
        channels = STEM_CHANNELS[-1]
        for block in range(BLOCKS):
            wider = 2 * channels
            first_norm, first_separable = 3 * block + 3, 2 * block + 1
            self._fold(f"conv2d_{block + 3}", f"batch_normalization_{first_norm}", (1, 1, channels, wider))
            for place, width in enumerate((channels, wider)):
                name, norm = (
                    f"separable_conv2d_{first_separable + place}",
                    f"batch_normalization_{first_norm + 1 + place}",
                )
                self._separable(name, norm, width, wider)
            channels = wider
        kernel = self._weight("conv2d_7", "kernel", (3, 3, channels, None))
        self.classes = int(kernel.shape[-1])
        self.layers["conv2d_7"] = (_kernel(kernel), torch.from_numpy(self._weight("conv2d_7", "bias", (self.classes,))))

    @torch.inference_mode()
    def __call__(self, gray_N1HW: Tensor) -> Tensor:
        """Probabilities (N, classes) of float32 (N, 1, 64, 64) in -1..1."""
        return torch.softmax(self.activations(gray_N1HW)["global_average_pooling2d_1"], dim=1)

    @torch.inference_mode()
    def activations(self, gray_N1HW: Tensor) -> dict[str, Tensor]:
        """What the file's layers give, by the layer's name; a convolution's own maps are not seen before its norm."""
        found: dict[str, Tensor] = {}
        x = gray_N1HW.contiguous(memory_format=torch.channels_last)
        for norm, name in enumerate(("conv2d_1", "conv2d_2"), 1):
            x = found[f"activation_{norm}"] = F.relu(F.conv2d(x, *self.layers[name]))
        for block in range(BLOCKS):
            first_norm, first_separable = 3 * block + 3, 2 * block + 1
            short = F.conv2d(x, *self.layers[f"conv2d_{block + 3}"], stride=STRIDE)
            found[f"batch_normalization_{first_norm}"] = short
            x = F.relu(self._separated(f"separable_conv2d_{first_separable}", x))
            found[f"activation_{block + 3}"] = x
            x = self._separated(f"separable_conv2d_{first_separable + 1}", x)
            found[f"batch_normalization_{first_norm + 2}"] = x
            x = found[f"max_pooling2d_{block + 1}"] = _pool_same(x)
            x = found[f"add_{block + 1}"] = x + short
        found["conv2d_7"] = F.conv2d(x, *self.layers["conv2d_7"], padding=1)
        found["global_average_pooling2d_1"] = found["conv2d_7"].mean(dim=(2, 3))
        return found

    def _separated(self, name: str, x: Tensor) -> Tensor:
        depthwise, _ = self.layers[f"{name}/depthwise"]
        return F.conv2d(F.conv2d(x, depthwise, padding=1, groups=x.shape[1]), *self.layers[name])

    def _separable(self, name: str, norm: str, wide_in: int, wide_out: int) -> None:
        depthwise = self._weight(name, "depthwise_kernel", (3, 3, wide_in, 1))
        self.layers[f"{name}/depthwise"] = (_kernel(depthwise.transpose(0, 1, 3, 2)), torch.zeros(wide_in))
        self._fold(name, norm, (1, 1, wide_in, wide_out), weight="pointwise_kernel")

    def _fold(self, name: str, norm: str, shape: tuple[int, ...], weight: str = "kernel") -> None:
        kernel = self._weight(name, weight, shape)
        parts = {
            part: self._weight(norm, part, shape[-1:]) for part in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        epsilon = float(self._file.config.get(norm, {}).get("epsilon", DEFAULT_EPSILON))
        scale = parts["gamma"] / np.sqrt(parts["moving_variance"] + epsilon)
        bias = parts["beta"] - parts["moving_mean"] * scale
        self.layers[name] = (_kernel(kernel * scale), torch.from_numpy(np.asarray(bias, np.float32)))

    def _weight(self, layer: str, name: str, shape: tuple[int | None, ...]) -> Array:
        weights: Mapping[str, Array] = self._file.weights.get(layer, {})
        if name not in weights:
            raise WeightsError(f"{self._source} is no mini_XCEPTION: layer {layer} has no {name}")
        found = weights[name]
        if len(found.shape) != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, found.shape, strict=True)
        ):
            raise WeightsError(f"{self._source} is no mini_XCEPTION: {layer}/{name} is {found.shape}, must be {shape}")
        return found


def _kernel(channels_last: Array) -> Tensor:
    """(H, W, in, out) -> (out, in, H, W), in memory channels last: half the time of torch's own order here."""
    kernel = torch.from_numpy(np.ascontiguousarray(channels_last.transpose(3, 2, 0, 1), np.float32))
    return kernel.contiguous(memory_format=torch.channels_last)


def _pool_same(x: Tensor) -> Tensor:
    """Maxima of 3x3 windows, stride 2, padded as Keras' "same" does."""
    padding = []
    for side in (x.shape[3], x.shape[2]):
        missing = max((-(-side // STRIDE) - 1) * STRIDE + POOL_PX - side, 0)
        padding += [missing // 2, missing - missing // 2]
    return F.max_pool2d(F.pad(x, padding, value=float("-inf")), POOL_PX, STRIDE)


class KerasFile:
    """Layers by name, in the file's order: `weights` name -> {"kernel", "beta", ...: array}, `config` name -> dict."""

    def __init__(self, path: Path) -> None:
        """Read everything. Raises `WeightsError` for what is no Keras HDF5 file."""
        try:
            with h5py.File(path, "r") as file:
                self.config = _layer_configs(file)
                root = file["model_weights"]
                self.weights = {_text(name): _layer_weights(root[_text(name)]) for name in root.attrs["layer_names"]}
        except Exception as error:  # h5py raises nearly anything over a damaged file
            raise WeightsError(f"{path} is not a Keras HDF5 file with weights: {brief(error)}") from error


def _layer_configs(file: Any) -> dict[str, dict[str, Any]]:
    layers = read_json(_text(file.attrs["model_config"]))["config"]["layers"]
    return {layer["config"]["name"]: {"class_name": layer["class_name"], **layer["config"]} for layer in layers}


def _layer_weights(group: Any) -> dict[str, Array]:
    """`conv2d_1/kernel:0` -> {"kernel": array}."""
    names = [_text(name) for name in group.attrs["weight_names"]]
    return {name.rpartition("/")[2].partition(":")[0]: np.asarray(group[name], np.float32) for name in names}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
