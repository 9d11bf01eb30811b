from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real clips and motion data beside the checkout; the test is skipped where there is none."""
    if not (SHARED / "media").is_dir():
        pytest.skip("../shared is not here")
    return SHARED
