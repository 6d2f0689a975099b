"""A small corpus of painted people, built under a root in this process, without a Prefect server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.flows.building import build_arguments
from tests.in_process import build_here
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.sidecar import read_sidecar
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import LocalStorage

# Three people in the test split and two in train, each split in one shard of each kind.
SETTINGS = (
    "speech.measure.front_ends=[torch40]",
    "splits.val_share=0.1",
    "splits.test_share=0.6",
    "shards.buckets_per_shard=4096",
    "work.items_per_part=1",  # so that parts are compacted ones, whose blobs lie in several tars
)


def recipe_of(corpus: Path, root: Path, *settings: str) -> Recipe:
    """The recipe of `voxdata build` over this corpus."""
    words = build_arguments(corpus, root, *SETTINGS, *settings)
    return load_recipe("voxceleb-folder", [word for word in words if "=" in word])


def build(corpus: Path, root: Path, *settings: str) -> str:
    """What `voxdata build` does; the id of the published snapshot."""
    return build_here(recipe_of(corpus, root, *settings), root)


@dataclass(frozen=True)
class Copy:
    """A root that was built and its corpus, both to be changed."""

    root: Path
    corpus: Path

    @property
    def storage(self) -> LocalStorage:
        return LocalStorage(self.root)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The answer of the catalog."""
        return [tuple(row.values()) for row in run_query(self.storage, sql).to_pylist()]

    def files(self) -> dict[str, bytes]:
        """name -> bytes of everything under the root."""
        return {key: self.storage.read(key) for key in self.storage.keys("")}

    def shard_members(self) -> dict[str, bytes]:
        """Name -> bytes of every member of the current snapshot's shards."""
        found = {}
        for entry in load_snapshot(self.storage).shards:
            for row in read_sidecar(self.storage, entry.sidecar).to_pylist():
                found[row["member"]] = self.storage.read_range(entry.tar, row["offset"], row["size"])
        return found
