"""Damped Gauss-Newton over joint rotations: landmarks and rays on one side, anatomy and time on the other.

The energy is a sum of squares, each residual divided by what is believed about its spread:

* world landmarks against landmarks of the body, up to a translation;
* the rays of the 2D landmarks against the same points placed in front of the camera (a second translation). With the
  limbs' known lengths these fix each bone's depth up to its sign, and the world landmarks choose the sign;
* how far away pelvis and feet were: a foot that rests in the picture rests in depth too, which makes the size of the
  body in the picture, and so the bend of a squat, a matter of the pose and not of the distance;
* joint limits, the pull of a neutral pose, the previous pose, and an upright pelvis where the hips are not seen.

A joint that nothing observes is left with the last line, and so relaxes to neutral with a time constant in seconds.
All positions are in level-world axes (x right in the picture, y up, z to the camera), metres, float64.

Everything here is done for P persons at once, because on arrays as small as a skeleton's a call costs more than its
arithmetic. No person's result depends on the others: each has its own damping, and stops at its own step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.batch import choose
from mocap.body.joint_limits import JointLimits
from mocap.body.rotation_vectors import cross_matrix, fast_exp, fast_log
from mocap.body.skeleton import CHAINS, NUM_JOINTS, PARENTS, global_rotations

Array64 = NDArray[np.float64]

FREE_JOINTS = np.array([j for j in range(22) if j not in (10, 11)])  # all that moves; toes and hands ride along
NUM_POINTS = 33
ANCHORS = np.zeros((3, NUM_POINTS))  # landmarks whose middles are pelvis, left foot and right foot
ANCHORS[0, [23, 24]], ANCHORS[1, [27, 29, 31]], ANCHORS[2, [28, 30, 32]] = 1 / 2, 1 / 3, 1 / 3
_NUM_FREE = len(FREE_JOINTS)
_NUM_TURNS = 3 * _NUM_FREE
_SHOULDERS = slice(13, 15)  # left and right, among the free joints but the pelvis
_ARM_SIGN = np.array([1.0, -1.0])  # the left arm lies along +x in the rest pose, the right along -x
# Rotations that are compared with others in one go: those with limits with their middles, all free ones with the
# previous pose.
_COMPARED = np.concatenate([FREE_JOINTS[1:], FREE_JOINTS])
_LIMITED, _TURNED = slice(0, _NUM_FREE - 1), slice(_NUM_FREE - 1, None)
_TURN_MATRICES = cross_matrix(np.eye(3)).transpose(0, 2, 1).reshape(9, 3)  # axis -> axis x e_x, x e_y, x e_z
_LIMIT_WEIGHT = 1 / np.radians(3.0) ** 2
_UPRIGHT_SIGMA = (0.35, 1.5)  # sine of the pelvis' tilt: hips not seen, hips seen
_WORLD_WEIGHT = 1 / 0.065  # 1/m: inverse spread of the world landmarks
_RAY_WEIGHT = 1 / 0.03  # 1/m: and of the 2D landmarks at the person
_MAX_STEP = 0.8  # rad per joint and step
_DAMPING = 0.01  # first share of the diagonal that is added to it
_ROBUST = 3.0  # a landmark this many spreads away counts a quarter


@dataclass(frozen=True)
class Observation:
    """What one frame says of P persons, in level-world axes: world landmarks up to a translation, and viewing rays.

    Each landmark has five errors: x, y and z of the world landmark, and x and y off the viewing ray.
    Landmarks of one hand, foot or face err together, so their shape is believed more than their place: ``mix`` turns 33
    landmarks' errors into 38 (each landmark, in a group against the group's middle, then the middles of five groups).
    """

    world: Array64  # (P, 33, 3) m
    rays: Array64  # (P, 33, 2) on a landmark's viewing ray points have (x, y) + ray z = 0
    mix: Array64  # (P, 38, 33)


@dataclass(frozen=True)
class Prior:
    """What is believed of P persons before the frame is seen."""

    R_previous: Array64  # (P, 24, 3, 3)
    hold: Array64  # (P, 20) 1/rad, inverse spread about the previous pose, per free joint; 0 without one
    pull: Array64  # (P, 19, 3) 1/rad, inverse spread about the neutral pose, per free joint but the pelvis
    hips_seen: Array64  # (P,) in [0, 1]
    depth: Array64  # (P, 3) m, how far before the camera the anchors were: pelvis, left foot, right foot
    depth_hold: Array64  # (P, 3) 1/m, inverse spread about it; 0 where nothing is known


@dataclass(frozen=True)
class Fit:
    """Fitted poses and their energies."""

    R_parent_joint: Array64  # (P, 24, 3, 3)
    shift: Array64  # (P, 6) m, translations to the world landmarks and to the camera
    depth: Array64  # (P, 3) m, of the anchors, see ``Prior``
    energy: Array64  # (P,) without the previous pose's share: comparable between starts, and over time


@dataclass(frozen=True)
class _Problem:
    links: Array64  # (P, 56, 3, 1) m
    observation: Observation
    hold: Array64  # (P, 20, 1)
    neutral: Array64  # (P, 19, 3) rad, in the charts
    pull: Array64  # (P, 19, 3) 1/rad² towards it
    upright: Array64  # (P,) weight of the pelvis' tilt
    depth: Array64  # (P, 3) m
    depth_hold: Array64  # (P, 3) 1/m
    references_T: Array64  # (P, 39, 3, 3) what the compared rotations are compared with, transposed


@dataclass(frozen=True)
class _Point:
    """Poses with everything that both their energy and its derivative need."""

    R: Array64  # (P, 24, 3, 3) parent from joint
    shift: Array64  # (P, 6) m
    G: Array64  # (P, 24, 3, 3) world from joint
    points: Array64  # (P, 57, 3) m, joints and landmarks, the pelvis at 0
    errors: Array64  # (P, 38, 5) in spreads
    robust: Array64  # (P, 38) 1 and, for errors of many spreads, more: what their weight is divided by
    chart: Array64  # (P, 19, 3) rad, free joints but the pelvis in their charts
    strain: Array64  # (P, 19, 3) rad, from the neutral pose
    outside: Array64  # (P, 19, 3) rad, beyond the limits
    turned: Array64  # (P, 20, 3) rad since the previous pose
    gone: Array64  # (P, 3) of the anchors' depth since the previous pose, in spreads
    energy: Array64  # (P,)
    energy_of_time: Array64  # (P,)


class PoseFitter:
    """Fits bodies of any shape: their ``links`` are 23 bones and 33 landmarks in their joints' frames (P, 56, 3) m."""

    def __init__(self, landmark_joint: NDArray[np.intp], limits: JointLimits) -> None:
        self.limits = limits
        self._link_joint = np.concatenate([PARENTS[1:], landmark_joint])
        self._sums = np.zeros((NUM_JOINTS + NUM_POINTS, len(self._link_joint)))  # joints and landmarks from links
        self._sums[:NUM_JOINTS, : NUM_JOINTS - 1] = CHAINS[:, 1:]
        self._sums[NUM_JOINTS:, : NUM_JOINTS - 1] = CHAINS[landmark_joint, 1:]
        self._sums[NUM_JOINTS:, NUM_JOINTS - 1 :] = np.eye(NUM_POINTS)
        moves = CHAINS[landmark_joint][:, FREE_JOINTS]  # 1 where the column's joint carries the row's landmark
        self._moves = np.repeat(moves, 3, axis=1)[:, None]
        joints = FREE_JOINTS[1:]
        self._neutral, self._lower, self._upper = limits.neutral[joints], limits.lower[joints], limits.upper[joints]

    def fit(
        self,
        start: Array64,
        shift: Array64 | None,
        links: Array64,
        observation: Observation,
        prior: Prior,
        steps: NDArray[np.intp],
        enough: float,
    ) -> Fit:
        """Downhill by damped steps.

        Args:
            start: (P, 24, 3, 3) poses.
            shift: (P, 6) m, the fits' two translations as last found; None finds them in closed form.
            links: (P, 56, 3) m, the bodies.
            observation: the frame.
            prior: what was believed before it.
            steps: (P,) how many steps at most; rejected ones count.
            enough: a step that gains a smaller share of the energy is the last.
        """
        problem = self._problem(start, links, observation, prior)
        point = self._evaluate(start, self._placed(start, problem) if shift is None else shift, problem)
        damping = np.full(len(start), _DAMPING)
        active = steps > 0
        for step in range(1, int(steps.max()) + 1):
            trial = self._evaluate(*_moved(point, self._step(point, problem, damping)), problem)
            better = active & (trial.energy <= point.energy)
            small = point.energy - trial.energy < enough * trial.energy
            damping = np.where(better, damping / 4, damping * 10)
            point = choose(better, trial, point)
            active &= (step < steps) & ~(better & small)
            if not active.any():
                break
        return Fit(point.R, point.shift, _depths(point.points, point.shift), point.energy - point.energy_of_time)

    def _problem(self, start: Array64, links: Array64, observation: Observation, prior: Prior) -> _Problem:
        count = len(links)
        references_T = np.empty((count, len(_COMPARED), 3, 3))
        references_T[:, _LIMITED] = self.limits.middle_T
        references_T[:, _TURNED] = np.swapaxes(prior.R_previous[:, FREE_JOINTS], -1, -2)
        neutral, pull = np.tile(self._neutral, (count, 1, 1)), prior.pull**2
        twist, trust = self._arm_twist(start[:, 16:18])
        neutral[:, _SHOULDERS, 0] = twist
        pull[:, _SHOULDERS, 0] *= trust**2
        low, high = _UPRIGHT_SIGMA
        upright = (1 - prior.hips_seen) / low**2 + prior.hips_seen / high**2
        return _Problem(
            links[..., None], observation, prior.hold[..., None], neutral, pull, upright, prior.depth, prior.depth_hold,
            references_T,
        )  # fmt: skip

    def _arm_twist(self, R_shoulders: Array64) -> tuple[Array64, Array64]:
        """Of upper arms (P, 2, 3, 3), left and right, the twist that is neutral where they point (P, 2) rad, and the
        trust in it (P, 2).

        An arm that rises from hanging straight down, forward or sideways, does not turn about itself: its elbow points
        down or back. Straight overhead the two ways meet with different twists, so there the trust fades out.
        """
        sign = _ARM_SIGN
        x, y, z = (R_shoulders[..., i, 0] * sign for i in range(3))
        below = np.maximum(1 - y, 0.05)
        # The shortest rotation from straight down to the arm, after the quarter turn that makes the rest pose's hang.
        across = -x * z / below
        R = R_shoulders.copy()
        R[..., 0, 1], R[..., 1, 1], R[..., 2, 1] = sign * (1 - x * x / below), sign * x, sign * across
        R[..., 0, 2], R[..., 1, 2], R[..., 2, 2] = across, z, 1 - z * z / below
        return fast_log(self.limits.middle_T[_SHOULDERS] @ R)[..., 0], np.minimum(1.0, (1 - y) / 0.5)

    def _pose(self, R: Array64, problem: _Problem) -> tuple[Array64, Array64]:
        """Poses (P, 24, 3, 3) -> joint axes (P, 24, 3, 3); joints and landmarks (P, 57, 3) m, the pelvis at 0."""
        G = global_rotations(R)
        return G, self._sums @ (G[:, self._link_joint] @ problem.links)[..., 0]

    def _placed(self, R: Array64, problem: _Problem) -> Array64:
        """Translations (P, 6) m that bring the posed bodies closest to what is seen."""
        G, points = self._pose(R, problem)
        columns = self._rows(G, points, problem.observation)[0][..., -6:]
        errors = _errors(points, np.zeros((len(R), 6)), problem.observation).reshape(len(R), -1, 1)
        columns_T = np.swapaxes(columns, -1, -2)
        return -np.linalg.solve(columns_T @ columns + 1e-6 * np.eye(6), columns_T @ errors)[..., 0]

    def _evaluate(self, R: Array64, shift: Array64, problem: _Problem) -> _Point:
        G, points = self._pose(R, problem)
        errors = _errors(points, shift, problem.observation)
        robust = 1 + (errors * errors).sum(-1) / _ROBUST**2
        compared = R[:, _COMPARED]
        logs = fast_log(problem.references_T @ compared)
        turned = logs[:, _TURNED]
        chart = self.limits.chart_from_logs(logs[:, _LIMITED], compared[:, _LIMITED])
        strain, outside = chart - problem.neutral, chart - np.minimum(np.maximum(chart, self._lower), self._upper)
        data = _ROBUST**2 * np.log(robust).sum(-1)
        anatomy = (strain * strain * problem.pull + outside * outside * _LIMIT_WEIGHT).sum((1, 2))
        tilt = problem.upright * (1 - R[:, 0, 1, 1] ** 2)
        gone = (_depths(points, shift) - problem.depth) * problem.depth_hold
        of_time = ((turned * problem.hold) ** 2).sum((1, 2)) + (gone * gone).sum(1)
        energy = data + anatomy + tilt + of_time
        return _Point(R, shift, G, points, errors, robust, chart, strain, outside, turned, gone, energy, of_time)

    def _step(self, point: _Point, problem: _Problem, damping: Array64) -> Array64:
        """The damped step (P, 66): 20 right increments of the rotations, then the two translations."""
        weight = np.sqrt(1 / point.robust)[..., None]
        rows, nearer = self._rows(point.G, point.points, problem.observation, weight)
        rows_T = np.swapaxes(rows, -1, -2)
        H, g = rows_T @ rows, (rows_T @ (point.errors * weight).reshape(len(rows), -1, 1))[..., 0]
        nearer *= problem.depth_hold[..., None]
        nearer_T = np.swapaxes(nearer, -1, -2)
        H += nearer_T @ nearer
        g += (nearer_T @ point.gone[..., None])[..., 0]
        turns = g[:, :_NUM_TURNS].reshape(-1, _NUM_FREE, 3)  # views: what follows is written into H and g
        square = H[:, :_NUM_TURNS, :_NUM_TURNS].reshape(-1, _NUM_FREE, 3, _NUM_FREE, 3)
        blocks, diagonal = np.einsum("pijik->pijk", square), np.einsum("pii->pi", H)
        self._add_anatomy(blocks[:, 1:], turns[:, 1:], point, problem.pull)
        _add_upright(blocks[:, 0], turns[:, 0], point.R[:, 0], problem.upright)
        stay = problem.hold**2
        diagonal[:, :_NUM_TURNS] += np.repeat(stay[..., 0], 3, axis=-1)
        turns += stay * point.turned
        diagonal += damping[:, None] * diagonal + 1e-6
        return -np.linalg.solve(H, g[..., None])[..., 0]

    def _rows(
        self, G: Array64, points: Array64, observation: Observation, weight: Array64 | float = 1.0
    ) -> tuple[Array64, Array64]:
        """Errors (P, 190, 66) and the anchors' depths (P, 3, 66) m by right increments of the free joints and by the
        translations; the errors' rows of five weighted by ``weight`` (P, 38, 1).

        A joint's increment about its axis a moves a point by a x (point - joint): linear in the point's coordinates.
        """
        count = len(G)
        axes = G[:, FREE_JOINTS].transpose(0, 2, 1, 3).reshape(count, 3, _NUM_TURNS)
        joints = np.repeat(points[:, FREE_JOINTS], 3, axis=1).transpose(0, 2, 1)
        moves = np.empty((count, 4, 3, _NUM_TURNS))  # of a point's x, y, z and 1
        moves[:, :3] = (_TURN_MATRICES @ axes).reshape(count, 3, 3, _NUM_TURNS)
        moves[:, 3] = -(moves[:, :3] * joints[:, :, None]).sum(1)
        landmarks = np.ones((count, NUM_POINTS, 4))
        landmarks[..., :3] = points[:, NUM_JOINTS:]
        moved = (landmarks @ moves.reshape(count, 4, -1)).reshape(count, NUM_POINTS, 3, _NUM_TURNS)
        moved *= self._moves
        rows = np.zeros((count, NUM_POINTS, 5, _NUM_TURNS + 6))
        np.multiply(moved, _WORLD_WEIGHT, out=rows[:, :, :3, :_NUM_TURNS])
        rows[:, :, :3, -6:-3] = _WORLD_WEIGHT * np.eye(3)
        across = moved[:, :, :2] + observation.rays[..., None] * moved[:, :, 2:]
        np.multiply(across, _RAY_WEIGHT, out=rows[:, :, 3:, :_NUM_TURNS])
        rows[:, :, 3:, -3:-1] = _RAY_WEIGHT * np.eye(2)
        rows[:, :, 3:, -1] = _RAY_WEIGHT * observation.rays
        depth = np.zeros((count, len(ANCHORS), _NUM_TURNS + 6))
        depth[..., :_NUM_TURNS] = -ANCHORS @ moved[:, :, 2]
        depth[..., -1] = -1
        rows = (observation.mix * weight) @ rows.reshape(count, NUM_POINTS, -1)
        return rows.reshape(count, -1, _NUM_TURNS + 6), depth

    def _add_anatomy(self, blocks: Array64, gradient: Array64, point: _Point, pull: Array64) -> None:
        """Limits and neutral pose, in each joint's chart: (P, 19, 3, 3) and (P, 19, 3) are added to."""
        weight = pull + (point.outside != 0) * _LIMIT_WEIGHT
        force = point.strain * pull + point.outside * _LIMIT_WEIGHT
        J = self.limits.chart_jacobian(point.chart)
        J_T = np.swapaxes(J, -1, -2)
        blocks += J_T @ (weight[..., None] * J)
        gradient += (J_T @ force[..., None])[..., 0]


