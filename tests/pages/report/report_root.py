"""The ten invented people of the catalog's tests, with pictures, boxes and every reason, and a training run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image

from tests.catalog import small_root
from tests.catalog.small_root import SmallRoot
from voxdata.faces.rules import REASONS as FACE_REASONS
from voxdata.format.snapshot import ShardEntry
from voxdata.sources.originals import originals
from voxdata.speech.rules import REASONS as SPEECH_REASONS
from voxdata.store.fragments import Fragment
from voxdata.store.storage import LocalStorage
from voxdata.tables.schemas import PHOTOS

PEOPLE = len(FACE_REASONS)
HOSTILE = "<script>alert(\"x\")</script> & 'Co'"
BOX = {"box_x_px": 20.0, "box_y_px": 10.0, "box_width_px": 40.0, "box_height_px": 44.0, "grayscale": False}
MEASURED = {
    name: value
    for names, value in (
        ("asymmetry mouth_open brow_raise highlight_share shadow_share", 0.0),
        ("smile expression sharpness", 0.2),
        ("detection_score eyes_open light_evenness", 0.9),
        ("pitch_deg roll_deg", 2.0),
        ("pupil_distance_px", 40.0),
        ("photo_width_px photo_height_px", 90),
    )
    for name in names.split()
}


def picture(colour: tuple[int, int, int], form: str = "JPEG", size: tuple[int, int] = (96, 80)) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", size, colour).save(sink, form)
    return sink.getvalue()


class ReportRoot(SmallRoot):
    """Person n's rejected face fails the n-th reason; person 0 has a hostile name."""

    def __init__(
        self, storage: LocalStorage, people: int = PEOPLE, *, sound: Literal["whole", "speech"] | None = None
    ) -> None:
        super().__init__(storage, people, sound=sound)

    def publish(self, *, at: str = small_root.AT) -> Any:
        for n in self.people:
            rows = small_root.photos(n)
            blobs = {row["item_id"]: {"original": picture((n, 90, 160))} for row in rows}
            bucket = small_root.who(n)["bucket"]
            originals(self.storage).append(bucket, Fragment(small_root.table(rows, PHOTOS), blobs))
        return super().publish(at=at)

    def commit(self, stage: str, content: pa.Table) -> None:
        change = getattr(self, f"change_{stage}", lambda row, n: row)
        rows = [change(row, index) for index, row in enumerate(content.to_pylist())]
        super().commit(stage, pa.Table.from_pylist(rows, schema=content.schema))

    def change_identities(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        return {**row, "name": HOSTILE} if index == 0 else row

    def change_faces(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        return {**row, **MEASURED, **BOX} if row["face_id"] else row

    def change_face_verdicts(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        if index % 3 != 1:
            return row
        reason = list(FACE_REASONS)[index // 3 % len(FACE_REASONS)]
        return {**row, "reason": reason, "reasons": [reason, "smiling"]}

    def change_utterance_verdicts(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        reason = list(SPEECH_REASONS)[index // 3 % len(SPEECH_REASONS)]
        return {**row, "reason": reason, "reasons": [reason]} if index % 3 == 2 else row


class WithoutSpeech(ReportRoot):
    """Photos only."""

    def stage_tables(self) -> None:
        super().stage_tables()
        for stage in ("utterances", "utterance_verdicts", "utterance_files"):
            self.tables[stage] = []

    def pack(self) -> list[ShardEntry]:
        return [entry for entry in super().pack() if entry.kind == "faces"]


class WithoutPortraits(WithoutSpeech):
    """Every face is turned away."""

    def change_face_verdicts(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        gone = {"verdict": "reject", "portrait": False, "candidate": False, "rank": None}
        return {**row, **gone, "reason": "face_angle", "reasons": ["face_angle"]}

    def pack(self) -> list[ShardEntry]:
        return []


def write_run(root: Path, snapshot: str, name: str = "sf2f-tiny") -> Path:
    """A finished run: two stages of curves, an evaluation of two rows, a sample sheet and a gallery of persons 8, 9."""
    run = root / "runs" / name
    (run / "samples").mkdir(parents=True)
    (run / "gallery").mkdir()
    config = {"system": "sf2f", "preset": "tiny", "snapshot": snapshot, "embedder": {"name": "self-trained"}}
    (run / "config.json").write_text(json.dumps(config))
    lines = [
        {"step": step, "stage": "crops" if step <= 60 else "fuser", "elapsed_s": step / 10, "loss": 1 / step, "l1": 0.5}
        for step in range(20, 121, 20)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "evaluation.json").write_text(json.dumps(evaluation()))
    (run / "samples" / "step-000000120.png").write_bytes(picture((40, 40, 40), "PNG", (128, 32)))
    for n in (8, 9):
        (run / "gallery" / f"id{n:05d}.png").write_bytes(picture((200, 10 * n, 0), "PNG", (64, 64)))
    people = [
        {"person": f"id{n:05d}", "generated": f"id{n:05d}.png", "rank": n, "gallery": 100, "utterances": []}
        for n in (8, 9)
    ]
    (run / "gallery" / "gallery.json").write_text(json.dumps({"format": 1, "split": "test", "people": people}))
    return run


def evaluation() -> dict[str, Any]:
    def figure(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.05, "high": value + 0.05}

    return {
        "format": 1,
        "step": 120,
        "split": "test",
        "people": 100,
        "notes": ["n = 100"],
        "embedder": {"name": "mobilefacenet", "kind": "published", "sha256": "ab" * 32},
        "rows": [
            {"name": name, "kind": kind, "people": 100, "figures": figures}
            for name, kind, figures in (
                ("sf2f, fused", "system", {"recall_at_5_of_20": figure(0.613), "recall_at_10": figure(0.327)}),
                ("chance", "control", {"recall_at_5_of_20": figure(0.25), "recall_at_10": figure(0.1)}),
                (
                    "real photo",
                    "ceiling",
                    {"cosine": figure(0.81), "recall_at_5_of_20": figure(0.9), "recall_at_10": figure(float("nan"))},
                ),
            )
        ],
    }


def noise(side_px: int = 600) -> bytes:
    """The worst picture for a JPEG encoder."""
    sink = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()
