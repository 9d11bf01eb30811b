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
_DIAGONAL = np.arange(3 * _NUM_FREE + 6)
_BLOCK = 3 * np.arange(1, _NUM_FREE)[:, None, None]  # 3x3 blocks of the free joints but the pelvis
_BLOCK_ROWS, _BLOCK_COLUMNS = _BLOCK + np.arange(3)[None, :, None], _BLOCK + np.arange(3)[None, None, :]
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
    """What one frame says, in level-world axes: world landmarks up to a translation, viewing rays, and their spreads.

    Landmarks of one hand, foot or face err together, so their shape is believed more than their place: ``mix_world`` and
    ``mix_ray`` turn 33 landmark errors into 38 rows over their spreads (each landmark, in a group against the group's
    middle, then the middles of the five groups).
    """

    world: Array64  # (33, 3) m
    depth_axis: Array64  # (3,) unit direction in which the world landmarks are poor
    project: Array64  # (33, 5, 3) of a point: image x, image y, depth over their spreads; x and y off its viewing ray
    mix_world: Array64  # (38, 33)
    mix_ray: Array64  # (38, 33)

    def rows(self, per_landmark: Array64) -> Array64:
        """(33, 5, n) -> (38, 5, n)."""
        n = per_landmark.shape[-1]
        mixed = np.empty((len(self.mix_world), 5, n))
        mixed[:, :3] = (self.mix_world @ per_landmark[:, :3].reshape(33, -1)).reshape(-1, 3, n)
        mixed[:, 3:] = (self.mix_ray @ per_landmark[:, 3:].reshape(33, -1)).reshape(-1, 2, n)
        return mixed


@dataclass(frozen=True)
class Prior:
    """What is believed before the frame is seen."""

    R_previous: Array64 | None  # (24, 3, 3)
    sigma_previous: Array64  # (20,) rad per free joint
    pull: Array64  # (19, 3) 1/rad, inverse spread about the neutral pose, per free joint but the pelvis
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
        self._neutral = limits.neutral[rows]
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

    def fit(self, start: Array64, observation: Observation, prior: Prior, iterations: int) -> Array64:
        """From a starting pose (24, 3, 3) to the fitted one; quadratic close to the solution, so few iterations do."""
        state = _State(start.copy(), np.zeros(3), np.zeros(3))
        shift = _shift_columns(observation)
        for iteration in range(iterations):
            body = self.landmarks(state.R)
            if iteration == 0:
                self._place(state, observation, shift, body[2])
            H, g = self._normal_equations(state, observation, prior, shift, body)
            self._step(state, -np.linalg.solve(H, g))
        return state.R

    def _place(self, state: _State, observation: Observation, shift: Array64, points: Array64) -> None:
        """The two translations in closed form."""
        error, columns = self._errors(state, observation, points).reshape(-1), shift.reshape(-1, 6)
        solved = -np.linalg.solve(columns.T @ columns + 1e-6 * np.eye(6), columns.T @ error)
        state.shift_world, state.shift_camera = solved[:3], solved[3:]

    def _errors(self, state: _State, observation: Observation, points: Array64) -> Array64:
        """Residuals of all rows (38, 5), in spreads."""
        per_landmark = np.empty((33, 5, 1))
        world = points + state.shift_world - observation.world
        np.matmul(observation.project[:, :3], world[..., None], out=per_landmark[:, :3])
        np.matmul(observation.project[:, 3:], (points + state.shift_camera)[..., None], out=per_landmark[:, 3:])
        return observation.rows(per_landmark)[..., 0]

    def _normal_equations(
        self,
        state: _State,
        observation: Observation,
        prior: Prior,
        shift: Array64,
        body: tuple[Array64, Array64, Array64],
    ) -> tuple[Array64, Array64]:
        G, p, points = body
        errors = self._errors(state, observation, points)
        robust = 1.0 / np.sqrt(1.0 + (errors**2).sum(-1, keepdims=True) / _ROBUST**2)  # (38, 1)
        rows = np.empty((*errors.shape, 3 * _NUM_FREE + 6))
        rows[..., :-6] = observation.rows(observation.project @ self._jacobian(G, p, points))
        rows[..., -6:] = shift
        rows *= robust[..., None]
        B, e = rows.reshape(-1, rows.shape[-1]), (errors * robust).reshape(-1)
        H, g = B.T @ B, B.T @ e
        H[_DIAGONAL, _DIAGONAL] += 1e-4
        self._add_priors(H, g, state.R, prior)
        _add_upright(H, g, G[0], prior)
        return H, g

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

    def _add_priors(self, H: Array64, g: Array64, R: Array64, prior: Prior) -> None:
        """Limits and neutral pose, in each joint's chart, and the previous pose."""
        free = R[FREE_JOINTS]
        relative = self._middle_T @ free[1:]
        if prior.R_previous is not None:
            relative = np.concatenate([relative, np.swapaxes(prior.R_previous[FREE_JOINTS], -1, -2) @ free])
        logs = fast_log(relative)
        r = logs[: _NUM_FREE - 1]
        outside = r - np.minimum(np.maximum(r, self._lower), self._upper)
        weight = prior.pull**2 + (outside != 0) / _LIMIT_SIGMA**2
        force = (r - self._neutral) * prior.pull**2 + outside / _LIMIT_SIGMA**2
        J = _inverse_right_jacobian(r)
        J_T = np.swapaxes(J, -1, -2)
        H[_BLOCK_ROWS, _BLOCK_COLUMNS] += J_T @ (weight[..., None] * J)
        g[3 : 3 * _NUM_FREE] += (J_T @ force[..., None]).reshape(-1)
        if prior.R_previous is not None:
            stay = np.repeat(1 / prior.sigma_previous**2, 3)
            H[_DIAGONAL[:-6], _DIAGONAL[:-6]] += stay
            g[:-6] += stay * logs[_NUM_FREE - 1 :].reshape(-1)

    def _step(self, state: _State, delta: Array64) -> None:
        turn = delta[:-6].reshape(_NUM_FREE, 3)
        length = np.sqrt((turn**2).sum(-1, keepdims=True))
        turn = turn * np.minimum(1.0, _MAX_STEP / np.maximum(length, 1e-9))
        state.R[FREE_JOINTS] = state.R[FREE_JOINTS] @ fast_exp(turn)
        state.shift_world = state.shift_world + delta[-6:-3]
        state.shift_camera = state.shift_camera + delta[-3:]


def _shift_columns(observation: Observation) -> Array64:
    """Rows (38, 5, 6) by the two translations."""
    columns = np.zeros((33, 5, 6))
    columns[:, :3, :3] = observation.project[:, :3]
    columns[:, 3:, 3:] = observation.project[:, 3:]
    return observation.rows(columns)


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
