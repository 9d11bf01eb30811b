"""People between frames: holds, filters, and the placed bodies in the level frame; all persons of a frame at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocap.batch import choose
from mocap.body.landmarks import load_landmark_anchors
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, Skeleton, global_rotations
from mocap.motion.contact import (
    ANKLES,
    Feet,
    FootContact,
    bentness,
    body_limits,
    lift_limits,
    sole_offsets,
    unknown_feet,
)
from mocap.motion.ground import LEVEL_FROM_CAMERA, Ground, Sight
from mocap.motion.legs import raise_ankles
from mocap.motion.one_euro import Filtered, RotationFilter, VectorFilter, joint_filter
from mocap.motion.root import guess_root, landmark_weights, solve_roots
from mocap.types import BodyPose, Camera, Person, PoseEstimate

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

GAP_S = 0.5  # after a longer silence the filters start anew
# Root as direction (x/z, y/z) and log depth, so that smoothing the depth leaves the body where it is in the picture.
_ROOT_MIN_CUTOFF: Float64 = np.array([0.8, 0.8, 0.4])  # Hz
_ROOT_BETA: Float64 = np.array([16.0, 16.0, 12.0])  # Hz per depth of the person and second
_SMOOTH_ROOT_BETA: Float64 = np.array([32.0, 32.0, 12.0])  # of poses that come smooth already
_BETAS_S = 3.0  # time constant of the shape
# Depth from the floor against depth from the body's size. Tuned on the demo clip and on simulated walks.
_SCALE_S = 2.0  # the usual ratio of the two is learned this slowly
_SCALE_DEVIATION = 0.03  # of that ratio, while the pose is right ...
_SCALE_TAIL = 0.5  # ... and of its own size where the two disagree: a squat that is seen too shallow is too far by 20 %
_FLOOR_DEVIATION_M = 0.03  # of a standing sole's height
_PITCH_DEVIATION = 0.03  # rad; what it makes of that height grows with the distance
_SCALE_RANGE = (0.6, 1.6)
_UPRIGHT_SCALE = 0.03  # a body drawn so much too large leaves its landmarks by 1.5 % of its height at most
_FOOT_LANDMARKS = np.array([[27, 29, 31], [28, 30, 32]])  # ankle, heel, toes
_FOOT_VISIBILITY = 0.4
_LEAST_BEND_M = 1e-3
_FEET = np.array(ANKLES)


@dataclass(frozen=True)
class PeopleState:
    """What is remembered of P persons."""

    t: Float64  # (P,) s, of the last frame
    age_s: Float64  # (P,)
    R_held: Float64  # (P, 24, 3, 3) the last finite rotations
    root_held: Float64  # (P, 3) m, the last solved root in camera axes; NaN before the first
    betas: Float64  # (P, 10)
    scale: Float64  # (P,) on the root, along the line of sight
    usual_scale: Float64  # (P,)
    rotations: Filtered
    root: Filtered
    feet: Feet


def stranger() -> PeopleState:
    """One person before the first frame."""
    R, x = np.tile(np.eye(3), (1, NUM_JOINTS, 1, 1)), np.zeros((1, 3))
    return PeopleState(
        np.full(1, -np.inf), np.zeros(1), R, np.full((1, 3), np.nan), np.zeros((1, NUM_BETAS)), np.ones(1), np.ones(1),
        Filtered(R, R, np.zeros((1, NUM_JOINTS, 3))), Filtered(x, x, x), unknown_feet(),
    )  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """The smoothed bodies of P persons in the level frame (see ``ground``)."""

    dt: Float64  # (P,) s since a person's last frame; 0 after a gap
    R: Float64  # (P, 24, 3, 3)
    root: Float64  # (P, 3) m
    joints: Float64  # (P, 24, 3) m about the root
    soles: Float64  # (P, 2 feet, 2 points, 3) m about the root
    measured_soles: Float64  # (P, 2, 2, 3) m, of the poses before smoothing, where the bodies' sizes put them
    rest: Float64  # (P, 24, 3) m, rest joints
    bent: Float64  # (P,) of the legs, in [0, 1]
    confidence: Float64  # (P, 24)
    feet_rays: Float64  # (P, 2, 2, 2)
    feet_seen: Mask  # (P, 2)

    def sight(self, index: int, track_id: int, feet: Feet) -> Sight:
        """What the ground learns from; the feet where the body's size puts them, before the floor corrects that."""
        R = self.R[index, 0]
        heading = float(np.arctan2(R[0, 2], R[2, 2]))
        joints = self.joints[index] + self.root[index]
        return Sight(track_id, joints, heading, self.measured_soles[index], feet.contact[index],
                     bool(self.feet_seen[index].any()), self.rest[index])  # fmt: skip


