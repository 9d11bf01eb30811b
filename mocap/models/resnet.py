"""ResNet (He et al. 2016) without its classifier, and the blocks that HRNet shares with it.

Submodules have torchvision's names, so its ImageNet weights load under :data:`RULES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.checkpoints import Rules


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes; the defaults are ResNet-50's."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)  # of the layers; three layers stop at stride 16, for small pictures
    width: int = 64  # channels of the stem; the four layers give 4, 8, 16 and 32 times as many

    @property
    def features(self) -> int:
        """Channels of the feature map."""
        return self.stride * self.width

    @property
    def stride(self) -> int:
        """px of the picture for a cell of the feature map."""
        return 2 ** (1 + len(self.blocks))


def conv_norm(inputs: int, outputs: int, size: int, stride: int = 1, relu: bool = False) -> nn.Sequential:
    """Convolution without a bias, batch norm and perhaps ReLU; keeps height and width up to the stride."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *[nn.ReLU()] * relu)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions, added to what enters: (B, C, H, W) -> same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + x)


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1 pixels, added to what enters: (B, C, H, W) -> (B, 4 width, H / stride, W / stride)."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.downsample = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


def bottlenecks(inputs: int, width: int, count: int, stride: int = 1) -> nn.Sequential:
    """Blocks one after the other, the first with the stride."""
    rest = (Bottleneck(4 * width, width) for _ in range(count - 1))
    return nn.Sequential(Bottleneck(inputs, width, stride), *rest)


class ResNet(nn.Module):
    """Pictures (B, 3, H, W) -> feature map (B, 32 width, H / 32, W / 32); as ``config.stride`` where layers lack."""

    def __init__(self, config: ResNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or ResNetConfig()
        width, blocks = self.config.width, self.config.blocks
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        self.layer1 = bottlenecks(width, width, blocks[0])
        for number, count in enumerate(blocks[1:], 2):
            inputs = 2**number * width  # four times as wide as the blocks of the layer before
            self.add_module(f"layer{number}", bottlenecks(inputs, inputs // 2, count, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, 1 + len(self.config.blocks)):
            x = self.get_submodule(f"layer{number}")(x)
        return x


_START = r"(?:^|(?<=backbone\.))"  # of the backbone's own names
# torchvision's names need none but the classifier's; the numbers are those of its children in a Sequential.
RULES: Rules = [
    (_START + r"fc\.", None),
    (_START + r"0\.", "conv1."),
    (_START + r"1\.", "bn1."),
    *((_START + rf"{number}\.", f"layer{number - 3}.") for number in range(4, 8)),
]
