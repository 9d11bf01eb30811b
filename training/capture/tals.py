"""Threshold-Adaptive Loss Scaling (TokenHMR, section 4.2): labels that are no truth count in full only where they are
far off.

Pseudo-labels (poses that another system fitted, landmarks that a network found) are biased. Where the error is no
larger than the bias, fitting them more closely teaches the bias: there the loss is scaled to a hundredth, joint by
joint. The thresholds are Table S.1 of the supplement: mean errors, over 34 k frames of BEDLAM, of true bodies under a
wrong camera (Eq. 3), and of HMR2.0's poses (Eq. 2).

What the paper leaves open, and what is done here: the condition of Eqs. 2 and 3 names the loss itself, but the
thresholds are mean geodesic angles and mean L1 norms, so it is the angle and the L1 norm that are compared with them.
The pose of a joint is its rotation matrix, as in HMR2.0, whose losses the paper takes over. The released code differs:
it compares squared distances with the thresholds of the L1 norm, and scales to a twentieth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mocap.body.landmarks import LANDMARK_NAMES
from mocap.body.skeleton import JOINT_NAMES
from mocap.body.torch_rotations import geodesic_angle

SCALE = 0.01  # alpha of both equations (section 5.1)

# Epsilon of Eq. 2: mean geodesic angle, rad, of SMPL's joints in their order. The table calls spine1 Spine, spine2 and
# spine3 both Thorax, the feet Toe and the head Jaw.
POSE_THRESHOLDS = {
    "pelvis": 0.46, "left_hip": 0.22, "right_hip": 0.21, "spine1": 0.15, "left_knee": 0.33, "right_knee": 0.30,
    "spine2": 0.17, "left_ankle": 0.20, "right_ankle": 0.27, "spine3": 0.12, "left_foot": 0.29, "right_foot": 0.28,
    "neck": 0.24, "left_collar": 0.26, "right_collar": 0.26, "head": 0.28, "left_shoulder": 0.29,
    "right_shoulder": 0.32, "left_elbow": 0.35, "right_elbow": 0.35, "left_wrist": 0.62, "right_wrist": 0.59,
    "left_hand": 0.20, "right_hand": 0.20,
}  # fmt: skip

# Epsilon of Eq. 3: mean L1 norm, |x| + |y|, in widths of the square around the person, of HMR2.0's 44 points in their
# order: 25 of OpenPose, 14 of LSP, 2 of MPII, 3 of Human3.6M.
PICTURE_THRESHOLDS = {
    "openpose nose": 0.00850, "openpose neck": 0.00649, "openpose right_shoulder": 0.00748,
    "openpose right_elbow": 0.01103, "openpose right_wrist": 0.01356, "openpose left_shoulder": 0.00742,
    "openpose left_elbow": 0.01097, "openpose left_wrist": 0.01414, "openpose middle_hip": 0.00974,
    "openpose right_hip": 0.01127, "openpose right_knee": 0.01663, "openpose right_ankle": 0.00565,
    "openpose left_hip": 0.01126, "openpose left_knee": 0.01616, "openpose left_ankle": 0.00533,
    "openpose right_eye": 0.00830, "openpose left_eye": 0.00831, "openpose right_ear": 0.00737,
    "openpose left_ear": 0.00743, "openpose left_big_toe": 0.00544, "openpose left_small_toe": 0.00551,
    "openpose left_heel": 0.00536, "openpose right_big_toe": 0.00565, "openpose right_small_toe": 0.00582,
    "openpose right_heel": 0.00573,
    "lsp right_ankle": 0.00554, "lsp right_knee": 0.01515, "lsp right_hip": 0.00986, "lsp left_hip": 0.00998,
    "lsp left_knee": 0.01520, "lsp left_ankle": 0.00511, "lsp right_wrist": 0.01288, "lsp right_elbow": 0.01106,
    "lsp right_shoulder": 0.00711, "lsp left_shoulder": 0.00710, "lsp left_elbow": 0.01092,
    "lsp left_wrist": 0.01388, "lsp neck": 0.00648, "lsp head_top": 0.00766,
    "mpii pelvis": 0.00931, "mpii thorax": 0.00647,
    "human36m spine": 0.00677, "human36m jaw": 0.00744, "human36m head": 0.00752,
}  # fmt: skip

_BOTH_SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_SIDED = {f"{side}_{part}": f"openpose {side}_{part}" for side in ("left", "right") for part in _BOTH_SIDES}
# HMR2.0 takes these OpenPose points from SMPL's joints themselves. Spine, collars, head, feet and hands have no point.
JOINT_IN_PICTURE = {"pelvis": "openpose middle_hip", "neck": "openpose neck", **_SIDED}
# BlazePose's landmarks that are OpenPose's points. Corners of the eyes and of the mouth, and fingers, have none.
LANDMARK_IN_PICTURE = {
    "nose": "openpose nose",
    **_SIDED,
    **{
        f"{side}_{landmark}": f"openpose {side}_{point}"
        for side in ("left", "right")
        for landmark, point in (("eye", "eye"), ("ear", "ear"), ("heel", "heel"), ("foot_index", "big_toe"))
    },
}


def pose_thresholds() -> Tensor:
    """Of SMPL's joints (24,) rad."""
    return torch.tensor([POSE_THRESHOLDS[name] for name in JOINT_NAMES])


def joint_thresholds() -> Tensor:
    """Of SMPL's joints in the picture (24,), widths of the square; infinite where the table has no such point."""
    return _in_picture(JOINT_NAMES, JOINT_IN_PICTURE)


def landmark_thresholds() -> Tensor:
    """Of BlazePose's landmarks (33,), widths of the square; infinite, so that they never count in full, where the
    table has no such point.
    """
    return _in_picture(LANDMARK_NAMES, LANDMARK_IN_PICTURE)


def pose_loss(R: Tensor, R_label: Tensor, threshold: Tensor, scale: float = SCALE) -> Tensor:
    """Eq. 2: the squared norm of the difference of rotations (..., J, 3, 3), scaled where their angle is not above the
    threshold (J,) rad. One value a joint (..., J), to be averaged by the caller.
    """
    error = (R - R_label).square().sum((-2, -1))
    return _scaled(error, geodesic_angle(R.detach(), R_label), threshold, scale)


def picture_loss(points: Tensor, label: Tensor, threshold: Tensor, scale: float = SCALE) -> Tensor:
    """Eq. 3: the L1 norm of the difference of points (..., n, 2), in widths of the square around the person, scaled
    where it is not above the threshold (n,). One value a point (..., n), to be averaged by the caller.
    """
    error = (points - label).abs().sum(-1)
    return _scaled(error, error.detach(), threshold, scale)


def _scaled(error: Tensor, measured: Tensor, threshold: Tensor, scale: float) -> Tensor:
    return torch.where(measured > threshold.to(measured), error, scale * error)


def _in_picture(names: tuple[str, ...], point: dict[str, str]) -> Tensor:
    return torch.tensor([PICTURE_THRESHOLDS[point[name]] if name in point else torch.inf for name in names])
