"""Shapes of Tables 9 to 11, the fuser's mathematics, the losses, and the presets."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from models.errors import ConfigError
from models.images import from_range, to_range
from models.systems.sf2f import losses
from models.systems.sf2f.networks import Discriminator, EmbeddingFuser, FaceDecoder, Inception1d, Pyramid, VoiceEncoder
from models.systems.sf2f.presets import (
    BASELINE_DECODER,
    BASELINE_ENCODER,
    CODE,
    CODE_MULTI,
    PAPER,
    PAPER_128,
    PAPER_MULTI,
    TINY,
    Preset,
    make_preset,
)
from models.systems.voice2face.networks import EncoderConfig, Generator, GeneratorConfig, SpeakerEncoder


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("frames", "steps"), [(100, 4), (125, 4), (150, 5), (8, 1)])
def test_encoder_shapes_of_table_9(frames: int, steps: int) -> None:
    encoder = VoiceEncoder(PAPER.encoder(40)).eval()
    x, widths, lengths = torch.randn(2, 40, frames), [], []
    with torch.no_grad():
        for block in encoder.blocks:
            x = block(x)
            widths.append(x.shape[1])
            lengths.append(x.shape[2])
        embedding = encoder(torch.randn(2, 40, frames))
    assert widths == [256, 384, 576, 864, 512]
    assert lengths[-1] == steps
    assert embedding.shape == (2, 512)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_parameter_counts_follow_from_the_tables() -> None:
    inputs, outputs = [40, 256, 384, 576, 864], [256, 384, 576, 864, 512]
    encoder = sum((2 + 3 + 5 + 7) * c_in * c_out // 4 + 2 * c_out for c_in, c_out in zip(inputs, outputs, strict=True))
    assert count(VoiceEncoder(PAPER.encoder(40))) == encoder
    widths = [512, 1024, 512, 256, 128, 64, 32]
    decoder = sum(9 * a * b + 3 * b for a, b in itertools.pairwise(widths)) + 32 * 3 + 3
    assert count(FaceDecoder(PAPER.decoder())) == decoder
    assert count(EmbeddingFuser(512)) == 512 * 512 + 1024 * 512 + 512
    trunk = 16 * (3 * 64 + 64 * 128 + 128 * 256) + 2 * (64 + 128 + 256)
    assert count(Discriminator(PAPER.d_id(2890)[0])) == trunk + 256 * 1024 + 1024 + 1024 * 2890 + 2890


def test_parameter_counts_of_the_released_code() -> None:
    assert count(VoiceEncoder(CODE.encoder(40))) == pytest.approx(4.85e6, abs=5e3)
    assert count(FaceDecoder(CODE.decoder())) == pytest.approx(11.57e6, abs=5e3)
    assert count(EmbeddingFuser(512, "code")) == pytest.approx(0.79e6, abs=5e3)


@pytest.mark.parametrize(
    ("preset", "sides"),
    [(PAPER, [64]), (PAPER_128, [128]), (PAPER_MULTI, [64, 128]), (CODE, [64]), (CODE_MULTI, [64, 128])],
)
def test_every_flavour_emits_its_sizes_and_judges_each(preset: Preset, sides: list[int]) -> None:
    decoder, d_real, d_id = FaceDecoder(preset.decoder()), Pyramid(preset.d_real()), Pyramid(preset.d_id(7))
    images = decoder.images(torch.randn(2, 512))
    assert [tuple(image.shape[1:]) for image in images] == [(3, side, side) for side in sides]
    assert preset.side_px == sides[-1]
    code = preset.flavour == "code"
    patches = [(2, side // 8 // scale, side // 8 // scale) for side, scale in zip(sides, (1, 2), strict=False)]
    assert [tuple(logits.shape[1:]) for logits in d_real(images)] == (patches if code else [(2,)] * len(sides))
    assert [logits.shape[1] for logits in d_id(images)] == [9 if code else 7] * len(sides)


def test_codes_encoder_takes_the_same_steps() -> None:
    blocks = VoiceEncoder(CODE.encoder(40)).eval().blocks
    assert blocks(torch.randn(1, 40, 125)).shape == (1, 512, 4)


def test_the_baselines_of_table_7_are_voice2face_s_networks() -> None:
    encoder, plain = (
        VoiceEncoder(BASELINE_ENCODER.encoder(40)).eval(),
        SpeakerEncoder(EncoderConfig(n_mels=40, channels=(256, 384, 576, 864, 512), last_norm=True)),
    )
    assert count(encoder) == count(plain)
    assert [type(each).__name__ for each in encoder.blocks] == ["Inception1d"] * 5
    assert encoder(torch.randn(2, 40, 125)).shape == (2, 512)
    decoder, theirs = (
        FaceDecoder(BASELINE_DECODER.decoder()).eval(),
        Generator(GeneratorConfig(embedding=512, kernel=3)),
    )
    assert BASELINE_DECODER.side_px == 64
    first = decoder.start.linear
    theirs.layers[0].weight.data.copy_(first.weight.detach().view(1024, 4, 4, 512).permute(3, 0, 1, 2))
    theirs.layers[0].bias.data.copy_(first.bias.detach().view(1024, 16)[:, 0])
    first.bias.data.copy_(theirs.layers[0].bias.detach()[:, None].expand(1024, 16).flatten())
    for ours, layer in zip(
        decoder.blocks, (each for each in theirs.layers[2:] if hasattr(each, "stride")), strict=False
    ):
        layer.load_state_dict(ours.conv.state_dict())
    theirs.layers[-1].load_state_dict(decoder.to_rgb[0].state_dict())
    voices = torch.nn.functional.normalize(torch.randn(2, 512))
    torch.testing.assert_close(decoder(voices), theirs(voices), rtol=1e-4, atol=1e-5)


def test_codes_fuser_works_on_projected_embeddings() -> None:
    torch.manual_seed(0)
    fuser = EmbeddingFuser(5, "code")
    assert fuser.mix.bias is None
    e, w = torch.randn(4, 5), fuser.score.weight
    weights = torch.softmax(torch.stack([torch.stack([(w @ e[i]) @ e[j] for j in range(4)]) for i in range(4)]), dim=1)
    f = torch.stack([fuser.mix.weight @ torch.cat([weights[i] @ e, w @ e[i]]) for i in range(4)]).mean(dim=0)
    torch.testing.assert_close(fuser(e[None])[0], f / f.norm())


def test_image_ranges_are_reversible() -> None:
    image = torch.rand(2, 3, 4, 4) * 2 - 1
    assert to_range(image, "symmetric") is image
    normalised = to_range(torch.ones(1, 3, 1, 1), "imagenet").flatten()
    torch.testing.assert_close(
        normalised, torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    )
    torch.testing.assert_close(from_range(to_range(image, "imagenet"), "imagenet"), image)


def test_tiny_is_the_size_that_trains_on_two_cores() -> None:
    assert 150_000 < count(VoiceEncoder(TINY.encoder(40))) < 250_000
    assert 300_000 < count(FaceDecoder(TINY.decoder())) < 450_000
    assert TINY.side_px == PAPER.side_px == 64


def test_decoder_and_discriminator_shapes_of_tables_10_and_11() -> None:
    decoder, x, shapes = FaceDecoder(PAPER.decoder()).eval(), torch.randn(1, 512, 1, 1), []
    discriminator = Discriminator(PAPER.d_real()[0]).eval()
    with torch.no_grad():
        for block in decoder.blocks:
            x = block(x)
            shapes.append((x.shape[1], x.shape[2]))
        image = decoder(torch.randn(1, 512))
        trunk = [image := layer(image) for layer in discriminator.trunk]
        logits = discriminator(decoder(torch.randn(1, 512)))
    assert shapes == [(1024, 2), (512, 4), (256, 8), (128, 16), (64, 32), (32, 64)]
    assert [tuple(x.shape[1:]) for x in trunk] == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]
    assert logits.shape == (1, 2)


def test_even_kernels_do_not_look_further_than_odd_ones() -> None:
    for frames in (9, 10):
        assert Inception1d(4, 8, (2, 3, 5, 7))(torch.randn(2, 4, frames)).shape == (2, 8, 5)


def test_fuser_starts_as_the_mean_of_the_valid_windows() -> None:
    windows = torch.nn.functional.normalize(torch.randn(3, 6, 16), dim=2)
    mask = torch.arange(6) < torch.tensor([[6], [2], [1]])
    fused = EmbeddingFuser(16)(windows, mask)
    expected = torch.stack([windows[i, :n].mean(dim=0) for i, n in enumerate((6, 2, 1))])
    torch.testing.assert_close(fused, torch.nn.functional.normalize(expected, dim=1))


def test_fuser_follows_the_papers_equations() -> None:
    torch.manual_seed(0)
    fuser = EmbeddingFuser(5)
    for parameter in fuser.parameters():
        torch.nn.init.normal_(parameter)
    e = torch.randn(4, 5)
    attended = []
    for i in range(4):
        scores = torch.stack([e[i] @ fuser.score.weight @ e[j] for j in range(4)])
        beta = torch.exp(scores) / torch.exp(scores).sum()
        a = sum(beta[j] * e[j] for j in range(4))
        attended.append(fuser.mix.weight @ torch.cat([a, e[i]]) + fuser.mix.bias)
    f = torch.stack(attended).mean(dim=0)
    padded = torch.cat([e, torch.full((2, 5), 9.0)])[None]
    mask = torch.tensor([[True] * 4 + [False] * 2])
    torch.testing.assert_close(fuser(padded, mask)[0], f / f.norm(), rtol=1e-4, atol=1e-5)


def test_losses_of_undecided_networks() -> None:
    even = torch.zeros(6, 2)
    assert float(losses.discriminator_real([even], [even])) == pytest.approx(2 * math.log(2))
    assert float(losses.adversarial([even])) == pytest.approx(math.log(2))
    assert float(losses.adversarial([even, torch.zeros(6, 2, 4, 4)])) == pytest.approx(2 * math.log(2))
    assert float(losses.identity([torch.zeros(3, 7)], torch.tensor([0, 3, 6]))) == pytest.approx(math.log(7))
    sure_real = torch.tensor([[-20.0, 20.0]])
    assert float(losses.adversarial([sure_real])) < 1e-6 < float(losses.adversarial([-sure_real]))


def test_perceptual_weights_go_with_the_last_features() -> None:
    fake = (torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 5))
    real = (torch.full((2, 3), 100.0), torch.full((2, 4), 2.0), torch.full((2, 5), 1.0))
    assert float(losses.perceptual(fake, real, (1.0,))) == pytest.approx(1.0)
    assert float(losses.perceptual(fake, real, (0.25, 1.0))) == pytest.approx(1.5)


def test_paper_preset_is_table_13() -> None:
    assert (PAPER.learning_rate, PAPER.beta_1, PAPER.beta_2, PAPER.batch_size) == (5e-4, 0.9, 0.98, 256)
    weights = (PAPER.weight_l1, PAPER.weight_adversarial, PAPER.weight_identity, PAPER.weight_perceptual)
    assert weights == (10, 1, 0.05, 100)
    assert (PAPER.steps, PAPER.fuser_steps) == (120_000, 360)


@pytest.mark.parametrize(
    ("name", "overrides", "line"),
    [
        ("huge", {}, "preset = 'huge'.*paper, .*tiny"),
        ("tiny", {"stepz": 3}, "overrides.stepz: no such number.*steps"),
        ("tiny", {"steps": "many"}, "overrides.steps = 'many': must be of type int"),
        ("tiny", {"steps": 2.5}, "overrides.steps = 2.5"),
        ("tiny", {"batch_size": 1}, "batch_size = 1"),
        ("tiny", {"crop_s": [2.0, 1.0]}, r"overrides.crop_s = \[2.0, 1.0\]: must be a range"),
        ("tiny", {"crop_s": 1.0}, r"overrides.crop_s = 1.0: must be a list"),
        ("tiny", {"encoder_channels": [10, 20]}, "multiple of 4"),
        ("tiny", {"encoder_kernels": [2, 3, 5]}, "split over 3 kernels, so must be a positive multiple of 3"),
        ("tiny", {"encoder_kernels": [1]}, r"overrides.encoder_kernels = \(1,\): must be a list of sizes from 2 on"),
        ("paper", {"decoder_deconvolution": True}, "overrides.decoder_deconvolution = True: goes with flavour paper"),
        ("tiny", {"flavour": "copy"}, "overrides.flavour = 'copy': must be one of paper, code"),
        ("tiny", {"outputs": 9}, "overrides.outputs = 9: must be from 1 to 4"),
        ("tiny", {"weight_l1": -1}, "overrides.weight_l1 = -1.0: must not be below 0"),
    ],
)
def test_a_wrong_number_is_one_line(name: str, overrides: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        make_preset(name, overrides)
