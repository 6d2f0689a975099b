"""The enhancer: the prior and its steering by hand, alignment, degradation, every loss, and its fine-tuning."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from enhance_kit import NETWORKS, SMALL, Colour, enhance_config
from snapshot_writer import TinySnapshot
from torch import Tensor, nn

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.errors import ConfigError
from models.systems.enhance import losses
from models.systems.enhance.alignment import COMPONENTS, MOUTH, component, from_ffhq, to_ffhq
from models.systems.enhance.critics import ComponentCritic, ImageCritic, batch_deviation
from models.systems.enhance.degradation import Degradation, blur_kernel, blurred, degrade, through_jpeg
from models.systems.enhance.networks import Enhancer, EnhancerConfig
from models.systems.enhance.presets import make_preset
from models.systems.enhance.stylegan2 import ModulatedConv, StyleConv, channel_split_sft
from models.systems.enhance.system import Enhancement
from models.train import train
from models.training.checkpoint import load_checkpoint
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT

# --- networks --------------------------------------------------------------------------------------------------------


def test_parameter_counts_and_widths_at_full_size() -> None:
    with torch.device("meta"):
        wide, slim = Enhancer(), Enhancer(EnhancerConfig(multiplier=1))
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (wide, slim)]
    assert counts == [86_444_252, 76_207_244]
    assert wide.latents == 16
    assert wide.config.sides == (4, 8, 16, 32, 64, 128, 256, 512)
    assert wide.config.decoder_channels == (512, 512, 512, 512, 512, 256, 128, 64)
    assert slim.config.decoder_channels == (512, 512, 512, 512, 256, 128, 64, 32)


def test_shapes() -> None:
    image, pyramid = Enhancer(SMALL)(torch.zeros(2, 3, 32, 32))
    assert [tuple(x.shape) for x in (image, *pyramid)] == [(2, 3, side, side) for side in (32, 8, 16, 32)]
    assert ImageCritic(SMALL.decoder_channels)(image).shape == (2,)
    patch, maps = ComponentCritic((4, 6, 8))(torch.zeros(2, 3, 80, 80))
    assert [tuple(x.shape) for x in (patch, *maps)] == [(2, 1, 20, 20), (2, 6, 40, 40), (2, 8, 20, 20)]


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("upsample", [True, False])
def test_modulated_convolution_is_each_sample_s_own_convolution(demodulate: bool, upsample: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(6, 5, 3, 8, demodulate=demodulate, upsample=upsample)
    x, latent = torch.randn(3, 6, 4, 4), torch.randn(3, 8)
    found = layer(x, latent)
    for sample in range(3):
        style = layer.modulation.weight @ latent[sample] + layer.modulation.bias
        weight = layer.weight[0] * style[None, :, None, None]
        if demodulate:
            weight = torch.stack([filters / (filters.square().sum() + 1e-8).sqrt() for filters in weight])
        one = x[sample : sample + 1]
        if upsample:
            one = nnf.interpolate(one, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(found[sample : sample + 1], nnf.conv2d(one, weight, padding=1), atol=1e-5, rtol=1e-5)


def test_a_demodulated_convolution_does_not_care_how_large_the_style_is() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(6, 5, 3, 8)
    nn.init.zeros_(layer.modulation.bias)
    x, latent = torch.randn(1, 6, 4, 4), torch.randn(1, 8)
    torch.testing.assert_close(layer(x, 7 * latent), layer(x, latent), atol=1e-5, rtol=1e-4)


def test_noise_and_bias_come_after_the_gain() -> None:
    layer = StyleConv(1, 1, 2)
    with torch.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.fill_(-3.0)
    noise = torch.tensor([[[[2.0, 8.0]]]])
    out = layer(torch.zeros(1, 1, 1, 2), torch.ones(1, 2), noise)
    torch.testing.assert_close(out, torch.tensor([[[[-2.0 * 0.2, 1.0]]]]))


def test_sft_leaves_the_first_half_of_the_channels_alone() -> None:
    x = torch.arange(8.0).view(1, 4, 1, 2)
    scale, shift = torch.tensor([2.0, 3.0]).view(1, 2, 1, 1), torch.tensor([10.0, 20.0]).view(1, 2, 1, 1)
    expected = torch.tensor([[0.0, 1.0], [2.0, 3.0], [18.0, 20.0], [38.0, 41.0]]).view(1, 4, 1, 2)
    torch.testing.assert_close(channel_split_sft(x, scale, shift), expected)


def test_the_stored_noise_gives_the_same_picture_and_other_noise_another() -> None:
    torch.manual_seed(0)
    network = Enhancer(SMALL).requires_grad_(False)
    for module in network.modules():
        if isinstance(module, StyleConv):
            nn.init.constant_(module.weight, 0.1)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    first, again = network(image)[0], network(image)[0]
    sides = network.stylegan_decoder.noise_sides()
    assert sides == [4, 8, 8, 16, 16, 32, 32]
    assert [noise.shape[-1] for noise in network.stylegan_decoder.stored_noise()] == sides
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    other = network(image, [torch.randn(2, 1, side, side) for side in sides])[0]
    assert float((other - first).abs().max()) > 1e-3


def test_the_discriminator_sees_how_much_a_batch_differs() -> None:
    x = torch.stack([torch.zeros(2, 3, 3), torch.full((2, 3, 3), 4.0)])
    torch.testing.assert_close(batch_deviation(x), torch.full((2, 1, 3, 3), 2.0))
    torch.testing.assert_close(batch_deviation(x[:1]), torch.full((1, 1, 3, 3), 1e-4))


# --- alignment and degradation ---------------------------------------------------------------------------------------


def ramp(side: int) -> Tensor:
    """Pixel centres in shares of the side: x, y, x."""
    places = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(places, places, indexing="ij")
    return torch.stack([x, y, x])[None]


def test_pupils_of_a_portrait_come_to_ffhq_s_eyes_and_back() -> None:
    aligned = to_ffhq(ramp(256), 512)[0]
    for pupil, eye in ((PUPIL_LEFT, (192.98, 239.95)), (PUPIL_RIGHT, (318.90, 240.19))):
        x, y = (round(value - 0.5) for value in eye)
        assert float(aligned[0, y, x]) == pytest.approx(pupil[0], abs=1.5 / 512)
        assert float(aligned[1, y, x]) == pytest.approx(pupil[1], abs=1.5 / 512)
    back = from_ffhq(to_ffhq(ramp(256), 256), 256)
    inner = slice(8, -8)
    torch.testing.assert_close(back[:, :, inner, inner], ramp(256)[:, :, inner, inner], atol=1e-3, rtol=0)


def test_components_are_cut_where_ffhq_has_them_pixel_by_pixel() -> None:
    image = 512 * ramp(512)
    for name, (x, y, box) in COMPONENTS.items():
        patch = component(image, name)[0]
        assert patch.shape == (3, box, box)
        places = torch.arange(box) + 0.5 - box / 2
        torch.testing.assert_close(patch[0, 0], (x + places).float(), atol=1e-2, rtol=0)
        torch.testing.assert_close(patch[1, :, 0], (y + places).float(), atol=1e-2, rtol=0)
    assert pytest.approx((257.175, 371.281), abs=1e-3) == MOUTH


def test_a_sample_between_pixels_is_their_mean() -> None:
    image = torch.zeros(1, 3, 512, 512)
    x, _, box = COMPONENTS["left_eye"]
    left = x - box / 2
    column = int(left) + 10
    image[:, :, :, column] = 1.0
    patch = component(image, "left_eye")[0, 0, 40]
    share = left % 1
    expected = torch.zeros(box)
    expected[10] += 1 - share
    expected[9] += share
    torch.testing.assert_close(patch, expected.float(), atol=1e-3, rtol=0)


def test_a_blur_is_a_mean_that_keeps_flat_pictures_flat() -> None:
    rng = np.random.default_rng(0)
    kernels = [blur_kernel(41, (0.1, 10.0), 1.0, rng) for _ in range(20)]
    assert all(float(kernel.sum()) == pytest.approx(1, abs=1e-5) and float(kernel.min()) >= 0 for kernel in kernels)
    round_ones = sum(bool(torch.allclose(kernel, kernel.T, atol=1e-6)) for kernel in kernels)
    assert 3 <= round_ones <= 17
    flat = torch.full((1, 3, 64, 64), 0.25)
    torch.testing.assert_close(blurred(flat, kernels[0]), flat, atol=1e-5, rtol=0)
    point = torch.zeros(1, 3, 83, 83)
    point[:, :, 41, 41] = 1.0
    torch.testing.assert_close(blurred(point, kernels[1])[0, 2, 21:62, 21:62], kernels[1].flip(0, 1))


def test_degradation_is_drawn_from_its_generator_alone_and_keeps_the_size() -> None:
    image = torch.rand(3, 3, 64, 64) * 2 - 1
    first, again, other = (degrade(image, Degradation(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == image.shape
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert float((first - other).abs().max()) > 0.01
    mild = Degradation(blur_sigma=(0.01, 0.02), downsample=(1.0, 1.0), noise=(0.0, 0.0), jpeg=(100, 100))
    harsh = Degradation(blur_sigma=(9.0, 10.0), downsample=(8.0, 8.0), noise=(0.0, 0.0), jpeg=(60, 60))
    smooth = nnf.interpolate(torch.rand(2, 3, 8, 8) * 2 - 1, (64, 64), mode="bilinear")
    rng = np.random.default_rng(0)
    near, far = (float((degrade(smooth, ranges, rng) - smooth).abs().mean()) for ranges in (mild, harsh))
    assert near < 0.02 < 3 * near < far
    gray = torch.full((1, 3, 16, 16), 1 / 255)
    torch.testing.assert_close(through_jpeg(gray, 90), gray, atol=1e-6, rtol=0)


# --- losses ----------------------------------------------------------------------------------------------------------


def test_gram_and_what_is_made_of_it_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4
    torch.testing.assert_close(losses.gram(x), expected)
    zero = torch.zeros_like(x)
    mean = float(expected.mean())
    assert float(losses.component_style_loss([x, x], [zero, zero])) == pytest.approx(1.5 * mean)
    assert float(losses.perceptual_style_loss([x] * 5, [zero] * 5)) == pytest.approx(3.2 * mean)
    maps = [torch.full((1, 1, 2, 2), float(index)) for index in range(1, 6)]
    none = [torch.zeros(1, 1, 2, 2)] * 5
    assert float(losses.perceptual_loss(maps, none)) == pytest.approx(0.1 * 1 + 0.1 * 2 + 3 + 4 + 5)


def test_pixel_and_pyramid_losses_by_hand() -> None:
    clean = torch.zeros(1, 3, 16, 16)
    clean[:, :, :, 8:] = 1.0
    assert float(losses.pixel_loss(torch.zeros_like(clean), clean)) == pytest.approx(0.5)
    small = torch.zeros(1, 3, 8, 8)
    small[:, :, :, 4:] = 1.0
    assert float(losses.pyramid_loss((small, clean), clean)) == pytest.approx(0)
    assert float(losses.pyramid_loss((small + 0.25, clean - 0.5), clean)) == pytest.approx(0.75)


def test_adversarial_losses_by_hand() -> None:
    odds = torch.tensor([0.0, 2.0])
    assert float(losses.fooling_loss(odds)) == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)
    expected = math.log1p(math.exp(-3)) + math.log1p(math.exp(-1))
    assert float(losses.judging_loss(torch.tensor([3.0]), torch.tensor([-1.0]))) == pytest.approx(expected)
    image = torch.randn(2, 3, 4, 4, requires_grad=True)
    penalty = losses.gradient_penalty((image * 3).sum(dim=(1, 2, 3)), image)
    assert float(penalty) == pytest.approx(9 * 48 / 2)


def test_identity_loss_has_the_scale_of_embeddings_of_mean_square_one() -> None:
    a, b = torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert float(losses.identity_loss(a, b)) == pytest.approx(float((2 * a - 2 * b).abs().mean()))
    assert float(losses.identity_loss(a, a)) == 0


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_it_trains_with_finite_losses_and_resumes_to_the_bit(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(enhance_config(tiny_snapshot, whole))
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    names = {"l1", "adversarial", "component", "component_style", "identity", "discriminator", "r1", "loss"}
    assert all(names <= line.keys() and all(math.isfinite(line[name]) for name in names) for line in lines)
    assert ["pyramid" in line for line in lines] == [True, True, True, False]
    assert [line["r1"] > 0 for line in lines] == [True, False, True, False]
    left = 2 + NETWORKS["embedder_steps"]

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    assert train(enhance_config(tiny_snapshot, broken), stop).interrupted
    assert train(enhance_config(tiny_snapshot, broken)).steps == 4
    ours, theirs = (load_checkpoint(folder)["networks"] for folder in (whole, broken))
    assert ours.keys() == {"enhancer", "average", "critic", *COMPONENTS}
    for name, state in ours.items():
        for key, value in state.items():
            torch.testing.assert_close(value, theirs[name][key], atol=0, rtol=0, msg=f"{name} {key}")
    moved = [key for key in ours["enhancer"] if not torch.equal(ours["enhancer"][key], ours["average"][key])]
    assert {key.partition(".")[0] for key in moved} >= {"conv_body_first", "final_linear", "stylegan_decoder"}


def test_it_learns_to_restore(tiny_snapshot: TinySnapshot) -> None:
    system = enhancement(tiny_snapshot, weight_l1=1.0, learning_rate=1e-3)
    lost = [float(system.step("enhance", step)["l1"]) for step in range(12)]
    assert np.mean(lost[-3:]) < 0.6 * np.mean(lost[:3])


def enhancement(snapshot: TinySnapshot, **changes: Any) -> Enhancement:
    preset = make_preset("tiny", {**NETWORKS, "weight_identity": 0.0, **changes})
    store = Store(
        open_snapshot(str(snapshot.root), snapshot.id),
        split="train",
        front_end="torch40",
        side_px=preset.side_px,
        cache=snapshot.root / "cache",
        device=torch.device("cpu"),
    )
    return Enhancement(preset, store, Colour(), hop_s=0.01, seed=0)


def test_the_sum_of_the_losses_has_the_preset_s_weights(tiny_snapshot: TinySnapshot) -> None:
    weights = {"weight_l1": 0.3, "weight_component_style": 7.0, "weight_identity": 2.0, "weight_pyramid": 0.5}
    weights |= {"weight_adversarial": 0.1, "weight_component": 1.5}
    system = enhancement(tiny_snapshot, **weights)
    system.vgg = lambda image: tuple(nnf.avg_pool2d(image, 2) for _ in range(5))  # type: ignore[assignment]
    system.preset = make_preset("tiny", {**NETWORKS, **weights, "weight_perceptual": 0.7, "weight_style": 5.0})
    found = system.step("enhance", 0)
    by_hand = {
        "l1": 0.3,
        "pyramid": 0.5,
        "perceptual": 0.7,
        "style": 5.0,
        "adversarial": 0.1,
        "component": 1.5,
        "component_style": 7.0,
        "identity": 2.0,
    }
    assert float(found["loss"]) == pytest.approx(sum(w * float(found[name]) for name, w in by_hand.items()), rel=1e-5)


def test_a_prior_can_be_left_alone(tiny_snapshot: TinySnapshot) -> None:
    system = enhancement(tiny_snapshot, train_prior=False)
    before = {key: value.clone() for key, value in system.enhancer.state_dict().items()}
    system.step("enhance", 0)
    changed = {key for key, value in system.enhancer.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert not any(key.startswith("stylegan_decoder") for key in changed)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"side_px": 48}, "overrides.side_px = 48: must be a power of 2 from 32"),
        ({"start": "published"}, "overrides.start = 'published': GFPGANv1.4.pth has 512 pixels"),
        ({"jpeg": [60, 120]}, r"overrides.jpeg = \[60, 120\]: a quality is at most 100"),
        ({"noise": [5, 1]}, "overrides.noise"),
        ({"weight_r1": -1}, "overrides.weight_r1 = -1.0: must not be below 0"),
        ({"average": 1.0}, "overrides.average = 1.0: must be below 1"),
        ({"narrow": 0.001}, "overrides.narrow = 0.001"),
    ],
)
def test_a_wrong_number_is_one_line(change: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        make_preset("tiny", change)
