"""What is true of N frames of people before cameras, and the frame of reference in which noise is measured."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mocap.body.landmarks import LANDMARK_PAIRS
from mocap.body.skeleton import JOINT, JOINT_NAMES
from mocap.body.torch_figure import Figure

FLIP_YZ = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # level-camera world from camera axes
_REACH = 1.05 * 2 * 1.25  # side of BlazePose's square over the farthest joint's distance from the hips
_HIPS = [JOINT["left_hip"], JOINT["right_hip"]]
_SHOULDERS = [JOINT["left_shoulder"], JOINT["right_shoulder"]]


def _exchanged(names: tuple[str, ...]) -> Tensor:
    other = [n.replace("left", "L").replace("right", "left").replace("L", "right") for n in names]
    return torch.tensor([names.index(name) for name in other])


SWAP_JOINTS = _exchanged(JOINT_NAMES)  # (24,)
SWAP_LANDMARKS = torch.arange(33)
for _left, _right in LANDMARK_PAIRS:
    SWAP_LANDMARKS[_left], SWAP_LANDMARKS[_right] = _right, _left


@dataclass(frozen=True)
class Truth:
    """N frames. ``camera`` are camera axes (x right, y down, z forward), m."""

    R: Tensor  # (N, 22, 3, 3) local; entry 0 level-camera world from pelvis
    betas: Tensor  # (N, 10)
    p_camera_joint: Tensor  # (N, 24, 3)
    p_camera_landmark: Tensor  # (N, 33, 3)
    focal_px: Tensor  # (N,)
    size_px: Tensor  # (N, 2)
    pitch: Tensor  # (N,) rad, how far the camera looks down

    @classmethod
    def of(
        cls, figure: Figure, R: Tensor, betas: Tensor, p_camera_root: Tensor, focal_px: Tensor, size_px: Tensor,
        pitch: Tensor,
    ) -> Truth:  # fmt: skip
        """From rotations (N, 22, 3, 3) as above and the pelvis (N, 3) m."""
        parts = figure(R, betas)
        joints, landmarks = (points @ FLIP_YZ + p_camera_root[:, None] for points in parts)
        return cls(R, betas, joints, landmarks, focal_px, size_px, pitch)

    def __len__(self) -> int:
        return len(self.betas)

    def __getitem__(self, rows: Tensor | slice) -> Truth:
        return Truth(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device) -> Truth:
        """On another device."""
        return Truth(*(getattr(self, field.name).to(device) for field in fields(self)))

    @staticmethod
    def join(parts: list[Truth]) -> Truth:
        """One after the other."""
        return Truth(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Truth)))

    def project(self, p_camera: Tensor) -> Tensor:
        """Camera points (N, n, 3) m -> (N, n, 2) px; depth is clamped to 5 cm before the camera."""
        plane = p_camera[..., :2] / p_camera[..., 2:].clamp_min(0.05)
        return plane * self.focal_px[:, None, None] + 0.5 * self.size_px[:, None]

    def square(self) -> Tensor:
        """(N, 4) centre x, y and side in px, rotation in rad: about where BlazePose would look."""
        joints = self.project(self.p_camera_joint)
        hips, shoulders = joints[:, _HIPS].mean(1), joints[:, _SHOULDERS].mean(1)
        up = shoulders - hips
        side = _REACH * (joints - hips[:, None]).norm(dim=-1).amax(1, keepdim=True)
        return torch.cat([hips, side, torch.atan2(up[:, :1], -up[:, 1:])], 1)

    def mirrored(self, which: Tensor) -> Truth:
        """Those of ``which`` (N,) bool seen in a mirror that keeps the picture's size."""
        sign = torch.tensor([-1.0, 1.0, 1.0])
        R = self.R[:, SWAP_JOINTS[:22]] * (sign[:, None] * sign)
        joints = self.p_camera_joint[:, SWAP_JOINTS] * sign
        landmarks = self.p_camera_landmark[:, SWAP_LANDMARKS] * sign
        pick = which[:, None, None]
        return Truth(
            torch.where(pick[..., None], R, self.R),
            self.betas,
            torch.where(pick, joints, self.p_camera_joint),
            torch.where(pick, landmarks, self.p_camera_landmark),
            self.focal_px,
            self.size_px,
            self.pitch,
        )


@dataclass(frozen=True)
class Seen:
    """What BlazePose says of N frames, as in :class:`mocap.types.Person`."""

    landmarks_px: Tensor  # (N, 33, 3)
    landmarks_world: Tensor  # (N, 33, 3) m
    visibility: Tensor  # (N, 33) in [0, 1], below 0: not there
    roi: Tensor  # (N, 4) centre x, y and side in px, rotation in rad
    features: Tensor  # (N, 16, 288), half precision; zeros where there is no picture

    def __len__(self) -> int:
        return len(self.roi)

    def __getitem__(self, rows: Tensor | slice) -> Seen:
        return Seen(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def join(parts: list[Seen]) -> Seen:
        """One after the other."""
        return Seen(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Seen)))

    @property
    def there(self) -> Tensor:
        """(N,) bool, frames in which anything was seen."""
        return (self.visibility >= 0).any(1)

    def without(self, gone: Tensor) -> Seen:
        """Nobody is seen in the frames of ``gone`` (N,) bool, and nothing tells where he would be."""
        visibility = torch.where(gone[:, None], -torch.ones(()), self.visibility)
        roi = torch.where(gone[:, None], torch.tensor([0.0, 0, 1, 0]), self.roi)
        px, world = (part.masked_fill(gone[:, None, None], 0) for part in (self.landmarks_px, self.landmarks_world))
        return Seen(px, world, visibility, roi, self.features.masked_fill(gone[:, None, None], 0))

    def mirrored(self, which: Tensor, width_px: Tensor) -> Seen:
        """Those of ``which`` (N,) bool seen in a mirror that keeps the picture's size, of width (N,) px, which nobody
        took a picture of; frames in which nobody is seen stay as they are.
        """
        sign = torch.tensor([-1.0, 1.0, 1.0])
        px = self.landmarks_px[:, SWAP_LANDMARKS] * sign
        px[..., 0] += width_px[:, None]
        roi = self.roi * torch.tensor([-1.0, 1.0, 1.0, -1.0])
        roi[:, 0] += width_px
        pick = (which & self.there)[:, None]
        return Seen(
            torch.where(pick[..., None], px, self.landmarks_px),
            torch.where(pick[..., None], self.landmarks_world[:, SWAP_LANDMARKS] * sign, self.landmarks_world),
            torch.where(pick, self.visibility[:, SWAP_LANDMARKS], self.visibility),
            torch.where(pick, roi, self.roi),
            self.features.masked_fill(pick[..., None], 0),
        )


def turned(points: Tensor, angle: Tensor) -> Tensor:
    """Points (N, n, 2 or 3) with x, y turned by ``angle`` (N,) rad, clockwise in the picture."""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x, y = points[..., 0], points[..., 1]
    return torch.cat([torch.stack([cos * x - sin * y, sin * x + cos * y], -1), points[..., 2:]], -1)
