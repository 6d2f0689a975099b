"""The networks of SF2F (main text section 4; Tables 9 to 11 of appendix D).

Shapes: B batch, F mel bins, T frames, K windows, D embedding, S side of the image, C channels. `mel_BFT` is a log-mel,
`embedding_BD` one unit vector per crop, `embedding_BKD` one per window, `image_B3SS` an image in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

EPSILON = 1e-12


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Table 9. The last of `channels` is the size of the embedding; each is split over the four kernels."""

    n_mels: int = 40
    channels: tuple[int, ...] = (256, 384, 576, 864, 512)
    kernels: tuple[int, ...] = (2, 3, 5, 7)


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Table 10. Each of `channels` doubles the side of the first map: six of them take one pixel to 64."""

    embedding: int = 512
    channels: tuple[int, ...] = (1024, 512, 256, 128, 64, 32)
    start_px: int = 1
    start_channels: int = 64


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Table 11. `outputs` is 2 for D_real and the number of training people for D_id."""

    channels: tuple[int, ...] = (64, 128, 256)
    hidden: int = 1024
    outputs: int = 2


class Inception1d(nn.Module):
    """Parallel strided convolutions over time, BatchNorm and ReLU, concatenated (Table 9, left)."""

    def __init__(self, channels_in: int, channels_out: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        width = channels_out // len(kernels)
        self.branches = nn.ModuleList(
            nn.Sequential(
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
    """Five 1D-Inception modules, mean over time, unit length (Table 9, right)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inputs = (config.n_mels, *config.channels[:-1])
        self.blocks = nn.Sequential(
            *(Inception1d(c_in, c_out, config.kernels) for c_in, c_out in zip(inputs, config.channels, strict=True))
        )

    def forward(self, mel_BFT: Tensor) -> Tensor:
        """(B, F, T) to unit vectors (B, D)."""
        return nnf.normalize(self.blocks(mel_BFT).mean(dim=2), eps=EPSILON)


class UpBlock(nn.Module):
    """Bilinear doubling, 3x3 convolution, ReLU, BatchNorm (Table 10, left; stride 1, see docs/papers.md)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, 2S, 2S)."""
        doubled = nnf.interpolate(x_BCSS, scale_factor=2.0, mode="bilinear", align_corners=False)
        fast = doubled.contiguous(memory_format=torch.channels_last)  # several times faster on a CPU
        return self.norm(nnf.relu(self.conv(fast)))  # type: ignore[no-any-return]


class FaceDecoder(nn.Module):
    """From an embedding to an image through up-blocks and a linear 1x1 convolution (Table 10, right).

    The table starts from one pixel, where only the padding of convolutions tells places apart. With `start_px` above 1
    a linear layer lays out the first map, as the released code does, which learns places much sooner.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.start_px = config.start_px
        width = config.embedding if config.start_px == 1 else config.start_channels
        self.start = nn.Identity() if config.start_px == 1 else nn.Linear(config.embedding, width * config.start_px**2)
        inputs = (width, *config.channels[:-1])
        self.blocks = nn.Sequential(
            *(UpBlock(c_in, c_out) for c_in, c_out in zip(inputs, config.channels, strict=True))
        )
        self.to_rgb = nn.Conv2d(config.channels[-1], 3, 1)

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """(B, D) to images (B, 3, S, S), about [-1, 1] and not clamped."""
        start_BCSS = self.start(embedding_BD).unflatten(1, (-1, self.start_px, self.start_px))
        return self.to_rgb(self.blocks(start_BCSS))  # type: ignore[no-any-return]


class EmbeddingFuser(nn.Module):
    """Self-attention over the windows of one voice and a linear layer on [mix, embedding] (section 4).

    It starts as the plain mean of the embeddings (even attention, halves of the identity), so that a short second
    training stage begins where the first one ended.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.score = nn.Linear(embedding, embedding, bias=False)
        self.mix = nn.Linear(2 * embedding, embedding)
        with torch.no_grad():
            self.score.weight.zero_()
            self.mix.weight.copy_(torch.eye(embedding).repeat(1, 2) / 2)
            self.mix.bias.zero_()

    def forward(self, embedding_BKD: Tensor, mask_BK: Tensor | None = None) -> Tensor:
        """(B, K, D) to unit vectors (B, D); windows where the mask is False count for nothing."""
        if mask_BK is None:
            mask_BK = torch.ones(embedding_BKD.shape[:2], dtype=torch.bool, device=embedding_BKD.device)
        scores_BKK = embedding_BKD @ self.score(embedding_BKD).transpose(1, 2)
        weights_BKK = scores_BKK.masked_fill(~mask_BK[:, None, :], -torch.inf).softmax(dim=2)
        fine_BKD = self.mix(torch.cat([weights_BKK @ embedding_BKD, embedding_BKD], dim=2))
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
                    nn.ReLU(inplace=True),
                )
                for c_in, c_out in zip(inputs, config.channels, strict=True)
            )
        )
        self.head = nn.Sequential(
            nn.Linear(config.channels[-1], config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.outputs),
        )

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """(B, 3, S, S) to logits (B, outputs)."""
        return self.head(self.trunk(image_B3SS).mean(dim=(2, 3)))  # type: ignore[no-any-return]
