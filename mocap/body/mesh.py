"""The open body's surface with few triangles, in NumPy: quick to load, to pose and to draw, and without torch.

The full surface in PyTorch is ``model.py``'s. Here are a fifth of its triangles, their vertices posed as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mocap.assets import asset_path
from mocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, Skeleton, global_rotations, load_skeleton
from mocap.types import Array

Faces = NDArray[np.int32]

_SPACING_M = 0.025  # between the vertices that are kept ...
_FINE_SPACING_M = 0.014  # ... and where the shape is fine
_FINE_JOINTS = ("head", "left_hand", "right_hand", "left_wrist", "right_wrist", "left_foot", "right_foot")
_NORMAL_M = 0.02  # a normal counts as a place so far out: both sides of a finger are 4 cm apart


@dataclass(frozen=True)
class CoarseBody:
    """V vertices of the open body and F triangles over them, a closed surface; T-pose, metres, SMPL's axes."""

    skeleton: Skeleton
    index: NDArray[np.int64]  # (V,) of each vertex in the full mesh
    template: Array  # (V, 3) m
    normals: Array  # (V, 3) of the full mesh, for light
    directions: Array  # (V, 3, 10) m per unit of beta
    features: NDArray[np.int64]  # (P,) of the 207 entries of R - I of joints 1 to 23 that move a vertex
    pose_directions: Array  # (V, 3, P) m per entry
    weights: Array  # (V, 24)
    faces: Faces  # (F, 3), counter-clockwise seen from outside

    def surface(self, R_parent_joint: Array, p_root: Array, betas: Array) -> tuple[Array, Array]:
        """One posed body by linear blend skinning.

        Args:
            R_parent_joint: (24, 3, 3) parent from joint, entry 0 in the frame of ``p_root``.
            p_root: (3,) m, the pelvis joint.
            betas: (10,).

        Returns:
            Vertices (V, 3) m, and normals (V, 3), about unit, of the mean body in this pose.
        """
        feature = (R_parent_joint[1:] - np.eye(3, dtype=R_parent_joint.dtype)).reshape(-1)[self.features]
        points = self.template + self.directions @ betas + self.pose_directions @ feature
        R = global_rotations(R_parent_joint)
        rest = self.skeleton.rest_joints(betas)
        t = self.skeleton.joints(R, p_root, betas) - (R @ rest[:, :, None])[..., 0]
        motion = np.concatenate([R, t[..., None]], -1).reshape(NUM_JOINTS, 12)  # of each joint: p -> R p + t
        blended = (self.weights @ motion).reshape(-1, 3, 4)
        turned = blended[..., :3] @ np.stack([points, self.normals], -1)
        return turned[..., 0] + blended[..., 3], turned[..., 1]


@lru_cache(maxsize=1)
def load_coarse_body() -> CoarseBody:
    """The shipped body, thinned out."""
    with np.load(asset_path("open_body.npz")) as data:
        template, weights, full_faces = data["v_template"], data["weights"], data["f"].astype(np.int32)
        normals = vertex_normals(template, full_faces)
        index, faces = thin_out(template, normals, full_faces, _spacings(weights))
        pose_directions = data["posedirs"][index].astype(np.float32)
        features = np.flatnonzero(pose_directions.any((0, 1)))
        directions = data["shapedirs"][index].astype(np.float32)
    return CoarseBody(
        load_skeleton(), index, template[index], normals[index], directions, features, pose_directions[..., features],
        weights[index], faces,
    )  # fmt: skip


def _spacings(weights: Array) -> Array:
    """Least distance (V,) m of each vertex from the next one that is kept, by its skinning weights (V, 24)."""
    fine = [JOINT_NAMES.index(name) for name in _FINE_JOINTS]
    return _SPACING_M + (_FINE_SPACING_M - _SPACING_M) * weights[:, fine].sum(1)


def thin_out(vertices: Array, normals: Array, faces: Faces, spacings: Array) -> tuple[NDArray[np.int64], Faces]:
    """Every vertex moves to the nearest of a few that are kept; triangles that collapse by that go.

    A closed surface stays closed: of each collapsed triangle the sides that are left lie on each other.

    Args:
        vertices: (V, 3) m.
        normals: (V, 3) unit: opposite sides of something thin stay apart.
        faces: (F, 3).
        spacings: (V,) m, about how far the kept ones are from each other.

    Returns:
        Indices of the kept vertices (K,), and triangles (G, 3) of the kept.
    """
    places = np.concatenate([vertices, _NORMAL_M * normals], 1)
    kept = _apart(places, spacings)
    nearest = cKDTree(places[kept]).query(places)[1]
    moved = nearest[faces].astype(np.int32)
    whole = (moved != np.roll(moved, 1, 1)).all(1)
    return kept, moved[whole]


def _apart(places: Array, spacings: Array) -> NDArray[np.int64]:
    """Indices of places (V, D), chosen in a fixed random order, none within the spacing (V,) of one before it."""
    near = cKDTree(places).query_ball_point(places, spacings)
    taken, kept = np.zeros(len(places), bool), []
    for index in np.random.default_rng(0).permutation(len(places)):
        if not taken[index]:
            kept.append(index)
            taken[near[index]] = True
    return np.array(kept, np.int64)


def vertex_normals(vertices: Array, faces: Faces) -> Array:
    """Unit normals (V, 3) of vertices (V, 3): of the faces (F, 3) around each, by their areas."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    at = faces.T.ravel()
    summed = np.stack([np.bincount(at, np.tile(across[:, axis], 3), len(vertices)) for axis in range(3)], -1)
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12), np.float32)
