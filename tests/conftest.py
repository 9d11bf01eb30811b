from __future__ import annotations

import signal
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and their children inherit it; some tests send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def shared() -> Path:
    """The folder of real clips and motion data beside the checkout; the test is skipped where there is none."""
    if not (SHARED / "media").is_dir():
        pytest.skip("../shared is not here")
    return SHARED
