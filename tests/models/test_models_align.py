"""`align`: its losses by hand, what the discriminator sees, and trainings on a tiny snapshot."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snapshot_writer import TinySnapshot

from models.errors import ConfigError
from models.generator import Generator
from models.systems.align.networks import Margin, ProjectionDiscriminator, augmented, contrast
from models.train import train
from models.training.checkpoint import load_checkpoint
from models.training.config import RunConfig, make_config

SMALL: dict[str, Any] = {
    "encoder_channels": [16, 16, 16, 32],
    "decoder_channels": [24, 16, 12, 8],
    "discriminator_channels": [8, 8, 16],
    "batch_size": 8,
    "align_steps": 4,
    "embedder_steps": 6,
    "crop_s": [0.4, 0.5],
    "window_s": 0.5,
    "speech_s": [1.0, 2.0],
}


def small(snapshot: TinySnapshot, run_dir: Path, **changes: Any) -> RunConfig:
    over = {**SMALL, **changes.pop("overrides", {})}
    base = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": str(run_dir), "steps": 5, "device": "cpu"}
    return make_config({**base, "system": "align", "overrides": over, "log_every": 2, **changes})


def unit(rows: int, size: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn)


def test_contrast_by_hand_leaves_the_same_person_out() -> None:
    voice, face, person = unit(3, 4, 0), unit(3, 4, 1), torch.tensor([5, 7, 5])
    total = 0.0
    for rows, columns in ((voice, face), (face, voice)):
        scores = (rows @ columns.T / 0.1).tolist()
        for i in range(3):
            kept = [scores[i][j] for j in range(3) if j == i or person[j] != person[i]]
            total += -math.log(math.exp(scores[i][i]) / sum(math.exp(score) for score in kept)) / 3
    assert float(contrast(voice, face, person, 0.1)) == pytest.approx(total / 2, rel=1e-5)


def test_margin_makes_the_right_person_harder() -> None:
    people = Margin(4, 3, margin=0.3, scale=8.0)
    voice, person = unit(5, 4, 2), torch.tensor([0, 1, 2, 0, 1])
    centres = torch.nn.functional.normalize(people.centres_NE)
    cosine = (voice @ centres.T).detach()
    cosine[torch.arange(5), person] -= 0.3
    expected = torch.nn.functional.cross_entropy(8 * cosine, person)
    torch.testing.assert_close(people(voice, person), expected)
    assert float(Margin(4, 3, margin=0.0, scale=8.0).requires_grad_(False)(voice, person)) > 0


def test_discriminator_hears_the_voice_only_where_it_is_asked_to() -> None:
    judge, image = ProjectionDiscriminator((4, 8), 6), torch.randn(2, 3, 16, 16)
    deaf = judge(image, None)
    assert deaf.shape == (2,)
    assert not torch.allclose(judge(image, unit(2, 6, 0)), judge(image, unit(2, 6, 1)))
    torch.testing.assert_close(judge(image, torch.zeros(2, 6)), deaf)


def test_augmentation_is_a_function_of_its_draws_and_lets_gradients_through() -> None:
    image = torch.rand(4, 3, 16, 16, requires_grad=True)
    draws = torch.rand(4, 6)
    torch.testing.assert_close(augmented(image, draws), augmented(image, draws))
    augmented(image, draws).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert float((image.grad != 0).float().mean()) > 0.2
    still = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.0, 0.0]])
    kept = augmented(torch.ones(1, 3, 16, 16), still)[0, 0]
    assert (float(kept[:8, :8].abs().max()), float(kept[8:, 8:].min())) == (0, 1)


@pytest.mark.parametrize(
    "switches",
    [
        {"weight_adversarial": 0.1, "r1": 0.1, "r2": 0.1, "paint_windows": 2},
        {"weight_adversarial": 0.1, "relativistic": False, "projection": False, "diffaugment": False, "ema": 0.0},
        {"weight_adversarial": 0.0},
    ],
)
def test_trains_in_two_stages_with_and_without_its_switches(
    tiny_snapshot: TinySnapshot, tmp_path: Path, switches: dict[str, Any]
) -> None:
    run_dir = tmp_path / "run"
    assert train(small(tiny_snapshot, run_dir, overrides=switches)).steps == 9
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["align"] * 2 + ["faces"] * 3
    assert all(np.isfinite(line["loss"]) for line in lines)
    generator = Generator(run_dir, torch.device("cpu"))
    voices = generator.embed(torch.randn(3, 40, 50))
    torch.testing.assert_close(voices.norm(dim=1), torch.ones(3))
    assert generator.decode(voices).shape == (3, 3, 64, 64)
    networks = load_checkpoint(run_dir)["networks"]
    same = torch.equal(networks["decoder"]["to_rgb.0.weight"], networks["painter"]["to_rgb.0.weight"])
    assert same == (switches.get("ema") == 0)
    assert all(("adversarial" in line) == (switches["weight_adversarial"] > 0) for line in lines[2:])


def test_alignment_brings_voices_to_their_faces(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(small(tiny_snapshot, run_dir, steps=1, overrides={"align_steps": 60, "embedder_steps": 30}))
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    aligned = [line for line in lines if line["stage"] == "align"]
    assert aligned[-1]["contrast"] < 0.8 * aligned[0]["contrast"]
    assert aligned[-1]["regression"] < aligned[0]["regression"]


def test_resume_is_exact_to_the_bit(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(small(tiny_snapshot, whole))
    left = 7 + SMALL["embedder_steps"]

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    assert train(small(tiny_snapshot, broken), stop).interrupted
    train(small(tiny_snapshot, broken))
    first, second = (load_checkpoint(run)["networks"] for run in (whole, broken))
    for name, network in first.items():
        for key, value in network.items():
            assert torch.equal(value, second[name][key]), (name, key)


def test_an_embedder_of_another_size_is_one_line(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.identity = 512: the embedder self-trained has 64 values"):
        train(small(tiny_snapshot, tmp_path / "run", overrides={"identity": 512}))
