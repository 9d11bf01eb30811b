"""Network streams, from a server on the loopback that does what a phone does."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from mocap.config import CameraConfig
from mocap.errors import MocapError
from mocap.sources import EndOfStream, StreamSource, VideoFile, open_live
from mocap.sources.live import Patience
from mocap.types import Frame
from tests.sources.helpers import capture_threads, number_of, numbered, wait_for, write_video

IMPATIENT = Patience(first_frame_s=10.0, stall_s=1.0, retry_s=0.05, retry_max_s=0.2)


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(numbered(number)).save(buffer, "jpeg", quality=95, subsampling=0)
    return buffer.getvalue()


JPEGS = [jpeg(number) for number in range(15)]


class Phone:
    """Serves numbered pictures as HTTP-MJPEG at /video, and a file at /clip.mp4."""

    def __init__(self, port: int = 0) -> None:
        phone = self
        self.sent = 0
        self.silent = threading.Event()  # keeps the connection and sends nothing
        self.gone = threading.Event()
        self.clip = b""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                phone.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/video"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if request.path == "/clip.mp4":
            request.send_header("Content-Length", str(len(self.clip)))
            request.end_headers()
            request.wfile.write(self.clip)
            return
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        try:
            while not self.gone.wait(0.01):
                if not self.silent.is_set():
                    self.send_picture(request)
        except OSError:  # the reader has left
            return

    def send_picture(self, request: BaseHTTPRequestHandler) -> None:
        data = JPEGS[self.sent % 15]
        self.sent += 1
        request.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
        request.wfile.write(data + b"\r\n")

    def close(self) -> None:
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def phone() -> Iterator[Phone]:
    phone = Phone()
    yield phone
    phone.close()
    wait_for(lambda: not capture_threads(), "a capture thread is left")


def read(source: StreamSource) -> Frame:
    """The next frame, however long it takes."""
    frame = None
    deadline = time.monotonic() + 30
    while frame is None:
        assert time.monotonic() < deadline
        frame = source.read(0.2)
    return frame


def test_mjpeg_from_a_phone(phone: Phone) -> None:
    with StreamSource(phone.url, patience=IMPATIENT) as source:
        t_before = source._t_last
        frames = [read(source) for _ in range(20)]
        t_after = time.monotonic()
    assert all(frame.size == (64, 48) for frame in frames)
    np.testing.assert_allclose(frames[0].rgb[5, 5], (200, 40, 40), atol=6)  # RGB, not BGR
    numbers, indices = [number_of(frame.rgb) for frame in frames], [frame.index for frame in frames]
    assert {(number - index) % 15 for number, index in zip(numbers, indices, strict=True)} == {
        (numbers[0] - indices[0]) % 15
    }  # the index counts what the phone sent
    times = [frame.t_capture for frame in frames]
    assert t_before is not None
    assert times == sorted(times)
    assert times[-1] <= t_after
    assert source.live


def test_newest_wins_and_drops_are_counted(phone: Phone) -> None:
    with StreamSource(phone.url, patience=IMPATIENT) as source:
        wait_for(lambda: source.dropped >= 20, "drops")
        assert read(source).index >= 20


def test_mirror_through_open_live(phone: Phone) -> None:
    with open_live(phone.url, CameraConfig(mirror=True)) as source:
        assert isinstance(source, StreamSource)
        np.testing.assert_allclose(read(source).rgb[5, -5], (200, 40, 40), atol=6)


@pytest.mark.parametrize("how", ["closes", "goes silent"])
def test_reconnects_when_the_phone_comes_back(phone: Phone, caplog: pytest.LogCaptureFixture, how: str) -> None:
    with StreamSource(phone.url, patience=IMPATIENT) as source:
        last = read(source)
        if how == "closes":
            phone.close()
        else:
            phone.silent.set()
        wait_for(lambda: "gone" in caplog.text, "the loss is noticed")
        last = source.read(0) or last
        phone.silent.clear()
        again = Phone(phone.port) if how == "closes" else phone
        frame = read(source)
        assert frame.index > last.index + 1
        assert frame.t_capture > last.t_capture
        assert source.reconnects >= 1
        assert "back after" in caplog.text
    if again is not phone:
        again.close()


def test_a_lost_stream_can_be_closed(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    source = StreamSource(phone.url, patience=IMPATIENT)
    phone.gone.set()
    wait_for(lambda: "gone" in caplog.text, "the loss is noticed")
    source.close()
    source.close()
    assert not capture_threads()


def test_an_address_where_nothing_answers_is_an_error(phone: Phone) -> None:
    phone.close()
    with pytest.raises(MocapError, match=r"cannot be opened.*Check the address"):
        StreamSource(phone.url, patience=IMPATIENT)
    assert not capture_threads()


def test_a_server_that_sends_nothing_is_an_error(phone: Phone) -> None:
    phone.silent.set()
    with pytest.raises(MocapError, match=r"cannot be opened|gives no picture"):
        StreamSource(phone.url, patience=Patience(first_frame_s=0.5, stall_s=0.3))


def test_a_recording_on_a_web_server_plays_and_ends(
    phone: Phone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(
        tmp_path / "clip.mp4", [numbered(i) for i in range(12)], container_options={"movflags": "faststart"}
    )
    phone.clip = path.read_bytes()
    url = phone.url.replace("/video", "/clip.mp4")
    t_before = time.monotonic()
    with StreamSource(url, patience=IMPATIENT) as source:
        frames = list(source)
        with pytest.raises(EndOfStream):
            source.read()
    assert frames[-1].index == 11
    assert len(frames) + source.dropped == 12
    assert all(frame.t_capture >= t_before + frame.index / 30 - 1e-3 for frame in frames)  # no faster than real time
    assert [number_of(frame.rgb) for frame in frames] == [frame.index for frame in frames]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    whole = list(VideoFile(url))  # `mocap file` reads the same address without loss
    assert [number_of(frame.rgb) for frame in whole] == list(range(12))
