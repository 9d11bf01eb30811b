"""Plays recorded frames in real time, as if they came from a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing

from mocap.errors import MocapError
from mocap.latest import Closed, Latest
from mocap.sources.base import EndOfStream, Source
from mocap.types import Frame


class PacedSource(Source):
    """A lossless source played by the clock: a reader that is late misses frames, as with a camera.

    ``t_capture`` is ``time.perf_counter()`` at the moment the frame is due and handed over; ``index`` counts on through
    loops.

    Args:
        open_source: Opens the frames to play, once per round. Its frames' ``t_capture`` are seconds from any start.
        loop: Start again at the end.
        duration_s: End after this long, s; None plays to the end, or for ever with ``loop``.
    """

    live = True

    def __init__(
        self, open_source: Callable[[], Source], *, loop: bool = False, duration_s: float | None = None
    ) -> None:
        source = open_source()  # here, so that a bad file fails at once and in the caller
        self.name, self.fps, self.focal_px = source.name, source.fps, source.focal_px
        self._open_source = open_source
        self._loop = loop
        self._duration_s = duration_s
        self._latest: Latest[Frame] = Latest()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), name=f"player {self.name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        return self._latest.dropped

    def read(self, timeout_s: float = 1.0) -> Frame | None:
        try:
            return self._latest.get(timeout_s)
        except Closed:
            raise EndOfStream from None

    def close(self) -> None:
        self._stop.set()
        self._latest.close()
        self._thread.join()

    def _run(self, source: Source) -> None:
        try:
            self._play(source)
            self._latest.close()
        except Exception as error:  # the reader gets it, from read()
            self._latest.close(error)

    def _play(self, source: Source) -> None:
        start: float | None = None  # time.perf_counter() of time 0
        with closing(self._rounds(source)) as rounds:
            for index, (t, frame) in enumerate(rounds):
                if start is None:
                    start = time.perf_counter() - t
                if self._duration_s is not None and t >= self._duration_s:
                    return
                if self._stop.wait(max(0.0, start + t - time.perf_counter())):
                    return
                self._latest.put(Frame(index, time.perf_counter(), frame.rgb))

    def _rounds(self, source: Source) -> Generator[tuple[float, Frame], None, None]:
        """Frames with their time from the start of the first round, s."""
        offset_s = t = 0.0
        while True:
            t_first: float | None = None
            with source:
                for frame in source:
                    t_first = frame.t_capture if t_first is None else t_first
                    t = offset_s + frame.t_capture - t_first
                    yield t, frame
            self.broken += source.broken
            if t_first is None:
                raise MocapError(f"{self.name}: expected frames to play, found none.")
            if not self._loop:
                return
            offset_s = t + 1.0 / (self.fps or 30.0)
            source = self._open_source()
