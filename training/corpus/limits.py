"""What makes a pose possible: joints inside their anatomical ranges, and a body that does not pass through itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mocap.body.joint_limits import JointLimits, joint_limits
from mocap.body.skeleton import JOINT
from training.corpus.kinematics import Float, forward, lowest_point, with_hands
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


@dataclass(frozen=True)
class Checked:
    """Poses inside the joint limits, and which of them are possible."""

    R: NDArray[np.float32]  # (T, 22, 3, 3)
    root: NDArray[np.float32]  # (T, 3) m, moved so that the lowest point of the body keeps its height
    possible: NDArray[np.bool_]  # (T,) were near enough to the limits, and do not pass through themselves


def check(R_parent_joint: Float, p_root: Float, tolerance: float = TOLERANCE) -> Checked:
    """Bring poses (T, 22, 3, 3) with roots (T, 3) m into the joint limits and look which are possible."""
    near = excess_deg(R_parent_joint, _ENDS) <= SLACK_DEG
    before = lowest_point(*forward(R_parent_joint, p_root))
    R, root = clamp(R_parent_joint), p_root.astype(np.float32).copy()
    joints, R_global = forward(R, root)
    rise = before - lowest_point(joints, R_global)
    root[:, 1] += rise
    return Checked(R, root, near & ~self_penetrates(joints, R_global, tolerance))
