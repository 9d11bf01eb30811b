"""What every backend has in common: the specification of a network's inputs and outputs, and the callable itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]


class EngineError(Exception):
    """Says what was expected, what was found and, where there is one, the next command."""


@dataclass(frozen=True)
class TensorSpec:
    """Shape of one element of the batch (the batch dimension comes before it) and NumPy's name of its dtype."""

    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class EngineSpec:
    """Inputs by the names of the module's arguments, outputs by the names in the dict that it returns.

    Every tensor has the batch as its first dimension, and no element of a batch sees another one. ``max_batch`` is what
    the engine gets ready for; a larger batch runs too, in turns.
    """

    inputs: dict[str, TensorSpec]
    outputs: tuple[str, ...]
    max_batch: int = 1

    def check(self, inputs: Mapping[str, object]) -> Arrays:
        """The inputs as contiguous arrays of the right dtype, in the order of the specification.

        Raises:
            EngineError: a name is missing or unknown, a shape is wrong, or the batch sizes differ or are zero.
        """
        if set(inputs) != set(self.inputs):
            raise EngineError(f"Expected the inputs {sorted(self.inputs)}, found {sorted(inputs)}")
        arrays = {
            name: np.ascontiguousarray(np.asarray(inputs[name]), np.dtype(spec.dtype))
            for name, spec in self.inputs.items()
        }
        for name, spec in self.inputs.items():
            if arrays[name].shape[1:] != spec.shape or arrays[name].ndim == 0:
                raise EngineError(
                    f"Input '{name}': expected shape (B, {', '.join(map(str, spec.shape))}), found {arrays[name].shape}"
                )
        batches = {name: len(array) for name, array in arrays.items()}
        if len(set(batches.values())) != 1 or 0 in batches.values():
            raise EngineError(f"Expected one batch size of at least 1 for all inputs, found {batches}")
        return arrays


@dataclass(frozen=True)
class Engine:
    """A network that is ready to run.

    Call it with arrays by name, each (B, *shape of the specification); torch tensors on the CPU are taken as well.
    It returns new arrays by name, each with the batch first. One thread at a time.
    """

    name: str
    backend: str
    spec: EngineSpec
    run: Callable[[Arrays], Arrays]
    device: str = "cpu"
    precision: str = "float32"

    @property
    def target(self) -> str:
        """Backend, device and precision in words."""
        return f"{self.backend}:{self.device} {self.precision}"

    def __call__(self, inputs: Mapping[str, object]) -> Arrays:
        return self.run(self.spec.check(inputs))
