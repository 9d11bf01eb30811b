"""Bone lengths of persons, estimated over time from world landmarks, and the shapes that have them."""

from __future__ import annotations

from dataclasses import dataclass

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
_SUM = np.eye(len(LENGTHS))[_LENGTH_OF]  # (13, 8) pairs to lengths
_SPREAD = np.array([0.05, 0.08, 0.06, 0.05, 0.05, 0.05, 0.05, 0.10])  # of the length: how far BlazePose's is trusted
_MEMORY = 150.0  # frames' worth of full-weight measurements after which old ones fade
_OUTLIER = 0.15  # a measurement further off than this share of the mean is pulled in to it
_ENOUGH = 8.0  # full-weight measurements after which a length is believed as far as its spread says


@dataclass
class Lengths:
    """Running, robust, left-right symmetric bone lengths of P persons."""

    mean: Array64  # (P, 8) m
    weight: Array64  # (P, 8) measurements, weighted

    def update(self, world: Array64, belief: Array64, depth_axis: Array64) -> Lengths:
        """After one frame's world landmarks (P, 33, 3) m, belief (P, 33), and the unit direction (P, 3) of their poor
        axis.

        A bone that lies in the image plane is measured well; one that points at the camera is not, so each counts by
        the fourth power of the cosine of its angle to the image plane.
        """
        ends = world[:, _PAIRS]  # (P, 13, 2, 3)
        bone = ends[:, :, 1] - ends[:, :, 0]
        length = np.sqrt((bone * bone).sum(-1))
        usable = (length > 0.02) & (length < 1.5)
        across = 1 - ((bone @ depth_axis[..., None])[..., 0] / np.maximum(length, 1e-9)) ** 2
        weight = usable * belief[:, _PAIRS].min(-1) * across**2
        mean, known = self.mean[:, _LENGTH_OF], self.weight[:, _LENGTH_OF] > 3
        near = np.minimum(np.maximum(length, (1 - _OUTLIER) * mean), (1 + _OUTLIER) * mean)
        length = np.where(known, near, length)
        total = self.weight + weight @ _SUM
        moved = (weight * (length - mean)) @ _SUM
        return Lengths(self.mean + moved / np.maximum(total, 1e-9), np.minimum(total, _MEMORY))


class ShapeSolver:
    """Lengths -> betas by damped least squares, bounded to ±3."""

    def __init__(self, skeleton: Skeleton, anchors: LandmarkAnchors) -> None:
        points = (skeleton.mean[anchors.joint] + anchors.offset).astype(np.float64)
        directions = (skeleton.directions[anchors.joint] + anchors.directions).astype(np.float64)
        self._bones, self._directions = points[_SECOND] - points[_FIRST], directions[_SECOND] - directions[_FIRST]

    def __call__(self, lengths: Lengths, betas: Array64) -> Array64:
        """The shapes (P, 10) whose rest landmarks have the measured lengths, damped towards the mean body.

        ``betas`` (P, 10) is where the search starts.
        """
        sigma = _SPREAD * np.maximum(lengths.mean, 0.05)
        weight = np.minimum(1.0, lengths.weight / _ENOUGH) / sigma**2
        for _ in range(3):
            bone = self._bones + (self._directions @ betas[:, None, :, None])[..., 0]  # (P, 8, 3)
            modelled = np.sqrt((bone * bone).sum(-1))
            J = ((bone / modelled[..., None])[:, :, None] @ self._directions)[:, :, 0]  # (P, 8, 10)
            residual = lengths.mean - modelled + (J @ betas[..., None])[..., 0]
            J_T = np.swapaxes(J, -1, -2)
            H, g = J_T @ (weight[..., None] * J) + np.eye(NUM_BETAS), J_T @ (weight * residual)[..., None]
            betas = np.clip(np.linalg.solve(H, g)[..., 0], -MAX_BETA, MAX_BETA)
        return betas
