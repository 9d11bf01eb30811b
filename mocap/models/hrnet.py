"""HRNet (Wang et al. 2020) with the head of the released VQ-HPS: all resolutions brought down to the coarsest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.checkpoints import Rules
from mocap.models.resnet import BasicBlock, bottlenecks, conv_norm


@dataclass(frozen=True)
class HRNetConfig:
    """Sizes; the defaults are HRNet-W48's."""

    width: int = 48  # channels of the finest branch; each next one has twice as many, at half the resolution
    modules: tuple[int, int, int] = (1, 4, 3)  # exchanges of the stages with two, three and four branches
    blocks: int = 4  # of a branch between two exchanges, and of the stem
    stem: int = 64  # channels of the stem, times four after its blocks

    @property
    def widths(self) -> list[int]:
        """Channels of the four branches."""
        return [self.width * 2**branch for branch in range(4)]

    @property
    def features(self) -> int:
        """Channels of the feature map."""
        return sum(self.widths)

    @property
    def stride(self) -> int:
        """px of the picture for a cell of the feature map."""
        return 32


class Exchange(nn.Module):
    """Residual blocks in each branch, then every branch takes in all others: maps -> maps of the same sizes."""

    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        branches = (nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.branches = nn.ModuleList(branches)
        count = len(widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_bridge(widths, source, target) for source in range(count)) for target in range(count)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        rows = ([bridge(x) for bridge, x in zip(row, maps, strict=True)] for row in self.fuse_layers)  # type: ignore
        return [F.relu(reduce(torch.add, row)) for row in rows]


def _bridge(widths: list[int], source: int, target: int) -> nn.Module:
    """From one branch's map to the size of another's."""
    inputs, outputs = widths[source], widths[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*conv_norm(inputs, outputs, 1), nn.Upsample(scale_factor=2 ** (source - target)))
    steps = [conv_norm(inputs, inputs, 3, 2, relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_norm(inputs, outputs, 3, 2))


class HRNet(nn.Module):
    """Pictures (B, 3, H, W) -> feature map (B, 15 width, H / 32, W / 32). H and W are multiples of 32."""

    def __init__(self, config: HRNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or HRNetConfig()
        stem, widths, blocks = self.config.stem, self.config.widths, self.config.blocks
        self.stem = nn.Sequential(
            *conv_norm(3, stem, 3, 2, relu=True),
            *conv_norm(stem, stem, 3, 2, relu=True),
            *bottlenecks(stem, stem, blocks),
        )
        self.narrow = conv_norm(4 * stem, widths[0], 3, relu=True)
        before = [4 * stem, *widths[1:]]
        self.widen = nn.ModuleList(conv_norm(before[i], widths[i + 1], 3, 2, relu=True) for i in range(3))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Exchange(widths[: branches + 2], blocks) for _ in range(modules)))
            for branches, modules in enumerate(self.config.modules)
        )
        self.shrink = nn.ModuleList(
            nn.Sequential(*(layer for _ in range(3 - branch) for layer in conv_norm(width, width, 3, 2, relu=True)))
            for branch, width in enumerate(widths[:3])
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        maps = [self.narrow(x)]
        for widen, stage in zip(self.widen, self.stages, strict=True):
            maps = stage([*maps, widen(x)])
            x = maps[-1]
        coarse = [shrink(x) for shrink, x in zip(self.shrink, maps, strict=False)]
        return torch.cat([*coarse, maps[-1]], 1)


_START = r"(?:^|(?<=backbone\.))"  # of the backbone's own names
RULES: Rules = [
    (_START + r"final_layer\.", None),  # heatmaps that nothing reads
    (_START + r"conv1\.", "stem.0."),
    (_START + r"bn1\.", "stem.1."),
    (_START + r"conv2\.", "stem.3."),
    (_START + r"bn2\.", "stem.4."),
    *((_START + rf"layer1\.{block}\.", f"stem.{6 + block}.") for block in range(4)),
    (_START + r"transition1\.0\.", "narrow."),
    *((_START + rf"transition{step}\.{step}\.0\.", f"widen.{step - 1}.") for step in (1, 2, 3)),
    *((_START + rf"stage{step + 1}\.", f"stages.{step - 1}.") for step in (1, 2, 3)),
    *((_START + rf"downsample_stage_{step}\.", f"shrink.{step - 1}.") for step in (1, 2, 3)),
]
