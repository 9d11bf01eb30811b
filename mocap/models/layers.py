"""Layers that several networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and feed-forward layer, (..., T, D) -> same; at first the identity.

    ``forward`` attends among the T tokens. Its parts are there for those who keep keys and values, or turn them.

    Args:
        width: D, entries of a token.
        heads: Of the attention.
        expansion: Hidden width of the feed-forward part, times D.
    """

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        for last in (self.out, self.narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, D) -> (..., T, D)."""
        return self.hear(x, self.ask(x), *self.remember(x))

    def ask(self, x: Tensor) -> Tensor:
        """Queries (..., heads, T, D / heads) of tokens (..., T, D)."""
        return self._split(self.query(self.before(x)))

    def remember(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, each (..., heads, T, D / heads), of tokens (..., T, D)."""
        keys, values = self.key_value(self.before(x)).chunk(2, -1)
        return self._split(keys), self._split(values)

    def hear(self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None = None) -> Tensor:
        """Tokens (..., T, D) after attending to S keys and values, where ``seen`` (..., heads or 1, T, S) is True."""
        # Written out: PyTorch's fused kernel takes five times as long backwards, in bfloat16 on a CPU.
        scores = queries * queries.shape[-1] ** -0.5 @ keys.transpose(-2, -1)
        if seen is not None:
            scores = scores.masked_fill(~seen, -torch.inf)
        heard = scores.softmax(-1) @ values
        x = x + self.out(heard.transpose(-2, -3).flatten(-2))
        out: Tensor = x + self.narrow(F.gelu(self.wide(self.between(x))))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
