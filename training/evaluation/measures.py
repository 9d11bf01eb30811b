"""How far answers are from the truth: samples of every measure, frame by frame, and the figures of a whole set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch

from mocap.body.model import Body, load_body
from mocap.body.skeleton import global_rotations
from training.evaluation.track import Answer, Array, Mask, Points
from training.evaluation.truth import EXCHANGED, LIMB_JOINTS, TrueBody, Truth
from training.metrics import (
    derivative,
    exchange_gain,
    foot_skate,
    heading_error,
    lag_of,
    mean_of,
    pa_mpjpe,
    point_errors,
    rotation_error,
    velocity_correlation,
)

FLIP_MM = 30.0  # a frame is flipped if exchanging left and right of what was observed brings the error down by more
MOST_LAG = 5  # frames
HIDDEN = (0.0, 0.15, 0.3, 0.5, 1.0)  # borders between levels of occlusion, shares of the compared points
SPEED = (0.0, 0.5, 1.0, np.inf)  # m/s, borders between levels of the compared points' mean speed about the root
VERTEX_STEP = 20  # every 20th vertex stands for the mesh
_TOES = (31, 32)  # BlazePose's foot index points
_CHUNK = 256
_ENOUGH_CLIPS, _DRAWS = 5, 100

Samples = dict[str, Array]
Figures = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """Samples of every system on the same frames, and what the frames themselves are like.

    Attributes:
        frames: how many count: those in which every system says something.
        systems: by title, samples by measure; the first axis goes over frames (or pairs and triples of them), NaN where
            a frame does not count or the measure has no meaning.
        truth: acceleration and foot skate of the truth itself.
        dt: s between frames; None: they are unrelated.
    """

    frames: int
    systems: dict[str, Samples]
    truth: Samples
    dt: float | None


def measure(truth: Truth, answers: Mapping[str, Answer | Points]) -> Measured:
    """All measures of all systems on the frames in which all of them say something."""
    at = list(truth.compared)
    points = {name: answer.landmarks() for name, answer in answers.items()}
    use = truth.scored.copy()
    for landmarks in points.values():
        use &= np.isfinite(landmarks[:, at]).all((1, 2))
    flipped = flipped_frames(truth) & use
    systems = {
        name: {**of_points(truth, points[name], use, flipped), **of_pose(truth, answers[name], use)} for name in answers
    }
    for name, landmarks in points.items():
        systems[name]["answered"] = np.isfinite(landmarks[:, at]).all((1, 2))[truth.scored].astype(np.float64)
    itself = of_motion(truth, truth.points, use) if truth.dt else {}
    return Measured(int(use.sum()), systems, itself, truth.dt)


def join(parts: Sequence[Measured]) -> Measured:
    """Samples of several clips as one set."""
    names = parts[0].systems
    systems = {name: _joined([part.systems[name] for part in parts]) for name in names}
    return Measured(sum(part.frames for part in parts), systems, _joined([p.truth for p in parts]), parts[0].dt)


def figures(samples: Samples, dt: float | None) -> Figures:
    """Mean of each measure; ``NaN`` where there is no sample. Millimetres, degrees, m/s, m/s², m/s³, frames, shares."""
    found = {name: mean_of(value) for name, value in samples.items() if value.ndim == 1}
    for axis, name in enumerate(("dx", "dy", "dz")):
        found[name] = mean_of(samples["axes"][:, axis])
    found["image_plane"] = mean_of(np.linalg.norm(samples["axes"][:, :2], axis=-1))
    if "correlation" in samples:
        found["lag_frames"] = lag_of(samples["correlation"].sum(0))
        found["lag_ms"] = 1e3 * found["lag_frames"] * (dt or float("nan"))
        found["lag_spread"] = _spread_of_lag(samples["correlation"])
    for low, high in pairwise(HIDDEN):
        level = (samples["hidden"] >= low) & (samples["hidden"] < high + (high == 1.0))
        found[hidden_title(low, high)] = mean_of(samples["pa_mpjpe"][level])
    for low, high in pairwise(SPEED) if "speed" in samples else ():
        level = (samples["speed"] >= low) & (samples["speed"] < high)
        found[speed_title(low)] = mean_of(samples["pa_mpjpe"][level])
    found["flipped_frames"] = float(np.isfinite(samples["mended"]).sum())
    return found


def per_point(samples: Samples) -> dict[str, list[float]]:
    """Mean error (33,) mm of each of BlazePose's points, aligned and not; NaN for those that are not compared. Where
    rotations are known, those of SMPL's joints (24,), against the parent and in the world, degrees."""
    names = [name for name in ("points_pa", "points", "local_deg", "global_deg") if name in samples]
    return {name: [mean_of(column) for column in samples[name].T] for name in names}


