"""Imports point one way: training → mocap → engines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {"engines": {"mocap", "training"}, "mocap": {"training", "tests"}, "training": {"tests"}}


def imported_packages(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level > 1:
            raise AssertionError("relative import over a package's border")
    return names


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_package_imports_only_what_lies_below_it(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        against = imported_packages(path.read_text(encoding="utf-8")) & FORBIDDEN[package]
        assert not against, f"{path.relative_to(ROOT)} imports {against}"


def test_the_check_sees_imports_inside_functions() -> None:
    assert imported_packages("def f():\n    from training.x import y\n") == {"training"}
