"""Feet: where the soles are, which foot stands, and the corrections that keep a standing foot where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT

Float64 = NDArray[np.float64]

ANKLES = (JOINT["left_ankle"], JOINT["right_ankle"])
TOES = (JOINT["left_foot"], JOINT["right_foot"])
HEAD = JOINT["head"]
SOLE_BELOW_TOES_M = 0.028  # the open body's toe joints lie 26-31 mm over its sole
_HEEL_BEHIND_ANKLE_M = 0.04
_STILL_SPEED, _SPEED_WIDTH = 0.35, 0.06  # m/s across the line of sight: a foot slower than this stands
_NEAR_FLOOR_M, _HEIGHT_WIDTH_M = 0.07, 0.012
_STAYS_WIDTH = 0.05  # of contact, about one half: a foot with more goes on standing
_OVER_OTHER_M = 0.09  # a foot this much higher than the other does not stand
_VELOCITY_S = 0.07  # time constants
_CONTACT_S = 0.04
_LIFT_S = 0.03
_LEVEL_S = (0.15, 1.5)  # the ground under a person is followed down, and up, this fast
_MAX_LIFT_M = 0.25  # further from the floor than this a still foot is on something else: a chair, a step
_UPRIGHT_LIFT = 0.02  # of the stature: on straight legs the picture tells the height better than the floor does
_BENT_COS = (0.94, 0.77)  # of the straighter knee: from 20 to 40 degrees the legs' length on the picture is uncertain
_HOLDS = (0.5, 0.8)  # contact that begins to hold a foot's place, and that holds it wholly
_RELEASE_S = 0.08  # time constant
_MAX_SHIFT_M = 0.02  # along each axis: about what the picture's error is already
_MAX_SHIFT_SPEED = 0.5  # m/s, so that no drift makes the root jump


def sole_offsets(rest: Float64) -> Float64:
    """Heel and ball of both soles (..., 2 feet, 2 points, 3) m from the ankle, in its axes, by the rest joints
    (..., 24, 3)."""
    ankle, toes = rest[..., ANKLES, :], rest[..., TOES, :]
    soles = np.stack([ankle, toes], -2)
    soles[..., 0, 2] -= _HEEL_BEHIND_ANKLE_M
    soles[..., 1] = toes[..., 1].min(-1)[..., None, None] - SOLE_BELOW_TOES_M
    return soles - ankle[..., None, :]


def leg_length(rest: Float64) -> float:
    """Height of a standing person's pelvis over the sole, m, by the rest joints (24, 3)."""
    return float(rest[0, 1] - rest[list(TOES), 1].min() + SOLE_BELOW_TOES_M)


@dataclass(frozen=True)
class Feet:
    """Contact of P persons' feet, and the vertical lock that holds standing feet on the floor."""

    contact: Float64  # (P, 2)
    lift_m: Float64  # (P,)
    level_m: Float64  # (P,) where a person's lowest foot usually is: errors of depth and pitch move it
    rays: Float64  # (P, 2, 2, 2) of the last frame
    velocity: Float64  # (P, 2, 2, 2) m/s across the line of sight
    soles: Float64  # (P, 2 feet, 2 points, 3) m in the level frame (see ``ground``), of the last frame, not locked
    shift_m: Float64  # (P, 2) x and z: the horizontal lock


def unknown_feet() -> Feet:
    """Of one person before the first frame."""
    points = np.zeros((1, 2, 2, 3))
    rays = points[..., :2]
    return Feet(np.zeros((1, 2)), np.zeros(1), np.zeros(1), rays, rays, points, np.zeros((1, 2)))


def bentness(joints: Float64) -> Float64:
    """How far the straighter leg of bodies (P, 24, 3) is bent, (P,) in [0, 1].

    A body on straight legs is where the picture shows it: an error of the floor, or of another one's size, must not
    move it. Bent legs are often seen too straight, and then the feet are right and the pelvis is not.
    """
    hip, knee, ankle = joints[:, [1, 2]], joints[:, [4, 5]], joints[:, ANKLES]
    thigh, shin = hip - knee, knee - ankle
    length = np.sqrt((thigh * thigh).sum(-1) * (shin * shin).sum(-1))
    straightest = ((thigh * shin).sum(-1) / np.maximum(length, 1e-9)).max(1)
    return np.minimum(np.maximum((_BENT_COS[0] - straightest) / (_BENT_COS[0] - _BENT_COS[1]), 0.0), 1.0)


def body_limits(rest: Float64) -> Float64:
    """How far (P,) m bodies may be lifted off their place in the picture to put their feet on the floor, by the rest
    joints (P, 24, 3)."""
    return np.asarray(_UPRIGHT_LIFT * (rest[:, HEAD, 1] - rest[:, TOES[0], 1]))


def lift_limits(rest: Float64, bent: Float64) -> Float64:
    """How far (P,) m feet may be, by the rest joints (P, 24, 3) and the ``bentness`` (P,): the legs do what the body
    may not."""
    upright = body_limits(rest)
    return np.asarray(upright + bent * (_MAX_LIFT_M - upright))


