"""How many different poses there are: near-duplicates thinned by joint positions, heading removed.

Two poses are the same when their joints are on average no further apart than a radius (the MPJPE between them). Walking
through the poses in order, one is kept if it is the same as none kept before. Counts depend a little on the order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.datasets.kinematics import joint_positions, remove_heading
from training.datasets.motion import Motion

RADIUS = 0.08  # m
_BLOCK = 256
_KEYS = 16

Indices = NDArray[np.int64]
Float = NDArray[np.float32]


def pose_positions(R_parent_joint: Float) -> Float:
    """Poses (N, 22, 3, 3) -> joints (N, 22, 3) m of the mean skeleton about the pelvis, turned to heading zero."""
    return joint_positions(remove_heading(R_parent_joint.astype(np.float32)))


def distinct_poses(motions: Sequence[Motion], radius: float = RADIUS) -> Indices:
    """Which frames of all motions, one after the other, are distinct poses: rising indices."""
    return distinct(np.concatenate([pose_positions(motion.R_parent_joint) for motion in motions]), radius)


def distinct(positions: Float, radius: float = RADIUS) -> Indices:
    """The greedy choice: index i is kept if no kept index before it is within the radius.

    Args:
        positions: (N, J, 3) m, as :func:`pose_positions` gives them.
        radius: m, of the mean joint distance.

    Returns:
        Rising indices of the kept poses.
    """
    if not len(positions):
        return np.zeros(0, np.int64)
    positions = np.ascontiguousarray(positions, np.float32)
    keys = _keys(positions)
    forest: list[tuple[cKDTree, Indices]] = []
    kept: list[Indices] = []
    for start in range(0, len(positions), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(positions)))
        for tree, members in forest:
            rows = rows[~_near(positions, keys, rows, tree, members, radius)]
        rows = _greedy(positions, rows, radius)
        if len(rows):
            kept.append(rows)
            _plant(forest, keys, rows)
    return np.concatenate(kept)


def _keys(positions: Float) -> NDArray[np.float64]:
    """Projections (N, 16) that differ between two poses by no more than their mean joint distance.

    ``sum_j a_j . x_j`` with ``|a_j| = 1 / J`` has that property; the ``a_j`` follow the principal components, so that
    the projections tell poses apart. They spare nearly all exact distances, and change no result.
    """
    flat = positions.reshape(len(positions), -1).astype(np.float64)
    centred = flat - flat.mean(0)
    components = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_KEYS].T.reshape(-1, positions.shape[1], 3)
    lengths = np.linalg.norm(components, axis=-1, keepdims=True)
    directions = components / np.maximum(lengths, 1e-12) / positions.shape[1]
    return centred @ directions.reshape(len(directions), -1).T


def _near(
    positions: Float, keys: NDArray[np.float64], rows: Indices, tree: cKDTree, members: Indices, radius: float
) -> NDArray[np.bool_]:
    """Whether each row has a member of the tree within the radius."""
    near = np.zeros(len(rows), bool)
    if not len(rows):
        return near
    nearest = members[tree.query(keys[rows], p=np.inf, workers=-1)[1]]  # settles most of the repeated poses
    near[:] = _distance(positions[rows], positions[nearest]) <= radius
    left = np.flatnonzero(~near)
    found = tree.query_ball_point(keys[rows[left]], radius * (1 + 1e-6), p=np.inf, workers=-1)
    for row, candidates in zip(left, found, strict=True):
        if candidates:
            near[row] = bool((_distance(positions[rows[row]], positions[members[candidates]]) <= radius).any())
    return near


def _greedy(positions: Float, rows: Indices, radius: float) -> Indices:
    """The greedy choice among a few rows by all their distances."""
    taken = np.zeros(len(rows), bool)
    block = positions[rows]
    for index in range(len(rows)):
        taken[index] = not (_distance(block[index], block[:index][taken[:index]]) <= radius).any()
    return rows[taken]


def _plant(forest: list[tuple[cKDTree, Indices]], keys: NDArray[np.float64], rows: Indices) -> None:
    """Add rows as a tree; trees of like size grow together, so that there are few and each row moves seldom."""
    while forest and len(forest[-1][1]) <= 2 * len(rows):
        rows = np.concatenate([forest.pop()[1], rows])
    forest.append((cKDTree(keys[rows]), rows))


def _distance(a: Float, b: Float) -> Float:
    """Mean joint distance (...,) m between (..., J, 3)."""
    difference = a - b
    return np.sqrt(np.einsum("...ji,...ji->...j", difference, difference)).mean(-1)
