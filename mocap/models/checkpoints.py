"""Published checkpoints: read without running code from them, and renamed into this project's networks.

A system's file has rules from released key names to ours; what has no counterpart, or another size, is an error that
says so.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mocap.errors import MocapError

# A pattern that is looked for in a key, and what takes its place, applied in their order; None drops the key.
Rules = Sequence[tuple[str, str | None]]

# Released files hold their settings as yacs' configuration nodes: read as plain dicts, yacs' code stays out.
# What was measured in training is kept as NumPy's numbers.
_SCALAR: Any = np.core.multiarray.scalar  # type: ignore[attr-defined]
_READ_AS: list[Any] = [
    (OrderedDict, "yacs.config.CfgNode"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "bool")),
]
# Projections that lie in one tensor there and apart here, one below the other.
_FUSED = [
    (r"(?<=\.)in_proj_(weight|bias)$", ("query", "key", "value")),
    (r"(?<=\.)(?:to_)?qkv\.(weight|bias)$", ("query", "key", "value")),
    (r"(?<=\.)to_kv\.(weight|bias)$", ("key", "value")),
]
# Blocks that several systems share under the same released names.
MIXER: Rules = [
    (r"\blayernorm1\.", "token_norm."),
    (r"\blayernorm2\.", "norm."),
    (r"\bMLP_token\.ff\.0\.", "token_mix.wide."),
    (r"\bMLP_token\.ff\.3\.", "token_mix.narrow."),
    (r"\bMLP_channel\.ff\.0\.", "mix.wide."),
    (r"\bMLP_channel\.ff\.3\.", "mix.narrow."),
]
VIT_BLOCK: Rules = [
    (r"(^|\.)norm1\.", r"\1self_norm."),
    (r"(^|\.)norm2\.", r"\1feed_norm."),
    (r"(^|\.)attn\.", r"\1self_attention."),
    (r"(^|\.)mlp\.fc1\.", r"\1feed.wide."),
    (r"(^|\.)mlp\.fc2\.", r"\1feed.narrow."),
]
_ATTENTION: Rules = [(r"\.to_q\.", ".query."), (r"\.(?:out_proj|proj|to_out\.0)\.(?=weight$|bias$)", ".out.")]


def renamed(weights: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Released weights under our names; attention's fused projections are taken apart."""
    found: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        name = _apply(key, rules)
        if name is not None:
            found |= _apart(name, tensor)
    return found


def under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose keys begin with ``prefix``, without it."""
    return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}


def _apply(key: str, rules: Rules) -> str | None:
    for pattern, replacement in rules:
        if replacement is None:
            if re.search(pattern, key):
                return None
        else:
            key = re.sub(pattern, replacement, key)
    return key


def _apart(key: str, tensor: Tensor) -> dict[str, Tensor]:
    for pattern, parts in _FUSED:
        if match := re.search(pattern, key):
            start = key[: match.start()]
            return {
                f"{start}{part}.{match[1]}": piece for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True)
            }
    name = _apply(key, _ATTENTION) if "attention." in key else key
    assert name is not None
    return {name: tensor}


def read_file(path: Path) -> dict[str, Any]:
    """What a ``.safetensors`` file or a torch file holds, on the CPU. A torch file may hold tensors, plain containers
    and yacs configurations; anything else in it is refused before it runs.

    Raises:
        MocapError: there is no such file, or it is not one of these.
    """
    if not path.is_file():
        raise MocapError(f"Expected a checkpoint, found no file {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(_READ_AS):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds; each means that the file is not what it should be
        raise MocapError(
            f"{path}: expected a checkpoint with tensors and settings only, found {_reason(error)}"
        ) from error
    if not isinstance(found, dict):
        raise MocapError(f"{path}: expected a checkpoint with a dict, found {type(found).__name__}")
    return found


def _reason(error: Exception) -> str:
    """What torch objects to, without its advice to load the file unsafely."""
    told = str(error).split("WeightsUnpickler error:")[-1].split("Check the documentation")[0]
    words = told.split() or [type(error).__name__]
    unsupported = re.search(r"GLOBAL (\S+)", str(error))
    return f"code: {unsupported[1]}" if unsupported else " ".join(words[:30])
