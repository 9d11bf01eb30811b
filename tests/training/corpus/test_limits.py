"""Poses are brought into the joint limits, and dropped where they were far outside."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mocap.body.skeleton import JOINT
from tests.training.datasets.small_motion import random_rotations
from training.corpus.kinematics import forward, lowest_point
from training.corpus.limits import SLACK_DEG, check, clamp, excess_deg, limits


def turned(joint: str, degrees: tuple[float, float, float]) -> np.ndarray:
    """A person who stands, with one joint turned by x, y, z degrees (rotation vector)."""
    R = limits().R_neutral[None, :22].astype(np.float32)
    R[0, JOINT[joint]] = Rotation.from_rotvec(np.radians(degrees)).as_matrix()
    return R


def test_clamped_poses_are_inside() -> None:
    R = random_rotations(300, degrees=120)
    assert excess_deg(R).max() > 30
    assert excess_deg(clamp(R)).max() < 0.01


def test_poses_inside_stay_as_they_are() -> None:
    R = limits().R_neutral[None, :22].astype(np.float32)
    found = check(R, np.zeros((1, 3)))
    assert found.possible[0]
    np.testing.assert_allclose(found.R, R, atol=1e-6)


def test_a_knee_bent_backwards_is_dropped_and_a_little_is_mended() -> None:
    assert not check(turned("left_knee", (-60, 0, 0)), np.zeros((1, 3))).possible[0]
    slightly = turned("left_knee", (-3 - SLACK_DEG + 5, 0, 0))
    assert excess_deg(slightly)[0] > 1
    found = check(slightly, np.zeros((1, 3)))
    assert found.possible[0]
    assert excess_deg(found.R)[0] < 0.01


def test_a_wrist_is_mended_from_anywhere() -> None:
    found = check(turned("right_wrist", (0, 80, 0)), np.zeros((1, 3)))
    assert found.possible[0]
    assert excess_deg(found.R)[0] < 0.01


def test_the_lowest_point_keeps_its_height() -> None:
    R, root = random_rotations(50, degrees=90), np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = check(R, root)
    assert np.abs(found.root - root).max() > 0.01
    np.testing.assert_allclose(lowest_point(*forward(found.R, found.root)), lowest_point(*forward(R, root)), atol=1e-5)
