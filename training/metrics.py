"""Error measures of poses, in NumPy, any leading batch dimensions. Positions in metres, angles in degrees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import geodesic_angle

Array = NDArray[np.floating]
LEAST_CORRELATION = 0.1  # of velocities, for a lag


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


def point_errors(predicted: Array, true: Array, valid: NDArray[np.bool_] | None = None) -> Array:
    """Distance of each point (..., n, 3) m after each frame's best similarity transform, (..., n) m; NaN where not
    valid."""
    distance = np.linalg.norm(procrustes(predicted, true, valid) - true, axis=-1)
    return distance if valid is None else np.where(valid, distance, np.nan)


def derivative(points: Array, dt: float, order: int) -> Array:
    """Of points (T, n, 3) m by time, by differences of neighbouring frames: (T - order, n, 3) m/s^order."""
    return np.diff(np.asarray(points, np.float64), order, axis=0) / dt**order


def accelerations(points: Array, dt: float) -> Array:
    """Size of the acceleration of each point (T, n, 3) m, (T - 2, n) m/s²; frames are ``dt`` s apart. With 1 in the
    place of ``dt`` it is per frame², as papers give it."""
    return np.asarray(np.linalg.norm(derivative(points, dt, 2), axis=-1))


def acceleration(points: Array, dt: float) -> float:
    """Mean size of the acceleration of points (T, n, 3) m over a clip, m/s²; frames are ``dt`` s apart."""
    return mean_of(accelerations(points, dt))


def acceleration_error(predicted: Array, true: Array, dt: float) -> float:
    """Mean size of the difference of accelerations of points (T, n, 3) m, m/s²."""
    return acceleration(np.asarray(predicted, np.float64) - true, dt)


def jitter(points: Array, dt: float) -> float:
    """Mean size of the jerk (third derivative) of points (T, n, 3) m over a clip, m/s³."""
    return mean_of(np.linalg.norm(derivative(points, dt, 3), axis=-1))


def foot_skate(feet: Array, planted: NDArray[np.bool_], dt: float) -> Array:
    """Horizontal speed (T - 1, n) m/s of feet (T, n, 3) m, +Y up, from one frame to the next; NaN where the foot does
    not stand in both, ``planted`` (T, n)."""
    speed = np.linalg.norm(derivative(feet, dt, 1)[..., [0, 2]], axis=-1)
    return np.where(planted[1:] & planted[:-1], speed, np.nan)


def exchange_gain(
    points: Array, true: Array, exchanged: NDArray[np.integer], valid: NDArray[np.bool_] | None = None
) -> Array:
    """By how much PA-MPJPE falls (...,) m when left and right of the points (..., n, 3) are exchanged: positive where
    somebody is seen the wrong way round.

    Args:
        points: all of them, of both sides.
        true: of the same points.
        exchanged: (n,) the index of each point's twin on the other side; its own where it has none.
        valid: (..., n) as in :func:`procrustes`.
    """
    return pa_mpjpe(points, true, valid) - pa_mpjpe(np.asarray(points)[..., exchanged, :], true, valid)


def velocity_correlation(predicted: Array, true: Array, most: int) -> NDArray[np.float64]:
    """How alike the velocities of points (T, n, 3) are when one clip is shifted against the other.

    Positions that are NaN do not take part. Sums of clips may be added up before :func:`lag_of` reads them.

    Returns:
        (2 most + 1, 3) for shifts from -most to most frames: the sum of products of true velocities with those that
        were predicted so many frames later, and the sums of squares of either.
    """
    v, u = (
        np.diff(np.asarray(points, np.float64), axis=0).reshape(len(points) - 1, -1) for points in (predicted, true)
    )
    sums = np.zeros((2 * most + 1, 3))
    inner = len(v) - 2 * most  # the same true frames for every shift, so that no shift has easier ones
    if inner < 1:
        return sums
    b = u[most : most + inner]
    everywhere = np.isfinite(b)
    for start in range(2 * most + 1):
        everywhere = everywhere & np.isfinite(v[start : start + inner])
    b = np.where(everywhere, b, 0.0)
    for start in range(2 * most + 1):
        a = np.where(everywhere, v[start : start + inner], 0.0)
        sums[start] = (a * b).sum(), (a * a).sum(), (b * b).sum()
    return sums


def lag_of(sums: NDArray[np.float64]) -> float:
    """By how many frames the prediction comes late: the peak of the correlation, by a parabola through its three
    highest values. NaN where nothing moves, where the peak is at the border, and where it is below 0.1: such velocities
    do not resemble each other, and the peak is where chance puts it."""
    power = sums[:, 1] * sums[:, 2]
    if not (power > 0).all():
        return float("nan")
    correlation = sums[:, 0] / np.sqrt(power)
    peak = int(np.argmax(correlation))
    if not 0 < peak < len(sums) - 1 or correlation[peak] < LEAST_CORRELATION:
        return float("nan")
    before, at, after = correlation[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(peak - len(sums) // 2 + shift)


def mean_of(values: Array) -> float:
    """Mean of those that are not NaN; NaN where there is none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else float("nan")


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
