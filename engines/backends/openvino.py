"""OpenVINO, on the CPU or on Intel's GPU or NPU.

A batch runs as requests of one element each, not as one batched network: no element sees its neighbours, and any batch
size runs without padding. On the CPU requests run side by side where each can have two cores of its own. Measured on
two cores with BlazePose's landmark network, two elements: side by side with a core each 8.7 ms, one after the other on
both cores 8.8 ms (one alone 4.4 ms); while other programs take a core now and then 21 ms and 15 ms, since the slower of
two requests makes the other wait.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.backends import FULL, Target
from engines.engine import Arrays, EngineSpec, Run

if TYPE_CHECKING:
    from torch import nn

_FILE = "model.xml"
# Told always: OpenVINO takes bfloat16 by itself on CPUs that have it, and float16 on GPUs.
_HINTS = {FULL: "f32", "float16": "f16", "bfloat16": "bf16"}
_CAPABILITIES = {"float16": "FP16", "bfloat16": "BF16"}
RESIDENT = False


def missing() -> str | None:
    return None if importlib.util.find_spec("openvino") else "openvino is not installed: pip install openvino"


def devices() -> tuple[str, ...]:
    """The CPU first: a laptop's GPU also draws the screen, and which is quicker differs."""
    return tuple(sorted({str(name).split(".")[0] for name in _core().available_devices}))


def precisions(device: str) -> tuple[str, ...]:
    """float32, then what else the device has."""
    able = _core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    return (FULL, *(name for name, capability in _CAPABILITIES.items() if capability in able))


def versions(device: str) -> dict[str, str]:
    name = str(_core().get_property(device, "FULL_DEVICE_NAME"))
    return {"openvino": importlib.metadata.version("openvino"), "device": name}


def build(module: nn.Module, spec: EngineSpec, target: Target, folder: Path) -> None:
    import openvino

    from engines.export import compiling, export

    program, level = export(module, spec), logging.root.level
    try:
        with compiling(program):
            # Without the shapes it makes every dimension free, which costs BlazePose a fifth of its speed.
            model = openvino.convert_model(program, input=[(1, *tensor.shape) for tensor in spec.inputs.values()])
    finally:
        logging.root.setLevel(level)  # where it fails it leaves the whole program's log at errors only
    try:
        openvino.save_model(model, folder / _FILE, compress_to_fp16=False)
    except RuntimeError as error:  # its way to report a full disk
        raise OSError(str(error)) from error


def load(spec: EngineSpec, target: Target, folder: Path) -> Run:
    model = _core().read_model(folder / _FILE)
    counts = _stream_counts(spec.max_batch) if target.device == "CPU" else [1]
    pools = {streams: _requests(model, target, streams) for streams in counts}
    return functools.partial(_run, spec, pools)


@functools.cache
def _core() -> Any:
    """The one core of this process, never freed.

    On CPUs with AVX-512 its plugin installs an alternate signal stack for the main thread. Two cores that are freed in
    the wrong order leave the stack pointing at unmapped memory, and the next Ctrl-C ends in a segmentation fault.
    """
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # an open map would keep Windows from moving or deleting the folder
    return core


def _stream_counts(max_batch: int) -> list[int]:
    """Powers of two up to the batch and half the number of cores: how many elements run side by side."""
    most = max(1, min(max_batch, (os.cpu_count() or 1) // 2))
    return [2**power for power in range(most.bit_length())]


def _requests(model: Any, target: Target, streams: int) -> list[Any]:
    """Requests that share all cores evenly."""
    hint = {"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": str(streams)}
    precision = {"INFERENCE_PRECISION_HINT": _HINTS[target.precision]}
    compiled = _core().compile_model(model, target.device, {**precision, **hint})
    return [compiled.create_infer_request() for _ in range(streams)]


def _run(spec: EngineSpec, pools: dict[int, list[Any]], inputs: Arrays) -> Arrays:
    batch = len(next(iter(inputs.values())))
    streams = min((count for count in pools if count >= batch), default=max(pools))
    outputs: Arrays = {}
    for start in range(0, batch, streams):
        active = list(zip(range(start, batch), pools[streams], strict=False))
        for row, request in active:
            for number, array in enumerate(inputs.values()):
                # Quicker than handing the arrays to start_async, whose wrappers take 0.4 ms for an image.
                request.get_input_tensor(number).data[0] = array[row]
            request.start_async()
        for row, request in active:
            request.wait()
            for number, name in enumerate(spec.outputs):
                result = request.get_output_tensor(number).data
                if name not in outputs:
                    outputs[name] = np.empty((batch, *result.shape[1:]), result.dtype)
                outputs[name][row] = result[0]
    return outputs
