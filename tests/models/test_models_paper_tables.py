"""What the papers' tables measure besides the usual: noise, sex, pixels, training people, lengths, own classifier."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from snapshot_writer import TinySnapshot
from torch import Tensor, nn

from models.data.snapshots import open_snapshot
from models.errors import CheckpointError
from models.evaluate.contestants import Evaluation
from models.evaluate.enhancement import enhanced_lengths
from models.evaluate.judge import Judge
from models.evaluate.matching import known_people_rows, training_rows
from models.evaluate.noise import KINDS, like_speech, noise_rows
from models.evaluate.pixels import pixel_rows
from models.evaluate.protocol import open_embedder, open_store
from models.evaluate.published import TABLES
from models.evaluate.published import rows as published_rows
from models.evaluate.sex import sex_rows, trained
from models.evaluate.sf2f import BINS_S, length_bin_rows
from models.generator import Generator
from models.systems.base import Critic
from models.train import train
from models.training.config import make_config

Asked = tuple[Evaluation, Any]


GAN_NUMBERS: dict[str, Any] = {
    "encoder_channels": [16, 16, 16],
    "generator_channels": [16, 12, 8, 8, 8],
    "trunk_channels": [4, 8, 8, 8, 16],
    "trunk_features": 16,
    "batch_size": 8,
    "speaker_steps": 2,
    "embedder_steps": 4,
    "crop_s": [0.4, 0.5],
    "window_s": 0.5,
    "speech_s": [1.0, 2.0],
}


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("voice2face", "avp_gan")]


@pytest.fixture(scope="module", params=["sf2f", *LONG])
def asked(
    request: pytest.FixtureRequest, tiny_snapshot: TinySnapshot, tmp_path_factory: pytest.TempPathFactory
) -> Asked:
    """A run of a few steps, to be asked for one table at a time, and the clips that it was not trained on."""
    run = tmp_path_factory.mktemp(request.param) / "run"
    config = tiny_snapshot.config(run, steps=2, overrides={"fuser_steps": 1})
    if request.param != "sf2f":
        config = dataclasses.replace(config, system=request.param, overrides=GAN_NUMBERS)
    train(config)
    return _asked(run)


def _asked(run: Path) -> Asked:
    generator = Generator(run, torch.device("cpu"))
    config = make_config(generator.run["run"])
    judge = Judge(generator=generator, embedder=open_embedder(config.embedder, run, {}), seed=0)
    snapshot = open_snapshot(config.root, config.snapshot)
    training, unseen = (open_store(config, generator, snapshot, split) for split in ("train", "test"))
    return Evaluation(judge, training, unseen, {}), open_store(config, generator, snapshot, "train", holdouts="only")


def test_published_figures_are_the_papers() -> None:
    assert all(published_rows(table) for table in TABLES)
    every = [row for table in TABLES for row in published_rows(table)]
    assert all(row.embedder and row.figures for row in every)
    trained_on = {row.work: row.figures for row in published_rows("matching, training people")}
    assert trained_on["voice2face"] == {"matching": 96.83, "matching, same sex": 93.98}
    assert trained_on["Maniyar et al. 2022"]["matching"] == 96.88
    works = [row.work for row in published_rows("sf2f-paper")]
    assert {"SF2F, 128 px alone, 5 s", "SF2F, baseline encoder", "SF2F without L1"} <= set(works)
    filtered = [row for row in published_rows("sf2f-paper") if row.data.startswith("filtered VGGFace")]
    assert max(row.figures["R@10"] for row in filtered) == 21.34
    assert [row.figures["cosine"] for row in published_rows("sf2f-lengths")] == [0.230, 0.296, 0.294, 0.274, 0.227]
    assert not [row for row in every if row.figures.get("cosine") == 0.295], "a row that no text was seen to print"


def test_kinds_of_noise_differ_in_what_rises_and_falls_together(asked: Asked) -> None:
    training = asked[0].training
    found = {}
    for name, kind in KINDS.items():
        noise = kind(np.random.default_rng(1), training, 20, 400)
        assert noise.shape == (20, training.n_mels, 400)
        by_bin = noise.transpose(1, 0, 2)
        frames = np.mean([np.corrcoef(row[:-1], row[1:])[0, 1] for row in noise[:, 0]])
        bins = np.corrcoef(by_bin[3].ravel(), by_bin[20].ravel())[0, 1]
        found[name] = (float(frames), float(bins))
        if name != "babble":
            assert (noise.mean(), noise.std()) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05)), name
    assert found["hiss"] == (pytest.approx(0, abs=0.05), pytest.approx(0, abs=0.05))
    assert found["rumble"][0] > 0.9
    assert found["crackle"] == (pytest.approx(0, abs=0.05), pytest.approx(1))
    again = [KINDS["babble"](np.random.default_rng(7), training, 2, 50) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_noise_has_the_mean_and_the_deviation_of_speech_in_every_bin(asked: Asked) -> None:
    training = asked[0].training
    first = training.utterance_groups.first
    speech = training.crops(first, np.zeros_like(first), 100).transpose(0, 1).flatten(1)
    noise = (
        like_speech(KINDS["hiss"](np.random.default_rng(0), training, 200, 100), training).transpose(0, 1).flatten(1)
    )
    torch.testing.assert_close(noise.mean(dim=1), speech.mean(dim=1), rtol=0, atol=0.05)
    torch.testing.assert_close(noise.std(dim=1), speech.std(dim=1), rtol=0.05, atol=0)


def test_a_verdict_is_a_probability_and_voices_are_held_against_each_kind(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = asked[0]
    rows = noise_rows(evaluation, samples=50)
    pooled = [row for row in rows if "seconds" not in row]
    assert [row["name"] for row in pooled] == ["voices", *KINDS]
    assert [row["people"] for row in pooled] == [50] * 5
    assert all(0 <= row["figures"]["verdict"]["value"] <= 1 for row in rows)
    assert [row["seconds"] for row in rows if row["name"] == "all noise"] == [1.0, 2.0, 3.0, 5.0, 10.0]
    calls = itertools.count()

    def voices_first(images: Tensor) -> Tensor:
        """In each length voices are asked about first, then the four kinds."""
        return torch.full((len(images),), -1.0 if next(calls) % 5 else 1.0)

    monkeypatch.setattr(evaluation.judge.generator, "realness", voices_first)
    for row in noise_rows(evaluation, samples=50)[1:5]:
        assert row["figures"]["voice_above_noise"]["value"] == 1
        assert row["figures"]["verdict"] == {"value": pytest.approx(1 / (1 + np.e)), "deviation": pytest.approx(0)}


class Colour(Critic):
    """Log odds from the mean colours."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, image_B3SS: Tensor) -> Tensor:
        odds_B: Tensor = self.head(image_B3SS.mean(dim=(2, 3)))[:, 0]
        return odds_B


