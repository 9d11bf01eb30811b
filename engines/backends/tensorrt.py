"""TensorRT on an NVIDIA GPU: torch-tensorrt's Dynamo compiler takes the graph of ``torch.export`` as a whole.

What it makes is kept as an exported program with the engine inside, and runs without being built again.
"""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from engines import buckets, cuda
from engines.backends import Target
from engines.engine import EngineSpec, Run

if TYPE_CHECKING:
    from torch import nn


RESIDENT = True


def missing() -> str | None:
    reason = cuda.missing()
    if reason is None and importlib.util.find_spec("torch_tensorrt") is None:
        return 'torch-tensorrt is not installed: pip install "mocap[tensorrt]"'
    return reason


def devices() -> tuple[str, ...]:
    return ("cuda",)


def precisions(device: str) -> tuple[str, ...]:
    return cuda.precisions()


def versions(device: str) -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in ("torch-tensorrt", "tensorrt")}
    return {**found, **cuda.versions()}


def build(module: nn.Module, spec: EngineSpec, target: Target, folder: Path) -> None:
    import torch_tensorrt

    from engines.export import compiling, examples, export

    moved = copy.deepcopy(module).to(target.device)
    for size in buckets.sizes(spec.max_batch):
        given = list(examples(spec, size, target.device))
        program = export(moved, spec, size, target.precision, target.device)
        with compiling(program):
            compiled = torch_tensorrt.dynamo.compile(
                program,
                arg_inputs=given,
                use_explicit_typing=True,  # the casts are in the graph
                require_full_compilation=True,  # one engine: no part of a network runs in torch
                min_block_size=1,
                truncate_double=True,
            )
            torch_tensorrt.save(compiled, str(folder / _file(size)), arg_inputs=given)


def load(spec: EngineSpec, target: Target, folder: Path) -> Run:
    import torch_tensorrt

    by_size = {}
    for size in buckets.sizes(spec.max_batch):
        program = torch_tensorrt.load(str(folder / _file(size))).module()
        by_size[size] = cuda.Static(program, spec, size, graph=False, device=target.device)
    return functools.partial(buckets.run, by_size)


def _file(size: int) -> str:
    return f"batch_{size}.ep"
