"""Repairing a root: pack broken shards again from the fragments they were made of, and nothing else.

A broken tar or sidecar is replaced only by the bytes that its snapshot names; until they are there, it stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from voxdata.catalog.drift import catalog_drift
from voxdata.catalog.publish import rebuild
from voxdata.catalog.published_recipe import build_command, recipe_of
from voxdata.catalog.repair import BrokenShard, broken_shards, drop_broken_parts, forget_packing
from voxdata.catalog.snapshot import list_snapshots, published_tables
from voxdata.format.errors import ShardError, StorageError, VoxdataError
from voxdata.pipeline.packing import pack_range
from voxdata.pipeline.progress import progress
from voxdata.pipeline.stages import FACES_RENDER, SPEECH_AUDIO, SPEECH_MEASURE
from voxdata.store.locks import building
from voxdata.store.storage import Storage


def repaired(storage: Storage, root: str) -> tuple[int, list[str]]:
    """Make broken shards and a broken catalog whole; how many shards are, and a line about each that is not."""
    with building(storage, "a repair"):
        broken = broken_shards(storage, list_snapshots(storage))
        left = _packed_again(storage, broken)
        if list(catalog_drift(storage)):
            rebuild(storage)
            print("catalog.duckdb: rebuilt")
    return len(broken) - len(left), left


def _packed_again(storage: Storage, broken: Sequence[BrokenShard]) -> list[str]:
    """Pack each shard again; what is left to say about those that cannot be."""
    left = []
    with progress("repair", len(broken)) as advance:
        for each in broken:
            try:
                _pack_again(storage, each)
                print(f"{each.entry.tar}: packed again")
            except VoxdataError as error:
                left.append(f"{each.entry.tar}: {error}")
            advance(1)
    return left


def _pack_again(storage: Storage, broken: BrokenShard) -> None:
    entry, snapshot = broken.entry, broken.snapshot
    recipe = recipe_of(storage, snapshot)
    keys = {stage: named[0] for stage, named in published_tables(storage, snapshot).items() if named}
    forget_packing(storage, entry)
    try:
        packed = pack_range(storage, recipe, keys, entry.kind, entry.split, entry.first_bucket, entry.last_bucket)
    except (ShardError, StorageError, KeyError) as error:
        stages = [FACES_RENDER] if entry.kind == "faces" else [SPEECH_MEASURE]
        stages += [SPEECH_AUDIO] if entry.kind == "speech" and recipe.speech.pack.has_audio else []
        parts = [part for each in stages for part in drop_broken_parts(storage, each.store(storage, recipe), entry)]
        if not parts and not isinstance(error, KeyError):
            raise
        raise ShardError(
            f"its fragments are damaged or gone; {len(parts)} damaged parts were deleted, the next build computes them "
            f"again: {build_command(storage, snapshot)}"
        ) from error
    tars = [each["tar"] for each in packed]
    if tars != [entry.tar]:
        raise ShardError(
            f"packing gives {' and '.join(tars) or 'nothing'} now: another version of the code or other "
            f"fragments; make a new snapshot with: {build_command(storage, snapshot)}"
        )
