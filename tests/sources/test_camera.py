"""Frames from a camera, losing it and finding it again, and failing to open it."""

from __future__ import annotations

import itertools
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mocap.config import CameraConfig
from mocap.errors import MocapError
from mocap.sources import CameraInfo, CameraSource, EndOfStream
from mocap.sources import camera as camera_module
from mocap.sources.live import Patience
from mocap.types import Frame
from tests.sources.fakes import Desk
from tests.sources.helpers import capture_threads, interrupt_when, wait_for


def read(source: CameraSource, timeout_s: float = 20.0) -> Frame:
    frame = source.read(timeout_s)
    assert frame is not None
    return frame


def read_number(frame: Frame) -> int:
    return int(frame.rgb[0, 0, 2])


# ---- frames


def test_frames_are_rgb_counted_and_stamped_before_decoding(desk: Desk) -> None:
    desk.limit = 1
    t_before = time.perf_counter()
    with desk.source() as source:
        frame = read(source)
        (capture,) = desk.captures
        assert t_before < capture.t_grabbed <= frame.t_capture <= capture.t_retrieve
        assert frame.index == 0
        assert frame.rgb[0, 0].tolist() == [0, 100, 0]
        assert frame.rgb[0, -1].tolist() == [200, 100, 0]
        desk.limit = None
        desk.go_on.set()
        later = [read(source) for _ in range(20)]
    assert all(frame.index == read_number(frame) for frame in later)
    assert all(a.index < b.index and a.t_capture < b.t_capture for a, b in itertools.pairwise(later))
    assert source.live


def test_times_are_of_the_fine_clock(desk: Desk, coarse_monotonic: None) -> None:
    with desk.source() as source:
        t_before = time.perf_counter()
        source.read()
        assert t_before - 1 < read(source).t_capture <= time.perf_counter()


def test_mirror(desk: Desk) -> None:
    with desk.source(config=CameraConfig(width=64, height=48, mirror=True)) as source:
        assert (read(source).rgb[0, [0, -1], 0] == [200, 0]).all()


def test_a_frame_stays_as_it_is_while_the_camera_goes_on(desk: Desk) -> None:
    with desk.source() as source:
        first = read(source)
        kept = first.rgb.copy()
        wait_for(lambda: desk.captures[0].grabbed > first.index + 10, "the camera goes on")
        np.testing.assert_array_equal(first.rgb, kept)


def test_newest_frame_wins_and_drops_are_counted(desk: Desk) -> None:
    desk.limit = 50
    with desk.source() as source:
        wait_for(lambda: source.dropped == 49, "49 of 50 frames dropped")
        frame = read(source)
        assert frame.index == read_number(frame) == 49
        assert source.dropped == 49
        desk.go_on.set()


