"""Two-bone legs: knees bent or stretched until the ankle is as far from the hip as it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT

Float = NDArray[Any]  # of floats
LEGS = np.array([[JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")] for side in ("left", "right")])
_STRAIGHTEST, _MOST_BENT = np.deg2rad([6.0, 140.0])  # knees


def bend(thigh: Float, shin: Float, side: Float, reach_m: Float) -> Float:
    """The turn (..., 3, 3) of shins about their knees' axes after which hip and ankle are ``reach_m`` (...) apart, or
    as nearly so as knees allow. One that is straighter or more bent than they do already stays as it is.

    Args:
        thigh: (..., 3) m, from hip to knee.
        shin: (..., 3) m, from knee to ankle.
        side: (..., 3) the axis, of unit length, about which a knee bends.
    """
    aside = (thigh * side).sum(-1), (shin * side).sum(-1)
    a, b = (bone - part[..., None] * side for bone, part in zip((thigh, shin), aside, strict=True))
    now = np.arctan2((np.cross(a, b) * side).sum(-1), (a * b).sum(-1))
    both = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    rest = (thigh**2).sum(-1) + (shin**2).sum(-1) + 2 * aside[0] * aside[1]
    wanted = np.arccos(np.clip((reach_m**2 - rest) / np.maximum(2 * both, 1e-9), -1, 1))
    wanted = np.clip(wanted, np.minimum(_STRAIGHTEST, now), np.maximum(_MOST_BENT, now))
    return axis_angle_to_matrix((wanted - now)[..., None] * side)


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
    turn = bend(knee - hip, ankle - knee, thigh[..., 0], np.linalg.norm(goal - hip, axis=-1))
    shin_turned = _turned(turn, ankle - knee)
    swing = _shortest_turn(knee - hip + shin_turned, goal - hip)
    new_thigh, new_shin = swing @ thigh, swing @ turn @ shin
    R[:, at_hip] = np.swapaxes(R_pelvis, -1, -2) @ new_thigh
    R[:, at_knee] = np.swapaxes(new_thigh, -1, -2) @ new_shin
    R[:, at_ankle] = np.swapaxes(new_shin, -1, -2) @ foot
    new_knee = hip + _turned(swing, knee - hip)
    new_ankle = new_knee + _turned(swing, shin_turned)
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
