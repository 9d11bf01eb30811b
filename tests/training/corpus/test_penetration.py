"""Capsules find a body that passes through itself, and only such a body."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.skeleton import JOINT
from tests.training.datasets.small_motion import random_rotations
from training.corpus.kinematics import forward
from training.corpus.penetration import PAIRS, depths, segment_distance, self_penetrates
from training.datasets.motion import NUM_BODY_JOINTS, mirror_rotations


def posed(**turns: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Joints and global rotations of the T-pose with joints turned by x, y, z degrees (rotation vectors)."""
    R = np.tile(np.eye(3, dtype=np.float32), (1, NUM_BODY_JOINTS, 1, 1))
    for name, degrees in turns.items():
        R[0, JOINT[name]] = Rotation.from_rotvec(np.radians(degrees)).as_matrix()
    return forward(R, np.zeros((1, 3)))


@pytest.mark.parametrize(
    "turns",
    [
        {},
        {"left_shoulder": (0, 0, -72), "right_shoulder": (0, 0, 72)},  # standing
        {"left_hip": (-100, 0, 0), "left_knee": (110, 0, 0)},
        {"left_shoulder": (0, -60, 0), "left_elbow": (0, -120, 0)},  # the hand before the other shoulder
    ],
)
def test_ordinary_poses_are_free(turns: dict[str, tuple[float, float, float]]) -> None:
    assert not self_penetrates(*posed(**turns))[0]


@pytest.mark.parametrize(
    ("turns", "pair"),
    [
        ({"left_shoulder": (0, 0, -72), "left_elbow": (0, 0, -75)}, ("left_forearm", "hips")),
        ({"left_hip": (0, 0, -25), "right_hip": (0, 0, 25)}, ("left_shank", "right_shank")),
        ({"left_shoulder": (0, 0, 30), "left_elbow": (0, 0, 150)}, ("left_hand", "neck")),
        ({"right_hip": (-150, 0, 0), "right_knee": (30, 0, 0), "spine1": (40, 0, 0)}, ("right_thigh", "chest")),
    ],
)
def test_limbs_in_the_trunk_or_in_each_other_are_found(
    turns: dict[str, tuple[float, float, float]], pair: tuple[str, str]
) -> None:
    joints, R = posed(**turns)
    assert self_penetrates(joints, R)[0]
    assert depths(joints, R)[0, PAIRS.index(pair)] > 0.025


def test_the_mirror_image_penetrates_as_deep() -> None:
    R = random_rotations(200, degrees=60)
    deepest = depths(*forward(R, np.zeros((200, 3)))).max(1)
    mirrored = depths(*forward(mirror_rotations(R), np.zeros((200, 3)))).max(1)
    assert (deepest > 0.025).any()
    assert (deepest < 0.025).any()
    np.testing.assert_allclose(deepest, mirrored, atol=0.006)  # the mean skeleton is not quite symmetric


def test_segment_distance_is_that_of_many_points() -> None:
    rng = np.random.default_rng(0)
    p0, p1, q0, q1 = rng.normal(size=(4, 40, 3))
    q1[:5] = q0[:5] + p1[:5] - p0[:5]  # parallel
    t = np.linspace(0, 1, 301)[:, None, None]
    p, q = p0 + t * (p1 - p0), q0 + t * (q1 - q0)
    slow = np.linalg.norm(p[:, None] - q[None], axis=-1).min((0, 1))
    np.testing.assert_allclose(segment_distance(p0, p1, q0, q1), slow, atol=0.01)