class People:
    """Places and smooths persons; none depends on the others but through the ground."""

    def __init__(self, skeleton: Skeleton, stretch: float, joint_share: float) -> None:
        self._skeleton, self._stretch = skeleton, stretch
        self._anchors = load_landmark_anchors()
        self._rotations = joint_filter(joint_share * stretch)
        # As late as the joints, or feet slide.
        beta = _ROOT_BETA if joint_share == 1 else _SMOOTH_ROOT_BETA
        self._root = VectorFilter(_ROOT_MIN_CUTOFF, beta, stretch)
        self._feet = FootContact(stretch)

    def place(
        self,
        t: float,
        state: PeopleState,
        estimates: Sequence[PoseEstimate],
        persons: Sequence[Person | None],
        camera: Camera,
        ground: Ground,
    ) -> tuple[PeopleState, Placed]:
        """Take one frame at time ``t`` s: hold what is not finite, solve the roots, filter."""
        dt = t - state.t
        fresh = dt > GAP_S
        dt = np.where(fresh, 0.0, dt)
        state, confidence = self._hold(replace(state, age_s=state.age_s + dt), estimates, dt)
        rotations, R = state.rotations, state.R_held
        if self._stretch > 0:
            rotations = _filter(self._rotations, rotations, fresh, dt, R)
            R = rotations.value
        # As measured, and smoothed.
        G, betas = global_rotations(np.stack([state.R_held, R])), state.betas
        joints = self._skeleton.joints(G, np.zeros(3), betas)
        rest = self._skeleton.rest_joints(betas)
        offsets = sole_offsets(rest)
        soles = joints[..., _FEET, None, :] + offsets @ np.swapaxes(G[..., _FEET, :, :], -1, -2)
        seen = _Landmarks(persons)
        points = self._anchors.landmarks(G[0], joints[0], betas) @ LEVEL_FROM_CAMERA
        measured, state = _measure_roots(state, points, seen, persons, camera)
        measured_soles = soles[0] + (measured @ LEVEL_FROM_CAMERA)[:, None, None]
        feet_rays, feet_seen = seen.feet_rays(camera), seen.feet()
        bent = bentness(joints[1])
        state = self._correct_scale(state, dt, measured_soles, bent, ground)
        state, root = self._filter_root(state, fresh, dt, measured * state.scale[:, None])
        feet = state.feet
        if fresh.any():
            feet = replace(feet, velocity=np.where(fresh[:, None, None, None], 0.0, feet.velocity))
        state = replace(state, t=np.full(len(dt), t), rotations=rotations, feet=feet)
        return state, Placed(dt, R, root @ LEVEL_FROM_CAMERA, joints[1], soles[1], measured_soles, rest, bent,
                             confidence, feet_rays, feet_seen)  # fmt: skip

    def poses(
        self, t_capture: float, ids: Sequence[int], state: PeopleState, placed: Placed, ground: Ground
    ) -> tuple[PeopleState, tuple[BodyPose, ...]]:
        """The bodies in the world, feet locked: a body is moved by little, bent legs are bent further or less."""
        R_world, p_camera = ground.R_world_level, ground.p_world_camera
        assert p_camera is not None  # the ground has seen a person before any pose is asked for
        root = placed.root @ R_world.T + p_camera
        soles = placed.soles + placed.root[:, None, None]
        feet = self._feet.step(
            state.feet, placed.dt, soles, R_world, p_camera, placed.feet_rays, -placed.root[:, 2], placed.feet_seen,
            lift_limits(placed.rest, placed.bent),
        )  # fmt: skip
        most = body_limits(placed.rest)
        lift = np.minimum(np.maximum(feet.lift_m, -most), most)
        root[:, 1] += lift
        root[:, ::2] += feet.shift_m
        R, joints = placed.R, placed.joints
        bend_m = feet.lift_m - lift  # what is left for the legs
        if np.abs(bend_m).max() > _LEAST_BEND_M:
            R, joints = raise_ankles(R, joints, bend_m[:, None] * R_world[1])
        R = R.astype(np.float32)
        R[:, 0] = R_world @ placed.R[:, 0]
        joints = joints @ R_world.T + root[:, None]
        columns = [x.astype(np.float32) for x in (root, state.betas, joints, placed.confidence, feet.contact)]
        poses = (BodyPose(track_id, t_capture, *row) for track_id, *row in zip(ids, R, *columns, strict=True))
        return replace(state, feet=feet), tuple(poses)

    def _hold(self, state: PeopleState, estimates: Sequence[PoseEstimate], dt: Float64) -> tuple[PeopleState, Float64]:
        """Replace what is not finite by the last that was; the rest's confidence (P, 24)."""
        R = np.array([estimate.R_parent_joint for estimate in estimates], np.float64)
        betas = np.array([estimate.betas for estimate in estimates], np.float64)
        confidence = np.array([estimate.confidence for estimate in estimates], np.float64)
        finite = np.isfinite(R).all((2, 3))
        R = R if finite.all() else np.where(finite[..., None, None], R, state.R_held)
        confidence = np.where(np.isfinite(confidence) & finite, confidence, 0.0)
        # A running mean at first, then a slow low-pass.
        memory_s = np.minimum(state.age_s, self._stretch * _BETAS_S)
        share = np.where(memory_s > dt, dt / np.maximum(memory_s, 1e-9), 1.0)[:, None]
        betas = np.where(np.isfinite(betas).all(1, keepdims=True), betas, state.betas)
        return replace(state, R_held=R, betas=state.betas + share * (betas - state.betas)), confidence

    def _filter_root(self, state: PeopleState, fresh: Mask, dt: Float64, root: Float64) -> tuple[PeopleState, Float64]:
        """Filter the roots (P, 3) m, camera axes, along and across their lines of sight."""
        if self._stretch == 0:
            return state, root
        depth = root[:, 2:]
        filtered = _filter(self._root, state.root, fresh, dt, np.concatenate([root[:, :2] / depth, np.log(depth)], 1))
        u = filtered.value
        return replace(state, root=filtered), np.concatenate([u[:, :2], np.ones_like(depth)], 1) * np.exp(u[:, 2:])

    def _correct_scale(
        self, state: PeopleState, dt: Float64, soles: Float64, bent: Float64, ground: Ground
    ) -> PeopleState:
        """Depth from the floor: a standing foot's line of sight meets the floor at one distance only.

        Scaling the scene about the camera leaves the picture as it is; the scale that puts the standing soles on the
        floor is weighed against the body's own size, and against what it was lately.
        """
        if self._stretch == 0 or ground.trust == 0:
            return state
        soles = soles @ ground.R_world_level.T  # about the camera, axes of the world
        drop, distance = -soles[..., 1].min(2), -soles[..., 2].mean(2)  # (P, 2) m
        variance = _FLOOR_DEVIATION_M**2 + (_PITCH_DEVIATION * distance) ** 2
        weight = ground.trust * state.feet.contact * (drop > 0.3) / variance
        floor_weight, floor_sum = (weight * drop**2).sum(1), (weight * drop).sum(1) * ground.camera_height_m
        usual = state.usual_scale
        off = np.where(floor_weight > 1e-6, floor_sum / np.maximum(floor_weight, 1e-6) - usual, 0.0)
        size_weight = 1 / (_SCALE_DEVIATION**2 + _SCALE_TAIL * off**2)
        scale = np.clip((size_weight * usual + floor_sum) / (size_weight + floor_weight), *_SCALE_RANGE)
        # On straight legs the size in the picture is to be trusted.
        scale = np.clip(scale, 1 - _UPRIGHT_SCALE - bent, 1 + _UPRIGHT_SCALE + bent)
        share = 1 - np.exp(-dt / _SCALE_S)
        return replace(state, scale=np.where(dt > 0, scale, state.scale), usual_scale=usual + share * (scale - usual))


