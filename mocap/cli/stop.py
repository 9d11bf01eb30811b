"""Ctrl-C and SIGTERM, so that a take is closed whatever the moment."""

from __future__ import annotations

import logging
import signal
import threading
import time

log = logging.getLogger(__name__)

# SIGHUP: the terminal was closed. SIGBREAK: Ctrl-Break, and a closed console on Windows.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
_PATIENCE = 3  # signals after the first one, until closing itself is given up


class StopFlag:
    """True after Ctrl-C, SIGTERM or the given seconds.

    While things are opened a signal interrupts at once (KeyboardInterrupt); while the loop runs it only raises the
    flag; while things are closed it is answered and waited out, unless it comes again and again.
    """

    def __init__(self, duration_s: float | None = None) -> None:
        self.was_asked = False  # by a signal
        self._signals = 0
        self._opened = False
        self._duration_s = duration_s
        self._deadline = float("inf")
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def start(self) -> None:
        """Everything is open: from here on signals raise the flag, and the seconds count."""
        self._opened = True
        if self._duration_s is not None:
            self._deadline = time.perf_counter() + self._duration_s

    def _on_signal(self, number: int, stack_frame: object) -> None:
        self._signals += 1
        if not self._opened or self._signals > 1 + _PATIENCE:
            raise KeyboardInterrupt
        if self.was_asked:
            log.warning("closing the take; one moment")
        self.was_asked = True

    def __call__(self) -> bool:
        return self.was_asked or time.perf_counter() >= self._deadline
