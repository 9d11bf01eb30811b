"""Damped Gauss-Newton over the joint rotations of one person: landmarks and rays on one side, anatomy and time on the other.

The energy is a sum of squares, each residual divided by what is believed about its spread:

* world landmarks against landmarks of the body, up to a translation, with less trust in depth than in the image plane;
* the rays of the 2D landmarks against the same points placed in front of the camera (a second translation). With the
  limbs' known lengths these fix each bone's depth up to its sign, and the world landmarks choose the sign;
* joint limits, the pull of a neutral pose, the previous pose, and an upright pelvis where the hips are not seen.

A joint that nothing observes is left with the last line, and so relaxes to neutral with a time constant in seconds.
All positions are in level-world axes (x right in the picture, y up, z to the camera), metres, float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.joint_limits import JointLimits
from mocap.body.rotations import matrix_to_axis_angle
from mocap.body.skeleton import NUM_JOINTS, PARENTS

Array64 = NDArray[np.float64]

FREE_JOINTS = np.array([j for j in range(22) if j not in (10, 11)])  # toes and hands ride on ankles and wrists
_NUM_FREE = len(FREE_JOINTS)
_LIMIT_SIGMA = np.radians(3.0)
_UPRIGHT_SIGMA = (0.35, 1.5)  # sine of the pelvis' tilt: hips not seen, hips seen
_MAX_STEP = 0.8  # rad per joint and iteration
_ROBUST = 3.0  # a landmark this many spreads away counts a quarter


def _levels() -> list[tuple[Array64, Array64]]:
    depth = [0] * NUM_JOINTS
    for joint in range(1, NUM_JOINTS):
        depth[joint] = depth[PARENTS[joint]] + 1
    levels = [[j for j in range(NUM_JOINTS) if depth[j] == d] for d in range(1, max(depth) + 1)]
    return [(np.array(level), np.array([PARENTS[j] for j in level])) for level in levels]


_LEVELS = _levels()


@dataclass(frozen=True)
class Observation:
    """What one frame says, in level-world axes. Weights are inverse spreads, 0 where a landmark is not believed."""

    world: Array64  # (33, 3) m, world landmarks up to a translation
    world_whiten: Array64  # (33, 3, 3) 1/m, rows: image x, image y, depth, each over its spread
    ray: Array64  # (33, 2) x and y of the viewing ray at depth 1
    ray_weight: Array64  # (33,) 1/m at the person's depth


@dataclass(frozen=True)
class Prior:
    """What is believed before the frame is seen."""

    R_previous: Array64 | None  # (24, 3, 3)
    sigma_previous: Array64  # (20,) rad per free joint
    hips_seen: float  # in [0, 1]


@dataclass
class _State:
    R: Array64  # (24, 3, 3) parent from joint
    shift_world: Array64  # (3,)
    shift_camera: Array64  # (3,)


class PoseFitter:
    """Fits one body shape at a time; ``set_bones`` changes the shape."""

    def __init__(self, landmark_joint: NDArray[np.intp], limits: JointLimits) -> None:
        self.limits = limits
        self._joint = landmark_joint
        ancestors = np.zeros((NUM_JOINTS, NUM_JOINTS), bool)
        for joint in range(NUM_JOINTS):
            ancestors[joint, joint] = True
            if joint:
                ancestors[joint] |= ancestors[PARENTS[joint]]
        self._moves = ancestors[landmark_joint][:, FREE_JOINTS].astype(np.float64)[:, None, :, None]  # (33, 1, 20, 1)
        rows = FREE_JOINTS[1:]
        self._middle_T = np.swapaxes(limits.R_middle[rows], -1, -2)
        self._neutral, self._spread = limits.neutral[rows], limits.spread[rows]
        self._lower, self._upper = limits.lower[rows], limits.upper[rows]

    def set_bones(self, offsets: Array64, landmark_offsets: Array64) -> None:
        """Joint offsets (24, 3) m from their parents in the rest pose; landmark offsets (33, 3) m in their joint's frame."""
        self._offsets = np.asarray(offsets, np.float64)[..., None]
        self._landmark_offsets = np.asarray(landmark_offsets, np.float64)[..., None]

    def landmarks(self, R: Array64) -> tuple[Array64, Array64, Array64]:
        """Pose (24, 3, 3) -> joint axes (24, 3, 3), joints (24, 3), landmarks (33, 3), the pelvis at 0."""
        G, p = np.empty((NUM_JOINTS, 3, 3)), np.zeros((NUM_JOINTS, 3))
        G[0] = R[0]
        for level, parents in _LEVELS:
            G_parent = G[parents]
            G[level] = G_parent @ R[level]
            p[level] = p[parents] + (G_parent @ self._offsets[level])[..., 0]
        return G, p, p[self._joint] + (G[self._joint] @ self._landmark_offsets)[..., 0]

    def fit(
        self, start: Array64, observation: Observation, prior: Prior, iterations: int
    ) -> tuple[Array64, float]:
        """From a starting pose (24, 3, 3) to the fitted one and its energy (without the previous pose's share)."""
        state = _State(start.copy(), np.zeros(3), np.zeros(3))
        self._place(state, observation)
        for _ in range(iterations):
            H, g, _ = self._normal_equations(state, observation, prior)
            self._step(state, -np.linalg.solve(H, g))
        return state.R, self._energy(state, observation, prior)

    def energy(self, R: Array64, observation: Observation, prior: Prior) -> float:
        """Energy of a pose as it stands, translations fitted."""
        state = _State(R, np.zeros(3), np.zeros(3))
        self._place(state, observation)
        return self._energy(state, observation, prior)

    def _place(self, state: _State, observation: Observation) -> None:
        """The two translations in closed form."""
        points = self.landmarks(state.R)[2]
        weight = observation.world_whiten[:, 0, :] ** 2
        weight = weight.sum(-1)
        if (total := weight.sum()) > 0:
            state.shift_world = weight @ (observation.world - points) / total
        A = _ray_rows(observation)
        rhs = -np.einsum("lij,lj->li", A, points).reshape(-1)
        A = A.reshape(-1, 3)
        state.shift_camera = np.linalg.solve(A.T @ A + 1e-9 * np.eye(3), A.T @ rhs)

    def _residuals(self, state: _State, observation: Observation, points: Array64) -> tuple[Array64, Array64, Array64]:
        """World (33, 3) and ray (33, 2) residuals in spreads, and the robust weight (33,) of each landmark."""
        error = points + state.shift_world - observation.world
        e_world = (observation.world_whiten @ error[..., None])[..., 0]
        A = _ray_rows(observation)
        e_ray = (A @ (points + state.shift_camera)[..., None])[..., 0]
        square = (e_world**2).sum(-1) + (e_ray**2).sum(-1)
        return e_world, e_ray, 1.0 / (1.0 + square / _ROBUST**2)

    def _chart(self, R: Array64) -> tuple[Array64, Array64]:
        """Rotation vectors (19, 3) about the middles of the ranges, and how far they lie outside the limits."""
        r = fast_log(self._middle_T @ R[FREE_JOINTS[1:]])
        return r, r - np.clip(r, self._lower, self._upper)

    def _energy(self, state: _State, observation: Observation, prior: Prior) -> float:
        e_world, e_ray, _ = self._residuals(state, observation, self.landmarks(state.R)[2])
        square = (e_world**2).sum(-1) + (e_ray**2).sum(-1)
        r, outside = self._chart(state.R)
        anatomy = (((r - self._neutral) / self._spread) ** 2).sum() + ((outside / _LIMIT_SIGMA) ** 2).sum()
        return float((square / (1.0 + square / (2 * _ROBUST) ** 2)).sum() + anatomy)

    def _normal_equations(
        self, state: _State, observation: Observation, prior: Prior
    ) -> tuple[Array64, Array64, Array64]:
        G, p, points = self.landmarks(state.R)
        e_world, e_ray, robust = self._residuals(state, observation, points)
        root = np.sqrt(robust)[:, None, None]
        J = self._jacobian(G, p, points)
        rows = np.zeros((33, 5, 3 * _NUM_FREE + 6))
        np.matmul(observation.world_whiten * root, J, out=rows[:, :3, :-6])
        rows[:, :3, -6:-3] = observation.world_whiten * root
        A = _ray_rows(observation) * root
        np.matmul(A, J, out=rows[:, 3:, :-6])
        rows[:, 3:, -3:] = A
        B = rows.reshape(165, -1)
        e = (np.concatenate([e_world, e_ray], -1) * root[..., 0]).reshape(-1)
        H, g = B.T @ B, B.T @ e
        H[np.arange(len(g)), np.arange(len(g))] += 1e-4
        self._add_anatomy(H, g, state)
        _add_time(H, g, state, prior)
        _add_upright(H, g, G[0], prior)
        return H, g, points

    def _jacobian(self, G: Array64, p: Array64, points: Array64) -> Array64:
        """Landmarks (33, 3) by right increments of the free joints: (33, 3, 60)."""
        d = (points[:, None] - p[FREE_JOINTS])[..., None]  # (33, 20, 3, 1)
        axes = G[FREE_JOINTS]  # (20, 3, 3) columns are the joint's axes
        ax, ay, az = axes[:, 0], axes[:, 1], axes[:, 2]  # (20, 3) by column
        dx, dy, dz = d[:, :, 0], d[:, :, 1], d[:, :, 2]  # (33, 20, 1)
        J = np.empty((33, 3, _NUM_FREE, 3))
        J[:, 0] = ay * dz - az * dy
        J[:, 1] = az * dx - ax * dz
        J[:, 2] = ax * dy - ay * dx
        J *= self._moves
        return J.reshape(33, 3, -1)

    def _add_anatomy(self, H: Array64, g: Array64, state: _State) -> None:
        r, outside = self._chart(state.R)
        weight = 1 / self._spread**2 + np.where(outside != 0, 1 / _LIMIT_SIGMA**2, 0.0)
        pull = (r - self._neutral) / self._spread**2 + outside / _LIMIT_SIGMA**2
        J = _inverse_right_jacobian(r)
        J_T = np.swapaxes(J, -1, -2)
        size = 3 * (_NUM_FREE - 1)
        blocks = H[3 : 3 + size, 3 : 3 + size].reshape(_NUM_FREE - 1, 3, _NUM_FREE - 1, 3)
        index = np.arange(_NUM_FREE - 1)
        # A slice of H is a view that cannot be reshaped in place, so the blocks are added through index arrays.
        del blocks
        rows = 3 + 3 * index[:, None, None] + np.arange(3)[None, :, None]
        columns = 3 + 3 * index[:, None, None] + np.arange(3)[None, None, :]
        H[rows, columns] += J_T @ (weight[..., None] * J)
        g[3 : 3 + size] += (J_T @ pull[..., None]).reshape(-1)

    def _step(self, state: _State, delta: Array64) -> None:
        turn = delta[:-6].reshape(_NUM_FREE, 3)
        length = np.sqrt((turn**2).sum(-1, keepdims=True))
        turn = turn * np.minimum(1.0, _MAX_STEP / np.maximum(length, 1e-9))
        state.R[FREE_JOINTS] = state.R[FREE_JOINTS] @ fast_exp(turn)
        state.shift_world = state.shift_world + delta[-6:-3]
        state.shift_camera = state.shift_camera + delta[-3:]


