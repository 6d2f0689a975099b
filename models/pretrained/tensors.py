"""From a file of tensors to a network that holds exactly these: `torch.load(weights_only=True)`, then a strict fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.errors import PretrainedError
from voxdata.format.errors import brief, several

N = TypeVar("N", bound=nn.Module)

_NAMED = 4
_COUNTER = "num_batches_tracked"


def read_tensors(path: Path, part: str | None = None) -> dict[str, Tensor]:
    """The tensors of a torch file by key, on the CPU; code and objects in it are never run.

    `part` is the key under which the file has them, where they are not all there is. Raises `PretrainedError` for a
    file that cannot be read or that holds anything but a dictionary of tensors there.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = brief(str(error).strip().partition("\n")[0] or type(error).__name__)
        raise PretrainedError(f"{path} was not loaded as a torch file of tensors: {reason}") from None
    if part is not None:
        if not isinstance(loaded, Mapping) or part not in loaded:
            raise PretrainedError(f"{path} was not loaded: it holds {_contents(loaded)} and no {part}")
        loaded = loaded[part]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise PretrainedError(f"{path} was not loaded: it holds {_contents(loaded)} and not tensors by key")
    return dict(loaded)


def fill(make: Callable[[], N], tensors: Mapping[str, Tensor], path: Path) -> N:
    """Build a network and give it these tensors, all of them and no others, as float32.

    Batch counters of BatchNorm, which no output depends on, may be there or not. Raises `PretrainedError` naming keys
    that are missing, unknown or of another shape.
    """
    with torch.device("meta"):
        network = make()
    wanted = network.state_dict()
    given = {key: value for key, value in tensors.items() if not key.endswith(_COUNTER)}
    shapes = {key: tuple(value.shape) for key, value in wanted.items() if not key.endswith(_COUNTER)}
    problems = [
        _some("it lacks", [key for key in shapes if key not in given]),
        _some("it has besides", [key for key in given if key not in shapes]),
        _some(
            "other shapes:",
            [
                f"{key} {tuple(value.shape)} for {shapes[key]}"
                for key, value in given.items()
                if key in shapes and tuple(value.shape) != shapes[key]
            ],
        ),
    ]
    if any(problems):
        raise PretrainedError(f"{path} does not fit {type(network).__name__}: {'; '.join(filter(None, problems))}")
    counters = {key: torch.tensor(0) for key in wanted if key.endswith(_COUNTER)}
    whole = {key: value.float() for key, value in given.items()}  # only now: a view of one number may claim any shape
    network.load_state_dict({**counters, **whole}, assign=True)
    return network


def _some(what: str, items: list[str]) -> str:
    if not items:
        return ""
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return f"{what} {', '.join(brief(item, 120) for item in items[:_NAMED])}{more}"


def _contents(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"a {type(loaded).__name__}"
    return several((f"{brief(key, 40)} ({type(value).__name__})" for key, value in loaded.items()), _NAMED) or "nothing"
