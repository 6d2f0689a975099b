"""Training runs on snapshots that held a person: which they are, and what must go from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxdata.forgetting.outputs import Deletion, remove
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage

CHAMPION = "champion"
PICTURES = ("samples", "gallery")  # faces that a run was shown or has generated
FIGURES = ("evaluation*", "comparison*", "model-card.md")  # over a test set that is no more; a sheet shows its faces


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A run, its folder, the snapshot that it used and in which splits of it the person was, its last promotion (may be
    empty), where it kept decoded portraits, and whether it was only judged on that snapshot, and trained on another."""

    name: str
    folder: Path
    snapshot_id: str
    splits: Sequence[str]
    stage: str
    cache: Path | None
    only_judged: bool = False

    @property
    def must_be_judged(self) -> bool:
        """Whether it is a champion whose frozen test set held the person."""
        return self.stage == CHAMPION and "test" in self.splits

    def __str__(self) -> str:
        stage = f", {self.stage}" if self.stage else ""
        used = "was judged on" if self.only_judged else "used"
        return f"run {self.name}{stage}: {used} snapshot {self.snapshot_id}, where they were in {'/'.join(self.splits)}"


def runs_on(storage: Storage, snapshots: Mapping[str, Sequence[str]]) -> list[TrainingRun]:
    """The runs trained or judged on one of these snapshots (id -> splits in which the person was), sorted by name: of
    those that the journal names, and those that lie under `runs/`."""
    stages = {fact["run_id"]: fact["stage"] for fact in journal.read_new(storage, "promotions")}
    judged = {
        fact["run_id"]: fact["snapshot_id"]
        for fact in journal.read_new(storage, "evaluations")
        if fact["snapshot_id"] in snapshots
    }
    found: dict[str, TrainingRun] = {}
    for name, folder, settings in (*_in_folders(storage), *_in_journal(storage)):
        trained_on = settings.get("snapshot")
        used = trained_on if trained_on in snapshots else judged.get(name)
        if used is not None:
            cache = settings.get("cache_dir")
            found[name] = TrainingRun(
                name=name,
                folder=folder,
                snapshot_id=str(used),
                splits=snapshots[str(used)],
                stage=stages.get(name) or "",
                cache=Path(cache) if cache else None,
                only_judged=used != trained_on,
            )
    return [found[name] for name in sorted(found)]


def delete_pictures(run: TrainingRun) -> list[Deletion]:
    """Delete what a run has pictured and figured out."""
    done = []
    pictures = [] if run.only_judged else [run.folder / name for name in PICTURES]
    for place in pictures + [each for name in FIGURES for each in sorted(run.folder.glob(name))]:
        if place.exists():
            named = f"run {run.name}: {place.name}"
            try:
                remove(place)
            except OSError as error:
                done.append(Deletion(said=f"{named}: cannot be deleted, {error.strerror or error}", left=True))
            else:
                done.append(Deletion(said=f"{named}: deleted"))
    return done


def _in_journal(storage: Storage) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for fact in journal.read_new(storage, "runs"):
        if fact["path"]:
            yield fact["run_id"], Path(fact["path"]), {**_object(fact["settings"]), "snapshot": fact["snapshot_id"]}


def _in_folders(storage: Storage) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    if not isinstance(storage, LocalStorage):
        return
    for key in storage.keys("runs"):
        if key.count("/") == 2 and key.endswith("/run.json"):
            folder = storage.local(key).parent
            yield folder.name, folder, _object(storage.read(key))


def _object(text: str | bytes | None) -> dict[str, Any]:
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
