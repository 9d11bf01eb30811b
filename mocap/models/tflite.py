"""Reads a ``.tflite`` file into a small graph of named operators over NumPy constants, without TensorFlow or torch.

The flatbuffer schema is the generated module that ships inside the ``mediapipe`` wheel; it is loaded by its path, so
that ``mediapipe`` itself, whose import costs seconds, stays out.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mocap.errors import MocapError

MEDIAPIPE_VERSION = "0.10.21"
INSTALL = f"pip install mediapipe=={MEDIAPIPE_VERSION}"

Constants = dict[int, np.ndarray]


class TfliteError(MocapError):
    """The file is not a graph that this reader knows."""


@dataclass(frozen=True)
class Operator:
    """One node: its kind as TensorFlow Lite spells it, the tensors it reads and writes, and its options by name."""

    kind: str  # for example CONV_2D
    inputs: tuple[int, ...]  # -1: not given
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """Operators in the order of execution; tensors are numbers. Tensors are laid out as in the file: NHWC."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]
    constants: Constants
    shapes: dict[int, tuple[int, ...]]

    def with_outputs(self, outputs: Sequence[int]) -> Graph:
        """The same graph with only the operators that ``outputs`` (tensor numbers) need."""
        needed = set(outputs)
        kept: list[Operator] = []
        for operator in reversed(self.operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                kept.append(operator)
        constants = {number: value for number, value in self.constants.items() if number in needed}
        return replace(self, outputs=tuple(outputs), operators=tuple(reversed(kept)), constants=constants)


def mediapipe_file(name: str) -> Path:
    """Path of a file inside the installed ``mediapipe`` package, which is not imported.

    Raises:
        MocapError: mediapipe is not installed, or this release of it has no such file.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise MocapError(
            f"The pose networks come inside mediapipe {MEDIAPIPE_VERSION}, which is not installed: {INSTALL}"
        )
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.is_file():
        raise MocapError(
            f"Expected {name} inside the mediapipe package, as in release {MEDIAPIPE_VERSION}; the installed one "
            f"({path.parents[name.count('/')]}) has none: {INSTALL}"
        )
    return path


def read_graph(path: Path) -> Graph:
    """Reads the first subgraph, with float16 and sparse constants already expanded to dense float32.

    Raises:
        TfliteError: the file is not a tflite model, or a constant is stored in a way that is not known.
    """
    schema, data = _schema(), path.read_bytes()
    if data[4:8] != b"TFL3":
        raise TfliteError(f"{path} is not a tflite model: expected the mark 'TFL3' at byte 4, found {data[4:8]!r}")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = model.subgraphs[0]
    constants = {
        number: _constant(schema, tensor, model.buffers[tensor.buffer].data)
        for number, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None and len(model.buffers[tensor.buffer].data)
    }
    operators = [_operator(schema, model.operatorCodes, operator) for operator in graph.operators]
    return Graph(
        inputs=tuple(map(int, graph.inputs)),
        outputs=tuple(map(int, graph.outputs)),
        operators=_fold(operators, constants),
        constants=constants,
        shapes={number: tuple(map(int, tensor.shape)) for number, tensor in enumerate(graph.tensors)},
    )


@functools.lru_cache(maxsize=1)
def _schema() -> ModuleType:
    path = mediapipe_file("tasks/metadata/schema_py_generated.py")
    spec = importlib.util.spec_from_file_location("mocap_tflite_schema", path)
    if spec is None or spec.loader is None:
        raise TfliteError(f"{path} cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _operator(schema: ModuleType, codes: Sequence[Any], operator: Any) -> Operator:
    code = codes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # codes above 127 did not fit into the old field
    kind = next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)
    options = dict(vars(operator.builtinOptions)) if operator.builtinOptions else {}
    if "padding" in options:
        options["padding"] = "SAME" if options["padding"] == schema.Padding.SAME else "VALID"
    if "fusedActivationFunction" in options:
        names = {value: name for name, value in vars(schema.ActivationFunctionType).items() if isinstance(value, int)}
        options["fusedActivationFunction"] = names[options["fusedActivationFunction"]]
    return Operator(kind, tuple(map(int, operator.inputs)), tuple(map(int, operator.outputs)), options)


def _fold(operators: Sequence[Operator], constants: Constants) -> tuple[Operator, ...]:
    """Drops the operators that only unpack constants; ``constants`` gets what they would have written."""
    kept = []
    for operator in operators:
        if operator.kind in ("DEQUANTIZE", "DENSIFY") and operator.inputs[0] in constants:
            constants[operator.outputs[0]] = constants.pop(operator.inputs[0])
        else:
            kept.append(operator)
    return tuple(kept)


def _constant(schema: ModuleType, tensor: Any, data: np.ndarray) -> np.ndarray:
    types = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT32: np.int32,
    }
    if tensor.type not in types:
        raise TfliteError(f"Constant {tensor.name!r} has type {tensor.type}; expected float32, float16 or int32")
    values = np.frombuffer(bytes(data), types[tensor.type])
    if tensor.sparsity is not None:
        values = _densify(schema, tensor, values)
    dense = values.reshape(tuple(tensor.shape))
    return dense.astype(np.float32) if dense.dtype == np.float16 else dense


def _densify(schema: ModuleType, tensor: Any, values: np.ndarray) -> np.ndarray:
    """Expands compressed sparse rows: every dimension dense but the last one."""
    sparsity, shape = tensor.sparsity, tuple(map(int, tensor.shape))
    *outer, last = sparsity.dimMetadata
    known = (
        list(sparsity.traversalOrder) == list(range(len(shape)))
        and (sparsity.blockMap is None or not len(sparsity.blockMap))
        and all(dimension.format == schema.DimensionType.DENSE for dimension in outer)
        and last.format == schema.DimensionType.SPARSE_CSR
    )
    if not known:
        raise TfliteError(f"Constant {tensor.name!r} is sparse in a way other than rows along its last dimension")
    segments = np.asarray(last.arraySegments.values, np.int64)
    rows = np.repeat(np.arange(len(segments) - 1), np.diff(segments))
    dense = np.zeros((int(np.prod(shape[:-1])), shape[-1]), values.dtype)
    dense[rows, np.asarray(last.arrayIndices.values, np.int64)] = values
    return dense
