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


def landmark_weights(visibility: Float64, landmarks_px: Float64, camera: Camera) -> Float64:
    """Weight of each landmark (..., 33) by its visibility (..., 33) and place (..., 33, 2) px: visibility times
    reliability; 0 where it is outside the picture or not finite."""
    inside = ((landmarks_px >= 0) & (landmarks_px <= (camera.width, camera.height))).all(-1)  # false where it is NaN
    return np.where(inside & (visibility >= _MIN_VISIBILITY), visibility * LANDMARK_WEIGHTS, 0.0)


def solve_roots(
    points: Float64, landmarks_px: Float64, weights: Float64, camera: Camera
) -> tuple[Float64, NDArray[np.bool_]]:
    """Translations that lay body points over their landmarks: weighted linear least squares, robustly reweighted.

    For every point ``x (Z + tz) = X + tx`` with ``x = (u - cx) / f``, and the same for y: linear in t.

    Args:
        points: (P, n, 3) m, camera axes, from the root (pelvis).
        landmarks_px: (P, n, 2) px.
        weights: (P, n) 0 leaves a point out.
        camera: Its focal length and centre.

    Returns:
        The pelvises (P, 3) m in camera axes, and where (P,) they are to be used: not where the points do not fix them
        (too few, too small, behind the camera).
    """
    usable = (weights > 0) & np.isfinite(points).all(-1) & np.isfinite(landmarks_px).all(-1)
    weights = np.where(usable, weights, 0.0)
    points, px = np.where(usable[..., None], points, 0.0), np.where(usable[..., None], landmarks_px, 0.0)
    rays = (px - np.asarray(camera.center_px)) / camera.focal_px
    offsets = rays * points[..., 2:] - points[..., :2]
    roots, solved = _least_squares(rays, offsets, weights)
    solved &= usable.sum(-1) >= _MIN_POINTS
    for _ in range(_ROUNDS):
        off = roots[:, None, :2] - rays * roots[:, None, 2:] - offsets
        roots, good = _least_squares(rays, offsets, weights / (1.0 + (off * off).sum(-1) / _OUTLIER_M**2))
        solved &= good
    return roots, solved


def _least_squares(rays: Float64, offsets: Float64, weights: Float64) -> tuple[Float64, NDArray[np.bool_]]:
    """Minimise ``sum w |t_xy - ray * tz - offset|^2``: tx and ty eliminated, then one equation for tz.

    Args: (P, n, 2), (P, n, 2), (P, n). Returns: (P, 3), and whether it is determined and in a sane range (P,).
    """
    share = (weights / np.maximum(weights.sum(-1, keepdims=True), 1e-9))[:, None]
    ray_mean, offset_mean = share @ rays, share @ offsets  # (P, 1, 2)
    centred = rays - ray_mean
    spread = (share @ (centred * centred))[:, 0].sum(-1)
    depth = -(share @ (centred * (offsets - offset_mean)))[:, 0].sum(-1) / np.maximum(spread, 1e-12)
    good = (spread > 1e-12) & (depth >= _DEPTH_RANGE_M[0]) & (depth <= _DEPTH_RANGE_M[1])
    good &= np.sqrt(spread) * depth >= _MIN_SPREAD
    roots = np.empty((len(depth), 3))
    roots[:, :2], roots[:, 2] = ray_mean[:, 0] * depth[:, None] + offset_mean[:, 0], depth
    return roots, good


def guess_root(person: Person | None, camera: Camera) -> Float64:
    """A finite place for a body that was never solved: where its region of interest is, at a person's size."""
    depth, center = 3.0, camera.center_px
    if person is not None and np.isfinite([*person.roi.center_px, person.roi.size_px]).all() and person.roi.size_px > 1:
        center = person.roi.center_px
        depth = float(np.clip(2.0 * camera.focal_px / person.roi.size_px, *_DEPTH_RANGE_M))
    xy = (np.asarray(center) - np.asarray(camera.center_px)) / camera.focal_px * depth
    return np.append(xy, depth)
