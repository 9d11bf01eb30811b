"""Time between frames as the stages see it."""

from __future__ import annotations

import math

# Frames are at least this far apart: a coarse clock (Windows ticks every 15.6 ms) and bursts from a network give
# several frames one time stamp.
MIN_STEP_S = 0.004
_SELDOM_S = 10.0


class Clock:
    """Capture times -> times that always advance, for filters and memories that divide by what has passed.

    A repeated time stamp counts as the least step, which the next frames give back: on the whole the times are the
    given ones. A jump back counts as no time.
    """

    def __init__(self) -> None:
        self._stamp, self._t, self._offset_s = -math.inf, -math.inf, 0.0

    def __call__(self, t_capture: float) -> float:
        """The time in seconds of a frame with this time stamp."""
        self._offset_s += max(self._stamp - t_capture, 0.0)
        self._stamp, self._t = t_capture, max(t_capture + self._offset_s, self._t + MIN_STEP_S)
        return self._t


class Seldom:
    """True at most once in ten seconds: for warnings about what may happen in every frame."""

    def __init__(self) -> None:
        self._t = -math.inf

    def __call__(self, t: float) -> bool:
        """Whether it is time again at ``t`` s."""
        due = t - self._t >= _SELDOM_S
        self._t = t if due else self._t
        return due
