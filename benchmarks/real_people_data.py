"""Data of `real_people.py`: one root of real people, a snapshot per fold, and what voices and judges say of everybody.

Everything is kept in a folder, and what is there is not made again. Shapes: N people, D measurements, E embedding.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from accuracy.speaker import ENCODER, encoder
from real_people_eyes import embeddings, open_judge
from real_people_power import Pool, deal
from real_training import NAMED, inputs

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.evaluate.metrics import FloatArray, IntArray, group_means
from models.evaluate.voice_regression import measure_voices
from voxdata.format.atomic import write_atomic, write_json
from voxdata.format.reader import Reader
from voxdata.people.identities import bucket_of
from voxdata.speech.decode import SAMPLE_RATE_HZ, decode
from voxdata.speech.resampling import resample

MEL, PRETRAINED = "mel", "pretrained"
FRONT_ENDS = (MEL, PRETRAINED)
MEL_FRONT_END, SIDE_PX = "torch40", 128
RECIPE = {
    "faces.pose.max_angle_deg": 60,
    "faces.pose.max_roll_deg": 45,
    "faces.resolution.min_pupil_distance_px": 16,
    "faces.expression.rule": "none",
    "faces.expression.min_eyes_open": 0,
    "faces.lighting.min_evenness": 0,
    "faces.lighting.max_highlight_share": 1,
    "faces.lighting.max_shadow_share": 1,
    "faces.lighting.min_skin_level": 0,
    "faces.sharpness.min_sharpness": 0,
    "faces.render.max_head_cut": "null",
    "faces.select.min_per_identity": 1,
    "splits.val_share": 0,
    "splits.test_share": 0,
    "splits.holdout_share": 0,
    "speech.measure.front_ends": f"[{MEL_FRONT_END}]",
    "speech.pack.audio": "flac",
    "speech.pack.audio_part": "speech",
    "shards.buckets_per_shard": 1,
}
"""Video frames of people who talk, as they are, but for covered faces; a shard per bucket, so that folds share them."""


def build(data: Path, folder: Path) -> str:
    """Link both sets into one layout and build it; returns the snapshot's id. Raises `CalledProcessError`."""
    noted = folder / "snapshot.txt"
    if not noted.exists():
        for kind, identity, path in inputs(data):
            link = folder / "input" / kind / identity / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(path)
        settings = RECIPE | {
            "sources.photos.path": folder / "input" / "photos",
            "sources.speech.path": folder / "input" / "speech",
            "sources.metadata.path": data / NAMED / "vox1_meta.csv",
        }
        pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [
            sys.executable,
            "-m",
            "flows.cli",
            "build",
            "voxceleb-folder",
            "--root",
            str(folder / "root"),
            *pairs,
        ]
        subprocess.run(command, check=True, env={**os.environ, "PREFECT_HOME": str(folder / "prefect")})
        (built,) = (folder / "root").glob("snapshots/*.json")
        write_atomic(noted, lambda file: file.write(built.stem.encode()))
    return noted.read_text()


def folds_of(reader: Reader, seed: int) -> Mapping[int, int]:
    """Bucket of people -> fold: a person is in one fold, as all of their bucket are."""
    buckets = sorted({entry.first_bucket for entry in reader.shards("speech")})
    return dict(zip(buckets, deal(len(buckets), seed).tolist(), strict=True))


def fold_snapshot(root: Path, identifier: str, fold: int, seed: int) -> str:
    """The id of a version of the same shards in which the people of one fold are the test split."""
    whole = open_snapshot(root, identifier)
    fold_of = folds_of(whole, seed)
    shards = [
        dataclasses.replace(entry, split="test" if fold_of.get(entry.first_bucket, -1) == fold else "train")
        for entry in whole.snapshot.shards
    ]
    named = f"{identifier[:12]}{seed % 256:02x}{fold:02x}"
    version = dataclasses.replace(whole.snapshot, id=named, shards=shards)
    write_json(root / "snapshots" / f"{named}.json", version.to_json())
    return named


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """Everybody (N): ids, sexes, fold, voices (N, D) by front end, real unit embeddings (N, E) by judge."""

    people: tuple[str, ...]
    sexes: tuple[str, ...]
    fold: IntArray
    voices: Mapping[str, FloatArray]
    real: Mapping[str, FloatArray]

    def pool(self, front_end: str, judge: str) -> Pool:
        """What a voice regression needs."""
        return Pool(voice=self.voices[front_end], real=self.real[judge], sexes=self.sexes)


def material(data: Path, folder: Path, identifier: str, judges: Mapping[str, Path], seed: int) -> Material:
    """Measure everybody once. Raises `TrainingError`, `WeightsError`."""
    path, root = folder / "material.npz", folder / "root"
    reader = open_snapshot(root, identifier)
    if not path.exists():
        store = Store(
            reader,
            split="train",
            front_end=MEL_FRONT_END,
            side_px=SIDE_PX,
            cache=root / "cache",
            device=torch.device("cpu"),
        )
        owner = np.repeat(np.arange(len(store.people)), store.face_groups.count)
        images = store.images(np.arange(len(store.faces)))
        kept = {
            "people": np.asarray(store.people),
            "sexes": np.asarray(store.sexes),
            MEL: measure_voices(store),
            PRETRAINED: _speakers(reader, store.people, data / "weights" / ENCODER),
        }
        for name, file in judges.items():
            kept[name] = group_means(embeddings(open_judge(name, file), images), owner, len(store.people))
        write_atomic(path, lambda file: np.savez(file, **kept))
    fold_of = folds_of(reader, seed)
    with np.load(path) as found:
        people = tuple(str(person) for person in found["people"])
        return Material(
            people=people,
            sexes=tuple(str(sex) for sex in found["sexes"]),
            fold=np.asarray([fold_of[bucket_of(person)] for person in people], np.int64),
            voices={front_end: found[front_end] for front_end in FRONT_ENDS},
            real={judge: found[judge] for judge in judges},
        )


def _speakers(reader: Reader, people: list[str], file: Path) -> FloatArray:
    """Mean of the OpenVoice encoder's vectors over the speech of everybody's clips (N, 256)."""
    embed = encoder(file, resample)
    heard: dict[str, list[FloatArray]] = {person: [] for person in people}
    for member in reader.sounds("train"):
        if member.person in heard:
            sound = reader.files.read_range(reader.snapshot.shards[member.shard].tar, member.offset, member.size)
            heard[member.person].append(embed(decode(sound).samples, SAMPLE_RATE_HZ))
    return np.stack([np.mean(heard[person], axis=0) for person in people])
