from __future__ import annotations

from pathlib import Path

import pytest

from training import parity, parity_vqhps


def test_every_module_has_a_builder() -> None:
    assert parity_vqhps.BUILDERS.items() <= parity.BUILDERS.items()


@pytest.mark.shared
@pytest.mark.parametrize("module", parity_vqhps.BUILDERS)
def test_published_networks_are_matched(module: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(shared / "parity"), "--only", module]) == 0, capsys.readouterr().out
