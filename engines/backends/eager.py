"""The module as it is, on the CPU: the reference that the other backends are compared with."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING

from engines.backends import FULL, Target
from engines.engine import Arrays, EngineSpec, Run

if TYPE_CHECKING:
    from torch import nn


RESIDENT = False


def missing() -> str | None:
    return None if importlib.util.find_spec("torch") else "torch is not installed: pip install torch==2.13.0"


def devices() -> tuple[str, ...]:
    return ("cpu",)


def precisions(device: str) -> tuple[str, ...]:
    return (FULL,)


def versions(device: str) -> dict[str, str]:
    return {"torch": importlib.metadata.version("torch")}


def start(module: nn.Module, spec: EngineSpec, target: Target) -> Run:
    import torch

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            outputs = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: outputs[name].numpy().copy() for name in spec.outputs}

    return run
