"""Training runs: prepared, trained in a process group of their own, evaluated, and noted in the journal.

`voxdata train` and the flow `train` both `prepare` a run, start its command in a `process_group` and `note` how it
ended. They differ in who watches.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cards import code_version, write_card
from flows.gpus import NOTHING, Held
from flows.orders import from_here, run_name
from flows.pulling import local_root
from models.embedders import PUBLISHED, SELF_TRAINED
from models.errors import ConfigError
from models.evaluate.report import stem
from models.pretrained.needs import lost, stops
from models.processes import python_module
from models.systems.enhance.faces import GFPGAN
from models.training.checkpoint import checkpoints, read_run_config
from models.training.config import RunConfig, make_config
from models.training.going_on import check_limits
from models.training.inputs import check_snapshot
from models.training.run_lock import locked
from voxdata.catalog.looks import TEST, chosen_on_test, looks_at
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import load_snapshot, published, published_recipe
from voxdata.catalog.withheld import hidden_in, how_to_leave_out
from voxdata.forgetting.outputs import note_output
from voxdata.format import events
from voxdata.format.digests import file_sha256
from voxdata.format.errors import StorageError, WeightsError
from voxdata.pipeline.progress import logger, progress, waiting
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage, open_storage
from voxdata.weights import cache_folder, find, how_to_get, resolve

if TYPE_CHECKING:
    from models.evaluate.listed import Lists
    from models.evaluate.references import Pictures

EMBEDDER = "embedder.pt"
STOP_LIMIT_S = 25.0
"""For the last checkpoint after SIGTERM; a Prefect worker kills the flow 30 s after its own."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that can be trained: its run.json is written."""

    storage: LocalStorage
    config: RunConfig

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return Path(self.config.run_dir)

    @property
    def command(self) -> list[str]:
        """Starts the training loop, or resumes it; it does not outlive this process."""
        training = ("models.train", "--config", str(self.folder / "run.json"))
        return python_module("flows.watchdog", str(os.getpid()), *training)

    def note(self, status: str) -> None:
        """State in the journal that the run started, finished, failed or was cancelled."""
        found = checkpoints(self.folder)
        last = found[-1] if found else None
        fact = {
            "run_id": self.folder.name,
            "model": self.config.system,
            "preset": self.config.preset,
            "snapshot_id": self.config.snapshot,
            "status": status,
            "embedder": self.config.embedder,
            "settings": (self.folder / "run.json").read_text(),
            "code_version": code_version(),
            "path": str(self.folder),
            "checkpoint": str(last) if last else None,
            "checkpoint_sha256": file_sha256(last) if last else None,
            "step": int(last.stem.partition("-")[2]) if last else None,
            "at": _now(),
        }
        journal.append(self.storage, "runs", fact)


def prepare(ordered: Mapping[str, Any]) -> Run:
    """Check settings against the snapshot and write `<run>/run.json`, unless the run is in training right now.

    `ordered` are keys of run.json, of which only `root` must be there: the snapshot is the current one, the folder
    `ROOT/runs/<name>`, and what is not said is not written. Raises one-line errors.
    """
    storage = local_root(ordered["root"], ordered.get("snapshot"))
    version = load_snapshot(storage, ordered.get("snapshot"))
    if opted_out := hidden_in(storage, version.shards):
        logger.warning("%s", how_to_leave_out(storage, version, opted_out, len(version.shards)))
    usual = {"run_dir": str(storage.path / "runs" / run_name(ordered, version.id))}
    settings = _with_weights(from_here({**usual, **ordered, "root": str(storage.path), "snapshot": version.id}))
    run = Run(storage=storage, config=make_config(settings))
    own = published_recipe(storage, version)
    check_snapshot(run.config, version, str(storage.path / own) if own and storage.exists(own) else None)
    check_limits(run.config)
    _refuse_taken_name(run)
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        with locked(run.folder):
            start = run.config.start
            if start and run.config.embedder == SELF_TRAINED and not (run.folder / EMBEDDER).exists():
                shutil.copyfile(Path(start) / EMBEDDER, run.folder / EMBEDDER)
            (run.folder / "run.json").write_text(json.dumps(settings, indent=1, sort_keys=True))
    except OSError as error:
        raise StorageError(
            f"run folder {run.folder} cannot be written: {error.strerror}; choose one with --run"
        ) from None
    return run


