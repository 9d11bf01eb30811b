"""Poses from optical markers: damped Gauss-Newton steps, all frames of a recording at once.

Energy of a recording, over the increments of 22 rotations and of the root in each frame:

    sum over markers of c² log(1 + |x - y|² / (sigma c)²)    Cauchy, so that a swapped marker pulls little
    + pull towards each joint's neutral pose, and soft limits (mocap.body.joint_limits)
    + |angular acceleration|² and |root acceleration|²        which also bridges dropouts

The steps of all frames are coupled by the accelerations only; that system is solved by conjugate gradients whose
preconditioner is the Cholesky factor of each frame's own block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mocap.body.joint_limits import joint_limits
from mocap.body.rotation_vectors import fast_exp, fast_log, inverse_right_jacobian
from mocap.body.skeleton import JOINT
from training.datasets.motion import NUM_BODY_JOINTS
from training.marker_model import Posed, Rig

Float = NDArray[np.float64]
Tensor = torch.Tensor

_TURNS = 3 * NUM_BODY_JOINTS
_LIMITS = joint_limits()
_JOINTS = _LIMITS.joints  # the 19 that have a range
_PULL = 0.25 / _LIMITS.spread[_JOINTS] ** 2  # 1/rad², towards neutral
_LIMIT_WEIGHT = 1 / 0.1**2  # 1/rad² beyond a limit
_TOES = [JOINT["left_foot"], JOINT["right_foot"]]
_TOE_PULL = 1 / np.array([0.3, 0.07, 0.07]) ** 2  # 1/rad², towards straight toes, which only bend
_MAX_TURN = 0.7  # rad in one step
_CHUNK = 128  # frames whose Jacobian is held at once


@dataclass(frozen=True)
class Settings:
    """How one descent goes."""

    steps: int
    robust: float  # c of the energy, in sigmas
    turn_acceleration: float = 0.0  # rad/frame², spread of the angular acceleration; 0 leaves frames independent
    root_acceleration: float = 0.1  # m/frame²
    enough: float = 1e-4  # a step that gains a smaller share of the energy is the last


@dataclass(frozen=True)
class Observation:
    """What was recorded."""

    points: Tensor  # (T, M, 3) m, 0 where not seen
    weight: Tensor  # (T, M) 1/m, inverse sigma; 0 where not seen

    @staticmethod
    def create(points: Float, sigma: Float) -> Observation:
        """From markers (T, M, 3) with NaN where not seen, and each marker's sigma (M,)."""
        seen = np.isfinite(points).all(-1)
        return Observation(torch.from_numpy(np.where(seen[..., None], points, 0.0)), torch.from_numpy(seen / sigma))


@dataclass(frozen=True)
class Point:
    """Poses with what both their energy and its derivative need."""

    R: Tensor  # (T, 22, 3, 3)
    root: Tensor  # (T, 3) m
    posed: Posed
    errors: Tensor  # (T, M, 3) in sigmas
    robust: Tensor  # (T, M) weights in (0, 1]
    chart: Float  # (T, 19, 3) rad
    toes: Float  # (T, 2, 3) rad
    bend: Tensor | None  # (T - 2, 69) accelerations
    energy: Tensor  # (T,) each frame's own
    energy_of_time: Tensor  # () of the accelerations


def fit_poses(rig: Rig, seen: Observation, R: Tensor, root: Tensor, settings: Settings) -> Point:
    """Go downhill from rotations (T, 22, 3, 3) and pelvis (T, 3) m."""
    coupled = settings.turn_acceleration > 0 and len(R) > 2
    stiffness = torch.full((_TURNS + 3,), settings.turn_acceleration**-2 if coupled else 0.0, dtype=torch.float64)
    stiffness[_TURNS:] = settings.root_acceleration**-2 if coupled else 0.0
    point = evaluate(rig, seen, R, root, settings.robust, stiffness)
    damping = torch.full((len(R),), 1e-3, dtype=torch.float64)
    for _ in range(settings.steps):
        H, g = normal_equations(rig, seen, point)
        step = _solve(H, g, point, damping, stiffness)
        trial = evaluate(rig, seen, *moved(point, step), settings.robust, stiffness)
        gain = (point.energy - trial.energy, point.energy_of_time - trial.energy_of_time)
        if coupled:
            better = torch.full_like(damping, float(gain[0].sum() + gain[1])) >= 0
            total, gained = point.energy.sum() + point.energy_of_time, gain[0].sum() + gain[1]
        else:
            better, total, gained = gain[0] >= 0, point.energy.sum(), gain[0].clamp(min=0).sum()
        damping = torch.where(better, damping / 4, damping * 10).clamp(1e-6, 1e6)
        if better.all():
            point = trial
        elif better.any():
            keep = better[:, None]
            point = evaluate(rig, seen, torch.where(keep[..., None, None], trial.R, point.R),
                             torch.where(keep, trial.root, point.root), settings.robust, stiffness)  # fmt: skip
        if bool(better.all()) and gained < settings.enough * total:
            break
    return point


