"""Calls in processes of their own, whose environment may differ: workers of other machines."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxdata.pipeline.runner import R, Runner

REPOSITORY = Path(__file__).parents[2]
_WORKER = """
import pickle, sys
function, call = pickle.load(sys.stdin.buffer)
try:
    answer = function(**call)
except Exception as error:
    answer = error
pickle.dump(answer, sys.stdout.buffer)
"""


class Elsewhere(Runner):
    """Each call in a fresh process; `path` comes before everything else that it imports."""

    def __init__(self, *path: Path) -> None:
        self._path = os.pathsep.join(map(str, (*path, REPOSITORY)))

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        for call in calls:
            answer = self._call(function, call)
            if isinstance(answer, Exception):
                raise answer
            yield answer

    def _call(self, function: Callable[..., Any], call: Mapping[str, Any]) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", _WORKER],
            input=pickle.dumps((function, dict(call))),
            env={**os.environ, "PYTHONPATH": self._path},
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        )
        return pickle.loads(done.stdout)


def installed(folder: Path, name: str, version: str) -> Path:
    """A folder that, on the path, makes a package seem to be installed in another version."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder
