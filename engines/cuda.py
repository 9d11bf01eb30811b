"""Whether there is an NVIDIA GPU that torch can use, and why not; and static buffers on it."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from engines.backends import FULL
from engines.engine import EngineSpec, Values

if TYPE_CHECKING:
    from torch import Tensor

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@functools.cache
def missing() -> str | None:
    """Why torch has no GPU here, or None when it has. torch is imported only where there is a driver."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: pip install torch==2.13.0"
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return "there is no NVIDIA driver"
    if "+cpu" in importlib.metadata.version("torch"):
        return "this torch is a build for the CPU; take one for CUDA: https://pytorch.org/get-started"
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # no GPU, a driver that is too old for this torch: it says which
        return str(error).splitlines()[0]
    return None


def versions() -> dict[str, str]:
    """torch, the GPU and its driver."""
    import torch

    name, power = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    driver = ctypes.c_int()
    ctypes.CDLL(_DRIVER).cuDriverGetVersion(ctypes.byref(driver))
    told = {"torch": torch.__version__, "cuda": str(torch.version.cuda), "driver": str(driver.value)}
    return {**told, "device": f"{name} {power}"}


def precisions() -> tuple[str, ...]:
    """The GPU is quicker in float16."""
    return ("float16", FULL)


class Static:
    """A function of tensors with static shapes, run on buffers that stay where they are: arrays are copied there,
    tensors on the GPU too. The outputs are tensors, which the next call overwrites.

    Args:
        function: positional tensors on the GPU -> tensors on the GPU, as :class:`engines.export.Positional` has it.
        spec, batch: shapes.
        graph: Whether the launches are recorded once and replayed as a whole (a CUDA graph).
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        spec: EngineSpec,
        batch: int,
        graph: bool,
        device: str,
    ) -> None:
        import torch

        from engines.export import examples

        self._function, self._outputs = function, spec.outputs
        self._given = examples(spec, batch, device)
        pinned = device == "cuda"
        self._host = tuple(torch.empty(x.shape, dtype=x.dtype, pin_memory=pinned) for x in self._given)
        self._read = torch.cuda.Event() if pinned else None
        self._graph = None
        self._out = self._warm_up() if graph else self._call()
        if graph:
            self._graph = torch.cuda.CUDAGraph()
            with torch.inference_mode(), torch.cuda.graph(self._graph):
                self._out = function(*self._given)

    def __call__(self, inputs: Values) -> Values:
        import torch

        if self._read is not None:
            self._read.synchronize()  # until then the last call may still read what lies in the pinned buffers
        with torch.inference_mode():
            for device, host, value in zip(self._given, self._host, inputs.values(), strict=True):
                if isinstance(value, np.ndarray):
                    value = host.copy_(torch.from_numpy(value))
                device.copy_(value, non_blocking=True)
            if self._read is not None:
                self._read.record()
            if self._graph is not None:
                self._graph.replay()
            else:
                self._out = self._call()
        return dict(zip(self._outputs, self._out, strict=True))

    def _call(self) -> tuple[Tensor, ...]:
        import torch

        with torch.inference_mode():
            return self._function(*self._given)

    def _warm_up(self) -> tuple[Tensor, ...]:
        """A few runs beside the main stream, as torch wants before it records: libraries choose and allocate then."""
        import torch

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                out = self._call()
        torch.cuda.current_stream().wait_stream(stream)
        return out
