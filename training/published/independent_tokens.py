"""INT's losses and data (Yang et al. 2023, section 3.4; MAED's data, Wan et al. 2021).

Joints are SPIN's 49: :data:`JOINT_NAMES`. Confidences are 0 or 1. Pictures' points are in [-1, 1] of the square in the
losses, in pixels elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from mocap.body.skeleton import JOINT_NAMES as SMPL_NAMES
from mocap.body.skeleton import NUM_JOINTS
from mocap.body.torch_rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.models.independent_tokens import FOCAL_PX, SQUARE_PX, camera_translation
from training.projection import perspective

Array = NDArray[np.floating]

JOINT_NAMES = (
    "openpose nose", "openpose neck", "openpose right_shoulder", "openpose right_elbow", "openpose right_wrist",
    "openpose left_shoulder", "openpose left_elbow", "openpose left_wrist", "openpose middle_hip",
    "openpose right_hip", "openpose right_knee", "openpose right_ankle", "openpose left_hip", "openpose left_knee",
    "openpose left_ankle", "openpose right_eye", "openpose left_eye", "openpose right_ear", "openpose left_ear",
    "openpose left_big_toe", "openpose left_small_toe", "openpose left_heel", "openpose right_big_toe",
    "openpose right_small_toe", "openpose right_heel",
    "lsp right_ankle", "lsp right_knee", "lsp right_hip", "lsp left_hip", "lsp left_knee", "lsp left_ankle",
    "lsp right_wrist", "lsp right_elbow", "lsp right_shoulder", "lsp left_shoulder", "lsp left_elbow",
    "lsp left_wrist", "lsp neck", "lsp head_top", "mpii pelvis", "mpii thorax", "human36m spine", "human36m jaw",
    "human36m head", "coco nose", "coco left_eye", "coco right_eye", "coco left_ear", "coco right_ear",
)  # fmt: skip
# Each of them among smplx's 45 joints and, from 45 on, the nine that SPIN's additional regressor gives.
JOINT_ORDER = (
    24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 8, 5, 45, 46, 4, 7,
    21, 19, 17, 16, 18, 20, 47, 48, 49, 50, 51, 52, 53, 24, 26, 25, 28, 27,
)  # fmt: skip
_HIPS = [JOINT_NAMES.index("lsp right_hip"), JOINT_NAMES.index("lsp left_hip")]


def spin_joints(joints: Tensor, vertices: Tensor, regressor: Tensor, order: Sequence[int] = JOINT_ORDER) -> Tensor:
    """smplx's joints (..., 45, 3) m, SMPL's vertices (..., V, 3) m and a regressor (9, V) -> SPIN's (..., 49, 3) m."""
    return torch.cat([joints, regressor @ vertices], -2)[..., list(order), :]


def theta_of(out: dict[str, Tensor]) -> Tensor:
    """The network's output -> camera, axis-angle and betas in one (..., 85)."""
    return torch.cat([out["camera"], matrix_to_axis_angle(out["R"]).flatten(-2), out["betas"]], -1)


def in_picture(points: Tensor, camera: Tensor) -> Tensor:
    """Points (..., n, 3) m and the camera head's output (..., 3) -> in [-1, 1] of the square (..., n, 2).

    The paper's camera is a weak perspective; the released code's is a perspective one of long focal length.
    """
    focal = torch.full_like(camera[..., :2], 2 * FOCAL_PX / SQUARE_PX)
    return perspective(points, camera_translation(camera), focal)


@dataclass(frozen=True)
class LossWeights:
    """Weights of appendix C; distances are squared errors, averaged over all entries, those that do not count too."""

    picture: float = 300.0  # points in the picture, squares / 2
    points: float = 600.0  # points in space, m, the middle of the hips at 0
    velocity: float = 600.0  # what they move from frame to frame, m
    pose: float = 60.0
    shape: float = 0.06
    norm: float = 1.0  # length of all poses and shapes as one vector, over the number of frames
    # The paper compares axis-angles; the released code the rotation matrices' entries.
    pose_distance: Literal["matrix", "axis_angle"] = "matrix"


