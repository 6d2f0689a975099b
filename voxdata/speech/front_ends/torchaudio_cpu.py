"""torchaudio's pure-torch transforms on a CPU build of torch.

The published wheel of torchaudio links CUDA libraries and fails to import beside a CPU torch. What is used here, mel
filter banks and transforms, is plain torch code: on CPU builds, and only there, a stand-in takes the place of the one
module that loads the compiled extension. Forced alignment, the only caller of that extension, then says that it is off.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

from voxdata.format.errors import BackendError

_EXTENSION = "torchaudio._extension"


@lru_cache(maxsize=1)
def load_torchaudio() -> Any:
    """The torchaudio module. Raises `BackendError` where it is not installed or does not load."""
    if _is_cpu_build() and "torchaudio" not in sys.modules:
        sys.modules.setdefault(_EXTENSION, _stand_in())
    try:
        return import_module("torchaudio")
    except (ImportError, OSError) as error:
        raise BackendError(
            f"torchaudio beside torch {torch.__version__} does not load: {error}; "
            "install the torchaudio release that belongs to this torch"
        ) from error


def _is_cpu_build() -> bool:
    return torch.version.cuda is None and getattr(torch.version, "hip", None) is None


def _stand_in() -> ModuleType:
    module = ModuleType(_EXTENSION, "torchaudio's compiled extension, absent on CPU builds of torch")
    module.__dict__.update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=_without_extension)
    return module


def _without_extension(function: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise BackendError(
            f"torchaudio's {function.__name__} needs its compiled extension: not on a CPU build of torch"
        )

    return refuse
