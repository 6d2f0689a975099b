"""One training per card: who may use which GPU of this machine.

A card is held by a lock on a file that every process of this machine sees, and the training inherits the lock: it is
free again when the last of flow and training is gone, however they ended, and whatever the Prefect server does.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

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
def free_card(device: str) -> Iterator[Held]:
    """Hold a card that `device` allows and no other training holds, waiting for one; on a CPU nothing is held."""
    allowed = cards(device)
    if not allowed:
        yield NOTHING
        return
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    card, lock = _first_free(allowed)
    with lock:
        logger.info("training on %s", card)
        sees = {} if ":" in device else {"CUDA_VISIBLE_DEVICES": card}
        yield Held(environment=sees, descriptors=(lock.fileno(),))


def _first_free(allowed: Sequence[str]) -> tuple[str, IO[bytes]]:
    said = False
    while True:
        for card in allowed:
            lock = _locked(FOLDER / f"{card}.lock")
            if lock is not None:
                return card, lock
        if not said:
            logger.info("all %d cards are in training; waiting for one", len(allowed))
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
