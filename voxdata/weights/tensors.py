"""Read a torch file as plain tensors. A pickle can run code; `weights_only` refuses all but tensors and containers."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from voxdata.format.errors import WeightsError, brief, several

if TYPE_CHECKING:
    from torch import Tensor


def load_state_dict(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a torch file by name, on the CPU; `key` names the part of a file that holds several.

    Raises `WeightsError` for a file that cannot be read, that holds code or objects, or that is no dictionary of
    tensors.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a file's age; what it holds is checked here
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, or is no torch file, and was not loaded: {_cause(error)}"
        ) from None
    except Exception as error:  # a damaged file makes the machine of pickle raise nearly anything
        raise WeightsError(f"{path} is not a torch file: {_cause(error)}") from None
    if key is not None:
        if not isinstance(loaded, Mapping) or key not in loaded:
            raise WeightsError(f"{path} has no part {key!r}; it holds {_contents(loaded)}")
        loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        raise WeightsError(f"{path} is not a dictionary of tensors; it holds {_contents(loaded)}")
    return dict(loaded)


def _contents(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"a {type(loaded).__name__}"
    return several((f"{brief(name, 40)} ({type(value).__name__})" for name, value in loaded.items()), 8) or "nothing"


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "GLOBAL" in line or "Unsupported" in line]
    return brief((named or lines or [type(error).__name__])[0])
