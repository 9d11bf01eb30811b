"""The backends. A new one is a module like those here and one line in ``BACKENDS``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from engines.engine import Engine, EngineError, EngineSpec

if TYPE_CHECKING:
    from torch import nn

# Name -> module, the one that "auto" likes best first.
BACKENDS: dict[str, str] = {
    "openvino": "engines.backends.openvino",
    "eager": "engines.backends.eager",
}


@dataclass(frozen=True)
class Request:
    """What a backend is asked to make an engine of."""

    name: str
    build_module: Callable[[], nn.Module]  # imports torch; not called when the cache is warm
    weights_key: str  # changes when the weights or the code of the module change
    spec: EngineSpec
    precision: str
    cache_dir: Path
    samples: Callable[[], dict] | None  # inputs for the comparison with eager; random ones when not given


class Backend(Protocol):
    """A module of this package. It imports its libraries inside its functions."""

    INSTALL: str  # the command that brings it

    def missing(self) -> str | None:
        """Why it cannot be used here, or None when it can."""

    def make(self, request: Request) -> Engine:
        """Builds the engine, or loads it from the cache."""


def find(name: str) -> tuple[str, Backend]:
    """The backend of that name, or for ``auto`` the first that can be used; with its name.

    Raises:
        EngineError: there is no such backend, or it cannot be used here.
    """
    if name == "auto":
        name = next((known for known in BACKENDS if _load(known).missing() is None), "eager")
    if name not in BACKENDS:
        raise EngineError(f"Backend '{name}' is not known; known are auto, {', '.join(BACKENDS)}")
    backend = _load(name)
    reason = backend.missing()
    if reason is not None:
        raise EngineError(f"Backend '{name}' cannot be used here: {reason}. Get it with: {backend.INSTALL}")
    return name, backend


def _load(name: str) -> Backend:
    return cast(Backend, importlib.import_module(BACKENDS[name]))
