"""Weights of another network that a training starts from, taken over by their names; what was not is said."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models.checkpoints import Rules, read_file, renamed, under

log = logging.getLogger(__name__)


def read_start(path: Path, rules: Rules) -> dict[str, Tensor]:
    """Weights under our names of a released checkpoint, of one that ``mocap import-checkpoint`` wrote, or of a run of
    ``training.harness`` (the average of its weights, where it kept one).

    Raises:
        MocapError: no such file, or it holds no weights.
    """
    found: Mapping[str, Any] = read_file(path)
    if isinstance(found.get("ema"), Mapping):
        found = under("module.", found["ema"])
    for name in ("state_dict", "model", "net"):
        if isinstance(found.get(name), Mapping):
            found = found[name]
            break
    weights = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    if not weights:
        raise MocapError(f"{path}: expected weights, found {_grouped(found) or 'nothing'}")
    return renamed(weights, rules)


def take_over(
    network: nn.Module, weights: Mapping[str, Tensor], source: str, whole: str = "", all_: bool = True
) -> str:
    """Copies what has the same name and size.

    Args:
        whole: Everything of the network whose name begins so must be there.
        all_: Off: nothing else is taken.

    Returns:
        What was taken over and what was not, which is logged, too.

    Raises:
        MocapError: a part that must be there is not, or of another size (says both sizes).
    """
    own = network.state_dict()
    fits = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    for key in (key for key in own if whole and key.startswith(whole) and key not in fits):
        found = f"{tuple(weights[key].shape)}" if key in weights else f"none, but {_grouped(weights)}"
        raise MocapError(f"{source}: expected '{key}' of size {tuple(own[key].shape)}, found {found}")
    taken = {key: value for key, value in fits.items() if all_ or key.startswith(whole)}
    if not taken:
        raise MocapError(f"{source}: expected weights of {_grouped(own)}, found {_grouped(weights)}")
    network.load_state_dict({**own, **taken})
    parts = {
        "taken over": taken,
        "of another size": [key for key in weights if key in own and key not in fits],
        "in the file only": [key for key in weights if key not in own],
        "left out": [key for key in fits if key not in taken],
        "start afresh": [key for key in own if key not in taken],
    }
    report = f"{source}: " + "; ".join(f"{what}: {_grouped(keys)}" for what, keys in parts.items() if keys)
    log.info("%s", report)
    return report


def _grouped(names: Iterable[str], most: int = 8) -> str:
    """Names by their first two parts, with how many there are: ``vit.blocks (512), vit.norm (2)``."""
    groups = Counter(".".join(name.split(".")[:2]) for name in names)
    listed = [f"{name} ({count})" for name, count in groups.items()]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
