"""Comparison of an engine with its module, done once when it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from engines.backends import FULL, Target
from engines.engine import Arrays, EngineError, EngineSpec, Run, fetch
from engines.network import Errors, Network, Trial

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 1e-3  # largest error of an output, relative to the largest magnitude in it


def check(network: Network, target: Target, run: Run, module: nn.Module) -> Errors:
    """Runs both on the network's trial and returns the errors.

    In float32 each output may be off by :data:`TOLERANCE` of its largest magnitude; below it the trial's own errors
    decide, where it has some.

    Raises:
        EngineError: an output is off by more, or is not finite.
    """
    trial = network.trial() if network.trial else Trial(random_samples(network.spec))
    inputs = network.spec.check(trial.inputs)
    expected, found = reference(module, network.spec, inputs), fetch(run(inputs))
    errors, limit = judge(trial, target.precision, expected, found)
    broken = [name for name, array in found.items() if not np.isfinite(array).all()]
    if broken:
        raise EngineError(f"{target}: '{network.name}' gives values that are not finite in {', '.join(broken)}")
    for name, error in errors.items():
        if not error <= limit:  # also when it is NaN
            raise EngineError(
                f"{target}: '{network.name}' is off from eager in '{name}' by {error:.2g}; limit {limit:g}"
            )
    return errors


def judge(trial: Trial, precision: str, expected: Arrays, found: Arrays) -> tuple[Errors, float]:
    """The errors that count for a precision, and their limit."""
    if trial.errors is None or precision == FULL:
        return relative_errors(expected, found), TOLERANCE
    return trial.errors(expected, found), trial.limit


def reference(module: nn.Module, spec: EngineSpec, inputs: Arrays) -> Arrays:
    """What the module itself gives."""
    import torch

    with torch.inference_mode():
        outputs = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return {name: outputs[name].numpy() for name in spec.outputs}


def relative_errors(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> Errors:
    """Each output's :func:`relative_error`."""
    return {name: relative_error(found[name], value) for name, value in expected.items()}


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