def hidden_title(low: float, high: float) -> str:
    """Name of a level of occlusion."""
    return f"pa_hidden_{100 * low:.0f}_{100 * high:.0f}"


def speed_title(low: float) -> str:
    """Name of a level of speed, by its lower border in m/s."""
    return f"pa_speed_{low:g}"


def flipped_frames(truth: Truth) -> Mask:
    """(T,) frames in which the landmark network exchanged left and right."""
    at = list(truth.compared)
    valid = _valid(truth)
    gain = exchange_gain(_filled(truth.observed[:, at]), truth.points[:, at], _exchanged(truth), valid)
    return np.asarray((1e3 * gain > FLIP_MM) & np.isfinite(truth.observed[:, at]).all((1, 2)))


def of_points(truth: Truth, landmarks: Array, use: Mask, flipped: Mask) -> Samples:
    """Measures of BlazePose's points (T, 33, 3) m."""
    at, valid = list(truth.compared), _valid(truth)
    predicted, true = _filled(landmarks[:, at]), truth.points[:, at]
    errors = 1e3 * point_errors(predicted, true, valid)
    offset = 1e3 * (_rooted(truth, landmarks) - _rooted(truth, truth.points))[:, at]
    twisted = exchange_gain(predicted, true, _exchanged(truth), valid)
    samples = {
        "pa_mpjpe": 1e3 * pa_mpjpe(predicted, true, valid),
        "mpjpe": _mean(np.linalg.norm(offset, axis=-1)),
        "axes": np.stack([_mean(np.abs(offset[..., axis])) for axis in range(3)], -1),
        "points_pa": _spread(truth, errors),
        "points": _spread(truth, np.linalg.norm(offset, axis=-1)),
        "mended": np.where(flipped, (twisted < 0).astype(float), np.nan),
        "hidden": truth.hidden,
    }
    if np.isfinite(truth.points).all():
        samples["landmarks_pa"] = 1e3 * pa_mpjpe(_filled(landmarks), truth.points)
    samples = {name: _where(use, value) for name, value in samples.items()}
    if truth.dt:
        samples |= of_motion(truth, landmarks, use)
    return samples


def of_motion(truth: Truth, landmarks: Array, use: Mask) -> Samples:
    """Measures over time of root-aligned points (T, 33, 3) m."""
    assert truth.dt is not None
    at, dt = list(truth.compared), truth.dt
    moving, true = (_where(use, _rooted(truth, points)[:, at]) for points in (landmarks, truth.points))
    samples = {
        "acceleration": _mean(_size(derivative(moving, dt, 2))),
        "acceleration_error": _mean(_size(derivative(moving - true, dt, 2))),
        "jitter": _mean(_size(derivative(moving, dt, 3))),
        "correlation": velocity_correlation(moving, true, MOST_LAG)[None],
        "speed": np.append(np.nan, _mean(_size(derivative(true, dt, 1)))),
    }
    if truth.body is not None:
        feet = _where(use, _rooted(truth, landmarks))[:, list(_TOES)] + truth.points[:, list(truth.root)].mean(
            1, keepdims=True
        )
        in_world = (truth.body.R_world_camera[:, None] @ feet[..., None])[..., 0]
        samples["foot_skate"] = _mean(foot_skate(in_world, truth.body.planted, dt))
    return samples


