"""Limb lengths of a body, and the shape (betas) that has given limb lengths: for SMPL and the open body alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT, NUM_BETAS, Skeleton
from mocap.errors import MocapError
from mocap.types import Array

Float = NDArray[np.float64]

# Joints between which a limb is measured in the T-pose; left and right of a limb are one length, their mean.
LIMBS: dict[str, tuple[tuple[str, str], ...]] = {
    "upper arm": (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    "forearm": (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    "thigh": (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    "shank": (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
    "foot": (("left_ankle", "left_foot"), ("right_ankle", "right_foot")),
    "trunk": (("pelvis", "neck"),),
    "shoulder width": (("left_shoulder", "right_shoulder"),),
    "hip width": (("left_hip", "right_hip"),),
}
MAX_BETA = 5.0  # standard deviations of the population: beyond, a body stops looking like one
SPREAD_M = 0.005  # how far a measured length is trusted
_STEPS = 8
_PAIRS = np.array([[JOINT[a], JOINT[b]] for pairs in LIMBS.values() for a, b in pairs])  # (13, 2)
_MEAN = np.array([[(p in pairs) / len(pairs) for ps in LIMBS.values() for p in ps] for pairs in LIMBS.values()])


def limb_lengths(rest_joints: Array) -> Float:
    """T-pose joints (..., 24, 3) m -> lengths (..., 8) m in the order of LIMBS."""
    bones = rest_joints[..., _PAIRS[:, 1], :] - rest_joints[..., _PAIRS[:, 0], :]
    return np.asarray(np.linalg.norm(bones, axis=-1) @ _MEAN.T, np.float64)


def betas_from_lengths(skeleton: Skeleton, lengths: Array | dict[str, float], spread_m: float = SPREAD_M) -> Float:
    """The shapes (..., 10) whose limbs have these lengths, by damped least squares: of all that do, the most ordinary.

    Minimises ``|(length(betas) - lengths) / spread|² + |betas|²`` by Gauss-Newton within ±MAX_BETA: betas are in
    standard deviations, so that the damping is the population's own.

    Args:
        skeleton: of the open body (``load_skeleton()``) or of any other (``Body.skeleton()``).
        lengths: (..., 8) m in the order of LIMBS, NaN where not measured; or metres by limb.
        spread_m: standard deviation of a measured length.

    Raises:
        MocapError: an unknown limb, nothing measured, or a length that no limb has.
    """
    wanted = _as_array(lengths)
    known = np.isfinite(wanted)
    if not known.any(-1).all() or (wanted[known] <= 0.01).any() or (wanted[known] > 1.5).any():
        raise MocapError(f"expected limb lengths in metres (0.01 to 1.5), found {wanted}. Measure at least one limb.")
    bones = (skeleton.mean[_PAIRS[:, 1]] - skeleton.mean[_PAIRS[:, 0]]).astype(np.float64)
    directions = (skeleton.directions[_PAIRS[:, 1]] - skeleton.directions[_PAIRS[:, 0]]).astype(np.float64)
    weight = (known / spread_m**2)[..., None]
    wanted = np.where(known, wanted, 0)
    betas = np.zeros((*wanted.shape[:-1], NUM_BETAS))
    for _ in range(_STEPS):
        bone = bones + (directions @ betas[..., None, :, None])[..., 0]  # (..., 13, 3)
        length = np.linalg.norm(bone, axis=-1)
        J = _MEAN @ ((bone / length[..., None])[..., None, :] @ directions)[..., 0, :]  # (..., 8, 10)
        target = (wanted - length @ _MEAN.T)[..., None] + J @ betas[..., None]
        J_T = np.swapaxes(J, -1, -2)
        normal = J_T @ (weight * J) + np.eye(NUM_BETAS)
        betas = np.clip(np.linalg.solve(normal, J_T @ (weight * target))[..., 0], -MAX_BETA, MAX_BETA)
    return betas


def _as_array(lengths: Array | dict[str, float]) -> Float:
    if not isinstance(lengths, dict):
        return np.asarray(lengths, np.float64)
    if unknown := sorted(lengths.keys() - LIMBS.keys()):
        raise MocapError(f"expected limbs of {', '.join(LIMBS)}; found {', '.join(unknown)}")
    return np.array([lengths.get(limb, np.nan) for limb in LIMBS], np.float64)
