"""Swin Transformer V2 (Liu et al. 2022) without its classifier, PCT's backbone; written from the paper.

Tokens are cells of a map (B, H, W, C). They attend within square windows, by turns with windows that are shifted by
half their side; cosine attention, a bias from log-spaced offsets, norms after what is added (sections 3.2 and 3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models.layers import FeedForward, drop_samples

_FARTHEST = 8.0  # normalised offset to the far end of a window (section 3.3)
_STRONGEST = math.log(100.0)  # logarithm of the largest factor of a cosine
_LARGEST_BIAS = 16.0


@dataclass(frozen=True)
class SwinConfig:
    """Sizes; the defaults are SwinV2-B's with windows of 16, as PCT has it.

    Raises:
        MocapError: windows do not divide the maps of a picture of this side.
    """

    side: int = 256  # of the picture, px
    patch: int = 4  # side of a patch, px
    width: int = 128  # C of the first stage, twice as many in each next one, at half the resolution
    blocks: tuple[int, int, int, int] = (2, 2, 18, 2)  # of the stages
    heads: tuple[int, int, int, int] = (4, 8, 16, 32)
    window: int = 16  # side of the windows, cells; smaller maps are one window
    trained_window: int | None = None  # side that weights were trained with before, which offsets are counted by
    bias_hidden: int = 512  # of the network that gives the bias
    drop_path: float = 0.3  # share of samples that the last block is left out for, in training; from 0 linearly

    def __post_init__(self) -> None:
        whole = self.side % (8 * self.patch) == 0 and self.side > 0
        if not whole or any(cells % min(self.window, cells) for cells in self.maps):
            raise MocapError(
                f"Swin: expected a side that {8 * self.patch} divides, and maps that windows of {self.window} cells "
                f"divide; found {self.side} px with maps of {self.maps}"
            )

    @property
    def maps(self) -> list[int]:
        """Side of the stages' maps, cells."""
        return [self.side // self.patch // 2**stage for stage in range(4)]

    @property
    def features(self) -> int:
        """Channels of the feature map."""
        return 8 * self.width

    @property
    def stride(self) -> int:
        """Of the last map: 32."""
        return 8 * self.patch


class WindowAttention(nn.Module):
    """Cosine attention within windows of ``side`` × ``side`` cells: (N, side², C) -> same."""

    offsets: Tensor  # (O, 2) log-spaced
    which: Tensor  # (side², side²) the offset of each pair of cells

    def __init__(self, width: int, heads: int, side: int, trained: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_bias, self.value_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0)))  # of the cosines, its logarithm
        self.bias = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))
        self.out = nn.Linear(width, width)
        self.register_buffer("offsets", log_offsets(side, trained), persistent=False)
        self.register_buffer("which", offset_index(side), persistent=False)

    def forward(self, x: Tensor, blocked: Tensor | None = None) -> Tensor:
        """``blocked`` (n, side², side²) is True where a cell may not look, in each of the n windows of a picture."""
        no_bias = torch.zeros_like(self.query_bias)  # of keys
        qkv = F.linear(x, self.qkv.weight, torch.cat([self.query_bias, no_bias, self.value_bias]))
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        cosines = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2)
        logits = cosines * self.scale.clamp(max=_STRONGEST).exp() + self.place_bias()
        if blocked is not None:
            whole = logits.unflatten(0, (-1, len(blocked)))
            logits = whole.masked_fill(blocked[:, None], -math.inf).flatten(0, 1)
        heard = logits.softmax(-1) @ v
        out: Tensor = self.out(heard.transpose(1, 2).flatten(2))
        return out

    def place_bias(self) -> Tensor:
        """Of each pair of cells (heads, side², side²), 0 to 16."""
        by_offset = _LARGEST_BIAS * torch.sigmoid(self.bias(self.offsets))
        return by_offset[self.which].permute(2, 0, 1)


def log_offsets(side: int, trained: int) -> Tensor:
    """Row and column offsets in a window, ((2 side - 1)², 2), log-spaced: the farthest of a window of ``trained`` is
    log 9 / log 8."""
    steps = torch.arange(1 - side, side).float() * (_FARTHEST / max(trained - 1, 1))
    steps = steps.sign() * (steps.abs() + 1).log2() / math.log2(_FARTHEST)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).flatten(0, 1)