class _Landmarks:
    """Landmarks of persons in the picture; NaN where there is no person."""

    def __init__(self, persons: Sequence[Person | None]) -> None:
        missing = np.full((33, 3), np.nan)
        self.px = np.array([missing if p is None else p.landmarks_px for p in persons], np.float64)[..., :2]
        self.visibility = np.array([missing[:, 0] if p is None else p.visibility for p in persons], np.float64)

    def feet_rays(self, camera: Camera) -> Float64:
        """Heel and toes of both feet (P, 2, 2, 2), px over the focal length; 0 where not finite."""
        px = self.px[:, _FOOT_LANDMARKS[:, 1:]]
        return np.where(np.isfinite(px), px, 0.0) / camera.focal_px

    def feet(self) -> Mask:
        """Whether each foot (P, 2) is visible."""
        return np.asarray(self.visibility[:, _FOOT_LANDMARKS].sum(2) > 3 * _FOOT_VISIBILITY)  # false where it is NaN


def _filter(keep: VectorFilter | RotationFilter, last: Filtered, fresh: Mask, dt: Float64, x: Float64) -> Filtered:
    """A filter's next state; of fresh persons, its first."""
    step = keep.step(last, dt, x)
    return choose(fresh, keep.start(x), step) if fresh.any() else step


def _measure_roots(
    state: PeopleState, points: Float64, seen: _Landmarks, persons: Sequence[Person | None], camera: Camera
) -> tuple[Float64, PeopleState]:
    """Pelvises (P, 3) m in camera axes: solved, else the last, else a guess."""
    weights = landmark_weights(seen.visibility, seen.px, camera)
    roots, solved = solve_roots(points, seen.px, weights, camera)
    if solved.all():
        return roots, replace(state, root_held=roots)
    held = np.where(solved[:, None], roots, state.root_held)
    roots = held.copy()
    for index in np.flatnonzero(np.isnan(held[:, 0])):
        roots[index] = guess_root(persons[index], camera)
    return roots, replace(state, root_held=held)
