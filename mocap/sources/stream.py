"""Network streams: RTSP cameras, phones that serve MJPEG over HTTP, videos on a web server."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import av

from mocap.sources.base import EndOfStream
from mocap.sources.containers import Converter, Image, nominal_fps, open_video, reason
from mocap.sources.live import ConnectionLost, LiveSource, Patience

OPTIONS = {
    "rtsp_transport": "tcp",  # over Wi-Fi, UDP loses packets and smears the picture
    "flags": "low_delay",
    # µs; FFmpeg's own 5 s would delay the start by as much. No "nobuffer": it throws away what was read to find out the
    # format, the first key frame among it, and then H.264 shows nothing until the next one.
    "analyzeduration": "1000000",
}
NETWORK_PATIENCE = Patience(first_frame_s=15.0, stall_s=5.0)
LONGEST_PAUSE_S = 2.0  # between two frames of a recording


class StreamSource(LiveSource):
    """A network stream, read in a thread of its own; the newest frame wins.

    ``t_capture`` is ``time.perf_counter()`` at the arrival of the frame's packet. A stream that breaks off is opened
    again until it is back. A recording on a web server (it has an end) plays in real time and then ends.

    Args:
        url: rtsp://…, http://… or https://….
        mirror: Flip left to right.
        patience: How long to wait.

    Raises:
        MocapError: The address cannot be opened or gives no pictures.
    """

    advice = "Check the address in a browser or in VLC."

    def __init__(self, url: str, *, mirror: bool = False, patience: Patience = NETWORK_PATIENCE) -> None:
        super().__init__(url, patience)
        self._url = url
        self._mirror = mirror
        self._start()

    def _connect(self) -> StreamConnection:
        connection = StreamConnection(self._url, self._mirror, self._patience, self._stop)
        self.fps = connection.fps
        return connection


class StreamConnection:
    """An open stream."""

    def __init__(self, url: str, mirror: bool, patience: Patience, stop: threading.Event) -> None:
        self._container, self._stream = open_video(url, OPTIONS, (patience.first_frame_s, patience.stall_s))
        self._stream.thread_type = "SLICE"  # decoding several frames at once would delay each of them
        self.fps = nominal_fps(self._stream)
        self._ends = bool(self._container.duration)
        self._convert = Converter(mirror)
        self._stall_s = patience.stall_s
        self._stop = stop
        self._t_start: float | None = None  # time.perf_counter() of a recording's time 0
        self._pictures = self._decode_all()

    def read(self) -> tuple[float, Image] | None:
        try:
            return next(self._pictures)
        except StopIteration:
            if self._ends:
                raise EndOfStream from None
            raise ConnectionLost("the stream has ended") from None
        except av.FFmpegError as error:
            raise ConnectionLost(reason(error, self._stall_s)) from error

    def close(self) -> None:
        self._pictures.close()
        self._container.close()

    def _decode_all(self) -> Generator[tuple[float, Image] | None, None, None]:
        for packet in self._container.demux(self._stream):
            t_arrival = time.perf_counter()
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                yield None
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    yield None
                    continue
                t_capture = self._wait_until_due(picture) if self._ends else t_arrival
                yield t_capture, self._convert(picture, self._stream)

    def _wait_until_due(self, picture: av.VideoFrame) -> float:
        """Plays a recording in real time; returns the time now."""
        now, t = time.perf_counter(), picture.time or 0.0
        if self._t_start is None:
            self._t_start = now - t
        self._stop.wait(min(max(0.0, self._t_start + t - now), LONGEST_PAUSE_S))
        return time.perf_counter()
