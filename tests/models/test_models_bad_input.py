"""What users give by mistake: each ends in one line that names the thing, its value and the limit."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from snapshot_writer import TinySnapshot

from models.errors import CheckpointError, EmbedderError, SnapshotReadError, TrainingError
from models.evaluate.protocol import evaluate
from models.generator import Generator
from models.imagine import imagine
from models.train import train
from voxdata.format.errors import SourceError
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.people import draw_person
from voxdata.simulate.voice import speak
from voxdata.speech.clip import clip_mel

RATE_HZ = 16_000


def wav(samples: Any, rate_hz: int = RATE_HZ) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format="WAV", subtype="FLOAT")
    return out.getvalue()


def speech(seconds: float) -> Any:
    return speak(draw_person(0, seed=0, link=1.0), duration_s=seconds, seed=0)


@pytest.mark.parametrize(
    ("voice", "line"),
    [
        (lambda: wav(np.zeros(RATE_HZ * 3, np.float32)), "holds no speech"),
        (
            lambda: wav(speech(3.0)[::2], 8000),
            r"sampled at 8000 Hz .*torch40 listens up to 8000 Hz: record at 16000 Hz",
        ),
        (lambda: wav(np.where(np.arange(RATE_HZ * 3) == 9, np.nan, speech(3.0))), "not finite"),
        (lambda: wav(np.zeros(0, np.float32)), "has a header and no samples"),
    ],
    ids=["silence", "8 kHz", "NaN samples", "empty"],
)
def test_a_file_that_is_no_voice(voice: Callable[[], bytes], line: str) -> None:
    with pytest.raises(SourceError, match=line) as raised:
        clip_mel(voice(), "torch40", load_recipe("demo").model_dump())
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def run_dir(tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "run"
    train(tiny_snapshot.config(folder, steps=2, checkpoint_every=100))
    return folder


def clip_under_one_window(run_dir: Path, snapshot: TinySnapshot, folder: Path) -> None:
    imagine(run_dir, np.full((40, 49), 10, np.float32), front_end="torch40", device="cpu")


def checkpoint_of_another_preset(run_dir: Path, snapshot: TinySnapshot, folder: Path) -> None:
    shutil.copytree(run_dir, folder / "mixed")
    config = json.loads((folder / "mixed" / "config.json").read_text())
    config["numbers"]["encoder_channels"] = [16, 16, 16, 16, 64]
    (folder / "mixed" / "config.json").write_text(json.dumps(config))
    Generator(folder / "mixed", torch.device("cpu"))


def going_on_with_another_preset(run_dir: Path, snapshot: TinySnapshot, folder: Path) -> None:
    train(snapshot.config(run_dir, steps=2, overrides={"batch_size": 4}))


def embedder_of_another_shape(run_dir: Path, snapshot: TinySnapshot, folder: Path) -> None:
    shutil.copytree(run_dir, folder / "run")
    weights = torch.load(folder / "run" / "embedder.pt", weights_only=True)
    weights["to_embedding.weight"] = weights["to_embedding.weight"][:32]
    torch.save(weights, folder / "run" / "embedder.pt")
    evaluate(folder / "run", device="cpu")


@pytest.mark.parametrize(
    ("mistake", "error", "line"),
    [
        (clip_under_one_window, TrainingError, r"has 0\.49 s of speech; one window is 0\.50 s: give a longer clip"),
        (checkpoint_of_another_preset, CheckpointError, r"its checkpoint does not fit its config\.json"),
        (going_on_with_another_preset, CheckpointError, "was started with numbers = .*choose another run_dir"),
        (embedder_of_another_shape, EmbedderError, r"embedder\.pt cannot be loaded .*train in a new run_dir"),
    ],
)
def test_a_run_that_is_asked_for_what_it_cannot(
    mistake: Callable[[Path, TinySnapshot, Path], None],
    error: type[TrainingError],
    line: str,
    run_dir: Path,
    tiny_snapshot: TinySnapshot,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=line) as raised:
        mistake(run_dir, tiny_snapshot, tmp_path)
    assert "\n" not in str(raised.value)


def test_a_snapshot_without_test_people(make_snapshot: Callable[..., TinySnapshot], run_dir: Path) -> None:
    nobody = make_snapshot({"train": 4})
    with pytest.raises(SnapshotReadError, match=r"nobody in split 'test' has both .*; build with more people"):
        evaluate(run_dir, root=str(nobody.root), snapshot_id=nobody.id, device="cpu")


def test_one_person_to_train_on(make_snapshot: Callable[..., TinySnapshot], tmp_path: Path) -> None:
    alone = make_snapshot({"train": 1, "test": 1})
    with pytest.raises(SnapshotReadError, match=r"one person in split 'train' has both .*: build with more people"):
        train(alone.config(tmp_path / "run"))
