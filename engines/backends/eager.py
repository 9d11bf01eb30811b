"""The module as it is, on the CPU: the reference that the other backends are compared with."""

from __future__ import annotations

import importlib.util

from engines.backends import Request
from engines.engine import Arrays, Engine, EngineError

INSTALL = "pip install torch"


def missing() -> str | None:
    return None if importlib.util.find_spec("torch") else "torch is not installed"


def make(request: Request) -> Engine:
    import torch

    if request.precision != "float32":
        raise EngineError(f"Backend 'eager' computes in float32; asked for {request.precision}")
    module = request.build_module().eval()

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            outputs = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: outputs[name].numpy().copy() for name in request.spec.outputs}

    return Engine(request.name, "eager", request.spec, run)
