"""What is asked of the engines: a network, its inputs and outputs, and how its answers are judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.engine import Arrays, EngineError, EngineSpec

if TYPE_CHECKING:
    from torch import nn

Errors = dict[str, float]  # by name and unit, such as {"joints, mm": 0.4}


class BrokenNetwork(EngineError):
    """No backend can help: the network itself is broken."""


@dataclass(frozen=True)
class Trial:
    """How an engine is judged when it is built.

    Args:
        inputs: Typical ones, batch first.
        errors: Of the expected and the found outputs, by name, in the units of the task: admits precisions below
            float32 when none exceeds ``limit``. Without it these have to meet float32's tolerance.
    """

    inputs: Arrays
    errors: Callable[[Arrays, Arrays], Errors] | None = None
    limit: float = 0.0


@dataclass(frozen=True)
class Network:
    """A network that can be made an engine of. Nothing here imports torch until something has to be built.

    Args:
        name: For messages and for the folder in the cache.
        build: Gives the module, which takes the inputs of ``spec`` by name and returns its outputs in a dict.
        spec: The inputs and outputs.
        weights_key: Changes with the weights and the code of the module.
        trial: What an engine is compared on when it is built; random numbers when there is none.
    """

    name: str
    build: Callable[[], nn.Module]
    spec: EngineSpec
    weights_key: str
    trial: Callable[[], Trial] | None = None


def of_module(module: nn.Module, spec: EngineSpec, name: str, trial: Trial | None = None) -> Network:
    """A module that is there already, known by its weights and its structure."""
    return Network(name, lambda: module, spec, weights_hash(module), None if trial is None else lambda: trial)


def weights_hash(module: nn.Module) -> str:
    """Hash of a module's printed structure and of every parameter and buffer."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def built(network: Network) -> nn.Module:
    """The module, ready to run.

    Raises:
        BrokenNetwork: a weight is not finite.
    """
    import torch

    module = network.build().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BrokenNetwork(f"Network '{network.name}': expected finite weights, found NaN or infinity in '{name}'")
    return module
