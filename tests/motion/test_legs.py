from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.rotations import geodesic_angle
from mocap.body.skeleton import JOINT, global_rotations, load_skeleton
from mocap.motion.legs import LEGS, bend, raise_ankles

from .simulate import standing

SKELETON = load_skeleton()


def squats(knee_deg: float = 70.0, count: int = 5, seed: int = 0) -> np.ndarray:
    """Turned bodies (P, 24, 3, 3) with knees bent by about as much, thighs apart."""
    rng = np.random.default_rng(seed)
    R = np.tile(np.eye(3), (count, 24, 1, 1))
    R[:, 0] = Rotation.random(count, random_state=seed).as_matrix()
    for side, sign in (("left", 1), ("right", -1)):
        bent = knee_deg + rng.uniform(-10, 10, count)
        hips = np.stack([-0.55 * bent, np.zeros(count), sign * rng.uniform(0, 25, count)], 1)
        R[:, JOINT[f"{side}_hip"]] = Rotation.from_euler("xyz", hips, degrees=True).as_matrix()
        R[:, JOINT[f"{side}_knee"]] = Rotation.from_euler("x", bent[:, None], degrees=True).as_matrix()
        R[:, JOINT[f"{side}_ankle"]] = Rotation.from_euler("x", -0.4 * bent[:, None], degrees=True).as_matrix()
    return R


def joints_of(R: np.ndarray) -> np.ndarray:
    return SKELETON.forward(R, np.zeros(3), np.zeros(10))


@pytest.mark.parametrize("up_m", [0.15, -0.05])
def test_ankles_go_where_they_should_and_nothing_else_moves(up_m: float) -> None:
    R = squats()
    before = joints_of(R)
    up = before[:, 0] - before[:, LEGS[:, 2]].mean(1)
    up *= up_m / np.linalg.norm(up, axis=-1, keepdims=True)
    new, joints = raise_ankles(R, before, up)
    np.testing.assert_allclose(joints, joints_of(new), atol=1e-9)
    np.testing.assert_allclose(joints[:, LEGS[:, 2]], before[:, LEGS[:, 2]] + up[:, None], atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(new), 1, atol=1e-9)
    legs = LEGS.ravel()
    others = [n for n in range(24) if n not in legs]
    np.testing.assert_array_equal(new[:, others], R[:, others])
    np.testing.assert_allclose(joints[:, others], before[:, others])
    feet = LEGS[:, 2]
    assert geodesic_angle(global_rotations(new)[:, feet], global_rotations(R)[:, feet]).max() < 1e-6


def test_knees_bend_forwards_even_from_straight_legs() -> None:
    R, _ = standing()
    new, joints = raise_ankles(R[None], joints_of(R[None]), np.array([[0, 0.2, 0]]))
    knees = Rotation.from_matrix(new[0, LEGS[:, 1]]).as_rotvec(degrees=True)
    assert (knees[:, 0] > 40).all()
    assert (joints[0, LEGS[:, 1], 2] > 0.1).all()


@pytest.mark.parametrize("back_deg", [0.0, 2.0, 5.0, 10.0])
def test_straight_and_overstretched_knees_bend_forwards_alone(back_deg: float) -> None:
    R, _ = standing()
    R = R.copy()
    R[LEGS[:, 1]] = Rotation.from_euler("x", -back_deg, degrees=True).as_matrix()
    before = joints_of(R[None])
    up = np.array([[0, 0.2, 0]])
    new, joints = raise_ankles(R[None], before, up)
    np.testing.assert_allclose(joints, joints_of(new), atol=1e-9)
    np.testing.assert_allclose(joints[:, LEGS[:, 2]], before[:, LEGS[:, 2]] + up[:, None], atol=1e-6)
    knees = Rotation.from_matrix(new[0, LEGS[:, 1]]).as_rotvec(degrees=True)
    assert (knees[:, 0] > 40).all()
    assert np.abs(knees[:, 1:]).max() < 5  # nor sideways


def test_a_leg_stretches_no_farther_than_it_is_long_and_folds_no_closer_than_it_can() -> None:
    R = squats()
    before = joints_of(R)
    for metres in (3.0, -3.0):
        new, joints = raise_ankles(R, before, np.full((5, 3), metres))
        assert np.isfinite(new).all()
        np.testing.assert_allclose(joints, joints_of(new), atol=1e-9)
        hip, knee, ankle = (joints[:, joint] for joint in LEGS[:, :3].T)
        length = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
        share = np.linalg.norm(ankle - hip, axis=-1) / length
        assert (share > 0.99).all()
        assert (share < 0.9986).all()  # knees of 6 degrees
    goal = before[:, LEGS[:, 0]].mean(1) - before[:, LEGS[:, 2]].mean(1)
    _, joints = raise_ankles(R, before, goal)
    share = np.linalg.norm(joints[:, LEGS[:, 2]] - joints[:, LEGS[:, 0]], axis=-1) / length
    assert share.min() > 0.34  # knees of 140 degrees


def test_bending_sets_the_reach_and_turns_about_the_knees_axis_alone() -> None:
    points = joints_of(squats())
    hip, knee, ankle = (points[:, joint] for joint in LEGS[:, :3].T)
    reach = 0.9 * np.linalg.norm(ankle - hip, axis=-1)
    side = global_rotations(squats())[:, LEGS[:, 0]][..., 0]
    turn = bend(knee - hip, ankle - knee, side, reach)
    moved = knee - hip + (turn @ (ankle - knee)[..., None])[..., 0]
    np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), reach, atol=1e-9)
    np.testing.assert_allclose(turn @ side[..., None], side[..., None], atol=1e-12)
