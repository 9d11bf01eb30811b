"""What a regressor pays for pose tokens: ``python -m engines.benchmark training.bench_tokenizer:cases``

One person's features become logits by a linear layer, the logits a mix of the codebook, the mix a pose.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

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


def cases() -> dict[str, Callable[[], object]]:
    """The shipped tokenizer and one of the paper's size, with torch and OpenVINO, batch 1, float32."""
    torch.manual_seed(0)
    sizes = {"live": load_tokenizer(asset_path("tokenizer_live.npz")), "paper": PoseTokenizer(PAPER).eval()}
    return {
        f"{name}, {backend}": _case(tokenizer, backend)
        for name, tokenizer in sizes.items()
        for backend in ("openvino", "eager")
    }


def _case(tokenizer: PoseTokenizer, backend: str) -> Callable[[], object]:
    shape = (tokenizer.config.tokens, _FEATURES)
    features = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    spec = engines.EngineSpec(inputs={"features": engines.TensorSpec(shape)}, outputs=("R",), max_batch=1)
    engine = engines.compile(
        TokenHead(tokenizer).eval(), spec, name="token_head", backend=backend, cache_dir=Path(tempfile.mkdtemp()),
        samples=lambda: {"features": np.concatenate([features, features])},
    )  # fmt: skip
    return lambda: engine({"features": features})