# Of the three phases of training.
PHASES = (LossWeights(velocity=0), LossWeights(velocity=0), LossWeights(norm=0.01))


class Estimates(NamedTuple):
    """Of N clips of T frames; of single pictures T is 1."""

    picture: Tensor  # (N, T, 49, 2) in [-1, 1]
    points: Tensor  # (N, T, 49, 3) m
    theta: Tensor  # (N, T, 85), see theta_of


class Labels(NamedTuple):
    """Of the same clips. The last M alone have more than points in the picture; of single pictures that is all."""

    picture: Tensor  # (N, T, 49, 3) in [-1, 1] and confidence
    points: Tensor  # (M, T, 49, 4) m and confidence
    theta: Tensor  # (M, T, 85)
    has_smpl: Tensor  # (M, T) 1 where theta is known
    has_shape: Tensor | None = None  # (M, T) 1 where its betas are; None: where theta is


def losses(weights: LossWeights, found: Estimates, labels: Labels) -> dict[str, Tensor]:
    """The terms, weighted, and their ``total`` (section 3.4).

    As in the released code the norm is that of the last M clips, and one for all of their frames together.
    """
    count = len(labels.points)
    points, theta = found.points[len(found.points) - count :], found.theta[len(found.theta) - count :]
    points, true = (p - p[..., _HIPS, :].mean(-2, keepdim=True) for p in (points, labels.points[..., :3]))
    confidence = labels.points[..., 3:]
    has_shape = labels.has_smpl if labels.has_shape is None else labels.has_shape
    moving = points.shape[1] > 1
    terms = {
        "picture": (labels.picture[..., 2:] * (found.picture - labels.picture[..., :2]).square()).mean(),
        "points": (confidence * (points - true).square()).mean(),
        "velocity": _velocity_error(points, true, confidence) if moving else points.new_zeros(()),
        "pose": _mean_where(labels.has_smpl, _pose_error(theta, labels.theta, weights.pose_distance)),
        "shape": _mean_where(has_shape, (theta[..., 75:] - labels.theta[..., 75:]).square()),
        "norm": theta[..., 3:].norm() / theta[..., 0].numel(),
    }
    terms = {name: getattr(weights, name) * term for name, term in terms.items()}
    return {**terms, "total": torch.stack(list(terms.values())).sum()}


def _velocity_error(points: Tensor, true: Tensor, confidence: Tensor) -> Tensor:
    error = (points - true).diff(dim=1).square()
    return (confidence[:, 1:] * confidence[:, :-1] * error).mean()


def _pose_error(theta: Tensor, true: Tensor, distance: str) -> Tensor:
    poses = (t[..., 3:75] for t in (theta, true))
    if distance == "matrix":
        poses = (axis_angle_to_matrix(pose.unflatten(-1, (NUM_JOINTS, 3))).flatten(-3) for pose in poses)
    a, b = poses
    return (a - b).square()


def _mean_where(known: Tensor, error: Tensor) -> Tensor:
    """Mean of errors (..., n) of the frames (...) that are known; 0 where none is."""
    return (known * error.mean(-1)).sum() / known.sum().clamp_min(1)


def _twins(names: Sequence[str]) -> list[int]:
    """Index of each name's twin on the other side; its own where it has none."""
    other = {"left": "right", "right": "left"}
    mirrored = [name.replace(side, other[side]) if (side := _side(name)) else name for name in names]
    return [names.index(name) for name in mirrored]


def _side(name: str) -> str:
    return next((side for side in ("left_", "right_") if side in name), "").rstrip("_")


TWINS = _twins(JOINT_NAMES)  # (49,)
SMPL_TWINS = _twins(SMPL_NAMES)  # (24,)


