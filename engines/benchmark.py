"""Times callables side by side: ``python -m engines.benchmark module:function …``

Each function returns ``{name: callable without arguments}``. All are run in turns, round by round, so that whatever
else the machine does hits them alike.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from engines.engine import EngineError

Cases = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Row:
    """Times of one case in milliseconds."""

    name: str
    median_ms: float
    p95_ms: float
    min_ms: float


def measure(cases: Cases, rounds: int = 100, warmup: int = 5) -> list[Row]:
    """Runs every case once per round, after ``warmup`` rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(warmup + rounds):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if number >= warmup:
                times[name].append((time.perf_counter() - start) * 1e3)
    return [
        Row(name, float(np.median(ms)), float(np.percentile(ms, 95)), float(np.min(ms))) for name, ms in times.items()
    ]


def table(rows: Sequence[Row]) -> str:
    width = max((len(row.name) for row in rows), default=4)
    lines = [f"{'':{width}}  median     p95     min  (ms)"]
    lines += [f"{row.name:{width}}  {row.median_ms:6.2f}  {row.p95_ms:6.2f}  {row.min_ms:6.2f}" for row in rows]
    return "\n".join(lines)


def find_cases(name: str) -> Cases:
    """Calls ``module:function``.

    Raises:
        EngineError: there is no such module or function.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[[], Cases] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise EngineError(f"Expected module:function that returns the cases, found '{name}': {error}") from error
    return found()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.benchmark", description="Times callables side by side.")
    parser.add_argument("cases", nargs="+", metavar="module:function", help="gives {name: callable}")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        cases = {name: case for given in options.cases for name, case in find_cases(given).items()}
    except EngineError as error:
        parser.exit(1, f"{error}\n")
    rows = measure(cases, options.rounds, options.warmup)
    print(json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
