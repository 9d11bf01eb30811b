"""Rotations in torch, any leading batch dimensions, differentiable everywhere; the numpy twin is ``rotations.py``.

Axis-angle is in radians, quaternions are XYZW. Two 6D conventions exist among the published systems: the first two
**columns** of the matrix, one after the other (Zhou et al., and this project), and the first two **rows** (PyTorch3D,
TokenHMR, VQ-HPS). They are each other's transpose; mixing them up gives the inverse rotation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALL = 1e-2  # rad or sine, below it a power series replaces the quotient, whose gradient would be 0 / 0


def columns6d_to_matrix(d6: Tensor) -> Tensor:
    """Any 6D vectors (..., 6), two columns -> rotation matrices (..., 3, 3) by Gram-Schmidt."""
    return rows6d_to_matrix(d6).transpose(-1, -2)


def matrix_to_columns6d(R: Tensor) -> Tensor:
    """Matrices (..., 3, 3) -> first column, second column (..., 6)."""
    return R[..., :, :2].transpose(-1, -2).flatten(-2)


def rows6d_to_matrix(d6: Tensor) -> Tensor:
    """Any 6D vectors (..., 6), two rows -> rotation matrices (..., 3, 3) by Gram-Schmidt."""
    first = F.normalize(d6[..., :3], dim=-1, eps=1e-6)
    rest = d6[..., 3:] - (first * d6[..., 3:]).sum(-1, keepdim=True) * first
    second = F.normalize(rest, dim=-1, eps=1e-6)
    return torch.stack([first, second, _cross(first, second)], -2)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """torch.linalg.cross, which OpenVINO 2026.4 cannot convert."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def matrix_to_rows6d(R: Tensor) -> Tensor:
    """Matrices (..., 3, 3) -> first row, second row (..., 6)."""
    return R[..., :2, :].flatten(-2)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Axis-angle (..., 3) rad -> rotation matrices (..., 3, 3): ``I + sin(a)/a K + (1 - cos(a))/a^2 K^2``."""
    square = axis_angle.square().sum(-1)[..., None, None]
    small = square < _SMALL**2
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    first = torch.where(small, 1 - square / 6 + square**2 / 120, angle.sin() / angle)
    # 2 sin^2(a/2) and not 1 - cos(a), which loses its digits for small angles.
    second = torch.where(small, 0.5 - square / 24 + square**2 / 720, 2 * ((0.5 * angle).sin() / angle).square())
    K = _cross_matrix(axis_angle)
    return torch.eye(3, dtype=K.dtype, device=K.device) + first * K + second * (K @ K)


def _cross_matrix(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def matrix_to_quat_xyzw(R: Tensor, positive_w: bool = True) -> Tensor:
    """Rotation matrices (..., 3, 3) -> unit quaternions (..., 4), XYZW (Shepperd's method, four branches).

    Args:
        positive_w: w >= 0. Otherwise the entry that is largest in magnitude is positive, as in PyTorch3D's older
            releases and the systems that carry a copy of them.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = R.flatten(-2).unbind(-1)
    xy, xz, yz, xw, yw, zw = m01 + m10, m02 + m20, m12 + m21, m21 - m12, m02 - m20, m10 - m01
    diagonal = torch.stack(
        [1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22, 1 + m00 + m11 + m22], -1
    )  # four times the squares of x, y, z, w: the largest is at least 1
    xx, yy, zz, ww = diagonal.unbind(-1)
    # Row k is the quaternion times four times its k-th entry, so the matrix of rows is symmetric.
    rows = torch.stack([xx, xy, xz, xw, xy, yy, yz, yw, xz, yz, zz, zw, xw, yw, zw, ww], -1).unflatten(-1, (4, 4))
    best = diagonal.argmax(-1)[..., None, None].expand(*diagonal.shape[:-1], 1, 4)
    quat = F.normalize(rows.gather(-2, best)[..., 0, :], dim=-1)
    return torch.where(quat[..., 3:] < 0, -quat, quat) if positive_w else quat


def quat_xyzw_to_matrix(quat: Tensor) -> Tensor:
    """Unit quaternions (..., 4), XYZW -> rotation matrices (..., 3, 3)."""
    x, y, z, w = quat.unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def matrix_to_axis_angle(R: Tensor, shortest: bool = True) -> Tensor:
    """Rotation matrices (..., 3, 3) -> axis-angle (..., 3) rad with angle in [0, pi].

    At pi the axis has two signs and the function jumps between them; its gradient is that of the branch taken.

    Args:
        shortest: Otherwise the quaternion is that of ``positive_w=False``, and angles reach 3/2 pi (released TokenHMR).
    """
    quat = matrix_to_quat_xyzw(R, positive_w=shortest)
    axis, w = quat[..., :3], quat[..., 3:]
    square = axis.square().sum(-1, keepdim=True)  # squared sine of half the angle
    small = square < _SMALL**2
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    return axis * torch.where(small, 2 + square / 3 + 3 * square**2 / 20, 2 * torch.atan2(sine, w) / sine)


def geodesic_angle(R_a: Tensor, R_b: Tensor) -> Tensor:
    """Angle in rad, in [0, pi], between rotations (..., 3, 3), broadcast: the geodesic distance on SO(3).

    From sine and cosine together, so that it keeps its digits at 0 and at pi, where the arc cosine of the trace has an
    infinite gradient. Equal rotations, and opposite ones, get the zero subgradient.
    """
    relative = R_a.transpose(-1, -2) @ R_b
    x, y, z = (relative[..., i, j] - relative[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    square = x * x + y * y + z * z  # (2 sin)^2
    zero = square == 0
    sine = 0.5 * torch.where(zero, torch.ones_like(square), square).sqrt().masked_fill(zero, 0.0)
    cosine = 0.5 * (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)
    # atan2(0, 0) has no gradient; no rotation gives it, but a matrix that is not yet a rotation may.
    return torch.atan2(sine, torch.where(zero & (cosine == 0), torch.ones_like(cosine), cosine))


def random_rotations(
    shape: Sequence[int], generator: torch.Generator | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Uniformly random rotations (*shape, 3, 3), float32: normalised four-dimensional normals as quaternions.

    Args:
        generator: On ``device``; not given: torch's own.
    """
    quat = torch.randn((*shape, 4), generator=generator, device=device)
    return quat_xyzw_to_matrix(F.normalize(quat, dim=-1))
