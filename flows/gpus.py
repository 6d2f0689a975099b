"""One training per card, or several cards for one: who may use which GPU of this machine.

A card is held by a lock on a file that every process of this machine sees, and the training inherits the lock: it is
free again when the last of flow and training is gone, however they ended, and whatever the Prefect server does.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from models.errors import ConfigError
from voxdata.pipeline.progress import logger

POLL_S = 2.0
FOLDER = Path(tempfile.gettempdir()) / f"voxdata-gpus-{os.getuid()}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a training is given: more environment, and the lock's file descriptors, which it keeps open."""

    environment: dict[str, str]
    descriptors: tuple[int, ...]


NOTHING = Held(environment={}, descriptors=())


def cards(device: str) -> list[str]:
    """The cards that `device` (`auto`, `cpu`, `cuda`, `cuda:1`) allows, as CUDA_VISIBLE_DEVICES takes them."""
    if device == "cpu" or not torch.cuda.is_available():
        return []
    known = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(torch.cuda.device_count())]
    _, _, index = device.partition(":")
    return [known[int(index)]] if index.isdigit() and int(index) < len(known) else known


@contextmanager
def free_cards(device: str, count: int = 1) -> Iterator[Held]:
    """Hold `count` cards that `device` allows and no other training holds, waiting for them; none on a CPU.

    Raises `ConfigError` where there are never so many.
    """
    allowed = cards(device)
    if not allowed:
        yield NOTHING
        return
    if count > len(allowed):
        raise ConfigError(
            f"processes = {count}: device {device} allows {len(allowed)} GPUs of this machine, one for each"
        )
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        held = _wait_for(allowed, count)
        for lock in held.values():
            stack.enter_context(lock)
        logger.info("training on %s", ", ".join(held))
        sees = {} if ":" in device else {"CUDA_VISIBLE_DEVICES": ",".join(held)}
        yield Held(environment=sees, descriptors=tuple(lock.fileno() for lock in held.values()))


def _wait_for(allowed: Sequence[str], count: int) -> dict[str, IO[bytes]]:
    """Cards with their locks, all or none of them: two trainings that each hold a part would wait forever."""
    said = False
    while True:
        held: dict[str, IO[bytes]] = {}
        for card in allowed:
            lock = _locked(FOLDER / f"{card}.lock")
            if lock is not None:
                held[card] = lock
            if len(held) == count:
                return held
        for lock in held.values():
            lock.close()
        if not said:
            logger.info(
                "%d of %d cards are in training; waiting for %s",
                len(allowed) - len(held),
                len(allowed),
                "one" if count == 1 else count,
            )
            said = True
        time.sleep(POLL_S)


def _locked(path: Path) -> IO[bytes] | None:
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
