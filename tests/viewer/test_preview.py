"""The window shows what the option asks for, and its keys end it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mocap.config import DrawStyle
from mocap.types import Frame
from mocap.viewer.overlay import draw
from mocap.viewer.preview import Preview
from tests.viewer.test_overlay import STYLES, blank, t_pose_seen


@pytest.mark.parametrize("style", STYLES)
def test_the_window_shows_what_the_overlay_would(style: DrawStyle, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("namedWindow", "resizeWindow", "destroyAllWindows"):
        monkeypatch.setattr(cv2, name, lambda *arguments: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda delay_ms: ord("q"))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *arguments: 1.0)
    preview = Preview(style)
    preview(Frame(0, 0.0, blank()), t_pose_seen())
    np.testing.assert_array_equal(shown[0][..., ::-1], draw(blank(), t_pose_seen(), style))
    assert preview.closed
    preview.close()
