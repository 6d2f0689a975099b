"""SF2F on real people with real weights: MobileFaceNet as perceptual loss, as identity embedder and as judge.

    python benchmarks/real_training.py --data ../shared/data [--seconds 300] [--preset small] [--folder DIR]

The photos and clips of `voxceleb1-mini` (named people, a few video frames each) and of `avspeech-mini` (unnamed pairs
of one frame and one clip) go through `voxdata build` with a recipe that suits video frames, a fifth of the people are
held out, and the table of the evaluation is printed with its controls. About a hundred people and one or two clips of
each teach nobody what a face sounds like: the table says that these code paths run on real input, and whatever else it
says. No picture leaves the folder. Where the data is not there, it says so and ends. Writes
benchmarks/results/real_training.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from figures import Figure, Section, show

from models.errors import TrainingError
from models.evaluate.protocol import evaluate
from models.evaluate.report import markdown
from models.train import train
from models.training.config import make_config

EMBEDDER, WEIGHTS = "mobilefacenet", "weights/mobilefacenet_y1.onnx"
NAMED, PAIRS = "voxceleb1-mini", "avspeech-mini"
RECIPE = {
    "faces.pose.max_angle_deg": 30,
    "faces.resolution.min_pupil_distance_px": 20,
    "faces.expression.max_smile": 2,
    "faces.expression.max_mouth_open": 1,
    "faces.expression.max_expression": 4,
    "faces.lighting.min_evenness": 0.1,
    "faces.select.min_per_identity": 1,
    "splits.val_share": 0,
    "splits.test_share": 0.2,
    "splits.holdout_share": 0,
    "speech.measure.front_ends": "[torch40]",
}
"""What video frames of people who talk need, beside the recipe `voxceleb-folder`; one portrait is enough."""
OVERRIDES: Mapping[str, Mapping[str, Any]] = {"small": {"batch_size": 32, "perceptual_images": 16}}
"""On two cores; a GPU takes the preset as it is."""
ENDLESS = 10**6


def main() -> int:
    """Build, train, judge, print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of real test data")
    parser.add_argument("--seconds", type=float, default=300.0, help="time box of the training")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help="keep the root and the run here; what is there is not made again")
    options = parser.parse_args()
    missing = [name for name in (NAMED, PAIRS, WEIGHTS) if not (options.data / name).exists()]
    if missing:
        print(f"skipped: {options.data} has no {', '.join(missing)}")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        try:
            snapshot = build(options.data.absolute(), folder)
            result = judged(snapshot, folder, options)
        except (subprocess.CalledProcessError, TrainingError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(markdown(result))
    show([section(result)], "real_training")
    return 0


def build(data: Path, folder: Path) -> str:
    """Link both sets into one layout and build it; returns the snapshot's id."""
    for kind, identity, path in inputs(data):
        link = folder / "input" / kind / identity / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path)
    root = folder / "root"
    if not list(root.glob("snapshots/*.json")):
        settings = RECIPE | {
            "sources.photos.path": folder / "input" / "photos",
            "sources.speech.path": folder / "input" / "speech",
            "sources.metadata.path": data / NAMED / "vox1_meta.csv",
        }
        pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "flows.cli", "build", "voxceleb-folder", "--root", str(root), *pairs]
        subprocess.run(command, check=True, env={**os.environ, "PREFECT_HOME": str(folder / "prefect")})
    (snapshot,) = root.glob("snapshots/*.json")
    return snapshot.stem


def inputs(data: Path) -> Iterator[tuple[str, str, Path]]:
    """(photos or speech, identity, file) of both sets; the unnamed pairs get numbers in the order of their names."""
    for photo in sorted((data / NAMED / "photos").glob("*/*.jpg")):
        yield "photos", photo.parent.name, photo
    for clip in sorted((data / NAMED / "wav").glob("*/*/*.wav")):
        yield "speech", f"{clip.parents[1].name}/{clip.parent.name}", clip
    for number, photo in enumerate(sorted((data / PAIRS).glob("*.jpg"))):
        clip = photo.with_suffix(".flac")
        if clip.exists():
            yield "photos", f"pair{number:03d}", photo
            yield "speech", f"pair{number:03d}", clip


def judged(snapshot: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train unless that is done, and evaluate."""
    run_dir = folder / "root" / "runs" / f"sf2f-{options.preset}"
    config = make_config(
        {
            "root": str(folder / "root"),
            "snapshot": snapshot,
            "run_dir": str(run_dir),
            "preset": options.preset,
            "overrides": {**(OVERRIDES.get(options.preset, {}) if options.device == "cpu" else {}), "steps": ENDLESS},
            "embedder": EMBEDDER,
            "weights": {EMBEDDER: str(options.data.absolute() / WEIGHTS)},
            "seconds": options.seconds,
            "clock": "cpu" if options.device == "cpu" else "wall",
            "device": options.device,
        }
    )
    if not (run_dir / "evaluation.json").exists():
        train(config)
        evaluate(run_dir, device=options.device)
    result: dict[str, Any] = json.loads((run_dir / "evaluation.json").read_text())
    return result


def section(result: Mapping[str, Any]) -> Section:
    """The rows that matter as figures of a benchmark."""
    rows = {row["name"]: row for row in result["rows"]}
    wanted = [(name, key) for name in rows for key in ("centred_cosine", "cosine", "centred_recall_at_5_of_20")]
    figures = [
        Figure(name=f"{name}: {key.replace('_', ' ')}", n=rows[name]["people"], **rows[name]["figures"][key])
        for name, key in wanted
        if key in rows[name]["figures"]
    ]
    notes = [f"{result['system']}, step {result['step']}, judged by {result['embedder']['name']}.", *result["notes"]]
    return Section(title="SF2F on real people with real weights", figures=figures, notes=notes)


if __name__ == "__main__":
    sys.exit(main())
