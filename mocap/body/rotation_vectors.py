"""Rotation vectors in small batches, for solvers that call this thousands of times a second: float64, (n, ...) only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_axis_angle

Array64 = NDArray[np.float64]
_EYE = np.eye(3)


def fast_exp(r: Array64) -> Array64:
    """Rotation vectors (n, 3) -> matrices (n, 3, 3)."""
    x, y, z = r[:, 0], r[:, 1], r[:, 2]
    angle = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-8)
    K = _cross_matrix(x, y, z)
    first, second = np.sin(angle) / angle, (1 - np.cos(angle)) / angle**2
    return _EYE + first[:, None, None] * K + second[:, None, None] * (K @ K)


def fast_log(R: Array64) -> Array64:
    """Matrices (n, 3, 3) -> rotation vectors (n, 3); the careful path is taken near half turns only."""
    cosine = (R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2] - 1) / 2
    if cosine.min() < -0.95:
        return np.asarray(matrix_to_axis_angle(R), np.float64)
    v = np.empty((len(R), 3))
    np.subtract(R[:, 2, 1], R[:, 1, 2], out=v[:, 0])
    np.subtract(R[:, 0, 2], R[:, 2, 0], out=v[:, 1])
    np.subtract(R[:, 1, 0], R[:, 0, 1], out=v[:, 2])
    v *= 0.5
    sine = np.maximum(np.sqrt((v * v).sum(-1)), 1e-9)
    return v * (np.arctan2(sine, cosine) / sine)[:, None]


def inverse_right_jacobian(r: Array64) -> Array64:
    """Of the rotation vector by a right increment, (n, 3) -> (n, 3, 3), to second order."""
    x, y, z = r[:, 0], r[:, 1], r[:, 2]
    K = _cross_matrix(x, y, z)
    return _EYE + 0.5 * K + (K @ K) / 12


def _cross_matrix(x: Array64, y: Array64, z: Array64) -> Array64:
    K = np.zeros((len(x), 3, 3))
    K[:, 0, 1], K[:, 0, 2], K[:, 1, 2] = -z, y, -x
    K[:, 1, 0], K[:, 2, 0], K[:, 2, 1] = z, -y, x
    return K
