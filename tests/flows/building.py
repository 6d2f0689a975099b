"""How flow tests call the command line, and what they look at afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from voxdata.simulate.corpus import CorpusSettings

Voxdata = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL_CORPUS = CorpusSettings(people=8, photos_per_person=6, clips_per_person=3, seed=3)


def build_arguments(corpus: Path, root: Path, *settings: str) -> list[str]:
    """`voxdata build` over a corpus with limits that painted faces pass; one worker, as each loads the models anew."""
    named = [
        f"sources.photos.path={corpus / 'photos'}",
        f"sources.speech.path={corpus / 'wav'}",
        f"sources.metadata.path={corpus / 'vox1_meta.csv'}",
        "faces.measure.frontal_pitch_deg=0",
        "faces.pose.max_angle_deg=12",
        "faces.select.min_per_identity=1",
        "splits.val_share=0.2",
        "splits.test_share=0.3",
        "work.workers=1",
        *settings,
    ]
    return ["build", "voxceleb-folder", "--root", str(root), *(part for name in named for part in ("--set", name))]


def shard_bytes(root: Path) -> dict[str, bytes]:
    """name -> bytes of every shard and sidecar."""
    return {path.name: path.read_bytes() for path in sorted((root / "shards").iterdir())}


def parts(root: Path, stage: str) -> set[str]:
    """Committed parts of a stage; what a killed process left half written is none."""
    return {str(path.relative_to(root)) for path in (root / "fragments" / stage).rglob("b*/[!.]*.parquet")}
