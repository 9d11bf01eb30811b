"""The status line says what the animator has to know."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from mocap.cli.status import LineHandler, StatusLine
from mocap.types import Camera, Frame, MocapFrame

FRAME = Frame(0, 5.0, np.zeros((1, 1, 3), np.uint8))
RESULT = MocapFrame(0, 5.0, Camera(1, 1, 1.0), (), (), {}, 23.4)


@pytest.fixture(autouse=True)
def clean_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineHandler, "on_screen", 0)
    monkeypatch.setenv("COLUMNS", "120")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def status(stream: io.StringIO, held: int = 0, duration_s: float | None = None) -> StatusLine:
    return StatusLine(lambda: 7, lambda: held, lambda: "rec 0:12", lambda: "stand still", duration_s, stream)


def show(line: StatusLine) -> None:
    line(FRAME, RESULT)  # one frame has no rate yet
    line(FRAME, RESULT)


def test_the_line_has_age_drops_people_and_recording() -> None:
    stream = Terminal()
    show(status(stream))
    for part in ("fps", "age   23 ms", "dropped 7", "people 0", "rec 0:12", "stand still"):
        assert part in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_held_poses_are_shown_only_when_there_are_some() -> None:
    without, some = Terminal(), Terminal()
    show(status(without))
    show(status(some, held=3))
    assert "held" not in without.getvalue()
    assert "held 3" in some.getvalue()


def test_a_file_shows_how_far_it_is() -> None:
    stream = Terminal()
    show(status(stream, duration_s=10.0))
    assert "50 %" in stream.getvalue()


def test_a_log_file_gets_few_whole_lines() -> None:
    stream = io.StringIO()
    line = status(stream)
    for _ in range(100):
        line(FRAME, RESULT)
    assert stream.getvalue().count("\n") == 1
    assert "\r" not in stream.getvalue()


def test_a_narrow_terminal_gets_one_line_that_does_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    show(status(stream, held=5))
    assert len(stream.getvalue().lstrip("\r")) < 40


def test_a_log_line_takes_the_status_lines_place() -> None:
    stream = Terminal()
    line = status(stream)
    show(line)
    LineHandler(stream).emit(logging.LogRecord("a", logging.WARNING, "", 0, "camera gone", None, None))
    last = stream.getvalue().split("\r")[-1]
    assert last == "camera gone\n"


def test_while_no_frame_comes_the_line_says_so() -> None:
    stream = Terminal()
    line = status(stream)
    show(line)
    line._next = 0.0  # the next refresh is due
    line.tick()
    assert "no frame for 0 s" in stream.getvalue()