def mirror_picture(points: Array, width: int) -> Array:
    """Points (..., 49, 3) px and confidence in a picture of that width, seen in a mirror."""
    mirrored = points[..., TWINS, :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


def mirror_points(points: Array) -> Array:
    """Points (..., 49, 4) m and confidence, mirrored at the plane through the middle of the hips."""
    mirrored = points[..., TWINS, :].copy()
    mirrored[..., 0] = 2 * points[..., _HIPS, 0].mean(-1)[..., None] - mirrored[..., 0]
    return mirrored


def mirror_pose(pose: Array, keep_right_hand: bool = False) -> Array:
    """Axis-angles (..., 72) rad of the person in the mirror.

    Args:
        keep_right_hand: Leave SMPL's last joint as it is, as the released code does.
    """
    joints = pose.reshape(*pose.shape[:-1], NUM_JOINTS, 3)
    mirrored = joints[..., SMPL_TWINS, :] * [1, -1, -1]
    if keep_right_hand:
        mirrored[..., -1, :] = joints[..., -1, :]
    return mirrored.reshape(pose.shape)


def box_of_points(points: Array, margin: float = 1.1) -> Array:
    """The square box (4,) around points (n, 3) px and confidence: centre x, y, sides, ``margin`` times as large."""
    seen = points[points[:, 2] > 0, :2]
    low, high = seen.min(0), seen.max(0)
    side = margin * (high - low).max()
    return np.array([*(0.5 * (low + high)), side, side])


def crop_transform(
    box: Array, side: int, scale: float = 1.1, rotation: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)
) -> Array:
    """Affine map (2, 3) from a frame's pixels to those of the square that is cut out.

    Args:
        box: (4,) px, centre x, y, width, height.
        side: Of the square, px.
        scale: Of the box; 1.1 in evaluation, 1.3 in training.
        rotation: Of the box, clockwise in the picture, degrees.
        shift: Of its centre, in its widths and heights.
    """
    center, (width, height) = box[:2] + np.asarray(shift) * box[2:], 0.5 * scale * box[2:]
    sin, cos = math.sin(math.radians(rotation)), math.cos(math.radians(rotation))
    down, right = np.array([-sin, cos]) * height, np.array([cos, sin]) * width
    # Single precision like OpenCV's: the released code's pixels depend on the last digits.
    corners = np.stack([center, center + down.astype(np.float32), center + right.astype(np.float32)])
    half = side / 2
    aims = np.array([[half, half], [half, side], [side, half]], np.float32)
    return np.asarray(cv2.getAffineTransform(corners.astype(np.float32), aims))


def crop(frame: NDArray[np.uint8], transform: Array, side: int) -> NDArray[np.uint8]:
    """What a map of :func:`crop_transform` cuts out of a frame (H, W, 3) -> (side, side, 3); black beyond the border.

    Interpolated between pixels exactly, as OpenCV 5 does; older ones know 32 places between two pixels.
    """
    back = cv2.invertAffineTransform(transform)
    matrix, offset = back[::-1, 1::-1], back[::-1, 2]  # rows first
    size = (side, side)
    channels = (
        ndimage.affine_transform(channel, matrix, offset, size, np.float32, order=1, mode="grid-constant")
        for channel in np.moveaxis(frame, -1, 0)
    )
    return np.rint(np.stack(list(channels), -1)).astype(np.uint8)


def clips_of(videos: Sequence[Any] | NDArray[Any], length: int, stride: int, pad: bool = True) -> NDArray[np.int64]:
    """Frames' indices of clips (C, length), one after the other every ``stride`` frames.

    Args:
        videos: Which video each frame is of; those of one follow each other.
        pad: A video goes on backwards from its end until its length divides by that of a clip. Otherwise what is
            too short for a clip is left out.
    """
    frames = np.arange(len(videos))
    clips = []
    for _, members in groupby(frames, key=lambda frame: videos[frame]):
        video = np.array(list(members))
        if pad:
            video = np.pad(video, (0, -len(video) % length), "reflect")
        clips += [video[start : start + length] for start in range(0, len(video) - length + 1, stride)]
    return np.array(clips, np.int64).reshape(-1, length)
