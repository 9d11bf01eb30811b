"""The status line says what the animator has to know."""

from __future__ import annotations

import io

import numpy as np

from mocap.cli.status import StatusLine
from mocap.types import Camera, Frame, MocapFrame

FRAME = Frame(0, 5.0, np.zeros((1, 1, 3), np.uint8))
RESULT = MocapFrame(0, 5.0, Camera(1, 1, 1.0), (), (), {}, 23.4)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def status(stream: io.StringIO, held: int = 0, duration_s: float | None = None) -> StatusLine:
    return StatusLine(lambda: 7, lambda: held, lambda: "rec a.take", duration_s, stream)


def test_the_line_has_age_drops_people_and_recording() -> None:
    stream = Terminal()
    status(stream)(FRAME, RESULT)
    for part in ("fps", "age   23 ms", "dropped 7", "people 0", "rec a.take"):
        assert part in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_held_poses_are_shown_only_when_there_are_some() -> None:
    without, some = Terminal(), Terminal()
    status(without)(FRAME, RESULT)
    status(some, held=3)(FRAME, RESULT)
    assert "held" not in without.getvalue()
    assert "held 3" in some.getvalue()


def test_a_file_shows_how_far_it_is() -> None:
    stream = Terminal()
    status(stream, duration_s=10.0)(FRAME, RESULT)
    assert "50 %" in stream.getvalue()


def test_a_log_file_gets_few_whole_lines() -> None:
    stream = io.StringIO()
    line = status(stream)
    for _ in range(100):
        line(FRAME, RESULT)
    assert stream.getvalue().count("\n") == 1
    assert "\r" not in stream.getvalue()
