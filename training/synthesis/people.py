"""Posed, dressed open bodies as meshes before a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body import torch_kinematics
from mocap.body.model import Body
from mocap.body.torch_rotations import axis_angle_to_matrix
from training.synthesis.looks import Float, Look, parts_of
from training.synthesis.renderer import Mesh, skinned
from training.synthesis.views import Views


@dataclass(frozen=True)
class People:
    """B posed bodies in the world, each before a camera of its own.

    Attributes:
        R_parent_joint: (B, 24, 3, 3), entry 0 world from pelvis.
        betas: (B, 10).
        p_world_joint: (B, 24, 3) m.
    """

    R_parent_joint: Tensor
    betas: Tensor
    p_world_joint: Tensor
    views: Views


class Wardrobe:
    """Turns people into meshes."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.parts = parts_of(body)
        self.faces = body.faces.numpy().astype(np.int32)
        self._weights = skinned(body.smpl.lbs_weights.numpy())

    def mesh(self, people: People, index: int, look: Look) -> Mesh:
        """One of the people, in the axes of his camera."""
        one = slice(index, index + 1)
        betas = people.betas[one]
        rest = self.body.rest_vertices(betas)[0].numpy()
        normals = vertex_normals(rest, self.faces)
        R = torch_kinematics.global_rotations(people.R_parent_joint[one])
        turned = (R @ self.body.rest_joints(betas)[..., None])[..., 0]
        shift = people.views.at(one).to_camera(people.p_world_joint[one] - turned)
        motion = np.tile(np.eye(4, dtype=np.float32), (24, 1, 1))
        motion[:, :3, :3] = (people.views.R_camera_world[index] @ R[0]).numpy()
        motion[:, :3, 3] = shift[0].numpy()
        thick = rest + look.thickness[:, None] * normals
        return Mesh(thick, normals, look.colors, *self._weights, self.faces, motion)


def turned_to(root: Tensor, headings: Tensor) -> Tensor:
    """Pelvis rotations (B, 3, 3) in the world, each with its own heading taken out and another (B, 3, 3) put in."""
    forward = root[..., 2]
    angle = torch.atan2(forward[:, 0], forward[:, 2])
    return headings @ axis_angle_to_matrix(-angle[:, None] * torch.tensor([0.0, 1.0, 0.0])) @ root


def vertex_normals(vertices: Float, faces: NDArray[np.int32]) -> Float:
    """Unit normals (V, 3) of vertices (V, 3): of the faces around each, by their areas."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    at = faces.T.ravel()
    summed = np.stack([np.bincount(at, np.tile(across[:, axis], 3), len(vertices)) for axis in range(3)], -1)
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12))
