"""The last two stages of a build: pack finished samples into shards, and publish the snapshot and its catalog."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.publish import publish as publish_catalog
from voxdata.catalog.published_recipe import commit_recipe
from voxdata.catalog.snapshot import write_snapshot
from voxdata.faces.columns import stated
from voxdata.format.digests import digest
from voxdata.format.errors import BuildStoppedError, ShardError
from voxdata.format.snapshot import ShardEntry
from voxdata.people import splits
from voxdata.people.merging import ALIASES
from voxdata.pipeline.measured import audio_rows, kept_files, kept_rows, portrait_rows, render_rows
from voxdata.pipeline.outcomes import asks_for_speech, outcomes
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_AUDIO, SPEECH_MEASURE, Stage
from voxdata.recipe.sections import Recipe
from voxdata.shards.sidecars import FACE_SIDECAR, PHOTO_COLUMNS, SPEECH_SIDECAR, VERDICT_COLUMNS, WHO_COLUMNS
from voxdata.shards.write import Member, Sample, divide, pack, plan_ranges
from voxdata.speech.normalisation import SPLIT, shard_sums
from voxdata.store.fragments import FragmentStore, commit_table
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.speech import front_end_columns

MOST_TASKS = 128  # as `Stage.most_tasks`


def plan_packing(storage: Storage, recipe: Recipe, keys: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """The shards that may have samples, in runs that a task packs: kind, split and bucket range of each.

    Stops the build when there are none.
    """
    people = _people(storage, keys)
    if not people:
        faces, clips = (_said(counts) for counts in outcomes(storage, keys, ()).values())
        select = recipe.faces.select
        ask = ""
        if select.reviewed == "required":
            ask = "; faces.select.reviewed = required: reviewers choose, run: voxdata review --root DIR --unpublished"
        least = "a portrait" if select.min_per_identity == 1 else f"{select.min_per_identity} portraits"
        needed = f"{least} and speech" if asks_for_speech(recipe) else least
        raise BuildStoppedError(f"nobody is left: no person has {needed}; faces: {faces}; clips: {clips}{ask}")
    wanted = []
    for first, last in plan_ranges(recipe.shards.buckets_per_shard):
        here = {row["split"] for row in people.values() if first <= row["bucket"] <= last}
        for split in sorted(here):
            wanted += [
                {"kind": kind, "split_name": split, "first": first, "last": last} for kind in ("faces", "speech")
            ]
    per_task = -(-len(wanted) // MOST_TASKS)
    return [wanted[start : start + per_task] for start in range(0, len(wanted), per_task)]


def pack_ranges(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], ranges: list[dict[str, Any]]
) -> list[list[dict[str, Any]]]:
    """`pack_range` of each of these ranges, one after the other. Runs in a worker process."""
    return [pack_range(storage, recipe, keys, **each) for each in ranges]


def pack_range(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], kind: str, split_name: str, first: int, last: int
) -> list[dict[str, Any]]:
    """Write the shards of a range, one unless the recipe has a target size; return their entries."""
    people = {
        identity: row
        for identity, row in _people(storage, keys).items()
        if row["split"] == split_name and first <= row["bucket"] <= last
    }
    measured = [stage.store(storage, recipe).folder for _, stage in _stages(recipe)]
    with storage.listed(*measured, ALIASES):
        samples = (_face_samples if kind == "faces" else _speech_samples)(storage, recipe, keys, people)
    target = recipe.shards.target_mb
    target_bytes = math.inf if target is None else target * 1e6
    entries = []
    for low, high, here in divide(samples, first, last, target_bytes):
        entry = pack(
            storage,
            kind="faces" if kind == "faces" else "speech",
            split=split_name,
            first_bucket=low,
            last_bucket=high,
            samples=here,
            schema=FACE_SIDECAR if kind == "faces" else SPEECH_SIDECAR,
        )
        if entry is not None and (kind, split_name) == ("speech", SPLIT):
            shard_sums(storage, entry)
        entries += [] if entry is None else [entry.to_json()]
    return entries


def publish(storage: Storage, recipe: Recipe, keys: Mapping[str, str], entries: list[dict[str, Any]]) -> str:
    """Write the snapshot of these shards, swap the catalog in, and return the snapshot's id."""
    tables = {name: [keys[name]] for name in keys}
    for name, stage in _stages(recipe):
        tables[name] = stage.store(storage, recipe).live()
    shards = [ShardEntry(**entry) for entry in entries]
    snapshot = write_snapshot(
        storage,
        recipe=recipe,
        code_version=version("voxdata"),
        shards=shards,
        front_ends=_front_ends(storage, recipe, shards),
        tables=tables,
        versions={name: version(name) for name in ("mediapipe", "opencv-python", "torch", "webrtcvad-wheels")},
        measures=stated(recipe.faces.measure.model_dump(mode="json")),
    )
    publish_catalog(
        storage,
        snapshot.id,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        tables=tables,
        recipe=commit_recipe(storage, recipe),
    )
    return snapshot.id


def packed_clips(storage: Storage, keys: Mapping[str, str]) -> str:
    """The clips that shards are to hold (`schemas.UTTERANCE_FILES`): those that are kept, of people in the dataset."""
    kept = kept_files(storage, keys)
    chosen = kept.filter(pc.is_in(kept["identity"], value_set=pa.array(sorted(_people(storage, keys)), pa.string())))
    name = digest([keys["utterance_files"], chosen["item_id"].to_pylist(), chosen["person"].to_pylist()])
    key = f"fragments/speech.packed/{name}.parquet"
    return key if storage.exists(key) else commit_table(storage, "speech.packed", name, chosen)


