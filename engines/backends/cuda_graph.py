"""torch on an NVIDIA GPU, all launches of a network recorded once as a CUDA graph and replayed.

A graph cannot be kept on disk; recording one takes a fraction of a second at each start.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING

from engines import buckets, cuda
from engines.backends import Target
from engines.engine import EngineSpec, Run

if TYPE_CHECKING:
    from torch import nn


RESIDENT = True


def missing() -> str | None:
    return cuda.missing()


def devices() -> tuple[str, ...]:
    return ("cuda",)


def precisions(device: str) -> tuple[str, ...]:
    return cuda.precisions()


def versions(device: str) -> dict[str, str]:
    return cuda.versions()


def start(module: nn.Module, spec: EngineSpec, target: Target) -> Run:
    from engines.export import Positional

    moved = Positional(copy.deepcopy(module), spec, target.precision, target.device).to(target.device)
    sizes = buckets.sizes(spec.max_batch)
    return functools.partial(
        buckets.run, {size: cuda.Static(moved, spec, size, graph=True, device=target.device) for size in sizes}
    )
