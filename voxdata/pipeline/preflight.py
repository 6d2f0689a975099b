"""What a worker process says of itself, in one line, before its first item: a cluster starts it, and nobody looks on.

Versions, threads, and whether it reaches the root, the sources and the API that it was told. Workers that a command
starts on its own machine are what the command is, and say nothing.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from voxdata.format.errors import StorageError
from voxdata.pipeline import processes
from voxdata.pipeline.corpora import corpora
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import LocalStorage, Storage

_TOLD = ("voxdata", "mediapipe", "opencv-contrib-python", "torch")
_said: set[str] = set()
_saying = threading.Lock()


def look_around(storage: Storage, recipe: Recipe, key: str) -> None:
    """Say once per root what this worker is. Raises `StorageError` where it does not reach the root's table `key`."""
    with _saying:
        if storage.url in _said:
            return
        if not storage.exists(key):
            here = "" if not isinstance(storage, LocalStorage) else "; mount its folder there under the same path"
            raise StorageError(
                f"a worker on {socket.gethostname()} does not reach root {storage.url}: {key} is not there{here}, then "
                "run the same command again"
            )
        _said.add(storage.url)
    if not processes.prepared:
        print(description(storage, recipe), file=sys.stderr, flush=True)


def description(storage: Storage, recipe: Recipe) -> str:
    """The line: who this is, with which versions, and what it reaches."""
    versions = ", ".join(f"{name} {_version(name)}" for name in _TOLD)
    paths = [str(corpus.speech.path) for _, _, corpus in corpora(recipe) if corpus.speech.given]
    away = [path for path in paths if "://" not in path and not os.path.exists(path)]
    sources = f"NOT the source {' nor '.join(away)}" if away else f"{len(paths)} sources of speech"
    api = os.environ.get("PREFECT_API_URL") or "told by the flow"
    return (
        f"worker {os.getpid()} on {socket.gethostname()}: python {python_version()}, {versions}; one item at a time, "
        f"{threading.active_count()} threads; reaches root {storage.url}, {sources}; API {api}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
