"""The backends. A new one is a module like those here and one line in ``BACKENDS``.

A backend that keeps what it builds has ``build``, which fills a folder, and ``load``, which runs from it without the
module and, where it can, without torch. One that does not has ``start``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from engines.engine import EngineError, EngineSpec, Run

if TYPE_CHECKING:
    from torch import nn

# Name -> module, the one that "auto" likes best first.
BACKENDS: dict[str, str] = {
    "tensorrt": "engines.backends.tensorrt",
    "cuda_graph": "engines.backends.cuda_graph",
    "openvino": "engines.backends.openvino",
    "onnxruntime": "engines.backends.onnxruntime",
    "eager": "engines.backends.eager",
}
FULL = "float32"
PRECISIONS = (FULL, "float16", "bfloat16")


@dataclass(frozen=True)
class Target:
    """What a network is to run on."""

    backend: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.device} {self.precision}"


class Backend(Protocol):
    """A module of this package. It imports its libraries inside its functions."""

    RESIDENT: bool  # whether it takes and gives torch tensors on its device; all take arrays

    def missing(self) -> str | None:
        """Why it cannot be used here and what brings it, or None when it can be."""

    def devices(self) -> tuple[str, ...]:
        """Those of this machine, the one that it takes by itself first."""

    def precisions(self, device: str) -> tuple[str, ...]:
        """What the device computes faster than float32, and float32, in the order in which they are tried."""

    def versions(self, device: str) -> dict[str, str]:
        """What a built engine depends on: libraries, the device's name, its driver."""


class Keeping(Backend, Protocol):
    """A backend whose engines are kept on disk."""

    def build(self, module: nn.Module, spec: EngineSpec, target: Target, folder: Path) -> None:
        """Fill an empty folder."""

    def load(self, spec: EngineSpec, target: Target, folder: Path) -> Run:
        """The engine from its folder."""


class Starting(Backend, Protocol):
    """A backend that has nothing to keep."""

    def start(self, module: nn.Module, spec: EngineSpec, target: Target) -> Run:
        """The engine from the module."""


def get(name: str) -> Backend:
    """The backend of that name, which may not be usable here.

    Raises:
        EngineError: there is no such backend.
    """
    if name not in BACKENDS:
        raise EngineError(f"Backend '{name}' is not known; known are auto, {', '.join(BACKENDS)}")
    return cast(Backend, importlib.import_module(BACKENDS[name]))


def refusal(name: str) -> str | None:
    """Why a backend cannot be used here and what brings it, or None when it can be used.

    Raises:
        EngineError: there is no such backend.
    """
    reason = get(name).missing()
    return None if reason is None else f"Backend '{name}' cannot be used here: {reason}"
