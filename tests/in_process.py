"""The pipeline in the process of a test: no workers to start, nothing shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxdata.pipeline.build import Build, build
from voxdata.pipeline.runner import R, Runner
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import open_storage


class InProcess(Runner):
    """Every call here, one after the other."""

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        for call in calls:
            yield function(**call)


def build_here(recipe: Recipe, root: Path) -> str:
    """What `voxdata build` does, in this process; the id of the published snapshot."""
    return build(Build(storage=open_storage(root, create=True), recipe=recipe), InProcess())