def test_asks_for_mjpg_and_size_and_says_what_it_got(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with desk.source(config=CameraConfig(width=1280, height=720, fps=60)) as source:
        asked = dict(desk.captures[0].asked)
        assert desk.captures[0].asked[0] == (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
        assert asked[cv2.CAP_PROP_FPS] == 60
        assert (source.given.width, source.given.height, source.given.fourcc) == (64, 48, "YUYV")
        assert source.fps == 60  # this driver does not tell
    assert "asked for 1280x720 60 fps MJPG, gives 64x48 0 fps YUYV" in caplog.text


def test_a_picture_that_cannot_be_decoded_is_skipped_and_counted(desk: Desk) -> None:
    desk.undecodable = {3, 4}
    desk.limit = 10
    with desk.source() as source:
        wait_for(lambda: source._index == 9, "ten pictures")
        frame = read(source)
        assert frame.index == read_number(frame) == 9
        assert source.broken == 2
        assert source.dropped == 7
        desk.go_on.set()


# ---- lost and found


def test_reconnects_when_the_camera_vanishes_and_says_so(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    webcam = desk.cameras[1]
    with desk.source("c920") as source:
        before = read(source)
        desk.cameras.remove(webcam)
        wait_for(lambda: len(desk.captures) > 3, "attempts to reconnect")
        assert desk.captures[0].released
        assert "gone" in caplog.text
        assert "back" not in caplog.text
        last = source.read(0) or before
        desk.cameras.append(CameraInfo(4, webcam.name, webcam.backend))  # another port, another number
        frame = read(source)
        assert frame.index > last.index + 1
        assert frame.t_capture > last.t_capture
        assert source.info.index == 4
        assert source.reconnects == 1
        assert "back after" in caplog.text
        assert len(desk.held) == 1
        following = [read(source) for _ in range(3)]
        assert following[0].index > frame.index
    assert caplog.text.count("gone") == 1


def test_reconnects_when_the_driver_blocks(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.limit = 5
    with desk.source() as source:
        last = read(source)
        wait_for(lambda: desk.captures[0].grabbed == 5, "the fifth frame")
        last = source.read(0) or last
        wait_for(lambda: source.read(0.05) is None and "gone" in caplog.text, "the loss is noticed")
        stuck = desk.captures[0]
        assert not stuck.released  # a thread is inside it: only that one may release it
        desk.limit = None
        desk.go_on.set()  # the driver gives up at last
        frame = None
        while frame is None:
            frame = source.read(0.1)
        assert stuck.released
        assert frame.index > last.index + 1
        assert len(desk.held) == 1


def test_errors_while_looking_for_a_lost_camera_do_not_end_the_session(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with desk.source() as source:
        read(source)
        desk.opening_errors = [cv2.error("cannot ask the driver"), OSError("no such device")]
        desk.listing_errors = [FileNotFoundError("/dev/video0"), cv2.error("no backend")]
        desk.grabs_fail = True
        wait_for(lambda: not desk.opening_errors and not desk.listing_errors, "every error was met")
        desk.grabs_fail = False
        wait_for(lambda: source.reconnects == 1, "the camera is back")
        assert read(source) is not None
    for why in ("/dev/video0", "no backend", "cannot ask the driver", "no such device"):
        assert caplog.text.count(f"not back yet: {why}") == 1


def test_an_opencv_error_in_the_middle_is_a_loss_or_a_broken_picture(desk: Desk) -> None:
    with desk.source(patience=Patience(stall_s=30, retry_s=0.01, retry_max_s=0.05)) as source:
        read(source)
        desk.retrieve_error = cv2.error("not a JPEG")
        wait_for(lambda: source.broken >= 3, "broken pictures are counted")
        desk.retrieve_error = None
        read(source)
        assert source.reconnects == 0
        desk.grab_error = cv2.error("the device is gone")
        wait_for(lambda: len(desk.captures) > 2, "attempts to reconnect")
        desk.grab_error = None
        wait_for(lambda: source.reconnects == 1, "the camera is back")


def test_a_camera_that_is_lost_can_be_closed(desk: Desk) -> None:
    source = desk.source()
    desk.cameras.clear()
    wait_for(lambda: len(desk.captures) > 2, "attempts to reconnect")
    source.close()
    assert not capture_threads()


# ---- failing to open


def test_a_failed_open_frees_everything_and_can_be_retried(desk: Desk) -> None:
    desk.opens = False
    with pytest.raises(MocapError, match=r"Camera 0 'Built-in' does not open.*2 'HD Webcam C920'"):
        desk.source()
    assert all(capture.released for capture in desk.captures)
    assert not capture_threads()
    desk.opens = True
    with desk.source() as source:
        assert read(source).index == 0


def test_a_camera_in_use_is_refused_and_free_again_after_close(desk: Desk) -> None:
    first = desk.source()
    with pytest.raises(MocapError, match="another program"):
        desk.source()
    first.close()
    first.close()
    assert len(list(first)) <= 1  # what was in the slot
    with pytest.raises(EndOfStream):
        first.read(0)
    with desk.source() as second:
        assert read(second) is not None


@pytest.mark.parametrize("how", ["grabs fail", "blocks"])
def test_a_camera_without_pictures_is_an_error(desk: Desk, how: str) -> None:
    desk.grabs_fail = how == "grabs fail"
    desk.limit = 0 if how == "blocks" else None
    threading.Timer(1.0, desk.go_on.set).start()
    with pytest.raises(MocapError, match="gives no picture"):
        desk.source()


@pytest.mark.parametrize("blocks_in", ["open", "grab"])
def test_ctrl_c_while_opening_frees_the_camera(desk: Desk, blocks_in: str) -> None:
    desk.open_blocks = blocks_in == "open"
    desk.limit = 0
    interrupt_when(lambda: desk.opened_on)
    with pytest.raises(KeyboardInterrupt):
        desk.source(patience=Patience(first_frame_s=30, stall_s=30))
    assert capture_threads(), "the driver still blocks: Ctrl-C did not wait for it"
    desk.go_on.set()  # the driver answers; the fixture sees that the camera is freed


def test_macos_is_asked_for_permission_on_the_main_thread(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "sys", SimpleNamespace(platform="darwin"))
    with desk.source() as source:
        assert read(source).index == 0
        first, second = desk.captures
        assert first.released
        assert not first.asked
        assert not second.released
    assert desk.opened_on[0] is threading.current_thread()
    assert desk.opened_on[1] is not threading.current_thread()


def test_other_systems_open_the_camera_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "sys", SimpleNamespace(platform="win32"))
    with desk.source():
        assert len(desk.captures) == 1


def test_an_error_of_the_capture_thread_is_raised_by_read(desk: Desk) -> None:
    with desk.source() as source:
        read(source)
        desk.retrieve_error = MemoryError("out of memory")
        with pytest.raises(MemoryError, match="out of memory"):
            list(source)
