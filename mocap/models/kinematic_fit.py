"""Damped Gauss-Newton over one person's joint rotations: landmarks and rays on one side, anatomy and time on the other.

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
from mocap.body.rotation_vectors import fast_exp, fast_log
from mocap.body.skeleton import NUM_JOINTS, PARENTS

Array64 = NDArray[np.float64]

FREE_JOINTS = np.array(
    [j for j in range(22) if j not in (10, 11)]
)  # pelvis and all with limits; toes, hands ride along
_NUM_FREE = len(FREE_JOINTS)
_FREE_SHOULDERS = np.flatnonzero(np.isin(FREE_JOINTS, (16, 17)))  # left, right
_ARM_SIGN = np.array([[1.0], [-1.0]])  # the left arm lies along +x in the rest pose, the right along -x
_DIAGONAL = np.arange(3 * _NUM_FREE + 6)
_BLOCK = 3 * np.arange(1, _NUM_FREE)[:, None, None]  # 3x3 blocks of the free joints but the pelvis
_BLOCK_ROWS, _BLOCK_COLUMNS = _BLOCK + np.arange(3)[None, :, None], _BLOCK + np.arange(3)[None, None, :]
_LIMIT_SIGMA = np.radians(3.0)
_UPRIGHT_SIGMA = (0.35, 1.5)  # sine of the pelvis' tilt: hips not seen, hips seen
_MAX_STEP = 0.8  # rad per joint and step
_ENOUGH = 0.003  # a step that gains a smaller share of the energy is the last
_DAMPING = 0.01  # first share of the diagonal that is added to it
_ROBUST = 3.0  # a landmark this many spreads away counts a quarter


def _levels() -> list[tuple[Array64, Array64]]:
    depth = [0] * NUM_JOINTS
    for joint in range(1, NUM_JOINTS):
        depth[joint] = depth[PARENTS[joint]] + 1
    levels = [[j for j in range(NUM_JOINTS) if depth[j] == d] for d in range(1, max(depth) + 1)]
    return [(np.array(level), np.array([PARENTS[j] for j in level])) for level in levels]


def _ancestors() -> Array64:
    ancestors = np.eye(NUM_JOINTS)
    for joint in range(1, NUM_JOINTS):
        ancestors[joint] += ancestors[PARENTS[joint]]
    return ancestors


_LEVELS = _levels()
_PARENTS = np.array(PARENTS[1:])
_ANCESTORS = _ancestors()  # (24, 24) 1 where the column's joint carries the row's, itself included


@dataclass(frozen=True)
class Observation:
    """What one frame says, in level-world axes: world landmarks up to a translation, viewing rays, and their spreads.

    Landmarks of one hand, foot or face err together, so their shape is believed more than their place: ``mix_world``
    and ``mix_ray`` turn 33 landmark errors into 38 rows over their spreads (each landmark, in a group against the
    group's middle, then the middles of the five groups).
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


@dataclass(frozen=True)
class Fit:
    """A fitted pose and its energy."""

    R_parent_joint: Array64  # (24, 3, 3)
    shift: Array64  # (6,) m, translations to the world landmarks and to the camera
    energy: float  # without the previous pose's share: comparable between starts, and over time


@dataclass(frozen=True)
class _Problem:
    observation: Observation
    prior: Prior
    shift_columns: Array64  # (38, 5, 6) rows by the two translations


@dataclass(frozen=True)
class _Point:
    """A pose with everything that both its energy and its derivative need."""

    R: Array64  # (24, 3, 3) parent from joint
    shift: Array64  # (6,) m, translation to the world landmarks, translation to the camera
    G: Array64  # (24, 3, 3) world from joint
    p: Array64  # (24, 3) m, pelvis at 0
    landmarks: Array64  # (33, 3) m
    errors: Array64  # (38, 5) in spreads
    strain: Array64  # (19, 3) rad, from the neutral pose
    pull: Array64  # (19, 3) 1/rad towards it
    chart: Array64  # (19, 3) rad, free joints but the pelvis in their charts
    outside: Array64  # (19, 3) rad, beyond the limits
    turned: Array64 | None  # (20, 3) rad since the previous pose
    energy: float
    energy_of_time: float


class PoseFitter:
    """Fits one body shape at a time; ``set_bones`` changes the shape."""

    def __init__(self, landmark_joint: NDArray[np.intp], limits: JointLimits) -> None:
        self.limits = limits
        self._joint = landmark_joint
        self._moves = _ANCESTORS[landmark_joint][:, FREE_JOINTS][:, None, :, None]  # (33, 1, 20, 1)
        rows = FREE_JOINTS[1:]
        self._neutral = limits.neutral[rows]
        self._shoulder_middle_T = np.swapaxes(limits.R_middle[FREE_JOINTS[_FREE_SHOULDERS]], -1, -2)
        self._lower, self._upper = limits.lower[rows], limits.upper[rows]

    def set_bones(self, offsets: Array64, landmark_offsets: Array64) -> None:
        """Joints (24, 3) m from their parents in the rest pose; landmarks (33, 3) m in their joints' frames."""
        self._offsets = np.asarray(offsets, np.float64)[..., None]
        self._landmark_offsets = np.asarray(landmark_offsets, np.float64)[..., None]

    def landmarks(self, R: Array64) -> tuple[Array64, Array64, Array64]:
        """Pose (24, 3, 3) -> joint axes (24, 3, 3), joints (24, 3), landmarks (33, 3), the pelvis at 0."""
        G = np.empty((NUM_JOINTS, 3, 3))
        G[0] = R[0]
        for level, parents in _LEVELS:
            G[level] = G[parents] @ R[level]
        p = _ANCESTORS[:, 1:] @ (G[_PARENTS] @ self._offsets[1:])[..., 0]
        return G, p, p[self._joint] + (G[self._joint] @ self._landmark_offsets)[..., 0]

    def fit(self, start: Array64, shift: Array64 | None, observation: Observation, prior: Prior, steps: int) -> Fit:
        """Downhill by damped steps.

        Args:
            start: (24, 3, 3) pose.
            shift: (6,) m, the fit's two translations as last found; None finds them in closed form.
            observation: the frame.
            prior: what was believed before it.
            steps: how many steps at most; rejected ones count.
        """
        problem = _Problem(observation, prior, _shift_columns(observation))
        point = self._evaluate(start, np.zeros(6) if shift is None else shift, problem)
        if shift is None:
            columns = problem.shift_columns.reshape(-1, 6)
            placed = np.linalg.solve(columns.T @ columns + 1e-6 * np.eye(6), columns.T @ point.errors.reshape(-1))
            point = self._evaluate(start, -placed, problem)
        damping = _DAMPING
        equations = None
        for _ in range(steps):
            H, g = equations = equations or self._linearise(point, problem)
            trial = self._evaluate(*_moved(point, _solve(H, g, damping)), problem)
            if trial.energy <= point.energy:
                gain = point.energy - trial.energy
                point, damping, equations = trial, damping / 4, None
                if gain < _ENOUGH * trial.energy:
                    break
            else:
                damping *= 10
        return Fit(point.R, point.shift, point.energy - point.energy_of_time)

    def _evaluate(self, R: Array64, shift: Array64, problem: _Problem) -> _Point:
        observation, prior = problem.observation, problem.prior
        G, p, landmarks = self.landmarks(R)
        per_landmark = np.empty((33, 5, 1))
        world = landmarks + shift[:3] - observation.world
        np.matmul(observation.project[:, :3], world[..., None], out=per_landmark[:, :3])
        np.matmul(observation.project[:, 3:], (landmarks + shift[3:])[..., None], out=per_landmark[:, 3:])
        errors = observation.rows(per_landmark)[..., 0]
        free = R[FREE_JOINTS]
        reference, fade = _arm_reference(free[_FREE_SHOULDERS])
        relative = [self.limits.about_middle(free[1:]), self._shoulder_middle_T @ reference]
        if prior.R_previous is not None:
            relative.append(np.swapaxes(prior.R_previous[FREE_JOINTS], -1, -2) @ free)
        logs = fast_log(np.concatenate(relative))
        chart = self.limits.chart_from_logs(logs[: _NUM_FREE - 1], free[1:])
        neutral, pull = self._neutral.copy(), prior.pull.copy()
        neutral[_FREE_SHOULDERS - 1, 0] = logs[_NUM_FREE - 1 : _NUM_FREE + 1, 0]
        pull[_FREE_SHOULDERS - 1, 0] *= fade
        turned = None
        outside = chart - np.minimum(np.maximum(chart, self._lower), self._upper)
        energy_of_time = 0.0
        if prior.R_previous is not None:
            turned = logs[_NUM_FREE + 1 :]
            energy_of_time = float(((turned / prior.sigma_previous[:, None]) ** 2).sum())
        data = _ROBUST**2 * np.log1p((errors**2).sum(-1) / _ROBUST**2)
        anatomy = ((chart - neutral) * pull) ** 2 + (outside / _LIMIT_SIGMA) ** 2
        tilt = _upright_weight(prior) * (1 - R[0, 1, 1] ** 2)
        energy = float(data.sum() + anatomy.sum() + tilt) + energy_of_time
        strain = chart - neutral
        return _Point(R, shift, G, p, landmarks, errors, strain, pull, chart, outside, turned, energy, energy_of_time)

    def _linearise(self, point: _Point, problem: _Problem) -> tuple[Array64, Array64]:
        """Gauss-Newton's matrix (66, 66) and gradient (66,): 20 right increments, then the two translations."""
        errors, observation = point.errors, problem.observation
        robust = 1.0 / np.sqrt(1.0 + (errors**2).sum(-1, keepdims=True) / _ROBUST**2)  # (38, 1)
        rows = np.empty((*errors.shape, 3 * _NUM_FREE + 6))
        rows[..., :-6] = observation.rows(observation.project @ self._jacobian(point.G, point.p, point.landmarks))
        rows[..., -6:] = problem.shift_columns
        rows *= robust[..., None]
        B, e = rows.reshape(-1, rows.shape[-1]), (errors * robust).reshape(-1)
        H, g = B.T @ B, B.T @ e
        self._add_anatomy(H, g, point)
        if point.turned is not None:
            stay = np.repeat(1 / problem.prior.sigma_previous**2, 3)
            H[_DIAGONAL[:-6], _DIAGONAL[:-6]] += stay
            g[:-6] += stay * point.turned.reshape(-1)
        _add_upright(H, g, point.G[0], problem.prior)
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

    def _add_anatomy(self, H: Array64, g: Array64, point: _Point) -> None:
        """Limits and neutral pose, in each joint's chart."""
        weight = point.pull**2 + (point.outside != 0) / _LIMIT_SIGMA**2
        force = point.strain * point.pull**2 + point.outside / _LIMIT_SIGMA**2
        J = self.limits.chart_jacobian(point.chart)
        J_T = np.swapaxes(J, -1, -2)
        H[_BLOCK_ROWS, _BLOCK_COLUMNS] += J_T @ (weight[..., None] * J)
        g[3 : 3 * _NUM_FREE] += (J_T @ force[..., None]).reshape(-1)


def _arm_reference(R_shoulders: Array64) -> tuple[Array64, Array64]:
    """Upper arms (2, 3, 3), left and right, with the twist that is neutral where they point, and the trust in it (2,).

    An arm that rises from hanging straight down, forward or sideways, does not turn about itself: its elbow points down
    or back. Straight overhead the two ways meet with different twists, so there the trust fades out.
    """
    x, y, z = (R_shoulders[:, :, 0] * _ARM_SIGN).T
    below = np.maximum(1 - y, 0.05)
    # The shortest rotation from straight down to the arm, after the quarter turn that lets the rest pose's arm hang.
    sign = _ARM_SIGN[:, 0]
    R = np.empty((2, 3, 3))
    R[:, 0, 0], R[:, 1, 0], R[:, 2, 0] = sign * x, sign * y, sign * z
    R[:, 0, 1], R[:, 1, 1], R[:, 2, 1] = sign * (1 - x * x / below), sign * x, -sign * x * z / below
    R[:, 0, 2], R[:, 1, 2], R[:, 2, 2] = -x * z / below, z, 1 - z * z / below
    return R, np.minimum(1.0, (1 - y) / 0.5)


def _solve(H: Array64, g: Array64, damping: float) -> Array64:
    """The damped step (66,)."""
    damped = H.copy()
    damped[_DIAGONAL, _DIAGONAL] += damping * H[_DIAGONAL, _DIAGONAL] + 1e-6
    return -np.linalg.solve(damped, g)


def _moved(point: _Point, delta: Array64) -> tuple[Array64, Array64]:
    """Pose and translations after a step; no joint turns more than the ceiling at once."""
    turn = delta[:-6].reshape(_NUM_FREE, 3)
    length = np.sqrt((turn**2).sum(-1, keepdims=True))
    R = point.R.copy()
    R[FREE_JOINTS] = R[FREE_JOINTS] @ fast_exp(turn * np.minimum(1.0, _MAX_STEP / np.maximum(length, 1e-9)))
    return R, point.shift + delta[-6:]


def _shift_columns(observation: Observation) -> Array64:
    """Rows (38, 5, 6) by the two translations."""
    columns = np.zeros((33, 5, 6))
    columns[:, :3, :3] = observation.project[:, :3]
    columns[:, 3:, 3:] = observation.project[:, 3:]
    return observation.rows(columns)


def _upright_weight(prior: Prior) -> float:
    low, high = _UPRIGHT_SIGMA
    return (1 - prior.hips_seen) / low**2 + prior.hips_seen / high**2


def _add_upright(H: Array64, g: Array64, R_root: Array64, prior: Prior) -> None:
    """Residual: x and z of the world's up direction in the pelvis' frame, zero when the pelvis stands upright."""
    weight = _upright_weight(prior)
    x, y, z = R_root[1]  # world up in the pelvis' frame: R^T e_y
    J = np.array([[0.0, -z, y], [-y, x, 0.0]])  # of (x, z) by a right increment: up x increment
    H[:3, :3] += weight * J.T @ J
    g[:3] += weight * J.T @ np.array([x, z])
