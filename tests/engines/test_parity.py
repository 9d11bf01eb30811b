"""The comparison with eager when an engine is built, in float32 and below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import engines
from engines.engine import Arrays
from engines.parity import random_samples
from tests.engines.toy import SPEC, Toy, toy_engine, toy_network


class Liar(Toy):
    """Off by a factor once it is compiled."""

    factor = 1.05

    def forward(self, image: Tensor, extra: Tensor) -> dict[str, Tensor]:
        outputs = super().forward(image, extra)
        if not torch.compiler.is_compiling():
            return outputs
        return {name: x * self.factor for name, x in outputs.items()}


class Broken(Liar):
    factor = float("nan")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_engine_that_disagrees_is_refused_with_the_figure(tmp_path: Path, backend: str) -> None:
    with pytest.raises(engines.EngineError, match=r"off from eager in 'total' by 0\.05; limit 0\.001"):
        toy_engine(tmp_path, Liar(), backend)
    assert list(tmp_path.iterdir()) == []
    assert toy_engine(tmp_path, Liar(), "auto").backend == "eager"


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(engines.EngineError, match="not finite in total, map"):
        toy_engine(tmp_path, Broken())


@pytest.mark.parametrize(("limit", "admitted"), [(20.0, True), (0.2, False)])
def test_below_float32_the_networks_own_errors_decide(tmp_path: Path, limit: float, admitted: bool) -> None:
    def errors(expected: Arrays, found: Arrays) -> dict[str, float]:
        return {"largest, mm": float(np.abs(found["map"] - expected["map"]).max() * 1e3)}

    if "bfloat16" not in engines.backends.get("openvino").precisions("CPU"):
        pytest.skip("this CPU computes in float32 alone")
    network = toy_network(trial=engines.Trial(random_samples(SPEC), errors, limit))
    if admitted:
        assert engines.compile(network, "openvino", "bfloat16", tmp_path).precision == "bfloat16"
    else:
        with pytest.raises(engines.EngineError, match=r"bfloat16.*'largest, mm' by .*; limit 0.2"):
            engines.compile(network, "openvino", "bfloat16", tmp_path)


def test_auto_stays_in_float32_on_a_cpu(built: Path) -> None:
    assert toy_engine(built).precision == "float32"
