"""Runs a ``torch.nn.Module`` through the fastest backend that is there. Knows tensors, never people.

``compile`` gives an :class:`Engine`; what it builds is kept in a cache, and with a warm cache torch is not imported.
"""

from engines.compile import compile
from engines.engine import Engine, EngineError, EngineSpec, TensorSpec

__all__ = ["Engine", "EngineError", "EngineSpec", "TensorSpec", "compile"]
