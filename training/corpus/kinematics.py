"""Forward kinematics of many frames on the mean skeleton, and where the body's surface meets the floor."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from mocap.body.skeleton import JOINT, global_rotations, load_skeleton
from training.datasets.motion import Motion

Float = NDArray[Any]  # of floats; NumPy's own types are too wide for arithmetic with scalars

# Radius (m) of the flesh around each joint of an adult: what touches the floor first when a person lies or kneels.
_RADII = {
    "pelvis": 0.11, "hip": 0.1, "spine1": 0.1, "spine2": 0.1, "spine3": 0.11, "neck": 0.06, "head": 0.09,
    "collar": 0.08, "shoulder": 0.055, "elbow": 0.04, "wrist": 0.03, "hand": 0.02, "knee": 0.055, "ankle": 0.045,
    "foot": 0.025,
}  # fmt: skip
HEEL = np.array([0.0, -0.05, -0.045])  # m, from the ankle in the rest pose; a ball of FOOT_RADIUS about it
FOOT_RADIUS = 0.025  # m, of heel and ball: together they make the sole


@lru_cache(maxsize=1)
def rest_joints() -> Float:
    """(24, 3) m, the mean skeleton in SMPL's T-pose."""
    return load_skeleton().rest_joints(np.zeros(10, np.float32))


@lru_cache(maxsize=1)
def standing_height() -> float:
    """Height in m of the pelvis joint above the soles in the rest pose."""
    rest = rest_joints()
    return float(rest[0, 1] - rest[JOINT["left_foot"], 1] + FOOT_RADIUS)


def with_hands(R_parent_joint: Float) -> Float:
    """Appends SMPL's two hands at rest: (T, 22, 3, 3) -> (T, 24, 3, 3)."""
    hands = np.broadcast_to(np.eye(3, dtype=R_parent_joint.dtype), (len(R_parent_joint), 2, 3, 3))
    return np.concatenate([R_parent_joint, hands], 1)


def forward(R_parent_joint: Float, p_root: Float) -> tuple[Float, Float]:
    """Rotations (T, 22, 3, 3) and root (T, 3) m -> joints (T, 24, 3) m and global rotations (T, 24, 3, 3)."""
    R_global = global_rotations(with_hands(R_parent_joint.astype(np.float32)))
    joints = load_skeleton().joints(R_global, p_root.astype(np.float32), np.zeros(10, np.float32))
    return joints, R_global


def lowest_point(joints: Float, R_global: Float, parts: slice = slice(None)) -> Float:
    """Height (T,) m of the lowest point of the body's surface: balls about the joints, and the heels."""
    radii = np.array([_RADII[name.split("_")[-1]] for name in JOINT], np.float32)
    low = (joints[..., 1] - radii)[:, parts].min(1)
    for side in ("left", "right"):
        ankle = JOINT[f"{side}_ankle"]
        heel = joints[:, ankle, 1] + R_global[:, ankle, 1] @ HEEL.astype(np.float32) - FOOT_RADIUS
        low = np.minimum(low, heel)
    return low


def on_floor(motion: Motion) -> Motion:
    """Shifts the motion so that it stands on Y = 0: the floor is the 3rd percentile of the body's lowest point.

    Jumps keep their height. Frames below the floor are lifted, the lift spread over a third of a second.
    """
    joints, R_global = forward(motion.R_parent_joint, motion.p_world_root)
    low = lowest_point(joints, R_global)
    low = low - np.percentile(low, 3)
    root = motion.p_world_root.astype(np.float32).copy()
    root[:, 1] -= np.percentile(lowest_point(joints, R_global), 3)
    root[:, 1] += smooth_lift(np.maximum(-low, 0), motion.fps)
    return replace(motion, p_world_root=root)


def smooth_lift(needed: Float, fps: float) -> Float:
    """The smooth curve (T,) at or above the needed lift (T,) m, nearly."""
    window = max(3, round(0.3 * fps) | 1)
    return gaussian_filter1d(maximum_filter1d(needed, window), window / 4, mode="nearest")
