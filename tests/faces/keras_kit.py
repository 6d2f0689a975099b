"""A mini_XCEPTION with random weights as a Keras HDF5 file, and an independent forward pass in NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = dict[str, dict[str, Array]]
EPSILON = 0.001


def random_weights(seed: int = 0, classes: int = 7) -> Weights:
    """Weights by layer and name, in Keras' layout; batch norms follow the convolution before them."""
    rng = np.random.default_rng(seed)
    layers: Weights = {}
    norms = {"conv2d_1": 1, "conv2d_2": 2}

    def kernel(*shape: int) -> Array:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    layers["conv2d_1"] = {"kernel": kernel(3, 3, 1, 8)}
    layers["conv2d_2"] = {"kernel": kernel(3, 3, 8, 8)}
    for block, wide in enumerate((8, 16, 32, 64)):
        names = f"conv2d_{block + 3}", f"separable_conv2d_{2 * block + 1}", f"separable_conv2d_{2 * block + 2}"
        norms |= {name: 3 * block + 3 + place for place, name in enumerate(names)}
        layers[names[0]] = {"kernel": kernel(1, 1, wide, 2 * wide)}
        for name, inner in zip(names[1:], (wide, 2 * wide), strict=True):
            layers[name] = {
                "depthwise_kernel": kernel(3, 3, inner, 1),
                "pointwise_kernel": kernel(1, 1, inner, 2 * wide),
            }
    layers["conv2d_7"] = {"kernel": kernel(3, 3, 128, classes), "bias": kernel(1, classes)[0]}
    for name, number in norms.items():
        wide = next(reversed(layers[name].values())).shape[-1]
        layers[f"batch_normalization_{number}"] = {
            "gamma": rng.uniform(0.5, 1.5, wide).astype(np.float32),
            "beta": rng.normal(0, 0.3, wide).astype(np.float32),
            "moving_mean": rng.normal(0, 0.3, wide).astype(np.float32),
            "moving_variance": rng.uniform(0.3, 2.0, wide).astype(np.float32),
        }
    return layers


def write_keras_file(path: Path, weights: Weights) -> Path:
    """As Keras 2 saves a model: configuration as an attribute, a group per layer, names with scope and `:0`."""
    configs = [
        {"class_name": _class(name), "config": {"name": name, **({"epsilon": EPSILON} if "norm" in name else {})}}
        for name in weights
    ]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": {"layers": configs}})
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, arrays in weights.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_1/{name}:0".encode() for name in arrays]
            for name, array in arrays.items():
                group.create_dataset(f"{layer}_1/{name}:0", data=array)
    return path


def read_weights(path: Path) -> Weights:
    """The published file's arrays, straight from h5py."""
    with h5py.File(path, "r") as file:
        root = file["model_weights"]
        return {
            layer: {name.rsplit("/", 1)[-1].removesuffix(":0"): np.array(root[layer][name]) for name in names}
            for layer in root
            if (names := [str(name, "utf-8") for name in root[layer].attrs["weight_names"]])
        }


def forward(weights: Weights, gray_NHW: Array) -> dict[str, Array]:
    """Maps (N, H, W, C) by the published file's layer names, in float64; every layer on its own, nothing folded."""

    def norm(number: int, x: Array) -> Array:
        w = weights[f"batch_normalization_{number}"]
        return (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + EPSILON) * w["gamma"] + w["beta"]

    def separable(number: int, x: Array) -> Array:
        w = weights[f"separable_conv2d_{number}"]
        windows = _windows(_same(x, 3, 1), 3, 1)
        each = np.einsum("nhwcij,ijc->nhwc", windows, w["depthwise_kernel"][..., 0])
        return each @ w["pointwise_kernel"][0, 0]

    x = gray_NHW[..., None].astype(np.float64)
    maps: dict[str, Array] = {}
    for number in (1, 2):
        x = _convolve(x, weights[f"conv2d_{number}"]["kernel"])
        x = maps[f"activation_{number}"] = np.maximum(norm(number, x), 0)
    for block in range(4):
        short = norm(3 * block + 3, x[:, ::2, ::2] @ weights[f"conv2d_{block + 3}"]["kernel"][0, 0])
        maps[f"batch_normalization_{3 * block + 3}"] = short
        x = maps[f"activation_{block + 3}"] = np.maximum(norm(3 * block + 4, separable(2 * block + 1, x)), 0)
        x = maps[f"batch_normalization_{3 * block + 5}"] = norm(3 * block + 5, separable(2 * block + 2, x))
        x = maps[f"max_pooling2d_{block + 1}"] = _windows(_same(x, 3, 2, -np.inf), 3, 2).max(axis=(4, 5))
        x = maps[f"add_{block + 1}"] = x + short
    last = weights["conv2d_7"]
    maps["conv2d_7"] = _convolve(_same(x, 3, 1), last["kernel"]) + last["bias"]
    maps["global_average_pooling2d_1"] = maps["conv2d_7"].mean(axis=(1, 2))
    powers = np.exp(maps["global_average_pooling2d_1"])
    maps["predictions"] = powers / powers.sum(axis=1, keepdims=True)
    return maps


def _convolve(x: Array, kernel: Array) -> Array:
    return np.einsum("nhwcij,ijco->nhwo", _windows(x, kernel.shape[0], 1), kernel, optimize=True)


def _windows(x: Array, size: int, stride: int) -> Array:
    """(N, H, W, C, size, size)"""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def _same(x: Array, size: int, stride: int, fill: float = 0.0) -> Array:
    """TensorFlow's "same": as many outputs as ceil(side / stride), the odd row or column of padding at the end."""
    pads = [(0, 0)]
    for side in x.shape[1:3]:
        needed = max((int(np.ceil(side / stride)) - 1) * stride + size - side, 0)
        pads.append((needed // 2, needed - needed // 2))
    return np.pad(x, [*pads, (0, 0)], constant_values=fill)


def _class(name: str) -> str:
    return "BatchNormalization" if "norm" in name else "SeparableConv2D" if "separable" in name else "Conv2D"
