"""The least time that a network can take."""

from __future__ import annotations

import pytest

from engines.backends import Target
from engines.roofline import count, floor_ms, measure
from tests.engines.toy import Toy, toy_network


def test_work_is_what_the_layers_do() -> None:
    work = count(toy_network(), 2)
    convolution, linear = 2 * 8 * 8 * 5 * 3 * 3 * 3, 2 * 4 * 2
    assert work.flops == 2 * (convolution + linear)
    weights = sum(weight.numel() for weight in Toy().parameters())
    assert work.values == weights + 2 * (3 * 8 * 8 + 4) + 2 * (2 + 5 * 8 * 8)


def test_the_floor_is_the_larger_of_operations_and_bytes() -> None:
    network, target = toy_network(), Target("openvino", "CPU", "float32")
    work, peak = count(network, 8), measure("cpu", "float32")
    assert 1e9 < peak.flops_s < 1e14
    assert 1e8 < peak.bytes_s < 1e13
    expected_ms = 1e3 * max(work.flops / peak.flops_s, 4 * work.values / peak.bytes_s)
    assert floor_ms(work, target) == pytest.approx(expected_ms)
    assert floor_ms(work, Target("openvino", "NPU", "float16")) is None
