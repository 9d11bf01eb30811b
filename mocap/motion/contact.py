"""Feet: where the soles are, which foot stands, and the correction that keeps a standing foot on the floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT

Float64 = NDArray[np.float64]

ANKLES = (JOINT["left_ankle"], JOINT["right_ankle"])
TOES = (JOINT["left_foot"], JOINT["right_foot"])
SOLE_BELOW_TOES_M = 0.028  # the open body's toe joints lie 26-31 mm over its sole
_HEEL_BEHIND_ANKLE_M = 0.04
_STILL_SPEED, _SPEED_WIDTH = 0.35, 0.06  # m/s across the line of sight: a foot slower than this stands
_NEAR_FLOOR_M, _HEIGHT_WIDTH_M = 0.07, 0.012
_STAYS_WIDTH = 0.05  # of contact, about one half: a foot with more goes on standing
_OVER_OTHER_M = 0.09  # a foot this much higher than the other does not stand
_VELOCITY_S = 0.07  # time constants
_CONTACT_S = 0.04
_LIFT_S = 0.05
_LEVEL_S = (0.15, 1.5)  # the ground under a person is followed down, and up, this fast
_MAX_LIFT_M = 0.25  # further from the floor than this a still foot is on something else: a chair, a step


def sole_offsets(rest: Float64) -> Float64:
    """Heel and ball of both soles (2 feet, 2 points, 3) m from the ankle, in its axes, by the rest joints (24, 3)."""
    ankle, toes = rest[list(ANKLES)], rest[list(TOES)]
    floor = toes[:, 1].min() - SOLE_BELOW_TOES_M
    heel, ball = ankle.copy(), toes.copy()
    heel[:, 2] -= _HEEL_BEHIND_ANKLE_M
    heel[:, 1] = ball[:, 1] = floor
    return np.stack([heel - ankle, ball - ankle], 1)


def leg_length(rest: Float64) -> float:
    """Height of a standing person's pelvis over the sole, m, by the rest joints (24, 3)."""
    return float(rest[0, 1] - rest[list(TOES), 1].min() + SOLE_BELOW_TOES_M)


class FootContact:
    """Contact of the two feet from the height and the speed of their soles, and a soft vertical lock on the floor."""

    def __init__(self, stretch: float) -> None:
        self._stretch = stretch
        self.contact: Float64 = np.zeros(2)
        self.lift_m = 0.0
        self._level_m = 0.0  # where this person's lowest foot usually is: errors of depth and pitch move it
        self.reset()

    def reset(self) -> None:
        """Forget the speeds, after a gap in time."""
        self._last: Float64 | None = None
        self._velocity = np.zeros((2, 2, 2))

    def update(self, dt: float, heights: Float64, rays: Float64, depth_m: float, seen: NDArray[np.bool_]) -> None:
        """Take the next sample.

        Args:
            dt: Seconds since the last sample.
            heights: (2 feet, heel and ball) m over the floor, before the lift.
            rays: (2 feet, heel and toes, 2) where the picture shows them, px over the focal length. Standing and
                swinging differ in the picture already, and there no error of the depth moves a standing foot.
            depth_m: Distance of the body, to give speeds in m/s.
            seen: (2,) whether the foot is visible; a hidden one is no contact.
        """
        if self._last is not None and dt > 0:
            step = np.where(seen[:, None, None], rays - self._last, 0.0) * depth_m
            self._velocity += _share(dt, _VELOCITY_S) * (step / dt - self._velocity)
            if seen.any():
                self._follow_level(dt, float(heights.min()))
            target = np.where(seen, self._stands(heights), 0.0)
            self.contact = self.contact + _share(dt, _CONTACT_S) * (target - self.contact)
            self._lift(dt, heights.min(1))
        self._last = rays.copy()

    def _follow_level(self, dt: float, lowest: float) -> None:
        lowest = float(np.clip(lowest, -_MAX_LIFT_M, _MAX_LIFT_M))
        time_constant = _LEVEL_S[0] if lowest < self._level_m else _LEVEL_S[1]
        self._level_m += _share(dt, time_constant) * (lowest - self._level_m)

    def _stands(self, heights: Float64) -> Float64:
        """Contact (2,) of this moment: a point of the foot is slow, and near the floor when it comes to rest.

        A foot that stands goes on standing until it moves: a squat moves the computed depth, and with it the computed
        heights of both feet, by more than a step does.
        """
        speed = np.sqrt((self._velocity**2).sum(-1))
        near = _sigmoid((_NEAR_FLOOR_M - np.abs(heights - self._level_m)) / _HEIGHT_WIDTH_M)
        near = np.maximum(near, _sigmoid((self.contact[:, None] - 0.5) / _STAYS_WIDTH))
        low = _sigmoid((_OVER_OTHER_M - (heights - heights.min())) / _HEIGHT_WIDTH_M)
        return (near * low * _sigmoid((_STILL_SPEED - speed) / _SPEED_WIDTH)).max(1)

    def _lift(self, dt: float, heights: Float64) -> None:
        """Move the lift towards the value that puts the standing soles, at ``heights`` (2,), on the floor."""
        if self._stretch == 0:  # raw: nothing but what was measured
            return
        weight = float(self.contact.sum())
        if weight > 1e-3:
            target = float(np.clip(-(self.contact @ heights) / weight, -_MAX_LIFT_M, _MAX_LIFT_M))
            self.lift_m += float(self.contact.max() * _share(dt, _LIFT_S)) * (target - self.lift_m)


def _share(dt: float, time_constant_s: float) -> float:
    return 1.0 - float(np.exp(-dt / time_constant_s))


def _sigmoid(x: Float64) -> Float64:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -30, 30)))
