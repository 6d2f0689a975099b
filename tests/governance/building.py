"""A small corpus of painted people, built under a root in this process, without a Prefect server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.flows.building import build_arguments
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.sidecar import read_sidecar
from voxdata.pipeline import packing, steps
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, PixelStage, plan, work_on
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import LocalStorage, open_storage

# Three people in the test split and two in train, each split in one shard of each kind.
SETTINGS = (
    "speech.measure.front_ends=[torch40]",
    "splits.val_share=0.1",
    "splits.test_share=0.6",
    "shards.buckets_per_shard=4096",
)


def recipe_of(corpus: Path, root: Path, *settings: str) -> Recipe:
    """The recipe of `voxdata build` over this corpus."""
    words = build_arguments(corpus, root, *SETTINGS, *settings)
    return load_recipe("voxceleb-folder", [word for word in words if "=" in word])


def build(corpus: Path, root: Path, *settings: str) -> str:
    """Every stage of the flow `build-hq-voxceleb`, one after another; the id of the published snapshot."""
    recipe, place = recipe_of(corpus, root, *settings), str(root)
    keys = {"photos": steps.crawl(place, recipe)}
    _work(FACES_MEASURE, place, recipe, keys["photos"])
    keys["links"] = steps.link_faces(place, recipe, keys["photos"])
    first = steps.decide_faces(place, recipe, keys["photos"], keys["links"], rendered=False)
    _work(FACES_RENDER, place, recipe, steps.candidates(place, recipe, keys["photos"], first), "face_id")
    keys["face_verdicts"] = steps.decide_faces(place, recipe, keys["photos"], keys["links"], rendered=True)
    keys["utterance_files"] = steps.find_speech(place, recipe, keys["photos"], keys["face_verdicts"])
    keys["identities"] = steps.list_identities(place, recipe, keys["photos"], keys["utterance_files"])
    _work(SPEECH_MEASURE, place, recipe, keys["utterance_files"])
    keys["utterance_verdicts"] = steps.decide_speech(place, recipe, keys["utterance_files"])
    keys["splits"] = steps.split(place, recipe, keys)
    ranges = packing.plan_packing(place, recipe, keys)
    entries = [entry for each in ranges for entry in packing.pack_range(place, recipe, keys, **each)]
    return packing.publish(place, recipe, keys, entries)


def _work(stage: PixelStage, root: str, recipe: Recipe, key: str, item_column: str = "item_id") -> None:
    for buckets in plan(stage, open_storage(root), recipe, key, item_column).tasks:
        work_on(stage.name, root, recipe, key, item_column, buckets)


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
