"""The camera without a camera: a fake takes the place of cv2.VideoCapture."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mocap.config import CameraConfig
from mocap.sources import CameraInfo, CameraSource
from mocap.sources.live import Patience

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
        self.grab_error: Exception | None = None
        self.listing_errors: list[Exception] = []  # raised in turn by the next listings
        self.opening_errors: list[Exception] = []
        self.open_blocks = False  # until go_on
        self.opened_on: list[threading.Thread] = []

    def list(self) -> Sequence[CameraInfo]:
        if self.listing_errors:
            raise self.listing_errors.pop(0)
        return tuple(self.cameras)

    def open(self, index: int, backend: int) -> FakeCapture:
        self.opened_on.append(threading.current_thread())
        if self.opening_errors:
            raise self.opening_errors.pop(0)
        if self.open_blocks:
            self.go_on.wait(20)
        self.captures.append(FakeCapture(self, index))
        return self.captures[-1]

    def source(
        self, wanted: int | str | None = 0, config: CameraConfig = CONFIG, patience: Patience = IMPATIENT
    ) -> CameraSource:
        return CameraSource(wanted, config, patience=patience, cameras=self.list, open_capture=self.open)

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
        if self.desk.grab_error is not None:
            raise self.desk.grab_error
        time.sleep(0.002)
        plugged = any(camera.index == self.index for camera in self.desk.cameras)
        if self.desk.grabs_fail or not plugged or self.released:
            return False
        self.grabbed += 1
        self.t_grabbed = time.perf_counter()
        return True

    def retrieve(self, image: Any = None) -> tuple[bool, Any]:
        self.t_retrieve = time.perf_counter()
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
