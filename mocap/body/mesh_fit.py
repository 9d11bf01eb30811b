"""From a posed mesh back to rotations and a shape, for networks that predict vertices.

Each part's own rotation (Kabsch) is a good start; a few steps of Gauss and Newton on linear blend skinning do the rest.
NumPy, no torch.
"""

from __future__ import annotations

import numpy as np

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import CHAINS, NUM_BETAS, NUM_JOINTS, PARENTS, Skeleton, local_rotations
from mocap.body.smpl_file import SmplArrays
from mocap.types import Array

_ROUNDS = 3
_EVERY, _ENOUGH = 16, 400  # of a large mesh's vertices one in so many is looked at, but not fewer than so many
# In m^2 per vertex: keep what the mesh does not show, betas near the mean and steps small.
_SHAPE_RIDGE, _TURN_RIDGE = 1e-7, 1e-7
_BELOW = CHAINS.T  # (24, 24): 1 where the second joint hangs on the first, or is it


class MeshFit:
    """Fits a body in SMPL's format to meshes of its topology.

    Args:
        body: The body, see :func:`mocap.body.smpl_file.read_smpl`.
        every: Only every so-many-th vertex is looked at; None: as many as are enough.
    """

    def __init__(self, body: SmplArrays, every: int | None = None) -> None:
        regressor = body.J_regressor.astype(np.float64)
        self.skeleton = Skeleton(regressor @ body.v_template, np.tensordot(regressor, body.shapedirs, 1))
        count = len(body.v_template)
        self._at = np.arange(0, count, every or min(_EVERY, max(1, count // _ENOUGH)))
        self._template = body.v_template[self._at].astype(np.float64)
        self._shape = body.shapedirs[self._at].astype(np.float64)
        self._weights = body.weights[self._at].astype(np.float64)
        self._pose = None if body.posedirs is None else body.posedirs[self._at].astype(np.float64)

    def __call__(self, vertices: Array) -> tuple[Array, Array, Array]:
        """Vertices (V, 3) m in any axes -> R_parent_joint (24, 3, 3), pelvis joint (3,) m, betas (10,).

        Entry 0 of the rotations is the pelvis in the axes of the vertices.
        """
        seen = np.asarray(vertices, np.float64)[self._at]
        R, betas, p_root = self._first(seen), np.zeros(NUM_BETAS), seen.mean(0)
        for _ in range(_ROUNDS):
            R, betas, p_root = self._step(seen, R, betas, p_root)
        return local_rotations(R).astype(np.float32), p_root.astype(np.float32), betas.astype(np.float32)

    def _first(self, seen: Array) -> Array:
        """Each part's rotation by itself (24, 3, 3): right but for what neighbours take along."""
        R = np.empty((NUM_JOINTS, 3, 3))
        for joint, weight in enumerate(self._weights.T):
            share = (weight / weight.sum())[:, None]
            rest, posed = self._template - (share * self._template).sum(0), seen - (share * seen).sum(0)
            R[joint] = _rotation((share * rest).T @ posed)
        return R

    def _step(self, seen: Array, R: Array, betas: Array, p_root: Array) -> tuple[Array, Array, Array]:
        """One step of Gauss and Newton on rotations (24, 3, 3) in the vertices' axes, shape (10,) and pelvis (3,) m."""
        joints = self.skeleton.joints(R, p_root, betas)
        rest = self._rest(R, betas)[None] - self.skeleton.rest_joints(betas)[:, None]
        parts = self._weights.T[..., None] * (rest @ R.swapaxes(1, 2) + joints[:, None])  # (24, N, 3), summed: vertices
        moved = np.tensordot(_BELOW, parts, 1) - (_BELOW @ self._weights.T)[..., None] * joints[:, None]
        by_turn = np.cross(moved[:, :, None], np.eye(3)).transpose(1, 3, 0, 2)  # (N, 3, 24, 3), minus: left-handed
        columns = [-by_turn.reshape(-1, 3 * NUM_JOINTS), self._by_shape(R), np.tile(np.eye(3), (len(seen), 1))]
        A, off = np.concatenate(columns, 1), (seen - parts.sum(0)).reshape(-1)
        ridge = len(seen) * np.array([_TURN_RIDGE] * 3 * NUM_JOINTS + [_SHAPE_RIDGE] * NUM_BETAS + [0.0] * 3)
        pull = np.concatenate([np.zeros(3 * NUM_JOINTS), betas, np.zeros(3)])
        step = np.linalg.solve(A.T @ A + np.diag(ridge), A.T @ off - ridge * pull)
        turns = CHAINS @ step[: 3 * NUM_JOINTS].reshape(-1, 3)  # a joint turns with all those that it hangs on
        R = axis_angle_to_matrix(turns) @ R
        return R, betas + step[3 * NUM_JOINTS : -3], p_root + step[-3:]

    def _rest(self, R: Array, betas: Array) -> Array:
        """Vertices before skinning (N, 3)."""
        points = self._template + self._shape @ betas
        if self._pose is not None:
            points = points + self._pose @ (local_rotations(R)[1:] - np.eye(3)).reshape(-1)
        return np.asarray(points)

    def _by_shape(self, R: Array) -> Array:
        """How posed vertices move with the betas (3 N, 10), the pelvis held."""
        directions = self.skeleton.directions
        moved = np.zeros((NUM_JOINTS, 3, NUM_BETAS))
        for joint in range(1, NUM_JOINTS):
            parent = PARENTS[joint]
            moved[joint] = moved[parent] + R[parent] @ (directions[joint] - directions[parent])
        turned = np.tensordot(self._weights, R, 1)
        by_shape = turned @ self._shape + np.tensordot(self._weights, moved - R @ directions, 1)
        return np.asarray(by_shape.reshape(-1, NUM_BETAS))


def _rotation(covariance: Array) -> Array:
    """The rotation (3, 3) that turns x to y best, of the sum of x y^T (Kabsch)."""
    U, _, Vt = np.linalg.svd(covariance)
    flip = np.array([1.0, 1.0, np.linalg.det(U @ Vt)])
    return np.asarray((U * flip @ Vt).T)
