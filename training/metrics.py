"""Error measures of poses, in NumPy, any leading batch dimensions. Positions in metres, angles in degrees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import geodesic_angle

Array = NDArray[np.floating]


def procrustes(source: Array, target: Array, valid: NDArray[np.bool_] | None = None) -> Array:
    """The similarity transform of ``source`` (..., n, 3) that fits ``target`` (..., n, 3) best in least squares.

    Args:
        source: points to move.
        target: points to reach.
        valid: (..., n) which points take part in the fit; all when not given. At least three are needed.

    Returns:
        All source points (..., n, 3), moved; those that did not take part too.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    weight = np.ones(source.shape[:-1]) if valid is None else np.asarray(valid, np.float64)
    weight = np.broadcast_to(weight, np.broadcast_shapes(weight.shape, source.shape[:-1], target.shape[:-1]))[..., None]
    total = np.maximum(weight.sum(-2, keepdims=True), 1e-12)
    mean_source = (weight * np.where(weight > 0, source, 0.0)).sum(-2, keepdims=True) / total
    mean_target = (weight * np.where(weight > 0, target, 0.0)).sum(-2, keepdims=True) / total
    a = np.where(weight > 0, source - mean_source, 0.0)
    b = np.where(weight > 0, target - mean_target, 0.0)
    U, S, Vt = np.linalg.svd(np.swapaxes(b, -1, -2) @ a)
    S[..., 2] *= np.sign(np.linalg.det(U @ Vt))
    U[..., :, 2] *= np.sign(np.linalg.det(U @ Vt))[..., None]
    scale = S.sum(-1) / np.maximum((a**2).sum((-2, -1)), 1e-12)
    return scale[..., None, None] * (source - mean_source) @ np.swapaxes(U @ Vt, -1, -2) + mean_target


def mpjpe(predicted: Array, true: Array, valid: NDArray[np.bool_] | None = None) -> Array:
    """Mean distance of points (..., n, 3) m per frame (...,) m; NaN for a frame without valid points."""
    distance = np.linalg.norm(np.asarray(predicted, np.float64) - true, axis=-1)
    return distance.mean(-1) if valid is None else _masked_mean(distance, valid)


def pa_mpjpe(predicted: Array, true: Array, valid: NDArray[np.bool_] | None = None) -> Array:
    """Mean distance per frame (...,) m after the best similarity transform of each frame's prediction (..., n, 3)."""
    return mpjpe(procrustes(predicted, true, valid), true, valid)


def acceleration(points: Array, dt: float) -> Array:
    """Mean size of the acceleration of points (T, n, 3) m over a clip, m/s²; frames are ``dt`` s apart."""
    second = points[2:] - 2 * points[1:-1] + points[:-2]
    return np.linalg.norm(second, axis=-1).mean() / dt**2


def acceleration_error(predicted: Array, true: Array, dt: float) -> Array:
    """Mean size of the difference of accelerations of points (T, n, 3) m, m/s²."""
    return acceleration(np.asarray(predicted, np.float64) - true, dt)


def rotation_error(predicted: Array, true: Array) -> Array:
    """Geodesic angle between rotations (..., 3, 3), degrees."""
    return np.degrees(geodesic_angle(np.asarray(predicted, np.float64), np.asarray(true, np.float64)))


def heading_error(predicted: Array, true: Array) -> Array:
    """Angle about the vertical (+Y) between the directions that two root rotations (..., 3, 3) face, degrees."""
    angles = [np.arctan2(R[..., 0, 2], R[..., 2, 2]) for R in (np.asarray(predicted), np.asarray(true))]
    difference = angles[0] - angles[1]
    return np.degrees(np.abs(np.arctan2(np.sin(difference), np.cos(difference))))


def _masked_mean(values: Array, valid: NDArray[np.bool_]) -> Array:
    count = valid.sum(-1)
    total = np.where(valid, values, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