def of_pose(truth: Truth, answer: Answer | Points, use: Mask) -> Samples:
    """Measures of rotations and shape, where the truth knows them."""
    body = truth.body
    if body is None or isinstance(answer, Points):
        return {}
    joints, true = answer.joints(), body.p_camera_joint - body.p_camera_joint[:, :1]
    R, R_true = body.in_world(answer.R_parent_joint), body.in_world(body.R_parent_joint)
    local, world = rotation_error(R, R_true), rotation_error(global_rotations(R), global_rotations(R_true))
    samples = {
        "joints_pa": 1e3 * pa_mpjpe(_filled(joints), true),
        "joints_mpjpe": 1e3 * np.linalg.norm(joints - true, axis=-1).mean(-1),
        "pve": vertex_errors(answer, body, use),
        "limbs_local_deg": local[:, LIMB_JOINTS].mean(-1),
        "limbs_global_deg": world[:, LIMB_JOINTS].mean(-1),
        "local_deg": local,
        "global_deg": world,
        "heading_deg": heading_error(R[:, 0], R_true[:, 0]),
    }
    return {name: _where(use, value) for name, value in samples.items()}


@torch.no_grad()
def vertex_errors(answer: Answer, truth: TrueBody, use: Mask) -> Array:
    """Mean distance (T,) mm of every 20th vertex of the open body, pelvis on pelvis, in camera axes."""
    body = _body()
    at = torch.arange(0, body.num_vertices, VERTEX_STEP)
    errors = np.full(len(use), np.nan)
    for rows in np.array_split(np.flatnonzero(use), -(-int(use.sum()) // _CHUNK) or 1):
        if len(rows):
            here, there = (
                body.vertices(torch.from_numpy(R[rows]).float(), torch.zeros(len(rows), 3),
                              torch.from_numpy(betas[rows]).float(), at=at)
                for R, betas in ((answer.R_parent_joint, answer.betas), (truth.R_parent_joint, truth.betas))
            )  # fmt: skip
            errors[rows] = 1e3 * (here - there).norm(dim=-1).mean(-1).double().numpy()
    return errors


@lru_cache(maxsize=1)
def _body() -> Body:
    return load_body()


def _joined(parts: Sequence[Samples]) -> Samples:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spread_of_lag(sums: Array) -> float:
    """Standard error of the lag, frames: how it scatters over draws of clips, of their sums (clips, shifts, 3)."""
    if len(sums) < _ENOUGH_CLIPS:
        return float("nan")
    draws = np.random.default_rng(0).integers(len(sums), size=(_DRAWS, len(sums)))
    lags = np.array([lag_of(sums[draw].sum(0)) for draw in draws])
    return float(np.nanstd(lags)) if np.isfinite(lags).mean() > 0.5 else float("nan")


def _valid(truth: Truth) -> Mask:
    """(T, n) compared points whose truth is known."""
    return np.isfinite(truth.points[:, list(truth.compared)]).all(-1)


def _exchanged(truth: Truth) -> np.ndarray:
    """(n,) place of each compared point's twin among them; its own where the twin is not compared."""
    places = {index: place for place, index in enumerate(truth.compared)}
    return np.array([places.get(int(EXCHANGED[index]), place) for place, index in enumerate(truth.compared)])


def _rooted(truth: Truth, landmarks: Array) -> Array:
    """Points (T, 33, 3) with the middle of the two root points at 0."""
    return landmarks - landmarks[:, list(truth.root)].mean(1, keepdims=True)


def _spread(truth: Truth, values: Array) -> Array:
    """(T, n) of the compared points -> (T, 33), NaN at the others."""
    spread = np.full((len(values), len(EXCHANGED)), np.nan)
    spread[:, list(truth.compared)] = values
    return spread


def _where(use: Mask, values: Array) -> Array:
    return np.where(use.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)


def _filled(values: Array) -> Array:
    """0 where it is not finite: an alignment cannot be computed there, and the frame is masked later."""
    return np.where(np.isfinite(values), values, 0.0)


def _size(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=-1))


def _mean(values: Array) -> Array:
    """Over the last axis, of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(-1)
    return np.where(known.any(-1), total / np.maximum(known.sum(-1), 1), np.nan)