def _depths(points: Array64, shift: Array64) -> Array64:
    """How far before the camera the anchors of bodies (P, 57, 3) at their translations (P, 6) are, (P, 3) m."""
    return -(points[:, NUM_JOINTS:, 2] @ ANCHORS.T) - shift[:, 5:]


def _errors(points: Array64, shift: Array64, observation: Observation) -> Array64:
    """Errors (P, 38, 5) of posed bodies (P, 57, 3) at their translations (P, 6)."""
    landmarks = points[:, NUM_JOINTS:]
    errors = np.empty((*landmarks.shape[:2], 5))
    np.multiply(landmarks - observation.world + shift[:, None, :3], _WORLD_WEIGHT, out=errors[..., :3])
    placed = (landmarks + shift[:, None, 3:]) * _RAY_WEIGHT
    np.add(placed[..., :2], observation.rays * placed[..., 2:], out=errors[..., 3:])
    return observation.mix @ errors


def _moved(point: _Point, delta: Array64) -> tuple[Array64, Array64]:
    """Poses and translations after a step; no joint turns more than the ceiling at once."""
    turn = delta[:, :_NUM_TURNS].reshape(-1, _NUM_FREE, 3)
    length = np.sqrt((turn * turn).sum(-1, keepdims=True))
    R = point.R.copy()
    R[:, FREE_JOINTS] = R[:, FREE_JOINTS] @ fast_exp(turn * np.minimum(1.0, _MAX_STEP / np.maximum(length, 1e-9)))
    return R, point.shift + delta[:, _NUM_TURNS:]


def _add_upright(blocks: Array64, gradient: Array64, R_root: Array64, weight: Array64) -> None:
    """Residual: x and z of the world's up direction in the pelvis' frame, zero when the pelvis stands upright.

    Added to (P, 3, 3) and (P, 3).
    """
    up = R_root[:, 1]  # R^T e_y
    J = cross_matrix(up)[:, ::2]  # of x and z by a right increment: up x increment
    J_T = np.swapaxes(J, -1, -2) * weight[:, None, None]
    blocks += J_T @ J
    gradient += (J_T @ up[:, ::2, None])[..., 0]
