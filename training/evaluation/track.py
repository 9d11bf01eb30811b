"""What goes into a system that is evaluated, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mocap.body.landmarks import NUM_LANDMARKS, landmarks_from_pose
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, load_skeleton
from mocap.models.token_capture import UNKNOWN_PITCH
from mocap.people.landmarks import FEATURES
from mocap.types import BodyPose, Person, PoseEstimate

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL = np.array([1.0, -1.0, -1.0])  # camera axes <-> those of a level camera's world


@dataclass(frozen=True)
class Track:
    """One person's T frames of one clip, as our landmark network saw them.

    Where nobody is seen the score is 0, and so are the other arrays.
    """

    name: str
    t: Array  # (T,) s
    size: tuple[int, int]  # width, height px
    focal_px: float
    pitch: float  # rad, how far the camera looks down; UNKNOWN_PITCH where nobody knows
    landmarks_px: Array  # (T, 33, 3) as in mocap.types.Person
    landmarks_world: Array  # (T, 33, 3) m, as in mocap.types.Person
    visibility: Array  # (T, 33) in [0, 1]
    roi: Array  # (T, 4) centre x, y and side in px, rotation in rad
    score: Array  # (T,) presence in [0, 1]
    features: Array  # (T, 16, 288) of the landmark network

    def __len__(self) -> int:
        return len(self.t)

    @property
    def seen(self) -> Mask:
        """(T,) frames in which there is a person."""
        return self.score > 0

    @classmethod
    def of(
        cls,
        name: str,
        t: Sequence[float],
        size: tuple[int, int],
        focal_px: float,
        persons: Sequence[Person | None],
        pitch: float = UNKNOWN_PITCH,
    ) -> Track:
        """From a tracker's persons, one a frame; None where there was nobody."""
        count = len(persons)
        arrays = [np.zeros((count, *shape)) for shape in ((33, 3), (33, 3), (33,), (4,), (), FEATURES)]
        for row, person in enumerate(persons):
            if person is not None:
                roi = [*person.roi.center_px, person.roi.size_px, person.roi.rotation]
                features = 0.0 if person.features is None else person.features
                found = (person.landmarks_px, person.landmarks_world, person.visibility, roi, person.score, features)
                for array, value in zip(arrays, found, strict=True):
                    array[row] = value
        return cls(name, np.array(t, np.float64), size, focal_px, pitch, *arrays)


@dataclass(frozen=True)
class Answer:
    """What a system says of T frames; NaN where it says nothing."""

    R_parent_joint: Array  # (T, 24, 3, 3) entry 0: level-camera world from pelvis, diag(1, -1, -1) @ camera
    betas: Array  # (T, 10)

    @classmethod
    def of(cls, poses: Sequence[PoseEstimate | BodyPose | None]) -> Answer:
        """From estimates, one a frame."""
        R = np.full((len(poses), NUM_JOINTS, 3, 3), np.nan)
        betas = np.full((len(poses), NUM_BETAS), np.nan)
        for row, pose in enumerate(poses):
            if pose is not None:
                R[row], betas[row] = pose.R_parent_joint, pose.betas
        return cls(R, betas)

    @classmethod
    def join(cls, parts: Sequence[Answer]) -> Answer:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def landmarks(self) -> Array:
        """BlazePose's points on that body's surface (T, 33, 3) m, camera axes, the pelvis at 0."""
        return np.asarray(landmarks_from_pose(self.R_parent_joint, np.zeros(3), self.betas) * LEVEL)

    def joints(self) -> Array:
        """SMPL's joints (T, 24, 3) m, camera axes, the pelvis at 0."""
        return np.asarray(load_skeleton().forward(self.R_parent_joint, np.zeros(3), self.betas) * LEVEL)


@dataclass(frozen=True)
class Points:
    """What a system says that knows no rotations; NaN where it says nothing."""

    world: Array  # (T, 33, 3) m, camera axes, 0 between the hips

    @classmethod
    def join(cls, parts: Sequence[Points]) -> Points:
        """One after the other."""
        return cls(np.concatenate([part.world for part in parts]))

    @classmethod
    def nothing(cls, frames: int) -> Points:
        """Of so many frames."""
        return cls(np.full((frames, NUM_LANDMARKS, 3), np.nan))

    def landmarks(self) -> Array:
        """(T, 33, 3) m, as in :class:`Answer`, but for the origin."""
        return self.world


class System(Protocol):
    """Poses from what a landmark network saw of a person."""

    def __call__(self, track: Track, shape: Array | None = None) -> Answer:
        """``shape`` (10,): the true betas, which an oracle tells; None: nobody knows them."""
        ...
