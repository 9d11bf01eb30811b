"""Resampling by time, mirroring, joining, dropping NaN frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from mocap.body.rotations import geodesic_angle, matrix_to_quat_xyzw
from mocap.errors import MocapError
from tests.training.datasets.small_motion import random_motion
from training.datasets.kinematics import joint_positions, mean_offsets
from training.datasets.motion import SWAP_SIDES, concatenate, drop_nan_frames, mirror, resample, slerp


def test_a_joint_that_turns_evenly_is_at_the_right_angle_at_every_time() -> None:
    motion = random_motion(31, fps=30)
    angles = np.linspace(0, 150, 31)
    R = motion.R_parent_joint.copy()
    R[:, 5] = Rotation.from_euler("x", angles[:, None], degrees=True).as_matrix()
    root = np.stack([np.arange(31) / 30, np.zeros(31), np.zeros(31)], -1).astype(np.float32)
    fast = resample(replace(motion, R_parent_joint=R, p_world_root=root), 47)
    t = np.arange(fast.num_frames) / 47
    found = Rotation.from_matrix(fast.R_parent_joint[:, 5]).as_euler("xyz", degrees=True)[:, 0]
    np.testing.assert_allclose(found, 150 * t, atol=1e-3)
    np.testing.assert_allclose(fast.p_world_root[:, 0], t, atol=1e-5)
    assert fast.num_frames == 48  # 0 to 1 s, both ends


def test_resampling_agrees_with_scipys_slerp() -> None:
    motion = random_motion(12, fps=24, seed=3)
    slow = resample(motion, 17)
    times = np.arange(slow.num_frames) / 17
    for joint in range(22):
        R = Slerp(np.arange(12) / 24, Rotation.from_matrix(motion.R_parent_joint[:, joint]))(times).as_matrix()
        assert geodesic_angle(R, slow.R_parent_joint[:, joint]).max() < 1e-3


def test_slerp_takes_the_shorter_way() -> None:
    a = matrix_to_quat_xyzw(np.eye(3))
    b = matrix_to_quat_xyzw(Rotation.from_euler("z", 60, degrees=True).as_matrix())
    half = slerp(a[None], -b[None], np.array([[0.5]]))
    assert Rotation.from_quat(half[0]).magnitude() == pytest.approx(np.radians(30))


def test_a_frame_rate_of_zero_is_an_error() -> None:
    with pytest.raises(MocapError, match="frame rate above 0"):
        resample(random_motion(), 0)


def test_mirroring_twice_is_the_original() -> None:
    motion = random_motion()
    twice = mirror(mirror(motion))
    np.testing.assert_array_equal(twice.R_parent_joint, motion.R_parent_joint)
    np.testing.assert_array_equal(twice.p_world_root, motion.p_world_root)


def test_mirroring_moves_every_left_joint_to_where_the_right_one_was_seen_in_a_mirror() -> None:
    motion, mirrored = random_motion(), mirror(random_motion())
    flip = np.array([-1, 1, 1], np.float32)
    offsets = 0.5 * (mean_offsets() + mean_offsets()[SWAP_SIDES] * flip)  # a body with two equal sides
    before = joint_positions(motion.R_parent_joint, motion.p_world_root, offsets)
    after = joint_positions(mirrored.R_parent_joint, mirrored.p_world_root, offsets)
    np.testing.assert_allclose(after, before[:, SWAP_SIDES] * flip, atol=1e-5)


def test_joining_needs_one_person_and_one_frame_rate() -> None:
    a, b = random_motion(seed=1), random_motion(seed=2)
    assert concatenate([a, b]).num_frames == 40
    with pytest.raises(MocapError, match="resample first"):
        concatenate([a, replace(b, fps=60.0)])
    with pytest.raises(MocapError, match="nothing"):
        concatenate([])


def test_nan_frames_are_dropped_counted_and_never_bridged() -> None:
    motion = random_motion(20)
    root = motion.p_world_root.copy()
    root[7:10] = np.nan
    runs = drop_nan_frames(replace(motion, p_world_root=root))
    assert [run.num_frames for run in runs] == [7, 10]
    assert sum(run.dropped_frames for run in runs) == 3
    assert len({run.name for run in runs}) == 2
    np.testing.assert_array_equal(runs[1].R_parent_joint, motion.R_parent_joint[10:])
    with pytest.raises(MocapError, match="all 20 frames"):
        drop_nan_frames(replace(motion, p_world_root=np.full_like(root, np.nan)))
