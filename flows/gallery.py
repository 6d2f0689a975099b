"""Faces for the voices of held-out people, left in a run's folder for the report (`voxdata/pages/report`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.images import write_png
from models.imagine import imagine
from models.training.checkpoint import read_run_config
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.reader import Reader
from voxdata.format.snapshot import Snapshot
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
    reader = Reader(storage, snapshot)
    tars = reader.mel_tars(front_end)
    voices: dict[str, tuple[list[str], list[Mel]]] = {}
    for clip in reader.mels(split, front_end):
        if clip.person in voices or len(voices) < people:
            keys, mels = voices.setdefault(clip.person, ([], []))
            keys.append(clip.key)
            mels.append(tars.whole(clip).astype(np.float32))
    return [(person, keys, np.concatenate(mels, axis=1)) for person, (keys, mels) in voices.items()]
