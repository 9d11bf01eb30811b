"""The one line that a running capture prints: fps, age of the newest pose, dropped, people, recording."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from mocap.types import Frame, MocapFrame


class LineHandler(logging.StreamHandler):
    """Log lines that take the status line's place instead of being glued to its end."""

    on_screen = 0  # width of the status line that the cursor stands behind

    def emit(self, record: logging.LogRecord) -> None:
        if LineHandler.on_screen:
            self.stream.write("\r" + " " * LineHandler.on_screen + "\r")
            LineHandler.on_screen = 0
        super().emit(record)


class StatusLine:
    """Rewrites one line on a terminal four times a second; elsewhere prints a line each ten seconds.

    Args:
        dropped: How many frames the source dropped so far.
        held: How many frames held a person's last pose because the network gave NaN.
        recording: What to say of the take: for how long, or that recording failed.
        floor: What to do until the floor is found; then nothing.
        duration_s: Length of the file, when known, for the percentage.
    """

    def __init__(
        self,
        dropped: Callable[[], int],
        held: Callable[[], int],
        recording: Callable[[], str],
        floor: Callable[[], str],
        duration_s: float | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._dropped, self._held, self._recording, self._floor = dropped, held, recording, floor
        self._duration_s = duration_s
        self._stream = stream or sys.stderr
        self._interval_s = 0.25 if self._stream.isatty() else 10.0
        self._arrivals: deque[float] = deque(maxlen=60)
        self._next = 0.0

    def __call__(self, frame: Frame, result: MocapFrame) -> None:
        now = time.perf_counter()
        self._arrivals.append(now)
        if now >= self._next and len(self._arrivals) > 1:
            self._next = now + self._interval_s
            self._print(self.text(result))

    def tick(self) -> None:
        """While no frame comes."""
        now = time.perf_counter()
        if self._arrivals and now >= self._next:
            self._next = now + self._interval_s
            self._print(f"no frame for {now - self._arrivals[-1]:.0f} s | {self._recording()}")

    def text(self, result: MocapFrame) -> str:
        span = self._arrivals[-1] - self._arrivals[0]
        fps = (len(self._arrivals) - 1) / span if span > 0 else 0.0
        parts = [
            f"{fps:5.1f} fps",
            f"age {result.age_ms:4.0f} ms",
            f"dropped {self._dropped()}",
            f"people {len(result.persons)}",
            self._floor(),
            self._recording(),
        ]
        if self._duration_s:
            parts.insert(0, f"{min(100, round(100 * result.t_capture / self._duration_s)):3d} %")
        if self._held():
            parts.insert(-2, f"held {self._held()} (NaN)")
        return " | ".join(part for part in parts if part)

    def _print(self, text: str) -> None:
        if self._stream.isatty():
            text = text[: shutil.get_terminal_size().columns - 1]  # a longer line would scroll
            self._stream.write("\r" + text.ljust(LineHandler.on_screen))
            LineHandler.on_screen = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        if LineHandler.on_screen:
            self._stream.write("\n")
            LineHandler.on_screen = 0
