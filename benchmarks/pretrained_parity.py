"""Our networks beside public ones with the same random weights: python benchmarks/pretrained_parity.py

No weight file is needed. Public definitions are imported where they are installed (facenet-pytorch, pytorch-fid,
torchvision; best in an environment of their own) or read from files, `--iresnet` (InsightFace's
arcface_torch/backbones/iresnet.py), `--vggface2` (models/resnet.py of VGGFace2-pytorch) and `--gfpgan` (the folder
gfpgan/archs of GFPGAN; its basicsr is not needed). Differences are the largest
over all outputs, over the largest output. Where onnx is installed, IResNet-50 also goes through torch's exporter, as
the published file did. Last, what folding FaceNet's BatchNorm changes, in values and in time of one core.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as nnf
from figures import Figure, Section, show
from torch import Tensor, nn

from models.embedders.facenet import FaceNet
from models.embedders.iresnet import IResNet, read_iresnet
from models.embedders.vggface2_resnet import PEOPLE, VggFace2ResNet50
from models.pretrained.conv_norm import fold_batchnorm
from models.pretrained.fid_inception import FidInception
from models.pretrained.tensors import fill
from models.pretrained.vgg19 import Vgg19
from models.systems.enhance.networks import Enhancer

MUST = 1e-5
HERE = Path("random weights")
FACENET_PX = 140


def main() -> None:
    """Compare what can be compared."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--iresnet", type=Path, metavar="FILE", help="InsightFace's iresnet.py")
    parser.add_argument("--vggface2", type=Path, metavar="FILE", help="VGGFace2-pytorch's models/resnet.py")
    parser.add_argument("--gfpgan", type=Path, metavar="FOLDER", help="GFPGAN's gfpgan/archs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    comparisons: dict[str, Callable[[], float]] = {
        "FaceNet, facenet-pytorch": facenet,
        "VGG-19, torchvision": vgg19,
        "FID's Inception, pytorch-fid": fid_inception,
        "IResNet-50, InsightFace": lambda: iresnet(_module(options.iresnet)),
        "IResNet-50 through an ONNX export": lambda: exported(_module(options.iresnet)),
        "VGGFace2 ResNet-50, VGGFace2-pytorch": lambda: vggface2(_module(options.vggface2)),
        "GFP-GAN at 512 pixels, GFPGAN": lambda: gfpgan(options.gfpgan),
    }
    figures, notes = [], []
    for name, compare in comparisons.items():
        torch.manual_seed(0)
        try:
            with torch.no_grad():
                figures.append(Figure(name=name, value=compare(), n=1, must=MUST))
        except ImportError as error:
            notes.append(f"{name}: not compared ({error})")
    show(
        [Section(title="Difference to public code", figures=figures, notes=notes), folding()],
        "pretrained_parity",
    )


def facenet() -> float:
    """All of InceptionResnetV1, at 140 pixels."""
    public = _randomised(_import("facenet_pytorch.models.inception_resnet_v1").InceptionResnetV1(num_classes=PEOPLE))
    state = {**public.state_dict(), "logits.weight": torch.zeros(PEOPLE, 512), "logits.bias": torch.zeros(PEOPLE)}
    x = torch.randn(2, 3, FACENET_PX, FACENET_PX)
    ours = nnf.normalize(fill(FaceNet, state, HERE).eval()(x)[-1])
    return _difference(public(x), ours)


def vgg19() -> float:
    """The last map that GFP-GAN reads, before its ReLU."""
    public = _import("torchvision.models").vgg19(weights=None).eval()
    ours = fill(Vgg19, public.state_dict(), HERE)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    normal = _import("torchvision.transforms").Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return _difference(public.features[:35](normal((image + 1) / 2)), ours(image, ("conv5_4",))[0])


def fid_inception() -> float:
    """The features of FID, with the resizing."""
    library = _import("pytorch_fid.inception")
    public = library._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, c_in, c_pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        setattr(public, f"Mixed_{name}", library.FIDInceptionA(c_in, pool_features=c_pool))
    for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(public, f"Mixed_{name}", library.FIDInceptionC(768, channels_7x7=width))
    public.Mixed_7b, public.Mixed_7c = library.FIDInceptionE_1(1280), library.FIDInceptionE_2(2048)
    _randomised(public)
    library.fid_inception_v3 = lambda: public
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    whole = library.InceptionV3([3]).eval()
    ours = fill(FidInception, public.state_dict(), HERE).eval()
    return _difference(whole((image + 1) / 2)[0][:, :, 0, 0], ours(image))


