"""From a module to an engine."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engines.backends import BACKENDS, Request, find
from engines.cache import default_directory
from engines.engine import Arrays, Engine, EngineError, EngineSpec

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)


def compile(
    module: nn.Module | Callable[[], nn.Module],
    spec: EngineSpec,
    *,
    name: str,
    backend: str = "auto",
    precision: str = "float32",
    cache_dir: Path | None = None,
    weights_key: str | None = None,
    samples: Callable[[], Arrays] | None = None,
) -> Engine:
    """Makes an engine of a module, from the cache where it has been made before.

    Args:
        module: Takes the inputs of ``spec`` by name and returns its outputs in a dict. Or a function that gives such a
            module: it is called only when something has to be built, so that a warm start needs no torch.
        name: For messages and for the folder in the cache.
        backend: ``auto`` or one of ``engines.backends.BACKENDS``.
        precision: ``float32``.
        cache_dir: Not given: the user's cache directory.
        weights_key: Must change with the weights and the code of the module. Needed with a function; with a module it
            is otherwise computed from its weights and its structure.
        samples: Gives typical inputs, on which the engine must agree with the module when it is built.

    Raises:
        EngineError: the backend is not there, the engine disagrees with the module, or the cache cannot be written.
    """
    start = time.perf_counter()
    build_module = _as_factory(module)
    if weights_key is None:
        if build_module is module:
            raise EngineError(f"Engine '{name}': a function that builds the module needs a weights_key")
        weights_key = weights_hash(build_module())
    chosen, maker = find(backend)
    request = Request(name, build_module, weights_key, spec, precision, cache_dir or default_directory(), samples)
    engine = maker.make(request)
    reason = f"first of {', '.join(BACKENDS)} that is installed" if backend == "auto" else "as asked"
    logger.info("Engine %s: %s (%s), ready in %.2f s", name, chosen, reason, time.perf_counter() - start)
    return engine


def _as_factory(module: nn.Module | Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    # A module is told by its method, because to ask torch would import it; a class is a function that gives one.
    if hasattr(module, "state_dict") and not isinstance(module, type):
        return lambda: module  # type: ignore[return-value]
    return module


def weights_hash(module: nn.Module) -> str:
    """Hash of a module's printed structure and of every parameter and buffer."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
