"""OpenVINO on the CPU, in float32.

A batch runs as requests of one element each, not as one batched network: no element sees its neighbours, and any batch
size runs without padding. Requests run side by side where each can have two cores of its own. Measured on two cores
with BlazePose's landmark network, two elements: side by side with a core each 8.7 ms, one after the other on both cores
8.8 ms (one alone 4.4 ms); while other programs take a core now and then 21 ms and 15 ms, since the slower of two
requests makes the other wait.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from engines.backends import Request
from engines.cache import cached, unwritable
from engines.engine import Arrays, Engine, EngineError, EngineSpec
from engines.parity import check_parity

INSTALL = "pip install openvino"
_FILE = "model.xml"
# OpenVINO takes bfloat16 by itself on CPUs that have it, which costs these networks their accuracy.
_CONFIG = {"INFERENCE_PRECISION_HINT": "f32"}


def missing() -> str | None:
    return None if importlib.util.find_spec("openvino") else "openvino is not installed"


def make(request: Request) -> Engine:
    if request.precision != "float32":
        raise EngineError(f"Backend 'openvino' computes in float32 here; asked for {request.precision}")
    versions = {"openvino": importlib.metadata.version("openvino")}

    def build(folder: Path) -> dict[str, float]:
        module = request.build_module().eval()
        _convert(module, request.spec, folder)
        return check_parity(_load(request, folder), module, request.samples)

    return cached(request, "openvino", versions, build, functools.partial(_load, request))


def _convert(module: Any, spec: EngineSpec, folder: Path) -> None:
    import openvino
    import torch

    from engines.positional import Positional

    examples = tuple(torch.zeros(1, *t.shape, dtype=getattr(torch, t.dtype)) for t in spec.inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # OpenVINO copies torch's trees in a way that torch deprecates
        program = torch.export.export(Positional(module, spec), examples, strict=False)
        # Without the shapes it makes every dimension free, which costs BlazePose a fifth of its speed.
        model = openvino.convert_model(program, input=[tuple(example.shape) for example in examples])
    try:
        openvino.save_model(model, folder / _FILE, compress_to_fp16=False)
    except (OSError, RuntimeError) as error:  # RuntimeError is how OpenVINO reports a full disk
        raise unwritable(folder.parent, error) from error


def _load(request: Request, folder: Path) -> Engine:
    core = _core()
    model = core.read_model(folder / _FILE)
    pools = {streams: _requests(core, model, streams) for streams in _stream_counts(request.spec.max_batch)}
    return Engine(request.name, "openvino", request.spec, functools.partial(_run, request.spec, pools))


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


def _requests(core: Any, model: Any, streams: int) -> list[Any]:
    """Requests that share all cores evenly."""
    hint = {"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": str(streams)}
    compiled = core.compile_model(model, "CPU", {**_CONFIG, **hint})
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
