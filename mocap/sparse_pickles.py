"""Pickles that also hold scipy's sparse matrices or chumpy's arrays, read without running either package's code.

Objects of their classes become stand-ins, which only keep what they are given; :func:`sparse_matrix` makes scipy's of
them, after checking.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, spmatrix

from mocap.pickles import ArrayUnpickler


class Standin:
    """Stands for an object of a class that must not be run: keeps its state, does nothing."""

    state: dict[str, Any]

    def __new__(cls, *_: object) -> Standin:
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) else (state,)  # a tuple where the class has slots
        self.state = {str(k): v for part in parts if isinstance(part, dict) for k, v in part.items()}


class StandinUnpickler(ArrayUnpickler):
    """Resolves, besides arrays, the few names that such pickles need. For its arguments see :class:`ArrayUnpickler`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._standins: dict[str, type[Standin]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "chumpy" or module == "scipy.sparse" or module.startswith("scipy.sparse."):
            # Classes of this load alone: a pickle may write attributes onto what it names.
            return self._standins.setdefault(name, type(name, (Standin,), {}))
        if name == "_reconstructor" and module in ("copy_reg", "copyreg"):
            return lambda *args: _reconstructor(*args)
        if name == "object" and module in ("__builtin__", "builtins"):
            return object
        return super().find_class(module, name)


def _reconstructor(cls: type, base: type, state: object) -> object:
    """What ``copyreg`` does for protocols 0 and 1, for stand-ins only."""
    if not (isinstance(cls, type) and issubclass(cls, Standin)):
        raise pickle.UnpicklingError(f"unexpected object of {cls}")
    return cls()


_COMPRESSED: dict[str, Callable[..., Any]] = {"csc_matrix": csc_matrix, "csr_matrix": csr_matrix}


def sparse_matrix(value: Standin, most_rows: int, most_columns: int) -> spmatrix | None:
    """The matrix that a stand-in keeps; None where it is of another class.

    Raises:
        ValueError: it is empty or larger than it may be, or its entries lie outside.
        KeyError: it has not what a matrix has.
    """
    kind, state = type(value).__name__, value.state
    if kind not in (*_COMPRESSED, "coo_matrix"):
        return None
    rows, columns = (int(count) for count in state["_shape"])
    if not (0 < rows <= most_rows and 0 < columns <= most_columns):
        raise ValueError(f"sparse matrix of {rows} x {columns}")
    if kind == "coo_matrix":
        where = state["coords"] if "coords" in state else (state["row"], state["col"])
        return coo_matrix((np.asarray(state["data"]), where), shape=(rows, columns))
    parts = tuple(np.asarray(state[name]) for name in ("data", "indices", "indptr"))
    matrix = _COMPRESSED[kind](parts, shape=(rows, columns))
    matrix.check_format(full_check=True)  # what reads it trusts the indices
    return matrix
