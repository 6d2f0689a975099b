"""Faces for the voices of held-out people, left in a run's folder for the report (`voxdata/pages/report`)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from models.images import write_png
from models.imagine import imagine
from models.training.checkpoint import read_run_config
from voxdata.catalog.snapshot import Snapshot, load_snapshot
from voxdata.shards.read import Shard, read_sidecar
from voxdata.speech.clip import front_end_metadata
from voxdata.speech.front_ends.mel import Mel
from voxdata.store.storage import Storage, open_storage

NOTE = "Plausible faces generated from voices; they show no real person and identify nobody."


def write_gallery(run_dir: Path, *, split: str = "test", people: int = 12) -> int:
    """Imagine a face for each of the first `people` of a split, from all their speech; return how many there are."""
    config = read_run_config(run_dir)
    storage = open_storage(config["run"]["root"])
    front_end = config["front_end"]["name"]
    folder = run_dir / "gallery"
    folder.mkdir(exist_ok=True)
    entries: list[dict[str, Any]] = []
    step = 0
    snapshot = load_snapshot(storage, config["snapshot"])
    settings = front_end_metadata(front_end, snapshot.recipe)
    for person, keys, mel in _voices(storage, snapshot, split, front_end, people):
        imagined = imagine(run_dir, mel, front_end=front_end, settings=settings)
        name = f"{len(entries):03d}.png"
        write_png(folder / name, imagined.face)
        step = imagined.step
        entries.append({"person": person, "generated": name, "utterances": keys})
    content = {"format": 1, "split": split, "step": step, "note": NOTE, "people": entries}
    (folder / "gallery.json").write_text(json.dumps(content, indent=1))
    return len(entries)


def _voices(
    storage: Storage, snapshot: Snapshot, split: str, front_end: str, people: int
) -> list[tuple[str, list[str], Mel]]:
    """(person, utterance keys, log-mel (F, T) of all their speech) of the first people of a split."""
    voices: dict[str, tuple[list[str], list[Mel]]] = {}
    for entry in snapshot.shards:
        if entry.kind != "speech" or entry.split != split:
            continue
        sidecar = read_sidecar(storage, entry.sidecar)
        shard = Shard(storage, entry.sidecar)
        named = dict(zip(sidecar["key"].to_pylist(), sidecar["person"].to_pylist(), strict=True))
        for key, person in named.items():
            if person not in voices and len(voices) == people:
                continue
            keys, mels = voices.setdefault(person, ([], []))
            keys.append(key)
            mels.append(np.load(io.BytesIO(shard.read(key, f"{front_end}.npy"))).astype(np.float32))
    return [(person, keys, np.concatenate(mels, axis=1)) for person, (keys, mels) in voices.items()]
