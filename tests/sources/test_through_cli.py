"""Sources that fail, through the real command line: the session goes on and the take is whole."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import cv2_enumerate_cameras
import numpy as np
import pytest

from mocap.__main__ import main
from mocap.assets import asset_path
from mocap.sources import CameraInfo
from mocap.takes.reader import Take
from tests.sources.helpers import Image, capture_threads, damage, interrupt_when, packet_ranges, wait_for, write_video

BUILT_IN = CameraInfo(0, "Built-in", cv2.CAP_V4L2)
WEBCAM = CameraInfo(2, "HD Webcam C920", cv2.CAP_V4L2)


def demo_pictures(count: int) -> list[Image]:
    """(720, 1280, 3) RGB, from the shipped clip."""
    with av.open(str(asset_path("demo.mp4"))) as container:
        frames = container.decode(video=0)
        return [np.asarray(next(frames).to_ndarray(format="rgb24"), np.uint8) for _ in range(count)]


class Plug:
    """A webcam that shows the demo clip again and again, and can be pulled out of its port."""

    def __init__(self) -> None:
        self.pictures = [np.ascontiguousarray(rgb[::2, ::2, ::-1]) for rgb in demo_pictures(30)]
        self.listed = [BUILT_IN, WEBCAM]
        self.captures: list[PluggedCapture] = []
        self.answers = threading.Event()  # the driver, when a camera is opened
        self.answers.set()

    def open(self, index: int, backend: int) -> PluggedCapture:
        capture = PluggedCapture(self, index)
        self.captures.append(capture)
        if threading.current_thread() is not threading.main_thread():
            self.answers.wait(20)
        return capture

    def has(self, index: int) -> bool:
        return any(camera.index == index for camera in self.listed)


class PluggedCapture:
    """In the place of cv2.VideoCapture."""

    def __init__(self, plug: Plug, index: int) -> None:
        self.plug, self.index, self.released = plug, index, False
        self.grabbed = 0

    def isOpened(self) -> bool:
        return not self.released and self.plug.has(self.index)

    def set(self, propId: int, value: float) -> bool:
        return True

    def get(self, propId: int) -> float:
        return 30.0 if propId == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        time.sleep(1 / 30)
        self.grabbed += 1
        return self.isOpened()

    def retrieve(self, image: Any = None) -> tuple[bool, Any]:
        return True, self.plug.pictures[self.grabbed % len(self.plug.pictures)].copy()

    def release(self) -> None:
        self.released = True


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    plug = Plug()
    monkeypatch.setattr(cv2_enumerate_cameras, "enumerate_cameras", lambda backend: list(plug.listed))
    monkeypatch.setattr(cv2, "VideoCapture", plug.open)
    return plug


def live(out: Path, *options: str) -> int:
    return main(["live", "--camera", "c920", "--out", str(out), "--export", "--osc.port", "0", *options])


def test_the_session_goes_on_when_the_camera_is_pulled_out_and_comes_back(
    plug: Plug, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def pulled_out_and_plugged_in() -> bool:
        wait_for(lambda: list(tmp_path.glob("*.take")), "recording has begun", 60)
        wait_for(lambda: plug.captures[-1].grabbed > 30, "frames")
        plug.listed = [BUILT_IN]
        wait_for(lambda: "gone" in caplog.text, "the loss is noticed")
        plug.listed = [BUILT_IN, replace(WEBCAM, index=4)]  # another port, another number
        wait_for(lambda: "back after" in caplog.text, "the camera is back")
        wait_for(lambda: plug.captures[-1].grabbed > 30, "frames again")
        return True

    interrupt_when(pulled_out_and_plugged_in)
    assert live(tmp_path, "--duration", "120") == 0
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("'HD Webcam C920': gone" in message for message in said) == 1
    assert sum("'HD Webcam C920': back after" in message for message in said) == 1
    assert not capture_threads()
    assert all(capture.released for capture in plug.captures)
    (path,) = tmp_path.glob("*.take")
    assert not list(tmp_path.glob("*-wal"))
    with Take(path) as take:
        indices = [frame.frame_index for frame in take.frames()]
        times = [frame.t_capture for frame in take.frames()]
    steps = np.diff(indices)
    assert (steps > 0).all()
    assert steps.max() > 5, "the gap counts what was missed"
    assert (np.diff(times) > 0).all()


def test_ctrl_c_while_the_camera_opens_leaves_nothing_behind(plug: Plug, tmp_path: Path) -> None:
    plug.answers.clear()
    interrupt_when(lambda: plug.captures)
    assert live(tmp_path) != 0
    assert capture_threads(), "the driver still blocks: Ctrl-C did not wait for it"
    plug.answers.set()
    wait_for(lambda: not capture_threads(), "the capture thread is left")
    assert all(capture.released for capture in plug.captures)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "says"), [("7", "No camera has the index 7"), ("Kinect", "No camera has the name 'Kinect'")]
)
def test_a_wrong_camera_is_named_and_the_right_ones_listed(
    plug: Plug, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str, says: str
) -> None:
    assert main(["live", "--camera", asked, "--out", str(tmp_path)]) == 1
    (error,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert says in error
    assert "0 'Built-in', 2 'HD Webcam C920'" in error
    plug.listed = []
    assert main(["live", "--camera", asked, "--out", str(tmp_path)]) == 1
    assert f"No camera found, neither with the {says[len('No camera has the ') :]}" in capsys.readouterr().err


def captured_frames(clip: Path, out: Path, caplog: pytest.LogCaptureFixture) -> list[int]:
    """Captures a clip and gives the indices of its frames in the take."""
    caplog.clear()
    assert main(["file", str(clip), "--out", str(out), "--export"]) == 0
    (path,) = out.glob("*.take")
    with Take(path) as take:
        return [frame.frame_index for frame in take.frames()]


def test_a_clip_that_is_cut_short_gives_a_take_of_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [image[::2, ::2] for image in demo_pictures(24)]
    options = {"movflags": "faststart"}
    path = write_video(tmp_path / "clip.mp4", images, options={"bf": "0"}, container_options=options)
    start, size = packet_ranges(path)[16]
    with path.open("r+b") as file:
        file.truncate(start + size // 2)
    indices = captured_frames(path, tmp_path / "out", caplog)
    assert indices == list(range(len(indices)))
    assert 14 <= len(indices) <= 16
    assert "cut short" in caplog.text


def test_a_clip_with_a_broken_frame_in_the_middle_gives_a_take_of_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [image[::2, ::2] for image in demo_pictures(20)]
    path = write_video(tmp_path / "clip.avi", images, codec="mjpeg", pix_fmt="yuvj420p")
    start, size = packet_ranges(path)[10]
    damage(path, start, size)
    indices = captured_frames(path, tmp_path / "out", caplog)
    assert indices == [index for index in range(20) if index != 10]
    assert "broken frame" in caplog.text
