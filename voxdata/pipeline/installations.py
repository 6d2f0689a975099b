"""A worker does what its order asks, or says what it has that the order does not.

Workers on other machines may have other versions of libraries, of voxdata or of a pretrained file. What they measured
would lie under another fingerprint, where nobody looks for it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

from voxdata.format.digests import digest
from voxdata.format.errors import BackendError
from voxdata.store.fragments import Named


def refuse_other(stage: str, asked: Named, mine: Named) -> None:
    """Raises `BackendError` naming each difference between what is asked and what this process has."""
    if digest(asked) == digest(mine):
        return
    said = "; ".join(_differences(asked, mine))
    raise BackendError(
        f"{stage}: the worker on {socket.gethostname()} is not installed as the build is: {said}; install on every "
        "worker what the build has (pip freeze lists it), restart it, and run the same command again"
    )


def _differences(asked: Named, mine: Named) -> Iterator[str]:
    if asked["version"] != mine["version"]:
        yield f"its voxdata has version {mine['version']} of {mine['stage']}, the build {asked['version']}"
    for name, here, there in _unequal(mine["backends"], asked["backends"]):
        yield f"{name} is {here} there, {there} in the build"
    for name, here, there in _unequal(mine["settings"], asked["settings"]):
        yield f"setting {name} is {here} there, {there} in the build"


def _unequal(mine: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*mine, *asked}):
        here, there = mine.get(name, "missing"), asked.get(name, "missing")
        if here != there:
            yield name, here, there
