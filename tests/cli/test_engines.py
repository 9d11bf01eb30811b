"""`mocap engines`: build, verify, list, clean, bench."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engines
from engines import backends
from mocap.__main__ import main
from mocap.cli import engines as command
from mocap.models import networks, parity

NAMES = [network.name for network in networks.product()]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MOCAP_ENGINE_CACHE", str(folder))
    return folder


def test_build_verify_list_clean(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "build", "--backend", "openvino", "--verify"]) == 0
    told = capsys.readouterr().out
    assert all(f"{name:22s} openvino:CPU float32" in told for name in NAMES)
    assert told.count("  ok") == len(NAMES) + 1  # and the whole chain
    assert "whole chain" in told
    assert "OFF" not in told
    assert main(["engines", "list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in NAMES)
    assert f"{len(NAMES)} engines" in told
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert main(["engines", "clean"]) == 0
    assert f"freed {size / 1e6:.0f} MB" in capsys.readouterr().out
    assert list(cache.iterdir()) == []
    assert main(["engines", "list"]) == 0
    assert "mocap engines build" in capsys.readouterr().out


@pytest.mark.parametrize("backend", [name for name in backends.BACKENDS if backends.refusal(name) is None])
def test_verify_finds_an_engine_that_is_off(
    backend: str, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On every backend that is here, with a network whose engine was fine when it was built."""

    class Double(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"y": 2 * x}

    spec = engines.EngineSpec({"x": engines.TensorSpec((3,))}, ("y",))
    network = engines.of_module(Double(), spec, "double", engines.Trial({"x": np.ones((2, 3), np.float32)}))
    monkeypatch.setattr(command.networks, "product", lambda people: [network])
    monkeypatch.setattr(parity, "chain_error_mm", lambda made: 0.5)
    arguments = ["engines", "build", "--backend", backend, "--verify"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("  ok") == 2
    monkeypatch.setattr(parity, "chain_error_mm", lambda made: 1.5)
    assert main(arguments) == 1
    assert "OFF" in capsys.readouterr().out
    monkeypatch.setattr(parity, "chain_error_mm", lambda made: float("nan"))
    assert main(arguments) == 1
    reference = engines.reference
    monkeypatch.setattr(engines, "reference", lambda *given: {"y": 1.01 * reference(*given)["y"]})
    monkeypatch.setattr(parity, "chain_error_mm", lambda made: 0.5)
    assert main(arguments) == 1
    assert "double                 y" in capsys.readouterr().out


def test_a_backend_that_is_not_here_is_one_clear_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends.get("tensorrt"), "missing", lambda: "there is no NVIDIA driver")
    assert main(["engines", "build", "--backend", "tensorrt", "--verify"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Backend 'tensorrt' cannot be used here: there is no NVIDIA driver" in error
    assert not torch.cuda.is_initialized()


@pytest.mark.parametrize("arguments", [["engines"], ["engines", "bild"], ["engines", "build", "--precision", "int3"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "mocap engines" in capsys.readouterr().err


def test_bench_writes_json(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.benchmark, "PRODUCT", "tests.engines.test_benchmark:networks")
    file = tmp_path / "figures.json"
    arguments = ["engines", "bench", "--backend", "eager", "--batch", "1", "--rounds", "2", "--json", str(file)]
    assert main(arguments) == 0
    assert [row["network"] for row in json.loads(file.read_text())["rows"]] == ["toy"]
    told = capsys.readouterr().out
    assert "| toy | eager:cpu float32 | 1 |" in told
    (chain,) = json.loads(file.read_text())["chains"]
    assert (chain["backend"], chain["people"]) == ("eager", 1)
    assert f"| eager | 1 | {chain['times']['median_ms']:.1f} ms | " in told
    assert main([*arguments[:-1], str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err
