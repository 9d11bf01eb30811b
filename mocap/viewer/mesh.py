"""Posed bodies drawn over a picture: shaded, half transparent, on the processor (painter's algorithm)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mocap.body.mesh import load_coarse_body
from mocap.types import Array, BodyPose, Camera

# RGB, told apart by colour-blind people too (after Okabe and Ito); as many as can be tracked.
COLORS = (
    (86, 180, 233), (230, 159, 0), (0, 178, 130), (224, 130, 180),
    (240, 228, 66), (230, 100, 20), (90, 120, 230), (200, 200, 200),
)  # fmt: skip
OPACITY = 0.65

_LIGHT = np.array([-0.35, -0.55, -0.76], np.float32)  # unit, camera axes, towards a light behind the camera, upper left
_AMBIENT = 0.3  # the light that comes from everywhere
_NEAR_M = 0.1  # a triangle that comes nearer to the camera is left out
_FAR_M = 1e4  # and so is a body that reaches farther, or that is NaN
_FAR_PX = 1e5  # coordinates are held within this, for OpenCV's whole numbers
_SHIFT = 4  # OpenCV takes coordinates in 1/2**4 px


@dataclass(frozen=True)
class Triangles:
    """The triangles of one body that face the camera, the farthest first; N > 0."""

    depth_m: float  # mean
    corners: NDArray[np.int32]  # (N, 3, 2) in 1/16 px; 0 is the centre of the first pixel
    shades: NDArray[np.uint8]  # (N,) from 1 to 255, full light


def color_of(track_id: int) -> tuple[int, int, int]:
    """The RGB colour of a person."""
    return COLORS[track_id % len(COLORS)]


def draw_meshes(canvas: NDArray[np.uint8], poses: Iterable[BodyPose], camera: Camera) -> None:
    """Lay the bodies over the picture (H, W, 3): the nearer hides the farther, the picture shines through both.

    A body that is not finite is left out, and so is what lies behind the camera or outside the picture.
    """
    bodies = []
    for pose in poses:
        if triangles := visible_triangles(pose, camera):
            bodies.append((triangles, color_of(pose.track_id)))
    if not bodies:
        return
    paint, covered = np.zeros_like(canvas), np.zeros(canvas.shape[:2], np.uint8)
    for triangles, color in sorted(bodies, key=lambda body: -body[0].depth_m):
        _paint(paint, covered, triangles, color)
    cv2.copyTo(cv2.addWeighted(paint, OPACITY, canvas, 1 - OPACITY, 0), covered, canvas)


def visible_triangles(pose: BodyPose, camera: Camera) -> Triangles | None:
    """The body as the camera sees it, if it does."""
    body = load_coarse_body()
    with np.errstate(all="ignore"):  # a broken pose: caught in the next line
        points, normals = body.surface(pose.R_parent_joint, pose.p_world_root, pose.betas)
        points = camera.to_camera(points)
        if not (np.abs(points) < _FAR_M).all():
            return None
    px = np.clip(camera.project(points), -_FAR_PX, _FAR_PX)
    faces = body.faces[_facing(px[body.faces])]
    corners, depths = px[faces], points[:, 2][faces]
    inside = (corners.max(1) >= 0).all(1) & (corners.min(1) <= (camera.width, camera.height)).all(1)
    order = np.argsort(-depths.sum(1))
    order = order[(inside & (depths.min(1) > _NEAR_M))[order]]
    if not len(order):
        return None
    shades = _AMBIENT + (1 - _AMBIENT) * np.maximum(normals @ (camera.R_world_camera @ _LIGHT), 0)
    fixed = np.rint((corners[order] - 0.5) * 2**_SHIFT).astype(np.int32)
    eight_bit = np.clip(255 * shades[faces[order]].mean(1), 1, 255).astype(np.uint8)
    return Triangles(float(depths[order].mean()), fixed, eight_bit)


def _facing(corners: Array) -> NDArray[np.bool_]:
    """Which triangles (F, 3, 2) px show their outside: y points down, so counter-clockwise has a negative area."""
    (ax, ay), (bx, by), (cx, cy) = (corners[:, corner].T for corner in range(3))
    return np.asarray((bx - ax) * (cy - ay) < (by - ay) * (cx - ax))


def _paint(paint: NDArray[np.uint8], covered: NDArray[np.uint8], triangles: Triangles, color: Sequence[int]) -> None:
    """One body over what was painted before (H, W, 3); ``covered`` (H, W) turns 255 where it is."""
    low = np.maximum((triangles.corners.min((0, 1)) >> _SHIFT) - 1, 0)
    high = np.maximum((triangles.corners.max((0, 1)) >> _SHIFT) + 3, 0)
    box = np.s_[low[1] : high[1], low[0] : high[0]]  # only there is anything to do
    shades = np.zeros_like(covered[box])
    for corners, shade in zip(triangles.corners - (low << _SHIFT), triangles.shades[:, None].tolist(), strict=True):
        cv2.fillConvexPoly(shades, corners, shade, cv2.LINE_8, _SHIFT)
    body = shades > 0
    paint[box][body] = np.outer(np.arange(256) / 255, color).astype(np.uint8)[shades[body]]
    covered[box][body] = 255
