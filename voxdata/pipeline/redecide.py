"""Rules applied again to what a finished build measured, with changed limits and new reviews.

    faces.link -> faces.decide -> faces.render (faces that pass now and did not before) -> faces.decide (final)
          -> speech of people who had no portraits before -> speech.decide -> split
          -> speech.audio (of clips that are packed now and were not before, where it is asked for) -> pack -> publish

Nothing is crawled and no face is measured. From the portraits on, the steps are those of a build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.published_recipe import build_command, redecided_recipe
from voxdata.catalog.snapshot import load_snapshot, published_tables
from voxdata.format.errors import DecisionError, SourceError, counted
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline import steps
from voxdata.pipeline.build import choose_portraits, finish
from voxdata.pipeline.face_verdicts import Decision
from voxdata.pipeline.linking import link_faces
from voxdata.pipeline.measured import MeasuredFaces, portrait_people, render_states
from voxdata.pipeline.outcomes import KEPT, asks_for_speech, outcomes, packed_people, packed_portraits
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE, plan
from voxdata.pipeline.unpublished import attempted, keys_of, settle
from voxdata.recipe.sections import Recipe
from voxdata.store.locks import building
from voxdata.store.storage import Storage, open_storage
from voxdata.store.stored_table import read_table


@dataclass(frozen=True, kw_only=True)
class Redecision:
    """What changed: the funnel and the totals before and after, and what a reader must know about them.

    `funnel` has the columns kind, outcome, before, after, change; `totals` has what, before, after, change.
    `snapshot` is the id of the new snapshot, None after a dry run.
    """

    before: str
    snapshot: str | None
    funnel: pa.Table
    totals: pa.Table
    notes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished build that is to be decided again: its snapshot, the recipe with what changed on top of it, and the
    keys of its tables."""

    storage: Storage
    snapshot: Snapshot
    recipe: Recipe
    keys: Mapping[str, str]


def open_finished(root: str, settings: Sequence[str], *, unpublished: bool = False) -> Finished:
    """Read the current snapshot of a root, with `key=value` pairs on top of its recipe.

    With `unpublished`, read what a build without a version has measured. Raises `DecisionError` for settings that need
    new measurements, `RecipeError`, `SnapshotError`, `StorageError`.
    """
    storage = open_storage(root)
    if unpublished:
        left = settle(storage)
        snapshot, keys = left.as_snapshot(), keys_of(left)
    else:
        snapshot = load_snapshot(storage)
        keys = {stage: named[0] for stage, named in published_tables(storage, snapshot).items() if len(named) > 0}
    recipe = redecided_recipe(storage, snapshot, settings)
    for stage, table in (("crawl", "photos"), ("speech.find", "utterance_files"), ("identities", "identities")):
        if table in keys:
            keys[table] = steps.with_current_people(storage, stage, keys[table])
    todo = plan(FACES_MEASURE, storage, recipe, keys["photos"], recipe.work.workers).todo
    if todo:
        raise DecisionError(
            f"{todo} photos of snapshot {snapshot.id} were measured by another version of the code or of a model; "
            f"measure them with: {build_command(storage, snapshot, settings)}"
        )
    return Finished(storage=storage, snapshot=snapshot, recipe=recipe, keys=keys)


def redecide(finished: Finished, runner: Runner) -> Redecision:
    """Decide again and publish. Raises `SourceError` where the speech of a new person cannot be read."""
    storage, recipe = finished.storage, finished.recipe
    known = {"photos": finished.keys["photos"]}
    with building(storage, "a redecision"), attempted(storage, recipe, known) as attempt:
        attempt.has(FACES_MEASURE)
        choose_portraits(storage, recipe, attempt, runner)
        attempt.note(**_speech(finished, attempt.keys, runner))
        published = finish(storage, recipe, attempt, runner)
    notes = _holdout_notes(finished, published)
    return _compare(finished, attempt.keys, packed_people(storage, recipe, attempt.keys), published, notes)


def preview(finished: Finished, runner: Runner) -> Redecision:
    """What would change if every face that passes now could be rendered; publishes, renders and listens to nothing."""
    storage, recipe, before = finished.storage, finished.recipe, finished.keys
    faces = MeasuredFaces(storage, recipe, before["photos"])
    links = link_faces(storage, recipe, faces, runner)
    decision = Decision(storage, recipe, faces, links, runner)
    chosen = read_table(storage, decision.first()).filter(pc.field("candidate"))
    renders = render_states(storage, recipe, chosen)
    there = pc.is_in(chosen["face_id"], value_set=renders["face_id"].combine_chunks())
    missing = chosen["face_id"].filter(pc.invert(there)).combine_chunks()
    assumed = pa.table({"face_id": missing, "render_status": pa.array(["ok"] * len(missing), pa.string())})
    key = decision.assumed(pa.concat_tables([renders, assumed]))
    keys = {"photos": before["photos"], "links": links, "face_verdicts": key}
    unheard = set(portrait_people(storage, keys))
    if "utterance_files" in before:
        carried = runner.step("speech.carry", steps.carry_speech, storage, recipe, keys, before, search=False)
        keys["utterance_files"] = carried
        keys["utterance_verdicts"] = runner.step("speech.decide", steps.decide_speech, storage, recipe, carried)
        unheard = _new_people(storage, keys, before) if recipe.speech.who == "portraits" else set()
    notes = [f"dry run: {len(missing)} faces are not rendered yet and are taken to succeed; nothing was published"]
    if unheard and asks_for_speech(recipe):
        notes.append(
            f"{counted(len(unheard), 'person newly has', 'people newly have')} portraits and are taken to have speech, "
            "which is not counted: nobody has listened to it yet"
        )
    notes += _holdout_notes(finished, None)
    return _compare(finished, keys, packed_people(storage, recipe, keys) | unheard, None, notes)


