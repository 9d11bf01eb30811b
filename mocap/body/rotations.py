"""Rotations in NumPy, any leading batch dimensions. Quaternions are XYZW; axis-angle in radians.

Only what the stages need more than ``scipy.spatial.transform.Rotation`` gives (batches, speed on few joints).
"""

from __future__ import annotations

import numpy as np

from mocap.types import Array


def matrix_to_quat_xyzw(R: Array) -> Array:
    """Rotation matrices (..., 3, 3) -> unit quaternions (..., 4), XYZW, w >= 0 (Shepperd's method, four branches)."""
    m = np.asarray(R)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Row k is the quaternion times four times its k-th entry, so the matrix of rows is symmetric.
    rows = np.empty((*m.shape[:-2], 4, 4), np.result_type(m.dtype, np.float32))
    rows[..., 0, 0], rows[..., 1, 1] = 1 + m00 - m11 - m22, 1 - m00 + m11 - m22
    rows[..., 2, 2], rows[..., 3, 3] = 1 - m00 - m11 + m22, 1 + m00 + m11 + m22
    rows[..., 0, 1] = rows[..., 1, 0] = m[..., 0, 1] + m[..., 1, 0]
    rows[..., 0, 2] = rows[..., 2, 0] = m[..., 0, 2] + m[..., 2, 0]
    rows[..., 1, 2] = rows[..., 2, 1] = m[..., 1, 2] + m[..., 2, 1]
    rows[..., 0, 3] = rows[..., 3, 0] = m[..., 2, 1] - m[..., 1, 2]
    rows[..., 1, 3] = rows[..., 3, 1] = m[..., 0, 2] - m[..., 2, 0]
    rows[..., 2, 3] = rows[..., 3, 2] = m[..., 1, 0] - m[..., 0, 1]
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), -1)
    quat = np.take_along_axis(rows, best[..., None, None], -2)[..., 0, :]
    quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.where(quat[..., 3:] < 0, -quat, quat)


def quat_xyzw_to_matrix(quat: Array) -> Array:
    """Unit quaternions (..., 4), XYZW -> rotation matrices (..., 3, 3)."""
    x, y, z, w = np.moveaxis(np.asarray(quat), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, -1).reshape(*x.shape, 3, 3)


def axis_angle_to_matrix(axis_angle: Array) -> Array:
    """Axis-angle (..., 3) rad -> rotation matrices (..., 3, 3)."""
    v = np.asarray(axis_angle)
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    half = 0.5 * angle
    scale = np.where(angle > 1e-6, np.sin(half) / np.maximum(angle, 1e-12), 0.5)
    return quat_xyzw_to_matrix(np.concatenate([v * scale, np.cos(half)], -1))


def matrix_to_axis_angle(R: Array) -> Array:
    """Rotation matrices (..., 3, 3) -> axis-angle (..., 3) rad with angle in [0, pi]."""
    quat = matrix_to_quat_xyzw(R)
    sin_half = np.linalg.norm(quat[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sin_half, quat[..., 3:])
    return quat[..., :3] * np.where(sin_half > 1e-6, angle / np.maximum(sin_half, 1e-12), 2.0)


def geodesic_angle(R_a: Array, R_b: Array) -> Array:
    """Angle in rad between rotations (..., 3, 3), broadcast: the geodesic distance on SO(3)."""
    relative = np.swapaxes(np.asarray(R_a), -1, -2) @ R_b
    return np.linalg.norm(matrix_to_axis_angle(relative), axis=-1)
