"""A module as a graph: what every compiler here takes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engines.backends import FULL
from engines.engine import EngineError, EngineSpec

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Positional(nn.Module):
    """Takes the inputs and returns the outputs in the order of the specification, as compilers want it.

    Below float32 the matrix products and convolutions run in ``precision`` and all else, such as pixels and seconds,
    stays in float32 (``torch.autocast``); outputs are float32 always.
    """

    def __init__(self, module: nn.Module, spec: EngineSpec, precision: str = FULL, device: str = "cpu") -> None:
        super().__init__()
        self.module = module
        self._inputs, self._outputs = tuple(spec.inputs), spec.outputs
        self._precision, self._device = precision, device

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self._inputs, inputs, strict=True))
        if self._precision == FULL:
            outputs = self.module(**named)
        else:
            # No cache: a CUDA graph that is being recorded must not keep what it made.
            with torch.autocast(self._device, dtype=getattr(torch, self._precision), cache_enabled=False):
                outputs = self.module(**named)
        return tuple(outputs[name].float() for name in self._outputs)


def examples(spec: EngineSpec, batch: int, device: str = "cpu") -> tuple[Tensor, ...]:
    """Zeros in the shapes of the inputs."""
    return tuple(
        torch.zeros(batch, *t.shape, dtype=getattr(torch, t.dtype), device=device) for t in spec.inputs.values()
    )


def export(
    module: nn.Module,
    spec: EngineSpec,
    batch: int = 1,
    precision: str = FULL,
    device: str = "cpu",
    strict: bool = False,
) -> ExportedProgram:
    """The module's graph for one batch size.

    Args:
        strict: The whole forward pass is read, instead of being run on stand-in tensors: slower, and finds what a
            compiler could not take. The tests do so for every network.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.export.export(
            Positional(module, spec, precision, device), examples(spec, batch, device), strict=strict
        )
        if precision != FULL:  # autocast is a region of the graph until here; compilers want its casts
            program = program.run_decompositions()
    graph = program.graph_module.graph
    for node in graph.nodes:
        if node.target is torch.ops.aten._assert_tensor_metadata.default:  # a check that every cast leaves behind
            graph.erase_node(node)
    program.graph_module.recompile()
    return program


def weight_bytes(program: ExportedProgram) -> int:
    """Of all parameters, buffers and constants."""
    tensors = (*program.state_dict.values(), *program.constants.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if isinstance(tensor, Tensor))


def layers(program: ExportedProgram, message: str) -> list[str]:
    """Names of the layers whose operators an error message names, in the order of the graph."""
    return list(dict.fromkeys(_named(program, message)))


def _named(program: ExportedProgram, message: str) -> Iterator[str]:
    for node in program.graph.nodes:
        if node.op == "call_function" and str(node.target) in message:
            stack = list(node.meta.get("nn_module_stack", {}).values())
            yield stack[-1][0] if stack else node.name


@contextlib.contextmanager
def compiling(program: ExportedProgram) -> Iterator[None]:
    """Around a compiler: its error also names the layers whose operators it names, and it does not tell users what
    torch deprecates.

    Raises:
        EngineError: in place of what the compiler raised.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    except Exception as error:  # every compiler has its own
        found = layers(program, str(error))
        if not found:
            raise
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        text = next(line.strip() for line in str(error).splitlines() if layers(program, line))
        raise EngineError(f"An operator of the layers {', '.join(found[:3])}{more} is not supported: {text}") from error
