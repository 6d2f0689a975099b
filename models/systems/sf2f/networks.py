"""The networks of SF2F (main text section 4; Tables 9 to 11 of appendix D), as the paper and as its code have them.

Shapes: B batch, F mel bins, T frames, K windows, D embedding, S side of the image, C channels. `mel_BFT` is a log-mel,
`embedding_BD` one unit vector per crop, `embedding_BKD` one per window, `image_B3SS` an image in [-1, 1].
The two flavours differ where docs/papers.md says so; `flavour` in each configuration chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.precision import resized
from models.systems.base import EPSILON
from models.systems.voice2face.networks import doubling, started

Flavour: TypeAlias = Literal["paper", "code"]
LEAK = 0.1  # slope of the LeakyReLU in the code's discriminators


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Table 9. The last of `channels` is the size of the embedding; each is split over the kernels.

    One kernel of 3 is the plain convolutions of voice2face, the baseline encoder of Table 7. In the code's flavour the
    last block is a plain convolution, kernel 3 and stride 2.
    """

    n_mels: int = 40
    channels: tuple[int, ...] = (256, 384, 576, 864, 512)
    kernels: tuple[int, ...] = (2, 3, 5, 7)
    flavour: Flavour = "paper"


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Table 10. Each of `channels` doubles the side of the first map: six of them take one pixel to 64.

    `outputs` images are emitted, from the last block's and from those before it: 2 for 64 and 128 pixels (D.2.2).
    With `deconvolution` it is voice2face's generator, the baseline decoder of Table 7.
    """

    embedding: int = 512
    channels: tuple[int, ...] = (1024, 512, 256, 128, 64, 32)
    start_px: int = 1
    start_channels: int = 64
    outputs: int = 1
    deconvolution: bool = False
    flavour: Flavour = "paper"


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Table 11. `outputs` is 2 for D_real and the number of training people for D_id.

    The code's D_real judges patches (`patches`); its D_id says real or generated, too (`judges`, two further logits).
    """

    channels: tuple[int, ...] = (64, 128, 256)
    hidden: int = 1024
    outputs: int = 2
    patches: bool = False
    judges: bool = False
    flavour: Flavour = "paper"


