"""What TokenHMR and HMR2.0 learn of a sample, and how they see it: filters, boxes, BEDLAM's points, the camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mocap.models.tokenhmr import TokenHmrConfig
from training.datasets.images.filters import PosePrior, filtered
from training.datasets.images.sample import Sample
from training.projection import perspective
from training.published.crops import expand_to_aspect
from training.published.points import SmplPoints

_ASPECT = (3, 4)  # width and height of what the network sees
_EXACT = ("rendered", "bedlam")  # whose labels are not filtered, as released


@dataclass(frozen=True)
class Trust:
    """Samples as they are learnt from: labels of photographs by the released limits, see ``filters.filtered``.

    Args:
        margin: Side of the crop over the box around a rendered person; published boxes stay as they are.
        prior: By which poses are left out that nobody takes; None: no pose is.
        points: SMPL's, on the CPU, from which BEDLAM's samples get theirs; None: they keep those of the file.
    """

    margin: float = 1.0
    prior: PosePrior | None = None
    points: SmplPoints | None = None

    def __call__(self, sample: Sample) -> Sample | None:
        if sample.dataset not in _EXACT:
            return filtered(sample, prior=self.prior)
        if sample.dataset == "rendered":
            return replace(sample, side_px=self.margin * sample.side_px)
        return sample if self.points is None else with_points(sample, self.points)


def read_prior(file: str) -> PosePrior | None:
    """Of 4D-Humans' histogram, if there is a name."""
    return PosePrior.read(Path(file)) if file else None


def with_points(sample: Sample, points: SmplPoints) -> Sample:
    """The sample with all points, in space and in the picture, of SMPL in its pose and shape (as released for BEDLAM);
    as it is where these or the camera are not known."""
    R, betas, K, t = sample.R_parent_joint, sample.betas, sample.K_camera, sample.t_camera
    if sample.body != "smpl" or R is None or betas is None or K is None or t is None:
        return sample
    with torch.no_grad():
        found = points(torch.from_numpy(R)[None], torch.from_numpy(betas)[None])[0].numpy()
    p_camera = found + t
    px = (p_camera / p_camera[:, 2:]) @ K.T
    sure = np.ones((len(found), 1), np.float32)
    return replace(
        sample,
        joints_2d=points.joint_set,
        keypoints_2d=np.concatenate([px[:, :2], sure], 1).astype(np.float32),
        joints_3d=points.joint_set,
        keypoints_3d=np.concatenate([found, sure], 1),
    )


def framed(sample: Sample, margin: float = 1.0, aspect: tuple[float, float] = _ASPECT) -> Sample:
    """The sample with the box that evaluation crops: around its known points, expanded to an aspect (width, height),
    and as much wider as ``margin`` says. In training it is the longer side, as released.
    """
    points = sample.keypoints_2d
    if points is None or not (points[:, 2] > 0).any():
        return replace(sample, side_px=margin * sample.side_px)
    known = points[points[:, 2] > 0, :2]
    low, high = known.min(0), known.max(0)
    return replace(
        sample,
        center_px=((low + high) / 2).astype(np.float32),
        side_px=margin * float(expand_to_aspect(high - low, aspect).max()),
    )


def projected(keypoints: Tensor, p_camera: Tensor, config: TokenHmrConfig) -> Tensor:
    """Keypoints (B, n, 3) m of a body at (B, 3) m before the crop's camera -> (B, n, 2) sides of the crop, 0 in its
    middle."""
    return perspective(keypoints, p_camera, p_camera.new_full((2,), config.focal / config.side))
