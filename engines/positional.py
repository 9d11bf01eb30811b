"""A module with named inputs and outputs as one with tuples, which is what converters want."""

from __future__ import annotations

from torch import Tensor, nn

from engines.engine import EngineSpec


class Positional(nn.Module):
    """Takes the inputs and returns the outputs in the order of the specification."""

    def __init__(self, module: nn.Module, spec: EngineSpec) -> None:
        super().__init__()
        self.module = module
        self._inputs = tuple(spec.inputs)
        self._outputs = spec.outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(**dict(zip(self._inputs, inputs, strict=True)))
        return tuple(outputs[name] for name in self._outputs)
