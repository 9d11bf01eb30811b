"""A window with what is seen and found. Drawn on the main thread (macOS asks for it), after the pose was sent."""

from __future__ import annotations

import os
import platform
import time

import cv2

from mocap.config import DrawStyle
from mocap.errors import MocapError
from mocap.types import Frame, MocapFrame
from mocap.viewer.overlay import draw, prepare

TITLE = "mocap: q or Esc ends"
NO_SCREEN = "--preview found no screen to open a window on; run without it"
INTERVAL_S = 1 / 15  # a preview never takes more than each second frame's time from the capture


class Preview:
    """OpenCV window; ``closed`` turns true when the user presses q or Esc or closes it."""

    def __init__(self, style: DrawStyle = "skeleton") -> None:
        self.closed, self.style = False, style
        self._next = 0.0
        if platform.system() == "Linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise MocapError(NO_SCREEN)  # OpenCV's Qt would abort the whole process
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(TITLE, 960, 540)
        except cv2.error as error:
            raise MocapError(NO_SCREEN) from error
        prepare(style)

    def __call__(self, frame: Frame, result: MocapFrame) -> None:
        if self.closed or time.perf_counter() < self._next:
            return
        self._next = time.perf_counter() + INTERVAL_S
        cv2.imshow(TITLE, draw(frame.rgb, result, self.style)[..., ::-1])
        self.tick()

    def tick(self) -> None:
        """Answer the window and its keys; also while no frame comes."""
        key = cv2.waitKey(1) & 0xFF
        self.closed = key in (ord("q"), 27) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        cv2.destroyAllWindows()
