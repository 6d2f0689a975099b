"""Champion against challenger: on which test pairs, by which gate, and what is written down about it.

The test pairs of a model are those of the test split of one snapshot, which a tag (`test-<model>`) holds fixed from the
model's first decision on, and keeps from `voxdata gc`. Forgetting somebody redacts that snapshot: the next decision
takes the current snapshot instead, which is a new version of the test set.

The gate is written into the challenger's folder before its training starts (`gate.json`) and read from there after it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flows.cards import DECISION, code_version, lineage, write_card
from flows.pulling import local_root
from flows.registry import now, run_folder
from flows.runs import network_files
from models.evaluate.compare import Comparison, compare
from models.evaluate.gate import Decision, Gate, decide, make_gate
from models.training.checkpoint import read_run_config
from voxdata.catalog import champions
from voxdata.catalog.newcomers import people_of
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.tags import tag, tags
from voxdata.format.atomic import write_json
from voxdata.format.errors import ModelError, SnapshotError
from voxdata.format.json_text import read_object
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline.progress import logger
from voxdata.store.storage import LocalStorage, Storage

GATE = "gate.json"
SPLIT = "test"


def freeze_gate(folder: Path, gate: Gate) -> None:
    """Write the gate of a run that will be trained. Raises `ModelError` where it was begun with another one."""
    stated, path = dataclasses.asdict(gate), folder / GATE
    if path.exists() and read_gate(folder) != gate:
        before = dataclasses.asdict(read_gate(folder))
        changed = next(key for key, value in stated.items() if before[key] != value)
        raise ModelError(
            f"run {folder.name} was begun with gate {changed} = {before[changed]!r}, now it is {stated[changed]!r}: "
            "what decides is fixed before a training; keep it, or train with another seed"
        )
    write_json(path, stated)


def read_gate(folder: Path) -> Gate:
    """The gate that was fixed for a run. Raises `ModelError`, `ConfigError`."""
    try:
        content = read_object((folder / GATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / GATE} cannot be read: {error}; start again: delete it and run retrain") from None
    return make_gate(content)


def tested_snapshot(storage: Storage, model: str, current: Snapshot) -> Snapshot:
    """The snapshot whose test split a model is judged on; from now on, where there is none yet, the current one."""
    name = f"test-{model}"
    identifier = tags(storage).get(name)
    if identifier is not None:
        try:
            frozen = load_snapshot(storage, identifier)
        except SnapshotError:
            logger.warning("the test set of %s was in snapshot %s, which is gone", model, identifier)
        else:
            if not frozen.redacted:
                return frozen
            logger.warning("the test set of %s has a new version: somebody in %s was forgotten", model, identifier)
    tag(storage, name, current.id, at=now(), force=True)
    return current


def check_unseen(storage: Storage, model: str, tested: Snapshot, trained: Snapshot) -> None:
    """Raises `ModelError` where training people of a snapshot are among those that the model is tested on."""
    seen = people_of(storage, tested, SPLIT) & people_of(storage, trained, "train")
    if seen:
        raise ModelError(
            f"{len(seen)} of the people that {model} is tested on (snapshot {tested.id}, tag test-{model}) are "
            f"training people of snapshot {trained.id}; freeze another test set: voxdata tag test-{model} {trained.id} "
            f"--root {storage.url} --force"
        )


def check_run_unseen(storage: Storage, model: str, tested: Snapshot, run_dir: Path) -> None:
    """`check_unseen` for what a run was trained on, where that snapshot is still there."""
    trained = read_run_config(run_dir)["snapshot"]
    try:
        snapshot = load_snapshot(storage, trained)
    except SnapshotError:
        logger.warning("%s: snapshot %s is gone, so whom it was trained on is not known", run_dir.name, trained)
        return
    check_unseen(storage, model, tested, snapshot)


def decide_about(root: str, model: str, challenger: str) -> Decision:
    """Compare a trained run with the model's champion, decide, and write down what and why.

    Raises one-line errors: no test people, or some that a run was trained on; a missing file of the embedder; a
    champion without weights.
    """
    storage = local_root(root)
    folder = run_folder(storage, challenger)
    gate = read_gate(folder)
    champion = champions.champion(storage, model)
    champion = None if champion == challenger else champion
    tested = tested_snapshot(storage, model, load_snapshot(storage))
    runs = [*([run_folder(storage, champion)] if champion else []), folder]
    for run in runs:
        check_run_unseen(storage, model, tested, run)
    comparison = compare(
        runs, snapshot_id=tested.id, seconds=gate.seconds, seed=gate.seed, split=SPLIT, weights=network_files()
    )
    decision = decide(comparison, gate)
    at = now()
    record = _record(storage, model, runs, comparison, gate, decision, at)
    _write(storage, model, record)
    for run in runs:
        write_card(storage, run)
    rebuild(storage)
    return decision


def _record(
    storage: LocalStorage,
    model: str,
    runs: list[Path],
    comparison: Comparison,
    gate: Gate,
    decision: Decision,
    at: str,
) -> dict[str, Any]:
    described = [{"run": run.name, **lineage(storage, run)} for run in runs]
    return {
        "format": 1,
        "model": model,
        "at": at,
        "code_version": code_version(),
        "champion": described[0] if len(runs) > 1 else None,
        "challenger": described[-1],
        "test": {
            "snapshot": comparison.snapshot,
            "split": comparison.split,
            "pairs": comparison.pairs,
            "people": comparison.people,
            "seconds": comparison.seconds,
        },
        "embedder": dict(comparison.embedder),
        "gate": dataclasses.asdict(gate),
        "figures": {run.run: _means(run.values) for run in comparison.runs},
        **dataclasses.asdict(decision),
    }


def _means(values: Mapping[str, Any]) -> dict[str, float]:
    known = {name: value_N[np.isfinite(value_N)] for name, value_N in values.items()}
    return {name: float(value_N.mean()) for name, value_N in known.items() if len(value_N)}


def _write(storage: Storage, model: str, record: Mapping[str, Any]) -> None:
    challenger = run_folder(storage, record["challenger"]["run"])
    write_json(challenger / DECISION, record)
    fact = {
        "champion": record["champion"]["run"] if record["champion"] else None,
        "challenger": record["challenger"]["run"],
        "outcome": record["outcome"],
        "snapshot_id": record["test"]["snapshot"],
        "record": json.dumps(record, sort_keys=True),
    }
    champions.decide(storage, model, fact, at=record["at"])
