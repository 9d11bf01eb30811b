"""The 24-joint SMPL skeleton: names, tree, rest pose by shape, and forward kinematics without a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from mocap.types import Array

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
NUM_JOINTS = 24
NUM_BETAS = 10


def _levels() -> list[tuple[slice, slice | NDArray[np.int64]]]:
    """Joints by their distance from the pelvis, with their parents: a whole level is posed at once."""
    depth = [0] * NUM_JOINTS
    for joint in range(1, NUM_JOINTS):
        depth[joint] = depth[PARENTS[joint]] + 1
    levels = [[j for j in range(NUM_JOINTS) if depth[j] == d] for d in range(1, max(depth) + 1)]
    return [(slice(level[0], level[-1] + 1), _as_slice([PARENTS[j] for j in level])) for level in levels]


def _as_slice(joints: list[int]) -> slice | NDArray[np.int64]:
    """Joints that follow each other, or one that repeats, as a slice: indexing with it copies nothing."""
    first, last = joints[0], joints[-1]
    follow = joints in ([first] * len(joints), list(range(first, last + 1)))
    return slice(first, last + 1) if follow else np.array(joints)


def _chains() -> NDArray[np.float64]:
    """(24, 24): row j is 1 at the joints on the way from the pelvis to j, so that it sums a chain of bones."""
    chains = np.eye(NUM_JOINTS)
    for joint in range(1, NUM_JOINTS):
        chains[joint] += chains[PARENTS[joint]]
    return chains


_LEVELS = _levels()
CHAINS = _chains()  # (24, 24)
_PARENT_OF = np.asarray(PARENTS[1:])  # of joints 1 to 23


def global_rotations(R_parent_joint: Array) -> Array:
    """Chain local rotations down the tree: (..., 24, 3, 3) parent from joint -> same shape, root's frame from joint."""
    R_global = np.empty_like(R_parent_joint)
    R_global[..., 0, :, :] = R_parent_joint[..., 0, :, :]
    for joints, parents in _LEVELS:
        np.matmul(R_global[..., parents, :, :], R_parent_joint[..., joints, :, :], out=R_global[..., joints, :, :])
    return R_global


def local_rotations(R_global: Array) -> Array:
    """Inverse of :func:`global_rotations`: (..., 24, 3, 3) -> (..., 24, 3, 3)."""
    R_local = R_global.copy()
    parents = np.asarray(PARENTS[1:])
    R_local[..., 1:, :, :] = np.swapaxes(R_global[..., parents, :, :], -1, -2) @ R_global[..., 1:, :, :]
    return R_local


@dataclass(frozen=True)
class Skeleton:
    """Rest joints as a linear function of shape: ``mean + directions @ betas`` (SMPL's T-pose, metres, +Y up).

    Made from anny's phenotypes by ``training/make_skeleton.py``. Its betas are *not* SMPL's betas.
    """

    mean: Array  # (24, 3) m
    directions: Array  # (24, 3, 10) m per unit of beta; betas are in standard deviations of the population

    def rest_joints(self, betas: Array) -> Array:
        """Shape (..., 10) -> rest joints (..., 24, 3) m."""
        offset = self.directions.reshape(-1, betas.shape[-1]) @ betas[..., None]
        return self.mean + offset.reshape(*betas.shape[:-1], *self.mean.shape)

    def offsets(self, betas: Array) -> Array:
        """Shape (..., 10) -> each joint from its parent in the rest pose (..., 24, 3) m; entry 0 is the rest pelvis."""
        joints = self.rest_joints(betas)
        offsets = joints.copy()
        offsets[..., 1:, :] -= joints[..., np.asarray(PARENTS[1:]), :]
        return offsets

    def forward(self, R_parent_joint: Array, p_root: Array, betas: Array) -> Array:
        """Forward kinematics.

        Args:
            R_parent_joint: (..., 24, 3, 3) parent from joint, entry 0 in the frame of ``p_root``.
            p_root: (..., 3) m, the pelvis joint.
            betas: (..., 10).

        Returns:
            Joints (..., 24, 3) m in the frame of ``p_root``.
        """
        return self.joints(global_rotations(R_parent_joint), p_root, betas)

    def joints(self, R_global: Array, p_root: Array, betas: Array) -> Array:
        """:meth:`forward` for rotations (..., 24, 3, 3) that :func:`global_rotations` has chained already."""
        offsets = np.broadcast_to(self.offsets(betas), (*R_global.shape[:-2], 3))
        bones = np.empty_like(offsets)  # from parent to joint, in the frame of p_root
        bones[..., 0, :] = p_root
        bones[..., 1:, :] = (R_global[..., _PARENT_OF, :, :] @ offsets[..., 1:, :, None])[..., 0]
        return CHAINS.astype(bones.dtype) @ bones


@lru_cache(maxsize=1)
def load_skeleton() -> Skeleton:
    """The shipped skeleton."""
    with resources.files("mocap.assets").joinpath("skeleton.npz").open("rb") as file:
        data = np.load(file)
        return Skeleton(data["mean"].astype(np.float32), data["directions"].astype(np.float32))
