"""Random little bodies in SMPL's format, and the bytes of the Python 2 pickles in which SMPL comes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from mocap.body.skeleton import PARENTS

Fields = dict[str, NDArray[Any]]


def random_body(vertices: int = 60, betas: int = 10, seed: int = 0) -> Fields:
    """SMPL's arrays under SMPL's keys, of random values."""
    rng = np.random.default_rng(seed)
    regressor = rng.uniform(size=(24, vertices)) * (rng.uniform(size=(24, vertices)) < 0.2)
    regressor[np.arange(24), np.arange(24)] = 1
    weights = rng.uniform(size=(vertices, 24)) ** 8
    return {
        "v_template": rng.normal(0, 0.5, (vertices, 3)),
        "shapedirs": rng.normal(0, 0.02, (vertices, 3, betas)),
        "posedirs": rng.normal(0, 0.01, (vertices, 3, 207)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([(2**32 - 1, *PARENTS[1:]), range(24)]),  # as in SMPL's own files
        "f": rng.integers(0, vertices, (80, 3)).astype(np.uint32),
    }


def python2_pickle(fields: Fields) -> bytes:
    """The body as Python 2 wrote it: byte strings, shapedirs a ``chumpy.Ch``, J_regressor a ``csc_matrix``."""
    items = b""
    for key, array in fields.items():
        value = _array(array)
        if key == "shapedirs":
            value = _object("chumpy.ch", "Ch", {"x": value})
        elif key == "posedirs":  # a chumpy Select of all entries
            parts = {"a": _object("chumpy.ch", "Ch", {"x": value}), "idxs": _array(np.arange(array.size))}
            value = _object("chumpy.reordering", "Select", {**parts, "preferred_shape": _ints(array.shape)})
        elif key == "J_regressor":
            sparse = csc_matrix(array)
            state = {name: _array(getattr(sparse, name)) for name in ("data", "indices", "indptr")}
            value = _object("scipy.sparse.csc", "csc_matrix", {**state, "_shape": _ints(array.shape)})
        items += _text(key) + value
    return b"\x80\x02}(" + items + b"u."


def _text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def _ints(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def _object(module: str, name: str, state: dict[str, bytes]) -> bytes:
    entries = b"".join(_text(key) + value for key, value in state.items())
    return f"c{module}\n{name}\n".encode() + b")\x81}(" + entries + b"ub"


def _array(array: NDArray[Any]) -> bytes:
    code = array.dtype.str[1:]
    dtype = b"cnumpy\ndtype\n" + _text(code) + b"K\x00K\x01\x87R(K\x03" + _text("<") + b"NNN"
    dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = np.ascontiguousarray(array).tobytes()
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _text("b") + b"\x87R"
    return empty + b"(K\x01" + _ints(array.shape) + dtype + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
