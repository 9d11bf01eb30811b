"""Feet that stand keep their place, and bodies theirs in the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mocap.body.landmarks import landmarks_from_pose
from mocap.body.skeleton import JOINT, load_skeleton
from mocap.config import MotionConfig
from mocap.motion import Motion, contact
from mocap.types import BodyPose
from tests.motion.simulate import (
    REST,
    about_x,
    pitched_camera,
    see,
    soles,
    standing,
    unplaced,
    walk,
    walk_without_sliding,
)

TIMES = np.arange(0, 6, 1 / 30)
WALKS = 110  # frame in which the walker has started and turned
SHOULDERS_AND_HIPS = [11, 12, 23, 24]


def watch_short_steps(smoothing: float, stride: float = 0.3) -> list[BodyPose]:
    """A walk whose legs are seen to swing by a twentieth less than they do, so that the standing foot slides."""
    camera, motion, poses = pitched_camera(-5, distance_m=4.5), Motion(MotionConfig(smoothing)), []
    for t, body in zip(TIMES, walk_without_sliding(TIMES, stride), strict=True):
        estimate, person = see(*body, camera)
        R = estimate.R_parent_joint.copy()
        for hip in (JOINT["left_hip"], JOINT["right_hip"]):
            R[hip] = about_x(0.95 * np.arctan2(R[hip, 2, 1], R[hip, 1, 1]))
        (pose,), _ = motion.update(t, [replace(estimate, R_parent_joint=R)], [person], unplaced(camera))
        poses.append(pose)
    return poses


def slides(poses: list[BodyPose]) -> np.ndarray:
    """Speeds (n,) m/s at which the standing feet slide: of heel and ball, the slower one's."""
    points = np.array([soles(pose.R_parent_joint, pose.p_world_root) for pose in poses])[WALKS:, ..., ::2]
    speed = np.linalg.norm(np.diff(points, axis=0), axis=-1).min(-1) * 30
    stands = np.array([pose.contact for pose in poses])[WALKS:] > 0.8
    return speed[stands[1:] & stands[:-1]]


def watch_wobble() -> list[BodyPose]:
    """Somebody stands, but the legs are seen to swing to and fro by two degrees."""
    camera, motion, poses = pitched_camera(-5, distance_m=4.5), Motion(MotionConfig()), []
    for t in TIMES:
        estimate, person = see(*standing(60), camera)
        R = estimate.R_parent_joint.copy()
        R[[1, 2]] = about_x(np.radians(2) * np.sin(2 * np.pi * 0.5 * max(t - 2.5, 0)))
        (pose,), _ = motion.update(t, [replace(estimate, R_parent_joint=R)], [person], unplaced(camera))
        poses.append(pose)
    return poses


