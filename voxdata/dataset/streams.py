"""A ready `webdataset` pipeline over the shards of a split."""

from __future__ import annotations

from collections.abc import Sequence

import webdataset as wds

from voxdata.dataset.members import check_lengths
from voxdata.format.errors import ShardError
from voxdata.shards.write import ShardEntry
from voxdata.store.storage import LocalStorage


def stream(storage: LocalStorage, shards: Sequence[ShardEntry], *, shuffle: int, seed: int) -> wds.WebDataset:
    """Shards, split among nodes and DataLoader workers, as decoded samples; see `Dataset.webdataset`."""
    check_lengths(storage, shards)
    if not shards:
        raise ShardError(f"no shard of this split and kind under {storage.url}; list them: voxdata sql --query splits")
    pipeline = wds.WebDataset(
        [str(storage.local(entry.tar)) for entry in shards],
        shardshuffle=len(shards) if shuffle else False,
        nodesplitter=wds.split_by_node,
        empty_check=False,
        seed=seed,
    )
    if shuffle:
        pipeline = pipeline.shuffle(shuffle, seed=seed)
    return pipeline.decode("pilrgb")
