"""Thinning gives what comparing all pairs gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.training.datasets.small_motion import random_motion, random_rotations
from training.datasets.distinct import distinct, distinct_poses, pose_positions


def brute_force(positions: NDArray, radius: float) -> list[int]:
    kept: list[int] = []
    for index, pose in enumerate(positions):
        if all(np.linalg.norm(pose - positions[other], axis=-1).mean() > radius for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("radius", [0.05, 0.08, 0.15])
def test_as_comparing_all_pairs(radius: float) -> None:
    keys = pose_positions(random_rotations(40, degrees=50))
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.full(40, 0.05), 400).astype(np.float32)  # near some of 40 poses: near-duplicates abound
    positions = np.einsum("nk,kji->nji", share, keys)
    found = distinct(positions, radius)
    assert found.tolist() == brute_force(positions, radius)
    assert 1 < len(found) < 400


def test_the_heading_does_not_make_a_pose_another() -> None:
    R = np.tile(random_rotations(1, degrees=30), (50, 1, 1, 1))
    R[:, 0] = Rotation.from_euler("y", np.linspace(0, 350, 50)[:, None], degrees=True).as_matrix() @ R[:, 0]
    assert distinct(pose_positions(R)).tolist() == [0]


def test_over_several_motions_indices_run_on() -> None:
    motion = random_motion(30)
    once = distinct_poses([motion])
    assert distinct_poses([motion, motion]).tolist() == once.tolist()
    assert distinct_poses([motion, random_motion(30, seed=9)]).max() >= 30


def test_no_pose_and_one_pose() -> None:
    assert distinct(np.zeros((0, 22, 3), np.float32)).tolist() == []
    assert distinct(np.zeros((1, 22, 3), np.float32)).tolist() == [0]
