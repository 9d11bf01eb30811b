"""Published networks as the loop runs them: crops in, rotations or vertices out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mocap.models.independent_tokens import IndependentTokens, Tokens

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's RGB


class Upright(nn.Module):
    """Takes crops as the loop cuts them, (B, S, S, 3) in [0, 1]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION), persistent=False)

    def picture(self, image: Tensor) -> Tensor:
        """(B, 3, S, S), less ImageNet's mean and over its deviation."""
        return ((image - self.mean) / self.deviation).permute(0, 3, 1, 2)


class LivePose(Upright):
    """A network that gives ``R`` and ``betas`` of a picture."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = self.network(self.picture(image))
        return {"R": found["R"], "betas": found["betas"]}


class LiveClip(Upright):
    """Independent tokens: a new frame, with the tokens of the frames before it."""

    network: IndependentTokens

    def forward(self, image: Tensor, past: Tensor, known: Tensor) -> dict[str, Tensor]:
        """With past tokens (B, T - 1, 24, D), oldest first; this frame's stand in where ``known`` (B, T - 1) is 0."""
        seen = self.network.encode(self.picture(image)[:, None])
        before = torch.where(known[..., None, None] > 0, past, seen.joints)
        found = self.network.decode(Tokens(torch.cat([before, seen.joints], 1), seen.shape, seen.camera))
        return {"R": found["R"][:, -1], "betas": found["betas"][:, -1], "tokens": seen.joints[:, 0]}


class LiveMesh(Upright):
    """A network whose answer has ``vertices``."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"vertices": self.network(self.picture(image)).vertices}