def test_a_network_learns_the_sexes_from_real_portraits_of_both_alike() -> None:
    """One woman to nine men, told apart by a colour: as many of each in a batch, or it would call everybody a man."""
    shades = torch.tensor([[0.2], *[[-0.2]] * 9]).expand(10, 3)[:, :, None, None].expand(10, 3, 8, 8)
    store: Any = SimpleNamespace(
        people=list(range(10)),
        sexes=["f", *"m" * 9],
        face_groups=SimpleNamespace(count=np.full(10, 150)),
        images=lambda faces: shades[faces // 150],
        put=torch.from_numpy,
        device=torch.device("cpu"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        critic = Colour()
    looks = [trained(copy.deepcopy(critic), store, seed=0, steps=steps)(shades).tolist() for steps in (0, 400, 400)]
    assert looks[1] == looks[2] == [True, *[False] * 9]
    assert looks[0] != looks[1]


def test_sex_is_asked_of_a_network_of_the_discriminator_s_architecture_too(asked: Asked) -> None:
    rows = {row["name"]: row["figures"] for row in sex_rows(asked[0], steps=2)}
    system = asked[0].system
    assert set(rows[f"{system}, fused"]) == set(rows["all real portraits"]) == {"sex_accuracy", "sex_accuracy_network"}
    assert set(rows["mean face"]) == {"sex_accuracy"}, "it has no picture for everybody"
    assert sex_rows(asked[0], steps=2)[0]["figures"] == rows[f"{system}, fused"], "a function of the seed"


def test_the_own_classifier_is_the_training_s_and_is_asked_about_its_own_people_only(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation, holdouts = asked
    generator, system = evaluation.judge.generator, evaluation.system
    rows = {row["name"]: row for row in known_people_rows(evaluation, holdouts, own_people=True)}
    named = f"{system}, fused, asked of its own classifier"
    assert list(rows) == [f"{system}, fused", named, "chance"]
    assert named not in [row["name"] for row in known_people_rows(evaluation, holdouts)]
    logits = generator.recognised(evaluation.training.images(np.arange(4)))
    assert logits is not None
    assert logits.shape == (4, 12)
    monkeypatch.setattr(generator, "recognised", lambda images: torch.eye(12)[: len(images)])
    (right,) = (row for row in known_people_rows(evaluation, holdouts, own_people=True) if row["name"] == named)
    assert right["figures"]["top_1"]["value"] == 1
    monkeypatch.setattr(generator, "recognised", lambda images: torch.eye(12).roll(1, 0)[: len(images)])
    (wrong,) = (row for row in known_people_rows(evaluation, holdouts, own_people=True) if row["name"] == named)
    assert wrong["figures"]["top_1"]["value"] == 0


def test_training_people_are_matched_among_themselves(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = asked[0]
    rows = {row["name"]: row for row in training_rows(evaluation)}
    assert [row["trials"] for row in rows.values()] == [12 * 2 * 22] * 2
    monkeypatch.setattr(type(evaluation.judge), "fused", lambda judge, store, people: people)
    monkeypatch.setattr(type(evaluation.judge), "embed", lambda judge, people: evaluation.training_real[people])
    known = {row["name"]: row for row in training_rows(evaluation)}
    assert known[f"{evaluation.system}, fused"]["figures"]["matching"]["value"] > 0.9
    assert known["shuffled voices"]["figures"]["matching"]["value"] < 0.6


def test_pixels_are_held_against_every_portrait_of_the_person(asked: Asked) -> None:
    evaluation = asked[0]
    rows = {row["name"]: row for row in pixel_rows(evaluation)}
    faces = evaluation.judge.fused(evaluation.unseen, evaluation.people, 0, None).clamp(-1, 1)
    portraits = evaluation.unseen.images(np.arange(10)).view(5, 2, 3, 64, 64)
    by_hand = (portraits - faces[:, None]).abs().mean() * 127.5
    assert rows[f"{evaluation.system}, fused"]["figures"]["pixel_l1"]["value"] == pytest.approx(
        float(by_hand), rel=1e-5
    )
    other = (portraits[:, 0] - portraits[:, 1]).abs().mean() * 127.5
    assert rows["real photo"]["figures"]["pixel_l1"]["value"] == pytest.approx(float(other), rel=1e-5)
    assert 0 < rows["mean face"]["figures"]["pixel_l1"]["value"] < 255


def test_a_bin_of_lengths_is_what_the_encoder_hears_in_one_piece(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, heard = asked[0], list[int]()
    network = evaluation.judge.generator.network
    embed = network.embed
    monkeypatch.setattr(network, "embed", lambda mel: heard.append(mel.shape[2]) or embed(mel))
    rows = length_bin_rows(evaluation, draws=4)
    assert rows[0]["name"] == f"{evaluation.system}, no fuser, 0.5 to 1 s"
    assert [row["name"] for row in rows][5:] == ["chance", "sex only"]
    assert len(set(heard)) > len(BINS_S), "a length of its own per draw"
    for place, (shortest, longest) in enumerate(BINS_S):
        assert all(shortest * 100 <= frames <= longest * 100 for frames in heard[4 * place : 4 * place + 4])


def test_cosine_after_enhancement_is_told_for_4_and_8_s(asked: Asked) -> None:
    system = asked[0].system
    for scale, moved in ((1.0, False), (0.2, True)):
        enhance: Any = partial(torch.mul, scale)
        rows = enhanced_lengths(asked[0], enhance, (4.0, 8.0))
        assert [(row["name"], row["seconds"]) for row in rows] == [
            (f"{system}, {which}", seconds) for which in ("fused", "in one piece, no fuser") for seconds in (4.0, 8.0)
        ]
        for row in rows:
            before, after, change = (row["figures"][f"cosine_{key}"]["value"] for key in ("before", "after", "change"))
            assert change == pytest.approx(after - before, abs=1e-9)
            assert (abs(change) > 1e-6) == moved


def test_a_run_goes_on_where_its_preset_has_a_number_more(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    config = tiny_snapshot.config(tmp_path / "run", steps=3, overrides={"fuser_steps": 0})
    assert train(config, max_steps=1).interrupted
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    for number in ("encoder_kernels", "decoder_deconvolution"):
        del described["numbers"][number]
    (tmp_path / "run" / "config.json").write_text(json.dumps(described))
    other = dataclasses.replace(config, overrides={**config.overrides, "encoder_kernels": [3]})
    with pytest.raises(CheckpointError, match="was started with numbers = "):
        train(other)
    assert train(config).steps == 3


@pytest.mark.long
def test_a_run_that_is_older_than_a_number_goes_on_as_it_began(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    """Heads have had biases since: as often as it is interrupted, a run of before goes on without."""
    run = tmp_path / "run"
    config = dataclasses.replace(
        tiny_snapshot.config(run, steps=3), system="voice2face", preset="paper", overrides=GAN_NUMBERS, crop="any"
    )
    begun = dataclasses.replace(config, overrides={**GAN_NUMBERS, "head_bias": False})
    assert train(begun, max_steps=1).interrupted
    described = json.loads((run / "config.json").read_text())
    for number in ("head_bias", "last"):
        del described["numbers"][number]
    described["run"]["overrides"] = GAN_NUMBERS
    (run / "config.json").write_text(json.dumps(described))
    other = dataclasses.replace(config, overrides={**GAN_NUMBERS, "head_bias": True})
    with pytest.raises(CheckpointError, match="was started with numbers = "):
        train(other)
    assert train(config, max_steps=1).interrupted
    assert not {"head_bias", "last"} & json.loads((run / "config.json").read_text())["numbers"].keys()
    assert train(config).steps == 5
    assert Generator(run, torch.device("cpu")).step == 5
