"""A small network that the tests of engines run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import engines
from engines import cuda
from engines.backends import cuda_graph
from engines.parity import relative_error

SPEC = engines.EngineSpec(
    inputs={"image": engines.TensorSpec((3, 8, 8)), "extra": engines.TensorSpec((4,))},
    outputs=("total", "map"),
    max_batch=2,
)


class Toy(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.linear = nn.Linear(4, 2)

    def forward(self, image: Tensor, extra: Tensor) -> dict[str, Tensor]:
        features = self.conv(image).relu()
        return {"map": features, "total": self.linear(extra) + features.mean((1, 2, 3)).unsqueeze(1)}


def toy_network(module: nn.Module | None = None, trial: engines.Trial | None = None) -> engines.Network:
    return engines.of_module(module or Toy(), SPEC, "toy", trial)


def toy_engine(
    cache: Path, module: nn.Module | None = None, backend: str = "openvino", precision: str = "auto"
) -> engines.Engine:
    return engines.compile(toy_network(module), backend, precision, cache)


def assert_same(found: dict, expected: dict, tolerance: float) -> None:
    for name in SPEC.outputs:
        assert relative_error(found[name], expected[name]) <= tolerance, name


def pretend_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend ``cuda_graph`` on the CPU, all but the graph itself: tensors stay where it runs."""
    static = cuda.Static
    monkeypatch.setattr(cuda_graph, "missing", lambda: None)
    monkeypatch.setattr(cuda_graph, "devices", lambda: ("cpu",))
    monkeypatch.setattr(cuda_graph, "precisions", lambda device: ("float32",))
    monkeypatch.setattr(cuda, "Static", lambda *given, graph, **named: static(*given, graph=False, **named))
