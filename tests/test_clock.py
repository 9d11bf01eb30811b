from __future__ import annotations

import numpy as np
import pytest

from mocap.clock import MIN_STEP_S, Clock, Seldom


def times(stamps: list[float]) -> np.ndarray:
    clock = Clock()
    return np.array([clock(stamp) for stamp in stamps])


def test_good_time_stamps_pass_unchanged() -> None:
    stamps = np.cumsum(np.random.default_rng(0).uniform(0.005, 3, 100)) - 40
    assert times(list(stamps)) == pytest.approx(stamps)


def test_a_coarse_clock_advances_and_does_not_drift() -> None:
    fine = np.arange(0, 3, 1 / 120)
    seen = times(list(np.floor(fine / 0.0156) * 0.0156))
    assert np.diff(seen).min() >= MIN_STEP_S - 1e-9
    assert np.abs(seen - fine).max() < 0.02


def test_a_burst_is_paid_back() -> None:
    seen = times([0.0] * 10 + [0.1, 0.2])
    assert np.diff(seen).min() == pytest.approx(MIN_STEP_S)
    assert seen[-2:] == pytest.approx([0.1, 0.2])


def test_a_jump_back_counts_as_no_time_and_then_time_goes_on() -> None:
    seen = times([5.0, 5.1, -7.0, -6.9, -6.8, -100.0, -99.0])
    assert np.diff(seen) == pytest.approx([0.1, MIN_STEP_S, 0.1 - MIN_STEP_S, 0.1, MIN_STEP_S, 1 - MIN_STEP_S])


def test_seldom_is_true_at_first_and_every_ten_seconds() -> None:
    seldom = Seldom()
    assert [t for t in range(35) if seldom(float(t))] == [0, 10, 20, 30]
