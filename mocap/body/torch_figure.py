"""Joints and landmarks of posed bodies in torch, without a mesh."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mocap.body.landmarks import load_landmark_anchors
from mocap.body.skeleton import load_skeleton
from mocap.body.torch_kinematics import global_rotations, joint_positions, with_hands


class Figure(nn.Module):
    """The open body's skeleton, and the 33 points on it at which BlazePose points."""

    joints: Tensor
    joint_directions: Tensor
    offsets: Tensor
    offset_directions: Tensor

    def __init__(self) -> None:
        super().__init__()
        skeleton, anchors = load_skeleton(), load_landmark_anchors()
        self.register_buffer("joints", torch.as_tensor(skeleton.mean, dtype=torch.float32), persistent=False)
        directions = torch.as_tensor(skeleton.directions, dtype=torch.float32)
        self.register_buffer("joint_directions", directions, persistent=False)
        self.register_buffer("offsets", torch.from_numpy(anchors.offset), persistent=False)
        self.register_buffer("offset_directions", torch.from_numpy(anchors.directions), persistent=False)
        self.at = torch.from_numpy(anchors.joint)

    def forward(self, R: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Local rotations (..., 22 or 24, 3, 3), shape (..., 10) -> joints (..., 24, 3) m and landmarks (..., 33, 3) m
        in the pelvis' parent's axes, the pelvis at 0.
        """
        R_global = global_rotations(with_hands(R))
        rest = self.joints + (self.joint_directions @ betas[..., None, :, None])[..., 0]
        joints = joint_positions(R_global, torch.zeros_like(rest[..., 0, :]), rest)
        offsets = self.offsets + (self.offset_directions @ betas[..., None, :, None])[..., 0]
        turned = (R_global[..., self.at, :, :] @ offsets[..., None])[..., 0]
        return joints, joints[..., self.at, :] + turned
