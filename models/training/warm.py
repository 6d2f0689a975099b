"""A training that begins with another run's weights instead of random ones: `start` in run.json."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor

from models.errors import CheckpointError
from models.systems.base import System
from models.training.checkpoint import load_checkpoint, read_run_config

log = logging.getLogger("models.training.warm")


def warm_start(system: System, name: str, run_dir: str | Path) -> None:
    """Take the weights of a run's newest checkpoint; its optimisers and its step stay behind.

    Layers whose size follows from the number of training people, as a discriminator of who it is, stay as they are. All
    others must fit, else `CheckpointError`: the run is of another system (not `name`), or of other sizes.
    """
    run_dir = Path(run_dir)
    trained = read_run_config(run_dir)["system"]
    if trained != name:
        raise CheckpointError(
            f"start = {run_dir}: is a run of {trained}, this is a training of {name}; leave it out "
            "(a number of the preset is overrides.start)"
        )
    theirs = load_checkpoint(run_dir)["networks"]
    for network_name, network in system.networks().items():
        own: dict[str, Tensor] = network.state_dict()
        found: dict[str, Tensor] = theirs.get(network_name, {})
        other = [key for key, value in own.items() if key not in found or found[key].shape != value.shape]
        people = len(system.store.people)
        if any(key not in found or not _counts_people(own[key], found[key], people) for key in other):
            raise CheckpointError(
                f"start = {run_dir}: {network_name} has other sizes there ({other[0]}); start from a run of the same "
                "preset and overrides, or leave it out"
            )
        network.load_state_dict({key: own[key] if key in other else found[key] for key in own})
        if other:
            log.info("%s: %s start anew, for %d people", network_name, ", ".join(other), people)
    log.info("started with the weights of %s", run_dir)


def _counts_people(own: Tensor, theirs: Tensor, people: int) -> bool:
    """Whether a layer has a row per training person (and one more, where it also says what is generated)."""
    return own.ndim > 0 and own.shape[0] in (people, people + 1) and own.shape[1:] == theirs.shape[1:]