def test_a_standing_foot_slides_half_as_far(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = slides(watch_wobble())
    monkeypatch.setattr(contact, "_MAX_SHIFT_M", 0.0)
    free = slides(watch_wobble())
    assert len(free) > 100
    assert locked.mean() < 0.5 * free.mean()


def test_the_lock_helps_a_walk_and_never_makes_it_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = watch_short_steps(0.5)
    monkeypatch.setattr(contact, "_MAX_SHIFT_M", 0.0)
    free = watch_short_steps(0.5)
    assert len(slides(free)) > 30
    assert slides(locked).mean() < 0.85 * slides(free).mean()
    shift = np.array([a.p_world_root - b.p_world_root for a, b in zip(locked, free, strict=True)])
    assert np.abs(shift).max() < 0.021  # never more than it may
    assert np.abs(np.diff(shift, axis=0)).max() < 0.0175  # m a frame: nothing pops


def test_smoothing_0_locks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = watch_short_steps(0.0)
    monkeypatch.setattr(contact, "_MAX_SHIFT_M", 0.0)
    for pose, free in zip(raw, watch_short_steps(0.0), strict=True):
        assert pose.p_world_root == pytest.approx(free.p_world_root, abs=1e-9)


def test_a_lock_is_released_smoothly() -> None:
    lock, dt = contact.FootContact(1.0), np.full(1, 1 / 60)
    shift, still = np.full((1, 2), 0.02), np.zeros((1, 2, 2, 2))
    for _ in range(12):
        before, shift = shift, lock._shift(shift, dt, np.zeros((1, 2)), still)
        assert (np.abs(shift - before) < 0.005).all()
    assert (np.abs(shift) < 0.002).all()


@pytest.mark.parametrize("wrong_m", [-0.25, 0.25])
def test_a_wrong_floor_leaves_an_upright_body_on_its_landmarks(wrong_m: float) -> None:
    """The second one stands on a step, or lower than the first, who gave the floor."""
    camera, motion = pitched_camera(-6, distance_m=4.5), Motion(MotionConfig())
    R, p = standing()
    for t in TIMES[:120]:
        first, first_seen = see(R, p + np.array([-0.7, 0, 0]), camera)
        second, seen = see(R, p + np.array([0.7, wrong_m, 0]), camera, track_id=1)
        (_, pose), placed = motion.update(t, [first, second], [first_seen, seen], unplaced(camera))
        points = landmarks_from_pose(pose.R_parent_joint, pose.p_world_root, pose.betas)
        off = (placed.project(placed.to_camera(points)) - seen.landmarks_px[:, :2])[SHOULDERS_AND_HIPS].mean(0)
        assert np.linalg.norm(off) < 0.028 * np.ptp(seen.landmarks_px[:, 1])


def test_a_squat_that_is_seen_too_shallow_is_bent_further_where_it_is() -> None:
    """The body stays on its landmarks: it is not put on its feet as it was seen."""
    camera, motion = pitched_camera(-6, distance_m=4.5), Motion(MotionConfig())
    for t in TIMES:
        deep = np.clip(t - 2.5, 0, 1)
        R, p = standing()
        shallow = R.copy()
        for body, share in ((R, 1.0), (shallow, 0.75)):
            body[[1, 2]], body[[4, 5]], body[[7, 8]] = (about_x(share * deep * angle) for angle in (-1.2, 1.7, -0.5))
        p = p - (soles(R, p)[..., 1].min()) * np.eye(3)[1]
        estimate, person = see(R, p, camera)
        seen_R = np.concatenate([estimate.R_parent_joint[:1], shallow[1:]])
        (pose,), placed = motion.update(t, [replace(estimate, R_parent_joint=seen_R)], [person], unplaced(camera))
    knees = [np.degrees(np.arccos((np.trace(pose.R_parent_joint[knee]) - 1) / 2)) for knee in (4, 5)]
    assert np.mean(knees) > np.degrees(0.75 * 1.7) + 8
    points = landmarks_from_pose(pose.R_parent_joint, pose.p_world_root, pose.betas)
    off = (placed.project(placed.to_camera(points)) - person.landmarks_px[:, :2])[SHOULDERS_AND_HIPS].mean(0)
    assert np.linalg.norm(off) < 0.06 * np.ptp(person.landmarks_px[:, 1])
    assert np.abs(soles(pose.R_parent_joint, pose.p_world_root)[..., 1]).max() < 0.04


def test_only_bent_legs_allow_a_large_lift() -> None:
    R, p = standing()
    bent = R.copy()
    bent[[1, 2]], bent[[4, 5]] = about_x(-1.4), about_x(1.6)
    bodies = np.array([load_skeleton().forward(body, p, np.zeros(10)) for body in (R, bent, walk(4.0)[0])])
    assert contact.bentness(bodies) == pytest.approx([0, 1, 0])  # who walks has one leg straight
    upright, squat, _ = contact.lift_limits(np.tile(REST, (3, 1, 1)), contact.bentness(bodies))
    assert 0.02 < upright < 0.035
    assert squat == pytest.approx(0.25)


def test_one_leaning_stand_does_not_turn_the_world_of_a_walker() -> None:
    """Somebody walks in, then stands leaning: the world turns slowly, and never as far as the lean."""
    camera, motion, pitches = pitched_camera(0, distance_m=4.5), Motion(MotionConfig()), []
    lean = about_x(np.radians(14))
    for t in np.arange(0, 7, 1 / 30):
        R, p = walk(t, speed=0.8, still_s=0.0) if t < 4 else standing()
        if t > 4:
            R = np.concatenate([(lean @ R[0])[None], R[1:]])
        estimate, person = see(R, p, camera)
        motion.update(t, [estimate], [person], unplaced(camera))
        pitches.append(motion.pitch_deg)
    assert np.abs(np.diff(pitches)).max() < 4.1 / 30
    assert np.abs(pitches).max() < 7
