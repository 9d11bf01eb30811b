"""ONNX Runtime: weights that an ONNX file cannot hold."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engines import reference
from engines.backends import onnxruntime
from engines.export import export, weight_bytes
from engines.parity import random_samples
from tests.engines.toy import SPEC, Toy, assert_same, toy_engine


def test_bytes_of_weights_are_counted() -> None:
    module = Toy()
    expected = 4 * sum(parameter.numel() for parameter in module.parameters())
    assert weight_bytes(export(module.eval(), SPEC)) == expected


@pytest.mark.parametrize("apart", [True, False])
def test_many_weights_lie_beside_the_graph(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As the real limit decides, here a small one; found in the cache, and built again where they are gone."""
    monkeypatch.setattr(onnxruntime, "MOST_BYTES", 4 * sum(p.numel() for p in Toy().parameters()) - apart)
    inputs = random_samples(SPEC)
    expected = reference(Toy(), SPEC, inputs)
    assert_same(toy_engine(tmp_path, backend="onnxruntime")(inputs), expected, 1e-5)
    weights = sorted(path for path in tmp_path.rglob("*.data"))
    assert [path.name for path in weights] == (["batch_1.onnx.data", "batch_2.onnx.data"] if apart else [])
    for path in weights[:1]:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert_same(toy_engine(tmp_path, backend="onnxruntime")(inputs), expected, 1e-5)
    assert ("is broken" in caplog.text) == apart
