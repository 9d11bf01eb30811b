from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body import rotations
from mocap.body import torch_rotations as tr

AXES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8], [1, 1, 1], [-0.3, 0.8, -0.5]])
AXES = AXES / np.linalg.norm(AXES, axis=-1, keepdims=True)
ANGLES = [0.0, 1e-9, 1e-7, 1e-5, 1e-3, 0.0099, 0.0101, 0.5, 1.5, np.pi / 2, 2.5, 3.1, np.pi - 1e-3, np.pi - 1e-6]
AXIS_ANGLES = torch.tensor(np.concatenate([AXES * angle for angle in [*ANGLES, np.pi]]))  # float64
SINGULAR = [0.0, 1e-12, 1e-8, 1e-4, np.pi - 1e-4, np.pi - 1e-8, np.pi]


def random_rotations(count: int = 300) -> Tensor:
    R = tr.random_rotations((count,), torch.Generator().manual_seed(0)).double()
    return tr.rows6d_to_matrix(tr.matrix_to_rows6d(R))  # orthogonal to double precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_axis_angle_agrees_with_numpy(dtype: torch.dtype) -> None:
    R = tr.axis_angle_to_matrix(AXIS_ANGLES.to(dtype)).double()
    atol = 1e-6 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(R.numpy(), rotations.axis_angle_to_matrix(AXIS_ANGLES.numpy()), atol=atol)
    np.testing.assert_allclose((R @ R.mT).numpy(), np.broadcast_to(np.eye(3), R.shape), atol=atol)


def test_the_way_back_agrees_with_numpy_and_makes_a_round_trip() -> None:
    for R in (random_rotations(), tr.axis_angle_to_matrix(AXIS_ANGLES)):
        back = tr.matrix_to_axis_angle(R)
        np.testing.assert_allclose(back.numpy(), rotations.matrix_to_axis_angle(R.numpy()), atol=1e-7)
        np.testing.assert_allclose(tr.axis_angle_to_matrix(back).numpy(), R.numpy(), atol=1e-9)
        quat = tr.matrix_to_quat_xyzw(R)
        np.testing.assert_allclose(quat.numpy(), rotations.matrix_to_quat_xyzw(R.numpy()), atol=1e-9)
        np.testing.assert_allclose(tr.quat_xyzw_to_matrix(quat).numpy(), R.numpy(), atol=1e-9)


def test_six_numbers_are_columns_or_rows() -> None:
    R = random_rotations()
    columns, rows = tr.matrix_to_columns6d(R), tr.matrix_to_rows6d(R)
    torch.testing.assert_close(columns[:, :3], R[:, :, 0])
    torch.testing.assert_close(columns[:, 3:], R[:, :, 1])
    torch.testing.assert_close(rows[:, :3], R[:, 0])
    torch.testing.assert_close(rows[:, 3:], R[:, 1])
    torch.testing.assert_close(tr.columns6d_to_matrix(columns), R)
    torch.testing.assert_close(tr.rows6d_to_matrix(rows), R)
    torch.testing.assert_close(tr.rows6d_to_matrix(columns), R.mT)  # what happens to those who mix them up


def test_the_long_way_round_is_the_same_rotation() -> None:
    R = random_rotations()
    quat = tr.matrix_to_quat_xyzw(R, positive_w=False)
    assert (quat.gather(-1, quat.abs().argmax(-1, keepdim=True)) > 0).all()
    axis_angle = tr.matrix_to_axis_angle(R, shortest=False)
    assert (axis_angle.norm(dim=-1) > np.pi).any()
    torch.testing.assert_close(tr.axis_angle_to_matrix(axis_angle), R)


def test_any_six_numbers_become_a_rotation() -> None:
    d6 = torch.randn(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    R = tr.rows6d_to_matrix(d6)
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=R.dtype).expand(200, 3, 3))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(200, dtype=R.dtype))
    torch.testing.assert_close(tr.rows6d_to_matrix(d6 * 7), R)  # only directions count


def test_geodesic_angle_is_the_angle_turned_by() -> None:
    R = random_rotations(len(AXIS_ANGLES))
    angle = tr.geodesic_angle(R, R @ tr.axis_angle_to_matrix(AXIS_ANGLES))
    torch.testing.assert_close(angle, AXIS_ANGLES.norm(dim=-1), atol=1e-7, rtol=0)
    np.testing.assert_allclose(
        tr.geodesic_angle(R[:-1], R[1:]).numpy(), rotations.geodesic_angle(R[:-1].numpy(), R[1:].numpy()), atol=1e-9
    )
    small = AXIS_ANGLES.float()
    in_float32 = tr.geodesic_angle(torch.eye(3), tr.axis_angle_to_matrix(small))
    torch.testing.assert_close(in_float32, small.norm(dim=-1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("angle", SINGULAR)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_zero_and_half_turn(angle: float, dtype: torch.dtype) -> None:
    functions: list[Callable[[Tensor], Tensor]] = [
        tr.axis_angle_to_matrix,
        lambda v: tr.matrix_to_axis_angle(tr.axis_angle_to_matrix(v)),
        lambda v: tr.matrix_to_quat_xyzw(tr.axis_angle_to_matrix(v)),
        lambda v: tr.geodesic_angle(tr.axis_angle_to_matrix(v), torch.eye(3, dtype=dtype)),
        lambda v: tr.rows6d_to_matrix(tr.matrix_to_rows6d(tr.axis_angle_to_matrix(v))),
    ]
    for function in functions:
        v = torch.tensor(AXES * angle, dtype=dtype, requires_grad=True)
        weights = torch.linspace(0.5, 1.5, function(v).numel(), dtype=dtype).reshape(function(v).shape)
        (function(v) * weights).sum().backward()
        assert v.grad is not None
        assert torch.isfinite(v.grad).all(), function
        assert v.grad.abs().max() < 20


def test_gradients_are_those_of_finite_differences() -> None:
    v = AXIS_ANGLES[(AXIS_ANGLES.norm(dim=-1) < 3.1) & (AXIS_ANGLES.norm(dim=-1) != 0)].clone().requires_grad_()
    assert torch.autograd.gradcheck(tr.axis_angle_to_matrix, (v,))
    assert torch.autograd.gradcheck(lambda v: tr.matrix_to_axis_angle(tr.axis_angle_to_matrix(v)), (v,))
    far = v[v.norm(dim=-1) > 1e-4].detach().requires_grad_()  # at 0 the angle has a corner, as |x| has
    eye = torch.eye(3, dtype=far.dtype)
    assert torch.autograd.gradcheck(lambda v: tr.geodesic_angle(tr.axis_angle_to_matrix(v), eye), (far,))
    d6 = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    assert torch.autograd.gradcheck(tr.columns6d_to_matrix, (d6,))


def test_degenerate_six_numbers_stay_finite() -> None:
    d6 = torch.tensor([[0.0] * 6, [1.0, 0, 0, 2, 0, 0]], requires_grad=True)
    R = tr.rows6d_to_matrix(d6)
    R.sum().backward()
    assert d6.grad is not None
    assert torch.isfinite(R).all()
    assert torch.isfinite(d6.grad).all()


def test_random_rotations_are_uniform() -> None:
    R = tr.random_rotations((20_000,), torch.Generator().manual_seed(4))
    angle = tr.geodesic_angle(R, torch.eye(3)).mean().item()
    assert angle == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)  # the mean angle under the Haar measure
    assert R.mean(0).abs().max() < 0.03