def iresnet(library: ModuleType) -> float:
    """All of IResNet-50."""
    public = _iresnet(library)
    x = torch.rand(1, 3, 112, 112) * 2 - 1
    return _difference(public(x), fill(IResNet, public.state_dict(), HERE).eval()(x)[-1])


def exported(library: ModuleType) -> float:
    """The same, exported with its norms folded and read back."""
    _import("onnx")
    public = _iresnet(library)
    x = torch.rand(1, 3, 112, 112) * 2 - 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "iresnet50.onnx"
        torch.onnx.export(public, (x,), str(path), opset_version=11, dynamo=False)
        return _difference(public(x), read_iresnet(path).eval()(x)[-1])


def vggface2(library: ModuleType) -> float:
    """Logits of BGR and of RGB pictures."""
    public = _randomised(library.resnet50(num_classes=PEOPLE))
    ours = fill(VggFace2ResNet50, public.state_dict(), HERE).eval()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    mean = torch.tensor((131.0912, 103.8827, 91.4953))[:, None, None]
    rgb = nn.UpsamplingBilinear2d(size=(224, 224))((image + 1) * 127.5 - mean)
    return max(
        _difference(public(rgb), ours.classify(image, "rgb")),
        _difference(public(rgb.flip(1)), ours.classify(image)),
    )


def gfpgan(folder: Path | None) -> float:
    """The picture and the U-Net's, with the stored noise; noise, biases and what makes RGB are randomised."""
    settings = {"fix_decoder": False, "input_is_latent": True, "different_w": True, "sft_half": True}
    public = _gfpgan_module(folder).GFPGANv1Clean(512, channel_multiplier=2, **settings).eval()
    for name, parameter in public.named_parameters():
        if name.endswith(".bias") or parameter.numel() == 1 or ".to_rgb" in name:
            nn.init.normal_(parameter, std=0.1)
    image = torch.rand(1, 3, 512, 512) * 2 - 1
    found, pyramid = fill(Enhancer, public.state_dict(), HERE).eval()(image)
    expected, public_pyramid = public(image, randomize_noise=False)
    pairs = zip((expected, *public_pyramid), (found, *pyramid), strict=True)
    return max(_difference(theirs, ours) for theirs, ours in pairs)


@torch.no_grad()
def folding() -> Section:
    """FaceNet before and after its BatchNorm is folded."""
    torch.manual_seed(0)
    network = _randomised(FaceNet())
    folded = fold_batchnorm(fill(FaceNet, network.state_dict(), HERE).eval())
    x = torch.randn(4, 3, FACENET_PX, FACENET_PX)
    before_ms, after_ms = (_milliseconds(net, x) for net in (network, folded))
    return Section(
        title="Folding FaceNet's BatchNorm",
        figures=[
            Figure(name="difference", value=_difference(network(x)[-1], folded(x)[-1]), n=len(x), must=1e-4),
            Figure(name="before, ms per face forward", value=before_ms, n=len(x)),
            Figure(name="after, ms per face forward", value=after_ms, n=len(x)),
        ],
    )


def _iresnet(library: ModuleType) -> Any:
    public = _randomised(library.iresnet50())
    for module in public.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    return public


def _gfpgan_module(folder: Path | None) -> ModuleType:
    """GFPGAN's definitions without the parts of basicsr that register and initialise."""
    if folder is None:
        raise ImportError("its folder was not given")
    registry, util = ModuleType("basicsr.utils.registry"), ModuleType("basicsr.archs.arch_util")
    vars(registry)["ARCH_REGISTRY"] = SimpleNamespace(register=lambda: lambda network: network)
    vars(util)["default_init_weights"] = lambda *arguments, **settings: None
    package = ModuleType("archs")
    package.__path__ = [str(folder)]
    sys.modules |= {"archs": package, registry.__name__: registry, util.__name__: util}
    sys.modules |= {name: ModuleType(name) for name in ("basicsr", "basicsr.utils", "basicsr.archs")}
    return importlib.import_module("archs.gfpganv1_clean_arch")


def _milliseconds(network: nn.Module, x: Tensor) -> float:
    times = []
    for _ in range(5):
        started = time.process_time()
        network(x)
        times.append(time.process_time() - started)
    return 1000 * min(times) / len(x)


@torch.no_grad()
def _randomised(network: Any) -> Any:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def _difference(public: Tensor, ours: Tensor) -> float:
    return float((public - ours).abs().max() / public.abs().max())


def _import(name: str) -> Any:
    return importlib.import_module(name)


def _module(path: Path | None) -> ModuleType:
    if path is None:
        raise ImportError("its file was not given")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
