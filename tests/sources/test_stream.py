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
from mocap.sources import EndOfStream, StreamSource, VideoFile, open_file, open_live, video
from mocap.sources.live import Patience
from mocap.types import Frame
from tests.sources.helpers import capture_threads, interrupt_when, number_of, numbered, wait_for, write_video

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
        self.sends: int | None = None  # bytes of the clip, after which it says nothing more
        self.requests = 0

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
        self.requests += 1
        request.send_response(200)
        if request.path == "/clip.mp4":
            request.send_header("Content-Length", str(len(self.clip)))
            request.end_headers()
            request.wfile.write(self.clip[: self.sends])
            if self.sends is not None:
                self.gone.wait(20)
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


def opening_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("open ")]


def read(source: StreamSource) -> Frame:
    """The next frame, however long it takes."""
    frame = None
    deadline = time.perf_counter() + 30
    while frame is None:
        assert time.perf_counter() < deadline
        frame = source.read(0.2)
    return frame


def test_mjpeg_from_a_phone(phone: Phone) -> None:
    with StreamSource(phone.url, patience=IMPATIENT) as source:
        t_before = source._t_last
        frames = [read(source) for _ in range(20)]
        t_after = time.perf_counter()
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


def test_times_are_of_the_fine_clock(phone: Phone, coarse_monotonic: None) -> None:
    t_before = time.perf_counter()
    with StreamSource(phone.url, patience=IMPATIENT) as source:
        assert t_before <= read(source).t_capture <= time.perf_counter()


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
    with pytest.raises(MocapError, match=r"cannot be opened \(no answer within 0\.5 s\)\. Check the address.*running"):
        StreamSource(phone.url, patience=Patience(first_frame_s=0.5, stall_s=0.3))


def test_a_server_that_falls_silent_is_said_to_be_silent(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    with StreamSource(phone.url, patience=Patience(first_frame_s=10.0, stall_s=0.3, retry_s=0.05)) as source:
        read(source)
        phone.silent.set()
        wait_for(lambda: "gone" in caplog.text, "the loss is noticed")
    assert "gone (no answer within 0.3 s)" in caplog.text


def test_ctrl_c_while_a_server_is_silent(phone: Phone) -> None:
    phone.silent.set()
    interrupt_when(lambda: phone.requests)
    with pytest.raises(KeyboardInterrupt):
        StreamSource(phone.url, patience=Patience(first_frame_s=30.0, stall_s=30.0))
    assert capture_threads(), "FFmpeg still waits: Ctrl-C did not wait for it"
    phone.silent.clear()  # it gets its answer; the fixture sees that the thread ends


def test_ctrl_c_while_the_server_of_a_recording_is_silent(phone: Phone) -> None:
    phone.silent.set()
    interrupt_when(lambda: phone.requests)
    with pytest.raises(KeyboardInterrupt):
        open_file(phone.url)
    assert opening_threads(), "FFmpeg still waits: Ctrl-C did not wait for it"
    phone.silent.clear()
    wait_for(lambda: not opening_threads(), "the opening thread is left")


def test_a_recording_whose_server_falls_silent_ends_there(
    phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = [np.random.default_rng(i).integers(0, 256, (240, 320, 3), np.uint8) for i in range(60)]
    path = write_video(tmp_path / "clip.mkv", images, options={"crf": "5"})
    monkeypatch.setattr(video, "ANSWER_S", 0.5)
    phone.clip, phone.sends = path.read_bytes(), path.stat().st_size // 2
    frames = list(VideoFile(phone.url.replace("/video", "/clip.mp4")))
    assert 0 < len(frames) < 60
    assert "no answer within 0.5 s" in caplog.text
    assert "cut short" in caplog.text


def test_a_recording_on_a_web_server_plays_and_ends(
    phone: Phone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(
        tmp_path / "clip.mp4", [numbered(i) for i in range(12)], container_options={"movflags": "faststart"}
    )
    phone.clip = path.read_bytes()
    url = phone.url.replace("/video", "/clip.mp4")
    t_before = time.perf_counter()
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
