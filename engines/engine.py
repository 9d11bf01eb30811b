"""What every backend has in common: the specification of a network's inputs and outputs, and the callable itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Value = Any  # an array, or a torch tensor on the device of the engine that it is for
Values = dict[str, Value]
Run = Callable[[Values], Values]


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

    def check(self, inputs: Mapping[str, Value], tensors: bool = False) -> Values:
        """The inputs as contiguous arrays of the right dtype, in the order of the specification.

        Args:
            tensors: Whether torch tensors stay what they are.

        Raises:
            EngineError: a name is missing or unknown, a shape is wrong, or the batch sizes differ or are zero.
        """
        if set(inputs) != set(self.inputs):
            raise EngineError(f"Expected the inputs {sorted(self.inputs)}, found {sorted(inputs)}")
        given = {
            name: inputs[name]
            if tensors and hasattr(inputs[name], "is_cuda")
            else np.ascontiguousarray(np.asarray(inputs[name]), np.dtype(spec.dtype))
            for name, spec in self.inputs.items()
        }
        for name, spec in self.inputs.items():
            found = tuple(given[name].shape)
            if found[1:] != spec.shape or not found:
                raise EngineError(
                    f"Input '{name}': expected shape (B, {', '.join(map(str, spec.shape))}), found {found}"
                )
        batches = {name: len(value) for name, value in given.items()}
        if len(set(batches.values())) != 1 or 0 in batches.values():
            raise EngineError(f"Expected one batch size of at least 1 for all inputs, found {batches}")
        return given


@dataclass(frozen=True)
class Engine:
    """A network that is ready to run.

    Call it with arrays by name, each (B, *shape of the specification); torch tensors are taken as well. It returns new
    arrays by name, each with the batch first. One thread at a time.

    Args:
        home: The torch device that the network runs on, where its inputs are best made and its outputs can stay; None
            where arrays go straight in and out.
    """

    name: str
    backend: str
    spec: EngineSpec
    run: Run
    device: str = "cpu"
    precision: str = "float32"
    home: str | None = None

    @property
    def target(self) -> str:
        """Backend, device and precision in words."""
        return f"{self.backend}:{self.device} {self.precision}"

    def __call__(self, inputs: Mapping[str, Value], keep: Collection[str] = ()) -> Values:
        """The outputs, brought to the host by one copy.

        Args:
            keep: Outputs that stay at ``home``; they are overwritten by the next call.
        """
        return fetch(self.run(self.spec.check(inputs, self.home is not None)), keep)

    def zeros(self, name: str) -> Value:
        """One row of zeros for an input, at ``home``."""
        spec = self.spec.inputs[name]
        return self.at_home(np.zeros((1, *spec.shape), spec.dtype))

    def at_home(self, array: np.ndarray) -> Value:
        """The same where the engine runs."""
        if self.home is None:
            return array
        import torch

        return torch.from_numpy(array).to(self.home)


def fetch(values: Values, keep: Collection[str] = ()) -> Values:
    """Tensors as arrays on the host, all of them by one copy; those called ``keep`` as they are."""
    away = {name: value for name, value in values.items() if name not in keep and not isinstance(value, np.ndarray)}
    if not away:
        return values
    import torch

    packed = torch.cat([value.reshape(-1) for value in away.values()]).cpu().numpy()
    ends = np.cumsum([value.numel() for value in away.values()])[:-1]
    parts = zip(away.items(), np.split(packed, ends), strict=True)
    return {**values, **{name: part.reshape(tuple(value.shape)) for (name, value), part in parts}}


def join(rows: Sequence[Value]) -> Value:
    """Arrays or tensors as one, by their first dimension; a single one is not copied."""
    if len(rows) == 1:
        return rows[0]
    if isinstance(rows[0], np.ndarray):
        return np.concatenate(rows)
    import torch

    return torch.cat(list(rows))
