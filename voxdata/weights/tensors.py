"""Read a torch file as plain tensors. A pickle can run code; `weights_only` refuses all but tensors and containers."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from voxdata.format.errors import WeightsError

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
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not a torch file: {_cause(error)}") from None
    if key is not None:
        if not isinstance(loaded, Mapping) or key not in loaded:
            raise WeightsError(f"{path} has no part {key!r}; it holds {_contents(loaded)}")
        loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsError(f"{path} is not a dictionary of tensors; it holds {_contents(loaded)}")
    return dict(loaded)


def _contents(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"a {type(loaded).__name__}"
    return ", ".join(f"{name} ({type(value).__name__})" for name, value in list(loaded.items())[:8]) or "nothing"


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "GLOBAL" in line or "Unsupported" in line]
    return (named or lines or [type(error).__name__])[0][:200]
