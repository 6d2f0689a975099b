"""Training runs on snapshots that held a person: which they are, and what must go from their folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voxdata.forgetting.outputs import Deletion, remove
from voxdata.format.json_text import read_json
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage

CHAMPION = "champion"
PICTURES = ("samples", "gallery")  # faces that a run was shown or has generated
FIGURES = ("evaluation*", "comparison*", "model-card.md", "fame", "fame-*")
"""Over people of whom one is no more: a sheet shows their faces, `fame/` has scores of their voices and faces."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A run, its folder, the snapshot that it used and in which splits of it the person was, its last promotion (may be
    empty), where it kept decoded portraits, whether it was only judged on that snapshot, and trained on another, and
    the run whose weights it started from, where only that one used the snapshot."""

    name: str
    folder: Path
    snapshot_id: str
    splits: Sequence[str]
    stage: str
    cache: Path | None
    only_judged: bool = False
    started_from: str = ""

    @property
    def must_be_judged(self) -> bool:
        """Whether it is a champion that was judged on test people of whom the person was one."""
        return self.stage == CHAMPION and "test" in self.splits and not self.started_from

    def __str__(self) -> str:
        stage = f", {self.stage}" if self.stage else ""
        used = "was judged on" if self.only_judged else "used"
        if self.started_from:
            used = f"started from weights of run {self.started_from}, which used"
        return f"run {self.name}{stage}: {used} snapshot {self.snapshot_id}, where they were in {'/'.join(self.splits)}"


def runs_on(storage: Storage, snapshots: Mapping[str, Sequence[str]]) -> list[TrainingRun]:
    """The runs trained or judged on one of these snapshots (id -> splits in which the person was), sorted by name: of
    those that the journal names, and those that lie under `runs/`; and the runs that started from weights of such runs,
    over any number of runs between."""
    stages = {fact["run_id"]: fact["stage"] for fact in journal.read_new(storage, "promotions")}
    judged = {
        fact["run_id"]: fact["snapshot_id"]
        for fact in journal.read_new(storage, "evaluations")
        if fact["snapshot_id"] in snapshots
    }
    found: dict[str, TrainingRun] = {}
    everyone = [*_in_folders(storage), *_in_journal(storage)]
    for name, folder, settings in everyone:
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
    _follow(found, everyone, stages)
    return [found[name] for name in sorted(found)]


def _follow(
    found: dict[str, TrainingRun], everyone: Sequence[tuple[str, Path, dict[str, Any]]], stages: Mapping[str, str]
) -> None:
    """Add the runs that started from weights of the found ones. A run that was only judged has learned nothing there,
    unless its own weights came from one that has."""
    learned = {run.folder.resolve(): run for run in found.values() if not run.only_judged}
    before = -1
    while len(learned) != before:
        before = len(learned)
        for name, folder, settings in everyone:
            first = learned.get(Path(str(settings.get("start") or "")).resolve()) if settings.get("start") else None
            if first is not None and folder.resolve() not in learned:
                run = replace(first, name=name, folder=folder, stage=stages.get(name) or "", cache=None)
                learned[folder.resolve()] = replace(run, started_from=first.started_from or first.name)
                found.setdefault(name, learned[folder.resolve()])


def delete_pictures(run: TrainingRun) -> list[Deletion]:
    """Delete what a run has pictured and figured out; nothing of one that has seen them in weights alone."""
    if run.started_from:
        return []
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
        content = read_json(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
