"""A live source: a thread that owns the connection to a device, hands over the newest frame, and reconnects."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError
from mocap.latest import Closed, Latest
from mocap.sources.base import EndOfStream, Source
from mocap.types import Frame

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]  # (H, W, 3) RGB
INTERRUPTED_S = 0.5  # how long Ctrl-C while opening waits for the device to be freed


class ConnectionLost(Exception):
    """The device or the network peer is gone; the message says how that showed."""


class Connection(Protocol):
    """An open device or stream. One thread opens, reads and closes it."""

    def read(self) -> tuple[float, Image] | None:
        """Waits for the next picture.

        Returns:
            Its time (s, ``time.perf_counter()``) and RGB (H, W, 3) uint8; None for a picture that could not be decoded.

        Raises:
            ConnectionLost: Nothing comes any more.
            EndOfStream: The peer has sent everything that there is.
        """

    def close(self) -> None: ...


@dataclass(frozen=True)
class Patience:
    """How long a live source waits, seconds."""

    first_frame_s: float = 10.0  # from opening to the first picture: some webcams take several seconds
    stall_s: float = 2.0  # without a picture for this long, the device counts as gone
    retry_s: float = 0.5  # before the second attempt to reconnect; doubles up to retry_max_s
    retry_max_s: float = 2.0


class LiveSource(Source):
    """Base of cameras and network streams.

    A subclass gives ``_connect`` and calls ``_start`` at the end of its constructor. A device that vanishes is
    reported, looked for again with growing pauses, and goes on where it was; ``Frame.index`` then has a gap of about as
    many frames as were missed.
    """

    live = True
    advice = "Check that it is running."  # what to do when it opens but gives no picture

    def __init__(self, name: str, patience: Patience) -> None:
        self.name = name
        self.reconnects = 0
        self._patience = patience
        self._latest: Latest[Frame] = Latest()
        self._stop = threading.Event()
        self._first = threading.Event()  # set at the first frame, or when there will be none
        self._workers: list[threading.Thread] = []
        self._index = -1
        self._t_last: float | None = None  # when the last picture arrived
        self._lost = False  # the next frame is the first one after a loss
        self._reading_since: float | None = None  # None while not inside Connection.read
        self._pause_s = 0.0  # before the next attempt to reconnect
        self._why_gone = ""  # what the last attempt to reconnect failed with

    @abstractmethod
    def _connect(self) -> Connection:
        """Opens the device; raises MocapError when that fails. Called in the capture thread, again after each loss."""

    @property
    def dropped(self) -> int:
        return self._latest.dropped

    def read(self, timeout_s: float = 1.0) -> Frame | None:
        try:
            frame = self._latest.get(timeout_s)
        except Closed:
            raise EndOfStream from None
        if frame is None:
            self._replace_blocked_worker()
        return frame

    def close(self) -> None:
        self._end(self._patience.stall_s + 1.0)

    def _end(self, wait_s: float) -> None:
        """Ends the capture threads, each of which frees its device, and waits for them up to ``wait_s``."""
        self._stop.set()
        self._latest.close()
        deadline = time.perf_counter() + wait_s
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.perf_counter()))
        if any(worker.is_alive() for worker in self._workers):
            log.warning("%s: it does not answer; it is freed as soon as it does", self.name)

    def _start(self) -> None:
        """Opens the device in the capture thread and waits for its first picture; frees everything when that fails."""
        try:
            self._add_worker()
            self._wait_for_first()
        except KeyboardInterrupt:  # an open that blocks cannot be interrupted: its thread frees what it gets
            self._end(INTERRUPTED_S)
            raise
        except BaseException:
            self.close()
            raise

    def _wait_for_first(self) -> None:
        deadline = time.perf_counter() + self._patience.first_frame_s + self._patience.stall_s
        while not self._first.wait(0.2):  # short waits let Ctrl-C through
            if time.perf_counter() > deadline:
                raise self._silent(f"none within {self._patience.first_frame_s:.0f} s")
        if self._index >= 0:
            return
        try:
            self._latest.get(0)  # raises what the capture thread failed with
        except Closed:
            raise self._silent("it has ended at once") from None

    def _silent(self, how: str) -> MocapError:
        return MocapError(f"{self.name}: opened, but it gives no picture ({how}). {self.advice}")

    # ---- the capture thread

    def _add_worker(self) -> None:
        worker = threading.Thread(target=self._run, name=f"capture {self.name}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _current(self) -> bool:
        """Whether the calling capture thread is still wanted: not stopped, and not replaced because it blocked."""
        return not self._stop.is_set() and self._workers[-1] is threading.current_thread()

    def _run(self) -> None:
        try:
            self._wait_for_blocked()
            while self._current():
                self._run_connection()
        except EndOfStream:
            self._latest.close()
        except Exception as error:  # the consumer gets it, from read()
            if self._current():
                self._latest.close(error)
        finally:
            self._first.set()

    def _wait_for_blocked(self) -> None:
        """Gives threads that blocked some time to free the device."""
        deadline = time.perf_counter() + self._patience.retry_max_s
        for blocked in self._workers[:-1]:
            while blocked.is_alive() and self._current() and time.perf_counter() < deadline:
                blocked.join(0.1)

    def _run_connection(self) -> None:
        """One connection from opening to loss or stop."""
        connection = self._reconnect() if self._lost else self._connect()
        if connection is None:
            return
        try:
            self._pump(connection)
        except ConnectionLost as loss:
            if self._index < 0:
                raise self._silent(str(loss)) from loss
            if self._current():
                self._report_loss(str(loss))
        finally:
            connection.close()

    def _reconnect(self) -> Connection | None:
        """Tries until it opens, with growing pauses; None when this thread is no longer wanted."""
        while self._current():
            self._stop.wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s or self._patience.retry_s, self._patience.retry_max_s)
            try:
                return self._connect()
            except (MocapError, OSError, cv2.error) as error:  # devices come and go while they are listed and opened
                self._report_still_gone(str(error))
        return None

    def _pump(self, connection: Connection) -> None:
        t_picture, fresh = time.perf_counter(), True
        while self._current():
            self._reading_since = time.perf_counter()
            picture = connection.read()
            if not self._current():
                return
            self._reading_since = None
            if picture is not None:
                self._deliver(*picture)
                t_picture, fresh = time.perf_counter(), False
                continue
            self._skip_broken()
            limit_s = self._patience.first_frame_s if fresh else self._patience.stall_s
            if time.perf_counter() - t_picture > limit_s:
                raise ConnectionLost(f"no picture that can be decoded for {limit_s:.1f} s")

    def _deliver(self, t_capture: float, rgb: Image) -> None:
        self._index += 1
        if self._lost and self._t_last is not None:
            outage_s = t_capture - self._t_last
            self._index += max(1, round(outage_s * (self.fps or 0.0)) - 1)
            self._lost, self._pause_s = False, 0.0
            self.reconnects += 1
            log.warning("%s: back after %.1f s", self.name, outage_s)
        self._t_last = t_capture
        self._latest.put(Frame(self._index, t_capture, rgb))
        self._first.set()

    def _skip_broken(self) -> None:
        self._index += 1 if self._index >= 0 else 0
        self.broken += 1
        if self.broken == 1:
            log.warning("%s: a picture could not be decoded; such pictures are skipped and counted", self.name)

    def _report_loss(self, how: str) -> None:
        if not self._lost:
            self._lost, self._why_gone = True, ""
            log.warning("%s: gone (%s); trying to reconnect", self.name, how)

    def _report_still_gone(self, why: str) -> None:
        if why != self._why_gone:  # not at every attempt
            self._why_gone = why
            log.info("%s: not back yet: %s", self.name, why)

    # ---- called by the reader

    def _replace_blocked_worker(self) -> None:
        """A driver may block for ever when its device vanishes. Its thread is left behind, to free the device when
        the driver returns, and a new one reconnects."""
        since = self._reading_since
        if since is None or self._stop.is_set() or not self._workers[-1].is_alive():
            return
        limit_s = self._patience.first_frame_s if self._lost else self._patience.stall_s
        if time.perf_counter() - since > limit_s:
            self._reading_since = None
            self._report_loss(f"no picture for {time.perf_counter() - since:.1f} s")
            self._add_worker()
