"""Recorded people who stand with bent knees, because the source's skeleton has too long legs, stretched again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT
from training.datasets.kinematics import body_global_rotations, body_local_rotations, joint_positions, mean_offsets
from training.datasets.motion import Motion
from training.gait import SIDES

Float = NDArray[Any]  # of floats

# The straighter knee of people whose markers were fitted to the body (ACCAD) bends by less than 2 to 10 degrees in a
# tenth of the upright frames, by person; somewhat more is asked of sources that were not measured so.
STRAIGHT_DEG = 12.0
MOST = 1.04  # a leg is not stretched by more: somebody may really crouch
_REACH = np.cos(np.radians(STRAIGHT_DEG / 2))  # hip to ankle, of thigh and shin; both are about as long
_LONGEST = 0.9985  # a knee of 6 degrees
_UPRIGHT = 0.85  # cosine of the body with the vertical
_ENOUGH = 30  # upright frames that say how straight somebody stands


def stretched(motion: Motion) -> Motion:
    """The motion with hip and ankle farther apart by one factor of at most MOST, so that the straighter knee of upright
    people comes to STRAIGHT_DEG in a tenth of the frames. Legs that are straight, and motion of people who do not
    stand, stay. Feet keep their turn in the world, deep knee bends nearly theirs. Feet end up lower, by what the legs
    are longer.
    """
    R_world = body_global_rotations(motion.R_parent_joint.astype(np.float64))
    joints = joint_positions(motion.R_parent_joint).astype(np.float64)
    chains = [[JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle")] for side, _ in SIDES]
    body = joints[:, JOINT["neck"]] - joints[:, [chain[2] for chain in chains]].mean(1)
    upright = body[:, 1] > _UPRIGHT * np.linalg.norm(body, axis=-1)
    reach = np.stack([_reach(joints, chain) for chain in chains])
    if upright.sum() < _ENOUGH:
        return motion
    factor = min(_REACH / np.percentile(reach.max(0)[upright], 90), MOST)
    if factor <= 1:
        return motion
    for chain, before in zip(chains, reach, strict=True):
        _stretch(R_world, joints, chain, np.maximum(before, np.minimum(factor * before, _LONGEST)))
    return replace(motion, R_parent_joint=body_local_rotations(R_world).astype(np.float32))


def _reach(joints: Float, chain: list[int]) -> Float:
    """Distance (T,) from hip to ankle over the length of thigh and shin."""
    hip, knee, ankle = (joints[:, joint] for joint in chain)
    length = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    return np.asarray(np.linalg.norm(ankle - hip, axis=-1) / length)


def _stretch(R_world: Float, joints: Float, chain: list[int], reach: Float) -> None:
    """Turns thigh and shin in the plane of the leg until it reaches so far (T,), where hip and ankle lie in line."""
    length = sum(float(np.linalg.norm(mean_offsets()[joint])) for joint in chain[1:])
    hip, knee, ankle = (joints[:, joint] for joint in chain)
    thigh, shin = knee - hip, ankle - knee
    a, b = np.linalg.norm(thigh, axis=-1), np.linalg.norm(shin, axis=-1)
    axis = np.cross(thigh, shin)
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    d = np.stack([np.linalg.norm(ankle - hip, axis=-1), length * reach])  # before, after
    at_hip = np.arccos(np.clip((a**2 + d**2 - b**2) / (2 * a * d), -1, 1))
    at_ankle = np.arccos(np.clip((b**2 + d**2 - a**2) / (2 * b * d), -1, 1))
    for joint, angle in zip(chain[:2], (at_hip[0] - at_hip[1], at_ankle[1] - at_ankle[0]), strict=True):
        R_world[:, joint] = axis_angle_to_matrix(angle[:, None] * axis) @ R_world[:, joint]
