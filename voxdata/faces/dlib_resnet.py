"""dlib's face recognition network: a residual network that embeds a face in 128 numbers, in torch, for inference.

Architecture: dlib's published example of metric learning (King 2017): a 7x7 convolution with stride 2, pooling, then
blocks of two 3x3 convolutions with a shortcut, of 32 to 256 channels (`LEVELS`), the mean over the picture, and a
linear layer. A block that halves the picture takes the mean of 2x2 pixels for its shortcut; where the two differ in
size or channels, the smaller one is filled up with zeros. Convolutions with a stride have no padding. Each is followed
by a scale and a shift per channel, which are folded into it. Shapes: N batch, C channels, H, W sides.

The weights come out of the published file without dlib. Of its serialisation only the tensors matter: each is written
as five integers (a format version of 2, then samples, channels, rows and columns) and its values as little-endian
floats, and they lie in the order in which a picture passes the layers. An integer is a byte that says how many bytes
follow, then those, smallest first. All tensors have one row and one column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from voxdata.format.errors import WeightsError

INPUT_PX = 150
MEAN_RGB = (122.782, 117.001, 104.298)  # subtracted from RGB 0..255, before it is divided by 256
SCALE = 256.0
STEM_CHANNELS, STEM_PX = 32, 7
# (channels, blocks, whether the first block halves the picture), as a picture passes them
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
EMBEDDING = 128
TENSOR_VERSION = 2

Array = npt.NDArray[np.float32]


class DlibResNet:
    """The network with the weights of a published file."""

    def __init__(self, data: bytes, source: str) -> None:
        """Raises `WeightsError` where the file has other tensors than the network."""
        shapes = list(_shapes())
        sizes = [(size, 1) for shape in shapes for size in _sizes(shape)]
        tensors = tensors_of(data, [*sizes, (_last_in(), EMBEDDING)], source)
        self._convolutions = [
            _folded(kernel, affine, shape)
            for kernel, affine, shape in zip(tensors[0:-1:2], tensors[1:-1:2], shapes, strict=True)
        ]
        self._linear = torch.from_numpy(tensors[-1].reshape(_last_in(), EMBEDDING).copy())

    @torch.no_grad()
    def __call__(self, pixels_NCHW: Tensor) -> Tensor:
        """Embeddings (N, 128), not of unit length, of RGB 0..255 as float32 (N, 3, 150, 150)."""
        mean = torch.tensor(MEAN_RGB).reshape(1, 3, 1, 1)
        convolutions = iter(self._convolutions)
        x = F.relu(F.conv2d((pixels_NCHW - mean) / SCALE, *next(convolutions), stride=2))
        x = F.max_pool2d(x, 3, 2)
        for _, blocks, halves in LEVELS:
            for block in range(blocks):
                smaller = halves and block == 0
                inner = F.relu(_three(x, *next(convolutions), halved=smaller))
                inner = _three(inner, *next(convolutions), halved=False)
                x = F.relu(_added(inner, F.avg_pool2d(x, 2, 2) if smaller else x))
        return x.mean(dim=(2, 3)) @ self._linear


def read_dlib_resnet(path: Path) -> DlibResNet:
    """The network of a published file. Raises `WeightsError`."""
    try:
        return DlibResNet(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None


def tensors_of(data: bytes, sizes: Iterable[tuple[int, int]], source: str) -> list[Array]:
    """The tensors of these (samples, channels) in a serialised dlib network, each flat, in their order; what lies
    between them is passed over. Raises `WeightsError` where one is missing."""
    found = []
    at = 0
    for number, (samples, channels) in enumerate(sizes, 1):
        head = header(samples, channels)
        at = data.find(head, at) + len(head)
        count = samples * channels
        if at < len(head) or len(data) - at < 4 * count:
            raise WeightsError(
                f"{source} is not dlib's face recognition network: its tensor {number}, of {count} values, is not there"
            )
        found.append(np.frombuffer(data, "<f4", count, at))
        at += 4 * count
    return found


def header(samples: int, channels: int) -> bytes:
    """What stands before the values of a tensor of one row and one column."""
    return b"".join(map(_integer, (TENSOR_VERSION, samples, channels, 1, 1)))


def _integer(value: int) -> bytes:
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "little")


def _shapes() -> Iterator[tuple[int, int, int]]:
    """(filters, channels, window) of each convolution, as a picture passes them."""
    yield STEM_CHANNELS, 3, STEM_PX
    channels = STEM_CHANNELS
    for filters, blocks, _ in LEVELS:
        for _ in range(blocks):
            yield filters, channels, 3
            yield filters, filters, 3
            channels = filters


def _last_in() -> int:
    return LEVELS[-1][0]


def _sizes(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Values of a convolution with its bias, and of the scale and shift that follow."""
    filters, channels, window = shape
    return filters * channels * window**2 + filters, 2 * filters


def _folded(kernel: Array, affine: Array, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    filters, channels, window = shape
    scale, shift = affine[:filters], affine[filters:]
    weight = kernel[:-filters].reshape(filters, channels, window, window) * scale[:, None, None, None]
    return torch.from_numpy(weight), torch.from_numpy(kernel[-filters:] * scale + shift)


def _three(x: Tensor, weight: Tensor, bias: Tensor, *, halved: bool) -> Tensor:
    return F.conv2d(x, weight, bias, stride=2 if halved else 1, padding=0 if halved else 1)


def _added(one: Tensor, other: Tensor) -> Tensor:
    """The sum of two, each filled up with zeros to the larger size (C, H, W)."""
    size = [max(a, b) for a, b in zip(one.shape[1:], other.shape[1:], strict=True)]
    return _filled(one, size) + _filled(other, size)


def _filled(x: Tensor, size: list[int]) -> Tensor:
    missing = [wanted - has for wanted, has in zip(size, x.shape[1:], strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else x
