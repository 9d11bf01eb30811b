"""Where the body stands: root translation in closed form from a posed body, its 2D landmarks and the focal length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.types import Camera, Person

Float64 = NDArray[np.float64]

# How far each landmark is believed: joints of the trunk and legs more than the face (eleven points that are nearly
# one), wrists and fingers, whose 3D position is the least certain. Order of BlazePose's 33 landmarks.
LANDMARK_WEIGHTS: Float64 = np.array(
    [0.2, *[0.06] * 6, 0.15, 0.15, 0.06, 0.06]  # nose, eyes, ears, mouth
    + [1.0, 1.0, 0.5, 0.5, 0.3, 0.3]  # shoulders, elbows, wrists
    + [0.05] * 6  # fingers
    + [1.0, 1.0, 0.8, 0.8, 0.8, 0.8, 0.3, 0.3, 0.3, 0.3]  # hips, knees, ankles, heels, toes
)
_MIN_POINTS = 4
_MIN_VISIBILITY = 0.3
_MIN_SPREAD = 0.02  # weighted RMS extent over depth: below it the body is a dot and gives no scale
_OUTLIER_M = 0.06  # a landmark this far from its body point counts half
_ROUNDS = 2  # of reweighting
_DEPTH_RANGE_M = (0.2, 60.0)


def landmark_weights(person: Person, camera: Camera) -> Float64:
    """Weight of each landmark (33,): visibility times reliability; 0 where it is outside the picture or not finite."""
    xy = person.landmarks_px[:, :2]
    with np.errstate(invalid="ignore"):
        inside = ((xy >= 0) & (xy <= (camera.width, camera.height))).all(-1)
        seen = inside & (person.visibility >= _MIN_VISIBILITY)
    return np.where(seen, person.visibility * LANDMARK_WEIGHTS, 0.0)


def solve_root(points: Float64, landmarks_px: Float64, weights: Float64, camera: Camera) -> Float64 | None:
    """Translation that lays body points over their landmarks: weighted linear least squares, robustly reweighted.

    For every point ``x (Z + tz) = X + tx`` with ``x = (u - cx) / f``, and the same for y: linear in t.

    Args:
        points: (n, 3) m, camera axes, from the root (pelvis).
        landmarks_px: (n, 2) px.
        weights: (n,) 0 leaves a point out.
        camera: Its focal length and centre.

    Returns:
        The pelvis (3,) m in camera axes; None where the points do not fix it (too few, too small, behind the camera).
    """
    usable = (weights > 0) & np.isfinite(points).all(-1) & np.isfinite(landmarks_px).all(-1)
    if usable.sum() < _MIN_POINTS:
        return None
    points, weights = points[usable], weights[usable]
    rays = (landmarks_px[usable] - np.asarray(camera.center_px)) / camera.focal_px
    offsets = rays * points[:, 2:] - points[:, :2]
    current, root = weights, None
    for _ in range(_ROUNDS + 1):
        root = _least_squares(rays, offsets, current)
        if root is None:
            return None
        residual_m = np.hypot(*(root[:2] - rays * root[2] - offsets).T)
        current = weights / (1.0 + (residual_m / _OUTLIER_M) ** 2)
    return root


def _least_squares(rays: Float64, offsets: Float64, weights: Float64) -> Float64 | None:
    """Minimise ``sum w |t_xy - ray * tz - offset|^2``: tx and ty eliminated, then one equation for tz."""
    share = weights / weights.sum()
    ray_mean, offset_mean = share @ rays, share @ offsets
    centred = rays - ray_mean
    spread = float(share @ (centred**2).sum(-1))
    if not spread > 1e-12:
        return None
    depth = -float(share @ (centred * (offsets - offset_mean)).sum(-1)) / spread
    if not _DEPTH_RANGE_M[0] <= depth <= _DEPTH_RANGE_M[1]:
        return None
    if np.sqrt(spread) * depth < _MIN_SPREAD:
        return None
    return np.append(ray_mean * depth + offset_mean, depth)


def guess_root(person: Person | None, camera: Camera) -> Float64:
    """A finite place for a body that was never solved: where its region of interest is, at a person's size."""
    depth, center = 3.0, camera.center_px
    if person is not None and np.isfinite([*person.roi.center_px, person.roi.size_px]).all() and person.roi.size_px > 1:
        center = person.roi.center_px
        depth = float(np.clip(2.0 * camera.focal_px / person.roi.size_px, *_DEPTH_RANGE_M))
    xy = (np.asarray(center) - np.asarray(camera.center_px)) / camera.focal_px * depth
    return np.append(xy, depth)
