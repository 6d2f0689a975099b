"""The parts of the manifest that need a build: what two recipes make of a corpus, and ten steps of every system."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.manifest import doors
from tests.manifest.answers import answered
from tests.manifest.still import by_split

NAMED_BY_PLACE = ("utterance_files", "utterance_verdicts")  # clips stay where they are, so their paths are hashed
PAIRS = 24
FRAMES = 100
SIGNIFICANT_DIGITS = 5
TIMES = ("elapsed_s", "steps_per_s", "step", "stage")
PEOPLE = {"people": 14, "photos": 5, "clips": 4, "seed": 3}


@dataclass(frozen=True, kw_only=True)
class Build:
    """One version that is built: the recipe and its settings beside the sources."""

    name: str
    recipe: str
    settings: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Ten steps of a system, over its stages, on a front end of a build."""

    system: str
    build: int
    front_end: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


SIMULATED = (
    Build(name="demo", recipe="demo", settings=["splits.val_share=0.2", "splits.test_share=0.3"]),
    Build(
        name="three-front-ends",
        recipe="voxceleb-folder",
        settings=[
            "speech.measure.front_ends=[torch40,psf40,sphinx64]",
            "faces.pose.max_angle_deg=12",
            "faces.select.min_per_identity=1",
            "faces.select.max_per_identity=2",
            "splits.rule=paper",
            "splits.holdout_share=0.3",
        ],
    ),
)
"""The second measures faces anew (another frontal pitch) and finds the portraits of the first rendered."""
REAL = (
    Build(
        name="real",
        recipe="voxceleb-folder",
        settings=[
            "speech.measure.front_ends=[torch40,torch64,psf40,sphinx64]",
            "faces.pose.max_angle_deg=30",
            "faces.resolution.min_pupil_distance_px=20",
            "faces.expression.max_smile=2",
            "faces.expression.max_mouth_open=1",
            "faces.expression.max_expression=4",
            "faces.lighting.min_evenness=0.1",
            "faces.select.min_per_identity=1",
            "splits.val_share=0.1",
            "splits.test_share=0.2",
        ],
    ),
)
"""What video frames of people who talk need."""
TRAININGS = (
    Training(system="sf2f", build=0, front_end="torch40", numbers={"steps": 7, "fuser_steps": 3}),
    Training(system="avp_gan", build=0, front_end="torch64", numbers={"speaker_steps": 4, "steps": 6}),
    Training(system="voice2face", build=-1, front_end="sphinx64", numbers={"speaker_steps": 4, "steps": 6}),
    Training(
        system="align", build=0, front_end="torch40", numbers={"align_steps": 5, "steps": 5, "align_batch_size": 8}
    ),
    Training(system="enhance", build=0, front_end="torch40", numbers={"steps": 10}),
)
EVERY_TRAINING = {"batch_size": 8, "embedder_steps": 10}


def parts(folder: Path, data: Path | None = None) -> dict[str, Any]:
    """Simulate people (or take those of `data`), build both versions under `folder/root`, and train."""
    sources, builds = ("corpus", SIMULATED) if data is None else (str(data / "voxceleb1-mini"), REAL)
    if data is None:
        doors.simulate(folder, **PEOPLE)
    versions = []
    for each in builds:
        doors.build(folder, each.recipe, [*_sources(sources), *each.settings])
        with doors.open_dataset(folder / "root") as dataset:
            versions.append(dataset.id)
    found = {each.name: _version(folder, each, identifier) for each, identifier in zip(builds, versions, strict=True)}
    comparing = _comparisons(folder / "root", versions) if len(versions) > 1 else {}
    return {"builds": found, "comparisons": comparing, "trainings": _trainings(folder, versions)}


def _sources(corpus: str) -> list[str]:
    return [
        f"sources.photos.path={corpus}/photos",
        f"sources.speech.path={corpus}/wav",
        f"sources.metadata.path={corpus}/vox1_meta.csv",
        "work.workers=2",
    ]


