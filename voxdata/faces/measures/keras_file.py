"""Weights out of a Keras HDF5 file, without Keras.

A file of Keras 1 or 2 (`model.save`) is an HDF5 tree: the root's attribute `model_config` is the model as JSON, and the
group `model_weights` holds one group per layer whose attribute `weight_names` lists its arrays in Keras' order, each
at that path under the layer's group. Kernels lie channels last: (height, width, in, out), those of depthwise
convolutions (height, width, in, multiplier).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from voxdata.format.errors import WeightsError

Array = npt.NDArray[np.float32]


class KerasFile:
    """Layers by name, in the file's order: `weights` name -> {"kernel", "beta", ...: array}, `config` name -> dict."""

    def __init__(self, path: Path) -> None:
        """Read everything. Raises `WeightsError` for what is no Keras HDF5 file."""
        try:
            with h5py.File(path, "r") as file:
                self.config = _layer_configs(file)
                root = file["model_weights"]
                self.weights = {_text(name): _layer_weights(root[_text(name)]) for name in root.attrs["layer_names"]}
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"{path} is not a Keras HDF5 file with weights: {error}") from error


def _layer_configs(file: Any) -> dict[str, dict[str, Any]]:
    layers = json.loads(_text(file.attrs["model_config"]))["config"]["layers"]
    return {layer["config"]["name"]: {"class_name": layer["class_name"], **layer["config"]} for layer in layers}


def _layer_weights(group: Any) -> dict[str, Array]:
    """`conv2d_1/kernel:0` -> {"kernel": array}."""
    names = [_text(name) for name in group.attrs["weight_names"]]
    return {name.rpartition("/")[2].partition(":")[0]: np.asarray(group[name], np.float32) for name in names}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