def evaluate(rig: Rig, seen: Observation, R: Tensor, root: Tensor, robust: float, stiffness: Tensor) -> Point:
    """Energy at rotations (T, 22, 3, 3) and pelvis (T, 3)."""
    posed = rig.forward(R, root)
    errors = (posed.markers - seen.points) * seen.weight[..., None]
    excess = 1 + errors.square().sum(-1) / robust**2
    local = R.numpy()
    chart = _LIMITS.chart(local[:, _JOINTS])
    toes = fast_log(local[:, _TOES])
    strain, outside = _strain(chart)
    anatomy = (strain**2 * _PULL + outside**2 * _LIMIT_WEIGHT).sum((1, 2)) + (toes**2 * _TOE_PULL).sum((1, 2))
    energy = robust**2 * torch.log(excess).sum(1) + torch.from_numpy(anatomy)
    bend = _accelerations(local, root) if bool(stiffness.any()) else None
    of_time = (bend.square() * stiffness).sum() if bend is not None else torch.zeros((), dtype=torch.float64)
    return Point(R, root, posed, errors, 1 / excess, chart, toes, bend, energy, of_time)


def _strain(chart: Float) -> tuple[Float, Float]:
    """From the neutral pose, and beyond the limits, (T, 19, 3) rad each."""
    lower, upper = _LIMITS.lower[_JOINTS], _LIMITS.upper[_JOINTS]
    return chart - _LIMITS.neutral[_JOINTS], chart - np.clip(chart, lower, upper)


def _accelerations(R: Float, root: Tensor) -> Tensor:
    """Second differences (T - 2, 69) of the rotations, rad/frame², and of the root, m/frame².

    Turns between frames are small, so the descent takes their derivative by an increment to be the identity.
    """
    turns = fast_log(np.swapaxes(R[:-1], -1, -2) @ R[1:]).reshape(len(R) - 1, _TURNS)
    return torch.cat([torch.from_numpy(np.diff(turns, axis=0)), root.diff(n=2, dim=0)], 1)


def normal_equations(rig: Rig, seen: Observation, point: Point) -> tuple[Tensor, Tensor]:
    """Gauss-Newton matrices (T, 69, 69) and half gradients (T, 69) of each frame's own energy."""
    parts = [_of_markers(rig, seen, point, slice(i, i + _CHUNK)) for i in range(0, len(point.R), _CHUNK)]
    H, g = torch.cat([H for H, _ in parts]), torch.cat([g for _, g in parts])
    strain, outside = _strain(point.chart)
    J = _LIMITS.chart_jacobian(point.chart)
    J_T = np.swapaxes(J, -1, -2)
    blocks = torch.from_numpy(J_T @ ((_PULL + (outside != 0) * _LIMIT_WEIGHT)[..., None] * J))
    force = torch.from_numpy((J_T @ (strain * _PULL + outside * _LIMIT_WEIGHT)[..., None])[..., 0])
    for index, joint in enumerate(_JOINTS.tolist()):
        own = slice(3 * joint, 3 * joint + 3)
        H[:, own, own] += blocks[:, index]
        g[:, own] += force[:, index]
    J_toes = inverse_right_jacobian(point.toes)
    for index, joint in enumerate(_TOES):
        own = slice(3 * joint, 3 * joint + 3)
        J_T = np.swapaxes(J_toes[:, index], -1, -2)
        H[:, own, own] += torch.from_numpy((J_T * _TOE_PULL) @ J_toes[:, index])
        g[:, own] += torch.from_numpy((J_T @ (_TOE_PULL * point.toes[:, index])[..., None])[..., 0])
    return H, g


def _of_markers(rig: Rig, seen: Observation, point: Point, at: slice) -> tuple[Tensor, Tensor]:
    posed = Posed(point.posed.G[at], point.posed.joints[at], point.posed.copies[at], point.posed.markers[at])
    root_weight = point.robust[at].sqrt()
    rows = rig.jacobian(posed) * (root_weight * seen.weight[at]).repeat_interleave(3, 1)[..., None]
    errors = (point.errors[at] * root_weight[..., None]).flatten(1)
    rows_T = rows.transpose(1, 2)
    return rows_T @ rows, (rows_T @ errors[..., None])[..., 0]


