"""The flow `redecide`: rules applied again to what a finished build measured, with changed limits and new reviews.

    faces.link -> faces.decide -> faces.render (faces that pass now and did not before) -> faces.decide (final)
          -> speech of people who had no portraits before -> speech.decide -> split -> pack -> publish

Nothing is crawled and no face is measured. The tasks are those of `build-hq-voxceleb`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from prefect import flow, task

from flows.build import (
    STAGE_OPTIONS,
    choose_portraits,
    decide_faces,
    decide_speech,
    finish,
    link_faces,
    list_identities,
)
from flows.runners import open_runner
from voxdata.catalog.published_recipe import build_command, redecided_recipe
from voxdata.catalog.snapshot import load_snapshot, published_tables
from voxdata.faces.decide import decide as decide_faces_table
from voxdata.format.digests import digest
from voxdata.format.errors import DecisionError, SourceError
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline import steps
from voxdata.pipeline.progress import speak_up
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, plan, rows_of
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import commit_table, parquet_table
from voxdata.store.locks import building
from voxdata.store.storage import Storage, open_storage
from voxdata.tables.schemas import RENDERS

carry_speech = task(name="speech.carry", **STAGE_OPTIONS)(steps.carry_speech)


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


@flow(name="redecide", persist_result=False, validate_parameters=True)
def redecide(root: str, settings: list[str] | None = None, dry_run: bool = False) -> Redecision:
    """Decide again under `root` with `key=value` pairs on top of the current snapshot's recipe, and publish.

    `dry_run` publishes nothing, renders nothing and listens to nothing. Raises `DecisionError` for settings that need
    new measurements, `SourceError` where the speech of a new person cannot be read.
    """
    speak_up()
    storage = open_storage(root)
    root = root if "://" in root else str(Path(root).absolute())
    snapshot = load_snapshot(storage)
    before = {stage: keys[0] for stage, keys in published_tables(storage, snapshot).items() if len(keys) > 0}
    recipe = redecided_recipe(storage, snapshot, settings or [])
    for stage, table in (("crawl", "photos"), ("speech.find", "utterance_files"), ("identities", "identities")):
        before[table] = steps.with_current_people(storage, stage, before[table])
    _refuse_unmeasured(storage, snapshot, recipe, before["photos"], settings or [])
    if dry_run:
        return _preview(storage, root, recipe, snapshot, before)
    with building(storage), open_runner(recipe.work) as runner:
        keys = {"photos": before["photos"], **choose_portraits(root, recipe, before["photos"], runner)}
        keys |= _speech(storage, root, recipe, keys, before)
        published = finish(root, recipe, keys, runner)
    return _compare(storage, recipe, before, keys, (snapshot.id, published), [])


def _refuse_unmeasured(
    storage: Storage, snapshot: Snapshot, recipe: Recipe, photos_key: str, settings: Sequence[str]
) -> None:
    todo = plan(FACES_MEASURE, storage, recipe, photos_key).todo
    if todo:
        raise DecisionError(
            f"{todo} photos of snapshot {snapshot.id} were measured by another version of the code or of a model; "
            f"measure them with: {build_command(storage, snapshot, settings)}"
        )


def _speech(
    storage: Storage, root: str, recipe: Recipe, keys: Mapping[str, str], before: Mapping[str, str]
) -> dict[str, str]:
    try:
        clips = carry_speech(root, recipe, keys, before, search=True)
    except SourceError as error:
        new = set(steps.portrait_people(storage, recipe, keys)) - set(steps.portrait_people(storage, recipe, before))
        raise SourceError(
            f"{len(new)} people newly have portraits, the first is {min(new)}, and their speech cannot be read: "
            f"{error}; bring the folder back, or say where it is now: "
            f"{build_command(storage, load_snapshot(storage))} --set sources.speech.path=FOLDER"
        ) from None
    identities = before["identities"]
    if not _within(storage, clips, before["utterance_files"]):
        identities = list_identities(root, recipe, keys["photos"], clips)
    return {"utterance_files": clips, "identities": identities}


def _within(storage: Storage, clips_key: str, earlier_key: str) -> bool:
    clips, earlier = (set(parquet_table(storage.read(key))["item_id"].to_pylist()) for key in (clips_key, earlier_key))
    return clips <= earlier


def _preview(storage: Storage, root: str, recipe: Recipe, snapshot: Snapshot, before: Mapping[str, str]) -> Redecision:
    """What would change if every face that passes now could be rendered."""
    links = link_faces(root, recipe, before["photos"])
    first = decide_faces(root, recipe, before["photos"], links, rendered=False)
    faces = steps.measured_faces(storage, recipe, before["photos"])
    renders = rows_of(FACES_RENDER, storage, recipe, faces["face_id"], RENDERS).select(["face_id", "render_status"])
    chosen = parquet_table(storage.read(first)).filter(pc.field("candidate"))["face_id"]
    missing = chosen.filter(pc.invert(pc.is_in(chosen, value_set=renders["face_id"].combine_chunks()))).combine_chunks()
    assumed = pa.table({"face_id": missing, "render_status": pa.array(["ok"] * len(missing), pa.string())})
    reviews, opted_out, forgotten = steps.journalled(storage, recipe, before["photos"])
    verdicts = decide_faces_table(
        faces,
        parquet_table(storage.read(links)),
        recipe.faces,
        renders=pa.concat_tables([renders, assumed]),
        reviews=reviews,
        opted_out=opted_out,
        forgotten=forgotten,
    )
    key = commit_table(storage, "faces.preview", digest([first, verdicts["verdict"].to_pylist()]), verdicts)
    keys = {"photos": before["photos"], "links": links, "face_verdicts": key}
    keys["utterance_files"] = carry_speech(root, recipe, keys, before, search=False)
    keys["utterance_verdicts"] = decide_speech(root, recipe, keys["utterance_files"])
    people, earlier = (set(steps.portrait_people(storage, recipe, named)) for named in (keys, before))
    notes = [f"dry run: {len(missing)} faces are not rendered yet and are taken to succeed; nothing was published"]
    if people - earlier:
        notes.append(f"the speech of {len(people - earlier)} people who newly have portraits is not counted")
    return _compare(storage, recipe, before, keys, (snapshot.id, None), notes)


def _compare(
    storage: Storage,
    recipe: Recipe,
    before: Mapping[str, str],
    after: Mapping[str, str],
    snapshots: tuple[str, str | None],
    notes: Sequence[str],
) -> Redecision:
    rows = []
    for kind, table in (("faces", "face_verdicts"), ("speech", "utterance_verdicts")):
        old, new = (_outcomes(parquet_table(storage.read(keys[table]))) for keys in (before, after))
        names = sorted({*old, *new}, key=lambda name: (name == "kept", -max(old.get(name, 0), new.get(name, 0)), name))
        rows += [_row({"kind": kind, "outcome": name}, old.get(name, 0), new.get(name, 0)) for name in names]
    old_faces, new_faces = (
        steps.portrait_faces(storage, recipe, keys["photos"], keys["face_verdicts"]) for keys in (before, after)
    )
    people = (len(pc.unique(faces["person"])) for faces in (old_faces, new_faces))
    totals = [
        _row({"what": "people with portraits"}, *people),
        _row({"what": "portraits"}, old_faces.num_rows, new_faces.num_rows),
    ]
    if snapshots[1] is not None:
        of_old, of_new = (load_snapshot(storage, identifier).counts.values() for identifier in snapshots if identifier)
        for what, count in (("people in the snapshot", "identities"), ("its utterances", "utterances")):
            totals.append(_row({"what": what}, *(sum(split[count] for split in each) for each in (of_old, of_new))))
    return Redecision(
        before=snapshots[0],
        snapshot=snapshots[1],
        funnel=pa.Table.from_pylist(rows),
        totals=pa.Table.from_pylist(totals),
        notes=notes,
    )


def _outcomes(verdicts: pa.Table) -> dict[str, int]:
    """Items per outcome, as the view `funnel` counts them."""
    outcome = pc.fill_null(verdicts["reason"], "kept")
    if "portrait" in verdicts.column_names:
        outcome = pc.if_else(verdicts["portrait"], "kept", outcome)
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(outcome).to_pylist()}


def _row(named: dict[str, str], before: int, after: int) -> dict[str, str | int]:
    return {**named, "before": before, "after": after, "change": f"{after - before:+d}" if after != before else ""}
