"""Rotation vectors in small batches, for solvers that call this thousands of times a second: float64 only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_axis_angle

Array64 = NDArray[np.float64]
_EYE = np.eye(3)
# Vector -> the entries of its cross product's matrix; matrix entries -> sine times axis, cosine (less a constant). As
# products with constants these cost a call each, where assembling entries costs ten.
_CROSS = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]], float)
_SINE_COSINE = 0.5 * np.concatenate([_CROSS, np.eye(3).reshape(1, 9)]).T.copy()  # (9, 4)


def fast_exp(r: Array64) -> Array64:
    """Rotation vectors (..., 3) -> matrices (..., 3, 3)."""
    angle = np.maximum(np.sqrt((r * r).sum(-1)), 1e-8)[..., None, None]
    K = cross_matrix(r)
    return _EYE + (np.sin(angle) / angle) * K + ((1 - np.cos(angle)) / (angle * angle)) * (K @ K)


def fast_log(R: Array64) -> Array64:
    """Matrices (..., 3, 3) -> rotation vectors (..., 3); those near half turns take the careful path."""
    sine_cosine = R.reshape(*R.shape[:-2], 9) @ _SINE_COSINE
    v, cosine = sine_cosine[..., :3], sine_cosine[..., 3] - 0.5
    sine = np.maximum(np.sqrt((v * v).sum(-1)), 1e-9)
    v = v * (np.arctan2(sine, cosine) / sine)[..., None]
    far = cosine < -0.95
    if far.any():
        v[far] = matrix_to_axis_angle(R[far])
    return v


def inverse_right_jacobian(r: Array64) -> Array64:
    """Of the rotation vector by a right increment, (..., 3) -> (..., 3, 3), to second order."""
    K = cross_matrix(r)
    return _EYE + 0.5 * K + (K @ K) / 12


def cross_matrix(v: Array64) -> Array64:
    """Vectors (..., 3) -> the matrices (..., 3, 3) of their cross product with another."""
    return (v @ _CROSS).reshape(*v.shape, 3)
