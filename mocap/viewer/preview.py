"""A window with what is seen and found. Drawn on the main thread (macOS asks for it), after the pose was sent."""

from __future__ import annotations

import time

import cv2

from mocap.errors import MocapError
from mocap.types import Frame, MocapFrame
from mocap.viewer.overlay import draw

TITLE = "mocap: q or Esc ends"
INTERVAL_S = 1 / 15  # a preview never takes more than each second frame's time from the capture


class Preview:
    """OpenCV window; ``closed`` turns true when the user presses q or Esc or closes it."""

    def __init__(self) -> None:
        self.closed = False
        self._next = 0.0
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise MocapError("--preview found no screen to open a window on; run without it") from error

    def __call__(self, frame: Frame, result: MocapFrame) -> None:
        if self.closed or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL_S
        cv2.imshow(TITLE, draw(frame.rgb, result)[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        self.closed = key in (ord("q"), 27) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        cv2.destroyAllWindows()
