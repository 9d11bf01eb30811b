"""A webcam through OpenCV."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mocap.config import CameraConfig
from mocap.sources.cameras import CameraInfo, cannot_open, find_again, find_camera, list_cameras
from mocap.sources.live import ConnectionLost, Image, LiveSource, Patience

log = logging.getLogger(__name__)

FAILED_GRABS_S = 0.5  # a grab may fail now and then (a corrupt packet); failing for this long means that it is gone


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used."""

    def isOpened(self) -> bool: ...
    def set(self, propId: int, value: float) -> bool: ...
    def get(self, propId: int) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self, image: Any = None) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


@dataclass(frozen=True)
class CameraFormat:
    """What a camera was asked for, or says that it gives."""

    width: int  # px
    height: int  # px
    fps: float  # 0 where the driver does not tell
    fourcc: str  # four characters, MJPG for example; empty where the driver does not tell

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.fps:g} fps {self.fourcc or 'unknown coding'}"


def open_quietly(index: int, backend: int) -> Capture:
    """cv2.VideoCapture without its warnings on stderr: a failure is reported once, by whoever asked."""
    level = cv2.setLogLevel(2)  # errors only; there are no names for the levels in Python
    try:
        return cv2.VideoCapture(index, backend)
    finally:
        cv2.setLogLevel(level)


class CameraSource(LiveSource):
    """A webcam, read in a thread of its own.

    Args:
        wanted: Index, name, unique part of a name, or device path; None is the first camera.
        config: What to ask the camera for; ``given`` says what it gave.
        patience: How long to wait.
        cameras: Lists the cameras.
        open_capture: Opens index and backend as cv2.VideoCapture does.

    Raises:
        MocapError: There is no such camera, or it does not open, or it gives no picture. Everything is freed then.
    """

    advice = "Close other programs that use it, plug it in again, or try another one (`mocap cameras`)."

    def __init__(
        self,
        wanted: int | str | None,
        config: CameraConfig,
        *,
        patience: Patience | None = None,
        cameras: Callable[[], Sequence[CameraInfo]] = list_cameras,
        open_capture: Callable[[int, int], Capture] = open_quietly,
    ) -> None:
        self.info = find_camera(wanted, cameras())
        super().__init__(f"camera {self.info}", patience or Patience())
        self.asked = CameraFormat(config.width, config.height, config.fps, "MJPG")
        self.given = self.asked
        self.fps = config.fps
        self._mirror = config.mirror
        self._cameras = cameras
        self._open_capture = open_capture
        if sys.platform == "darwin":
            self._ask_for_permission()
        self._start()

    def _ask_for_permission(self) -> None:
        """Opens and releases the camera on the caller's thread, the main one.

        The first open makes macOS ask whether the program may use cameras. OpenCV has to run the main thread's event
        loop for that, and on any other thread refuses to open ("can not spin main run loop from other thread").
        Whether it opens is found out, and reported, by the capture thread.
        """
        self._open_capture(self.info.index, self.info.backend).release()

    def _connect(self) -> CameraConnection:
        cameras = self._cameras()
        if self._lost:
            self.info = find_again(self.info, cameras)
        capture = self._open_capture(self.info.index, self.info.backend)
        try:
            if not capture.isOpened():
                raise cannot_open(self.info, cameras)
            self.given = configure(capture, self.asked)
        except BaseException:
            capture.release()
            raise
        self.fps = self.given.fps or self.asked.fps
        log.info("%s (%s): asked for %s, gives %s", self.name, self.info.backend_name, self.asked, self.given)
        return CameraConnection(capture, self._mirror)


def configure(capture: Capture, asked: CameraFormat) -> CameraFormat:
    """Asks for a format and returns the one that the driver reports.

    MJPG first: uncompressed 1280×720 goes through USB 2 at 5 to 10 fps only, and the choice of coding decides which
    sizes there are. DirectShow forgets the coding when the size changes, so it is asked for again.
    """
    mjpg = cv2.VideoWriter.fourcc(*asked.fourcc)
    capture.set(cv2.CAP_PROP_FOURCC, mjpg)
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
    capture.set(cv2.CAP_PROP_FPS, asked.fps)
    if int(capture.get(cv2.CAP_PROP_FOURCC)) != mjpg:
        capture.set(cv2.CAP_PROP_FOURCC, mjpg)
    return CameraFormat(
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        fps=max(0.0, float(capture.get(cv2.CAP_PROP_FPS))),
        fourcc=_fourcc_text(int(capture.get(cv2.CAP_PROP_FOURCC))),
    )


def _fourcc_text(code: int) -> str:
    text = "".join(chr((code >> shift) & 0xFF) for shift in (0, 8, 16, 24))
    return text if text.isprintable() and text.isascii() else ""


class CameraConnection:
    """An open camera."""

    def __init__(self, capture: Capture, mirror: bool) -> None:
        self._capture = capture
        self._mirror = mirror
        self._bgr: NDArray[np.uint8] | None = None  # filled again with every picture
        self._flipped: NDArray[np.uint8] | None = None

    def read(self) -> tuple[float, Image] | None:
        deadline = time.perf_counter() + FAILED_GRABS_S
        while not self._grab():
            if time.perf_counter() > deadline:
                raise ConnectionLost("the camera delivers nothing")
            time.sleep(0.01)
        t_capture = time.perf_counter()  # before decoding and conversion, which are part of the frame's age
        bgr = self._retrieve()
        if bgr is None:
            return None
        if self._mirror:
            bgr = self._flipped = np.asarray(cv2.flip(bgr, 1, self._flipped), np.uint8)
        return t_capture, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def _grab(self) -> bool:
        try:
            return self._capture.grab()
        except cv2.error as error:
            raise ConnectionLost(str(error)) from error

    def _retrieve(self) -> NDArray[np.uint8] | None:
        try:
            decoded, self._bgr = self._capture.retrieve(self._bgr)
        except cv2.error as error:  # the JPEG decoder, on what an unplugged or shaky camera sent last
            log.debug("a picture could not be decoded: %s", error)
            return None
        return self._bgr if decoded else None

    def close(self) -> None:
        self._capture.release()
