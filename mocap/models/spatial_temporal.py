"""MAED's attention, within a frame and along a clip in one layer (Wan et al. 2021): a variant of INT (table 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.layers import Attention


class SpatialTemporalAttention(Attention):
    """Self-attention among the tokens of a frame and, beside it, of each token over time: (B, T, N, D) -> same.

    Both have the same queries, keys and values. How much of each is taken, entry by entry, is read off what they heard,
    averaged over the frame's tokens (MAED; Wan et al. 2021).
    """

    def __init__(self, width: int, heads: int, bias: bool = True) -> None:
        super().__init__(width, heads, bias=bias)
        self.shares = nn.Linear(2 * width, 2 * width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, blocked: Tensor | None = None) -> Tensor:
        heads = [
            layer(x).unflatten(-1, (self.heads, -1))
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, values))
        ]  # (B, T, N, heads, D / heads)
        in_space = F.scaled_dot_product_attention(*(x.transpose(2, 3) for x in heads)).transpose(2, 3).flatten(3)
        order = (0, 2, 3, 1, 4)
        over_time = F.scaled_dot_product_attention(*(x.permute(order) for x in heads)).permute(0, 3, 1, 2, 4).flatten(3)
        heard = torch.cat([in_space, over_time], -1).mean(2, keepdim=True)
        shares = self.shares(heard).unflatten(-1, (-1, 2)).softmax(-1)
        out: Tensor = self.out(in_space * shares[..., 0] + over_time * shares[..., 1])
        return out