class FootContact:
    """Contact of the feet from the height and the speed of their soles, and soft locks on their place on the floor."""

    def __init__(self, stretch: float) -> None:
        self._stretch = stretch

    def step(
        self,
        last: Feet,
        dt: Float64,
        soles: Float64,
        R_world: Float64,
        p_world: Float64,
        rays: Float64,
        depth_m: Float64,
        seen: NDArray[np.bool_],
        max_lift_m: Float64,
    ) -> Feet:
        """Take the next sample.

        Args:
            last: What was known.
            dt: (P,) s since the last sample; 0 where there was none of late.
            soles: (P, 2 feet, heel and ball, 3) m in the level frame, before the locks.
            R_world: (3, 3) world from level frame,
            p_world: (3,) m and its place: a world that turns moves no foot.
            rays: (P, 2 feet, heel and toes, 2) where the picture shows them, px over the focal length. Standing and
                swinging differ in the picture already, and there no error of the depth moves a standing foot.
            depth_m: (P,) distance of the body, to give speeds in m/s.
            seen: (P, 2) whether the foot is visible; a hidden one is no contact.
            max_lift_m: (P,) how far up or down the vertical lock may go (``lift_limits``).
        """
        heights = soles @ R_world[1] + p_world[1]
        scale = depth_m / np.maximum(dt, 1e-9)
        velocity = np.where(seen[..., None, None], rays - last.rays, 0.0) * scale[:, None, None, None]
        velocity = last.velocity + _share(dt, _VELOCITY_S)[:, None, None, None] * (velocity - last.velocity)
        lowest = heights.min((1, 2))
        level = _follow_level(last.level_m, np.where(seen.any(1), dt, 0.0), lowest)
        target = seen * _stands(heights, lowest, level, velocity, last.contact)
        contact = last.contact + _share(dt, _CONTACT_S)[:, None] * (target - last.contact)
        lift = self._lift(last.lift_m, dt, contact, heights.min(2), max_lift_m)
        shift = self._shift(last.shift_m, dt, contact, (soles - last.soles) @ R_world[::2].T)
        return Feet(contact, lift, level, rays, velocity, soles, shift)

    def _shift(self, shift_m: Float64, dt: Float64, contact: Float64, moved: Float64) -> Float64:
        """Take back how far the standing feet's points ``moved`` (P, 2, 2, 2) m; let go where none stands.

        Of heel and ball, the one that moved less is what the foot stands on.
        """
        if self._stretch == 0:
            return shift_m
        pivot = np.argmin((moved * moved).sum(-1), -1)[..., None, None]
        drift = np.take_along_axis(moved, pivot, 2)[:, :, 0]  # (P, 2, 2)
        weight = np.minimum(np.maximum((contact - _HOLDS[0]) / (_HOLDS[1] - _HOLDS[0]), 0.0), 1.0)
        held = weight.max(1, keepdims=True)
        drift = (weight[..., None] * drift).sum(1) / np.maximum(weight.sum(1, keepdims=True), 1e-3)
        most = _MAX_SHIFT_SPEED * dt[:, None]
        drift = np.minimum(np.maximum(drift, -most), most)
        kept = shift_m * np.exp(-(1 - held) * dt[:, None] / _RELEASE_S) - held * drift
        return np.where(dt[:, None] > 0, np.minimum(np.maximum(kept, -_MAX_SHIFT_M), _MAX_SHIFT_M), 0.0)

    def _lift(self, lift_m: Float64, dt: Float64, contact: Float64, heights: Float64, max_lift_m: Float64) -> Float64:
        """Move the lift towards the value that puts the standing soles, at ``heights`` (P, 2), on the floor."""
        if self._stretch == 0:  # raw: nothing but what was measured
            return lift_m
        weight = contact.sum(1)
        target = -(contact * heights).sum(1) / np.maximum(weight, 1e-3)
        target = np.minimum(np.maximum(target, -max_lift_m), max_lift_m)
        share = (weight > 1e-3) * contact.max(1) * _share(dt, _LIFT_S)
        # Where the limit closes in on a lift (legs straighten, no foot stands), the lift follows it as fast.
        inside = np.minimum(np.maximum(lift_m, -max_lift_m), max_lift_m)
        lift_m = lift_m + _share(dt, _LIFT_S) * (inside - lift_m)
        return np.asarray(lift_m + share * (target - lift_m))


def _follow_level(level: Float64, dt: Float64, lowest: Float64) -> Float64:
    lowest = np.minimum(np.maximum(lowest, -_MAX_LIFT_M), _MAX_LIFT_M)
    time_constant = np.where(lowest < level, *_LEVEL_S)
    return np.asarray(level + _share(dt, time_constant) * (lowest - level))


def _stands(heights: Float64, lowest: Float64, level: Float64, velocity: Float64, contact: Float64) -> Float64:
    """Contact (P, 2) of this moment: a point of the foot is slow, and near the floor when it comes to rest.

    A foot that stands goes on standing until it moves: a squat moves the computed depth, and with it the computed
    heights of both feet, by more than a step does.
    """
    speed = np.sqrt((velocity * velocity).sum(-1))
    evidence = np.empty((4, *heights.shape))
    evidence[0] = (_NEAR_FLOOR_M - np.abs(heights - level[:, None, None])) / _HEIGHT_WIDTH_M
    evidence[1] = (contact[..., None] - 0.5) / _STAYS_WIDTH
    evidence[2] = (_OVER_OTHER_M - (heights - lowest[:, None, None])) / _HEIGHT_WIDTH_M
    evidence[3] = (_STILL_SPEED - speed) / _SPEED_WIDTH
    near, stays, low, still = _sigmoid(evidence)
    return np.asarray((np.maximum(near, stays) * low * still).max(-1))


def _share(dt: Float64, time_constant_s: Float64 | float) -> Float64:
    return 1.0 - np.exp(-dt / time_constant_s)


def _sigmoid(x: Float64) -> Float64:
    return 1.0 / (1.0 + np.exp(np.minimum(np.maximum(-x, -30), 30)))
