"""Joint positions of motions on the mean skeleton, heading, and the floor."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_quat_xyzw
from mocap.body.skeleton import NUM_BETAS, load_skeleton
from training.datasets.motion import BODY_PARENTS, NUM_BODY_JOINTS, Motion

JOINT_ABOVE_FLOOR = 0.03  # m, the toe joint of a flat foot: what the lowest joint of a standing person is set to


@lru_cache(maxsize=1)
def mean_offsets() -> NDArray[np.float32]:
    """Each body joint from its parent in the rest pose of the mean skeleton (22, 3) m; the pelvis' entry is zero."""
    offsets = load_skeleton().offsets(np.zeros(NUM_BETAS, np.float32))[:NUM_BODY_JOINTS].copy()
    offsets[0] = 0
    return offsets


def body_global_rotations(R_parent_joint: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., 22, 3, 3) parent from joint -> the same shape, world from joint."""
    R_global = R_parent_joint.copy()
    for joint in range(1, NUM_BODY_JOINTS):
        R_global[..., joint, :, :] = R_global[..., BODY_PARENTS[joint], :, :] @ R_parent_joint[..., joint, :, :]
    return R_global


def body_local_rotations(R_global: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inverse of :func:`body_global_rotations`."""
    R_local = R_global.copy()
    parents = np.asarray(BODY_PARENTS[1:])
    R_local[..., 1:, :, :] = np.swapaxes(R_global[..., parents, :, :], -1, -2) @ R_global[..., 1:, :, :]
    return R_local


def joint_positions(
    R_parent_joint: NDArray[np.float32],
    p_world_root: NDArray[np.float32] | None = None,
    offsets: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Forward kinematics (..., 22, 3, 3) -> joints (..., 22, 3) m; the pelvis is at the origin without a root.

    ``offsets`` (22, 3) are those of another skeleton than the mean one.
    """
    offsets = mean_offsets() if offsets is None else offsets
    R_global = body_global_rotations(R_parent_joint)
    p = np.zeros((*R_parent_joint.shape[:-2], 3), R_parent_joint.dtype)
    if p_world_root is not None:
        p[..., 0, :] = p_world_root
    for joint in range(1, NUM_BODY_JOINTS):
        parent = BODY_PARENTS[joint]
        p[..., joint, :] = p[..., parent, :] + R_global[..., parent, :, :] @ offsets[joint]
    return p


def heading(R_world_pelvis: NDArray[np.float32]) -> NDArray[np.float32]:
    """Heading (...,) rad of pelvis rotations (..., 3, 3): the twist about +Y in their swing-twist decomposition.

    Undefined only where the body is turned by exactly 180 degrees about a horizontal axis; zero is returned there.
    """
    quat = matrix_to_quat_xyzw(R_world_pelvis)
    return np.asarray(2 * np.arctan2(quat[..., 1], quat[..., 3]))


def remove_heading(R_parent_joint: NDArray[np.float32]) -> NDArray[np.float32]:
    """Poses (..., 22, 3, 3) turned about the vertical until their heading is zero. The tilt of the pelvis stays."""
    angle = heading(R_parent_joint[..., 0, :, :])
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    turn = np.stack([c, o, -s, o, i, o, s, o, c], -1).reshape(*angle.shape, 3, 3)  # about +Y by -angle
    turned = R_parent_joint.copy()
    turned[..., 0, :, :] = turn @ R_parent_joint[..., 0, :, :]
    return turned


def place_on_floor(motion: Motion) -> Motion:
    """The motion lifted or lowered as a whole until it stands on the floor, y = 0.

    The source's own height is of no use when its skeleton has other leg lengths, or none was recorded. The lowest joint
    of each frame touches the floor most of the time, so its 5th percentile over the clip comes to a toe joint's height.
    """
    lowest = joint_positions(motion.R_parent_joint, motion.p_world_root)[..., 1].min(-1)
    lift = np.float32(JOINT_ABOVE_FLOOR - np.percentile(lowest, 5))
    return replace(motion, p_world_root=motion.p_world_root + np.array([0, lift, 0], np.float32))
