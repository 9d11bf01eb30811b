"""The rotated square around a person: where it comes from, and what it shows of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mocap.types import Array, Roi

CROP_SIZE = 256  # px, side of the landmark network's square input
MARGIN = 1.25  # the margin that the landmark network was trained with
MIN_SIZE_PX = 8.0  # a smaller square holds no person that the network could see
MAX_SIZE_FRAMES = 8.0  # a square of more than this many frames across is a runaway
_MIN_CUTOFF_HZ = 0.01
_BETA = 10.0
_SPEED_CUTOFF_HZ = 1.0


def roi_from_points(center: Array, top: Array) -> Roi:
    """The square around a person.

    Args:
        center: (2,) px, between the hips.
        top: (2,) px, half a body away from ``center`` in the direction of the head.

    Returns:
        A square centred between the hips and turned so that the head is up. Not finite where the points are not.
    """
    dx, dy = float(top[0]) - float(center[0]), float(top[1]) - float(center[1])
    rotation = math.pi / 2 - math.atan2(-dy, dx)
    rotation -= 2 * math.pi * math.floor((rotation + math.pi) / (2 * math.pi)) if math.isfinite(rotation) else 0.0
    return Roi((float(center[0]), float(center[1])), 2 * MARGIN * math.hypot(dx, dy), rotation)


@dataclass(slots=True, eq=False)
class AxisFilter:
    """One-Euro filter of the two points that give the next square, so that the crop of a person at rest rests.

    The parameters are MediaPipe's, which filters these points even where the landmarks are not smoothed; speeds are
    in squares (without margin) per second.
    """

    t: float  # s
    raw: Array  # (2, 2) px, the last input
    smooth: Array  # (2, 2) px, the last output
    speed: Array  # (2, 2) 1/s

    @classmethod
    def start(cls, t: float, axis: Array) -> AxisFilter:
        return cls(t, axis, axis, np.zeros((2, 2), np.float32))

    def update(self, t: float, axis: Array) -> Array:
        """Points (2, 2) px at time ``t`` s -> filtered points; as they are where no time has passed."""
        dt = t - self.t
        size = 2 * float(np.linalg.norm(axis[1] - axis[0]))
        if dt <= 0 or size < 1e-6:
            return axis
        speed = (axis - self.raw) / (size * dt)
        self.speed = self.speed + (speed - self.speed) * _one_euro_gain(_SPEED_CUTOFF_HZ, dt)
        gain = _one_euro_gain(_MIN_CUTOFF_HZ + _BETA * np.abs(self.speed), dt)
        self.t, self.raw, self.smooth = t, axis, self.smooth + (axis - self.smooth) * gain
        return self.smooth


def _one_euro_gain(cutoff_hz: Array | float, dt: float) -> Array | float:
    radians = 2 * math.pi * cutoff_hz * dt
    return radians / (1 + radians)


def is_usable(roi: Roi, width: int, height: int) -> bool:
    """Whether a crop of it can show anything: finite, neither collapsed nor run away, and touching the frame."""
    if not all(map(math.isfinite, (*roi.center_px, roi.size_px, roi.rotation))):
        return False
    if not MIN_SIZE_PX <= roi.size_px <= MAX_SIZE_FRAMES * max(width, height):
        return False
    x, y = roi.center_px
    reach = roi.size_px / 2
    return -reach < x < width + reach and -reach < y < height + reach


def frame_from_crop(roi: Roi) -> Array:
    """Affine map (2, 3) from crop pixels, 0 to 256, to frame pixels."""
    scale = roi.size_px / CROP_SIZE
    cos, sin = scale * math.cos(roi.rotation), scale * math.sin(roi.rotation)
    half, (x, y) = CROP_SIZE / 2, roi.center_px
    return np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]])


def apply_affine(matrix: Array, points: Array) -> Array:
    """Points (..., 2) through an affine map (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]
