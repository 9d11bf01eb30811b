"""What a regressor pays for pose tokens: ``python -m engines.benchmark training.bench_tokenizer:networks``

One person's features become logits by a linear layer, the logits a mix of the codebook, the mix a pose.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import engines
from mocap.assets import asset_path
from mocap.models.tokenizer import PAPER, PoseTokenizer, load_tokenizer

_FEATURES = 64  # per token, from the network before


class TokenHead(nn.Module):
    """Features (B, M, 64) -> poses (B, 21, 3, 3)."""

    def __init__(self, tokenizer: PoseTokenizer) -> None:
        super().__init__()
        self.logits = nn.Linear(_FEATURES, tokenizer.config.codes)
        self.tokenizer = tokenizer

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {"R": self.tokenizer.decode_logits(self.logits(features))}


def networks(max_batch: int) -> list[engines.Network]:
    """The shipped tokenizer and one of the paper's size."""
    torch.manual_seed(0)
    sizes = {"live": load_tokenizer(asset_path("tokenizer_live.npz")), "paper": PoseTokenizer(PAPER).eval()}
    return [_network(name, tokenizer, max_batch) for name, tokenizer in sizes.items()]


def _network(name: str, tokenizer: PoseTokenizer, max_batch: int) -> engines.Network:
    shape = (tokenizer.config.tokens, _FEATURES)
    features = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    spec = engines.EngineSpec({"features": engines.TensorSpec(shape)}, ("R",), max_batch)
    return engines.of_module(TokenHead(tokenizer).eval(), spec, f"tokens_{name}", engines.Trial({"features": features}))
