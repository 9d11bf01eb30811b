"""Anatomical ranges of the 24 joints: soft limits, a neutral pose, and how freely each axis moves.

Every joint gets a chart: a rotation vector ``r = log(middle^T R_parent_joint)`` about a rotation in the middle of its
range, so that the ranges stay far from the half turn where rotation vectors jump. Axes are those of SMPL's T-pose: x to
the body's left, y up, z forward; along an arm x is twist, along a leg y is twist. Ranges follow the goniometry that
textbooks give for healthy adults, with a margin of about ten degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotation_vectors import fast_exp, fast_log
from mocap.body.skeleton import JOINT, NUM_JOINTS
from mocap.types import Array

# Degrees, left side and midline: (middle of the range as rotations about y, z, x applied in this order from the right;
# neutral as the same kind of triple; spread of ordinary poses about the neutral per axis; lower and upper limit of r).
# Neutral is a person who stands with hanging arms and slightly bent elbows and knees.
_Triple = tuple[float, float, float]
_RANGES: dict[str, tuple[_Triple, _Triple, _Triple, _Triple, _Triple]] = {
    # joint: middle (y, z, x), neutral (y, z, x), spread (x, y, z), lower (x, y, z), upper (x, y, z)
    "left_hip": ((0, 5, -40), (0, 4, -3), (50, 22, 22), (-90, -50, -45), (65, 50, 60)),
    "left_knee": ((0, 0, 70), (0, 0, 6), (60, 8, 5), (-73, -18, -10), (82, 18, 10)),
    "left_ankle": ((0, 0, 0), (0, 0, 0), (22, 14, 12), (-35, -32, -28), (52, 32, 28)),
    "spine1": ((0, 0, 0), (0, 0, 0), (16, 8, 9), (-16, -14, -16), (38, 14, 16)),
    "spine2": ((0, 0, 0), (0, 0, 0), (14, 11, 9), (-12, -18, -16), (32, 18, 16)),
    "spine3": ((0, 0, 0), (0, 0, 0), (9, 11, 8), (-12, -18, -14), (24, 18, 14)),
    "neck": ((0, 0, 0), (0, 0, 0), (20, 22, 15), (-35, -45, -28), (42, 45, 28)),
    "head": ((0, 0, 0), (0, 0, 0), (16, 22, 12), (-30, -45, -24), (35, 45, 24)),
    "left_collar": ((0, 0, 0), (0, 0, 0), (5, 10, 10), (-12, -28, -14), (12, 24, 34)),
    "left_shoulder": ((-45, -20, 0), (0, -72, 0), (45, 60, 60), (-100, -105, -105), (100, 100, 112)),
    "left_elbow": ((-70, 0, 0), (-14, 0, 0), (38, 65, 6), (-85, -85, -12), (85, 73, 12)),
    "left_wrist": ((0, 0, 0), (0, 0, 0), (22, 15, 25), (-45, -35, -80), (45, 35, 75)),
}  # fmt: skip


@dataclass(frozen=True)
class JointLimits:
    """Charts, limits and neutral pose of all joints; a joint without a range (pelvis, toes, hands) has none."""

    joints: NDArray[np.intp]  # (n,) the joints that move
    R_middle: Array  # (24, 3, 3)
    R_neutral: Array  # (24, 3, 3) a standing person, arms hanging
    neutral: Array  # (24, 3) rad, the neutral pose in the chart
    spread: Array  # (24, 3) rad
    lower: Array  # (24, 3) rad
    upper: Array  # (24, 3) rad

    def clamp(self, R_parent_joint: Array) -> Array:
        """Bring local rotations (24, 3, 3) into the limits; entry 0, toes and hands pass unchanged."""
        rows = self.joints
        chart = fast_log(np.swapaxes(self.R_middle[rows], -1, -2) @ R_parent_joint[rows])
        clamped = np.minimum(np.maximum(chart, self.lower[rows]), self.upper[rows])
        outside = np.any(clamped != chart, axis=-1)
        limited = np.array(R_parent_joint)
        limited[rows[outside]] = self.R_middle[rows[outside]] @ fast_exp(clamped[outside])
        return limited

    def excess(self, R_parent_joint: Array) -> Array:
        """How far each joint's chart lies outside its limits (24,), rad; 0 inside."""
        chart = fast_log(np.swapaxes(self.R_middle, -1, -2) @ R_parent_joint)
        outside = chart - np.clip(chart, self.lower, self.upper)
        moving = np.isin(np.arange(NUM_JOINTS), self.joints)
        return np.where(moving, np.linalg.norm(outside, axis=-1), 0.0)


def joint_limits() -> JointLimits:
    """The limits that every solver uses."""
    middle, neutral = np.tile(np.eye(3), (2, NUM_JOINTS, 1, 1))
    spread = np.ones((NUM_JOINTS, 3))
    lower, upper = np.full((NUM_JOINTS, 3), -np.pi), np.full((NUM_JOINTS, 3), np.pi)
    joints = []
    for name, (mid, rest, sigma, low, high) in _RANGES.items():
        for side, sign in ((name, 1.0), (name.replace("left_", "right_"), -1.0)):
            joint = JOINT[side]
            if joint in joints:
                continue
            joints.append(joint)
            flip = np.array([1.0, sign, sign])  # mirroring a rotation vector at the sagittal plane
            middle[joint], neutral[joint] = _from_yzx(mid, sign), _from_yzx(rest, sign)
            spread[joint] = np.radians(sigma)
            bounds = np.radians(np.array([low, high])) * flip
            lower[joint], upper[joint] = bounds.min(0), bounds.max(0)
    chart = fast_log(np.swapaxes(middle, -1, -2) @ neutral)
    return JointLimits(np.sort(np.array(joints)), middle, neutral, chart, spread, lower, upper)


def _from_yzx(degrees: _Triple, sign: float) -> Array:
    """Rotation R_y R_z R_x from degrees; ``sign`` -1 mirrors it to the right side."""
    y, z, x = np.radians(degrees)
    turns = np.array([[0, sign * y, 0], [0, 0, sign * z], [x, 0, 0]])
    R_y, R_z, R_x = fast_exp(turns)
    return R_y @ R_z @ R_x
