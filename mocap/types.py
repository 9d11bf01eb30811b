"""What travels between the stages of the pipeline: frozen dataclasses over NumPy arrays.

Frames of reference (see README, "Conventions"):

* **camera**: OpenCV axes, x right, y down, z forward, metres.
* **world**: SMPL's axes, right-handed, +Y up, metres; floor at Y = 0 once it is known. A person who faces a
  level camera has an identity root rotation.
* **px**: pixels of the frame, x right, y down, the centre of the first pixel at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # float32 between stages; geometry works in either precision


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. For live sources ``t_capture`` is ``time.perf_counter()`` right after the grab and before any
    conversion (``time.monotonic()`` ticks at 16 ms on Windows); for files it is the container's timestamp."""

    index: int  # counts what the device delivered; a gap is a drop
    t_capture: float  # s
    rgb: NDArray[np.uint8]  # (H, W, 3)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


@dataclass(frozen=True, slots=True)
class Camera:
    """Pinhole camera without distortion, and where it stands in the world."""

    width: int  # px
    height: int  # px
    focal_px: float  # px, the same for x and y; the principal point is the centre of the picture
    R_world_camera: Array = field(  # (3, 3), world from camera axes
        default_factory=lambda: np.diag([1.0, -1.0, -1.0]).astype(np.float32)
    )
    p_world_camera: Array = field(default_factory=lambda: np.zeros(3, np.float32))  # (3,) m
    calibrated: bool = False  # whether its place comes of a calibration, and not of a first guess

    @property
    def center_px(self) -> tuple[float, float]:
        return self.width / 2, self.height / 2

    def to_camera(self, p_world: Array) -> Array:
        """World points (..., 3) m to camera axes (..., 3) m."""
        return (p_world - self.p_world_camera) @ self.R_world_camera

    def to_world(self, p_camera: Array) -> Array:
        """Camera points (..., 3) m to the world (..., 3) m."""
        return p_camera @ self.R_world_camera.T + self.p_world_camera

    def project(self, p_camera: Array) -> Array:
        """Camera points (..., 3) m to pixels (..., 2); depth is clamped to 1 mm in front of the camera."""
        z = np.maximum(p_camera[..., 2:], 1e-3)
        return p_camera[..., :2] / z * self.focal_px + np.asarray(self.center_px, np.float32)


@dataclass(frozen=True, slots=True)
class Roi:
    """A rotated square in the frame: the crop that the landmark network sees."""

    center_px: tuple[float, float]
    size_px: float  # side of the square
    rotation: float  # rad, clockwise in the picture; 0 is upright


@dataclass(frozen=True, slots=True)
class Person:
    """A tracked person in one frame, as the landmark network sees it."""

    track_id: int  # from 0, never reused in a session
    roi: Roi
    score: float  # presence, in [0, 1]
    landmarks_px: Array  # (33, 3) x, y px; z in the same scale, 0 at the hips, smaller is nearer
    landmarks_world: Array  # (33, 3) m, camera axes (upright frame), 0 between the hips
    visibility: Array  # (33,) in [0, 1]
    features: Array | None = None  # (16, 288) of the landmark network: a map of 4 x 4, row by row; None: nobody asked


@dataclass(frozen=True, slots=True)
class PoseEstimate:
    """What a regressor gives for one person in one frame: a pose in camera axes, not yet placed or smoothed."""

    track_id: int
    R_parent_joint: Array  # (24, 3, 3); entry 0 is level-camera world from pelvis: diag(1, -1, -1) @ camera
    betas: Array  # (10,) shape of the body
    confidence: Array  # (24,) in [0, 1]


@dataclass(frozen=True, slots=True)
class BodyPose:
    """The placed, smoothed pose of one person: what sinks send and takes keep."""

    track_id: int
    t_capture: float  # s
    R_parent_joint: Array  # (24, 3, 3) parent from joint; entry 0: world from pelvis
    p_world_root: Array  # (3,) m, the pelvis joint
    betas: Array  # (10,)
    p_world_joint: Array  # (24, 3) m
    confidence: Array  # (24,) in [0, 1]
    contact: Array  # (2,) left and right foot on the floor, in [0, 1]


@dataclass(frozen=True, slots=True)
class MocapFrame:
    """Everything known about one frame when it is sent."""

    frame_index: int
    t_capture: float  # s
    camera: Camera
    persons: tuple[Person, ...]
    poses: tuple[BodyPose, ...]
    stage_ms: dict[str, float]  # stage name -> ms
    age_ms: float  # now - t_capture at the moment it is sent
