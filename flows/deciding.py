"""Champion against challenger: on which validation pairs, by which gate, and what is written down about it.

Whoever is chosen on people looks better on them than on others. So champions are chosen on validation people, and a
champion, nobody else, is judged on test people when it is promoted, once.

The validation pairs of a model are those of the validation split of one snapshot, which a tag (`val-<model>`) holds
fixed from the model's first decision on, and keeps from `voxdata gc`. Forgetting somebody redacts that snapshot: the
next decision takes the current snapshot instead, which is a new version of the validation set.

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
from flows.overview import empty_splits
from flows.pulling import local_root
from flows.registry import now, run_folder
from flows.runs import evaluate_run, network_files
from models.errors import TrainingError
from models.evaluate.compare import Comparison, compare
from models.evaluate.gate import MIN_PEOPLE, Decision, Gate, decide, make_gate
from models.training.checkpoint import read_run_config
from voxdata.catalog import champions
from voxdata.catalog.looks import TEST, VALIDATION, chosen_on_test
from voxdata.catalog.newcomers import people_of
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.tags import tag, tags
from voxdata.format.atomic import write_json
from voxdata.format.errors import ModelError, SnapshotError, VoxdataError, counted
from voxdata.format.json_text import read_object
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline.progress import logger
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage

GATE = "gate.json"


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


def frozen_snapshot(storage: Storage, model: str, current: Snapshot) -> Snapshot:
    """The snapshot on whose validation split a model is chosen: the one it was, or else the current one.

    Nothing is written: what may be refused is asked first, then `freeze_validation` fixes the answer.
    """
    identifier = tags(storage).get(_validation_tag(model))
    if identifier is not None:
        try:
            frozen = load_snapshot(storage, identifier)
        except SnapshotError:
            logger.warning("the validation set of %s was in snapshot %s, which is gone", model, identifier)
        else:
            if not frozen.redacted:
                return frozen
            logger.warning(
                "the validation set of %s has a new version: somebody in %s was forgotten", model, identifier
            )
    elif champion := champions.champion(storage, model):
        before = "on test people, by an older version" if chosen_on_test(storage, champion) else "before"
        logger.info(
            "%s is chosen on validation people from now on; its champion %s was chosen %s", model, champion, before
        )
    return current


def freeze_validation(storage: Storage, model: str, frozen: Snapshot) -> None:
    """Fix the snapshot on whose validation split a model is chosen from now on, where it is not that one already."""
    name = _validation_tag(model)
    if tags(storage).get(name) != frozen.id:
        tag(storage, name, frozen.id, at=now(), force=True)


def _validation_tag(model: str) -> str:
    return f"val-{model}"


def check_enough(storage: Storage, model: str, frozen: Snapshot, current: Snapshot) -> None:
    """Raises `ModelError` where too few validation people are there to choose on; test people never stand in.

    A first model has nobody to be compared with, so one person is enough; that it will not be is then said.
    """
    count = len(people_of(storage, frozen, VALIDATION))
    champion = champions.champion(storage, model)
    if count >= MIN_PEOPLE:
        return
    said = (
        f"snapshot {frozen.id} has {counted(count, 'validation person', 'validation people')} with portraits and "
        f"speech, and {model} is chosen on them"
    )
    again = f"voxdata tag val-{model} --root {storage.url} --force"
    if count and champion is None:
        logger.warning("%s: enough for a first model, %d are needed to compare another with it", said, MIN_PEOPLE)
        return
    needed = MIN_PEOPLE if champion else 1
    if frozen.id != current.id and len(people_of(storage, current, VALIDATION)) >= needed:
        raise ModelError(
            f"{said}: at least {needed} are needed; the current snapshot has them, choose on these: {again}"
        )
    more = empty_splits(storage, current) or "build with more people, as by: voxdata build RECIPE --root DIR"
    raise ModelError(f"{said}: at least {needed} are needed; {more}; then: {again}")


def check_unseen(storage: Storage, model: str, frozen: Snapshot, trained: Snapshot) -> None:
    """Raises `ModelError` where training people of a snapshot are among those that the model is chosen on."""
    seen = people_of(storage, frozen, VALIDATION) & people_of(storage, trained, "train")
    if seen:
        raise ModelError(
            f"snapshot {trained.id} trains on {len(seen)} of the people that {model} is chosen on (snapshot "
            f"{frozen.id}, tag val-{model}); choose on others: voxdata tag val-{model} {trained.id} "
            f"--root {storage.url} --force"
        )


def check_run_unseen(storage: Storage, model: str, frozen: Snapshot, run_dir: Path) -> None:
    """`check_unseen` for what a run was trained on, where that snapshot is still there."""
    trained = read_run_config(run_dir)["snapshot"]
    try:
        snapshot = load_snapshot(storage, trained)
    except SnapshotError:
        logger.warning("%s: snapshot %s is gone, so whom it was trained on is not known", run_dir.name, trained)
        return
    check_unseen(storage, model, frozen, snapshot)


def decide_about(root: str, model: str, challenger: str) -> Decision:
    """Compare a trained run with the model's champion, decide, write down what and why, and report a new champion.

    Raises one-line errors: too few validation people, or some that a run was trained on; a missing file of the
    embedder; a champion without weights.
    """
    storage = local_root(root)
    folder = run_folder(storage, challenger)
    gate = read_gate(folder)
    champion = champions.champion(storage, model)
    champion = None if champion == challenger else champion
    current = load_snapshot(storage)
    frozen = frozen_snapshot(storage, model, current)
    check_enough(storage, model, frozen, current)
    runs = [*([run_folder(storage, champion)] if champion else []), folder]
    for run in runs:
        check_run_unseen(storage, model, frozen, run)
    freeze_validation(storage, model, frozen)
    comparison = compare(
        runs, snapshot_id=frozen.id, seconds=gate.seconds, seed=gate.seed, split=VALIDATION, weights=network_files()
    )
    decision = decide(comparison, gate)
    at = now()
    record = _record(storage, model, runs, comparison, gate, decision, at)
    _write(storage, model, record)
    for run in runs:
        write_card(storage, run)
    rebuild(storage)
    if decision.promoted:
        report_on_test(storage, folder)
    return decision


def report_on_test(storage: LocalStorage, folder: Path) -> None:
    """Judge a run that was promoted on test people, unless it was judged on them already: a figure is reported once."""
    known = [fact for fact in journal.read_new(storage, "evaluations") if fact["run_id"] == folder.name]
    if any(fact["split"] == TEST for fact in known):
        logger.info("%s was judged on test people before, and is not judged on them again", folder.name)
        return
    try:
        report = evaluate_run(folder)
    except (VoxdataError, TrainingError) as error:
        logger.warning(
            "%s is champion, and was not judged on test people: %s; then: voxdata evaluate %s",
            folder.name,
            error,
            folder,
        )
    else:
        logger.info("%s was judged on %d test people", folder.name, report["people"])


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
        "validation": {
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
        "snapshot_id": record["validation"]["snapshot"],
        "split": record["validation"]["split"],
        "record": json.dumps(record, sort_keys=True),
    }
    champions.decide(storage, model, fact, at=record["at"])