def _stages(recipe: Recipe) -> list[tuple[str, Stage]]:
    """The stages whose parts a snapshot of this recipe names, by the names that it has for them."""
    found = [("faces", FACES_MEASURE), ("renders", FACES_RENDER), ("utterances", SPEECH_MEASURE)]
    return [*found, ("clip_audio", SPEECH_AUDIO)] if recipe.speech.pack.has_audio else found


def _front_ends(storage: Storage, recipe: Recipe, shards: list[ShardEntry]) -> dict[str, dict[str, Any]]:
    """Front end -> what it is, and how to normalise it."""
    from voxdata.speech.front_ends.front_end import stated  # brings torch, which a worker that packs can do without

    settings = recipe.speech.measure
    return {name: stated(storage, shards, name, settings) for name in settings.front_ends}


def _people(storage: Storage, keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """identity -> split and bucket, of those who are in the dataset."""
    identities = read_table(storage, keys["identities"])
    buckets = dict(zip(identities["identity"].to_pylist(), identities["bucket"].to_pylist(), strict=True))
    chosen = splits.split_of_identities(identities, read_table(storage, keys["splits"]))
    return {identity: {"split": split, "bucket": buckets[identity]} for identity, split in chosen.items()}


def _said(counts: Counter[str]) -> str:
    """Items per outcome, the most frequent first."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "none"


def _who(storage: Storage, keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    rows = read_table(storage, keys["identities"]).to_pylist()
    return {row["identity"]: {name: row[name] for name in WHO_COLUMNS} for row in rows}


def _face_samples(storage: Storage, recipe: Recipe, keys: Mapping[str, str], people: Mapping[str, Any]) -> list[Sample]:
    buckets = sorted({row["bucket"] for row in people.values()})
    faces = portrait_rows(storage, recipe, keys, buckets)
    renders = {row["item_id"]: row for row in render_rows(storage, recipe, faces, buckets).to_pylist()}
    verdicts = _by(read_table(storage, keys["face_verdicts"]), "face_id", faces["face_id"])
    photos = _by(read_table(storage, keys["photos"]), "item_id", faces["item_id"])
    who = _who(storage, keys)
    chosen = []
    for row in faces.to_pylist():
        if row["identity"] not in people:
            continue
        face_id = row["face_id"]
        sources = (row, renders[face_id], who[row["identity"]])
        merged = {name: value for source in sources for name, value in source.items()}
        merged |= {name: verdicts[face_id][name] for name in VERDICT_COLUMNS}
        merged |= {name: photos[row["item_id"]][name] for name in PHOTO_COLUMNS}
        chosen.append((face_id, merged))
    return _samples(FACES_RENDER.store(storage, recipe), chosen, FACE_SIDECAR)


def _speech_samples(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], people: Mapping[str, Any]
) -> list[Sample]:
    buckets = sorted({row["bucket"] for row in people.values()})
    kept = kept_rows(storage, recipe, keys, buckets)
    clips = [row for row in kept.to_pylist() if row["identity"] in people]
    sounds = _sounds(storage, recipe, kept, buckets) if recipe.speech.pack.has_audio else None
    who = _who(storage, keys)
    training = [row for row in clips if people[row["identity"]]["split"] == "train"]
    held_out = {row["utterance_id"] for row in splits.holdouts(training, recipe.splits).to_pylist() if row["holdout"]}
    chosen = []
    for row in clips:
        if not row["members"]:
            continue
        merged = {**row, **front_end_columns(row), **who[row["identity"]]}
        merged["holdout"] = row["utterance_id"] in held_out
        merged["members"] = [*row["members"], *_sound_of(row, sounds)] if sounds is not None else row["members"]
        chosen.append((row["utterance_id"], merged))
    return _samples(SPEECH_MEASURE.store(storage, recipe), chosen, SPEECH_SIDECAR)


def _sounds(
    storage: Storage, recipe: Recipe, clips: pa.Table, buckets: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """item_id -> its member with the sound, and the part in which that lies; none of a clip that ended its worker."""
    rows = audio_rows(storage, recipe, clips, buckets).to_pylist()
    return {row["item_id"]: [{**each, "part": row["part"]} for each in row.get("members") or ()] for row in rows}


def _sound_of(clip: Mapping[str, Any], sounds: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    if clip["item_id"] not in sounds:
        raise ShardError(
            f"{clip['utterance_id']}: speech.pack.audio asks for its sound, and fragments/{SPEECH_AUDIO.name} has no "
            "row of it; run: voxdata build"
        )
    return sounds[clip["item_id"]]


def _by(table: pa.Table, column: str, wanted: pa.ChunkedArray) -> dict[str, dict[str, Any]]:
    rows = table.filter(pc.is_in(table[column], value_set=pc.unique(wanted))).to_pylist()
    return {row[column]: row for row in rows}


def _samples(store: FragmentStore, chosen: Sequence[tuple[str, Mapping[str, Any]]], schema: pa.Schema) -> list[Sample]:
    """Samples of keys and rows, whose members lie in the stage's parts, or in the part that they name themselves.

    They are packed in the order of their keys, their members in that of their suffixes.
    """
    spans = [
        (member.get("part", row["part"]), member["offset"], member["size"])
        for _, row in sorted(chosen, key=lambda each: each[0])
        for member in sorted(row["members"], key=lambda each: str(each["suffix"]))
    ]
    read = store.blobs(spans)
    return [
        Sample(
            key=key,
            members={
                member["suffix"]: Member(
                    partial(read, member.get("part", row["part"]), member["offset"], member["size"]),
                    member["sha256"],
                    member["size"],
                )
                for member in row["members"]
            },
            row={name: row[name] for name in schema.names},
        )
        for key, row in chosen
    ]
