"""Distinct poses: a set in which no two poses are the same, and every other pose is the same as one of the set.

Two poses are the same when their joints lie within 8 cm of each other on average (pelvis at the origin, heading
removed, mean over all joints), and within twice that as root mean square: an arm that does something else makes
another pose. How many distinct poses a data set has is how its variety is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.datasets.kinematics import joint_positions, remove_heading
from training.datasets.motion import Motion

DISTINCT_M = 0.08
RMS_RATIO = 2.0  # of the root mean square to the mean
_CHUNK, _OTHERS = 512, 4096  # poses that are compared at once, with so many others
_AXES, _GRID_AXES = 24, 4  # principal axes whose distance decides what is compared exactly; those of the grid
_AT_ONCE = 65536  # pairs whose exact distance is computed at once

Float = NDArray[np.float32]
Rows = NDArray[np.int64]


def pose_positions(R_parent_joint: Float) -> Float:
    """Poses (N, 22, 3, 3) -> joints (N, 22, 3) m of the mean skeleton about the pelvis, turned to heading zero."""
    return joint_positions(remove_heading(R_parent_joint.astype(np.float32)))


def distinct_poses(motions: Sequence[Motion], distance: float = DISTINCT_M) -> Rows:
    """Which frames of all motions, one after the other, are distinct poses: rising indices."""
    return distinct(np.concatenate([pose_positions(motion.R_parent_joint) for motion in motions]), distance)


def distinct(joints: Float, distance: float = DISTINCT_M, progress: bool = False) -> Rows:
    """Rows (M,) of distinct poses among poses (N, J, 3) m. Deterministic; an earlier row of a grid cell goes first."""
    return _Thinning(joints, distance).rows(progress)


def same(a: Float, b: Float, distance: float = DISTINCT_M) -> NDArray[np.bool_]:
    """Whether poses (..., J, 3) m and (..., J, 3) m are the same."""
    squared = ((a - b) ** 2).sum(-1)
    rms = np.sqrt(squared.mean(-1))
    return np.asarray((np.sqrt(squared).mean(-1) <= distance) & (rms <= RMS_RATIO * distance))


class _Thinning:
    """Poses as vectors turned to their principal axes; a grid over the first few limits who is compared with whom."""

    def __init__(self, joints: Float, distance: float) -> None:
        self._joints = np.ascontiguousarray(joints, np.float32)
        self._distance = distance
        self._reach = RMS_RATIO * distance * np.sqrt(joints.shape[1])  # m, of vectors that can be the same pose
        flat = self._joints.reshape(len(joints), 3 * joints.shape[1])
        flat = flat - flat.mean(0) if len(flat) else flat
        _, axes = np.linalg.eigh(flat.T.astype(np.float64) @ flat)
        self._vectors = np.ascontiguousarray(flat @ axes[:, : -_AXES - 1 : -1].astype(np.float32))
        squared, ones = (self._vectors**2).sum(1, keepdims=True), np.ones((len(joints), 1), np.float32)
        # The product of a row of one with a row of the other is their squared distance.
        self._left = np.concatenate([self._vectors, squared, ones], 1)
        self._right = np.concatenate([-2 * self._vectors, ones, squared], 1)

    def rows(self, progress: bool) -> Rows:
        kept: dict[tuple[int, ...], list[Rows]] = {}
        with tqdm(total=len(self._vectors), desc="distinct poses", disable=not progress, unit="pose") as bar:
            for cell, rows in self._cells().items():
                around = (tuple(np.add(cell, step)) for step in product((-1, 0, 1), repeat=len(cell)))
                near = [part for key in around for part in kept.get(key, ())]
                kept[cell] = []
                for start in range(0, len(rows), _CHUNK):
                    chunk = rows[start : start + _CHUNK]
                    new = self._greedy(chunk[~self._covered(chunk, near + kept[cell])])
                    kept[cell].append(new)
                    bar.update(len(chunk))
        found = [part for parts in kept.values() for part in parts]
        return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def _cells(self) -> dict[tuple[int, ...], Rows]:
        """Rows by grid cell: poses that can be the same lie in the same cell or in neighbours."""
        index = np.floor(self._vectors[:, :_GRID_AXES] / (self._reach * 1.001)).astype(np.int64)
        order = np.lexsort(index.T[::-1])
        edges = np.flatnonzero((np.diff(index[order], axis=0) != 0).any(1)) + 1
        return {tuple(int(i) for i in index[rows[0]]): rows for rows in np.split(order, edges) if len(rows)}

    def _covered(self, rows: Rows, kept: list[Rows]) -> NDArray[np.bool_]:
        """Which rows are the same pose as a kept one."""
        covered = np.zeros(len(rows), bool)
        others = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        for start in range(0, len(others), _OTHERS):
            some = others[start : start + _OTHERS]
            open_ = np.flatnonzero(~covered)
            squared = self._left[rows[open_]] @ self._right[some].T
            nearest = same(self._joints[rows[open_]], self._joints[some[squared.argmin(1)]], self._distance)
            covered[open_[nearest]] = True  # most that are covered, and cheaply
            i, _ = self._near(rows[open_[~nearest]], some, squared[~nearest])
            covered[open_[~nearest][i]] = True
        return covered

    def _greedy(self, rows: Rows) -> Rows:
        """The first row, and every further one that is not the same as one taken before."""
        i, j = self._near(rows, rows, self._left[rows] @ self._right[rows].T)
        neighbours = np.split(j, np.searchsorted(i, np.arange(1, len(rows))))
        free = np.ones(len(rows), bool)
        for row in range(len(rows)):
            if free[row]:
                free[neighbours[row]] = False
                free[row] = True
        return rows[free]

    def _near(self, a: Rows, b: Rows, squared: Float) -> tuple[Rows, Rows]:
        """Places (i in a, j in b) of pairs that are the same pose, sorted by i; squared (a, b) m² between vectors."""
        i, j = np.divmod(np.flatnonzero(squared.ravel() <= self._reach**2 + 1e-3), max(1, len(b)))
        near = [np.zeros(0, bool)]
        for start in range(0, len(i), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            near.append(same(self._joints[a[i[part]]], self._joints[b[j[part]]], self._distance))
        close = np.concatenate(near)
        return i[close], j[close]