def _holdout_notes(finished: Finished, published: str | None) -> list[str]:
    """What becomes of a snapshot of a version that knew no `splits.holdout_by` and drew clip by clip."""
    storage, before = finished.storage, finished.snapshot
    if "holdout_by" in before.recipe.get("splits", {}) or finished.recipe.splits.holdout_by == "clip":
        return []
    said, back = "holdout is drawn by video, no longer by clip", "to draw as before: --set splits.holdout_by=clip"
    if published is None:
        return [f"{said}; {back}"]
    old, new = (_training_clips(storage, each) for each in (before, load_snapshot(storage, published)))
    both = [(old[key], new[key]) for key in old.keys() & new.keys()]
    were, are, moved = sum(a for a, _ in both), sum(b for _, b in both), sum(a != b for a, b in both)
    return [f"{said}: of {len(both)} training clips {were} were held out and {are} are, {moved} changed sides; {back}"]


def _training_clips(storage: Storage, snapshot: Snapshot) -> dict[str, bool]:
    """utterance_id -> whether it is held out."""
    shards = [entry for entry in snapshot.shards if (entry.kind, entry.split) == ("speech", "train")]
    tables = [read_sidecar(storage, entry.sidecar, ("key",), where_there=("holdout",)) for entry in shards]
    return {row["key"]: bool(row.get("holdout")) for table in tables for row in table.to_pylist()}


def _speech(finished: Finished, keys: Mapping[str, str], runner: Runner) -> dict[str, str]:
    storage, recipe, before = finished.storage, finished.recipe, finished.keys
    if "utterance_files" not in before:  # a build was stopped before it looked for speech
        found = {"utterance_files": runner.step("speech.find", steps.find_speech, storage, recipe, keys)}
        return {
            **found,
            "identities": runner.step("identities", steps.list_identities, storage, recipe, {**keys, **found}),
        }
    try:
        clips = runner.step("speech.carry", steps.carry_speech, storage, recipe, keys, before, search=True)
    except SourceError as error:
        new = _new_people(storage, keys, before)
        raise SourceError(
            f"{counted(len(new), 'person newly has', 'people newly have')} portraits, the first is {min(new)}, "
            f"and their speech cannot be read: "
            f"{error}; bring the folder back, or say where it is now: "
            f"{build_command(storage, finished.snapshot)} --set sources.speech.path=FOLDER"
        ) from None
    found = {"utterance_files": clips, "identities": before["identities"]}
    if not _clips(storage, clips) <= _clips(storage, before["utterance_files"]):
        found["identities"] = runner.step("identities", steps.list_identities, storage, recipe, {**keys, **found})
    return found


def _new_people(storage: Storage, keys: Mapping[str, str], before: Mapping[str, str]) -> set[str]:
    """People who have portraits now and had none before."""
    return set(portrait_people(storage, keys)) - set(portrait_people(storage, before))


def _clips(storage: Storage, key: str) -> set[str]:
    return set(read_table(storage, key, ["item_id"])["item_id"].to_pylist())


def _compare(
    finished: Finished, after: Mapping[str, str], people_after: set[str], published: str | None, notes: Sequence[str]
) -> Redecision:
    storage = finished.storage
    people_before = packed_people(storage, finished.recipe, finished.keys)
    versions = ((finished.keys, people_before), (after, people_after))
    counts_of = [outcomes(storage, keys, people) for keys, people in versions]
    rows = []
    for kind in counts_of[0]:
        old, new = (counts[kind] for counts in counts_of)
        names = sorted({*old, *new}, key=lambda name: (name == KEPT, -max(old[name], new[name]), name))
        rows += [_row({"kind": kind, "outcome": name}, old[name], new[name]) for name in names]
    old_faces, new_faces = (packed_portraits(storage, keys, people) for keys, people in versions)
    people = (len(pc.unique(faces["person"])) for faces in (old_faces, new_faces))
    totals = [
        _row({"what": "people with portraits"}, *people),
        _row({"what": "portraits"}, old_faces.num_rows, new_faces.num_rows),
    ]
    if published is not None:
        published_ones = (finished.snapshot, load_snapshot(storage, published))
        for what, count in (("people in the snapshot", "identities"), ("its utterances", "utterances")):
            totals.append(_row({"what": what}, *(each.total(count) for each in published_ones)))
    return Redecision(
        before=finished.snapshot.id,
        snapshot=published,
        funnel=pa.Table.from_pylist(rows),
        totals=pa.Table.from_pylist(totals),
        notes=notes,
    )


def _row(named: dict[str, str], before: int, after: int) -> dict[str, str | int]:
    return {**named, "before": before, "after": after, "change": f"{after - before:+d}" if after != before else ""}
