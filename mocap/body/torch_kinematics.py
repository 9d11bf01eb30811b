"""Forward kinematics of SMPL's tree in PyTorch, batched, without a mesh: the torch twin of ``skeleton.py``."""

from __future__ import annotations

import torch
from torch import Tensor

from mocap.body.skeleton import CHAINS, NUM_JOINTS, PARENTS


def _levels() -> list[tuple[list[int], list[int]]]:
    """The tree level by level from the pelvis' children on: joints, and the places of their parents one level up."""
    levels, above = [], [0]
    while joints := [j for j in range(1, NUM_JOINTS) if PARENTS[j] in above]:
        levels.append((joints, [above.index(PARENTS[j]) for j in joints]))
        above = joints
    return levels


_LEVELS = _levels()
_ORDER = [0, *(joint for joints, _ in _LEVELS for joint in joints)]
_BACK = [_ORDER.index(joint) for joint in range(NUM_JOINTS)]
_PARENT_OF = list(PARENTS[1:])


def with_hands(R_parent_joint: Tensor) -> Tensor:
    """The first rotations (..., 22, 3, 3) of SMPL's order, or any number -> (..., 24, 3, 3), the others identity."""
    missing = NUM_JOINTS - R_parent_joint.shape[-3]
    identity = torch.eye(3, dtype=R_parent_joint.dtype, device=R_parent_joint.device)
    return torch.cat([R_parent_joint, identity.expand(*R_parent_joint.shape[:-3], missing, 3, 3)], -3)


def global_rotations(R_parent_joint: Tensor) -> Tensor:
    """Chain local rotations down the tree: (..., 24, 3, 3) parent from joint -> same shape, root's frame from joint."""
    chained = [R_parent_joint[..., :1, :, :]]
    for joints, parents in _LEVELS:
        chained.append(chained[-1][..., parents, :, :] @ R_parent_joint[..., joints, :, :])
    return torch.cat(chained, -3)[..., _BACK, :, :]


def local_rotations(R_global: Tensor) -> Tensor:
    """Inverse of :func:`global_rotations`: (..., 24, 3, 3) -> (..., 24, 3, 3)."""
    local = R_global[..., _PARENT_OF, :, :].mT @ R_global[..., 1:, :, :]
    return torch.cat([R_global[..., :1, :, :], local], -3)


def joint_positions(R_global: Tensor, p_root: Tensor, rest_joints: Tensor) -> Tensor:
    """Joints (..., 24, 3) m from global rotations (..., 24, 3, 3), pelvis (..., 3) m and rest joints (..., 24, 3) m.

    Batch dimensions are broadcast. Each bone is turned by its parent's rotation; a joint is the sum of the bones on
    its way from the pelvis.
    """
    offsets = rest_joints[..., 1:, :] - rest_joints[..., _PARENT_OF, :]
    bones = (R_global[..., _PARENT_OF, :, :] @ offsets[..., None])[..., 0]
    p_root = p_root[..., None, :].expand(*torch.broadcast_shapes(bones.shape[:-2], p_root.shape[:-1]), 1, 3)
    bones = torch.cat([p_root, bones.expand(*p_root.shape[:-2], -1, -1)], -2)
    return torch.as_tensor(CHAINS, dtype=bones.dtype, device=bones.device) @ bones


def forward(R_parent_joint: Tensor, p_root: Tensor, rest_joints: Tensor) -> Tensor:
    """Joints (..., 24, 3) m from local rotations (..., 24, 3, 3), pelvis (..., 3) m and rest joints (..., 24, 3) m."""
    return joint_positions(global_rotations(R_parent_joint), p_root, rest_joints)
