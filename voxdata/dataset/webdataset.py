"""A ready `webdataset` pipeline over the shards of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import webdataset as wds

from voxdata.format.errors import ShardError
from voxdata.format.files import LocalFiles
from voxdata.format.members import check_lengths
from voxdata.format.sidecar import SOUND
from voxdata.format.snapshot import ShardEntry


@dataclass(frozen=True)
class _Others:
    """Samples of other keys; a class, as workers that are spawned get it pickled."""

    left_out: frozenset[str]

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        return sample["__key__"] not in self.left_out


def _sound(data: bytes) -> Any:
    from voxdata.dataset.sound import decoded  # brings decoders, which shards without sound do without

    return decoded(data)


def pipeline(
    files: LocalFiles, shards: Sequence[ShardEntry], *, shuffle: int, seed: int, left_out: frozenset[str]
) -> wds.WebDataset:
    """Shards, split among nodes and DataLoader workers, as decoded samples but those of some keys; see
    `Dataset.webdataset`."""
    check_lengths(files, shards)
    if not shards:
        raise ShardError(f"no shard of this split and kind under {files.url}; list them: voxdata sql --query splits")
    decoded = wds.WebDataset(
        [str(files.local(entry.tar)) for entry in shards],
        shardshuffle=len(shards) if shuffle else False,
        nodesplitter=wds.split_by_node,
        empty_check=False,
        seed=seed,
    )
    if left_out:
        decoded = decoded.select(_Others(left_out))
    if shuffle:
        decoded = decoded.shuffle(shuffle, seed=seed)
    return decoded.decode(wds.handle_extension(SOUND, _sound), "pilrgb")
