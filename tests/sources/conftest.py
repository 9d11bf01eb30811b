from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.sources.fakes import Desk
from tests.sources.helpers import capture_threads, wait_for


@pytest.fixture
def coarse_monotonic(monkeypatch: pytest.MonkeyPatch) -> None:
    """``time.monotonic`` as on Windows before Python 3.13, ticks of 15.6 ms, and far from ``time.perf_counter``."""
    tick_s = 1 / 64
    monkeypatch.setattr(time, "monotonic", lambda: 1e6 + time.perf_counter() // tick_s * tick_s)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.go_on.set()
    wait_for(lambda: not capture_threads(), "a capture thread is left")
    assert not desk.held, "a camera was not freed"
