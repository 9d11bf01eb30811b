from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mocap.errors import MocapError
from mocap.models import tflite
from mocap.models.blazepose import DETECTOR, LANDMARKER, build
from mocap.models.tflite_module import TfliteModule, same_padding


@pytest.fixture(scope="module")
def graph() -> tflite.Graph:
    return tflite.read_graph(tflite.mediapipe_file(LANDMARKER.file))


def test_missing_mediapipe_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MocapError, match=r"pip install mediapipe==0\.10\.21"):
        tflite.mediapipe_file(LANDMARKER.file)


def test_mediapipe_without_weights_names_the_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(MocapError, match=r"0\.10\.21.*has none") as error:
        tflite.mediapipe_file(LANDMARKER.file)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"not a model at all"])
def test_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(MocapError, match="not a tflite model"):
        tflite.read_graph(tmp_path / "a.tflite")


def test_graph_of_another_file_is_refused() -> None:
    other = dataclasses.replace(DETECTOR, outputs=LANDMARKER.outputs)
    with pytest.raises(MocapError, match="'landmarks' as tensor 337"):
        build(other, ["landmarks"])


def test_unknown_operator_is_named(graph: tflite.Graph) -> None:
    first, *rest = graph.operators
    changed = dataclasses.replace(graph, operators=(dataclasses.replace(first, kind="CUMSUM"), *rest))
    with pytest.raises(MocapError, match="CUMSUM"):
        TfliteModule(changed, LANDMARKER.outputs)


def test_unknown_activation_is_named(graph: tflite.Graph) -> None:
    operators = [
        dataclasses.replace(operator, options={**operator.options, "fusedActivationFunction": "TANH"})
        for operator in graph.operators
    ]
    with pytest.raises(MocapError, match="TANH"):
        TfliteModule(dataclasses.replace(graph, operators=tuple(operators)), LANDMARKER.outputs)


def test_outputs_that_nobody_asks_for_cost_nothing() -> None:
    small, full = build(LANDMARKER, ["presence"]), build(LANDMARKER, list(LANDMARKER.outputs))
    image = torch.rand(1, 256, 256, 3)
    with torch.no_grad():
        assert torch.equal(small(image)["presence"], full(image)["presence"])
    assert len(small.layers) < len(full.layers)


def test_sparse_constants_are_complete() -> None:
    constants = tflite.read_graph(tflite.mediapipe_file(DETECTOR.file)).constants
    fill = [np.count_nonzero(value) / value.size for value in constants.values() if value.ndim == 4]
    assert min(fill) > 0.2  # nothing came out empty
    assert sum(share < 0.9 for share in fill) == 38  # and these are the sparse ones


@pytest.mark.parametrize("size", [7, 8, 14, 15])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_gives_the_size_of_its_definition(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    x = F.pad(torch.zeros(1, 1, size), (before, after))
    assert F.conv1d(x, torch.zeros(1, 1, kernel), stride=stride).shape[-1] == -(-size // stride)
    assert 0 <= after - before <= 1
