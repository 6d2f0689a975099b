"""What the blocks of published networks compute, from the keys of their state alone: formulas of our own."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.embedders.facenet import block8, block17, block35, mixed_6a, mixed_7a
from models.pretrained.fid_inception import MixedA, MixedC, MixedE


def conv(
    state: dict[str, Tensor], key: str, x: Tensor, *, stride: int = 1, padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """A convolution as a matrix product over unfolded patches."""
    weight = state[f"{key}.weight"]
    rows, columns = ((x.shape[d] + 2 * p - weight.shape[d]) // stride + 1 for d, p in zip((2, 3), padding, strict=True))
    patches = nnf.unfold(x, tuple(weight.shape[2:]), padding=padding, stride=stride)
    out = (weight.flatten(1) @ patches).unflatten(2, (rows, columns))
    return out + state[f"{key}.bias"][:, None, None] if f"{key}.bias" in state else out


def norm(state: dict[str, Tensor], key: str, x: Tensor, epsilon: float) -> Tensor:
    weight, bias, mean, var = (
        state[f"{key}.{name}"][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (var + epsilon) ** 0.5 * weight + bias


def basic(state: dict[str, Tensor], key: str, x: Tensor, *, stride: int = 1, pad: bool = True) -> Tensor:
    """Convolution, norm, ReLU; padded to the same size unless it strides or is told not to."""
    kernel = state[f"{key}.conv.weight"].shape[2:]
    padding = (kernel[0] // 2, kernel[1] // 2) if pad and stride == 1 else (0, 0)
    x = conv(state, f"{key}.conv", x, stride=stride, padding=padding)
    return norm(state, f"{key}.bn", x, 1e-3).clamp(min=0)


def chain(state: dict[str, Tensor], keys: list[str], x: Tensor, *, last_stride: int = 1) -> Tensor:
    for key in keys:
        x = basic(state, key, x, stride=last_stride if key == keys[-1] else 1)
    return x


def numbered(branch: int, count: int) -> list[str]:
    return [f"branch{branch}.{index}" for index in range(count)]


def residual(state: dict[str, Tensor], x: Tensor, depths: tuple[int, ...], scale: float, *, relu: bool) -> Tensor:
    parts = [chain(state, numbered(i, n) if n > 1 else [f"branch{i}"], x) for i, n in enumerate(depths)]
    out = x + scale * conv(state, "conv2d", torch.cat(parts, dim=1))
    return out.clamp(min=0) if relu else out


def reduction(state: dict[str, Tensor], x: Tensor, depths: tuple[int, ...]) -> Tensor:
    names = [numbered(i, n) if n > 1 else [f"branch{i}"] for i, n in enumerate(depths)]
    return torch.cat(
        [*(chain(state, keys, x, last_stride=2) for keys in names), x.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))], 1
    )


def mean_of_neighbours(x: Tensor) -> Tensor:
    ones = torch.ones_like(x)
    return sum_of_neighbours(x) / sum_of_neighbours(ones)


def sum_of_neighbours(x: Tensor) -> Tensor:
    return nnf.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).sum((4, 5))


def mixed(state: dict[str, Tensor], x: Tensor, branches: list[list[str]], pooled: Tensor) -> Tensor:
    return torch.cat([*(chain(state, keys, x) for keys in branches), basic(state, "branch_pool", pooled)], dim=1)


def mixed_e(state: dict[str, Tensor], x: Tensor, pooled: Tensor) -> Tensor:
    once, twice = basic(state, "branch3x3_1", x), chain(state, ["branch3x3dbl_1", "branch3x3dbl_2"], x)
    sides = [basic(state, f"branch3x3_2{side}", once) for side in "ab"]
    sides += [basic(state, f"branch3x3dbl_3{side}", twice) for side in "ab"]
    return torch.cat([basic(state, "branch1x1", x), *sides, basic(state, "branch_pool", pooled)], dim=1)


def maximum_of_neighbours(x: Tensor) -> Tensor:
    return nnf.pad(x, (1, 1, 1, 1), value=float("-inf")).unfold(2, 3, 1).unfold(3, 3, 1).amax((4, 5))


def steps(stem: str, count: int) -> list[str]:
    return [f"{stem}_{index}" for index in range(1, count + 1)]


Formula = Callable[[dict[str, Tensor], Tensor], Tensor]
BLOCKS: dict[str, tuple[Callable[[], nn.Module], int, Formula]] = {
    "block35": (block35, 256, lambda s, x: residual(s, x, (1, 2, 3), 0.17, relu=True)),
    "block17": (block17, 896, lambda s, x: residual(s, x, (1, 3), 0.1, relu=True)),
    "block8": (block8, 1792, lambda s, x: residual(s, x, (1, 3), 0.2, relu=True)),
    "last block8": (lambda: block8(scale=1.0, relu=False), 1792, lambda s, x: residual(s, x, (1, 3), 1.0, relu=False)),
    "mixed_6a": (mixed_6a, 256, lambda s, x: reduction(s, x, (1, 3))),
    "mixed_7a": (mixed_7a, 896, lambda s, x: reduction(s, x, (2, 2, 3))),
    "A": (
        lambda: MixedA(192, 32),
        192,
        lambda s, x: mixed(
            s, x, [["branch1x1"], steps("branch5x5", 2), steps("branch3x3dbl", 3)], mean_of_neighbours(x)
        ),
    ),
    "C": (
        lambda: MixedC(768, 128),
        768,
        lambda s, x: mixed(
            s, x, [["branch1x1"], steps("branch7x7", 3), steps("branch7x7dbl", 5)], mean_of_neighbours(x)
        ),
    ),
    "E": (lambda: MixedE(1280, maximum=False), 1280, lambda s, x: mixed_e(s, x, mean_of_neighbours(x))),
    "last E": (lambda: MixedE(2048, maximum=True), 2048, lambda s, x: mixed_e(s, x, maximum_of_neighbours(x))),
}
