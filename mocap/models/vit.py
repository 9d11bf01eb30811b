"""The transformers of HMR2.0 and TokenHMR (section 4.4): ViTPose's backbone (Xu et al. 2022), and the decoder whose
token gathers what the heads need from the backbone's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mocap.models.checkpoints import VIT_BLOCK, Rules
from mocap.models.layers import PreNormBlock


@dataclass(frozen=True)
class VitConfig:
    """Sizes; the defaults are ViT-H/16's, 630.9 M parameters."""

    height: int = 256  # px, of what is looked at
    width: int = 192  # px, of what is looked at: the middle of a wider picture
    margin: int = 32  # px, cut off the picture's left and right
    patch: int = 16  # px, side of a patch
    overlap: int = 1  # patches follow each other after patch / overlap px
    dim: int = 1280  # entries of a token
    layers: int = 32  # blocks
    heads: int = 16  # of each block's attention
    expansion: float = 4.0  # hidden width of the feed-forward parts, times dim
    bias: bool = True  # of queries, keys and values
    drop_path: float = 0.55  # share of samples that the last block is left out for, in training; from 0 linearly
    last_norm: bool = True  # the tokens that come out are normalised
    eps: float = 1e-6  # of all norms

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.height // self.patch * self.overlap, self.width // self.patch * self.overlap


VIT_H = VitConfig()


class VisionTransformer(nn.Module):
    """Picture -> tokens, one a patch."""

    def __init__(self, config: VitConfig = VIT_H) -> None:
        super().__init__()
        self.config = config
        rows, columns = config.grid
        # The released padding, 2 for patches without overlap: the picture's border pixels come 2 px into a patch.
        padding = 4 + 2 * (config.overlap // 2 - 1)
        self.patch = nn.Conv2d(3, config.dim, config.patch, config.patch // config.overlap, padding)
        self.place = nn.Parameter(torch.empty(1, 1 + rows * columns, config.dim))
        self.blocks = nn.ModuleList(
            PreNormBlock(
                config.dim,
                config.heads,
                int(config.dim * config.expansion),
                bias=config.bias,
                eps=config.eps,
                drop_path=config.drop_path * layer / max(config.layers - 1, 1),
            )
            for layer in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim, config.eps) if config.last_norm else nn.Identity()
        self._start()

    def forward(self, image: Tensor) -> Tensor:
        """Pictures (B, 3, height, width + 2 margin), normalised -> tokens (B, rows * columns, dim), row by row."""
        margin = self.config.margin
        x = self.patch(image[..., margin : image.shape[-1] - margin]).flatten(2).transpose(1, 2)
        # The first place is the class token's, which is not there; the released network adds it to every patch.
        x = x + self.place[:, 1:] + self.place[:, :1]
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def _start(self) -> None:
        nn.init.trunc_normal_(self.place, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the transformer between the picture's tokens and the heads."""

    width: int = 1024  # entries of a token
    layers: int = 6  # blocks
    heads: int = 8  # of each attention
    head_width: int = 64  # entries of a head
    hidden: int = 1024  # of the feed-forward parts
    context: int = 1280  # entries of the picture's tokens
    tokens: int = 1  # that are decoded
    token_dim: int = 1  # entries of one before it is embedded
    dropout: float = 0.0  # of attention weights, hidden units and what a block adds, in training


DECODER = DecoderConfig()


class QueryDecoder(nn.Module):
    """Tokens that attend to each other and to the picture's, in pre-norm blocks without a norm at the end."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed = nn.Linear(config.token_dim, config.width)
        self.place = nn.Parameter(torch.randn(1, config.tokens, config.width))
        self.blocks = nn.ModuleList(
            PreNormBlock(
                config.width,
                config.heads,
                config.hidden,
                head_width=config.head_width,
                context=config.context,
                bias=False,
                dropout=config.dropout,
            )
            for _ in range(config.layers)
        )

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """(B, T, token_dim) that look at (B, S, context) -> (B, T, width)."""
        x = self.embed(queries) + self.place[:, : queries.shape[1]]
        for block in self.blocks:
            x = block(x, memory)
        return x


# The released names, see mocap.models.checkpoints.
VIT_RULES: Rules = [
    (r"\bpatch_embed\.proj\.", "patch."),
    (r"\bpos_embed$", "place"),
    (r"\blast_norm\.", "norm."),
    *VIT_BLOCK,
]
DECODER_RULES: Rules = [
    (r"\bto_token_embedding\.", "embed."),
    (r"\bpos_embedding$", "place"),
    (r"\btransformer\.layers\.", "blocks."),
    (r"\b(blocks\.\d+)\.0\.norm\.", r"\1.self_norm."),
    (r"\b(blocks\.\d+)\.1\.norm\.", r"\1.cross_norm."),
    (r"\b(blocks\.\d+)\.2\.norm\.", r"\1.feed_norm."),
    (r"\b(blocks\.\d+)\.0\.fn\.", r"\1.self_attention."),
    (r"\b(blocks\.\d+)\.1\.fn\.", r"\1.cross_attention."),
    (r"\b(blocks\.\d+)\.2\.fn\.net\.0\.", r"\1.feed.wide."),
    (r"\b(blocks\.\d+)\.2\.fn\.net\.3\.", r"\1.feed.narrow."),
    (r"\btransformer\.", "decoder."),
]
