"""What runs on an NVIDIA GPU, as far as that can be told without one; with one, all of it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engines
from engines import backends, cuda
from engines.backends import Target, tensorrt
from engines.engine import fetch
from engines.export import Positional
from engines.parity import random_samples
from tests.engines.toy import SPEC, Toy, assert_same, pretend_a_gpu, toy_engine

GPU = pytest.mark.skipif(cuda.missing() is not None, reason=f"no GPU: {cuda.missing()}")


def test_static_buffers_take_arrays_and_tensors() -> None:
    module = Toy().eval()
    run = cuda.Static(Positional(module, SPEC), SPEC, 2, graph=False, device="cpu")
    for seed in range(2):
        inputs = {name: array + seed for name, array in random_samples(SPEC).items()}
        expected = engines.reference(module, SPEC, inputs)
        assert_same(fetch(run(inputs)), expected, 1e-6)
        assert_same(fetch(run({**inputs, "image": torch.from_numpy(inputs["image"])})), expected, 1e-6)


def test_outputs_stay_or_come_by_one_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_a_gpu(monkeypatch)
    engine = toy_engine(tmp_path, backend="cuda_graph")
    assert engine.home == "cpu"
    copies, copy = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: copies.append(tensor.shape) or copy(tensor))
    for batch in (1, 2, 3, 5):  # of two at most: the others in turns
        inputs = random_samples(SPEC, batch)
        expected = engines.reference(Toy(), SPEC, inputs)
        given = {**inputs, "image": torch.from_numpy(inputs["image"])}
        copies.clear()
        found = engine(given)
        assert len(copies) == 1
        assert_same(found, expected, 1e-6)
        kept = engine(given, keep=("map",))
        assert isinstance(kept["map"], torch.Tensor)
        assert isinstance(kept["total"], np.ndarray)
        assert_same({name: np.asarray(value) for name, value in kept.items()}, expected, 1e-6)
        again = engine({name: array + 1 for name, array in inputs.items()})
        assert_same(found, expected, 1e-6)  # what came to the host is not overwritten
        assert np.abs(again["total"] - found["total"]).max() > 1e-3


def test_zeros_are_where_the_engine_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(toy_engine(tmp_path, backend="eager").zeros("extra"), np.ndarray)
    pretend_a_gpu(monkeypatch)
    zeros = toy_engine(tmp_path, backend="cuda_graph").zeros("extra")
    assert isinstance(zeros, torch.Tensor)
    assert zeros.shape == (1, 4)
    assert engines.join([zeros, zeros + 1]).tolist() == [[0] * 4, [1] * 4]


@pytest.mark.parametrize(
    ("driver", "version", "error", "reason"),
    [
        (False, "2.13.0", None, "there is no NVIDIA driver"),
        (True, "2.13.0+cpu", None, "this torch is a build for the CPU"),
        (True, "2.13.0", RuntimeError("The NVIDIA driver on your system is too old (found 11040).\nUp"), "too old"),
        (True, "2.13.0", AssertionError("Torch not compiled with CUDA enabled"), "not compiled with CUDA"),
        (True, "2.13.0", None, None),
    ],
)  # fmt: skip
def test_why_there_is_no_gpu(
    driver: bool, version: str, error: Exception | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def library(name: str) -> None:
        if not driver:
            raise OSError(name)

    def start() -> None:
        if error:
            raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    monkeypatch.setattr(torch.cuda, "init", start)
    cuda.missing.cache_clear()
    found = cuda.missing()
    cuda.missing.cache_clear()
    assert found is None if reason is None else reason in str(found)
    assert "\n" not in str(found)


def test_tensorrt_is_asked_for_whole_networks_in_static_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch-tensorrt's documented functions, standing in for themselves: what they get is a graph that runs."""
    asked: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}

    def compile_program(program: Any, arg_inputs: list[torch.Tensor], **settings: Any) -> Any:
        asked.append({**settings, "shapes": [tuple(x.shape) for x in arg_inputs]})
        return program

    library = types.ModuleType("torch_tensorrt")
    library.dynamo = types.SimpleNamespace(compile=compile_program)  # type: ignore[attr-defined]
    library.save = lambda program, path, arg_inputs: kept.update({path: program})  # type: ignore[attr-defined]
    library.load = lambda path: kept[path]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_tensorrt", library)
    module, target = Toy().eval(), Target("tensorrt", "cpu", "float32")
    tensorrt.build(module, SPEC, target, tmp_path)
    assert [one["shapes"][0][0] for one in asked] == [1, 2]
    assert all(one["require_full_compilation"] and one["use_explicit_typing"] for one in asked)
    run = tensorrt.load(SPEC, target, tmp_path)
    for batch in (1, 2, 3):
        inputs = random_samples(SPEC, batch)
        assert_same(fetch(run(inputs)), engines.reference(module, SPEC, inputs), 1e-6)


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("backend", ["cuda_graph", "tensorrt", "onnxruntime:cuda"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_on_a_gpu_engines_equal_eager(tmp_path: Path, backend: str, precision: str) -> None:
    if reason := backends.refusal(backend.split(":")[0]):
        pytest.skip(reason)
    for batch in (1, 2, 3):
        inputs = random_samples(SPEC, batch)
        found = toy_engine(tmp_path, None, backend, precision)(inputs)
        assert_same(found, engines.reference(Toy(), SPEC, inputs), 1e-3)
