"""Kinematic regressor: BlazePose's landmarks -> 24 SMPL joint rotations and a shape, without any learned part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocap.body.joint_limits import joint_limits
from mocap.body.landmarks import LANDMARK, LandmarkAnchors, load_landmark_anchors
from mocap.body.rotation_vectors import fast_exp, fast_log
from mocap.body.skeleton import NUM_JOINTS, Skeleton, load_skeleton
from mocap.models.kinematic_fit import FREE_JOINTS, Observation, PoseFitter, Prior
from mocap.models.kinematic_init import initial_pose
from mocap.models.kinematic_shape import ShapeEstimator
from mocap.types import Camera, Frame, Person, PoseEstimate

log = logging.getLogger(__name__)
Array64 = NDArray[np.float64]

LEVEL = np.array([1.0, -1.0, -1.0])  # camera axes <-> level-world axes
AWAY_S = 2.0  # an id's state is dropped when it was not seen for this long
_RESTART_S = 0.5  # after a longer gap the previous pose says nothing
# Spread of world landmarks in the image plane and in depth, and of the 2D landmarks, metres at the person.
_SIGMA_PLANE, _SIGMA_DEPTH, _SIGMA_RAY = 0.05, 0.08, 0.03
# Landmarks that err together, and the spread of each against the middle of its group (times the spreads above; the
# face's eleven say much the same thing). All else, and the middles, have the spreads above.
_GROUPS = (
    (tuple(range(11)), 0.5), ((15, 17, 19, 21), 0.5), ((16, 18, 20, 22), 0.5), ((27, 29, 31), 0.5), ((28, 30, 32), 0.5),
)  # fmt: skip
# On a joint that is seen the pull to the neutral pose is this many times weaker, per axis: landmarks show where limbs
# point, but twist, wrists and the trunk's bend poorly.
_FREEDOM = np.full((NUM_JOINTS, 3), 3.0)
_FREEDOM[[3, 6, 9, 20, 21]] = 2.0
_FREEDOM[[1, 2], 1] = _FREEDOM[[16, 17], 0] = 1.0
_FREEDOM[[18, 19], 0] = 2.5
_DIFFUSION = 1.6  # rad²/s: how far a joint wanders, for limbs; trunk and head wander a quarter as far
_CALM = {0: 3.0, 3: 0.25, 6: 0.25, 9: 0.25, 12: 0.5, 15: 0.5, 13: 0.25, 14: 0.25}
_SPEED = (2.5, 30.0)  # rad/s: a joint that is not seen, a joint that is seen well
# A second start is tried when the fit is this much worse than of late, and every few frames; it has to win by a margin,
# because its pose jumps.
_DOUBT, _CHECK_EVERY, _SWITCH = 1.2, 8, 6.0
_VISIBILITY = (0.15, 0.7)  # below the first a landmark is not believed, above the second it is
# Landmarks that show each joint's rotation. A limb's joint is seen as well as the worst of them, the trunk's and the
# head's as well as their mean: shoulders alone still show where a body faces.
_SHOWN_BY: tuple[tuple[int, ...], ...] = (
    (11, 12, 23, 24), (23, 25), (24, 26), (11, 12, 23, 24), (25, 27), (26, 28), (11, 12, 23, 24), (27, 29, 31),
    (28, 30, 32), (11, 12, 23, 24), (29, 31), (30, 32), (0, 7, 8, 11, 12), (11, 13), (12, 14), (0, 2, 5, 7, 8),
    (11, 13), (12, 14), (13, 15), (14, 16), (15, 17, 19), (16, 18, 20), (17, 19), (18, 20),
)  # fmt: skip


# How BlazePose's points lie off the anchors in their joints' frames, m, left side (mirrored for the right): its feet
# are 10 cm short and its eyes' outer corners closer. Measured as the mean residual on the demo clip's ground truth and,
# after a fit, on three real clips, which agree.
_HABITS = {
    "left_eye_outer": (-0.020, 0.0, 0.012),
    "left_heel": (-0.010, -0.005, 0.045),
    "left_foot_index": (0.025, -0.004, -0.050),
}


def blazepose_anchors(anchors: LandmarkAnchors) -> LandmarkAnchors:
    """Anchors moved to where BlazePose's network puts its points."""
    offset = anchors.offset.copy()
    for name, habit in _HABITS.items():
        offset[LANDMARK[name]] += habit
        offset[LANDMARK[name.replace("left", "right")]] += np.array(habit) * [-1, 1, 1]
    return replace(anchors, offset=offset)


_EYE, _GROUP, _SPREAD = np.eye(33), np.zeros((len(_GROUPS), 33)), np.ones(33)
for _row, (_landmarks, _spread) in enumerate(_GROUPS):
    _GROUP[_row, list(_landmarks)], _SPREAD[list(_landmarks)] = 1.0, _spread
