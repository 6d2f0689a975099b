"""The process that stands for the workers in `full_scale.py`: it commits rows that a worker would have measured.

Rows are generated (`scale_data.py`), prints and embeddings bucket by bucket. A bucket gets the one part that a task
leaves; every 32nd bucket is written as a worker does, a part after every few items, which are then compacted.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scale_data import ScaleData
from scale_prints import draw, fitted
from scale_root import packed_sidecar, rendered

from voxdata.faces.copies import PRINT_PX
from voxdata.pipeline import packing
from voxdata.pipeline.measured import kept_rows, portrait_rows
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, STAGES, Done, Stage, plan, work_on
from voxdata.recipe.sections import Recipe
from voxdata.speech.normalisation import SPLIT
from voxdata.store.compaction import compact
from voxdata.store.fragments import Fragment, FragmentStore, chunks, commit_table, parquet_table
from voxdata.store.storage import Storage

WIDTH = 128  # of an embedding
AS_A_WORKER = 32  # of so many buckets one is written part by part

_scale = 1.0


def begin(scale: float) -> None:
    """What this process writes rows of."""
    global _scale
    _scale = scale


@cache
def _data() -> ScaleData:
    return ScaleData(_scale)


@cache
def _faces() -> tuple[pa.Table, Any, Any]:
    """Rows without prints, embeddings (N, 128) of those that were measured, and of each row which that is, or -1."""
    data = _data()
    faces = data.faces().combine_chunks()
    embeddings, rows = data.embeddings(WIDTH)
    place = np.full(faces.num_rows, -1)
    place[rows] = np.arange(len(rows))
    return faces, embeddings, place


@cache
def _prints() -> Any:
    return fitted()


@cache
def _clips() -> pa.Table:
    return _data().utterances().combine_chunks()


@cache
def _candidates(storage: Storage, key: str) -> pa.Table:
    return rendered(parquet_table(storage.read(key)).sort_by("bucket")).combine_chunks()


def manifests(storage: Storage) -> dict[str, str]:
    """Commit the manifests of photos and clips; their keys."""
    data = _data()
    return {
        "photos": commit_table(storage, "crawl", "scale", data.photos()),
        "utterance_files": commit_table(storage, "speech.find", "scale", data.utterance_files()),
    }


def tasks(stage_name: str, storage: Storage, recipe: Recipe, key: str, cores: Sequence[int]) -> dict[int, list[int]]:
    """Cores -> the items of each task that the build forms for as many workers, in their order."""
    stage = STAGES[stage_name]
    items = Counter(parquet_table(storage.read(key), ["bucket"])["bucket"].to_pylist())
    return {
        count: [sum(items[bucket] for bucket in run) for run in plan(stage, storage, recipe, key, count).tasks]
        for count in cores
    }


def call(function: Callable[..., Any], told: Mapping[str, Any]) -> tuple[Any, int, float]:
    """The answer of a worker to this call, the items it did, and the CPU seconds that it took here.

    What only reads tables is called; what would look at pixels or samples writes rows instead.
    """
    ready = {work_on: _write, packing.pack_ranges: _pack}.get(function, function)
    if function is work_on:
        _rows_of(STAGES[told["stage_name"]], told["storage"], told["key"])
    cpu = time.process_time()
    done = ready(**told)
    if function is work_on:  # what generating cost is not the worker's
        done, generating = done
        cpu += generating
    return done, done.items if isinstance(done, Done) else 0, time.process_time() - cpu


def _write(
    stage_name: str, storage: Storage, recipe: Recipe, key: str, buckets: tuple[int, ...], **_: Any
) -> tuple[Done, float]:
    stage = STAGES[stage_name]
    store = stage.store(storage, recipe)
    rows = _rows_of(stage, storage, key)
    edges = np.searchsorted(rows["bucket"].to_numpy(), [[bucket, bucket + 1] for bucket in buckets])
    count, generating = 0, 0.0
    for bucket, (low, high) in zip(buckets, edges.tolist(), strict=True):
        cpu = time.process_time()
        here = rows.slice(low, high - low)
        if stage is FACES_MEASURE:
            here = _with_prints(here, low, high)
        generating += time.process_time() - cpu
        _commit(stage, store, recipe, bucket, here)
        count += len(here)
    return Done(items=count, fingerprint=store.fingerprint), generating


def _commit(stage: Stage, store: FragmentStore, recipe: Recipe, bucket: int, rows: pa.Table) -> None:
    size = recipe.work.items_per_part if bucket % AS_A_WORKER == 0 else max(1, rows.num_rows)
    for part in chunks(range(rows.num_rows), size):
        store.append(bucket, Fragment(rows.slice(part[0], len(part))).from_bytes())
    compact(store, bucket, stage.status)


def _rows_of(stage: Stage, storage: Storage, key: str) -> pa.Table:
    if stage is FACES_MEASURE:
        return _faces()[0]
    return _candidates(storage, key) if stage is FACES_RENDER else _clips()


def _with_prints(faces: pa.Table, low: int, high: int) -> pa.Table:
    _, embeddings, place = _faces()
    mean, root, _ = _prints()
    at = place[low:high]
    measured = np.flatnonzero(at >= 0)
    rng = np.random.default_rng(low)
    prints = np.zeros((high - low, PRINT_PX**2), np.uint8)
    prints[measured] = draw(mean, root, len(measured), rng, np.flatnonzero(rng.random(len(measured)) < 0.02)[1:])
    kind = pa.binary(PRINT_PX**2)
    drawn = pa.FixedSizeBinaryArray.from_buffers(kind, high - low, [None, pa.py_buffer(prints)])
    lists = pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(at >= 0)]) * WIDTH, pa.int32()),
        pa.array(embeddings[at[measured]].ravel(), pa.float32()),
        mask=pa.array(at < 0),
    )
    for name, column in (("face_print", drawn), ("embedding", lists)):
        field = faces.schema.field(name)
        known = pc.if_else(pa.array(at >= 0), column, pa.scalar(None, column.type)) if name == "face_print" else column
        faces = faces.set_column(faces.schema.get_field_index(name), field, known.cast(field.type))
    return faces


def _pack(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], ranges: list[dict[str, Any]]
) -> list[list[dict[str, Any]]]:
    """Sidecars of the samples that a build would pack, and no tars."""
    return [_pack_range(storage, recipe, keys, **each) for each in ranges]


def _pack_range(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], kind: str, split_name: str, first: int, last: int
) -> list[dict[str, Any]]:
    everybody = _people(storage, keys["identities"], keys["splits"]).items()
    people = {n: row for n, row in everybody if row["split"] == split_name and first <= row["bucket"] <= last}
    buckets = sorted({row["bucket"] for row in people.values()})
    rows = (portrait_rows if kind == "faces" else kept_rows)(storage, recipe, keys, buckets)
    inside = pc.is_in(rows["identity"], value_set=pa.array(people, pa.string()))  # joined buckets bring others
    rows = rows.filter(inside)
    if not rows.num_rows:
        return []
    rows = rows.append_column("key", rows["face_id" if kind == "faces" else "utterance_id"])
    rows = rows.append_column("split", pa.repeat(split_name, rows.num_rows)).sort_by("key").combine_chunks()
    entry = packed_sidecar(storage, kind, split_name, (first, last), rows)
    if (kind, split_name) == ("speech", SPLIT):
        frames = 1000 * rows.num_rows
        sums = {
            name: {"frames": frames, "sum": [11.0 * frames] * 40, "square": [131.0 * frames] * 40}
            for name in recipe.speech.measure.front_ends
        }
        stem = entry.tar.rpartition("/")[2].removesuffix(".tar")
        storage.commit(f"fragments/normalisation/{stem}.json", json.dumps(sums).encode())
    return [entry.to_json()]


@cache
def _people(storage: Storage, identities: str, splits: str) -> dict[str, dict[str, Any]]:
    return packing._people(storage, {"identities": identities, "splits": splits})


def kept_clips(storage: Storage, key: str) -> int:
    """How many clips the verdicts under `key` keep."""
    return parquet_table(storage.read(key), ["verdict"])["verdict"].to_pylist().count("keep")
