"""ONNX Runtime: the CPU, NVIDIA (CUDA), any GPU on Windows (DirectML), and Apple's (CoreML)."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines import buckets
from engines.backends import FULL, Target
from engines.engine import Arrays, EngineSpec, Run

if TYPE_CHECKING:
    from torch import nn

_PROVIDERS = {  # the one that is quickest first
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-silicon")
# Of weights in an ONNX file, which holds 2 GiB at most and the graph too; more lie in a file of their own beside it.
MOST_BYTES = 2**30
RESIDENT = False


def missing() -> str | None:
    for name in ("onnxruntime", "onnxscript"):  # the second only to build
        if importlib.util.find_spec(name) is None:
            return f'{name} is not installed: pip install "mocap[onnx]"'
    return None


def devices() -> tuple[str, ...]:
    import onnxruntime

    there = onnxruntime.get_available_providers()
    return tuple(name for name, provider in _PROVIDERS.items() if provider in there)


def precisions(device: str) -> tuple[str, ...]:
    """GPUs are quicker in float16; CoreML takes what it likes of a float32 graph, and is checked."""
    return ("float16", FULL) if device in ("cuda", "dml") else (FULL,)


def versions(device: str) -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**found, "device": f"{device} {platform.processor() or platform.machine()}"}


def build(module: nn.Module, spec: EngineSpec, target: Target, folder: Path) -> None:
    import torch

    from engines.export import compiling, export, weight_bytes

    for talker in ("onnx_ir", "onnxscript", "torch.onnx"):  # else a line for every constant that is merged
        logging.getLogger(talker).setLevel(logging.ERROR)
    for size in buckets.sizes(spec.max_batch):
        program = export(module, spec, size, target.precision)
        with compiling(program):
            torch.onnx.export(
                program,
                f=folder / _file(size),
                dynamo=True,
                input_names=list(spec.inputs),
                output_names=[_output(name) for name in spec.outputs],
                external_data=weight_bytes(program) > MOST_BYTES,
                verbose=False,
            )


def load(spec: EngineSpec, target: Target, folder: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; its warnings are about its own choices
    # Threads that wait in a loop take the cores from the camera, the decoder and the solver between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [_PROVIDERS[target.device]]
    by_size = {}
    for size in buckets.sizes(spec.max_batch):
        session = onnxruntime.InferenceSession(folder / _file(size), options, providers=providers)
        by_size[size] = functools.partial(_run, session, spec.outputs)
    return functools.partial(buckets.run, by_size)


def _file(size: int) -> str:
    return f"batch_{size}.onnx"


def _output(name: str) -> str:
    """An output's name in the file, where a state that comes in may not be called like the one that goes out."""
    return f"{name}_out"


def _run(session: Any, outputs: tuple[str, ...], inputs: Arrays) -> Arrays:
    found = session.run([_output(name) for name in outputs], inputs)
    return dict(zip(outputs, found, strict=True))
