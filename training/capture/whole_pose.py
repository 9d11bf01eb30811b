"""The other way to learn from time (INT, Tab. 2): the whole pose as one token, in place of each joint by itself."""

from __future__ import annotations

from torch import Tensor, nn

from mocap.models.regressor import NUM_QUERIES
from mocap.models.temporal import JointTemporal, TemporalConfig


class WholePoseTemporal(nn.Module):
    """Takes the place of :class:`JointTemporal` in training, for comparison: all tokens of a frame are squeezed into
    one, which goes through the same transformer; what it learns from time is added to each of them. At first the
    identity.
    """

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__()
        self.temporal = JointTemporal(config)
        self.squeeze = nn.Linear(NUM_QUERIES * config.width, config.width)
        self.spread = nn.Linear(config.width, NUM_QUERIES * config.width)
        nn.init.zeros_(self.spread.weight)
        nn.init.zeros_(self.spread.bias)

    def forward(self, tokens: Tensor, t: Tensor, known: Tensor, causal: Tensor) -> Tensor:
        """As :class:`JointTemporal`."""
        pose = self.squeeze(tokens.flatten(-2))[..., None, :]
        heard = self.temporal(pose, t, known, causal)[..., 0, :]
        return tokens + self.spread(heard).unflatten(-1, tokens.shape[-2:])
