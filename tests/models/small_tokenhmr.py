"""A small TokenHMR, and random weights under the released names."""

from __future__ import annotations

import torch
from torch import Tensor

from mocap.models.tokenhmr import HeadConfig, TokenHmrConfig
from mocap.models.tokenizer import TokenizerConfig
from mocap.models.vit import DecoderConfig, VitConfig

VIT = VitConfig(height=32, width=24, margin=4, patch=8, dim=16, layers=3, heads=2, expansion=2)
DECODER = DecoderConfig(width=12, layers=2, heads=3, head_width=5, hidden=10, context=16)
TOKENIZER = TokenizerConfig(tokens=40, codes=32, code_dim=8, width=12, upsamples=2, decoder_stages=2)
SMALL = TokenHmrConfig(
    vit=VIT,
    head=HeadConfig(
        DECODER, TOKENIZER, token_width=6, mixers=2, mixer_hidden=9, mixer_token_hidden=7
    ),
    side=32,
)  # fmt: skip


def image(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def released_vit(config: VitConfig = VIT) -> dict[str, Tensor]:
    """Random weights under the names of ViTPose's backbone."""
    dim, hidden, (rows, columns) = config.dim, int(config.dim * config.expansion), config.grid
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 1 + rows * columns, dim),
        **_layer("patch_embed.proj", dim, 3, config.patch, config.patch),
        **_layer("last_norm", dim),
    }
    for block in (f"blocks.{number}" for number in range(config.layers)):
        shapes |= {**_layer(f"{block}.norm1", dim), **_layer(f"{block}.norm2", dim)}
        shapes |= {**_layer(f"{block}.attn.qkv", 3 * dim, dim), **_layer(f"{block}.attn.proj", dim, dim)}
        shapes |= {**_layer(f"{block}.mlp.fc1", hidden, dim), **_layer(f"{block}.mlp.fc2", dim, hidden)}
    return _random(shapes)


def released_head(config: HeadConfig = SMALL.head) -> dict[str, Tensor]:
    """Random weights under the names of TokenHMR's head, or of HMR2.0's."""
    decoder, width = config.decoder, config.decoder.width
    inner = decoder.heads * decoder.head_width
    shapes: dict[str, tuple[int, ...]] = {
        "init_body_pose": (1, 144), "init_betas": (1, 10), "init_cam": (1, 3),
        "transformer.pos_embedding": (1, decoder.tokens, width),
        **_layer("transformer.to_token_embedding", width, decoder.token_dim),
        **_layer("decshape", 10, width), **_layer("deccam", 3, width),
    }  # fmt: skip
    for layer in (f"transformer.transformer.layers.{number}" for number in range(decoder.layers)):
        for part in range(3):
            shapes |= _layer(f"{layer}.{part}.norm", width)
        shapes |= {f"{layer}.0.fn.to_qkv.weight": (3 * inner, width), **_layer(f"{layer}.0.fn.to_out.0", width, inner)}
        shapes |= {f"{layer}.1.fn.to_q.weight": (inner, width), **_layer(f"{layer}.1.fn.to_out.0", width, inner)}
        shapes[f"{layer}.1.fn.to_kv.weight"] = (2 * inner, decoder.context)
        shapes |= _layer(f"{layer}.2.fn.net.0", decoder.hidden, width)
        shapes |= _layer(f"{layer}.2.fn.net.3", width, decoder.hidden)
    if config.tokenizer is None:
        return _random({**shapes, **_layer("decpose", 144, width)})
    return _random({**shapes, **_tokens(config, config.tokenizer), **_layer("decpose_grot", 6, width)})


def _tokens(config: HeadConfig, tokenizer: TokenizerConfig) -> dict[str, tuple[int, ...]]:
    width, features, tokens = config.decoder.width, config.token_width, tokenizer.tokens
    shapes = {
        **_layer("decpose_hands", 12, width),
        **_layer("decpose.mixer_trans.ff.0", tokens * features, width),
        **_layer("decpose.mixer_trans.ff.1", tokens * features),
        **_layer("decpose.mixer_norm_layer.ff.0", features, features),
        **_layer("decpose.mixer_norm_layer.ff.1", features),
        **_layer("decpose.class_pred_layer", tokenizer.codes, features),
    }
    for mixer in (f"decpose.mixer_head.{number}" for number in range(config.mixers)):
        shapes |= {**_layer(f"{mixer}.layernorm1", features), **_layer(f"{mixer}.layernorm2", features)}
        sizes = {"MLP_token": (tokens, config.mixer_token_hidden), "MLP_channel": (features, config.mixer_hidden)}
        for part, (size, hidden) in sizes.items():
            shapes |= _layer(f"{mixer}.{part}.ff.0", hidden, size) | _layer(f"{mixer}.{part}.ff.3", size, hidden)
    return shapes


def _layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
