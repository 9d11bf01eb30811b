"""Layers that several networks share."""

from __future__ import annotations

import math
from collections.abc import Callable

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


Activation = Callable[[Tensor], Tensor]


class Attention(nn.Module):
    """Multi-head attention of T tokens (B, T, D) to S others (B, S, C) -> (B, T, D).

    Args:
        width: D.
        heads: Number of heads.
        head_width: Entries of a head; D / heads when not given.
        context: C; D when not given.
        bias: Of queries, keys and values; the last projection has one always.
        dropout: Of the attention's weights, in training.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int | None = None,
        context: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inner, context = heads * (head_width or width // heads), context or width
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, inner, bias)
        self.key, self.value = nn.Linear(context, inner, bias), nn.Linear(context, inner, bias)
        self.out = nn.Linear(inner, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, blocked: Tensor | None = None) -> Tensor:
        """``blocked`` (T, S) is True where a token may not look."""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, values))
        )
        seen = None if blocked is None else ~blocked
        heard = F.scaled_dot_product_attention(q, k, v, seen, self.dropout if self.training else 0.0)
        out: Tensor = self.out(heard.transpose(-2, -3).flatten(-2))
        return out


class FeedForward(nn.Module):
    """Two linear layers with an activation between, (..., D) -> (..., D)."""

    def __init__(self, width: int, hidden: int, activation: Activation = F.gelu, dropout: float = 0.0) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(self.dropout(self.activation(self.wide(x))))
        return out


class PreNormBlock(nn.Module):
    """Self-attention, cross-attention where there is a ``context``, feed-forward; each on normalised tokens and added.

    With positions it is a layer of DETR's transformer (pre-norm); without them one of ViT's, or of minGPT's when
    ``blocked`` is causal.

    Args:
        width: D, entries of a token.
        heads: Of each attention.
        hidden: Of the feed-forward part.
        head_width, bias: See :class:`Attention`.
        context: Entries of the tokens that cross-attention looks at; None: there is none.
        activation: Of the feed-forward part.
        eps: Of the norms.
        dropout: Of attention weights, hidden units and what is added, in training.
        drop_path: Share of the samples of which nothing is added, in training (stochastic depth).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        head_width: int | None = None,
        context: int | None = None,
        bias: bool = True,
        activation: Activation = F.gelu,
        eps: float = 1e-5,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width, eps)
        self.self_attention = Attention(width, heads, head_width, None, bias, dropout)
        if context is not None:
            self.cross_norm = nn.LayerNorm(width, eps)
            self.cross_attention = Attention(width, heads, head_width, context, bias, dropout)
        self.feed_norm = nn.LayerNorm(width, eps)
        self.feed = FeedForward(width, hidden, activation, dropout)
        self.drop, self.drop_path = nn.Dropout(dropout), drop_path

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        place: Tensor | None = None,
        memory_place: Tensor | None = None,
        blocked: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, T, D) -> same.

        Args:
            memory: (B, S, C), what cross-attention looks at.
            place, memory_place: Positions, added to queries and keys; broadcast to the tokens.
            blocked: (T, T), True where self-attention may not look.
        """
        normed = self.self_norm(x)
        asked = normed if place is None else normed + place
        x = x + self._kept(self.self_attention(asked, asked, normed, blocked))
        if memory is not None:
            normed = self.cross_norm(x)
            asked = normed if place is None else normed + place
            keys = memory if memory_place is None else memory + memory_place
            x = x + self._kept(self.cross_attention(asked, keys, memory))
        return x + self._kept(self.feed(self.feed_norm(x)))

    def _kept(self, added: Tensor) -> Tensor:
        return drop_samples(self.drop(added), self.drop_path if self.training else 0.0)


def drop_samples(x: Tensor, share: float) -> Tensor:
    """Stochastic depth: zeros in place of that share of the samples (B, ...), and the others as much larger."""
    if not share:
        return x
    kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= share
    return x * kept / (1 - share)


class MixerLayer(nn.Module):
    """A layer of MLP-Mixer (Tolstikhin et al.) on (B, T, D): feed-forward across the tokens, then within each."""

    def __init__(self, width: int, hidden: int, tokens: int, token_hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.token_norm, self.token_mix = nn.LayerNorm(width), FeedForward(tokens, token_hidden, F.gelu, dropout)
        self.norm, self.mix = nn.LayerNorm(width), FeedForward(width, hidden, F.gelu, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.token_mix(self.token_norm(x).transpose(-1, -2)).transpose(-1, -2)
        out: Tensor = x + self.mix(self.norm(x))
        return out


class DenseBlock(nn.Module):
    """Linear layer, norm, ReLU: (..., inputs) -> (..., outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.linear(x)))


def sine_positions(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """DETR's positions of a map's cells, row by row: (height * width, dim), rows in the first half, columns in the
    second (Vaswani et al. in two dimensions, normalised to 2 pi)."""
    half = dim // 2
    place = torch.arange(half, device=device) // 2 * 2
    period = 10000 ** (place / half)

    def wave(count: int) -> Tensor:
        angle = (torch.arange(1, count + 1, device=device) / (count + 1e-6) * 2 * math.pi)[:, None] / period
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], -1).flatten(1)

    rows, columns = wave(height), wave(width)
    cells = [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)]
    return torch.cat(cells, -1).flatten(0, 1)
