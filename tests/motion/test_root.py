"""The root in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.landmarks import landmarks_from_pose
from mocap.motion.root import guess_root, landmark_weights, solve_roots
from mocap.types import Camera
from tests.motion.simulate import LEVEL, pitched_camera, see, standing

ONES = np.ones(33)


def solve_root(points: np.ndarray, px: np.ndarray, weights: np.ndarray, camera: Camera) -> np.ndarray | None:
    """One person's."""
    roots, solved = solve_roots(points[None], px[None], weights[None], camera)
    return roots[0] if solved[0] else None


def random_body(random: np.random.Generator) -> np.ndarray:
    """Landmarks (33, 3) m of a random pose about its pelvis, camera axes."""
    R = Rotation.from_rotvec(random.normal(0, 0.5, (24, 3))).as_matrix()
    return landmarks_from_pose(R, np.zeros(3)) @ LEVEL


@pytest.mark.parametrize("seed", range(20))
def test_noise_free_projections_give_the_exact_translation(seed: int) -> None:
    random = np.random.default_rng(seed)
    camera = Camera(1280, 720, float(random.uniform(500, 2000)))
    points = random_body(random)
    truth = np.array([*random.uniform(-1.5, 1.5, 2), random.uniform(1.5, 8)])
    root = solve_root(points, camera.project(points + truth), ONES, camera)
    assert root == pytest.approx(truth, abs=1e-4)


def test_depth_scales_with_the_focal_length() -> None:
    points = random_body(np.random.default_rng(0)) * [1, 1, 0]  # flat, so that the scaling is exact
    camera = Camera(1280, 720, 1000)
    px = camera.project(points + np.array([0, 0, 3.0]))
    longer = solve_root(points, px, ONES, Camera(1280, 720, 1500))
    assert longer is not None
    assert longer[2] == pytest.approx(4.5, abs=1e-4)


def test_a_wrong_landmark_is_outvoted() -> None:
    points = random_body(np.random.default_rng(1))
    camera, truth = Camera(1280, 720, 1000), np.array([0.2, -0.1, 3.0])
    px = camera.project(points + truth)
    px[[15, 28]] += [300.0, -200.0]
    robust = solve_root(points, px, ONES, camera)
    assert robust is not None
    assert np.linalg.norm(robust - truth) < 0.05


def test_the_upper_body_alone_gives_the_root() -> None:
    R, p = standing(yaw_deg=25)
    camera = pitched_camera(0, height_m=1.5, distance_m=1.0)
    _, person = see(R, p, camera)
    weights = landmark_weights(person.visibility, person.landmarks_px[:, :2], camera)
    assert (weights[23:] == 0).all()  # hips and legs are outside the picture
    assert (weights[11:13] > 0).all()
    R_level = R.copy()
    points = landmarks_from_pose(R_level, np.zeros(3)) @ LEVEL
    root = solve_root(points, person.landmarks_px[:, :2], weights, camera)
    assert root == pytest.approx(camera.to_camera(p), abs=1e-3)


@pytest.mark.parametrize("case", ["few", "one point", "not finite", "nothing"])
def test_what_cannot_be_solved_gives_none(case: str) -> None:
    points = random_body(np.random.default_rng(2))
    camera = Camera(1280, 720, 1000)
    px, weights = camera.project(points + np.array([0, 0, 3.0])), ONES.copy()
    if case == "few":
        weights[3:] = 0
    elif case == "one point":
        px[:] = 100.0
    elif case == "not finite":
        px[:] = np.nan
    else:
        weights[:] = 0
    assert solve_root(points, px, weights, camera) is None


def test_the_guess_is_in_front_of_the_camera_and_on_the_roi() -> None:
    camera = Camera(1280, 720, 1000)
    _, person = see(*standing(), pitched_camera(0))
    guess = guess_root(person, camera)
    assert camera.project(guess) == pytest.approx(np.array(person.roi.center_px), abs=0.1)
    assert 1 < guess[2] < 10
    assert np.isfinite(guess_root(None, camera)).all()


def test_people_are_placed_as_if_alone() -> None:
    random, camera = np.random.default_rng(3), Camera(1280, 720, 1000)
    points = np.stack([random_body(random) for _ in range(3)])
    px = camera.project(points + np.array([[[0.3, 0, 3.0]], [[-0.5, 0.1, 5.0]], [[0, 0, 2.0]]]))
    px += random.normal(0, 3, px.shape)
    px[1] = np.nan
    roots, solved = solve_roots(points, px, np.ones((3, 33)), camera)
    assert solved.tolist() == [True, False, True]
    for person in (0, 2):
        assert roots[person] == pytest.approx(solve_root(points[person], px[person], ONES, camera), abs=1e-9)
