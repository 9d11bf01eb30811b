"""Losses of TokenHMR (section 4.5) as released, the paper's where it says otherwise; keypoints of HMR2.0's order.

Predictions are compared with labels of two kinds. Sets with true 3D (motion capture, rendered people) count in full;
the rest are pseudo-labels, whose pose and picture are scaled by Threshold-Adaptive Loss Scaling (TALS, section 4.2, see
``training/capture/tals.py``), and whose shape does not count.

The 44 keypoints are OpenPose's 25 and then 19 more: 14 of LSP, 2 of MPII, 3 of Human3.6M.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.config import option
from training.capture import tals

KEYPOINTS, PELVIS = 44, 39
TRUE_3D_SETS = ("H36M-TRAIN-WMASK", "BEDLAM")  # as released; MPI-INF-3DHP counts as pseudo-labels there

# The paper's Table S.1 with the released digits. Keypoints: distances in sides of the crop.
KEYPOINT_THRESHOLDS = (
    0.0085024, 0.00648666, 0.00747825, 0.01103439, 0.01355629, 0.00741691, 0.01096735, 0.01414461, 0.00974212,
    0.01127469, 0.01663222, 0.00564927, 0.01126335, 0.01615757, 0.00532595, 0.00829731, 0.00831497, 0.00737241,
    0.00743286, 0.00543739, 0.00550524, 0.00535504, 0.00565414, 0.00581685, 0.00573041, 0.00554029, 0.01515258,
    0.00986267, 0.00997563, 0.01519944, 0.00511402, 0.01288267, 0.01105894, 0.00710525, 0.00709785, 0.01092387,
    0.01388091, 0.00648326, 0.00766487, 0.00931454, 0.00646622, 0.00677057, 0.00744011, 0.00752381,
)  # fmt: skip
# Angles in rad of SMPL's joints.
POSE_THRESHOLDS = (
    0.46, 0.2189672, 0.21184929, 0.14705585, 0.33192524, 0.30016956, 0.16634537, 0.19924018, 0.27109867, 0.1158485,
    0.28505754, 0.27955374, 0.24433719, 0.2626824, 0.26488456, 0.27850774, 0.29086208, 0.3204982, 0.34794798, 0.3520567,
    0.6241364, 0.5900597, 0.19941667, 0.19973585,
)  # fmt: skip


@dataclass(frozen=True)
class LossConfig:
    """Weights, and how labels are scaled; the defaults are as released, :data:`PAPER` is what the paper says."""

    keypoints_3d: float = option(0.05, "weight of keypoints in space, L1, m", low=0)
    keypoints_2d: float = option(0.01, "weight of keypoints in the picture, L1, sides of the crop", low=0)
    orientation: float = option(0.001, "weight of the pelvis' squared error, entries of the matrix", low=0)
    pose: float = option(0.001, "weight of the other joints'", low=0)
    betas: float = option(0.0005, "weight of the shape's squared error", low=0)
    tals: bool = option(True, "errors are scaled; off: every label that is there counts in full, HMR2.0's losses")
    scale: float = option(0.05, "of an error below its threshold, alpha of Eqs. 2 and 3; the paper's is 0.01", low=0)
    squared_distance: bool = option(True, "of a keypoint, compared with its threshold; the paper's is the L1 norm")
    scale_true_picture: bool = option(
        True, "keypoints in the picture are scaled in sets with true 3D, too; not in the paper"
    )
    pseudo_keypoints_3d: bool = option(
        True, "of other sets count in space where they are beyond their threshold in the picture; not in the paper"
    )
    true_needs_label: bool = option(
        False, "off: poses of sets with true 3D count whether or not there is a label, as zeros; not in the paper"
    )


RELEASED = LossConfig()
PAPER = LossConfig(
    scale=tals.SCALE,
    squared_distance=False,
    scale_true_picture=False,
    pseudo_keypoints_3d=False,
    true_needs_label=True,
)


class People(NamedTuple):
    """Predicted or labelled people."""

    keypoints_2d: Tensor  # (B, 44, 2) sides of the crop, 0 in its middle; labels (B, 44, 3) with a confidence
    keypoints_3d: Tensor  # (B, 44, 3) m; labels (B, 44, 4) with a confidence
    R: Tensor  # (B, 24, 3, 3)
    betas: Tensor  # (B, 10)


class Known(NamedTuple):
    """Which labels there are, each (B,) of 0 and 1."""

    orientation: Tensor
    pose: Tensor
    betas: Tensor
    true_3d: Tensor  # the sample's set has true 3D


def token_hmr_losses(found: People, label: People, known: Known, config: LossConfig = RELEASED) -> dict[str, Tensor]:
    """The terms, unweighted, each a sum over the batch, and ``total``, their weighted sum (Eqs. 8 and 9)."""
    confidence = _picture_confidence(found, label, known, config)
    orientation, pose = _pose_errors(found.R, label.R, known, config)
    shape = (found.betas - label.betas).square().sum(-1) * known.betas
    if config.tals:
        shape = shape * known.true_3d
    terms = {
        "keypoints_2d": (confidence * _distance(found.keypoints_2d, label.keypoints_2d[..., :2])).sum(),
        "keypoints_3d": _keypoints_3d(found, label, confidence, known, config),
        "orientation": orientation.sum(),
        "pose": pose.sum(),
        "betas": shape.sum(),
    }
    return {**terms, "total": torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()}


def is_true_3d(names: Sequence[str], device: torch.device | None = None) -> Tensor:
    """(B,) 1 where the sample of a set of that very name has true 3D."""
    return torch.tensor([float(name in TRUE_3D_SETS) for name in names], device=device)


def rotations_of(orientation: Tensor, pose: Tensor) -> Tensor:
    """Axis-angles (B, 3) and (B, 69) rad -> (B, 24, 3, 3)."""
    return axis_angle_to_matrix(torch.cat([orientation, pose], -1).unflatten(-1, (-1, 3)))


def keypoints_of(
    joints: Tensor, vertices: Tensor, regressor: Tensor, order: Sequence[int], move_hips: bool = False
) -> Tensor:
    """The 44 keypoints (B, 44, 3) m of a body.

    Args:
        joints: (B, 45, 3) m, smplx's: SMPL's 24 and 21 vertices.
        vertices: (B, V, 3) m.
        regressor: (19, V), of the keypoints after OpenPose's.
        order: of the 25 keypoints of OpenPose among the joints.
        move_hips: OpenPose's hips are moved towards where it sees them, outwards and up to the middle hip.
    """
    points = joints[:, list(order)]
    if move_hips:
        hips, others, middle = points[:, [9, 12]], points[:, [12, 9]], points[:, [8]]
        points = points.clone()
        points[:, [9, 12]] = hips + 0.25 * (hips - others) + 0.5 * (middle - 0.5 * (hips + others))
    return torch.cat([points, regressor @ vertices], 1)


def _picture_confidence(found: People, label: People, known: Known, config: LossConfig) -> Tensor:
    """Confidence (B, 44) of keypoints in the picture, scaled where they are within their thresholds (Eq. 3)."""
    confidence = label.keypoints_2d[..., 2]
    if not config.tals:
        return confidence
    error = (found.keypoints_2d - label.keypoints_2d[..., :2]).detach()
    distance = error.square().sum(-1) if config.squared_distance else error.abs().sum(-1)
    near = confidence * distance <= distance.new_tensor(KEYPOINT_THRESHOLDS)
    if not config.scale_true_picture:
        near = near & (known.true_3d == 0)[:, None]
    return torch.where(near, config.scale * confidence, confidence)


def _pose_errors(R: Tensor, R_label: Tensor, known: Known, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Squared errors of the pelvis (B, 1) and of the other joints (B, 23), scaled where labels are not true (Eq. 2)."""
    there = torch.stack([known.orientation, *[known.pose] * (R.shape[1] - 1)], 1)
    error = (R - R_label).square().sum((-2, -1))
    if config.tals:
        true = known.true_3d[:, None] == 1
        scaled = tals.pose_loss(R, R_label, R.new_tensor(POSE_THRESHOLDS), config.scale)
        error = torch.where(true, error, scaled)
        if not config.true_needs_label:
            there = torch.where(true, torch.ones_like(there), there)
    error = error * there
    return error[:, :1], error[:, 1:]


def _keypoints_3d(found: People, label: People, picture: Tensor, known: Known, config: LossConfig) -> Tensor:
    """Sum of distances from the pelvis; ``picture`` (B, 44) are the scaled confidences in the picture."""
    points, target = (p[..., :3] - p[:, PELVIS : PELVIS + 1, :3] for p in (found.keypoints_3d, label.keypoints_3d))
    confidence = label.keypoints_3d[..., 3]
    if config.tals:
        counts = (known.true_3d == 1)[:, None]
        if config.pseudo_keypoints_3d:
            counts = counts | (picture > 0.5)
        confidence = confidence * counts
    return (confidence * _distance(points, target)).sum()


def _distance(points: Tensor, target: Tensor) -> Tensor:
    """L1 norms (..., n) of the differences of points (..., n, d)."""
    return (points - target).abs().sum(-1)
