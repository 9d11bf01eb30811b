"""Two-bone legs: bent or stretched until the ankle is as far from the hip as it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT

Float = NDArray[Any]  # of floats
LEGS = np.array([[JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")] for side in ("left", "right")])
_LONGEST = 0.9985  # of thigh and shin, hip to ankle: a knee of 6 degrees
_SHORTEST = 0.35  # a knee of 140 degrees
_THIN = 0.05  # sine of a knee below which the leg's own plane says little


def bend(hip: Float, knee: Float, ankle: Float, reach_m: Float, side: Float | None = None) -> tuple[Float, Float]:
    """Turns (..., 3, 3) of thigh and shin in the plane of the leg, after which hip and ankle (..., 3) m are ``reach_m``
    (...) apart, on the line where they were.

    Args:
        side: (..., 3) the axis, of unit length, about which the knee of a straight leg bends.
    """
    thigh, shin = knee - hip, ankle - knee
    a, b = np.linalg.norm(thigh, axis=-1), np.linalg.norm(shin, axis=-1)
    axis = np.cross(thigh, shin) / np.maximum(a * b, 1e-9)[..., None]
    if side is not None:
        axis = axis + np.clip(_THIN - (axis * side).sum(-1), 0, _THIN)[..., None] * side
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1), 1e-9)[..., None]
    d = np.stack([np.linalg.norm(ankle - hip, axis=-1), reach_m])  # before, after
    at_hip = np.arccos(np.clip((a**2 + d**2 - b**2) / (2 * a * d), -1, 1))
    at_ankle = np.arccos(np.clip((b**2 + d**2 - a**2) / (2 * b * d), -1, 1))
    turns = ((at_hip[0] - at_hip[1]), (at_ankle[1] - at_ankle[0]))
    thigh_turn, shin_turn = (axis_angle_to_matrix(turn[..., None] * axis) for turn in turns)
    return thigh_turn, shin_turn


def raise_ankles(R_parent_joint: Float, joints: Float, up_m: Float) -> tuple[Float, Float]:
    """Bodies whose pelvis stays while their ankles move by ``up_m``, as far as the legs can.

    Args:
        R_parent_joint: (P, 24, 3, 3).
        joints: (P, 24, 3) m, in the axes of entry 0.
        up_m: (P, 3) m, in these axes.

    Returns:
        Both anew; the feet keep their turn in space.
    """
    R, joints = R_parent_joint.copy(), joints.copy()
    at_hip, at_knee, at_ankle, at_foot = LEGS.T
    R_pelvis = R[:, None, 0]
    thigh, shin = R_pelvis @ R[:, at_hip], R_pelvis @ R[:, at_hip] @ R[:, at_knee]
    foot = shin @ R[:, at_ankle]
    hip, knee, ankle = joints[:, at_hip], joints[:, at_knee], joints[:, at_ankle]
    goal = ankle + up_m[:, None]
    length = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    before, reach = (np.linalg.norm(point - hip, axis=-1) for point in (ankle, goal))
    # A leg that is longer or shorter than that already stays as it is.
    reach = np.clip(reach, np.minimum(_SHORTEST * length, before), np.maximum(_LONGEST * length, before))
    turns = bend(hip, knee, ankle, reach, thigh[..., 0])
    swing = _shortest_turn(ankle - hip, goal - hip)
    new_thigh, new_shin = (swing @ turn @ old for turn, old in zip(turns, (thigh, shin), strict=True))
    R[:, at_hip] = np.swapaxes(R_pelvis, -1, -2) @ new_thigh
    R[:, at_knee] = np.swapaxes(new_thigh, -1, -2) @ new_shin
    R[:, at_ankle] = np.swapaxes(new_shin, -1, -2) @ foot
    new_knee = hip + _turned(swing @ turns[0], knee - hip)
    new_ankle = new_knee + _turned(swing @ turns[1], ankle - knee)
    joints[:, at_foot] += new_ankle - ankle
    joints[:, at_knee], joints[:, at_ankle] = new_knee, new_ankle
    return R, joints


def _turned(R: Float, x: Float) -> Float:
    return np.asarray((R @ x[..., None])[..., 0])


def _shortest_turn(a: Float, b: Float) -> Float:
    """(..., 3, 3) from the direction of ``a`` to that of ``b`` (..., 3)."""
    a, b = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9) for x in (a, b))
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (a * b).sum(-1, keepdims=True))
    return axis_angle_to_matrix(np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0) * axis)
