"""What makes a pose possible: joints inside their anatomical ranges, and a body that does not pass through itself."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mocap.body.joint_limits import JointLimits, joint_limits
from mocap.body.skeleton import JOINT
from training.corpus.kinematics import Float, forward, with_hands
from training.corpus.penetration import TOLERANCE, self_penetrates
from training.datasets.motion import NUM_BODY_JOINTS

SLACK_DEG = 10.0  # a joint so far outside is brought to its limit; a frame with one further outside is dropped
# The ends of limbs and head are always brought to their limit: little moves with them, and sources are worst there.
_ENDS = tuple(JOINT[name] for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle", "neck", "head"))


@lru_cache(maxsize=1)
def limits() -> JointLimits:
    return joint_limits()


def excess_deg(R_parent_joint: Float, without: tuple[int, ...] = ()) -> Float:
    """How far the worst joint of each pose (T, 22, 3, 3) is outside its range, (T,) degrees; negative: inside."""
    rows = limits().joints
    angles = limits().chart(with_hands(R_parent_joint)[:, rows].astype(np.float64))
    beyond = np.maximum(limits().lower[rows] - angles, angles - limits().upper[rows])
    return np.degrees(beyond[:, ~np.isin(rows, without)].max((1, 2)))


def clamp(R_parent_joint: Float) -> NDArray[np.float32]:
    """Poses (T, 22, 3, 3) brought into the joint limits."""
    limited = limits().clamp(with_hands(R_parent_joint).astype(np.float64))
    return limited[:, :NUM_BODY_JOINTS].astype(np.float32)


def possible(R_parent_joint: Float, p_root: Float, tolerance: float = TOLERANCE) -> tuple[NDArray, NDArray[np.bool_]]:
    """Poses (T, 22, 3, 3) inside the joint limits, and which frames (T,) were near enough and do not self-penetrate."""
    near = excess_deg(R_parent_joint, _ENDS) <= SLACK_DEG
    R = clamp(R_parent_joint)
    return R, near & ~self_penetrates(*forward(R, p_root), tolerance)
