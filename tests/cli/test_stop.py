"""When Ctrl-C interrupts, when it only asks, and when it waits."""

from __future__ import annotations

import signal
import time

import pytest

from mocap.cli.stop import StopFlag


def test_while_opening_a_signal_interrupts_at_once() -> None:
    with StopFlag(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_while_running_signals_only_ask_until_patience_ends() -> None:
    with StopFlag() as stop:
        stop.start()
        assert not stop()
        for _ in range(4):
            signal.raise_signal(signal.SIGINT)
        assert stop()
        assert stop.was_asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_seconds_count_from_the_start_of_the_loop() -> None:
    with StopFlag(duration_s=0.05) as stop:
        time.sleep(0.1)
        assert not stop()
        stop.start()
        assert not stop()
        time.sleep(0.06)
        assert stop()
        assert not stop.was_asked


def test_the_handlers_of_before_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopFlag():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
