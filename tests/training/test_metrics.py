from __future__ import annotations

import numpy as np
import pytest

from mocap.body.rotations import axis_angle_to_matrix
from training.metrics import (
    acceleration,
    acceleration_error,
    accelerations,
    derivative,
    exchange_gain,
    foot_skate,
    heading_error,
    jitter,
    lag_of,
    mean_of,
    mpjpe,
    pa_mpjpe,
    point_errors,
    procrustes,
    rotation_error,
    velocity_correlation,
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
    np.testing.assert_allclose(accelerations(fall, 1.0), np.full((28, 1), 9.81 / 30**2))
    assert acceleration_error(fall + t * [1, 2, 3], fall, 1 / 30) == pytest.approx(0, abs=1e-9)


def test_rotation_and_heading_errors() -> None:
    R = axis_angle_to_matrix(RNG.normal(0, 1, (8, 3)))
    turn = axis_angle_to_matrix(np.array([0.0, np.radians(37), 0.0]))
    np.testing.assert_allclose(rotation_error(turn @ R, R), 37, atol=1e-6)
    tilt = axis_angle_to_matrix(np.array([np.radians(20), 0.0, 0.0]))
    np.testing.assert_allclose(heading_error(turn @ tilt, np.eye(3)), 37, atol=1e-6)
    assert heading_error(tilt, np.eye(3)) == pytest.approx(0, abs=1e-9)


def test_point_errors_average_to_pa_mpjpe_and_leave_out_what_is_not_valid() -> None:
    true = RNG.normal(0, 0.5, (6, 10, 3))
    predicted = similarity(true + RNG.normal(0, 0.05, true.shape))
    np.testing.assert_allclose(point_errors(predicted, true).mean(1), pa_mpjpe(predicted, true))
    valid = RNG.random((6, 10)) < 0.7
    errors = point_errors(predicted, true, valid)
    assert (np.isnan(errors) == ~valid).all()
    np.testing.assert_allclose(np.nanmean(errors, 1), pa_mpjpe(predicted, true, valid))


def test_derivatives_of_a_cubic() -> None:
    t = np.arange(20)[:, None, None] / 30
    cubic = np.concatenate([t**3, 2 * t**3, 2 * t**3], -1)
    np.testing.assert_allclose(derivative(cubic, 1 / 30, 3)[..., 0], 6, rtol=1e-6)
    assert derivative(cubic, 1 / 30, 3).shape == (17, 1, 3)
    assert jitter(cubic, 1 / 30) == pytest.approx(6 * 3)
    holed = cubic.copy()
    holed[4] = np.nan
    assert jitter(holed, 1 / 30) == pytest.approx(6 * 3)
    assert acceleration_error(holed, cubic, 1 / 30) == pytest.approx(0, abs=1e-9)


def test_feet_skate_only_while_they_stand_and_along_the_floor() -> None:
    feet = np.zeros((4, 2, 3))
    feet[:, 0, 0] = [0, 0.01, 0.02, 0.5]  # slides, then is lifted
    feet[:, 1, 1] = [0, 0.1, 0.2, 0.3]  # up and down is no sliding
    planted = np.array([[True, True], [True, True], [True, True], [False, True]])
    skate = foot_skate(feet, planted, 0.1)
    np.testing.assert_allclose(skate[:2, 0], 0.1)
    assert np.isnan(skate[2, 0])
    np.testing.assert_allclose(skate[:, 1], 0, atol=1e-12)


def test_exchanging_sides_gains_where_they_were_exchanged() -> None:
    true = RNG.normal(0, 0.5, (4, 6, 3))
    twins = np.array([1, 0, 3, 2, 4, 5])
    seen = true.copy()
    seen[:2] = seen[:2, twins]
    gain = exchange_gain(seen, true, twins)
    np.testing.assert_allclose(gain[:2], pa_mpjpe(seen, true)[:2])
    np.testing.assert_allclose(gain[2:], -pa_mpjpe(true[2:, twins], true[2:]))


def swinging(t: np.ndarray) -> np.ndarray:
    """Points (T, 3, 3) m at times (T,) s."""
    rates = np.array([[0.5, 0.8, 1.1], [0.7, 0.9, 0.4], [0.6, 1.2, 1.0]])
    return np.asarray(0.2 * np.sin(2 * np.pi * rates * t[:, None, None] + rates))


@pytest.mark.parametrize("delay", [-1.4, 0.0, 0.25, 0.5, 3.0])
def test_the_lag_between_frames(delay: float) -> None:
    t = np.arange(90) / 30
    late, true = swinging(t - delay / 30), swinging(t)
    assert lag_of(velocity_correlation(late, true, 5)) == pytest.approx(delay, abs=0.03)
    noisy = late + RNG.normal(0, 0.005, late.shape)
    assert lag_of(velocity_correlation(noisy, true, 5)) == pytest.approx(delay, abs=0.3)


def test_the_lag_does_not_need_every_point_in_every_frame() -> None:
    t = np.arange(90) / 30
    late, true = swinging(t - 1.5 / 30), swinging(t)
    true[40:43, 1] = np.nan
    late[70:, 2] = np.nan
    assert lag_of(velocity_correlation(late, true, 5)) == pytest.approx(1.5, abs=0.05)


def test_no_lag_without_motion_or_likeness() -> None:
    t = np.arange(90) / 30
    true = swinging(t)
    assert np.isnan(lag_of(velocity_correlation(np.zeros_like(true), true, 5)))
    assert np.isnan(lag_of(velocity_correlation(true[:8], true[:8], 5)))  # too short
    assert np.isnan(lag_of(velocity_correlation(swinging(t - 8 / 30), true, 5)))  # beyond what is looked at
    noise = RNG.normal(0, 1, (400, 3, 3))
    assert np.isnan(lag_of(velocity_correlation(noise, swinging(np.arange(400) / 30), 5)))


def test_means_leave_out_what_is_missing() -> None:
    assert mean_of(np.array([1.0, np.nan, 3.0])) == 2
    assert np.isnan(mean_of(np.array([np.nan])))
