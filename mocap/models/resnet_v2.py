"""ResNetV2 of BiT (Kolesnikov et al. 2020) as ViT's hybrids use it: standardised convolutions and group norms.

Unlike He et al.'s second version it activates after the sum, like the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.checkpoints import Rules

_EPS = 1e-5  # of weights' and features' deviations


@dataclass(frozen=True)
class ResNetV2Config:
    """Sizes; the defaults are ResNetV2-50's without its last stage, which INT uses."""

    layers: tuple[int, ...] = (3, 4, 9)  # bottlenecks of each stage
    channels: tuple[int, ...] = (256, 512, 1024)  # that each stage gives; four times those inside its bottlenecks
    stem: int = 64  # channels that the first convolution gives
    groups: int = 32  # of each norm

    @property
    def stride(self) -> int:
        """Pixels of the picture to a cell of the map: 16."""
        return int(4 * 2 ** (len(self.layers) - 1))


class ResNetV2(nn.Module):
    """Pictures (B, 3, H, W) -> map (B, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, config: ResNetV2Config) -> None:
        super().__init__()
        self.stem = StandardisedConv(3, config.stem, 7, 2, config.groups)
        widths = pairwise((config.stem, *config.channels))
        self.stages = nn.Sequential()
        for stage, (depth, (inputs, outputs)) in enumerate(zip(config.layers, widths, strict=True)):
            stride = 2 if stage else 1
            blocks = [Bottleneck(inputs, outputs, stride, config.groups)]
            blocks += [Bottleneck(outputs, outputs, 1, config.groups, project=False) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.relu(self.stem(pictures))
        # Nothing is below zero here, so that zeros beyond the border never win.
        out: Tensor = self.stages(F.max_pool2d(same_padded(x, 3, 2), 3, 2))
        return out


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolution, added to the input, which is projected where its size changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int, project: bool = True) -> None:
        super().__init__()
        inner = outputs // 4
        self.shortcut = StandardisedConv(inputs, outputs, 1, stride, groups) if project else nn.Identity()
        self.reduce = StandardisedConv(inputs, inner, 1, 1, groups)
        self.spread = StandardisedConv(inner, inner, 3, stride, groups)
        self.expand = StandardisedConv(inner, outputs, 1, 1, groups)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.spread(F.relu(self.reduce(x))))
        return F.relu(self.expand(inner) + self.shortcut(x))


class StandardisedConv(nn.Module):
    """Convolution whose filters are brought to mean 0 and deviation 1 (Qiao et al. 2019), then a group norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.GroupNorm(groups, outputs, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        filters = self.conv.weight - self.conv.weight.mean((1, 2, 3), keepdim=True)
        filters = filters / (filters.square().mean((1, 2, 3), keepdim=True).sqrt() + _EPS)
        out: Tensor = self.norm(F.conv2d(same_padded(x, self.kernel, self.stride), filters, stride=self.stride))
        return out


def same_padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Maps (B, C, H, W) with zeros around, as TensorFlow's "SAME" does: an odd one goes below and to the right."""
    height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


# Released names of the above (after a prefix), see mocap.models.checkpoints.
RULES: Rules = [
    (r"(stages\.\d+)\.blocks\.", r"\1."),
    (r"(stages\.\d+\.\d+)\.downsample\.", r"\1.shortcut."),
    (r"(stages\.\d+\.\d+)\.(conv|norm)1\.", r"\1.reduce.\2."),
    (r"(stages\.\d+\.\d+)\.(conv|norm)2\.", r"\1.spread.\2."),
    (r"(stages\.\d+\.\d+)\.(conv|norm)3\.", r"\1.expand.\2."),
]