def _ray_rows(observation: Observation) -> Array64:
    """(33, 2, 3): a point in front of the camera lies on its ray where both rows give 0 (x + u z, y + v z; depth is -z)."""
    rows = np.zeros((33, 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = observation.ray_weight
    rows[:, :, 2] = observation.ray * observation.ray_weight[:, None]
    return rows


def _add_time(H: Array64, g: Array64, state: _State, prior: Prior) -> None:
    if prior.R_previous is None:
        return
    d = fast_log(np.swapaxes(prior.R_previous[FREE_JOINTS], -1, -2) @ state.R[FREE_JOINTS])
    weight = np.repeat(1 / prior.sigma_previous**2, 3)
    index = np.arange(3 * _NUM_FREE)
    H[index, index] += weight
    g[: 3 * _NUM_FREE] += weight * d.reshape(-1)


def _add_upright(H: Array64, g: Array64, R_root: Array64, prior: Prior) -> None:
    """Residual: x and z of the world's up direction in the pelvis' frame, zero when the pelvis stands upright."""
    low, high = _UPRIGHT_SIGMA
    weight = (1 - prior.hips_seen) / low**2 + prior.hips_seen / high**2
    x, y, z = R_root[1]  # world up in the pelvis' frame: R^T e_y
    J = np.array([[0.0, -z, y], [-y, x, 0.0]])  # of (x, z) by a right increment: up x increment
    H[:3, :3] += weight * J.T @ J
    g[:3] += weight * J.T @ np.array([x, z])


def fast_exp(r: Array64) -> Array64:
    """Rotation vectors (n, 3) -> matrices (n, 3, 3)."""
    x, y, z = r[:, 0], r[:, 1], r[:, 2]
    square = x * x + y * y + z * z
    angle = np.sqrt(square)
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    K = np.zeros((len(r), 3, 3))
    K[:, 0, 1], K[:, 0, 2], K[:, 1, 2] = -z, y, -x
    K[:, 1, 0], K[:, 2, 0], K[:, 2, 1] = z, -y, x
    return np.eye(3) + a[:, None, None] * K + b[:, None, None] * (K @ K)


def fast_log(R: Array64) -> Array64:
    """Matrices (n, 3, 3) -> rotation vectors (n, 3); the careful path is taken near half turns only."""
    cosine = (R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2] - 1) / 2
    if np.any(cosine < -0.95):
        return np.asarray(matrix_to_axis_angle(R), np.float64)
    v = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], -1)
    sine = np.sqrt((v**2).sum(-1))
    angle = np.arctan2(sine, cosine)
    return v * np.where(sine > 1e-8, angle / np.maximum(sine, 1e-8), 1.0)[:, None]


def _inverse_right_jacobian(r: Array64) -> Array64:
    """Of the rotation vector by a right increment, (n, 3) -> (n, 3, 3), to second order."""
    x, y, z = r[:, 0], r[:, 1], r[:, 2]
    K = np.zeros((len(r), 3, 3))
    K[:, 0, 1], K[:, 0, 2], K[:, 1, 2] = -z, y, -x
    K[:, 1, 0], K[:, 2, 0], K[:, 2, 1] = z, -y, x
    return np.eye(3) + 0.5 * K + (K @ K) / 12