def offset_index(side: int) -> Tensor:
    """Row of :func:`log_offsets` for each pair of cells (side², side²), from the first to the second."""
    row, column = (place.flatten() for place in torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij"))
    down, across = (place[:, None] - place[None] + side - 1 for place in (row, column))
    return down * (2 * side - 1) + across


class SwinBlock(nn.Module):
    """Attention in windows and feed-forward, each normalised and then added: (B, H, H, C) -> same."""

    blocked: Tensor | None  # (n, side², side²)

    def __init__(self, config: SwinConfig, stage: int, shifted: bool, drop_path: float) -> None:
        super().__init__()
        cells, width = config.maps[stage], config.width * 2**stage
        self.side, self.drop_path = min(config.window, cells), drop_path
        self.shift = self.side // 2 if shifted and self.side < cells else 0
        trained = (config.trained_window or config.window) * self.side // config.window
        self.attention = WindowAttention(width, config.heads[stage], self.side, trained, config.bias_hidden)
        self.feed = FeedForward(width, 4 * width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        blocked = apart(cells, self.side, self.shift) if self.shift else None
        self.register_buffer("blocked", blocked, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        share = self.drop_path if self.training else 0.0
        x = x + drop_samples(self.attention_norm(self._attend(x)), share)
        return x + drop_samples(self.feed_norm(self.feed(x)), share)

    def _attend(self, x: Tensor) -> Tensor:
        """Cells look at those of their window."""
        if not self.shift:
            return joined(self.attention(windows(x, self.side)), x.shape[1])
        rolled = x.roll((-self.shift, -self.shift), (1, 2))
        found = joined(self.attention(windows(rolled, self.side), self.blocked), x.shape[1])
        return found.roll((self.shift, self.shift), (1, 2))


def windows(x: Tensor, side: int) -> Tensor:
    """Map (B, H, W, C) -> its windows, row by row (B H W / side², side², C)."""
    x = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # (B, H / side, side, W / side, side, C)
    return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def joined(x: Tensor, cells: int) -> Tensor:
    """The windows of square maps as one again: (B n, side², C) -> (B, cells, cells, C)."""
    side, count = math.isqrt(x.shape[1]), cells // math.isqrt(x.shape[1])
    x = x.unflatten(1, (side, side)).unflatten(0, (-1, count, count))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def apart(cells: int, side: int, shift: int) -> Tensor:
    """Where cells of a shifted map may not look, since the roll brought them side by side (n, side², side²)."""
    part = torch.zeros(cells, dtype=torch.int64)
    part[-side:], part[-shift:] = 1, 2
    label = windows((3 * part[:, None] + part)[None, ..., None], side)[..., 0]
    return label[:, :, None] != label[:, None]


class Merge(nn.Module):
    """Each 2 × 2 cells become one of twice the channels: (B, H, W, C) -> (B, H / 2, W / 2, 2 C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.norm = nn.Linear(4 * width, 2 * width, bias=False), nn.LayerNorm(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        out: Tensor = self.norm(self.reduce(torch.cat(parts, -1)))
        return out


class Swin(nn.Module):
    """Pictures (B, 3, S, S) -> last feature map (B, 8 width, S / 32, S / 32), for patches of 4."""

    def __init__(self, config: SwinConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SwinConfig()
        self.embed = nn.Conv2d(3, config.width, config.patch, config.patch)
        self.embed_norm = nn.LayerNorm(config.width)
        number, total = 0, sum(config.blocks)
        self.stages = nn.ModuleList()
        for stage, count in enumerate(config.blocks):
            shares = [config.drop_path * place / max(total - 1, 1) for place in range(number, number + count)]
            made = (SwinBlock(config, stage, place % 2 == 1, share) for place, share in enumerate(shares))
            self.stages.append(nn.Sequential(*made))
            number += count
        self.merges = nn.ModuleList(Merge(config.width * 2**stage) for stage in range(3))
        self.norm = nn.LayerNorm(config.features)
        for part in self.modules():
            if isinstance(part, SwinBlock):  # as released: at first they add nothing
                nn.init.zeros_(part.attention_norm.weight)
                nn.init.zeros_(part.feed_norm.weight)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.embed_norm(self.embed(picture).permute(0, 2, 3, 1))
        for number, stage in enumerate(self.stages):
            x = stage(x if number == 0 else self.merges[number - 1](x))
        out: Tensor = self.norm(x).permute(0, 3, 1, 2)
        return out