_SEEN = np.zeros((NUM_JOINTS, 33))
for _joint, _landmarks in enumerate(_SHOWN_BY):
    _SEEN[_joint, list(_landmarks)] = 1 / len(_landmarks)
_TRUNK = np.isin(np.arange(NUM_JOINTS), (0, 3, 6, 9, 12, 15))
_WANDER = _DIFFUSION * np.array([_CALM.get(int(joint), 1.0) for joint in FREE_JOINTS])  # (20,) rad²/s


@dataclass
class _Track:
    """What is remembered of one person."""

    shape: ShapeEstimator
    fitter: PoseFitter
    R_parent_joint: Array64 | None = None  # (24, 3, 3)
    t_capture: float = 0.0  # s
    t_shape: float = -np.inf  # s, when the shape was last solved
    frames: int = 0
    shift: Array64 | None = None  # (6,) m, the fit's translations
    energy: float = 0.0  # of recent fits


class KinematicRegressor:
    """Poses from landmarks, one state per track id.

    Call it with every frame's persons. It never raises on bad landmarks: what is not finite or not plausible is not
    believed, and a joint that nothing shows relaxes to a standing pose.
    """

    def __init__(self, skeleton: Skeleton | None = None, anchors: LandmarkAnchors | None = None) -> None:
        self._skeleton = skeleton or load_skeleton()
        self._anchors = anchors or blazepose_anchors(load_landmark_anchors())
        self._limits = joint_limits()
        self._tracks: dict[int, _Track] = {}

    def __call__(self, frame: Frame, persons: Sequence[Person], camera: Camera) -> list[PoseEstimate]:
        """One estimate per person, in their order."""
        t = float(frame.t_capture)
        gone = [i for i, track in self._tracks.items() if abs(t - track.t_capture) > AWAY_S]
        for track_id in gone:
            del self._tracks[track_id]
        return [self._estimate(t, person, camera) for person in persons]

    def _estimate(self, t: float, person: Person, camera: Camera) -> PoseEstimate:
        track = self._tracks.get(person.track_id)
        if track is None:
            track = self._tracks[person.track_id] = self._new_track()
        belief = _belief(person)
        observation = _observe(person, camera, belief)
        self._update_shape(track, observation, belief, t)
        R = self._solve(track, observation, belief, t)
        if not np.all(np.isfinite(R)):
            log.warning("person %d: the pose was not finite; holding the last one", person.track_id)
            R = self._limits.R_neutral if track.R_parent_joint is None else track.R_parent_joint
        track.R_parent_joint, track.t_capture, track.frames = R, t, track.frames + 1
        return PoseEstimate(
            person.track_id,
            R.astype(np.float32),
            track.shape.betas.astype(np.float32),
            _seen(belief).astype(np.float32),
        )

    def _new_track(self) -> _Track:
        fitter = PoseFitter(self._anchors.joint, self._limits)
        track = _Track(ShapeEstimator(self._skeleton, self._anchors), fitter)
        self._set_bones(track)
        return track

    def _set_bones(self, track: _Track) -> None:
        betas = track.shape.betas
        track.fitter.set_bones(self._skeleton.offsets(betas), self._anchors.offsets(betas))

    def _update_shape(self, track: _Track, observation: Observation, belief: Array64, t: float) -> None:
        track.shape.update(observation.world, belief, observation.depth_axis)
        if track.frames < 10 or t - track.t_shape > 0.5:
            track.shape.solve()
            track.t_shape = t
            self._set_bones(track)

    def _solve(self, track: _Track, observation: Observation, belief: Array64, t: float) -> Array64:
        """Follow the previous pose; start afresh where there is none, or where a fresh start fits better."""
        hips_seen, seen = float(belief[[23, 24]].min()), _seen(belief)
        pull = 1 / (self._limits.spread * (1 + (_FREEDOM - 1) * seen[:, None]))[FREE_JOINTS[1:]]
        alone = Prior(None, np.ones(len(FREE_JOINTS)), pull, hips_seen)
        previous, dt = track.R_parent_joint, t - track.t_capture
        if previous is None or not 0 < dt <= _RESTART_S:
            start = initial_pose(observation.world, belief, self._limits)
            fit = track.fitter.fit(start, None, observation, alone, steps=10)
            track.shift, track.energy = fit.shift, fit.energy
            return self._limits.clamp(fit.R_parent_joint)
        prior = Prior(previous, np.sqrt(_WANDER * dt), pull, hips_seen)
        fit = track.fitter.fit(previous, track.shift, observation, prior, steps=2)
        if fit.energy > _DOUBT * track.energy or track.frames % _CHECK_EVERY == 0:
            start = initial_pose(observation.world, belief, self._limits)
            fresh = track.fitter.fit(start, None, observation, alone, steps=5)
            fit = fresh if fresh.energy < fit.energy - _SWITCH else fit
        track.shift = fit.shift
        track.energy += 0.1 * (fit.energy - track.energy)
        return self._limits.clamp(_limit_speed(previous, fit.R_parent_joint, seen, dt))


