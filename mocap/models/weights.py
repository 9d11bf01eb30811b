"""Weights in files (.npz, their configuration inside, nothing that runs code) and into modules."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mocap.errors import MocapError

_CONFIG = "config"  # the entry with the configuration, as JSON


def write_weights(path: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], half: bool = False) -> None:
    """Writes ``path`` (.npz), all of it or nothing.

    Args:
        config: What the module is built from; JSON's types.
        half: Round to float16, half the size.

    Raises:
        MocapError: a weight is not finite, or too large for float16.
    """
    arrays = {key: value.detach().cpu().numpy() for key, value in weights.items()}
    if half:
        with np.errstate(over="ignore"):
            arrays = {key: value.astype(np.float16) for key, value in arrays.items()}
    if bad := [key for key, value in arrays.items() if not np.isfinite(value).all()]:
        raise MocapError(
            f"{path}: expected finite weights{' below 65504' if half else ''}, found others in {_some(bad)}"
        )
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **{_CONFIG: np.array(json.dumps(dict(config))), **arrays})
    os.replace(unfinished, path)


def read_weights(path: Path, what: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a file of :func:`write_weights`, on the CPU in float32.

    Args:
        what: What is expected there, for the error: "a tokenizer".

    Raises:
        MocapError: there is no such file, or it is not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            config = json.loads(str(file[_CONFIG]))
            weights = {key: torch.from_numpy(file[key].astype(np.float32)) for key in file.files if key != _CONFIG}
    except FileNotFoundError as error:
        raise MocapError(f"{path}: expected the weights of {what} (.npz), found no such file") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MocapError(f"{path}: expected the weights of {what} (.npz), found another file: {error}") from error
    if not isinstance(config, dict):
        raise MocapError(f"{path}: expected the configuration of {what}, found {config!r}")
    return config, weights


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copies ``weights`` into ``module``; all of its parameters and persistent buffers must be there, and no more.

    Raises:
        MocapError: keys are missing or unknown, or a tensor has another size (says both sizes).
    """
    own = module.state_dict()
    for key in own.keys() & weights.keys():
        if own[key].shape != weights[key].shape:
            raise MocapError(
                f"{source}: expected '{key}' of size {_size(own[key])}, found {_size(weights[key])}; "
                "give the configuration that it was trained with"
            )
    if missing := own.keys() - weights.keys():
        raise MocapError(f"{source}: expected {len(own)} tensors, found none for {_some(missing)}")
    if unknown := weights.keys() - own.keys():
        raise MocapError(f"{source}: expected {len(own)} tensors, found also {_some(unknown)}")
    module.load_state_dict(dict(weights))


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "1"


def _some(keys: Iterable[str], most: int = 4) -> str:
    names = sorted(keys)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
