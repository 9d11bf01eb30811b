from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import engines
from engines import benchmark
from engines.benchmark import find_networks, main, measure
from tests.engines.toy import toy_network

calls: list[str] = []


def networks(max_batch: int) -> Sequence[engines.Network]:
    return [toy_network()]


def test_cases_take_turns_and_warmup_does_not_count() -> None:
    calls.clear()
    found = measure({"first": lambda: calls.append("a"), "second": lambda: calls.append("b")}, rounds=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert list(found) == ["first", "second"]
    assert all(times.min_ms <= times.median_ms <= times.p95_ms for times in found.values())


def test_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    arguments = [f"{__name__}:networks", "--backend", "openvino", "eager", "tensorrt", "--batch", "1", "2", "4"]
    assert main([*arguments, "--rounds", "2", "--json", str(file)]) == 0
    told = capsys.readouterr()
    rows = json.loads(file.read_text())["rows"]
    assert [(row["target"].split(":")[0], row["batch"]) for row in rows[:2]] == [("openvino", 1), ("openvino", 2)]
    assert {row["target"].split(":")[0] for row in rows} >= {"openvino", "eager"}
    assert all(row["times"]["median_ms"] > 0 and row["build_s"] > 0 and row["memory_mb"] > 0 for row in rows)
    assert told.out.count("| toy | ") == len(rows)
    assert all(row["floor_ms"] is None or 0 < row["floor_ms"] < row["times"]["median_ms"] for row in rows)
    assert benchmark.hardware() in told.out
    assert "tensorrt" in told.err or any("tensorrt" in row["target"] for row in rows)  # left out with the reason


@pytest.mark.parametrize("name", ["no_such_module:networks", f"{__name__}:nothing", "", f"{__name__}"])
def test_unknown_networks_are_one_clear_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name])
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert find_networks(f"{__name__}:networks")
