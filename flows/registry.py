"""Which runs there are, what they are called, and an earlier champion as champion again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.cards import write_card
from models.training.checkpoint import checkpoints
from voxdata.catalog import champions
from voxdata.catalog.publish import rebuild
from voxdata.format.errors import ModelError
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage

SHOWN = ("cosine", "centred_cosine", "map")


def roll_back(storage: Storage, model: str | None, to: str | None, reason: str) -> champions.Return:
    """Make the champion before, or the run `to`, champion again. Raises `ModelError`."""
    back = champions.earlier(storage, model, to)
    folder = run_folder(storage, back.target)
    champions.roll_back(storage, back, reason=reason, at=now())
    for run in (folder, run_folder(storage, back.champion, may_be_gone=True)):
        if (run / "config.json").is_file():
            write_card(storage, run)
    rebuild(storage)
    return back


def listing(storage: Storage) -> pa.Table:
    """One row per run: model, alias, run, status, snapshot, when, figures on the test people, the last decision."""
    named = champions.aliases(storage)
    stages = {run: alias for of_model in named.values() for alias, run in vars(of_model).items() if run is not None}
    runs = {fact["run_id"]: fact for fact in journal.read_new(storage, "runs")}
    figures = _figures(storage)
    decided = {fact["challenger"]: fact["outcome"] for fact in journal.read_new(storage, "decisions")}
    rows = [
        {
            "model": fact["model"],
            "alias": stages.get(run),
            "run": run,
            "status": fact["status"],
            "snapshot": fact["snapshot_id"],
            "stated": fact["at"],
            **{name: figures.get(run, {}).get(name) for name in SHOWN},
            "decision": decided.get(run),
        }
        for run, fact in sorted(runs.items(), key=lambda each: (each[1]["model"] or "", each[1]["at"], each[0]))
    ]
    text = ("model", "alias", "run", "status", "snapshot", "stated")
    schema = [*((name, pa.string()) for name in text), *((name, pa.float64()) for name in SHOWN)]
    return pa.Table.from_pylist(rows, schema=pa.schema([*schema, ("decision", pa.string())]))


def run_folder(storage: Storage, run: str, *, may_be_gone: bool = False) -> Path:
    """Where a run of this root lies. Raises `ModelError` for an unknown one, or one without weights."""
    facts = [fact for fact in journal.read_new(storage, "runs") if fact["run_id"] == run]
    places = [Path(fact["path"]) for fact in facts[-1:] if fact["path"]]
    if isinstance(storage, LocalStorage):
        places.append(storage.local(f"runs/{run}"))
    folder = next((place for place in places if checkpoints(place)), None)
    if folder is not None:
        return folder
    if may_be_gone and places:
        return places[0]
    where = f"; it was in {places[0]}" if places else ""
    raise ModelError(f"run {run}: no weights are there{where}; see: voxdata models --root {storage.url}")


def named_run(storage: Storage, run: str, model: str) -> Path:
    """A run by its alias (champion, challenger), its name, or its folder. Raises `ModelError`."""
    if run in (champions.CHAMPION, champions.CHALLENGER):
        named = champions.aliases(storage).get(model, champions.Aliases())
        found: str | None = getattr(named, run)
        if found is None:
            raise ModelError(
                f"model {model} has no {run} under {storage.url}; see: voxdata models --root {storage.url}"
            )
        return run_folder(storage, found)
    if (Path(run) / "config.json").is_file():
        return Path(run).absolute()
    return run_folder(storage, run)


def now() -> str:
    """The present, to the microsecond: what is stated of one run in a second must keep its order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _figures(storage: Storage) -> dict[str, dict[str, Any]]:
    """Run -> figures of its system with the fuser, of its last evaluation on test people."""
    found = {}
    for fact in journal.read_new(storage, "evaluations"):
        if fact["split"] == "test":
            content = json.loads(fact["metrics"] or "{}")
            found[fact["run_id"]] = {
                key.partition(", fused: ")[2]: value for key, value in content.items() if ", fused: " in key
            }
    return found
