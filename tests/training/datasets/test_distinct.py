"""Thinning keeps poses that differ from each other, and one that is the same as each pose it drops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.training.datasets.small_motion import random_motion, random_rotations
from training.datasets import distinct as module
from training.datasets.distinct import distinct, distinct_poses, pose_positions, same


def crowd(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Poses near some of 40 poses: near-duplicates abound."""
    keys = pose_positions(random_rotations(40, seed, degrees=50))
    share = np.random.default_rng(seed).dirichlet(np.full(40, 0.05), count).astype(np.float32)
    return np.einsum("nk,kji->nji", share, keys)


@pytest.mark.parametrize("distance", [0.04, 0.08, 0.15])
@pytest.mark.parametrize("chunk", [7, 512])
def test_kept_poses_differ_and_dropped_ones_are_the_same_as_a_kept_one(
    distance: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    monkeypatch.setattr(module, "_OTHERS", 3 * chunk)
    joints = crowd(700)
    kept = distinct(joints, distance)
    alike = same(joints[:, None], joints[kept][None], distance)  # all pairs, slowly
    assert (alike[kept].sum(1) == 1).all()
    assert alike.any(1).all()
    assert 1 < len(kept) < len(joints)


def test_the_same_pose_is_one_whose_joints_are_near_on_average_without_one_limb_far_off() -> None:
    pose = pose_positions(random_rotations(1))
    near, limb = pose + np.float32(0.04), pose.copy()
    limb[:, 20] += np.array([0, 1.6, 0], np.float32)  # the mean distance is 7.3 cm, the root mean square 34 cm
    assert same(pose, near)[0]
    assert not same(pose, limb)[0]
    assert not same(pose, pose + np.float32(0.05))[0]  # 8.7 cm


def test_deterministic_and_without_poses() -> None:
    joints = crowd(300)
    assert distinct(joints).tolist() == distinct(joints).tolist()
    assert distinct(joints[:0]).tolist() == []
    assert distinct(joints[:1]).tolist() == [0]


def test_an_earlier_pose_goes_before_its_duplicates() -> None:
    joints = crowd(1)
    assert distinct(np.repeat(joints, 50, 0)).tolist() == [0]


def test_the_heading_does_not_make_a_pose_another() -> None:
    R = np.tile(random_rotations(1, degrees=30), (50, 1, 1, 1))
    R[:, 0] = Rotation.from_euler("y", np.linspace(0, 350, 50)[:, None], degrees=True).as_matrix() @ R[:, 0]
    assert len(distinct(pose_positions(R))) == 1


def test_over_several_motions_indices_run_on() -> None:
    motion = random_motion(30)
    once = distinct_poses([motion])
    assert distinct_poses([motion, motion]).tolist() == once.tolist()
    assert distinct_poses([motion, random_motion(30, seed=9)]).max() >= 30
