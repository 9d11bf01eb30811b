"""What a frame says to the fit: which landmarks are believed, and the linear errors that they make."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotation_vectors import cross_matrix
from mocap.body.skeleton import NUM_JOINTS
from mocap.models.kinematic_fit import ANCHORS, NUM_POINTS, Observation
from mocap.types import Camera, Person

Array64 = NDArray[np.float64]

_LEVEL = np.array([1.0, -1.0, -1.0])  # camera axes <-> level-world axes
# Landmarks that err together, and the spread of each against the middle of its group, in that of all other landmarks
# and of the middles (the face's eleven say much the same thing).
_GROUPS = (
    (tuple(range(11)), 0.5), ((15, 17, 19, 21), 0.5), ((16, 18, 20, 22), 0.5), ((27, 29, 31), 0.5), ((28, 30, 32), 0.5),
)  # fmt: skip
_VISIBILITY = (0.15, 0.7)  # below the first a landmark is not believed, above the second it is
# Landmarks that show each joint's rotation. A limb's joint is seen as well as the worst of them, the trunk's and the
# head's as well as their mean: shoulders alone still show where a body faces.
_SHOWN_BY: tuple[tuple[int, ...], ...] = (
    (11, 12, 23, 24), (23, 25), (24, 26), (11, 12, 23, 24), (25, 27), (26, 28), (11, 12, 23, 24), (27, 29, 31),
    (28, 30, 32), (11, 12, 23, 24), (29, 31), (30, 32), (0, 7, 8, 11, 12), (11, 13), (12, 14), (0, 2, 5, 7, 8),
    (11, 13), (12, 14), (13, 15), (14, 16), (15, 17, 19), (16, 18, 20), (17, 19), (18, 20),
)  # fmt: skip

_EYE, _GROUP, _SPREAD = np.eye(NUM_POINTS), np.zeros((len(_GROUPS), NUM_POINTS)), np.ones(NUM_POINTS)
for _row, (_landmarks, _spread) in enumerate(_GROUPS):
    _GROUP[_row, list(_landmarks)], _SPREAD[list(_landmarks)] = 1.0, _spread
_SEEN = np.zeros((NUM_JOINTS, NUM_POINTS))
for _joint, _landmarks in enumerate(_SHOWN_BY):
    _SEEN[_joint, list(_landmarks)] = 1 / len(_landmarks)
_SHOWS, _TRUNK = _SEEN > 0, np.isin(np.arange(NUM_JOINTS), (0, 3, 6, 9, 12, 15))


class Sight:
    """What P persons show in a frame, in level-world axes."""

    def __init__(self, persons: Sequence[Person], camera: Camera) -> None:
        """The network sees a crop as if the camera looked straight at it, so the world landmarks are turned by the ray
        through the crop's centre."""
        world = np.array([person.landmarks_world for person in persons], np.float64)
        px = np.array([person.landmarks_px for person in persons], np.float64)[..., :2]
        visibility = np.array([person.visibility for person in persons], np.float64)
        self.belief = _belief(visibility, world, px, camera)  # (P, 33) in [0, 1]
        R_ray = _ray_rotations(np.array([person.roi.center_px for person in persons], np.float64), camera)
        axes_T = np.swapaxes(R_ray * _LEVEL[:, None], -1, -2)  # crop camera from level world
        believed = self.belief[..., None] > 0
        world, px = np.where(believed, world, 0.0), np.where(believed, px, 0.0)
        self.world = world @ axes_T  # (P, 33, 3) m
        self.depth_axis = axes_T[:, 2]  # (P, 3) unit direction in which the world landmarks are poor
        self._rays = (px - np.array(camera.center_px)) / camera.focal_px * [1, -1]

    def joints_seen(self) -> Array64:
        """How well each joint is seen (P, 24), in [0, 1]."""
        worst = np.where(_SHOWS, self.belief[:, None], 1.0).min(-1)
        return np.where(_TRUNK, self.belief @ _SEEN.T, worst)

    def anchors(self) -> tuple[Array64, Array64]:
        """Where pelvis, left and right foot are in the picture (P, 3, 2), over the focal length, and how well they are
        seen (P, 3), in [0, 1]."""
        return ANCHORS @ self._rays, np.where(ANCHORS > 0, self.belief[:, None], 1.0).min(-1)

    def observation(self) -> Observation:
        """For the fit. On its ray a point has x + u z = 0, for depth is -z."""
        return Observation(self.world, self._rays, _mix(self.belief))


def _belief(visibility: Array64, world: Array64, px: Array64, camera: Camera) -> Array64:
    """How far each landmark is believed (P, 33), in [0, 1]: by its visibility, and by whether its places (P, 33, 3) m
    and (P, 33, 2) px are plausible. A body without extent is not believed at all."""
    low, high = _VISIBILITY
    shown = np.minimum(np.maximum((visibility - low) / (high - low), 0.0), 1.0) ** 2
    size_px = max(camera.width, camera.height)
    # All comparisons are false where there is NaN.
    plausible = (np.abs(world).max(-1) < 3.0) & (np.abs(px).max(-1) < 10 * size_px) & np.isfinite(visibility)
    belief: Array64 = np.where(plausible, shown, 0.0)
    believed = belief > 0
    places = np.concatenate([world / 0.05, px / (0.01 * size_px)], -1)
    highest = np.where(believed[..., None], places, -np.inf).max(1)
    extent = highest - np.where(believed[..., None], places, np.inf).min(1)  # (P, 5) in the least sizes
    extended = (extent[:, :3].max(-1) > 1) & (extent[:, 3:].max(-1) > 1) & (believed.sum(-1) >= 4)
    return belief * extended[:, None]


def _mix(belief: Array64) -> Array64:
    """Beliefs (P, 33) -> matrices (P, 38, 33), see :class:`Observation`."""
    grouped = _GROUP * belief[:, None]
    share = grouped / np.maximum(grouped.sum(-1, keepdims=True), 1e-9)
    mix = np.empty((len(belief), NUM_POINTS + len(_GROUP), NUM_POINTS))
    against_middle, middles = mix[:, :NUM_POINTS], mix[:, NUM_POINTS:]
    np.subtract(_EYE, _GROUP.T @ share, out=against_middle)
    against_middle *= (np.sqrt(belief) / _SPREAD)[..., None]
    np.multiply(share, np.sqrt(grouped.max(-1, keepdims=True)), out=middles)
    return mix


def _ray_rotations(centers_px: Array64, camera: Camera) -> Array64:
    """Camera from crop camera (P, 3, 3): the shortest rotation that takes the optical axis to the ray of the crop's
    centre (P, 2), or of the picture's point next to it: the centre of a person cut off at the waist is not seen."""
    size_px = np.array([camera.width, camera.height], np.float64)
    centers_px = np.where(np.isfinite(centers_px).all(-1, keepdims=True), centers_px, size_px / 2)
    ray = np.ones((len(centers_px), 3))
    ray[:, :2] = (np.minimum(np.maximum(centers_px, 0.0), size_px) - np.array(camera.center_px)) / camera.focal_px
    ray /= np.sqrt((ray * ray).sum(-1, keepdims=True))
    K = cross_matrix(ray[:, [1, 0, 2]] * [-1, 1, 0])  # optical axis x ray: sine times axis
    return np.eye(3) + K + K @ K / (1 + ray[:, 2, None, None])
