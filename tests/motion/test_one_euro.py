"""One-Euro filters: identities on SO(3) and R^n."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.rotations import geodesic_angle
from mocap.motion.one_euro import (
    GROUPS,
    JOINT_GROUPS,
    RotationFilter,
    VectorFilter,
    joint_filter,
    smoothing_factor,
    stretch_of,
)


def noisy_stream(frames: int = 60, seed: int = 0) -> np.ndarray:
    """Rotations (frames, 24, 3, 3) that wander and shake, over half turns too."""
    random = np.random.default_rng(seed)
    path = np.cumsum(random.normal(0, 0.15, (frames, 24, 3)), 0) + random.normal(0, 1.5, (24, 3))
    return Rotation.from_rotvec(path.reshape(-1, 3)).as_matrix().reshape(frames, 24, 3, 3)


def filtered(keep: RotationFilter | VectorFilter, stream: np.ndarray, dt: float = 1 / 30) -> np.ndarray:
    """One person's samples (frames, ...) after the filter."""
    state, out = keep.start(stream[:1]), [stream[0]]
    for sample in stream[1:]:
        state = keep.step(state, np.array([dt]), sample[None])
        out.append(state.value[0])
    return np.array(out)


def run(stream: np.ndarray, dt: float = 1 / 30, stretch: float = 1.0) -> np.ndarray:
    return filtered(joint_filter(stretch), stream, dt)


def test_every_joint_has_a_group() -> None:
    assert len(JOINT_GROUPS) == 24
    assert set(JOINT_GROUPS) == set(GROUPS)


def test_turning_the_inputs_turns_the_outputs() -> None:
    stream = noisy_stream()
    Q = Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix()
    assert run(Q @ stream) == pytest.approx(Q @ run(stream), abs=1e-9)


def test_outputs_are_proper_rotations() -> None:
    out = run(noisy_stream(200))
    assert np.swapaxes(out, -1, -2) @ out == pytest.approx(np.broadcast_to(np.eye(3), out.shape), abs=1e-12)
    assert np.linalg.det(out) == pytest.approx(np.ones(out.shape[:2]))


def test_a_constant_is_a_fixed_point_and_stretch_0_passes_all() -> None:
    stream = noisy_stream()
    still = np.repeat(stream[:1], 30, 0)
    assert run(still) == pytest.approx(still, abs=1e-12)
    assert run(stream, stretch=0.0) == pytest.approx(stream, abs=1e-9)


def test_joints_do_not_mix() -> None:
    stream, other = noisy_stream(), noisy_stream(seed=1)
    mixed = stream.copy()
    mixed[:, 5] = other[:, 5]
    rest = [j for j in range(24) if j != 5]
    assert run(mixed)[:, rest] == pytest.approx(run(stream)[:, rest], abs=1e-12)
    assert run(mixed)[:, 5] == pytest.approx(run(other)[:, 5], abs=1e-12)


def test_more_smoothing_leaves_less_shake() -> None:
    random = np.random.default_rng(0)
    stream = Rotation.from_rotvec(random.normal(0, 0.01, (300 * 24, 3))).as_matrix().reshape(300, 24, 3, 3)
    shakes = []
    for smoothing in (0.0, 0.25, 0.5, 0.75, 1.0):
        out = run(stream, stretch=stretch_of(smoothing))[60:]
        shakes.append(geodesic_angle(np.eye(3), out).mean())
    assert all(b < 0.8 * a for a, b in pairwise(shakes))
    assert shakes[2] < 0.4 * shakes[0]


def test_fast_motion_is_followed_more_closely_than_slow() -> None:
    """The cut-off rises with speed: lag in seconds falls."""
    lags = []
    for speed in (0.3, 3.0):  # rad/s
        t = np.arange(0, 3, 1 / 30)
        vectors = np.zeros((len(t) * 24, 3))
        vectors[:, 0] = np.repeat(speed * t, 24)
        out = run(Rotation.from_rotvec(vectors).as_matrix().reshape(-1, 24, 3, 3))[-1]
        behind = geodesic_angle(out, Rotation.from_rotvec([speed * t[-1], 0, 0]).as_matrix())
        lags.append(behind / speed)
    assert (lags[1] < 0.5 * lags[0]).all()
    assert lags[1].max() < 0.05  # s, at the default


@pytest.mark.parametrize("fps", [15, 60, 120])
def test_frame_rate_changes_little(fps: int) -> None:
    """The same slow arm swing, sampled at other rates, comes out within a degree of the 30 fps one."""

    def swing(rate: int) -> np.ndarray:
        t = np.arange(0, 4, 1 / rate)
        vectors = np.zeros((len(t) * 24, 3))
        vectors[:, 0] = np.repeat(0.4 * np.sin(np.pi * t), 24)
        return run(Rotation.from_rotvec(vectors).as_matrix().reshape(-1, 24, 3, 3), 1 / rate)[:: rate // 15]

    difference = np.degrees(geodesic_angle(swing(fps), swing(30)))
    assert difference.max() < 2.5
    assert difference.mean() < 1.0


def test_no_time_no_change() -> None:
    stream = noisy_stream(2)
    assert run(stream, dt=0.0)[1] == pytest.approx(stream[0], abs=1e-12)


def test_people_are_filtered_as_if_alone() -> None:
    """Each with a time step of its own."""
    keep, streams, dt = joint_filter(1.0), [noisy_stream(seed=seed) for seed in range(3)], np.array([0.01, 0.04, 0.0])
    state = keep.start(np.stack([stream[0] for stream in streams]))
    for samples in zip(*(stream[1:] for stream in streams), strict=True):
        state = keep.step(state, dt, np.stack(samples))
    for person, stream in enumerate(streams):
        assert state.value[person] == pytest.approx(run(stream, dt[person])[-1], abs=1e-9)


def test_rounding_does_not_add_up() -> None:
    """Rotations come as float32, a millionth off; the filtered ones end up proper."""
    out = run(np.tile(noisy_stream(1).astype(np.float32).astype(np.float64), (20, 1, 1, 1)))[-1]
    assert np.swapaxes(out, -1, -2) @ out == pytest.approx(np.broadcast_to(np.eye(3), out.shape), abs=1e-12)


def test_vector_filter_shifts_with_its_input_and_starts_where_the_input_is() -> None:
    random = np.random.default_rng(0)
    x, shift = random.normal(size=(50, 3)), np.array([5.0, -2.0, 0.5])
    keep = VectorFilter(np.array([1.0, 0.5, 0.2]), np.array([0.1, 0.0, 0.5]), 1.0)
    assert filtered(keep, x)[0] == pytest.approx(x[0])
    assert filtered(keep, x + shift) == pytest.approx(filtered(keep, x) + shift)


def test_smoothing_factor_is_a_share() -> None:
    assert smoothing_factor(1.0, 0.0) == 0
    assert smoothing_factor(1.0, 1 / 30, stretch=0.0) == 1
    assert 0 < smoothing_factor(1.0, 1 / 30) < smoothing_factor(2.0, 1 / 30) < 1
