"""FastMETRO's encoder and decoder, on which VQ-HPS and PostoMETRO build (Cho et al. 2022; DETR's layers, pre-norm)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.checkpoints import Rules
from mocap.models.layers import PreNormBlock


class EncoderDecoder(nn.Module):
    """Tokens of a picture are encoded; others are decoded while they look at them.

    Args:
        width: Entries of a token.
        heads, hidden, dropout: See :class:`PreNormBlock`.
        encoder_layers, decoder_layers: Numbers of blocks.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, encoder_layers: int, decoder_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()

        def blocks(count: int, context: int | None) -> nn.ModuleList:
            made = (
                PreNormBlock(width, heads, hidden, context=context, activation=F.relu, dropout=dropout)
                for _ in range(count)
            )
            return nn.ModuleList(made)

        self.encoder, self.encoder_norm = blocks(encoder_layers, None), nn.LayerNorm(width)
        self.decoder, self.decoder_norm = blocks(decoder_layers, width), nn.LayerNorm(width)

    def encode(self, tokens: Tensor, place: Tensor) -> Tensor:
        """(B, S, D) with positions that broadcast to them, zeros where a token has none -> (B, S, D)."""
        for block in self.encoder:
            tokens = block(tokens, place=place)
        out: Tensor = self.encoder_norm(tokens)
        return out

    def decode(self, tokens: Tensor, memory: Tensor, memory_place: Tensor, blocked: Tensor | None = None) -> Tensor:
        """(B, T, D) that look at memory (B, S, D) with positions that broadcast to it -> (B, T, D).

        ``blocked`` (T, T) is True where a decoded token may not look at another.
        """
        for block in self.decoder:
            tokens = block(tokens, memory, memory_place=memory_place, blocked=blocked)
        out: Tensor = self.decoder_norm(tokens)
        return out


# The released names of the above (after a prefix), see mocap.models.checkpoints.
RULES: Rules = [
    (r"(encoder|decoder)\.norm\.", r"\1_norm."),
    (r"(encoder|decoder)\.layers\.(\d+)\.", r"\1.\2."),
    (r"(encoder\.\d+)\.norm2\.", r"\1.feed_norm."),
    (r"(decoder\.\d+)\.norm2\.", r"\1.cross_norm."),
    (r"(decoder\.\d+)\.norm3\.", r"\1.feed_norm."),
    (r"((?:encoder|decoder)\.\d+)\.norm1\.", r"\1.self_norm."),
    (r"\.linear1\.", ".feed.wide."),
    (r"\.linear2\.", ".feed.narrow."),
    (r"\.self_attn\.", ".self_attention."),
    (r"\.multihead_attn\.", ".cross_attention."),
]
