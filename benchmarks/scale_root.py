"""A root of generated rows: the Parquet files of a build, the sidecars of its shards, and its snapshot; no tars."""

from __future__ import annotations

import hashlib
import itertools
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scale_data import ScaleData

from voxdata.catalog.snapshot import write_snapshot
from voxdata.faces.decide import decide
from voxdata.format.sidecar import SIDECAR
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.recipe.sections import Recipe
from voxdata.shards.sidecars import FACE_SIDECAR, SPEECH_SIDECAR
from voxdata.shards.write import plan_ranges
from voxdata.store.fragments import Fragment, FragmentStore, commit_table, parquet_bytes
from voxdata.store.storage import LocalStorage, Storage
from voxdata.tables.schemas import RENDERS

RECIPE = Recipe.model_validate(
    {
        "name": "scale",
        "shards": {"buckets_per_shard": 64},
        "faces": {"select": {"min_per_identity": 1, "max_per_identity": 3}},
    }
)
PER_BUCKET = ("faces", "renders", "utterances")
MEMBERS = {"faces": ("jpg", "json"), "speech": ("json", "torch40.npy", "torch64.npy")}
SIZES = {"jpg": 20_000, "json": 400, "torch40.npy": 64_128, "torch64.npy": 102_528}


def peak_gb() -> float:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def cpu_s() -> float:
    """CPU seconds of this process and of those that it has started and that have ended, all threads."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


@contextmanager
def watching_catalogs() -> Iterator[list[float]]:
    """Look at the processes that this one starts to build catalogs; the most memory of any in GB, in a list of one."""
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            for listed in Path("/proc/self/task").glob("*/children"):
                with suppress(OSError):
                    peak[0] = max([peak[0], *map(_catalog_gb, listed.read_text().split())])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _catalog_gb(process: str) -> float:
    folder = Path("/proc", process)
    with suppress(OSError, StopIteration):
        if b"voxdata.catalog.apart" in (folder / "cmdline").read_bytes():
            lines = (folder / "status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6
    return 0.0


class UnsyncedStorage(LocalStorage):
    """A local root that leaves it to the system when files reach the disk: for roots that nobody will miss."""

    def commit(self, key: str, data: bytes) -> None:
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def build_root(storage: Storage, data: ScaleData) -> Snapshot:
    """Commit all tables and sidecars, and return the snapshot of them."""
    faces, links = data.faces(), data.links()
    candidates = decide(faces, links, RECIPE.faces)
    renders = rendered(faces.filter(candidates["candidate"]))
    verdicts = decide(faces, links, RECIPE.faces, renders=renders)
    given = {
        "identities": data.identities,
        "splits": data.splits,
        "photos": data.photos(),
        "faces": faces,
        "links": links,
        "face_verdicts": verdicts,
        "renders": renders,
        "utterances": data.utterances(),
        "utterance_files": data.utterance_files(),
        "utterance_verdicts": data.utterance_verdicts(),
    }
    tables = {name: _committed(storage, name, table) for name, table in given.items()}
    portraits = faces.filter(verdicts["portrait"])
    speech = given["utterances"].filter(pa.array(data.kept))
    shards = [
        *_sidecars(storage, data, "faces", portraits.append_column("key", portraits["face_id"]), FACE_SIDECAR),
        *_sidecars(storage, data, "speech", speech.append_column("key", speech["utterance_id"]), SPEECH_SIDECAR),
    ]
    return write_snapshot(
        storage, recipe=RECIPE, code_version="0", shards=shards, front_ends={}, tables=tables, versions={}
    )


def _committed(storage: Storage, stage: str, table: pa.Table) -> list[str]:
    """One file of a stage over the whole dataset; a part per bucket of one that measures bucket by bucket."""
    if stage not in PER_BUCKET:
        return [commit_table(storage, stage, "scale", table)]
    table = table.combine_chunks()
    buckets = table["bucket"].to_numpy()
    edges = np.flatnonzero(np.diff(buckets, prepend=-1, append=-1))
    store = FragmentStore(storage, stage, "scale")
    return [
        store.append(int(buckets[first]), Fragment(table.slice(first, last - first)))
        for first, last in itertools.pairwise(edges.tolist())
    ]


def rendered(faces: pa.Table) -> pa.Table:
    """`schemas.RENDERS` of faces, all of them well rendered."""
    count = faces.num_rows
    columns = {
        "item_id": faces["face_id"],
        **{name: faces[name] for name in ("face_id", "identity", "person", "bucket", "photo_sha256")},
        "render_status": pa.repeat("ok", count),
        "size_px": pa.repeat(pa.scalar(256, pa.int32()), count),
        "scale": pa.repeat(pa.scalar(0.5, pa.float32()), count),
        "format": pa.repeat("jpg", count),
    }
    return _fitted(columns, count, RENDERS)


def _sidecars(storage: Storage, data: ScaleData, kind: str, rows: pa.Table, schema: pa.Schema) -> Iterator[ShardEntry]:
    where = pc.index_in(rows["person"], value_set=data.splits["person"])
    rows = rows.append_column("split", data.splits["split"].take(where))
    for first, last in plan_ranges(RECIPE.shards.buckets_per_shard):
        here = rows.filter((pc.field("bucket") >= first) & (pc.field("bucket") <= last))
        for split in ("train", "val", "test"):
            chosen = here.filter(pc.field("split") == split).sort_by("key")
            if chosen.num_rows:
                yield _sidecar(storage, kind, split, (first, last), chosen, schema)


def _sidecar(
    storage: Storage, kind: str, split: str, span: tuple[int, int], samples: pa.Table, schema: pa.Schema
) -> ShardEntry:
    suffixes = MEMBERS[kind]
    count = samples.num_rows * len(suffixes)
    rows = samples.take(np.repeat(np.arange(samples.num_rows), len(suffixes)))
    suffix = pa.array(list(suffixes) * samples.num_rows)
    sizes = np.array([SIZES[name] for name in suffixes] * samples.num_rows)
    words = np.random.default_rng(span[0]).bytes(32 * count).hex()
    columns = {
        **{name: rows[name] for name in rows.column_names},
        "member": pc.binary_join_element_wise(rows["key"], suffix, "."),
        "suffix": suffix,
        "offset": pa.array(np.cumsum(-(-sizes // 512) * 512 + 512) + sizes // -512 * 512),
        "size": pa.array(sizes),
        "sha256": pa.array([words[64 * n : 64 * n + 64] for n in range(count)]),
        "kind": pa.repeat(kind, count),
        "holdout": pa.repeat(False, count),
    }
    data = parquet_bytes(_fitted(columns, count, pa.schema([*SIDECAR, *schema])))
    sha256 = hashlib.sha256(data).hexdigest()
    stem = f"shards/{split}-{kind}-b{span[0]:04d}-b{span[1]:04d}-{sha256[:16]}"
    storage.commit(f"{stem}.parquet", data)
    return ShardEntry(
        tar=f"{stem}.tar",
        sidecar=f"{stem}.parquet",
        split=split,
        kind=kind,
        first_bucket=span[0],
        last_bucket=span[1],
        samples=samples.num_rows,
        members=count,
        bytes=int(sizes.sum()),
        sha256=sha256,
    )


def packed_sidecar(storage: Storage, kind: str, split: str, span: tuple[int, int], samples: pa.Table) -> ShardEntry:
    """Commit the sidecar of a shard of these samples, whose rows have `key` and `split`; there is no tar."""
    return _sidecar(storage, kind, split, span, samples, FACE_SIDECAR if kind == "faces" else SPEECH_SIDECAR)


def _fitted(columns: dict[str, pa.Array], count: int, schema: pa.Schema) -> pa.Table:
    nulls = {field.name: pa.nulls(count, field.type) for field in schema if field.name not in columns}
    return pa.table({name: (columns | nulls)[name] for name in schema.names}).cast(schema)
