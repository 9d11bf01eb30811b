"""Which pseudo-labels TokenHMR trains on (supplement C.2, as HMR2.0): bad points, shapes, poses and fits are out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mocap.body.rotations import matrix_to_axis_angle
from mocap.errors import MocapError
from training.datasets.images.sample import Float32, Sample

# Least density, 1/rad³, of joints 1 to 21 in AMASS; chosen by hand for HMR2.0. Feet are never improbable.
_LEAST_DENSITY = (
    5e-5, 5e-5, 2e-3, 5e-6, 5e-6, 0.01, 5e-6, 5e-6, 0.025, 0, 0, 2e-4, 4.5e-4, 4.5e-4, 5e-4, 2e-4, 2e-4, 4e-5, 4e-5,
    1e-3, 1e-3,
)  # fmt: skip
_JOINTS = len(_LEAST_DENSITY)
_SIGMA = 2  # bins, of the blur that the densities above were chosen with


@dataclass(frozen=True)
class Limits:
    """What is trusted."""

    confidence: float = 0.3  # 2D points below count as not known
    keypoints: int = 4  # a sample has to have more known 2D points than this
    betas: float = 3.0  # betas of which one is further from 0 are not used
    reprojection: float = 31_000.0  # samples whose fit missed the picture by as much or more are left out
    together: bool = True  # pose and betas are used both or neither


@dataclass(frozen=True)
class PosePrior:
    """How often AMASS turns a joint so: densities (21, n, n, n) over axis-angle vectors from -π to π."""

    density: NDArray[np.float64]

    @classmethod
    def from_counts(cls, counts: NDArray[np.float64], across_joints: bool = True) -> PosePrior:
        """Out of a histogram (21, n, n, n).

        Args:
            across_joints: The released code blurs along the joints' axis too, so that neighbours in SMPL's order mix,
                and its limits were chosen with that. False blurs each joint's own axes only.
        """
        bins = counts.shape[-1] if counts.ndim else 0
        if counts.shape != (_JOINTS, bins, bins, bins) or not counts.sum() > 0:
            raise MocapError(f"expected a histogram of poses ({_JOINTS}, n, n, n), found {counts.shape}")
        density = counts / counts.sum() / (2 * np.pi / bins) ** 3
        sigma = (_SIGMA if across_joints else 0, _SIGMA, _SIGMA, _SIGMA)
        return cls(gaussian_filter(density, sigma, mode="constant"))

    @classmethod
    def from_poses(cls, R_parent_joint: NDArray[np.floating], bins: int = 100) -> PosePrior:
        """Out of poses (N, 21 or more, 3, 3) of joints 1 to 21, AMASS's."""
        vectors = matrix_to_axis_angle(R_parent_joint[:, :_JOINTS].astype(np.float64))
        counts = np.zeros((_JOINTS, bins, bins, bins))
        for joint in range(_JOINTS):
            np.add.at(counts[joint], tuple(_bin(vectors[:, joint], bins).T), 1)
        return cls.from_counts(counts)

    @classmethod
    def read(cls, path: Path) -> PosePrior:
        """Out of the histogram that 4D-Humans publishes, ``amass_poses_hist100_SMPL+H_G.npy``."""
        try:
            counts = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MocapError(
                f"{path}: expected amass_poses_hist100_SMPL+H_G.npy of 4D-Humans' training data, could not read it "
                f"({error})"
            ) from error
        return cls.from_counts(np.asarray(counts, np.float64))

    def is_probable(self, R_parent_joint: Float32) -> bool:
        """Whether no joint of a pose (24, 3, 3) is turned as AMASS hardly ever is."""
        vectors = matrix_to_axis_angle(R_parent_joint[1 : _JOINTS + 1].astype(np.float64))
        where = _bin(vectors, self.density.shape[-1])
        found = self.density[np.arange(_JOINTS), where[:, 0], where[:, 1], where[:, 2]]
        return bool((found > _LEAST_DENSITY).all())


def _bin(vectors: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.clip((vectors + np.pi) / (2 * np.pi) * bins, 0, bins - 1).astype(np.int64)


def filtered(sample: Sample, limits: Limits | None = None, prior: PosePrior | None = None) -> Sample | None:
    """The sample with what is not to be trusted taken away, or None if it is not to be trained on at all.

    Args:
        prior: Without one, no pose is improbable.
    """
    limits = limits or Limits()
    pose, betas, points = sample.R_parent_joint, sample.betas, sample.keypoints_2d
    if betas is not None and (np.abs(betas) > limits.betas).any():
        betas = None
    if pose is not None and prior is not None and not prior.is_probable(pose):
        pose = None
    if limits.together and (pose is None or betas is None):
        pose = betas = None
    if points is not None:
        confidence = np.where(points[:, 2:] < limits.confidence, 0, points[:, 2:])
        points = np.concatenate([points[:, :2], confidence], 1)
    known = 0 if points is None else int((points[:, 2] > 0).sum())
    error = sample.reprojection_error
    if known <= limits.keypoints or (error is not None and not error < limits.reprojection):
        return None
    return replace(sample, R_parent_joint=pose, betas=betas, keypoints_2d=points)