def _refuse_taken_name(run: Run) -> None:
    """A root knows its runs by the names of their folders. Raises `ConfigError` where another folder has this one.

    What a copy of a root has from the root that it was copied from does not count, nor a run that was deleted.
    """
    name = run.folder.name
    places = [run.storage.local(f"runs/{name}")]
    facts = [fact for fact in journal.read_new(run.storage, "runs") if fact["run_id"] == name and fact["path"]]
    if facts and journal.inner("runs", facts[-1], "settings", dict).get("root") == str(run.storage.path):
        places.append(Path(facts[-1]["path"]))
    for place in places:
        if (place / "run.json").is_file() and place.resolve() != run.folder.resolve():
            raise ConfigError(
                f"--run {run.folder}: {run.storage.url} has a run of the name {name} in {place}, and knows runs by "
                f"names; choose another name, or go on with that run: --run {place}"
            )


def _with_weights(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in `weights` from the registry's cache; raises `WeightsError` where a file is missing that the run needs."""
    weights = dict(settings["weights"])
    for need in make_config(settings).missing():
        if _is_cached(need.weights):
            weights[need.weights] = str(resolve(need.weights).absolute())
    filled = {**settings, "weights": weights}
    config = make_config(filled)
    off = config.missing()
    if stops(off, allowed=config.allow_missing_weights):
        lacking = find(off[0].weights)
        allow = "" if any(need.essential for need in off) else "; or go on so: --allow-missing-weights"
        raise WeightsError(
            f"{lacking.name}: {lacking.file} is not in {cache_folder()}, and {lost(off, lacking.name)}; "
            f"{how_to_get(lacking)}{allow}"
        )
    return filled


def _is_cached(name: str) -> bool:
    """Whether the cache has a file under its name, damaged or not, that can be verified."""
    weight = find(name)
    return weight.verifiable and (cache_folder() / weight.file).exists()


@contextmanager
def process_group(
    command: list[str], log: Path | None = None, held: Held = NOTHING, told: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own, on the card that is `held`; its output goes to `log`, or to ours.

    Where a descriptor is to be `told`, it is the command's standard error, and hears events.

    When the body raises, as it does on a cancelled flow run, the command gets SIGTERM and `STOP_LIMIT_S` to write its
    checkpoint. In the end what is left of the group is killed. Its OpenMP threads sleep while they wait: spinning ones
    take the cores away from whatever else runs, and two trainings on one machine all but stop each other.
    """
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **held.environment}
    if log is not None:
        environment.pop(events.VARIABLE, None)
    elif told is not None:
        environment[events.VARIABLE] = "1"
    with open(log, "ab") if log else _nothing() as output:
        process = subprocess.Popen(
            command,
            start_new_session=True,
            stdout=output,
            stderr=output if told is None else told,
            env=environment,
            pass_fds=held.descriptors,
        )
        try:
            yield process
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def evaluate_run(
    run_dir: Path,
    references: Mapping[str, Pictures] | None = None,
    *,
    protocols: Sequence[str] | None = None,
    embedder: str | None = None,
    split: str = TEST,
    enhance: str | None = None,
    lists: str | Path | Lists | None = None,
    lists_root: str | None = None,
) -> dict[str, Any]:
    """Judge a run on people it never saw, and note the figures in the journal and the catalog.

    `references` adds rows from pictures of those people, see `models.evaluate.references`; `protocols` are those of
    `models.evaluate.protocols`, `embedder` another judge than the run's own, by its name in the weights registry,
    `lists` the folder of lists that `fame` and `pins` go by, or what was read of it, and `lists_root` the root that has
    what they name, where that is not the run's: it then notes what was written of its people. Where somebody in the
    run's snapshot was forgotten, it is judged on the current one.
    """
    from models.evaluate.protocol import evaluate
    from models.evaluate.protocols import BY_DEFAULT

    trained = read_run_config(run_dir)["run"]
    name = embedder or trained["embedder"]
    given = embedder is None and name in trained["weights"]
    weights = {name: str(resolve(name).absolute())} if name in PUBLISHED and not given else {}
    weights |= network_files() | (enhancer_files(enhance) if enhance else {})
    storage = open_storage(trained["root"])
    lists_from = None if lists_root is None else _current(lists_root)
    report = evaluate(
        run_dir,
        references=references,
        protocols=protocols or BY_DEFAULT,
        embedder=embedder,
        weights=weights,
        split=split,
        enhance=enhance,
        lists=lists,
        lists_from=lists_from,
        snapshot_id=_unredacted(storage, trained["snapshot"]),
        said=_looked_before(storage, run_dir) if split == TEST else (),
        counting=progress,
    )
    metrics = {
        f"{row['name']}: {key}": figure["value"] for row in report["rows"] for key, figure in row["figures"].items()
    }
    _note_figures(storage, run_dir, report, metrics)
    if lists_from is not None:
        files = [stem(split, None if name == trained["embedder"] else name) + suffix for suffix in (".json", ".md")]
        files += [file for table in report["tables"] for file in table.get("files", ())]
        for file in files:  # forgetting in the other root knows nothing of the run
            note_output(open_storage(str(lists_root)), "evaluation", str(run_dir / file), lists_from[1])
    write_card(storage, run_dir)
    with waiting("catalog"):
        rebuild(storage)
    return report


def evaluate_runs(run_dirs: Sequence[Path], *, embedder: str | None = None, split: str = TEST) -> dict[str, Any]:
    """Judge runs of one snapshot beside each other, and note what each reaches in the journal and the catalog."""
    from models.evaluate.side_by_side import evaluate_beside

    weights = {embedder: str(resolve(embedder).absolute())} if embedder is not None and embedder in PUBLISHED else {}
    storage = open_storage(read_run_config(run_dirs[0])["run"]["root"])
    said = [f"{folder.name}: {note}" for folder in run_dirs for note in _looked_before(storage, folder)]
    report = evaluate_beside(
        run_dirs, split=split, embedder=embedder, weights=weights, said=said if split == TEST else (), counting=progress
    )
    for folder, row in zip(run_dirs, report["rows"], strict=True):
        metrics = {f"beside other runs: {key}": figure["value"] for key, figure in row["figures"].items()}
        _note_figures(storage, folder, report, metrics)
    for folder in run_dirs:
        write_card(storage, folder)
    if published(storage):
        with waiting("catalog"):
            rebuild(storage)
    return report


def _looked_before(storage: Storage, run_dir: Path) -> list[str]:
    """What to know before a run's figures on test people are read: how often they were looked at."""
    notes = [str(looks_at(storage, run_dir.name))]
    if chosen_on_test(storage, run_dir.name):
        notes.append("the run was chosen on test people, by an older version: its figures on them are too good")
    return notes


def _note_figures(storage: Storage, run_dir: Path, report: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    found = checkpoints(run_dir)
    fact = {
        "run_id": run_dir.name,
        "checkpoint_sha256": file_sha256(found[-1]) if found else None,
        "snapshot_id": report["snapshot"],
        "split": report["split"],
        "embedder": report["embedder"]["name"],
        "metrics": json.dumps(metrics, sort_keys=True),
        "at": _now(),
    }
    journal.append(storage, "evaluations", fact)


def _current(root: str) -> tuple[str, str]:
    """A root on this machine and its current version."""
    storage = local_root(root)
    return str(storage.path), load_snapshot(storage).id


def network_files() -> dict[str, str]:
    """The cached files of the networks that FID and VFS are defined by."""
    from models.evaluate.realism import FID, VFS

    return {each: str(resolve(each).absolute()) for each in (FID, VFS) if _is_cached(each)}


def enhancer_files(name: str) -> dict[str, str]:
    """The file of a published enhancer; a run needs none. Raises `WeightsError` where it is not in the cache."""
    return {name: str(resolve(name).absolute())} if name == GFPGAN else {}


def _unredacted(storage: Storage, snapshot: str) -> str:
    """The snapshot to judge a run on: its own, or the current one where somebody in its own was forgotten."""
    if not load_snapshot(storage, snapshot).redacted:
        return snapshot
    current = load_snapshot(storage).id
    logger.warning("judged on snapshot %s: somebody in %s was forgotten", current, snapshot)
    return current


def last_finished(storage: LocalStorage, name: str) -> dict[str, Any] | None:
    """The journal's row of a run that was trained to its end and evaluated; None where it was not."""
    runs, evaluations = journal.read(storage, "runs"), journal.read(storage, "evaluations")
    if runs is None or evaluations is None or name not in evaluations["run_id"].to_pylist():
        return None
    finished: list[dict[str, Any]] = [
        row for row in runs.to_pylist() if row["run_id"] == name and row["status"] == "finished"
    ]
    return finished[-1] if finished else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