class Inception1d(nn.Module):
    """Parallel strided convolutions over time, BatchNorm and ReLU, concatenated (Table 9, left)."""

    def __init__(self, channels_in: int, channels_out: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        width = channels_out // len(kernels)
        self.branches = nn.ModuleList(
            nn.Sequential(
                # No bias: the BatchNorm behind it takes any constant away again, and has a shift of its own.
                nn.Conv1d(channels_in, width, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(inplace=True),
            )
            for kernel in kernels
        )

    def forward(self, x_BCT: Tensor) -> Tensor:
        """(B, C_in, T) to (B, C_out, ceil(T / 2)); even kernels give one frame more, which is cut off."""
        frames = (x_BCT.shape[2] + 1) // 2
        return torch.cat([branch(x_BCT)[:, :, :frames] for branch in self.branches], dim=1)


class VoiceEncoder(nn.Module):
    """Five 1D-Inception modules, or four and a convolution; mean over time, unit length (Table 9, right)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inputs = (config.n_mels, *config.channels[:-1])
        blocks: list[nn.Module] = [
            Inception1d(c_in, c_out, config.kernels) for c_in, c_out in zip(inputs, config.channels, strict=True)
        ]
        if config.flavour == "code":
            blocks[-1] = nn.Conv1d(inputs[-1], config.channels[-1], 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, mel_BFT: Tensor) -> Tensor:
        """(B, F, T) to unit vectors (B, D)."""
        return nnf.normalize(self.blocks(mel_BFT).mean(dim=2), eps=EPSILON)


class UpBlock(nn.Module):
    """Bilinear doubling, 3x3 convolution, ReLU, BatchNorm (Table 10, left; stride 1, see docs/papers.md).

    In the code's flavour: nearest doubling, 3x3 convolution to twice the channels, BatchNorm, gated linear unit.
    """

    def __init__(self, channels_in: int, channels_out: int, flavour: Flavour) -> None:
        super().__init__()
        self.gated = flavour == "code"
        width = channels_out * (2 if self.gated else 1)
        self.conv = nn.Conv2d(channels_in, width, 3, padding=1, bias=not self.gated)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, 2S, 2S)."""
        # The doubled map is the largest tensor of a block: it stays in its own type (see `resized`).
        doubled = resized(x_BCSS, 2.0, "nearest" if self.gated else "bilinear")
        mapped: Tensor = self.conv(doubled.contiguous(memory_format=torch.channels_last))  # several times faster on CPU
        return nnf.glu(self.norm(mapped), dim=1) if self.gated else self.norm(nnf.relu(mapped))


class Deconvolution(nn.Module):
    """3x3 deconvolution with stride 2 and ReLU, as in Table 2 of voice2face; started as there."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = doubling(channels_in, channels_out, 3)

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, 2S, 2S)."""
        return nnf.relu(self.conv(x_BCSS))


class FirstMap(nn.Module):
    """From an embedding to the first map.

    The table starts from one pixel, where only the padding of convolutions tells places apart. With `start_px` above 1
    a linear layer lays out the first map, which learns places much sooner; the code's adds BatchNorm and a gated unit.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.side = config.start_px
        self.gated = config.flavour == "code"
        self.width = config.start_channels if self.gated or self.side > 1 else config.embedding
        size = self.width * self.side**2 * (2 if self.gated else 1)
        self.linear = nn.Linear(config.embedding, size) if size != config.embedding or self.gated else nn.Identity()
        self.norm = nn.BatchNorm1d(size) if self.gated else nn.Identity()
        self.rectified = config.deconvolution  # a linear layer from one pixel is voice2face's first deconvolution
        if self.rectified and isinstance(self.linear, nn.Linear):
            started(self.linear, 1)  # a unit vector's terms add up to a variance of 1, however many there are

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """(B, D) to (B, C, S, S)."""
        # Channel by channel: (C, S, S). So the two halves that a gated unit joins are halves of the channels, not of
        # the places.
        x_BX: Tensor = self.norm(self.linear(embedding_BD))
        flat_BX = nnf.glu(x_BX, dim=1) if self.gated else nnf.relu(x_BX) if self.rectified else x_BX
        return flat_BX.view(-1, self.width, self.side, self.side)


class FaceDecoder(nn.Module):
    """From an embedding to images through up-blocks and linear 1x1 convolutions (Table 10, right; D.2.2)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.start = FirstMap(config)
        inputs = (self.start.width, *config.channels[:-1])
        self.blocks = nn.Sequential(
            *(
                Deconvolution(c_in, c_out) if config.deconvolution else UpBlock(c_in, c_out, config.flavour)
                for c_in, c_out in zip(inputs, config.channels, strict=True)
            )
        )
        self.to_rgb = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in config.channels[-config.outputs :])

    def images(self, embedding_BD: Tensor) -> list[Tensor]:
        """(B, D) to images (B, 3, S, S), smallest first, in the range that training knows and not clamped."""
        x_BCSS, maps = self.start(embedding_BD), []
        for block in self.blocks:
            x_BCSS = block(x_BCSS)
            maps.append(x_BCSS)
        # Not clamped: an image that is too bright has to learn that from L1, and a clamp would stop its gradient there.
        return [head(x) for head, x in zip(self.to_rgb, maps[-len(self.to_rgb) :], strict=True)]

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """(B, D) to the largest images (B, 3, S, S)."""
        return self.images(embedding_BD)[-1]


class EmbeddingFuser(nn.Module):
    """Self-attention over the windows of one voice and a linear layer on [mix, embedding] (section 4).

    The paper's starts as the plain mean of the embeddings (even attention, halves of the identity), so that a short
    second training stage begins where the first one ended. The code's has W e in place of e and no bias.
    """

    def __init__(self, embedding: int, flavour: Flavour = "paper") -> None:
        super().__init__()
        self.projects = flavour == "code"
        self.score = nn.Linear(embedding, embedding, bias=False)
        self.mix = nn.Linear(2 * embedding, embedding, bias=not self.projects)
        if self.projects:
            return
        with torch.no_grad():
            # Scores of 0 attend evenly: a_i is the mean of all windows, whatever i is. [I I] / 2 then gives (mean +
            # e_i) / 2, and the mean over i of that is the mean again.
            self.score.weight.zero_()
            self.mix.weight.copy_(torch.eye(embedding).repeat(1, 2) / 2)
            self.mix.bias.zero_()

    def forward(self, embedding_BKD: Tensor, mask_BK: Tensor | None = None) -> Tensor:
        """(B, K, D) to unit vectors (B, D); windows where the mask is False count for nothing."""
        if mask_BK is None:
            mask_BK = torch.ones(embedding_BKD.shape[:2], dtype=torch.bool, device=embedding_BKD.device)
        # W_a is applied to e_j once per window and not once per pair: e_i^T (W e_j). The code has (W e_i) . e_j, the
        # same function with W transposed, but then goes on with W e in place of e.
        projected_BKD: Tensor = self.score(embedding_BKD)
        if self.projects:
            scores_BKK, own_BKD = projected_BKD @ embedding_BKD.transpose(1, 2), projected_BKD
        else:
            scores_BKK, own_BKD = embedding_BKD @ projected_BKD.transpose(1, 2), embedding_BKD
        # Masked columns get no weight. Masked rows are computed all the same, and left out of the mean below: shapes
        # must not depend on who has how much speech.
        weights_BKK = scores_BKK.masked_fill(~mask_BK[:, None, :], -torch.inf).softmax(dim=2)
        fine_BKD = self.mix(torch.cat([weights_BKK @ embedding_BKD, own_BKD], dim=2))
        kept_BK1 = mask_BK[:, :, None].to(fine_BKD.dtype)
        return nnf.normalize((fine_BKD * kept_BK1).sum(dim=1) / kept_BK1.sum(dim=1), eps=EPSILON)


class Discriminator(nn.Module):
    """Strided convolutions, average pooling and two linear layers; logits (Table 11). D_real and D_id are two of it."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        inputs = (3, *config.channels[:-1])
        self.trunk = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.LeakyReLU(LEAK, inplace=True) if config.flavour == "code" else nn.ReLU(inplace=True),
                )
                for c_in, c_out in zip(inputs, config.channels, strict=True)
            )
        )
        self.patches = config.patches
        if config.patches:
            self.head: nn.Module = nn.Conv2d(config.channels[-1], config.outputs, 1)
            return
        self.head = nn.Sequential(
            nn.Linear(config.channels[-1], config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.outputs + (2 if config.judges else 0)),
        )

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """(B, 3, S, S) to logits (B, outputs), the two of a judge last, or (B, outputs, S', S') of patches."""
        x_BCSS: Tensor = self.trunk(image_B3SS)
        return self.head(x_BCSS if self.patches else x_BCSS.mean(dim=(2, 3)))  # type: ignore[no-any-return]


class Pyramid(nn.Module):
    """One discriminator per size of image."""

    def __init__(self, configs: list[DiscriminatorConfig]) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(Discriminator(config) for config in configs)

    def forward(self, images: list[Tensor]) -> list[Tensor]:
        """Images (B, 3, S, S), smallest first, to the logits of each."""
        return [network(image) for network, image in zip(self.sizes, images, strict=True)]
