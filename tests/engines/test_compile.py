"""Which backend runs a network, that it computes the same, and what happens when one of them cannot."""

from __future__ import annotations

import logging
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engines
import engines.backends.openvino
import engines.cuda
from engines import backends
from engines.backends import BACKENDS, Target
from engines.compiler import targets, tell_once
from engines.parity import random_samples
from tests.engines.toy import SPEC, Toy, assert_same, toy_engine, toy_network

HERE = [name for name in BACKENDS if backends.refusal(name) is None]  # on a machine with a GPU its backends too


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_engine_equals_module_row_by_row(built: Path, backend: str, batch: int) -> None:
    equals_row_by_row(built, backend, batch)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_elements_side_by_side_too(built: Path, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.backends.openvino.os, "cpu_count", lambda: 4)
    equals_row_by_row(built, "openvino", batch)


def equals_row_by_row(built: Path, backend: str, batch: int) -> None:
    module, inputs = Toy(), random_samples(SPEC, batch)
    engine = toy_engine(built, module, backend, "float32")
    found = engine(inputs)
    rows = [engine({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(batch)]
    assert_same(found, engines.reference(module, SPEC, inputs), 1e-5)
    assert_same(found, {name: np.concatenate([row[name] for row in rows]) for name in SPEC.outputs}, 1e-5)


@pytest.mark.parametrize("backend", HERE)
def test_results_stay_when_the_engine_runs_again(built: Path, backend: str) -> None:
    engine, inputs = toy_engine(built, backend=backend), random_samples(SPEC)
    first = engine(inputs)
    kept = {name: array.copy() for name, array in first.items()}
    engine({name: array + 1 for name, array in inputs.items()})
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


def test_takes_torch_tensors_and_other_dtypes(built: Path) -> None:
    engine, inputs = toy_engine(built), random_samples(SPEC)
    tensors = {name: torch.from_numpy(array).double() for name, array in inputs.items()}
    assert_same(engine(tensors), engine(inputs), 0.0)


def test_engine_says_what_it_is(built: Path) -> None:
    engine = toy_engine(built)
    assert (engine.backend, engine.device, engine.precision) == ("openvino", "CPU", "float32")
    assert engine.target == "openvino:CPU float32"


@pytest.mark.parametrize(
    ("backend", "precision", "message"),
    [
        ("abacus", "auto", r"'abacus' is not known; known are auto, tensorrt, .*openvino.*eager"),
        ("openvino", "float8", r"'float8' is not known; known are auto, float32"),
        ("auto:GPU", "auto", "Expected a backend before the device, such as openvino:GPU, found 'auto:GPU'"),
        ("openvino:TPU", "auto", r"knows the devices CPU.* here, not 'TPU'"),
        ("eager", "float16", r"'eager' computes in float32 on cpu; asked for float16"),
    ],
)
def test_what_is_not_there_names_what_is(tmp_path: Path, backend: str, precision: str, message: str) -> None:
    with pytest.raises(engines.EngineError, match=message):
        toy_engine(tmp_path, None, backend, precision)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", list(BACKENDS))
def test_missing_backend_names_the_command(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(engines.cuda, "missing", engines.cuda.missing.__wrapped__)  # its answer is kept otherwise
    with pytest.raises(engines.EngineError, match=rf"'{name}' cannot be used here: .* is not installed: pip install"):
        engines.compile(toy_network(), name, cache_dir=tmp_path)


def test_a_library_that_does_not_load_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> tuple[str, ...]:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(backends.get("openvino"), "devices", broken)
    with pytest.raises(engines.EngineError, match=r"'openvino' cannot be used here: libtbb.so.12: cannot open"):
        toy_engine(tmp_path, backend="openvino")
    assert toy_engine(tmp_path, backend="auto").backend == "onnxruntime"


def stub(devices: tuple[str, ...], failing: tuple[str, ...] = (), precisions: tuple[str, ...] = ("float32",)) -> object:
    """A backend that runs the module itself, and cannot on some devices or in some precisions."""

    def start(module: nn.Module, spec: engines.EngineSpec, target: Target) -> backends.Run:
        if target.device in failing or target.precision in failing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines")
        return backends.get("eager").start(module, spec, target)  # type: ignore[attr-defined]

    return types.SimpleNamespace(
        missing=lambda: None, devices=lambda: devices, precisions=lambda _: precisions,
        versions=lambda _: {"device": "stub"}, start=start, RESIDENT=False,
    )  # fmt: skip


@pytest.fixture
def auto_stub(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Backends by name that replace the real ones; those that are not named are not there."""
    tell_once.cache_clear()
    known: dict[str, object] = {}
    real = backends.get
    for module in ("engines.backends", "engines.compiler"):
        monkeypatch.setattr(f"{module}.get", lambda name: known.get(name) or real(name))
    for name in set(BACKENDS) - {"eager"}:
        monkeypatch.setattr(real(name), "missing", lambda: "it is not installed")
    return known


def test_auto_takes_the_best_and_says_why_not_others(
    tmp_path: Path, auto_stub: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    order = ["tensorrt", "cuda_graph", "openvino", "onnxruntime", "eager"]
    assert list(BACKENDS) == order
    for name in ["eager", *order[-2::-1]]:
        if name != "eager":
            auto_stub[name] = stub(("here",))
        with caplog.at_level(logging.INFO):
            assert toy_engine(tmp_path, backend="auto").backend == name
        for other in order[: order.index(name)]:
            assert f"Backend '{other}' cannot be used here: it is not installed" in caplog.text
        caplog.clear()


def test_auto_goes_on_after_a_failure_and_says_so(
    tmp_path: Path, auto_stub: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    auto_stub["cuda_graph"] = stub(("first", "second"), failing=("first", "float16"), precisions=("float16", "float32"))
    with caplog.at_level(logging.WARNING):
        engine = toy_engine(tmp_path, backend="auto")
    assert engine.target == "cuda_graph:second float32"
    assert caplog.text.count("the GPU's memory is full (CUDA out of memory. Tried to allocate 2.00 GiB)") == 3
    assert_same(engine(random_samples(SPEC)), engines.reference(Toy(), SPEC, random_samples(SPEC)), 0.0)
    auto_stub["cuda_graph"] = stub(("only",), failing=("only",))
    assert toy_engine(tmp_path, backend="auto").backend == "eager"
    with pytest.raises(engines.EngineError, match="memory is full"):
        toy_engine(tmp_path, backend="cuda_graph")


def test_weights_that_are_not_finite_are_nobodys_fault(tmp_path: Path) -> None:
    module = Toy()
    with torch.no_grad():
        module.linear.weight[0, 0] = torch.nan
    for backend in ("auto", "eager", "openvino"):
        with pytest.raises(engines.EngineError, match=r"'toy': expected finite weights, found NaN .* 'linear.weight'"):
            toy_engine(tmp_path, module, backend)


@torch.library.custom_op("mocap_tests::strange", mutates_args=())
def strange(x: Tensor) -> Tensor:
    return x.clone()


@strange.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Strange(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mocap_tests.strange(x)


class Unsupported(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.strange_layer = Strange()

    def forward(self, image: Tensor, extra: Tensor) -> dict[str, Tensor]:
        return super().forward(self.strange_layer(image), extra)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_unsupported_operator_names_the_layer(tmp_path: Path, backend: str) -> None:
    level = logging.root.level
    with pytest.raises(engines.EngineError, match=r"strange_layer"):
        toy_engine(tmp_path, Unsupported(), backend)
    assert logging.root.level == level
    assert list(tmp_path.iterdir()) == []
    assert toy_engine(tmp_path, Unsupported(), "auto").backend == "eager"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": None}, "Expected the inputs"),
        ({"extra": np.zeros((2, 5), np.float32)}, r"'extra'.*\(B, 4\).*\(2, 5\)"),
        ({"extra": np.zeros((3, 4), np.float32)}, "one batch size"),
        ({"extra": np.zeros((0, 4), np.float32), "image": np.zeros((0, 3, 8, 8), np.float32)}, "at least 1"),
    ],
)
def test_wrong_inputs_say_what_was_expected(tmp_path: Path, change: dict, message: str) -> None:
    inputs = {**random_samples(SPEC), **change}
    given = {name: array for name, array in inputs.items() if array is not None}
    with pytest.raises(engines.EngineError, match=message):
        toy_engine(tmp_path, backend="eager")(given)


def test_targets_in_their_order() -> None:
    assert list(targets("eager", "auto")) == [Target("eager", "cpu", "float32")]
    here = [target for target in targets("auto", "auto") if isinstance(target, Target)]
    assert [target.backend for target in here] == sorted((t.backend for t in here), key=list(BACKENDS).index)
    assert here[-1].backend == "eager"
    assert toy_network().spec is SPEC
