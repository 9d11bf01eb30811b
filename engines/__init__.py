"""Runs a ``torch.nn.Module`` through the fastest backend that is there. Knows tensors, never people.

``compile`` gives an :class:`Engine` of a :class:`Network`; what it builds is kept in a cache, and on a CPU torch is not
imported when the cache is warm.
"""

from engines.compiler import compile, load
from engines.engine import Engine, EngineError, EngineSpec, TensorSpec, Value, Values, join
from engines.network import Network, Trial, of_module
from engines.parity import reference

__all__ = [
    "Engine",
    "EngineError",
    "EngineSpec",
    "Network",
    "TensorSpec",
    "Trial",
    "Value",
    "Values",
    "compile",
    "join",
    "load",
    "of_module",
    "reference",
]
