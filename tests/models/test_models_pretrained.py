"""Published networks: keys and shapes, arithmetic against formulas of our own, and what files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from iresnet_writer import iresnet_onnx
from published_formulas import BLOCKS, conv, norm
from torch import nn

from models.embedders import PUBLISHED
from models.embedders.base import crop_box
from models.embedders.facenet import FaceNet
from models.embedders.iresnet import ArcFace, Block, IResNet, read_iresnet
from models.embedders.vggface2_resnet import MEAN_RGB, Bottleneck, VggFace2ResNet50, centred
from models.errors import PretrainedError
from models.pretrained import files
from models.pretrained.conv_norm import ConvNorm, fold_batchnorm
from models.pretrained.fid_inception import FidInception, MixedB, MixedD
from models.pretrained.tensors import fill, read_tensors
from models.pretrained.vgg19 import MEAN, STD, Vgg19
from models.systems.enhance.networks import Enhancer
from voxdata import weights as registry

FIXTURES = Path(__file__).parent / "fixtures"
"""`<name>.txt`: key and shape of every tensor of the published state dictionary, without batch counters."""

NETWORKS: dict[str, tuple[type[nn.Module], int]] = {
    "facenet": (FaceNet, 27_910_327),
    "w600k_r50": (IResNet, 43_590_848),
    "vggface2_resnet50": (VggFace2ResNet50, 41_192_951),
    "vgg19": (Vgg19, 143_667_240),
    "fid_inception": (FidInception, 23_850_960),
    "gfpgan": (Enhancer, 86_444_252),
}
"""The published networks and their parameter counts."""


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    lines = (FIXTURES / f"{name}.txt").read_text().splitlines()
    return {key: tuple(map(int, shape.split("x"))) for key, shape in map(str.split, lines)}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    state = network.state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and slopes that are not those of an untrained network, in evaluation mode."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            elif isinstance(module, nn.PReLU):
                module.weight.uniform_(0.1, 0.4)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def facenet() -> FaceNet:
    torch.manual_seed(0)
    network = randomised(FaceNet())
    assert isinstance(network, FaceNet)
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_shapes_and_counts_are_the_published_ones(name: str) -> None:
    make, parameters = NETWORKS[name]
    with torch.device("meta"):
        network = make()
    assert shapes_of(network) == published_shapes(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("name", ["facenet", "vgg19", "fid_inception", "gfpgan", "w600k_r50"])
def test_the_published_file_has_room_for_these_tensors_and_no_more(name: str) -> None:
    """float32 values and what names them; the ONNX export keeps one of the four values of a folded norm."""
    sizes = {key: torch.Size(shape).numel() for key, shape in published_shapes(name).items()}
    if name == "w600k_r50":
        kept = ("features.", "bn2.")
        statistics = [key for key in sizes if key.endswith(("running_mean", "running_var"))]
        followed = [key for key in statistics if not key.startswith(kept) and ".bn1." not in key]
        folded = sum(sizes[key] for key in followed) * 3 // 2
        sizes["folded"] = -folded
    published = registry.find(name).bytes
    assert published is not None
    assert 0 <= published - 4 * sum(sizes.values()) < 200_000


# --- arithmetic, from the keys alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BLOCKS)
def test_inception_blocks_compute_what_their_keys_say(name: str) -> None:
    make, channels, formula = BLOCKS[name]
    torch.manual_seed(0)
    block = randomised(make())
    x = torch.randn(2, channels, 5, 5)
    expected = formula(block.state_dict(), x)
    assert float(expected.abs().max()) > 0.5
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_residual_blocks_compute_what_their_keys_say(stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 6)
    iresnet, bottleneck = randomised(Block(8, 8, stride)), randomised(Bottleneck(8, 6, stride))
    s = iresnet.state_dict()
    out = norm(s, "bn2", conv(s, "conv1", norm(s, "bn1", x, 1e-5), padding=(1, 1)), 1e-5)
    out = torch.where(out > 0, out, out * s["prelu.weight"][:, None, None])
    out = norm(s, "bn3", conv(s, "conv2", out, stride=stride, padding=(1, 1)), 1e-5)
    skip = x if stride == 1 else norm(s, "downsample.1", conv(s, "downsample.0", x, stride=2), 1e-5)
    torch.testing.assert_close(iresnet(x), out + skip, atol=1e-5, rtol=1e-5)
    s = bottleneck.state_dict()
    out = norm(s, "bn1", conv(s, "conv1", x, stride=stride), 1e-5).clamp(min=0)
    out = norm(s, "bn2", conv(s, "conv2", out, padding=(1, 1)), 1e-5).clamp(min=0)
    out = norm(s, "bn3", conv(s, "conv3", out), 1e-5)
    out = out + norm(s, "downsample.1", conv(s, "downsample.0", x, stride=stride), 1e-5)
    torch.testing.assert_close(bottleneck(x), out.clamp(min=0), atol=1e-5, rtol=1e-5)


def test_vgg19_stops_at_the_last_map_and_takes_it_before_the_relu() -> None:
    with torch.device("meta"):
        network = Vgg19()
    maps = network(torch.empty(2, 3, 64, 64, device="meta"), ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"))
    assert [x.shape[1:] for x in maps] == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)]
    torch.manual_seed(0)
    for layer in network.features[:6]:
        layer.to_empty(device="cpu")
        for parameter in layer.parameters():
            nn.init.normal_(parameter, 0, 0.1)
    image = torch.rand(1, 3, 8, 8) * 2 - 1
    state = {key: value for key, value in network.state_dict().items() if value.device.type == "cpu"}
    x = ((image + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    x = conv(state, "features.0", x, padding=(1, 1)).clamp(min=0)
    before = conv(state, "features.2", x, padding=(1, 1))
    after = conv(state, "features.5", before.clamp(min=0).unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)), padding=(1, 1))
    with torch.no_grad():
        found = network(image, ("conv1_2", "relu1_2", "conv2_1"))
    for ours, expected in zip(found, (before, before.clamp(min=0), after), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_fid_inception_resizes_and_pools() -> None:
    with torch.device("meta"):
        network = FidInception()
    sides: dict[str, tuple[int, ...]] = {}
    for name in ("Mixed_5d", "Mixed_6e", "Mixed_7c"):
        getattr(network, name).register_forward_hook(lambda _m, _i, out, n=name: sides.update({n: tuple(out.shape)}))
    assert network(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 2048)
    assert sides == {"Mixed_5d": (2, 288, 35, 35), "Mixed_6e": (2, 768, 17, 17), "Mixed_7c": (2, 2048, 8, 8)}
    assert MixedB(8)(torch.zeros(1, 8, 5, 5)).shape == (1, 488, 2, 2)
    assert MixedD(8)(torch.zeros(1, 8, 5, 5)).shape == (1, 520, 2, 2)


def test_vggface2_takes_bgr_minus_a_mean_and_the_released_score_rgb() -> None:
    colour = torch.tensor([200.0, 100.0, 50.0])
    image = (colour / 127.5 - 1)[None, :, None, None].expand(1, 3, 64, 64)
    released, right = centred(image, "rgb"), centred(image, "bgr")
    assert right.shape == (1, 3, 224, 224)
    torch.testing.assert_close(released[0, :, 100, 100], colour - torch.tensor(MEAN_RGB), atol=1e-3, rtol=0)
    torch.testing.assert_close(right[0, :, 100, 100], (colour - torch.tensor(MEAN_RGB)).flip(0), atol=1e-3, rtol=0)
    with torch.device("meta"):
        network = VggFace2ResNet50()
    portrait = torch.empty(2, 3, 64, 64, device="meta")
    assert network.classify(portrait).shape == (2, 8631)
    maps = [tuple(x.shape[1:]) for x in network.features(portrait)]
    assert maps == [(512, 28, 28), (1024, 14, 14), (2048, 7, 7), (2048,)]


def test_facenet_gives_the_features_of_sf2f(facenet: FaceNet) -> None:
    image = torch.rand(2, 3, 64, 64, requires_grad=True)
    features = facenet.features(image)
    assert [tuple(x.shape[1:]) for x in features] == [(256, 15, 15), (896, 7, 7), (1792, 3, 3), (512,)]
    assert sum(x[0].numel() for x in features) == 118_144
    torch.testing.assert_close(features[-1].norm(dim=1), torch.ones(2))
    features[-1][:, 0].sum().backward()
    assert image.grad is not None
    outside = image.grad.clone()
    outside[:, :, round(0.195 * 64) - 1 : round(0.915 * 64) + 1, round(0.235 * 64) - 1 : round(0.765 * 64) + 1] = 0
    assert float(image.grad.abs().sum()) > 0
    assert float(outside.abs().sum()) == 0


def test_folded_batchnorm_changes_nothing_but_the_kernels(facenet: FaceNet) -> None:
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    folded = fill(FaceNet, facenet.state_dict(), Path("same")).freeze()
    before = folded.features(image)
    assert fold_batchnorm(folded) is folded
    norms = [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms == []
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    for ours, expected in zip(folded.features(image), before, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="ConvNorm is in training mode; freeze it"):
        fold_batchnorm(ConvNorm(3, 4, 3))


# --- files -----------------------------------------------------------------------------------------------------------


def small_iresnet() -> IResNet:
    return IResNet(blocks=(1, 1, 1, 2), channels=(4, 8, 8, 8))


@pytest.mark.parametrize("folded", [True, False])
def test_an_onnx_export_becomes_the_network_it_came_from(tmp_path: Path, folded: bool) -> None:
    torch.manual_seed(0)
    network = randomised(small_iresnet())
    assert isinstance(network, IResNet)
    path = tmp_path / "small.onnx"
    path.write_bytes(iresnet_onnx(network, folded=folded))
    x = torch.rand(1, 3, 112, 112) * 2 - 1
    read = read_iresnet(path, small_iresnet).eval()
    expected = network(x)
    with torch.no_grad():
        found = read(x)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (graph,) = session.run(["out"], {"data": x.numpy()})
    torch.testing.assert_close(found[-1], torch.from_numpy(graph), atol=1e-4, rtol=1e-4)


def test_another_onnx_file_is_no_iresnet(tmp_path: Path) -> None:
    network, path = small_iresnet(), tmp_path / "small.onnx"
    path.write_bytes(iresnet_onnx(network, folded=False, epsilon=2e-5))
    with pytest.raises(PretrainedError, match=r"small.onnx is not an export of IResNet-50: x.* has epsilon 2e-05"):
        read_iresnet(path, small_iresnet)
    path.write_bytes(iresnet_onnx(network, folded=True))
    with pytest.raises(PretrainedError, match=r"Conv x\d+ where layer1.2.bn1 belongs"):
        ArcFace.from_file(path)
    with pytest.raises(
        PretrainedError, match=r"does not fit IResNet: other shapes: .*bn1.weight \(4,\) for \(6,\).* and 28 more"
    ):
        read_iresnet(path, lambda: IResNet(blocks=(1, 1, 1, 2), channels=(6, 8, 8, 8)))
    with pytest.raises(PretrainedError, match=r"Conv x\d+ where fc belongs"):
        read_iresnet(path, lambda: IResNet(blocks=(1, 1, 1, 1), channels=(4, 8, 8, 8)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PretrainedError, match="is not an ONNX model"):
        ArcFace.from_file(path)


def test_arcface_sees_the_aligned_crop() -> None:
    torch.manual_seed(0)
    network = randomised(small_iresnet())
    assert isinstance(network, IResNet)
    portrait = torch.rand(1, 3, 128, 128) * 2 - 1
    *maps, embedding = ArcFace(network).features(portrait)
    assert [tuple(x.shape[1:]) for x in maps] == [(8, 28, 28), (8, 14, 14), (8, 7, 7)]
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(1))
    elsewhere = portrait.clone()
    elsewhere[:, :, :, :12] = 0
    torch.testing.assert_close(ArcFace(network).features(elsewhere)[-1], embedding)
    elsewhere[:, :, :, 12:20] = 0
    assert float((ArcFace(network).features(elsewhere)[-1] - embedding).abs().max()) > 1e-4


def test_a_torch_file_is_read_as_tensors_only_and_fits_exactly(facenet: FaceNet, tmp_path: Path) -> None:
    path = tmp_path / "facenet.pt"
    counters = [key for key in facenet.state_dict() if key.endswith("num_batches_tracked")]
    state = {key: value for key, value in facenet.state_dict().items() if key not in counters[3:]}
    torch.save(state, path)
    image = torch.rand(1, 3, 64, 64)
    read = FaceNet.from_file(path).freeze()
    torch.testing.assert_close(read.embed(image), facenet.embed(image))
    tensors = read_tensors(path)
    changed = {key: value for key, value in tensors.items() if not key.startswith("logits")}
    changed |= {"last_bn.weight": torch.ones(3), "head.weight": torch.ones(1)}
    with pytest.raises(PretrainedError) as refusal:
        fill(FaceNet, changed, path)
    assert str(refusal.value) == (
        f"{path} does not fit FaceNet: it lacks logits.weight, logits.bias; it has besides head.weight; "
        "other shapes: last_bn.weight (3,) for (512,)"
    )


def test_embedders_and_other_networks_are_the_registry_s_files() -> None:
    known = registry.registry()
    for name, published in files.PUBLISHED.items():
        assert (known[name].file, known[name].sha256) == (published.file, published.sha256)
    assert set(PUBLISHED) < set(files.PUBLISHED)
    assert set(NETWORKS) | {"mobilefacenet"} == set(files.PUBLISHED)


def test_a_box_is_cut_and_squeezed_to_a_square() -> None:
    rows, columns = torch.meshgrid(torch.arange(100.0), torch.arange(100.0), indexing="ij")
    image = torch.stack([rows, columns, rows])[None]
    crop = crop_box(image, 0.2, 0.1, 0.8, 0.9, side_px=40)[0]
    torch.testing.assert_close(crop[1, 0], torch.linspace(20.25, 78.75, 40), atol=0.01, rtol=0)
    torch.testing.assert_close(crop[0, :, 0], torch.linspace(10.5, 88.5, 40), atol=0.01, rtol=0)
