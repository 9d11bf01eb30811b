"""A first pose from landmarks alone, joint by joint in closed form: where the fit starts without a previous pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.joint_limits import JointLimits
from mocap.body.skeleton import JOINT

Array64 = NDArray[np.float64]

# rad; a limb bent less than the first does not show its hinge axis (shoulder points sit off the joint: a straight arm
# looks bent by 0.2), one bent more than the second shows it well.
_STRAIGHT, _BENT = 0.25, 0.7
_DOWN = np.array([0.0, -1.0, 0.0])
# shoulder or hip joint, its child, landmarks of the three points, rest direction of the limb, hinge axis of its flexion
_LIMBS = (
    (JOINT["left_shoulder"], JOINT["left_elbow"], (11, 13, 15), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    (JOINT["right_shoulder"], JOINT["right_elbow"], (12, 14, 16), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    (JOINT["left_hip"], JOINT["left_knee"], (23, 25, 27), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
    (JOINT["right_hip"], JOINT["right_knee"], (24, 26, 28), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
)


def initial_pose(world: Array64, belief: Array64, limits: JointLimits) -> Array64:
    """World landmarks (33, 3) m in level-world axes and belief (33,) in [0, 1] -> local rotations (24, 3, 3).

    The trunk is one piece from hips and shoulders; limbs that are believed point where their landmarks say, with the
    twist that their bend shows; everything else stands neutral.
    """
    R = limits.R_neutral.copy()
    R[0] = _trunk(world, belief)
    for upper, lower, points, direction, hinge in _LIMBS:
        if belief[list(points)].min() > 0.05:
            R[upper], R[lower] = _limb(world[list(points)] @ R[0], np.array(direction), np.array(hinge))
    return limits.clamp(R)


def _trunk(world: Array64, belief: Array64) -> Array64:
    """World from trunk: x along shoulders and hips, y up the spine (or just up where the hips are not believed)."""
    shoulders, hips = belief[[11, 12]].min(), belief[[23, 24]].min()
    x = shoulders * (world[11] - world[12]) + hips * (world[23] - world[24])
    spine = (world[11] + world[12] - world[23] - world[24]) / 2
    both = min(shoulders, hips)
    y = both * _unit(spine) + (1 - both) * np.array([0.0, 1.0, 0.0])
    if np.linalg.norm(x) < 1e-3 or np.linalg.norm(_cross(_unit(x), _unit(y))) < 0.05:
        return np.eye(3)
    return frame(_unit(y), x)[:, [1, 0, 2]] * np.array([1.0, 1.0, -1.0])


def _limb(points: Array64, direction: Array64, hinge: Array64) -> tuple[Array64, Array64]:
    """Three points (3, 3) in the trunk's frame -> trunk from upper bone, and the hinge's rotation."""
    R_hanging = _swing(direction, _DOWN)
    upper, lower = _unit(points[1] - points[0]), _unit(points[2] - points[1])
    if not (upper.any() and lower.any()):
        return R_hanging, np.eye(3)
    bend = float(np.arctan2(np.linalg.norm(_cross(upper, lower)), upper @ lower))
    # Elbows of hanging and forward arms point back and down; close to overhead that is ill defined, and the T-pose's
    # hinge serves. For legs the two are the same.
    default = _swing(direction, upper) @ hinge if upper[1] > 0.5 else _swing(_DOWN, upper) @ R_hanging @ hinge
    shown = _cross(upper, lower)
    trust = float(np.clip((bend - _STRAIGHT) / (_BENT - _STRAIGHT), 0, 1))
    if shown @ default < -0.5 * np.linalg.norm(shown):  # bent the wrong way: noise, unless it is bent far
        trust = float(bend > 0.8)
    axis = trust * _unit(shown) + (1 - trust) * default
    R_upper = frame(upper, axis) @ frame(direction, hinge).T
    return R_upper, _about(hinge, bend)


def frame(first: Array64, second: Array64) -> Array64:
    """Right-handed axes as columns: the first as it is, the second made orthogonal to it, their cross product."""
    a = _unit(first)
    b = _unit(second - a * (a @ second))
    if not b.any():
        b = _unit(_cross(a, np.eye(3)[int(np.argmin(np.abs(a)))]))
    return np.stack([a, b, _cross(a, b)], -1)


def _swing(a: Array64, b: Array64) -> Array64:
    """The shortest rotation from one unit vector to another; half turns go about any axis across."""
    axis = _cross(a, b)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return np.eye(3) if a @ b > 0 else _about(frame(a, np.array([0.3, 0.5, 0.8]))[:, 1], np.pi)
    return _about(axis / sine, float(np.arctan2(sine, a @ b)))


def _about(axis: Array64, angle: float) -> Array64:
    x, y, z = axis
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * (K @ K)


def _unit(v: Array64) -> Array64:
    """Unit vector, or zeros for a vector too short to have a direction."""
    length = np.linalg.norm(v)
    return v / length if length > 1e-6 else np.zeros(3)


def _cross(a: Array64, b: Array64) -> Array64:
    """np.cross of two vectors, at a tenth of its cost."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
