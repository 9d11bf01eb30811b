"""What is missing is named with what to get, where it goes and its licence; the documentation has every data set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mocap.errors import MocapError
from training.datasets.images.find import DATASETS, data_set, find, missing

DOCS = Path(__file__).parents[4] / "docs/published_data.md"


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_missing_is_said_in_full(tmp_path: Path, name: str) -> None:
    known = DATASETS[name]
    (tmp_path / "readme.txt").write_text("")
    with pytest.raises(MocapError) as error:
        find(name, tmp_path)
    for part in (str(tmp_path), known.title, *known.layout, "found readme.txt", known.get, known.page):
        assert part in str(error.value)
    with pytest.raises(MocapError, match="found no such folder"):
        missing(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", DATASETS)
def test_each_pattern_finds_its_files_once(tmp_path: Path, name: str) -> None:
    made = set()
    for pattern in data_set(name).layout:
        path = tmp_path / re.sub(r"\[(.).\]", r"\1", pattern).replace("*", "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        made.add(path)
    assert find(name, tmp_path) == sorted(made)


def test_the_documentation_has_a_row_for_every_data_set() -> None:
    text = DOCS.read_text()
    for known in DATASETS.values():
        rows = [line for line in text.splitlines() if line.startswith(f"| {known.title} ")]
        assert rows, known.title
        assert any(known.page in row for row in rows), known.title


def test_readers_that_the_documentation_names_are_there() -> None:
    import importlib

    for module, name in set(re.findall(r"`(\w+)\.(read_\w+|TsvSamples)`", DOCS.read_text())):
        package = "training.datasets" if module == "amass" else "training.datasets.images"
        assert hasattr(importlib.import_module(f"{package}.{module}"), name)
