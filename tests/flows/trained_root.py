"""A root with tiny snapshots that the toolkit can publish, and trainings in this process instead of through Prefect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.orders import ordered
from flows.runs import evaluate_run, prepare
from models.train import train as train_here
from tests.models.snapshot_writer import SMALL_NETWORKS, write_snapshot
from voxdata.catalog.publish import publish
from voxdata.format.snapshot import SPLITS
from voxdata.store.storage import LocalStorage

PEOPLE = {"train": 10, "val": 8, "test": 7}
SMALL = {**SMALL_NETWORKS, "embedder_steps": 4, "fuser_steps": 1, "learning_rate": 0.002}


def pairs(numbers: Mapping[str, Any]) -> list[str]:
    """Numbers of a preset as a person sets them."""
    return [f"{key}={json.dumps(value)}" for key, value in numbers.items()]


def publish_people(
    root: Path,
    identifier: str,
    people: dict[str, int],
    at: str,
    recipe: dict[str, Any] | None = None,
    folders: Mapping[str, Sequence[str]] | None = None,
) -> LocalStorage:
    """Publish a snapshot of so many people per split; the first ones of a split are in all snapshots."""
    scratch = root.parent / f"scratch-{identifier}"
    write_snapshot(scratch, people, identifier=identifier, folders=folders)
    (root / "shards").mkdir(parents=True, exist_ok=True)
    (root / "snapshots").mkdir(exist_ok=True)
    for path in (scratch / "shards").iterdir():
        path.rename(root / "shards" / path.name)
    document = json.loads((scratch / "snapshots" / f"{identifier}.json").read_text())
    counts = {split: {"identities": people.get(split, 0), "portraits": 0, "utterances": 0} for split in SPLITS}
    more = {
        "recipe": recipe or {},
        "recipe_hash": "r",
        "code_version": "t",
        "counts": counts,
        "tables": {},
        "versions": {},
    }
    (root / "snapshots" / f"{identifier}.json").write_text(json.dumps(document | more))
    storage = LocalStorage(root)
    publish(storage, identifier, at=at)
    return storage


def train(*, split: str = "val", **settings: Any) -> str:
    """What the flow `train` does, without a server: prepare, train, note, evaluate on a split."""
    run = prepare(ordered(settings.pop("settings", ()), run_dir=settings.pop("run", None), **settings))
    run.note("started")
    train_here(run.config)
    run.note("finished")
    evaluate_run(run.folder, protocols=["full"], split=split)
    return str(run.folder)
