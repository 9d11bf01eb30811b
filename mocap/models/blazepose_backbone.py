"""BlazePose's landmark network as a backbone: its innermost feature map, by weights trained on photographs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.blazepose import LANDMARKER, build

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's RGB
MAP = "features_8"


@dataclass(frozen=True)
class BlazePoseConfig:
    """Nothing can be chosen: the weights are those inside the package ``mediapipe``."""

    frozen: bool = True  # its weights do not learn

    @property
    def features(self) -> int:
        """C, of the map: 288."""
        return int(LANDMARKER.outputs[MAP][1][-1])

    @property
    def cells(self) -> int:
        """Of a side of the map, whatever the picture: 8."""
        return int(LANDMARKER.outputs[MAP][1][0])

    @property
    def stride(self) -> int:
        """Of pictures of 256 px, to whose size all others are brought: 32."""
        return LANDMARKER.size // self.cells


class BlazePoseBackbone(nn.Module):
    """Pictures (B, 3, S, S), RGB less ImageNet's mean and over its deviation -> (B, 288, 8, 8).

    Maps that were made before, as by ``training.make_maps``, are taken for what they are.

    Raises:
        MocapError: mediapipe 0.10.21 is not installed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: BlazePoseConfig = BlazePoseConfig()) -> None:
        super().__init__()
        self.network = build(LANDMARKER, (MAP,)).requires_grad_(not config.frozen)
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        if picture.shape[1] != len(_MEAN):
            return picture
        rgb = (picture * self.deviation + self.mean).clamp(LANDMARKER.low, 1)
        rgb = F.interpolate(rgb, (LANDMARKER.size,) * 2, mode="bilinear", align_corners=False)
        found: Tensor = self.network(rgb.permute(0, 2, 3, 1))[MAP]
        return found.permute(0, 3, 1, 2)


class BlazePoseTokens(BlazePoseBackbone):
    """The same as tokens with learned places (B, 64, 288), row by row, in a vision transformer's stead."""

    def __init__(self, config: BlazePoseConfig = BlazePoseConfig()) -> None:
        super().__init__(config)
        self.place = nn.Parameter(nn.init.trunc_normal_(torch.empty(config.cells**2, config.features), std=0.02))

    def forward(self, picture: Tensor) -> Tensor:
        return super().forward(picture).flatten(2).transpose(1, 2) + self.place
