"""A tiny snapshot, written by hand after the format that `voxdata/format/` describes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from models.training.config import RunConfig, make_config

N_MELS = 40
SMALL_NETWORKS: dict[str, Any] = {
    "encoder_channels": [16, 16, 16, 16, 32],
    "decoder_channels": [24, 16, 12, 8],
    "discriminator_channels": [8, 8, 16],
    "discriminator_hidden": 16,
    "batch_size": 8,
    "fuser_steps": 3,
    "embedder_steps": 10,
    "crop_s": [0.4, 0.5],
    "window_s": 0.5,
    "speech_s": [1.0, 2.0],
}


@dataclass(frozen=True)
class TinySnapshot:
    """Where the snapshot lies, and what its people were made of."""

    root: Path
    id: str
    traits: dict[str, np.ndarray]

    def config(self, run_dir: Path, **changes: Any) -> RunConfig:
        over = {**SMALL_NETWORKS, **changes.pop("overrides", {})}
        base = {"root": str(self.root), "snapshot": self.id, "run_dir": str(run_dir), "steps": 6, "device": "cpu"}
        return make_config(
            {**base, "overrides": over, "log_every": 5, "checkpoint_every": 4, "checkpoint_seconds": 0.0, **changes}
        )


def portrait(trait: np.ndarray, rng: np.random.Generator, side: int = 96) -> bytes:
    """A noisy square whose colour is the person's first three traits."""
    colour = 40 + 160 * trait[:3]
    image = np.full((side, side, 3), 255.0)
    image[side // 8 : -side // 8, side // 4 : -side // 4] = colour
    noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=95)
    return out.getvalue()


def log_mel(trait: np.ndarray, rng: np.random.Generator, frames: int) -> bytes:
    """Noise around a spectrum that depends linearly on the person's traits."""
    bins = np.arange(N_MELS) / N_MELS
    spectrum = sum(t * np.cos(np.pi * (k + 1) * bins) for k, t in enumerate(trait))
    out = io.BytesIO()
    np.save(out, (10 + 3 * spectrum[:, None] + rng.normal(0, 0.5, (N_MELS, frames))).astype(np.float16))
    return out.getvalue()


def speaker_vectors(trait: np.ndarray, values: int) -> bytes:
    """Unit vectors of three windows, which are the person's traits and zeros."""
    vector = np.zeros(values)
    vector[: len(trait)] = trait / np.linalg.norm(trait)
    out = io.BytesIO()
    np.save(out, np.repeat(vector[:, None], 3, axis=1).astype(np.float16))
    return out.getvalue()


def write_shard(root: Path, split: str, kind: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Write one tar and its sidecar; a sample is its columns and `files`: suffix -> bytes."""
    rows, buffer = [], io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            columns = {key: value for key, value in sample.items() if key != "files"}
            for suffix, data in sample["files"].items():
                info = tarfile.TarInfo(f"{sample['key']}.{suffix}")
                info.size = len(data)
                offset = buffer.tell() + 512
                tar.addfile(info, io.BytesIO(data))
                rows.append(
                    {
                        "key": sample["key"],
                        "member": info.name,
                        "suffix": suffix,
                        "offset": offset,
                        "size": len(data),
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "split": split,
                        "kind": kind,
                        **columns,
                    }
                )
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    stem = f"shards/{split}-{kind}-b0000-b4095-{digest[:16]}"
    (root / "shards").mkdir(parents=True, exist_ok=True)
    (root / f"{stem}.tar").write_bytes(buffer.getvalue())
    pq.write_table(pa.Table.from_pylist(rows), root / f"{stem}.parquet")
    return {
        "tar": f"{stem}.tar",
        "sidecar": f"{stem}.parquet",
        "split": split,
        "kind": kind,
        "first_bucket": 0,
        "last_bucket": 4095,
        "samples": len(samples),
        "members": len(rows),
        "bytes": len(buffer.getvalue()),
        "sha256": digest,
    }


def _photo(folders: Mapping[str, Sequence[str]] | None, person: str, n: int) -> dict[str, str]:
    return {} if folders is None else {"source_key": f"{person}/photos/{n:05d}.jpg"}


def _clip(folders: Mapping[str, Sequence[str]] | None, split: str, n: int) -> dict[str, str]:
    if folders is None:
        return {}
    names = folders.get(split, [""])
    return {"video": f"{names[n % len(names)]}/video{n}".lstrip("/"), "segment": f"{n:05d}"}


def write_snapshot(
    root: Path,
    people: dict[str, int],
    *,
    normalisation: bool | str = False,
    seed: int = 5,
    identifier: str = "tiny0001",
    folders: Mapping[str, Sequence[str]] | None = None,
    encoder: Mapping[str, Any] | None = None,
) -> TinySnapshot:
    """Write a snapshot with `people[split]` people: 2 portraits and 3 utterances each, one of them held out.

    With `folders` sidecars say where samples come from, as those of a build do: `<person>/photos/0000<n>.jpg`, and
    clip n of a split from `<person>/<folder>/video<n>/0000<n>.wav`, the folders taken in turn.
    With `encoder`, what the snapshot states of it, clips have vectors of that name beside their log-mels, too.
    """
    rng = np.random.default_rng(seed)
    shards, traits = [], {}
    for split, count in people.items():
        faces, speech = [], []
        for index in range(count):
            person = f"{split}{index:03d}"
            traits[person] = rng.random(4)
            who = {"identity": person, "person": person, "bucket": 0, "sex": "mf"[index % 2]}
            faces += [
                {
                    "key": f"{person}/{n}",
                    **who,
                    **_photo(folders, person, n),
                    "files": {"jpg": portrait(traits[person], rng), "json": b"{}"},
                }
                for n in range(2)
            ]
            speech += [
                {
                    "key": f"{person}/v_{n}",
                    **who,
                    **_clip(folders, split, n),
                    "holdout": n == 2,
                    "files": {"json": b"{}", "torch40.npy": log_mel(traits[person], rng, int(rng.integers(60, 180)))},
                }
                for n in range(3)
            ]
            if encoder is not None:
                for clip in speech[-3:]:
                    clip["files"][f"{encoder['name']}.npy"] = speaker_vectors(traits[person], encoder["n_mels"])
        if count:
            shards += [write_shard(root, split, "faces", faces), write_shard(root, split, "speech", speech)]
    front_end: dict[str, Any] = {"n_mels": N_MELS, "hop_s": 0.01}
    if normalisation:
        front_end["normalisation"] = {"mean": 10.0, "std": 2.0}
        if isinstance(normalisation, str):
            front_end["normalisation"]["kind"] = normalisation
    about: dict[str, Any] = {
        "recipe": {},
        "recipe_hash": "",
        "code_version": "",
        "counts": {},
        "tables": {},
        "versions": {},
    }
    named = {"format": 1, "id": identifier, "name": "tiny", **about}
    front_ends = {"torch40": front_end} | ({} if encoder is None else {encoder["name"]: encoder})
    document = {**named, "shards": shards, "front_ends": front_ends}
    (root / "snapshots").mkdir(parents=True)
    (root / "snapshots" / f"{identifier}.json").write_text(json.dumps(document))
    return TinySnapshot(root=root, id=identifier, traits=traits)
