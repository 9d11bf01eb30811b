"""One person's state between frames: holds, filters, and the placed body in the level frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.landmarks import landmarks_from_pose
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, Skeleton
from mocap.motion.contact import FootContact, sole_offsets
from mocap.motion.ground import LEVEL_FROM_CAMERA, Ground, Sight
from mocap.motion.one_euro import VectorFilter, joint_filter
from mocap.motion.root import guess_root, landmark_weights, solve_root
from mocap.types import BodyPose, Camera, Person, PoseEstimate

Float64 = NDArray[np.float64]

GAP_S = 0.5  # after a longer silence the filters start anew
# Root as direction (x/z, y/z) and log depth, so that smoothing the depth leaves the body where it is in the picture.
_ROOT_MIN_CUTOFF: Float64 = np.array([0.8, 0.8, 0.4])  # Hz
_ROOT_BETA: Float64 = np.array([16.0, 16.0, 12.0])  # Hz per depth of the person and second
_BETAS_S = 3.0  # time constant of the shape
_SAME_SHAPE = 1e-3  # standard deviations: 0.1 mm of stature
# Depth from the floor against depth from the body's size. Tuned on the demo clip and on simulated walks.
_SCALE_S = 2.0  # the usual ratio of the two is learned this slowly
_SCALE_DEVIATION = 0.03  # of that ratio, while the pose is right ...
_SCALE_TAIL = 0.5  # ... and of its own size where the two disagree: a squat that is seen too shallow is too far by 20 %
_FLOOR_DEVIATION_M = 0.03  # of a standing sole's height
_PITCH_DEVIATION = 0.03  # rad; what it makes of that height grows with the distance
_SCALE_RANGE = (0.6, 1.6)
_FLOOR_DEVIATION_M = 0.03  # how far a standing sole's computed height is off
_FOOT_LANDMARKS = np.array([[27, 29, 31], [28, 30, 32]])  # ankle, heel, toes
_LEGS = np.array([[0, 0], [1, 2], [4, 5], [7, 8]])  # pelvis, hips, knees, ankles
_FOOT_VISIBILITY = 0.4


class PersonMotion:
    """Places and smooths one person; all geometry in the level frame (see ``ground``) until ``pose``."""

    def __init__(self, track_id: int, skeleton: Skeleton, stretch: float) -> None:
        self.track_id = track_id
        self.last_t = -np.inf
        self.feet = FootContact(stretch)
        self._skeleton, self._stretch = skeleton, stretch
        self._rotations = joint_filter(stretch)
        self._root = VectorFilter(_ROOT_MIN_CUTOFF, _ROOT_BETA, stretch)
        self._scale = self._usual_scale = 1.0  # on the root, along the line of sight
        self._held_R: Float64 = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
        self._held_root: Float64 | None = None  # (3,) m camera
        self.betas: Float64 = np.zeros(NUM_BETAS)
        self._measure_body()
        self._confidence: Float64 = np.zeros(NUM_JOINTS)
        self._age_s = 0.0
        self._dt = 0.0

    def place(self, t: float, estimate: PoseEstimate, person: Person | None, camera: Camera, ground: Ground) -> None:
        """Take one frame at time ``t`` s: hold what is not finite, solve the root, filter."""
        dt = t - self.last_t
        if not 0 <= dt <= GAP_S:
            self._reset()
            dt = 0.0
        self.last_t, self._dt = t, dt
        self._age_s += dt
        self._hold(estimate, dt)
        measured = self._measure_root(person, camera)
        self._feet_seen = feet_seen(person)
        self._raw_soles = self._soles_of(self._held_R) + LEVEL_FROM_CAMERA @ measured
        self._correct_scale(ground)
        self.R = self._held_R if self._stretch == 0 else self._rotations(dt, self._held_R)
        self._joints = self._skeleton.forward(self.R, np.zeros(3), self.betas)
        self.root = LEVEL_FROM_CAMERA @ self._filter_root(dt, measured * self._scale)
        self._feet_rays = feet_rays(person, camera)

    def sight(self) -> Sight:
        """What the ground learns from; the feet where the body's size puts them, before the floor corrects that."""
        heading = float(np.arctan2(self.R[0, 0, 2], self.R[0, 2, 2]))
        return Sight(self._joints + self.root, heading, self._raw_soles, self.feet.contact,
                     bool(self._feet_seen.any()), self._rest)  # fmt: skip

    def pose(self, ground: Ground) -> BodyPose:
        """The body in the world, feet locked."""
        R_world, p_camera = ground.R_world_level, ground.p_world_camera
        assert p_camera is not None  # the ground has seen a person before any pose is asked for
        p_root = R_world @ self.root + p_camera
        heights = self._soles_of(self.R) @ R_world[1] + p_root[1]
        self.feet.update(self._dt, heights, self._feet_rays, -float(self.root[2]), self._feet_seen)
        p_root[1] += self.feet.lift_m
        R = self.R.copy()
        R[0] = R_world @ R[0]
        joints = self._joints @ R_world.T + p_root
        f32 = np.float32
        return BodyPose(self.track_id, self.last_t, R.astype(f32), p_root.astype(f32), self.betas.astype(f32),
                        joints.astype(f32), self._confidence.astype(f32), self.feet.contact.astype(f32))  # fmt: skip

    def _reset(self) -> None:
        self._rotations.reset()
        self._root.reset()
        self.feet.reset()

    def _hold(self, estimate: PoseEstimate, dt: float) -> None:
        """Replace what is not finite by the last that was."""
        R = np.asarray(estimate.R_parent_joint, np.float64)
        finite = np.isfinite(R).all((1, 2))
        if finite.all():
            self._held_R = R
        else:
            self._held_R = np.where(finite[:, None, None], R, self._held_R)
        confidence = np.asarray(estimate.confidence, np.float64)
        self._confidence = np.where(np.isfinite(confidence), confidence, 0.0) * finite
        betas = np.asarray(estimate.betas, np.float64)
        if np.isfinite(betas).all():
            # A running mean at first, then a slow low-pass.
            memory_s = min(self._age_s, self._stretch * _BETAS_S)
            self.betas = self.betas + (dt / memory_s if memory_s > dt else 1.0) * (betas - self.betas)
        if np.abs(self.betas - self._measured_betas).max() > _SAME_SHAPE:
            self._measure_body()

    def _measure_body(self) -> None:
        """What derives from the shape."""
        self._measured_betas = self.betas
        self._rest = self._skeleton.rest_joints(self.betas)
        self._sole_offsets = sole_offsets(self._rest)

    def _measure_root(self, person: Person | None, camera: Camera) -> Float64:
        """Pelvis (3,) m in camera axes: solved, else the last, else a guess."""
        root = None
        if person is not None:
            points = landmarks_from_pose(self._held_R, np.zeros(3), self.betas, self._skeleton) @ LEVEL_FROM_CAMERA
            weights = landmark_weights(person, camera)
            root = solve_root(points, np.asarray(person.landmarks_px[:, :2], np.float64), weights, camera)
        if root is None:
            root = self._held_root if self._held_root is not None else guess_root(person, camera)
        else:
            self._held_root = root
        return root

    def _filter_root(self, dt: float, measured: Float64) -> Float64:
        """Filter the root (3,) m, camera axes, along and across its line of sight."""
        if self._stretch == 0:
            return measured
        x, y, z = measured
        u, v, log_z = self._root(dt, np.array([x / z, y / z, np.log(z)]))
        return np.array([u, v, 1.0]) * np.exp(log_z)

    def _correct_scale(self, ground: Ground) -> None:
        """Depth from the floor: a standing foot's line of sight meets the floor at one distance only.

        Scaling the scene about the camera leaves the picture as it is; the scale that puts the standing soles on the
        floor is weighed against the body's own size, and against what it was lately.
        """
        if self._stretch == 0 or ground.trust == 0 or self._dt == 0:
            return
        soles = self._raw_soles @ ground.R_world_level.T  # about the camera, axes of the world
        drop, distance = -soles[..., 1].min(1), -soles[..., 2].mean(1)  # (2,) m
        deviation = np.hypot(_FLOOR_DEVIATION_M, _PITCH_DEVIATION * distance)
        weight = ground.trust * self.feet.contact * (drop > 0.3) / deviation**2
        floor_weight, floor_sum = float(weight @ drop**2), float(weight @ drop) * ground.camera_height_m
        off = floor_sum / floor_weight - self._usual_scale if floor_weight > 1e-6 else 0.0
        size_weight = 1 / (_SCALE_DEVIATION**2 + _SCALE_TAIL * off**2)
        target = (size_weight * self._usual_scale + floor_sum) / (size_weight + floor_weight)
        self._scale = float(np.clip(target, *_SCALE_RANGE))
        share = 1 - np.exp(-self._dt / _SCALE_S)
        self._usual_scale += share * (self._scale - self._usual_scale)

    def _soles_of(self, R: Float64) -> Float64:
        """Sole points (2 feet, 2 points, 3) m about the pelvis, level frame."""
        bones = self._rest[_LEGS[1:]] - self._rest[_LEGS[:-1]]  # (3, 2, 3): to the hips, knees, ankles
        R_chain, ankle = R[0], np.zeros((2, 3))
        for bone, joints in zip(bones, _LEGS[1:], strict=True):
            ankle = ankle + (R_chain @ bone[..., None])[..., 0]
            R_chain = R_chain @ R[joints]
        return ankle[:, None] + self._sole_offsets @ np.swapaxes(R_chain, -1, -2)


def feet_rays(person: Person | None, camera: Camera) -> Float64:
    """Heel and toes of both feet in the picture (2, 2, 2), px over the focal length; 0 where not finite."""
    if person is None:
        return np.zeros((2, 2, 2))
    px = np.asarray(person.landmarks_px[_FOOT_LANDMARKS[:, 1:], :2], np.float64)
    return np.where(np.isfinite(px), px, 0.0) / camera.focal_px


def feet_seen(person: Person | None) -> NDArray[np.bool_]:
    """Whether each foot (2,) is visible."""
    if person is None:
        return np.zeros(2, bool)
    return np.asarray(person.visibility[_FOOT_LANDMARKS].sum(1) > 3 * _FOOT_VISIBILITY)  # false where it is NaN