def _solve(H: Tensor, g: Tensor, point: Point, damping: Tensor, stiffness: Tensor) -> Tensor:
    """The damped step (T, 69)."""
    extra = damping[:, None] * torch.diagonal(H, dim1=1, dim2=2) + 1e-6
    if point.bend is None:
        return -_cholesky_solve(torch.linalg.cholesky(H + torch.diag_embed(extra)), g)
    g = g + _spread_bend(stiffness * point.bend)
    weights = _spread_bend_diagonal(len(H))[:, None] * stiffness
    factor = torch.linalg.cholesky(H + torch.diag_embed(extra + weights))

    def multiply(x: Tensor) -> Tensor:
        return (H @ x[..., None])[..., 0] + extra * x + _spread_bend(stiffness * x.diff(n=2, dim=0))

    return -_conjugate_gradients(multiply, factor, g)


def _spread_bend(bend: Tensor) -> Tensor:
    """The transpose of second differences along the first axis: (T - 2, 69) -> (T, 69)."""
    out = torch.zeros(len(bend) + 2, bend.shape[1], dtype=bend.dtype)
    out[:-2] += bend
    out[1:-1] -= 2 * bend
    out[2:] += bend
    return out


def _spread_bend_diagonal(count: int) -> Tensor:
    """The diagonal (T,) of second differences' transpose times themselves."""
    return torch.from_numpy(np.convolve(np.ones(count - 2), [1.0, 4.0, 1.0]))


def _cholesky_solve(factor: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right[..., None], factor)[..., 0]


def _conjugate_gradients(
    multiply: Callable[[Tensor], Tensor], factor: Tensor, right: Tensor, most: int = 30, small: float = 1e-2
) -> Tensor:
    """A x = right to a relative residual ``small`` in the preconditioner's norm; the descent corrects the rest."""
    x, rest = torch.zeros_like(right), right
    z = _cholesky_solve(factor, rest)
    along, size = z, (rest * z).sum()
    first = size
    for _ in range(most):
        moved_along = multiply(along)
        length = size / (along * moved_along).sum()
        x, rest = x + length * along, rest - length * moved_along
        z = _cholesky_solve(factor, rest)
        size, before = (rest * z).sum(), size
        if size <= small**2 * first:
            break
        along = z + (size / before) * along
    return x


def moved(point: Point, step: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations and root after a step (T, 69); no joint turns more than a ceiling at once."""
    turn = step[:, :_TURNS].reshape(-1, NUM_BODY_JOINTS, 3)
    turn = turn * (_MAX_TURN / turn.norm(dim=-1, keepdim=True).clamp(min=1e-9)).clamp(max=1.0)
    return point.R @ torch.from_numpy(fast_exp(turn.numpy())), point.root + step[:, _TURNS:]


def first_poses(rig: Rig, rest: Float, trunk: NDArray[np.bool_], points: Float) -> tuple[Tensor, Tensor]:
    """A start for each frame (T, M, 3): the neutral pose, its trunk laid onto the trunk's markers (Kabsch).

    Args:
        rig: the body.
        rest: (M, 3) m, its markers in the rest pose.
        trunk: (M,) the markers that pelvis and chest carry.
        points: (T, M, 3) m with NaN.
    """
    count = len(points)
    R = np.tile(_LIMITS.R_neutral[:NUM_BODY_JOINTS], (count, 1, 1, 1))
    root = np.zeros((count, 3))
    good = np.isfinite(points).all(-1) & trunk
    able = np.flatnonzero(good.sum(1) >= 4)
    for frame in able:
        body, world = rest[good[frame]], points[frame, good[frame]]
        U, _, Vt = np.linalg.svd((body - body.mean(0)).T @ (world - world.mean(0)))
        flip = np.diag([1.0, 1.0, np.linalg.det(Vt.T @ U.T)])
        R[frame, 0] = Vt.T @ flip @ U.T
        pelvis = rig.bones[0].numpy()
        root[frame] = world.mean(0) + R[frame, 0] @ (pelvis - body.mean(0))
    if len(able):
        nearest = able[np.abs(np.arange(count)[:, None] - able).argmin(1)]
        R[:, 0], root = R[nearest, 0], root[nearest]
    return torch.from_numpy(R), torch.from_numpy(root)
