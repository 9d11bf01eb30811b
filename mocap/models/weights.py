"""Loads weights into a module, with an error that says what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from mocap.errors import MocapError


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