def _version(folder: Path, build: Build, identifier: str) -> dict[str, Any]:
    """Everything about one version."""
    root = folder / "root"
    with doors.open_dataset(root, identifier) as dataset:
        tables = dataset.sql(
            "SELECT DISTINCT table_name FROM information_schema.tables WHERE table_catalog = current_database()"
        ).fetchall()
        answers = {name: answered(dataset.sql(f'FROM "{name}"').arrow()) for (name,) in sorted(tables)}
        named = {
            name: answered(dataset.sql(sql).arrow()) for name, sql in doors.queries().items() if "before." not in sql
        }
        shards = [path for entry in dataset.snapshot.shards for path in (entry.tar, entry.sidecar)]
        portraits = dataset.portraits()
        return {
            "snapshot": identifier,
            "fingerprints": doors.fingerprints(build.recipe, build.settings),
            "committed_tables": _committed(dataset.snapshot.tables),
            "shards": {path: _sha256((root / path).read_bytes()) for path in sorted(shards)},
            "sidecar_columns": {
                entry.kind: [f"{each.name} {each.type}" for each in pq.read_schema(root / entry.sidecar)]
                for entry in dataset.snapshot.shards
            },
            "splits": by_split(dict(_columns(portraits, "person", "split"))),
            "held_out": sorted(key for key, kept in _columns(dataset.utterances(), "key", "holdout") if kept),
            "front_ends": {
                name: _sha256(json.dumps(front_end, sort_keys=True).encode())
                for name, front_end in sorted(dataset.snapshot.front_ends.items())
            },
            "tables": answers,
            "queries": named,
            "pairs": {
                f"{split} {front_end}": _pairs(dataset, folder, split, front_end)
                for split in sorted(set(portraits["split"].to_pylist()))
                for front_end in sorted(dataset.snapshot.front_ends)
            },
        }


def _columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _committed(tables: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Stage -> how many parts, and their keys without the buckets of a pixel stage, unless a place is in their hash."""
    return {
        stage: {"parts": len(keys)}
        | ({} if stage in NAMED_BY_PLACE else {"keys": sorted({re.split(r"/b\d{4}/", key)[0] for key in keys})})
        for stage, keys in sorted(tables.items())
    }


def _comparisons(root: Path, versions: Sequence[str]) -> dict[str, Any]:
    first, last = versions[0], versions[-1]
    return {
        name: answered(doors.ask(root, sql, last, first)) for name, sql in doors.queries().items() if "before." in sql
    }


def _pairs(dataset: Any, folder: Path, split: str, front_end: str) -> dict[str, str]:
    """Digests of a batch of an epoch: portraits, log-mels as stored and normalised, and who they are."""
    digests: dict[str, str] = {}
    for normalise in ("none", "stated"):
        pairs = dataset.pairs(
            split, seed=1, front_end=front_end, frames=FRAMES, length=PAIRS, cache=folder / "cache", normalise=normalise
        )
        batch = pairs[list(range(PAIRS))]
        digests[f"mel {normalise}"] = _sha256(batch["mel"].numpy().tobytes())
    digests["portrait"] = _sha256(batch["portrait"].numpy().tobytes())
    digests["keys"] = _sha256(json.dumps([pairs.keys(index) for index in range(PAIRS)]).encode())
    return digests


def _trainings(folder: Path, versions: Sequence[str]) -> dict[str, Any]:
    """Ten steps of each system, two systems at a time."""
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(lambda each: doors.train(_run(folder, versions, each), folder), TRAININGS))
    return {training.system: _losses(each) for training, each in zip(TRAININGS, lines, strict=True)}


def _run(folder: Path, versions: Sequence[str], training: Training) -> dict[str, Any]:
    return {
        "root": str(folder / "root"),
        "snapshot": versions[training.build],
        "run_dir": str(folder / "runs" / training.system),
        "cache_dir": str(folder / "cache"),
        "system": training.system,
        "overrides": {**EVERY_TRAINING, **training.numbers},
        "front_end": training.front_end,
        "device": "cpu",
        "precision": "fp32",
        "log_every": 1,
        "seed": 1,
    }


def _losses(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Step -> loss -> value."""
    return {
        f"step {line['step']:02d}, {line['stage']}": {
            name: float(f"{value:.{SIGNIFICANT_DIGITS}g}") for name, value in line.items() if name not in TIMES
        }
        for line in lines
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
