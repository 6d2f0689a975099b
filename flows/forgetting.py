"""Around `voxdata forget`: what it says before it asks and when it is done, and what lies outside of the root."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from models.errors import TrainingError
from voxdata.forgetting.forget import Forgotten, Plan
from voxdata.forgetting.places import GONE
from voxdata.forgetting.trained import TrainingRun
from voxdata.format.errors import BackendError, VoxdataError

_RECIPE = "rename that folder, then voxdata build with its new path, then voxdata gc --older-than 0"


def plan_lines(plan: Plan) -> Iterator[str]:
    """The lines of a plan. They name the person, so they belong on a terminal, and into no log."""
    person, places = plan.forgetting, plan.places
    also = [word for word in person.words if word != person.person]
    yield f"person {person.person}" + (f", also {', '.join(also)}" if also else "")
    shared = places.photos - len(person.photos)
    stay = f" ({shared} of them stay for somebody else)" if shared else ""
    yield (
        f"in {places.photos} photos{stay}, {places.faces} faces, {places.clips} clips, {places.logged} lines of logs, "
        f"{places.shards} shards: these would be written again without them"
    )
    if plan.unsaid:
        yield f"{plan.unsaid} facts about others in the journal name them: these would stay without the words"
    for namesake in person.namesakes:
        yield f"{namesake} bears the same name: stays, and later builds leave them out, too"
    for snapshot, where in person.shown.items():
        redacted = ", would be redacted" if snapshot in person.redacted else ""
        yield f"snapshot {snapshot} {_shows(where)}{redacted}"
    for run in plan.runs:
        pictures = "its evaluations" if run.only_judged else "its pictures and evaluations"
        yield f"{run}" if run.started_from else f"{run}; {pictures} would be deleted"
    for output in plan.outputs:
        yield f"would be deleted: {output.kind} {output.path}, of snapshot {output.snapshot_id}"
    for key in plan.recipes:
        yield f"{key} names a folder or site of theirs and would stay; {_RECIPE}"
    if not plan.outputs:
        yield "no report, table, export or picture of theirs is noted"


def plan_facts(plan: Plan) -> dict[str, Any]:
    """The same as JSON has it."""
    person, places = plan.forgetting, plan.places
    return {
        "person": person.person,
        "also": [word for word in person.words if word != person.person],
        "namesakes": person.namesakes,
        "photos": places.photos,
        "photos_of_others_too": places.photos - len(person.photos),
        **{name: getattr(places, name) for name in ("faces", "clips", "logged", "shards")},
        "facts_of_others": plan.unsaid,
        "snapshots": [
            {"id": snapshot, "shown_in": where, "redacted": snapshot in person.redacted}
            for snapshot, where in person.shown.items()
        ],
        "runs": [{"name": run.name, "folder": run.folder, "snapshot": run.snapshot_id} for run in plan.runs],
        "recipes": list(plan.recipes),
        "outputs": [{"kind": each.kind, "path": each.path, "snapshot": each.snapshot_id} for each in plan.outputs],
    }


def said_of(done: Forgotten) -> Iterator[str]:
    """The lines about what was done."""
    yield f"tombstone {done.tombstone}"
    parts = f"{done.rewritten} parts and tables and {done.shards} shards"
    yield f"{done.photos} photos, {parts} were rewritten without them"
    if done.unsaid:
        yield f"{done.unsaid} facts about others in the journal named them: these stay without the words"
    yield from map(str, (*done.outputs, *done.runs))
    for namesake in done.namesakes:
        yield f"{namesake} bears the same name: later builds leave them out, too, and until then the proof finds it"
    for tag in done.tags:
        yield f"a tag that bore the name is called {tag} now"
    for snapshot in done.redacted:
        yield f"snapshot {snapshot} held them and is redacted"
    if done.published is not None:
        yield f"snapshot {done.published} is the current one"


def mends(done: Sequence[Forgotten], left: Sequence[str], root: str) -> Iterator[str]:
    """What to do about traces that forgetting has left: lines of `voxdata verify --forgotten`."""
    folders = {line.split("/")[0] for line in left if "/" in line.split(":")[0]}
    if "recipes" in folders:
        yield f"a recipe names a source under a folder or site of that name: {_RECIPE} --root {root}"
    namesakes = any(each.namesakes for each in done)
    if namesakes:
        yield f"rows of a namesake go with the next voxdata build, then voxdata gc --older-than 0 --root {root}"
    if "runs" in folders:
        yield f"a run's name or files bear the name: rename or delete them under {root}/runs"
    if folders - {"recipes", "runs"} and not namesakes:
        yield "files that are named above and are not ours: rename or delete them"
    yield f"when that is mended, prove it with: voxdata verify --forgotten --root {root}"


def delete_artifacts(runs: Sequence[TrainingRun]) -> bool:
    """Delete the pictures of runs that a Prefect server keeps; False where it does not answer."""
    if not runs:
        return True
    from flows.artifacts import delete_samples

    names = [run.name for run in runs]
    try:
        deleted = delete_samples(names)
    except BackendError as error:
        print(f"{error}; it may hold sample pictures of {', '.join(names)}: delete these artifacts", file=sys.stderr)
        return False
    if deleted:
        print(f"{deleted} artifacts with sample pictures are deleted from the Prefect server")
    return True


def judge_again(champions: Sequence[TrainingRun]) -> None:
    """The test split has a new version, without the person: figures over the old one are gone."""
    for run in champions:
        again = f"voxdata evaluate {run.folder}"
        try:
            from flows.runs import evaluate_run

            evaluate_run(run.folder)
        except (VoxdataError, TrainingError, OSError) as error:
            print(f"champion {run.name} could not be judged again: {error}; run: {again}", file=sys.stderr)
        else:
            print(f"champion {run.name} was judged again on the test set without them")


def _shows(where: list[str]) -> str:
    known = [each for each in where if each != GONE]
    shows = f"shows them in {', '.join(known)}" if known else ""
    gone = "is no longer whole, so it may have shown them" if GONE in where else ""
    return "; ".join(part for part in (shows, gone) if part)
