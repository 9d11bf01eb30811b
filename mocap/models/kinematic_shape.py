"""Bone lengths of one person, estimated over time from world landmarks, and the shape that has them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mocap.body.landmarks import LandmarkAnchors
from mocap.body.skeleton import NUM_BETAS, Skeleton

Array64 = NDArray[np.float64]

MAX_BETA = 3.0  # standard deviations of the population
# Landmark pairs whose distance hardly depends on the pose; left and right of a pair are one length.
LENGTHS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((11, 12),),  # shoulder width
    ((23, 24),),  # hip width
    ((11, 23), (12, 24)),  # trunk
    ((11, 13), (12, 14)),  # upper arm
    ((13, 15), (14, 16)),  # forearm
    ((23, 25), (24, 26)),  # thigh
    ((25, 27), (26, 28)),  # shank
    ((29, 31), (30, 32)),  # foot
)
_PAIRS = np.array([pair for pairs in LENGTHS for pair in pairs])  # (13, 2)
_LENGTH_OF = np.array([index for index, pairs in enumerate(LENGTHS) for _ in pairs])  # (13,)
_FIRST = np.array([pairs[0][0] for pairs in LENGTHS])
_SECOND = np.array([pairs[0][1] for pairs in LENGTHS])
_SPREAD = np.array([0.05, 0.08, 0.06, 0.05, 0.05, 0.05, 0.05, 0.10])  # of the length: how far BlazePose's is trusted
_MEMORY = 150.0  # frames' worth of full-weight measurements after which old ones fade
_OUTLIER = 0.15  # a measurement further off than this share of the mean is pulled in to it
_ENOUGH = 8.0  # full-weight measurements after which a length is believed as far as its spread says


@dataclass
class ShapeEstimator:
    """Running, robust, left-right symmetric bone lengths -> betas by damped least squares, bounded to ±3."""

    skeleton: Skeleton
    anchors: LandmarkAnchors
    lengths: Array64 = field(default_factory=lambda: np.zeros(len(LENGTHS)))  # (8,) m
    weights: Array64 = field(default_factory=lambda: np.zeros(len(LENGTHS)))  # (8,) measurements, weighted
    betas: Array64 = field(default_factory=lambda: np.zeros(NUM_BETAS))

    def update(self, world: Array64, belief: Array64, depth_axis: Array64) -> None:
        """One frame's world landmarks (33, 3) m, belief (33,), and the unit direction (3,) of their poor axis.

        A bone that lies in the image plane is measured well; one that points at the camera is not, so each counts by
        the fourth power of the cosine of its angle to the image plane.
        """
        a, b = _PAIRS.T
        bone = world[b] - world[a]
        length = np.sqrt((bone**2).sum(-1))
        usable = (length > 0.02) & (length < 1.5)
        across = 1 - (bone @ depth_axis / np.maximum(length, 1e-9)) ** 2
        weight = np.where(usable, np.minimum(belief[a], belief[b]) * across**2, 0.0)
        mean, known = self.lengths[_LENGTH_OF], self.weights[_LENGTH_OF] > 3
        near = np.minimum(np.maximum(length, (1 - _OUTLIER) * mean), (1 + _OUTLIER) * mean)
        length = np.where(known, near, length)
        added = np.bincount(_LENGTH_OF, weight, len(LENGTHS))
        total = self.weights + added
        moved = np.bincount(_LENGTH_OF, weight * (length - mean), len(LENGTHS))
        self.lengths = self.lengths + moved / np.maximum(total, 1e-9)
        self.weights = np.minimum(total, _MEMORY)

    def solve(self) -> Array64:
        """The shape (10,) whose rest landmarks have the measured lengths, damped towards the mean body."""
        belief = np.minimum(1.0, self.weights / _ENOUGH)
        betas = self.betas
        for _ in range(3):
            points, directions = self._rest_landmarks(betas)
            bone = points[_SECOND] - points[_FIRST]
            modelled = np.linalg.norm(bone, axis=-1)
            J = np.einsum("lc,lck->lk", bone / modelled[:, None], directions[_SECOND] - directions[_FIRST])
            sigma = _SPREAD * np.maximum(self.lengths, 0.05)
            weight = belief / sigma**2
            residual = self.lengths - modelled + J @ betas
            betas = np.linalg.solve(J.T @ (weight[:, None] * J) + np.eye(NUM_BETAS), J.T @ (weight * residual))
            betas = np.clip(betas, -MAX_BETA, MAX_BETA)
        self.betas = betas
        return betas

    def _rest_landmarks(self, betas: Array64) -> tuple[Array64, Array64]:
        """Landmarks (33, 3) m of the rest pose, and their change per beta (33, 3, 10)."""
        directions = self.skeleton.directions[self.anchors.joint] + self.anchors.directions
        points = self.skeleton.mean[self.anchors.joint] + self.anchors.offset
        return points + np.einsum("lck,k->lc", directions, betas), directions.astype(np.float64)
