"""Mean and deviation of the log-mels of the training split: what a reader needs to normalise, never applied here.

Sums per band are taken shard by shard over the stored float16 values, in the order of the tar, in float64, and kept
under `fragments/normalisation/<shard>.json`; a shard's name holds its content's hash, so they are never stale. Clips
that are held out of training do not count.

A snapshot says, per front end:

    kind        what the reader does: `global` (one mean and deviation), `utterance` (those of each clip's own bands)
    mean, std   of all bands together; those of a front end's released code, with `source: published`
    measured    mean and std of all bands together on this training split
    bins        mean and std per band on this training split
    frames, split
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.json_text import read_object
from voxdata.format.members import TarFiles
from voxdata.format.normalise import MIN_STD
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import ShardEntry
from voxdata.store.storage import Storage

SPLIT = "train"
Sums = npt.NDArray[np.float64]


def normalisation_again(
    storage: Storage, shards: Sequence[ShardEntry], name: str, said: Mapping[str, Any]
) -> dict[str, Any] | None:
    """`normalisation` over other shards, of the kind that was said before: the front end need not be installed."""
    published = {key: said[key] for key in ("mean", "std")} if said.get("source") == "published" else None
    return normalisation(storage, shards, name, published=published, per_utterance=said["kind"] == "utterance")


def normalisation(
    storage: Storage,
    shards: Sequence[ShardEntry],
    front_end: str,
    *,
    published: Mapping[str, float] | None = None,
    per_utterance: bool = False,
) -> dict[str, Any] | None:
    """What a snapshot of these shards says about normalising `front_end`; None where nobody has it to train on."""
    training = sorted((shard for shard in shards if (shard.kind, shard.split) == ("speech", SPLIT)), key=_name)
    found = [sums[front_end] for sums in (shard_sums(storage, shard) for shard in training) if front_end in sums]
    if not found:
        return None
    frames = sum(int(each["frames"]) for each in found)
    sum_F = np.sum([each["sum"] for each in found], axis=0)
    square_F = np.sum([each["square"] for each in found], axis=0)
    mean_F, mean = sum_F / frames, float(sum_F.mean() / frames)
    measured = {"mean": mean, "std": _std(square_F.mean() / frames - mean**2)}
    return {
        "kind": "utterance" if per_utterance else "global",
        "source": "measured" if published is None else "published",
        **(measured if published is None else published),
        "measured": measured,
        "bins": {"mean": mean_F.tolist(), "std": [_std(value) for value in square_F / frames - mean_F**2]},
        "frames": frames,
        "split": SPLIT,
    }


def shard_sums(storage: Storage, shard: ShardEntry) -> dict[str, dict[str, Any]]:
    """Front end -> frames, sum and sum of squares per band (F,) of a speech shard; computed once for each shard."""
    key = f"fragments/normalisation/{_name(shard)}.json"
    if storage.exists(key):
        with suppress(ValueError):  # damaged: it is added up again
            return read_object(storage.read(key))
    storage.commit(key, json.dumps(_add_up(storage, shard), sort_keys=True).encode())
    return read_object(storage.read(key))


def _add_up(storage: Storage, shard: ShardEntry) -> dict[str, dict[str, Any]]:
    totals: dict[str, tuple[int, Sums, Sums]] = {}
    members = read_sidecar(storage, shard.sidecar, ("key", "suffix", "member", "offset", "size", "holdout"))
    ordered = members.sort_by([("key", "ascending"), ("suffix", "ascending")]).to_pylist()
    rows = [row for row in ordered if row["suffix"].endswith(".npy") and not row["holdout"]]
    tars = TarFiles(storage, storage.ahead([(shard.tar, row["offset"], row["size"]) for row in rows]))
    for row in rows:
        name = row["suffix"].removesuffix(".npy")
        data = tars.read(shard.tar, row["member"], row["offset"], row["size"])
        mel_FT = np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64)
        frames, sum_F, square_F = totals.get(name, (0, np.zeros(len(mel_FT)), np.zeros(len(mel_FT))))
        sums = sum_F + mel_FT.sum(axis=1), square_F + np.einsum("ft,ft->f", mel_FT, mel_FT)
        totals[name] = (frames + mel_FT.shape[1], *sums)
    return {
        name: {"frames": frames, "sum": sum_F.tolist(), "square": square_F.tolist()}
        for name, (frames, sum_F, square_F) in totals.items()
    }


def _std(variance: float) -> float:
    return max(float(np.sqrt(max(variance, 0.0))), MIN_STD)


def _name(shard: ShardEntry) -> str:
    return shard.tar.rpartition("/")[2].removesuffix(".tar")
