"""One person's shape and marker places, found once from frames spread over all their recordings.

Betas, marker offsets and the poses of all frames go downhill together. Poses are eliminated frame by frame (Schur
complement), so a step solves one small dense system for what the frames share. Markers on shoes leave the feet's pitch
open; it is set afterwards, by feet that stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT
from training.marker_model import MarkerModel
from training.marker_solver import (
    Observation,
    Point,
    Settings,
    evaluate,
    first_poses,
    fit_poses,
    moved,
    normal_equations,
)

Float = NDArray[np.float64]
Tensor = torch.Tensor

_SURFACE_SIGMA = 0.004  # m, of a marker's height above the skin about its radius
_SHARE = 0.1  # weight of the priors per frame: what frames disagree on is not noise that averages out
_ROBUST = (10.0, 5.0, 3.0, 3.0)  # of each round
_STEPS = 6  # of each round
_NO_STIFFNESS = torch.zeros(69, dtype=torch.float64)
_STANDS = 0.02  # m over its own lowest heights (10th percentile): a foot with all markers below that stands
_ENOUGH_STANDING = 5  # frames


@dataclass(frozen=True)
class Subject:
    """A person with markers on."""

    betas: Float  # (10,) the open body's
    offset: Float  # (M, 3) m, markers from their protocol vertices in the rest pose


def fit_subject(model: MarkerModel, points: Float) -> Subject:
    """Shape and marker places from frames (T, M, 3) m with NaN, in any order."""
    seen = Observation.create(points, model.markers.sigma)
    subject = Subject(np.zeros(10), model.protocol_offset())
    R, root = start(model, subject, points)
    for robust in _ROBUST:
        rig = model.rig(subject.betas, subject.offset)
        point = fit_poses(rig, seen, R, root, Settings(steps=20, robust=robust))
        prior = _prior(model, subject, len(points))
        for _ in range(_STEPS):
            subject, point = _joint_step(model, subject, point, seen, prior, robust)
        R, root = point.R, point.root
    return _with_level_feet(model, subject, point, points)


def _with_level_feet(model: MarkerModel, subject: Subject, point: Point, points: Float) -> Subject:
    """Each foot's markers turned about its ankle so that the soles are level in frames (T, M, 3) where the foot stands.

    The fitted ankle turns the other way by as much, and the markers stay where they are in the world.
    """
    rest = model.skin.shaped(subject.betas)[model.place] + subject.offset
    joints = (model.joints + model.joint_directions @ torch.from_numpy(subject.betas)).numpy()
    offset = subject.offset.copy()
    for side in ("left", "right"):
        ankle = JOINT[f"{side}_ankle"]
        foot = np.flatnonzero(model.markers.moves_with[:, [ankle, JOINT[f"{side}_foot"]]].sum(1) > 0.9)
        stands = _standing(points[:, foot, 1])
        if len(foot) >= 3 and stands.sum() >= _ENOUGH_STANDING:
            up = np.median(point.posed.G[:, ankle].numpy()[stands, 1], axis=0)  # the world's up as the ankle sees it
            arm = rest[foot] - joints[ankle]
            offset[foot] += arm @ _turn_to_up(up).T - arm
    return Subject(subject.betas, offset)


def _standing(heights: Float) -> NDArray[np.bool_]:
    """Frames (T,) in which all markers of a foot are low, from their heights (T, m)."""
    lowest = [np.quantile(seen[np.isfinite(seen)], 0.1) if np.isfinite(seen).any() else np.nan for seen in heights.T]
    return (heights < np.array(lowest) + _STANDS).all(1)


def _turn_to_up(up: Float) -> Float:
    """The least rotation (3, 3) that brings the direction ``up`` (3,) to +Y."""
    up = up / np.linalg.norm(up)
    axis = np.cross(up, (0.0, 1.0, 0.0))
    sine = np.linalg.norm(axis)
    return axis_angle_to_matrix(axis * (np.arctan2(sine, up[1]) / max(sine, 1e-12)))


def start(model: MarkerModel, subject: Subject, points: Float) -> tuple[Tensor, Tensor]:
    """Poses to begin with for frames (T, M, 3)."""
    rig = model.rig(subject.betas, subject.offset)
    rest = model.skin.shaped(subject.betas)[model.place] + subject.offset
    trunk = model.markers.moves_with[:, [0, 3, 6, 9]].sum(1) > 0.9
    return first_poses(rig, rest, trunk, points)


@dataclass(frozen=True)
class _Prior:
    """Rows of linear residuals in (betas, offsets), in their spreads."""

    rows: Tensor  # (K, 10 + 3 M)
    constant: Tensor  # (K,)


def _prior(model: MarkerModel, subject: Subject, count: int) -> _Prior:
    """Betas of a standard population; markers near their protocol places and a radius above the nearest skin."""
    markers, number = model.markers, len(model.place)
    shaped, normals = model.skin.shaped(subject.betas), model.skin.normals(subject.betas)
    nearest = cKDTree(shaped).query(shaped[model.place] + subject.offset)[1]
    rows = np.zeros((10 + 4 * number, 10 + 3 * number))
    constant = np.zeros(len(rows))
    rows[:10, :10] = np.eye(10)
    rows[10 : 10 + 3 * number, 10:] = np.diag(np.repeat(1 / markers.spread, 3))
    constant[10 : 10 + 3 * number] = -(model.protocol_offset() / markers.spread[:, None]).ravel()
    n = normals[nearest]
    base = model.skin.vertices[model.place] - model.skin.vertices[nearest]
    directions = model.skin.directions[model.place] - model.skin.directions[nearest]
    height = rows[10 + 3 * number :]
    height[:, :10] = np.einsum("mi,mij->mj", n, directions)
    for index in range(number):
        height[index, 10 + 3 * index : 13 + 3 * index] = n[index]
    constant[10 + 3 * number :] = np.einsum("mi,mi->m", n, base) - markers.radius
    rows[10 + 3 * number :] /= _SURFACE_SIGMA
    constant[10 + 3 * number :] /= _SURFACE_SIGMA
    weight = np.sqrt(_SHARE * count)
    return _Prior(torch.from_numpy(weight * rows), torch.from_numpy(weight * constant))


def _joint_step(
    model: MarkerModel, subject: Subject, point: Point, seen: Observation, prior: _Prior, robust: float
) -> tuple[Subject, Point]:
    """One Gauss-Newton step of shape, places and poses; halved until the energy falls."""
    rig = model.rig(subject.betas, subject.offset)
    H, g = normal_equations(rig, seen, point)
    H = H + torch.diag_embed(1e-4 * torch.diagonal(H, dim1=1, dim2=2) + 1e-6)
    weight = (point.robust.sqrt() * seen.weight).repeat_interleave(3, 1)[..., None]
    shape_rows = rig.shape_jacobian(point.posed, model) * weight
    errors = (point.errors * point.robust.sqrt()[..., None]).flatten(1)[..., None]
    crossed = (rig.jacobian(point.posed) * weight).transpose(1, 2) @ shape_rows  # (T, 69, S)
    solved = torch.linalg.solve(H, torch.cat([crossed, g[..., None]], -1))
    shape_T, crossed_T = shape_rows.transpose(1, 2), crossed.transpose(1, 2)
    A = (shape_T @ shape_rows).sum(0) - (crossed_T @ solved[..., :-1]).sum(0) + prior.rows.T @ prior.rows
    values = torch.from_numpy(np.concatenate([subject.betas, subject.offset.ravel()]))
    strain = prior.rows @ values + prior.constant
    b = (shape_T @ errors).sum((0, 2)) - (crossed_T @ solved[..., -1:]).sum((0, 2)) + prior.rows.T @ strain
    shape_step = -torch.linalg.solve(A, b)
    pose_step = -(solved[..., -1] + (solved[..., :-1] @ shape_step))
    energy = point.energy.sum() + strain.square().sum()
    for share in (1.0, 0.5, 0.25, 0.1):
        changed = (values + share * shape_step).numpy()
        trial = Subject(changed[:10], changed[10:].reshape(-1, 3))
        trial_rig = model.rig(trial.betas, trial.offset)
        posed = evaluate(trial_rig, seen, *moved(point, share * pose_step), robust, _NO_STIFFNESS)
        if posed.energy.sum() + (prior.rows @ torch.from_numpy(changed) + prior.constant).square().sum() < energy:
            return trial, posed
    return subject, point
