"""Anatomical ranges of the 24 joints: soft limits, a neutral pose, and how freely each axis moves.

Every joint gets a chart of three angles. Elbows: twist x, flexion y and deviation z of ``R_y R_z R_x``, because
flexion and pronation are both wide and would mix in a rotation vector. All others: the rotation vector
``log(middle^T R)`` about a rotation in the middle of the range, so that the ranges stay far from the half turn where
rotation vectors jump. Axes are those of SMPL's T-pose: x to the body's left, y up, z forward; along an arm x is twist,
along a leg y is twist. Ranges are those of healthy adults in clinical measurement, widened by about ten degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotation_vectors import fast_exp, fast_log, inverse_right_jacobian
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
    "left_shoulder": ((0, -60, 0), (0, -72, 0), (40, 70, 70), (-100, -130, -55), (95, 90, 150)),
    "left_elbow": ((0, 0, 0), (-14, 0, 0), (38, 65, 6), (-85, -155, -12), (85, 3, 12)),
    "left_wrist": ((0, 0, 0), (0, 0, 0), (10, 15, 25), (-30, -35, -80), (30, 35, 75)),
}  # fmt: skip


@dataclass(frozen=True)
class JointLimits:
    """Charts, limits and neutral pose of all joints; pelvis, toes and hands have no range."""

    _elbows: slice = field(init=False, repr=False)  # their rows among ``joints``, left and right
    middle_T: Array = field(init=False, repr=False)  # (n, 3, 3) of the ranges of ``joints``, transposed
    joints: NDArray[np.intp]  # (n,) the joints that move
    R_middle: Array  # (24, 3, 3)
    R_neutral: Array  # (24, 3, 3) a standing person, arms hanging
    neutral: Array  # (24, 3) rad, the neutral pose in the chart
    spread: Array  # (24, 3) rad
    lower: Array  # (24, 3) rad
    upper: Array  # (24, 3) rad

    def __post_init__(self) -> None:
        left = int(np.flatnonzero(self.joints == JOINT["left_elbow"])[0])
        object.__setattr__(self, "_elbows", slice(left, left + 2))
        object.__setattr__(self, "middle_T", np.swapaxes(self.R_middle[self.joints], -1, -2))

    def chart(self, R_parent_joint: Array) -> Array:
        """Rotations (..., n, 3, 3) of ``joints``, in their order -> their angles (..., n, 3), rad."""
        return self.chart_from_logs(fast_log(self.middle_T @ R_parent_joint), R_parent_joint)

    def chart_from_logs(self, angles: Array, R_parent_joint: Array) -> Array:
        """:meth:`chart`, given the logarithms (..., n, 3) of ``middle_T @ R``, which are overwritten."""
        R, elbows = R_parent_joint[..., self._elbows, :, :], angles[..., self._elbows, :]
        elbows[..., 0] = np.arctan2(-R[..., 1, 2], R[..., 1, 1])
        elbows[..., 1] = np.arctan2(-R[..., 2, 0], R[..., 0, 0])
        elbows[..., 2] = np.arcsin(np.minimum(np.maximum(R[..., 1, 0], -1.0), 1.0))
        return angles

    def from_chart(self, angles: Array) -> Array:
        """Inverse of :meth:`chart`."""
        R = self.R_middle[self.joints] @ fast_exp(angles)
        R[..., self._elbows, :, :] = _yzx(*np.moveaxis(angles[..., self._elbows, :], -1, 0))
        return R

    def chart_jacobian(self, angles: Array) -> Array:
        """Change of the angles (..., n, 3) by right increments of the rotations, (..., n, 3, 3)."""
        J = inverse_right_jacobian(angles)
        x, z = angles[..., self._elbows, 0], angles[..., self._elbows, 2]
        z = np.minimum(np.maximum(z, -1.4), 1.4)
        sx, cx, tz, cz = np.sin(x), np.cos(x), np.tan(z), np.cos(z)
        elbows = J[..., self._elbows, :, :]
        elbows[..., 0, 0], elbows[..., 0, 1], elbows[..., 0, 2] = 1.0, -tz * cx, tz * sx
        elbows[..., 1, 0], elbows[..., 1, 1], elbows[..., 1, 2] = 0.0, cx / cz, -sx / cz
        elbows[..., 2, 0], elbows[..., 2, 1], elbows[..., 2, 2] = 0.0, sx, cx
        return J

    def clamp(self, R_parent_joint: Array) -> Array:
        """Bring local rotations (..., 24, 3, 3) into the limits; entry 0, toes and hands pass unchanged."""
        rows = self.joints
        angles = self.chart(R_parent_joint[..., rows, :, :])
        clamped = np.minimum(np.maximum(angles, self.lower[rows]), self.upper[rows])
        outside = (clamped != angles).any(-1)
        if not outside.any():
            return R_parent_joint
        limited = R_parent_joint.copy()
        moved = limited[..., rows, :, :]
        moved[outside] = self.from_chart(clamped)[outside]
        limited[..., rows, :, :] = moved
        return limited


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
    limits = JointLimits(np.sort(np.array(joints)), middle, neutral, np.zeros((NUM_JOINTS, 3)), spread, lower, upper)
    limits.neutral[limits.joints] = limits.chart(neutral[limits.joints])
    return limits


def _from_yzx(degrees: _Triple, sign: float) -> Array:
    """Rotation R_y R_z R_x from degrees; ``sign`` -1 mirrors it to the right side."""
    y, z, x = np.radians(degrees)[:, None]
    return _yzx(x, sign * y, sign * z)[0]


def _yzx(x: Array, y: Array, z: Array) -> Array:
    """R_y R_z R_x from angles (n,) each, (n, 3, 3)."""
    zero = np.zeros_like(x)
    R_x, R_y, R_z = (fast_exp(np.stack(turn, -1)) for turn in ([x, zero, zero], [zero, y, zero], [zero, zero, z]))
    return R_y @ R_z @ R_x
