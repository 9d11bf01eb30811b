"""The camera without a camera: a fake takes the place of cv2.VideoCapture."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import cv2_enumerate_cameras
import numpy as np
import pytest

from mocap.config import CameraConfig
from mocap.errors import MocapError
from mocap.sources import CameraInfo, CameraSource, EndOfStream, cameras, list_cameras, open_live
from mocap.sources.cameras import find_again, find_camera, is_second_node
from mocap.sources.live import Patience
from mocap.types import Frame
from tests.sources.helpers import capture_threads, wait_for

IMPATIENT = Patience(first_frame_s=0.3, stall_s=0.2, retry_s=0.01, retry_max_s=0.05)
CONFIG = CameraConfig(width=64, height=48, fps=30)


class Desk:
    """The world of the fake: cameras that are plugged in, and everything that was done with them."""

    def __init__(self) -> None:
        self.cameras = [CameraInfo(0, "Built-in", cv2.CAP_V4L2), CameraInfo(2, "HD Webcam C920", cv2.CAP_V4L2)]
        self.captures: list[FakeCapture] = []
        self.opens = True
        self.limit: int | None = None  # frames per capture, after which grab() waits for go_on
        self.go_on = threading.Event()
        self.grabs_fail = False
        self.undecodable: set[int] = set()  # frames of a capture
        self.retrieve_error: Exception | None = None

    def open(self, index: int, backend: int) -> FakeCapture:
        self.captures.append(FakeCapture(self, index))
        return self.captures[-1]

    def source(self, wanted: int | str | None = 0, config: CameraConfig = CONFIG) -> CameraSource:
        return CameraSource(
            wanted, config, patience=IMPATIENT, cameras=lambda: list(self.cameras), open_capture=self.open
        )

    @property
    def held(self) -> list[FakeCapture]:
        return [capture for capture in self.captures if capture.opened]


class FakeCapture:
    """A camera that is exclusive, as real ones are, and whose picture tells its number in blue."""

    def __init__(self, desk: Desk, index: int) -> None:
        plugged = any(camera.index == index for camera in desk.cameras)
        self.desk, self.index = desk, index
        self.opened = desk.opens and plugged and all(other.index != index for other in desk.held)
        self.asked: list[tuple[int, float]] = []
        self.grabbed = 0
        self.released = False
        self.t_grabbed = self.t_retrieve = 0.0

    def isOpened(self) -> bool:
        return self.opened

    def set(self, propId: int, value: float) -> bool:
        self.asked.append((propId, value))
        return True

    def get(self, propId: int) -> float:
        fourcc = cv2.VideoWriter.fourcc(*"YUYV")
        return {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48, cv2.CAP_PROP_FOURCC: fourcc}.get(propId, 0)

    def grab(self) -> bool:
        if self.grabbed == self.desk.limit:
            self.desk.go_on.wait(20)
        time.sleep(0.002)
        plugged = any(camera.index == self.index for camera in self.desk.cameras)
        if self.desk.grabs_fail or not plugged or self.released:
            return False
        self.grabbed += 1
        self.t_grabbed = time.monotonic()
        return True

    def retrieve(self, image: Any = None) -> tuple[bool, Any]:
        self.t_retrieve = time.monotonic()
        if self.desk.retrieve_error is not None:
            raise self.desk.retrieve_error
        if self.grabbed - 1 in self.desk.undecodable:
            return False, None
        bgr = image if image is not None else np.zeros((48, 64, 3), np.uint8)  # filled again, as OpenCV does
        bgr[:] = ((self.grabbed - 1) % 256, 100, 0)
        bgr[:, 32:, 2] = 200  # red on the right
        return True, bgr

    def release(self) -> None:
        self.opened, self.released = False, True


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.go_on.set()
    wait_for(lambda: not capture_threads(), "a capture thread is left")
    assert not desk.held, "a camera was not freed"


def read(source: CameraSource, timeout_s: float = 20.0) -> Frame:
    frame = source.read(timeout_s)
    assert frame is not None
    return frame


def read_number(frame: Frame) -> int:
    return int(frame.rgb[0, 0, 2])


# ---- frames


def test_frames_are_rgb_counted_and_stamped_before_decoding(desk: Desk) -> None:
    desk.limit = 1
    t_before = time.monotonic()
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


def test_an_error_of_the_capture_thread_is_raised_by_read(desk: Desk) -> None:
    with desk.source() as source:
        read(source)
        desk.retrieve_error = cv2.error("out of memory")
        with pytest.raises(cv2.error, match="out of memory"):
            list(source)


# ---- which camera

THREE = [
    CameraInfo(0, "Integrated Camera", cv2.CAP_V4L2, "/dev/video0"),
    CameraInfo(2, "Logitech C920", cv2.CAP_V4L2, "/dev/video2"),
    CameraInfo(4, "Logitech BRIO", cv2.CAP_V4L2, "/dev/video4"),
]


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 0), (2, 2), ("4", 4), ("Logitech BRIO", 4), ("c920", 2), ("INTEGRATED", 0)]
)
def test_a_camera_is_found_by_index_or_name(wanted: int | str | None, index: int) -> None:
    assert find_camera(wanted, THREE).index == index


def test_an_exact_name_comes_before_parts_of_names() -> None:
    both = [CameraInfo(0, "Webcam", 0), CameraInfo(1, "Webcam Pro", 0)]
    assert find_camera("Webcam", both).index == 0


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (1, "No camera has the index 1"),
        ("7", "No camera has the index 7"),
        ("Kinect", "No camera has the name 'Kinect'"),
        ("logitech", "2 cameras have the name 'logitech': give the index"),
    ],
)
def test_a_wrong_camera_lists_what_there_is(wanted: int | str, says: str) -> None:
    with pytest.raises(MocapError) as caught:
        find_camera(wanted, THREE)
    assert says in str(caught.value)
    for camera in THREE:
        assert f"{camera.index} '{camera.name}'" in str(caught.value)


def test_no_camera_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2_enumerate_cameras, "enumerate_cameras", lambda backend: [])
    for source in (None, "0", "Kinect"):
        with pytest.raises(MocapError, match=r"No camera found.*`mocap cameras`.*`mocap file VIDEO`"):
            open_live(source, CONFIG)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only administrators make links")
def test_a_device_path_finds_its_camera(tmp_path: Path) -> None:
    node, link = tmp_path / "video2", tmp_path / "by-id"
    node.touch()
    link.symlink_to(node)
    listed = [THREE[0], CameraInfo(2, "Logitech C920", cv2.CAP_V4L2, str(node))]
    assert find_camera(str(node), listed).index == 2
    assert find_camera(str(link), listed).index == 2


def test_twins_are_told_apart_by_path() -> None:
    twins = [CameraInfo(0, "C920", 0, "a"), CameraInfo(2, "C920", 0, "b")]
    assert find_again(CameraInfo(2, "C920", 0, "b"), twins) == twins[1]
    assert find_again(CameraInfo(0, "C920", 0, "a"), twins[1:]) == twins[1]
    assert find_again(CameraInfo(0, "Other", 0, "a"), twins) == CameraInfo(0, "Other", 0, "a")


@pytest.mark.parametrize(
    ("platform", "says"),
    [
        ("darwin", "System Settings → Privacy & Security → Camera"),
        ("win32", "Settings → Privacy & security → Camera"),
        ("linux", "permission denied for .*video2.*usermod -aG video"),
    ],
)
def test_permission_denied_says_where_to_give_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, says: str
) -> None:
    node = tmp_path / "video2"
    node.touch()
    monkeypatch.setattr(cameras, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(cameras.os, "access", lambda path, mode: False)
    desk.cameras[1] = CameraInfo(2, "C920", cv2.CAP_V4L2, str(node))
    desk.opens = False
    with pytest.raises(MocapError, match=says):
        desk.source(2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about Linux device nodes")
def test_the_list_is_sorted_named_and_without_second_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, index in ((0, "0"), (1, "1")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "index").write_text(f"{index}\n")
    assert not is_second_node("/nowhere/video0", tmp_path)
    assert is_second_node("/nowhere/video1", tmp_path)
    readable = tmp_path / "node" / "video1"
    readable.parent.mkdir()
    readable.touch()
    assert not is_second_node(str(readable), tmp_path)  # the enumeration could ask it, and it captures

    found = [
        SimpleNamespace(index=4, name=None, path=str(readable)),
        SimpleNamespace(index=1, name="C920", path="/nowhere/video1"),
        SimpleNamespace(index=0, name="C920", path="/nowhere/video0"),
    ]
    monkeypatch.setattr(cv2_enumerate_cameras, "enumerate_cameras", lambda backend: found)
    monkeypatch.setattr(cameras, "is_second_node", lambda path: is_second_node(path, tmp_path))
    assert [(camera.index, camera.name) for camera in list_cameras()] == [(0, "C920"), (4, "camera 4")]
    assert {camera.backend_name for camera in list_cameras()} == {"V4L2"}
