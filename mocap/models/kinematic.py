"""Kinematic regressor: BlazePose's landmarks -> 24 SMPL joint rotations and a shape, without any learned part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocap.batch import join, split, take
from mocap.body.joint_limits import joint_limits
from mocap.body.landmarks import LANDMARK, LandmarkAnchors, load_landmark_anchors
from mocap.body.rotation_vectors import fast_exp, fast_log
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, Skeleton, load_skeleton
from mocap.clock import Clock, Seldom
from mocap.models.kinematic_fit import FREE_JOINTS, Fit, Observation, PoseFitter, Prior
from mocap.models.kinematic_init import initial_pose
from mocap.models.kinematic_observe import Sight
from mocap.models.kinematic_shape import LENGTHS, Lengths, ShapeSolver
from mocap.types import Camera, Frame, Person, PoseEstimate

log = logging.getLogger(__name__)
Array64 = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]  # (P,)

_RESTART_S = 0.5  # after a longer gap the previous pose says nothing
# On a joint that is seen the pull to the neutral pose is this many times weaker, per axis: landmarks show where limbs
# point, but twist, wrists and the trunk's bend poorly.
_FREEDOM = np.full((NUM_JOINTS, 3), 3.0)
_FREEDOM[[3, 6, 9, 20, 21]] = 2.0
_FREEDOM[[1, 2], 1] = 1.0
_FREEDOM[[16, 17], 0] = 0.7
_FREEDOM[[18, 19], 0] = 2.5
_DIFFUSION = 3.2  # rad²/s: how far a joint wanders, for limbs; trunk and head wander a quarter as far
_CALM = {0: 3.0, 3: 0.25, 6: 0.25, 9: 0.25, 12: 0.5, 15: 0.5, 13: 0.25, 14: 0.25}
_WANDER = _DIFFUSION * np.array([_CALM.get(int(joint), 1.0) for joint in FREE_JOINTS])  # (20,) rad²/s
# How fast pelvis, left and right foot come nearer, m/s: at rest, and for each m/s across the line of sight above the
# speed that a resting one seems to have.
_APPROACH = np.array([3.0, 0.2, 0.2])
_APPROACH_MOVING, _REST_SPEED = np.array([1.5, 10.0, 10.0]), np.array([0.0, 0.15, 0.15])
_VELOCITY_S = 0.07  # time constant
_SPEED = (2.5, 30.0)  # rad/s: a joint that is not seen, a joint that is seen well
# A second start is tried when the fit is this much worse than of late, and every few frames; it has to win by a margin,
# because its pose jumps.
_DOUBT, _CHECK_EVERY, _SWITCH = 1.2, 8, 6.0
# Steps at most, and the gain below which a step is the last, of its energy: from the last pose, from a second start,
# from a first.
_FOLLOW_STEPS, _CHECK_STEPS, _FIRST_STEPS = 2, 5, 10
_FOLLOW_ENOUGH, _FRESH_ENOUGH = 0.15, 0.02
_SHAPE_EVERY_S, _SHAPE_FRAMES = 0.5, 10  # the shape is solved in the first frames, and then now and then

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


@dataclass(frozen=True)
class _Memory:
    """What is remembered of P persons."""

    R_parent_joint: Array64  # (P, 24, 3, 3)
    shift: Array64  # (P, 6) m, the fit's translations
    depth: Array64  # (P, 3) m, how far before the camera pelvis and feet were
    rays: Array64  # (P, 3, 2) where the picture showed them, over the focal length
    velocity: Array64  # (P, 3, 2) 1/s, of that
    energy: Array64  # (P,) of recent fits; infinite where the last one failed
    t: Array64  # (P,) s; minus infinity before the first frame
    t_shape: Array64  # (P,) s, when the shape was last solved
    frames: NDArray[np.int64]  # (P,)
    mean_lengths: Array64  # (P, 8) m
    length_weights: Array64  # (P, 8)
    betas: Array64  # (P, 10)


class KinematicRegressor:
    """Poses from landmarks, one state per track id.

    Call it with every frame's persons. It never raises on bad landmarks: what is not finite or not plausible is not
    believed, and a joint that nothing shows relaxes to a standing pose. All persons are solved at once; none's pose
    depends on who else is there.

    Args:
        skeleton: the shipped one when not given.
        anchors: the shipped ones, corrected for BlazePose's habits, when not given.
        forget_s: an id's state is dropped when it was not seen for longer, s. It has to outlast the tracker's memory.
    """

    def __init__(
        self, skeleton: Skeleton | None = None, anchors: LandmarkAnchors | None = None, forget_s: float = 2.0
    ) -> None:
        skeleton = skeleton or load_skeleton()
        anchors = anchors or blazepose_anchors(load_landmark_anchors())
        self._limits = joint_limits()
        self._fitter = PoseFitter(anchors.joint, self._limits)
        self._shape = ShapeSolver(skeleton, anchors)
        bones = skeleton.offsets(np.eye(NUM_BETAS) * 0)[0, 1:], skeleton.offsets(np.eye(NUM_BETAS))[:, 1:]
        landmarks = anchors.offset, np.moveaxis(anchors.directions, -1, 0)
        self._links = np.concatenate([bones[0], landmarks[0]]).astype(np.float64)  # (56, 3) m, see PoseFitter
        self._link_directions = np.concatenate([bones[1] - bones[0], landmarks[1]], 1).reshape(NUM_BETAS, -1)
        self._stranger = _Memory(
            self._limits.R_neutral[None], np.zeros((1, 6)), np.zeros((1, 3)), np.zeros((1, 3, 2)), np.zeros((1, 3, 2)),
            np.zeros(1), np.full(1, -np.inf), np.full(1, -np.inf), np.zeros(1, np.int64),
            np.zeros((1, len(LENGTHS))), np.zeros((1, len(LENGTHS))), np.zeros((1, NUM_BETAS)),
        )  # fmt: skip
        self._memories: dict[int, _Memory] = {}
        self._forget_s = forget_s
        self._clock, self._due = Clock(), Seldom()
        self._held = 0  # poses that were not finite

    def __call__(self, frame: Frame, persons: Sequence[Person], camera: Camera) -> list[PoseEstimate]:
        """One estimate per person, in their order."""
        t = self._clock(float(frame.t_capture))
        self._memories = {i: known for i, known in self._memories.items() if t - known.t[0] <= self._forget_s}
        if not persons:
            return []
        before = join([self._memories.get(person.track_id, self._stranger) for person in persons])
        sight = Sight(persons, camera)
        seen = sight.joints_seen()
        after = self._solve(self._measured(before, sight, t), sight, seen, t)
        R, betas, confidence = (x.astype(np.float32) for x in (after.R_parent_joint, after.betas, seen))
        self._memories.update(zip((p.track_id for p in persons), split(after, len(persons)), strict=True))
        return [PoseEstimate(p.track_id, R[i], betas[i], confidence[i]) for i, p in enumerate(persons)]

    def _measured(self, memory: _Memory, sight: Sight, t: float) -> _Memory:
        """Lengths measured once more, and shapes where they are due."""
        lengths = Lengths(memory.mean_lengths, memory.length_weights)
        lengths = lengths.update(sight.world, sight.belief, sight.depth_axis)
        due = np.flatnonzero((memory.frames < _SHAPE_FRAMES) | (t - memory.t_shape > _SHAPE_EVERY_S))
        betas, t_shape = memory.betas, memory.t_shape
        if due.size:
            betas, t_shape = betas.copy(), t_shape.copy()
            betas[due] = self._shape(Lengths(lengths.mean[due], lengths.weight[due]), betas[due])
            t_shape[due] = t
        return replace(memory, betas=betas, t_shape=t_shape, mean_lengths=lengths.mean, length_weights=lengths.weight)

    def _solve(self, memory: _Memory, sight: Sight, seen: Array64, t: float) -> _Memory:
        """Follow the previous poses; start afresh where there is none, or where a fresh start fits better."""
        dt = t - memory.t
        known = (dt <= _RESTART_S) & np.isfinite(memory.energy)
        dt = np.where(known, dt, 1.0)
        observation = sight.observation()
        pull = 1 / (self._limits.spread * (1 + (_FREEDOM - 1) * seen[..., None]))[:, FREE_JOINTS[1:]]
        hold = known[:, None] / np.sqrt(_WANDER * dt[:, None])
        velocity, depth_hold = _depth_hold(memory, sight, known, dt)
        prior = Prior(memory.R_parent_joint, hold, pull, sight.belief[:, 23:25].min(-1), memory.depth, depth_hold)
        links = (self._links.reshape(-1) + memory.betas @ self._link_directions).reshape(len(seen), -1, 3)
        fit = Fit(memory.R_parent_joint, memory.shift, memory.depth, np.full(len(seen), np.inf))
        if known.any():
            fit = self._follow(known, fit, links, observation, prior)
        doubtful = ~known | (fit.energy > _DOUBT * memory.energy) | (memory.frames % _CHECK_EVERY == 0)
        if doubtful.any():
            fit = self._try_afresh(doubtful, known, fit, links, observation, prior, sight)
        R = _limit_speed(memory.R_parent_joint, fit.R_parent_joint, seen, np.where(known, dt, np.inf))
        R = self._limits.clamp(R)
        energy = fit.energy.copy()
        energy[known] = memory.energy[known] + 0.1 * (fit.energy[known] - memory.energy[known])
        solved = replace(
            memory, R_parent_joint=R, shift=fit.shift, depth=fit.depth, rays=sight.anchors()[0], velocity=velocity,
            energy=energy, t=np.full(len(R), t), frames=memory.frames + 1,
        )  # fmt: skip
        return self._held_where_failed(memory, solved)

    def _follow(self, known: Mask, fit: Fit, links: Array64, observation: Observation, prior: Prior) -> Fit:
        """From the previous poses a little downhill, for the persons that have one."""
        who = _rows(known)
        start, links = take(fit, who), links[who]
        steps = np.full(len(links), _FOLLOW_STEPS)
        found = self._fitter.fit(
            start.R_parent_joint, start.shift, links, take(observation, who), take(prior, who), steps, _FOLLOW_ENOUGH
        )
        return _with(fit, who, found)

    def _try_afresh(
        self,
        doubtful: Mask,
        known: Mask,
        fit: Fit,
        links: Array64,
        observation: Observation,
        prior: Prior,
        sight: Sight,
    ) -> Fit:
        """From the landmarks alone further downhill, for the doubtful persons; kept where it fits better."""
        who = np.flatnonzero(doubtful)
        start = np.stack([initial_pose(sight.world[i], sight.belief[i], self._limits) for i in who])
        prior = take(prior, who)
        prior = replace(prior, hold=np.zeros_like(prior.hold))
        steps = np.where(known[who], _CHECK_STEPS, _FIRST_STEPS)
        fresh = self._fitter.fit(start, None, links[who], take(observation, who), prior, steps, _FRESH_ENOUGH)
        wins = fresh.energy < fit.energy[who] - _SWITCH
        return _with(fit, who[wins], take(fresh, wins)) if wins.any() else fit

    def _held_where_failed(self, before: _Memory, after: _Memory) -> _Memory:
        """The last poses where the new ones are not finite; the next frame starts those afresh."""
        failed = ~(np.isfinite(after.R_parent_joint).all((1, 2, 3)) & np.isfinite(after.energy))
        if not failed.any():
            return after
        self._held += int(failed.sum())
        if self._due(float(after.t[0])):
            log.warning("poses that are not finite (%d so far); holding the last ones", self._held)
        R = np.where(failed[:, None, None, None], before.R_parent_joint, after.R_parent_joint)
        shift = np.where(failed[:, None], before.shift, after.shift)
        depth = np.where(failed[:, None], before.depth, after.depth)
        return replace(after, R_parent_joint=R, shift=shift, depth=depth, energy=np.where(failed, np.inf, after.energy))


def _depth_hold(memory: _Memory, sight: Sight, known: Mask, dt: Array64) -> tuple[Array64, Array64]:
    """Velocity of the anchors in the picture (P, 3, 2) 1/s, and how firmly each keeps its depth (P, 3) 1/m.

    Not at all in the first frames: the depth is of a body whose size is still being found.
    """
    rays, shown = sight.anchors()
    share = 1 - np.exp(-dt / _VELOCITY_S)[:, None, None]
    velocity = memory.velocity + share * ((rays - memory.rays) / dt[:, None, None] - memory.velocity)
    velocity = np.where(known[:, None, None], velocity, 0.0)
    speed = np.sqrt((velocity * velocity).sum(-1)) * np.abs(memory.depth)
    spread = dt[:, None] * (_APPROACH + _APPROACH_MOVING * np.maximum(speed - _REST_SPEED, 0.0))
    settled = known & (memory.frames > _SHAPE_FRAMES)
    return velocity, settled[:, None] * shown / np.maximum(spread, 1e-4)


def _rows(chosen: Mask) -> slice | Indices:
    """Index of the chosen persons, without a copy where that is all."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _with(fit: Fit, who: slice | Indices, found: Fit) -> Fit:
    """The fit with what was found for some of the persons."""
    R, shift, depth, energy = fit.R_parent_joint.copy(), fit.shift.copy(), fit.depth.copy(), fit.energy.copy()
    R[who], shift[who], depth[who], energy[who] = found.R_parent_joint, found.shift, found.depth, found.energy
    return Fit(R, shift, depth, energy)


def _limit_speed(previous: Array64, R: Array64, seen: Array64, dt: Array64) -> Array64:
    """Hold each joint's turn since the previous frame (P, 24, 3, 3) to a speed that its belief (P, 24) allows in
    ``dt`` (P,) s."""
    low, high = _SPEED
    turn = fast_log(np.swapaxes(previous, -1, -2) @ R)
    angle = np.sqrt((turn * turn).sum(-1))
    allowed = (low + (high - low) * seen) * dt[:, None]
    fast = angle > allowed
    if not fast.any():
        return R
    limited = R.copy()
    limited[fast] = previous[fast] @ fast_exp(turn[fast] * (allowed[fast] / angle[fast])[:, None])
    return limited
