from __future__ import annotations

import json

import pytest

from engines.benchmark import find_cases, main, measure, table

calls: list[str] = []


def cases() -> dict:
    return {"first": lambda: calls.append("a"), "second": lambda: calls.append("b")}


def test_cases_take_turns_and_warmup_does_not_count() -> None:
    calls.clear()
    rows = measure(cases(), rounds=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert [row.name for row in rows] == ["first", "second"]
    assert all(row.min_ms <= row.median_ms <= row.p95_ms for row in rows)
    assert table(rows).count("\n") == 2


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{__name__}:cases", "--rounds", "2", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["first", "second"]


@pytest.mark.parametrize("name", ["no_such_module:cases", f"{__name__}:nothing", "", f"{__name__}"])
def test_unknown_cases_are_one_clear_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name])
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert find_cases(f"{__name__}:cases")
