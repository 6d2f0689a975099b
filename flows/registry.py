"""Which runs there are, what they are called, and an earlier champion as champion again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.cards import write_card
from flows.pulling import local_root
from models.errors import ConfigError
from models.systems.enhance.faces import GFPGAN
from models.training.checkpoint import checkpoints, read_run_config
from voxdata.catalog import champions
from voxdata.catalog.looks import TEST, VALIDATION, decided_on, looks
from voxdata.catalog.publish import rebuild
from voxdata.format.errors import ModelError
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage, open_storage

ALIASES = (champions.CHAMPION, champions.CHALLENGER)
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
    """One row per run: model, alias, run, status, snapshot, when, its figures, the last decision, looks at test people.

    Figures are those on test people, where the run was judged on them, else on validation people: `judged_on` says it.
    `decided_on` is the split that the decision was made on, `test_looks` how often test people were looked at for it.
    """
    named = champions.aliases(storage)
    stages = {run: alias for of_model in named.values() for alias, run in vars(of_model).items() if run is not None}
    runs = {fact["run_id"]: fact for fact in journal.read_new(storage, "runs")}
    figures = {run: split_figures for split in (VALIDATION, TEST) for run, split_figures in _figures(storage, split)}
    decided = {fact["challenger"]: fact for fact in journal.read_new(storage, "decisions")}
    looked = looks(storage)
    rows = [
        {
            "model": fact["model"],
            "alias": stages.get(run),
            "run": run,
            "status": fact["status"],
            "snapshot": fact["snapshot_id"],
            "stated": fact["at"],
            **{name: figures.get(run, {}).get(name) for name in SHOWN},
            "judged_on": figures.get(run, {}).get("split"),
            "decision": decided[run]["outcome"] if run in decided else None,
            "decided_on": _decided_on(decided.get(run)),
            "test_looks": looked[run],
        }
        for run, fact in sorted(runs.items(), key=lambda each: (each[1]["model"] or "", each[1]["at"], each[0]))
    ]
    text = ("model", "alias", "run", "status", "snapshot", "stated")
    schema = [*((name, pa.string()) for name in text), *((name, pa.float64()) for name in SHOWN)]
    schema += [(name, pa.string()) for name in ("judged_on", "decision", "decided_on")]
    return pa.Table.from_pylist(rows, schema=pa.schema([*schema, ("test_looks", pa.int64())]))


def run_folder(storage: Storage, run: str, *, may_be_gone: bool = False) -> Path:
    """Where a run of this root lies. Raises `ModelError` for an unknown one, or one without weights.

    The root's own folder comes first: where the root was moved or copied, what the journal states is the old place.
    """
    facts = [fact for fact in journal.read_new(storage, "runs") if fact["run_id"] == run]
    places = [Path(fact["path"]) for fact in facts[-1:] if fact["path"]]
    if isinstance(storage, LocalStorage):
        places.append(storage.local(f"runs/{run}"))
    folder = next((place for place in reversed(places) if checkpoints(place)), None)
    if folder is not None:
        return folder
    if may_be_gone and places:
        return places[0]
    see = f"see: voxdata models --root {storage.url}"
    if not facts and not (places and places[0].is_dir()):
        raise ModelError(f"run {run}: there is none of this name under {storage.url}, and no such folder; {see}")
    where = f"; it was in {places[0]}" if places else ""
    raise ModelError(f"run {run}: no weights are there{where}; {see}")


def named_run(storage: Storage, run: str, model: str | None = None) -> Path:
    """A run by its alias (champion, challenger), its folder, or its name. Raises `ModelError`.

    `model` says whose alias it is; it may be left out where only one model has such a run.
    """
    if run in ALIASES:
        named = {name: vars(each)[run] for name, each in champions.aliases(storage).items() if vars(each)[run]}
        if model is None and len(named) > 1:
            raise ModelError(f"{', '.join(named)} each have a {run} under {storage.url}; say which with --model")
        found = named.get(next(iter(named), "") if model is None else model)
        if found is None:
            whose = f"model {model} has no {run}" if model else f"no model has a {run}"
            raise ModelError(f"{whose} under {storage.url}; see: voxdata models --root {storage.url}")
        return run_folder(storage, found)
    if (Path(run) / "config.json").is_file():
        return Path(run).absolute()
    return run_folder(storage, run)


def meant_run(run: str, root: str | None, model: str | None = None) -> Path:
    """A run as a command names it: by its folder, or by its alias or name in a root.

    Raises `ModelError`; `ConfigError` where there is neither such a folder nor a root to look in.
    """
    if run not in ALIASES and (Path(run) / "config.json").is_file():
        return Path(run).absolute()
    if root is None or Path(run).is_dir():
        raise ConfigError(
            f"{run} is not a training run: it has no config.json; give the folder of a run, or champion, challenger or "
            "a name that `voxdata models` lists, with --root DIR; train one with: voxdata train sf2f --root DIR"
        )
    storage = open_storage(root)
    folder = named_run(storage, run, model)
    if not isinstance(storage, LocalStorage):
        local_root(root, read_run_config(folder)["snapshot"])  # with what was forgotten and stated since
    return folder


def meant_enhancer(name: str, root: str | None) -> str:
    """A published enhancer by its name, or the folder of an enhance run that a command names. Raises `ModelError`."""
    return name if name == GFPGAN else str(meant_run(name, root, "enhance"))


def now() -> str:
    """The present, to the microsecond: what is stated of one run in a second must keep its order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _decided_on(fact: Mapping[str, Any] | None) -> str | None:
    """The split of a decision; going back was decided on none."""
    return None if fact is None or fact["outcome"] == champions.ROLLED_BACK else decided_on(fact["split"])


def _figures(storage: Storage, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs and the figures of their systems with the fuser, of their evaluations on a split, the last one last."""
    for fact in journal.read_new(storage, "evaluations"):
        content = journal.inner("evaluations", fact, "metrics", dict) if fact["split"] == split else {}
        fused = {key.partition(", fused: ")[2]: value for key, value in content.items() if ", fused: " in key}
        if fused:
            yield fact["run_id"], {**fused, "split": split}
