from __future__ import annotations

import numpy as np
import pytest

from mocap.body.rotations import axis_angle_to_matrix
from training.metrics import (
    acceleration,
    acceleration_error,
    heading_error,
    mpjpe,
    pa_mpjpe,
    procrustes,
    rotation_error,
)

RNG = np.random.default_rng(3)


def similarity(points: np.ndarray) -> np.ndarray:
    """Each frame's points (T, n, 3), turned, scaled and moved by that frame's own transform."""
    count = len(points)
    R = axis_angle_to_matrix(RNG.normal(0, 1.5, (count, 3)))
    scale = RNG.uniform(0.3, 3, (count, 1, 1))
    return scale * points @ np.swapaxes(R, -1, -2) + RNG.normal(0, 2, (count, 1, 3))


def test_similarity_transforms_cost_nothing() -> None:
    true = RNG.normal(0, 0.5, (20, 14, 3))
    moved = similarity(true)
    np.testing.assert_allclose(procrustes(moved, true), true, atol=1e-9)
    assert pa_mpjpe(moved, true).max() < 1e-9
    assert mpjpe(moved, true).min() > 0.1


def test_a_mirror_image_is_no_similarity() -> None:
    true = RNG.normal(0, 0.5, (5, 14, 3))
    assert pa_mpjpe(true * [-1, 1, 1], true).min() > 0.05


def test_alignment_never_makes_it_worse_in_squares() -> None:
    true = RNG.normal(0, 0.5, (30, 14, 3))
    predicted = true + RNG.normal(0, 0.2, true.shape)
    before = ((predicted - true) ** 2).sum((1, 2))
    after = ((procrustes(predicted, true) - true) ** 2).sum((1, 2))
    assert (after <= before + 1e-12).all()


def test_points_that_are_not_valid_do_not_count() -> None:
    true = RNG.normal(0, 0.5, (6, 10, 3))
    moved = similarity(true)
    valid = np.ones((6, 10), bool)
    valid[:, 7:] = False
    spoiled, holes = moved.copy(), true.copy()
    spoiled[:, 7:] += 100
    holes[:, 7:] = np.nan
    assert pa_mpjpe(spoiled, holes, valid).max() < 1e-9
    assert np.isnan(pa_mpjpe(moved, true, np.zeros((6, 10), bool))).all()


def test_mpjpe_is_the_mean_distance() -> None:
    true = np.zeros((2, 3, 3))
    predicted = np.zeros((2, 3, 3))
    predicted[0, 0] = (3, 4, 0)
    np.testing.assert_allclose(mpjpe(predicted, true), [5 / 3, 0])


def test_acceleration_of_free_fall_and_of_steady_motion() -> None:
    t = np.arange(30)[:, None, None] / 30
    fall = np.concatenate([0 * t, -0.5 * 9.81 * t**2, 0 * t], -1)
    assert acceleration(fall, 1 / 30) == pytest.approx(9.81)
    assert acceleration_error(fall + t * [1, 2, 3], fall, 1 / 30) == pytest.approx(0, abs=1e-9)


def test_rotation_and_heading_errors() -> None:
    R = axis_angle_to_matrix(RNG.normal(0, 1, (8, 3)))
    turn = axis_angle_to_matrix(np.array([0.0, np.radians(37), 0.0]))
    np.testing.assert_allclose(rotation_error(turn @ R, R), 37, atol=1e-6)
    tilt = axis_angle_to_matrix(np.array([np.radians(20), 0.0, 0.0]))
    np.testing.assert_allclose(heading_error(turn @ tilt, np.eye(3)), 37, atol=1e-6)
    assert heading_error(tilt, np.eye(3)) == pytest.approx(0, abs=1e-9)
