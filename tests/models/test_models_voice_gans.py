"""voice2face, its variants and AVP-GAN: sizes, attention by hand, and trainings on a tiny snapshot."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snapshot_writer import TinySnapshot
from torch.nn.utils.parametrize import is_parametrized

from flows.orders import ordered, run_name
from models.data.sampler import Groups, independent_batch
from models.errors import ConfigError
from models.evaluate.protocol import evaluate
from models.generator import Generator as Trained
from models.systems.avp_gan import system as avp_gan
from models.systems.avp_gan.networks import (
    START_SPREAD,
    AttentiveGenerator,
    AttentiveTrunk,
    Cbam,
    ChannelAttention,
    SpatialAttention,
)
from models.systems.registry import OURS, system_spec
from models.systems.voice2face.networks import Doubled, Generator, SpeakerEncoder, Trunk, tiled
from models.systems.voice2face.presets import CODE, MANIYAR, PAPER, SPEECH2FACE_GAN, make_preset
from models.systems.voice2face.system import VoiceCritic, VoiceRecogniser
from models.train import train
from models.training.checkpoint import load_checkpoint
from models.training.config import RunConfig, make_config

SMALL: dict[str, Any] = {
    "encoder_channels": [16, 16, 16],
    "generator_channels": [16, 12, 8, 8, 8],
    "trunk_channels": [4, 8, 8, 8, 16],
    "trunk_features": 16,
    "batch_size": 8,
    "speaker_steps": 4,
    "embedder_steps": 4,
    "crop_s": [0.4, 0.5],
    "window_s": 0.5,
    "speech_s": [1.0, 2.0],
}


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(snapshot: TinySnapshot, run_dir: Path, system: str, preset: str = "tiny", **changes: Any) -> RunConfig:
    over = {**SMALL, **changes.pop("overrides", {})}
    if preset == "speech2face-gan":  # its last layer doubles the side, too
        over["generator_channels"] = over["generator_channels"][:-1]
    base = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": str(run_dir), "steps": 6, "device": "cpu"}
    base |= {"front_end": "torch40", "crop": "any"}  # what the snapshot has
    return make_config({**base, "system": system, "preset": preset, "overrides": over, "log_every": 2, **changes})


def starts() -> list[tuple[str, str]]:
    """Every preset of every system that hears."""
    found = []
    for name, entry in OURS.items():
        module = importlib.import_module(entry.partition(":")[0])
        if not hasattr(module, "PRESETS"):
            module = importlib.import_module(module.__name__.removesuffix(".system") + ".presets")
        found += [(name, preset) for preset in module.PRESETS if system_spec(name).hears]
    return found


@pytest.mark.long
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(("system", "preset"), starts())
def test_at_the_start_faces_differ_between_voices_and_features_between_images(
    system: str, preset: str, bf16: bool
) -> None:
    """Where they do not, nothing that a loss says of one voice reaches what is painted for it."""
    spec = system_spec(system)
    numbers = spec.make_preset(preset, {})
    assert spec.critic is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        faces, critic = spec.voice_to_face(numbers, 40).train(), spec.critic(numbers).train()
        mels, coarse = torch.randn(2, 40, 400), torch.rand(8, 3, 4, 4) * 2 - 1
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            voices = torch.nn.functional.normalize(torch.randn(8, faces.embed(mels).shape[1]))
            assert float(faces.decode(voices).float().std(dim=0).mean()) > 0.03
            if isinstance(critic, VoiceCritic):
                images = torch.nn.functional.interpolate(coarse, numbers.side_px, mode="bilinear")
                assert float(critic.trunk(images).float().std(dim=0).mean()) > 0.003


def test_the_images_of_a_fitted_generator_differ_between_voices_by_as_much_as_portraits_do() -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for attention in ("added", "none"):
            torch.manual_seed(4)
            generator = AttentiveGenerator(avp_gan.TINY.generator(), attention=attention)
            voices = torch.nn.functional.normalize(torch.randn(64, avp_gan.TINY.encoder_channels[-1]))
            assert float(generator(voices).std(dim=0).mean()) == pytest.approx(START_SPREAD, rel=0.2)


def test_parameter_counts_of_the_released_code() -> None:
    assert count(SpeakerEncoder(CODE.encoder(64))) == pytest.approx(2.67e6, abs=5e3)
    assert count(Generator(CODE.generator())) == pytest.approx(12.19e6, abs=5e3)


def test_shapes_of_table_2() -> None:
    encoder = SpeakerEncoder(PAPER.encoder(64)).eval()
    assert encoder(torch.randn(2, 64, 300)).shape == (2, 64)
    maps, x = [], torch.randn(1, 64, 1, 1)
    for layer in Generator(PAPER.generator()).layers:
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            maps.append((x.shape[1], x.shape[2]))
    assert maps == [(1024, 4), (512, 8), (256, 16), (128, 32), (64, 64)]
    assert x.shape == (1, 3, 64, 64)
    assert Trunk(PAPER.trunk())(torch.randn(2, 3, 64, 64)).shape == (2, 64)
    assert Trunk(CODE.trunk())(torch.randn(2, 3, 64, 64)).shape == (2, 64)


def test_variants_differ_where_their_papers_say() -> None:
    def kinds(preset: Any) -> list[type]:
        return [type(layer) for layer in Generator(preset.generator()).layers]

    assert Doubled in kinds(MANIYAR)
    assert torch.nn.BatchNorm2d in kinds(SPEECH2FACE_GAN)
    assert torch.nn.BatchNorm2d not in kinds(PAPER)
    far = torch.full((1, 64), 50.0)
    for preset in (MANIYAR, SPEECH2FACE_GAN):
        assert float(Generator(preset.generator()).eval()(far).detach().abs().max()) <= 1
    assert (MANIYAR.crop_s, PAPER.crop_s, SPEECH2FACE_GAN.tile_s) == ((2.0, 8.0), (3.0, 8.0), 10.0)


def test_speech2face_gan_has_4x4_deconvolutions_to_the_last() -> None:
    layers = list(Generator(SPEECH2FACE_GAN.generator()).layers)
    deconvolutions = [layer for layer in layers if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert [layer.kernel_size for layer in deconvolutions] == [(4, 4)] * 5
    assert [layer.out_channels for layer in deconvolutions] == [1024, 512, 256, 128, 3]
    assert layers[-1] is deconvolutions[-1]
    assert Generator(SPEECH2FACE_GAN.generator())(torch.randn(2, 64)).shape == (2, 3, 64, 64)
    assert SPEECH2FACE_GAN.side_px == SPEECH2FACE_GAN.trunk().side_px == 64


def test_heads_have_biases_in_the_paper_and_none_in_the_code() -> None:
    for preset, biases in ((PAPER, True), (CODE, False)):
        assert ("judge.bias" in VoiceCritic(preset).state_dict()) is biases
        assert ("classifier.bias" in VoiceRecogniser(preset, 7).state_dict()) is biases


def test_clips_are_repeated_to_a_length() -> None:
    mel = torch.arange(6.0).view(1, 2, 3)
    assert tiled(mel, 7)[0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert tiled(mel, 3) is mel


def test_cbam_by_hand() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 32, 5, 5)
    channel, space = ChannelAttention(32), SpatialAttention()
    w0, w1 = channel.mlp[0].weight, channel.mlp[2].weight
    assert w0.shape == (2, 32)
    mean, high = x.flatten(2).mean(2), x.flatten(2).amax(2)
    expected = torch.sigmoid(torch.relu(mean @ w0.T) @ w1.T + torch.relu(high @ w0.T) @ w1.T)
    torch.testing.assert_close(channel(x)[:, :, 0, 0], expected)
    padded = torch.nn.functional.pad(torch.stack([x.mean(1), x.amax(1)], dim=1), (3, 3, 3, 3))
    by_hand = torch.sigmoid((padded[:, :, 1:8, 2:9] * space.conv.weight[0]).sum(dim=(1, 2, 3)))
    torch.testing.assert_close(space(x)[:, 0, 1, 2], by_hand)
    cbam = Cbam(32, adds=True)
    refined = cbam.channel(x) * x
    torch.testing.assert_close(cbam(x), x + cbam.space(refined) * refined)
    cbam.adds = False
    torch.testing.assert_close(cbam(x), cbam.space(refined) * refined)


def test_spectral_normalisation_lies_where_the_paper_has_it() -> None:
    generator = AttentiveGenerator(avp_gan.PAPER.generator(), attention="added")
    deconvolutions = [layer for layer in generator.layers if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert [is_parametrized(layer) for layer in deconvolutions] == [False, True, True, True, True, False]
    assert sum(isinstance(layer, Cbam) for layer in generator.layers) == 5
    trunk = AttentiveTrunk(avp_gan.PAPER.trunk(), attention="added")
    convolutions = [layer for layer in trunk.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [is_parametrized(layer) for layer in convolutions] == [False, True, True, True, True, True]
    without = AttentiveGenerator(avp_gan.NO_CBAM.generator(), attention="none")
    assert not any(isinstance(module, Cbam) for module in without.modules())
    weight = deconvolutions[1].weight.detach().transpose(0, 1).flatten(1)
    assert float(torch.linalg.matrix_norm(weight, ord=2)) < 1.5
    assert generator(torch.randn(2, 64)).shape == (2, 3, 64, 64)


def test_voices_and_faces_are_drawn_independently() -> None:
    faces, utterances, lengths = Groups.of([1, 3, 2]), Groups.of([4, 1, 1]), np.full(6, 50)
    batches = [
        independent_batch(faces, utterances, lengths, batch_size=400, crop_frames=(20, 30), seed=1, step=step)
        for step in range(5)
    ]
    speakers = np.concatenate([batch.speakers for batch in batches])
    shown = np.concatenate([batch.shown for batch in batches])
    np.testing.assert_allclose(np.bincount(speakers) / len(speakers), [4 / 6, 1 / 6, 1 / 6], atol=0.04)
    np.testing.assert_allclose(np.bincount(shown) / len(shown), [1 / 6, 3 / 6, 2 / 6], atol=0.04)
    assert abs(np.corrcoef(speakers, shown)[0, 1]) < 0.06
    for batch in batches:
        np.testing.assert_array_equal(batch.speakers, np.repeat(np.arange(3), [4, 1, 1])[batch.utterances])
        np.testing.assert_array_equal(batch.shown, np.repeat(np.arange(3), [1, 3, 2])[batch.faces])
        assert (batch.starts + batch.length <= 50).all()


@pytest.mark.long
@pytest.mark.parametrize(
    ("system", "preset"),
    [("voice2face", "tiny"), ("voice2face", "maniyar"), ("voice2face", "speech2face-gan"), ("avp_gan", "tiny")],
)
def test_trains_in_two_stages_and_makes_faces(
    tiny_snapshot: TinySnapshot, tmp_path: Path, system: str, preset: str
) -> None:
    run_dir = tmp_path / "run"
    trained = train(small(tiny_snapshot, run_dir, system, preset))
    assert trained.steps == 10
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["speakers"] * 2 + ["gan"] * 3
    assert all(np.isfinite(line["loss"]) for line in lines)
    generator = Trained(run_dir, torch.device("cpu"))
    faces = generator.decode(generator.embed(torch.randn(3, 40, 50)))
    assert faces.shape == (3, 3, 64, 64)
    assert generator.realness(faces).shape == (3,)


def test_the_encoder_is_frozen_in_the_second_stage(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    train(small(tiny_snapshot, before, "voice2face", steps=1))
    train(small(tiny_snapshot, after, "voice2face", steps=5))
    old, new = (load_checkpoint(run)["networks"] for run in (before, after))
    assert all(torch.equal(value, new["encoder"][name]) for name, value in old["encoder"].items())
    assert not torch.equal(old["generator"]["layers.0.weight"], new["generator"]["layers.0.weight"])


@pytest.mark.long
def test_the_general_the_female_and_the_male_model_are_three_runs_of_one_command(
    tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    orders = [ordered(root=".", system="voice2face", preset="speech2face-gan", sex=sex) for sex in ("all", "f", "m")]
    assert len({run_name(order, tiny_snapshot.id) for order in orders}) == 3
    judged = {}
    for order in orders:
        train(
            small(
                tiny_snapshot,
                tmp_path / order["sex"],
                **{key: order[key] for key in ("system", "preset", "sex")},
                steps=2,
            )
        )
        judged[order["sex"]] = evaluate(tmp_path / order["sex"], device="cpu")
    assert {sex: each["people"] for sex, each in judged.items()} == {"all": 5, "f": 2, "m": 3}
    trained_on = {sex: json.loads((tmp_path / sex / "config.json").read_text())["people"] for sex in judged}
    assert trained_on == {"all": 12, "f": 6, "m": 6}


@pytest.mark.long
def test_avp_gan_resumes_to_the_bit_and_is_judged(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(small(tiny_snapshot, whole, "avp_gan"))
    left = 7 + SMALL["embedder_steps"]

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    assert train(small(tiny_snapshot, broken, "avp_gan"), stop).interrupted
    train(small(tiny_snapshot, broken, "avp_gan"))
    states = [load_checkpoint(run)["networks"] for run in (whole, broken)]
    for name, network in states[0].items():
        for key, value in network.items():
            assert torch.equal(value, states[1][name][key]), (name, key)
    result = evaluate(whole, device="cpu", protocols=["avp", "voice2face"])
    assert result["system"] == "avp_gan"
    assert {table["table"] for table in result["tables"]} >= {"avp", "matching", "noise"}


def test_wrong_numbers_are_one_line() -> None:
    with pytest.raises(ConfigError, match="preset = 'tiny-cbam': no such preset of avp_gan; there are no-cbam"):
        avp_gan.make_preset("tiny-cbam", {})
    with pytest.raises(ConfigError, match=r"overrides\.kernel = 5: must be one of 3, 4"):
        make_preset("paper", {"kernel": 5})
    with pytest.raises(ConfigError, match=r"overrides\.attention = 'some': must be one of added, gates, none"):
        avp_gan.make_preset("paper", {"attention": "some"})
    with pytest.raises(ConfigError, match=r"overrides\.cbam: no such number"):
        avp_gan.make_preset("paper", {"cbam": 1})
    with pytest.raises(ConfigError, match=r"overrides\.last = 'doubling': the generator of avp_gan has 'conv"):
        avp_gan.make_preset("paper", {"last": "doubling"})


@pytest.mark.parametrize("preset", ["paper", "speech2face-gan"])
def test_a_run_of_voice2face_that_is_older_than_a_number_is_what_it_was(preset: str) -> None:
    """Before heads could have biases and the last layer could double, none had, and none did."""
    numbers = dataclasses.asdict(make_preset(preset, {"head_bias": False, "last": "convolution"}))
    del numbers["head_bias"], numbers["last"]
    older = make_preset(preset, numbers)
    assert (older.head_bias, older.last) == (False, "convolution")
    assert make_preset(preset, {"steps": 7}).head_bias, "a single number is an override of the preset as it is"


@pytest.mark.parametrize(("said", "attention"), [(True, "gates"), (False, "none")])
def test_a_run_of_an_older_version_computes_what_it_was_trained_to(said: bool, attention: str) -> None:
    numbers = dataclasses.asdict(avp_gan.TINY)
    del numbers["attention"]
    assert avp_gan.make_preset("tiny", {**numbers, "cbam": said}).attention == attention
    assert avp_gan.make_preset("tiny", numbers).attention == "added"
    with pytest.raises(ConfigError, match="can be halved 3 times"):
        make_preset("tiny", {"generator_channels": [8, 8]})
