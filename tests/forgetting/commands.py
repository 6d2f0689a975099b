"""`voxdata forget` and its like, called in this process, and what tests of them look at."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.forgetting.building import Copy
from tests.forgetting.conftest import SHARED
from tests.run_command import run
from voxdata.store.fragments import FragmentStore

PERSON, NAME, FOLDER = "id90005", "tetifaith treadim", "Tetifaith_Treadim"
OTHER = "id90002"
OF_SHARED = "SELECT identity FROM photos WHERE photo_sha256 = '{}' ORDER BY 1"
AT = "2026-11-21T09:00:00Z"


def forget(copy: Copy, capsys: pytest.CaptureFixture[str], who: str = NAME, *more: str) -> tuple[int, str, str]:
    return run(capsys, "forget", who, "--reason", "letter 12", "--root", copy.root, "--yes", *more)


def shared_photo(copy: Copy) -> bytes:
    return (copy.corpus / "photos" / OTHER / SHARED).read_bytes()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def theirs(copy: Copy) -> dict[str, bytes]:
    """Everything of the person that lies in tars under the root, but for the photo that somebody else has, too."""
    shared = shared_photo(copy)
    found = {name: data for name, data in copy.shard_members().items() if name.startswith(f"{PERSON}/")}
    for prefix, stage in (("photos", "originals"), ("fragments", "faces.render"), ("fragments", "speech.measure")):
        for fingerprint in (copy.root / prefix / stage).iterdir():
            store = FragmentStore(copy.storage, stage, fingerprint.name, prefix=prefix)
            for row in store.read().to_pylist():
                if row["identity"] == PERSON:
                    for member in row["members"] or []:
                        data = store.blob(row["part"], member["offset"], member["size"])
                        found[f"{stage} {row['item_id']} {member['suffix']}"] = data
    return {name: data for name, data in found.items() if data != shared}


def write_run(folder: Path, snapshot: str, **settings: str) -> dict[str, str]:
    """A training run's folder; its row in the journal."""
    for name in ("samples/step-1.png", "gallery/000.png", "evaluation.json", "evaluation.md", "checkpoints/1.pt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("-")
    (folder / "run.json").write_text(json.dumps({"snapshot": snapshot, **settings}))
    fact = {"run_id": folder.name, "snapshot_id": snapshot, "status": "finished", "path": str(folder), "at": AT}
    return {**fact, "settings": (folder / "run.json").read_text()}
