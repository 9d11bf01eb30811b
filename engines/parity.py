"""Comparison of an engine with its module, done once when it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from engines.engine import Arrays, Engine, EngineError, EngineSpec

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 1e-3  # largest error of an output, relative to the largest magnitude in it


def check_parity(
    engine: Engine, module: nn.Module, samples: Callable[[], Arrays] | None, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Runs both on the same inputs and returns each output's error, relative to its largest magnitude.

    Args:
        samples: Gives the inputs, batch first. Not given: uniform random numbers in [0, 1), two elements.

    Raises:
        EngineError: an output is off by more than ``tolerance``, or is not finite.
    """
    import torch

    inputs = engine.spec.check(samples() if samples else random_samples(engine.spec))
    with torch.inference_mode():
        expected = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    found = engine(inputs)
    errors = {name: relative_error(found[name], expected[name].numpy()) for name in engine.spec.outputs}
    for name, error in errors.items():
        if not error <= tolerance:  # also when it is NaN
            raise EngineError(
                f"Engine '{engine.name}' on {engine.backend}: output '{name}' is off from eager by {error:.2g} of its "
                f"largest magnitude; at most {tolerance:.0e} is accepted. Take another backend, such as eager"
            )
    return errors


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest magnitude of ``expected``; infinite when the shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    scale = float(np.abs(expected).max())
    return float(np.abs(found - expected).max()) / max(scale, float(np.finfo(np.float32).tiny))


def random_samples(spec: EngineSpec, batch: int = 2) -> Arrays:
    """Uniform random numbers in [0, 1) for every input, the same ones each time."""
    generator = np.random.default_rng(0)
    return {name: generator.random((batch, *t.shape)).astype(t.dtype) for name, t in spec.inputs.items()}