def _seen(belief: Array64) -> Array64:
    """How well each joint is seen (24,), in [0, 1]."""
    return np.where(_TRUNK, _SEEN @ belief, np.where(_SEEN > 0, belief, 1.0).min(-1))


def _belief(person: Person) -> Array64:
    """How far each landmark is believed (33,), in [0, 1]."""
    low, high = _VISIBILITY
    visibility = np.nan_to_num(np.asarray(person.visibility, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    shown = np.clip((visibility - low) / (high - low), 0.0, 1.0) ** 2
    world = np.asarray(person.landmarks_world, np.float64)
    plausible = np.isfinite(world).all(-1) & (np.abs(np.nan_to_num(world)).max(-1) < 3.0)
    belief: Array64 = np.where(plausible, shown, 0.0)
    spread = np.ptp(world[belief > 0], axis=0).max() if (belief > 0).any() else 0.0
    return belief if spread > 0.05 else np.zeros(33)


def _observe(person: Person, camera: Camera, belief: Array64) -> Observation:
    """Landmarks in level-world axes. The network sees a crop as if the camera looked straight at it, so the world
    landmarks are turned by the ray through the crop's centre."""
    R_ray = _ray_rotation(person, camera)
    world = np.where(belief[:, None] > 0, np.nan_to_num(np.asarray(person.landmarks_world, np.float64)), 0.0)
    axes = R_ray * LEVEL[:, None]  # level world from crop camera
    px = np.asarray(person.landmarks_px, np.float64)[:, :2]
    inside = np.isfinite(px).all(-1) & (np.abs(np.nan_to_num(px)).max(-1) < 10 * max(camera.width, camera.height))
    ray = (np.where(inside[:, None], np.nan_to_num(px), 0.0) - np.array(camera.center_px)) / camera.focal_px
    belief_ray = np.where(inside & _spread_out(px, inside & (belief > 0), camera), belief, 0.0)
    project = np.zeros((33, 5, 3))
    project[:, :3] = (axes / np.array([_SIGMA_PLANE, _SIGMA_PLANE, _SIGMA_DEPTH])).T
    project[:, 3, 0] = project[:, 4, 1] = 1 / _SIGMA_RAY
    project[:, 3:, 2] = ray * np.array([1.0, -1.0]) / _SIGMA_RAY  # on its ray a point has x + u z = 0; depth is -z
    mix = _mix(belief)
    mix_ray = mix if np.array_equal(belief, belief_ray) else _mix(belief_ray)
    return Observation(world @ axes.T, axes[:, 2], project, mix, mix_ray)


def _mix(belief: Array64) -> Array64:
    """Landmark errors (33,) -> rows (38,): see :class:`Observation`."""
    share = _GROUP * belief
    share /= np.maximum(share.sum(-1, keepdims=True), 1e-9)
    mix = np.empty((33 + len(_GROUP), 33))
    mix[:33] = (_EYE - _GROUP.T @ share) * (np.sqrt(belief) / _SPREAD)[:, None]
    mix[33:] = share * np.sqrt((_GROUP * belief).max(-1, keepdims=True))
    return mix


def _spread_out(px: Array64, usable: NDArray[np.bool_], camera: Camera) -> bool:
    """Whether the 2D landmarks span enough of the picture to say anything."""
    return bool(usable.sum() >= 4 and np.ptp(px[usable], axis=0).max() > 0.01 * max(camera.width, camera.height))


def _ray_rotation(person: Person, camera: Camera) -> Array64:
    """Camera from crop camera: the shortest rotation that takes the optical axis to the ray of the crop's centre."""
    offset = (np.asarray(person.roi.center_px, np.float64) - np.array(camera.center_px)) / camera.focal_px
    if not np.isfinite(offset).all() or np.abs(offset).max() > 3:
        return np.eye(3)
    angle = float(np.arctan(np.linalg.norm(offset)))
    if angle < 1e-6:
        return np.eye(3)
    axis = np.array([-offset[1], offset[0], 0.0]) / np.linalg.norm(offset)
    return fast_exp((axis * angle)[None])[0]


def _limit_speed(previous: Array64, R: Array64, seen: Array64, dt: float) -> Array64:
    """Hold each joint's turn since the previous frame (24, 3, 3) to a speed that its belief allows."""
    low, high = _SPEED
    turn = fast_log(np.swapaxes(previous, -1, -2) @ R)
    angle = np.sqrt((turn**2).sum(-1))
    share = np.minimum(1.0, (low + (high - low) * seen) * dt / np.maximum(angle, 1e-9))
    return previous @ fast_exp(turn * share[:, None])
