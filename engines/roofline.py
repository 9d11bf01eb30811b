"""The least time that a network can take on a device: its operations and bytes over what the device was measured to do.

See Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", 2009.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

from engines.backends import Target
from engines.network import Network, built

_SIDE, _BYTES, _ROUNDS = {"cpu": 1024, "cuda": 8192}, {"cpu": 2**26, "cuda": 2**30}, 10


@dataclass(frozen=True)
class Work:
    """What a network has to do for one batch."""

    flops: float  # multiplications and additions of its matrix products and convolutions
    values: float  # weights, inputs and outputs, each moved once; what lies between is taken to stay in caches


@dataclass(frozen=True)
class Peak:
    """What a device was measured to do."""

    flops_s: float  # of a large matrix product
    bytes_s: float  # of a large copy, read and written


def floor_ms(work: Work, target: Target) -> float | None:
    """The larger of the times for operations and for bytes, ms; None where torch cannot measure the device."""
    device = target.device.lower()
    if device not in _SIDE:
        return None
    peak = measure(device, target.precision)
    bytes_each = 4 if target.precision == "float32" else 2
    return 1e3 * max(work.flops / peak.flops_s, work.values * bytes_each / peak.bytes_s)


def count(network: Network, batch: int) -> Work:
    """By running it once on zeros."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from engines.export import examples

    module, counter = built(network), FlopCounterMode(display=False)
    given = examples(network.spec, batch)
    with torch.no_grad(), counter:
        outputs = module(**dict(zip(network.spec.inputs, given, strict=True)))
    moved = (*module.state_dict().values(), *given, *outputs.values())
    return Work(float(counter.get_total_flops()), float(sum(tensor.numel() for tensor in moved)))


@functools.cache
def measure(device: str, precision: str) -> Peak:
    """With torch, on random numbers."""
    import torch

    side, dtype = _SIDE[device], getattr(torch, precision)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product_s = _seconds(lambda: a @ b, device)
    source = torch.randn(_BYTES[device] // 4, device=device)
    copy = torch.empty_like(source)
    return Peak(2 * side**3 / product_s, 2 * _BYTES[device] / _seconds(lambda: copy.copy_(source), device))


def _seconds(work: Callable[[], object], device: str) -> float:
    """The quickest of a few runs."""
    import torch

    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
