"""Webcams before posed bodies: field of view, tilt, distance and framing at random, as people set them up.

Bodies stand in the world (SMPL's axes, +Y up, metres) and are turned about +Y; the camera stands on their +Z side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mocap.body.skeleton import JOINT
from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.config import option

# What has to be in the picture, by the share of pictures: everything, from the hips up, from the chest up.
_FULL = list(range(24))
_WAIST = [j for name, j in JOINT.items() if not any(part in name for part in ("knee", "ankle", "foot"))]
_CHEST = [JOINT[name] for name in ("spine2", "spine3", "neck", "head", "left_shoulder", "right_shoulder")]
_FRAMINGS = ((0.4, _FULL), (0.35, _WAIST), (0.25, _CHEST))
_SIZES = ((1280, 720), (1280, 720), (640, 480), (720, 1280))  # px
_HEAD_M = 0.2  # from the head joint to the crown


@dataclass(frozen=True)
class ViewConfig:
    """How cameras are drawn."""

    least_fov_deg: float = option(45.0, "least field of view of the picture's longer side", "DEG", low=1, high=170)
    most_fov_deg: float = option(90.0, "largest", "DEG", low=1, high=170)
    tilt_deg: float = option(12.0, "standard deviation of the camera's elevation above the body", "DEG", low=0)
    most_tilt_deg: float = option(40.0, "largest elevation", "DEG", low=0)
    roll_deg: float = option(2.0, "standard deviation of the camera's roll", "DEG", low=0)
    least_fill: float = option(0.45, "least share of the picture that the wanted part takes", "SHARE", low=0)
    most_fill: float = option(1.05, "largest; above 1 it is cut off", "SHARE", low=0)
    off_center: float = option(0.12, "standard deviation of its place, share of the picture", "SHARE", low=0)
    facing: float = option(
        0.6, "share of people who roughly face the camera; others turn any way", "0…1", low=0, high=1
    )


@dataclass(frozen=True)
class Views:
    """B pinhole cameras, the principal point in the middle of the picture."""

    size_px: Tensor  # (B, 2) width, height
    focal_px: Tensor  # (B,)
    R_camera_world: Tensor  # (B, 3, 3), camera axes (x right, y down, z forward) from world
    p_world_camera: Tensor  # (B, 3) m

    @property
    def pitch(self) -> Tensor:
        """(B,) rad, how far the camera looks down."""
        return torch.asin(-self.R_camera_world[:, 2, 1].clamp(-1, 1))

    def at(self, rows: slice | Tensor) -> Views:
        """Some of them."""
        return Views(self.size_px[rows], self.focal_px[rows], self.R_camera_world[rows], self.p_world_camera[rows])

    def to_camera(self, p_world: Tensor) -> Tensor:
        """World points (B, N, 3) m -> camera axes (B, N, 3) m."""
        return (p_world - self.p_world_camera[:, None]) @ self.R_camera_world.mT

    def project(self, p_camera: Tensor) -> Tensor:
        """Camera points (B, N, 3) m -> pixels (B, N, 2); depth is clamped to 1 cm before the camera."""
        depth = p_camera[..., 2:].clamp_min(0.01)
        return p_camera[..., :2] / depth * self.focal_px[:, None, None] + 0.5 * self.size_px[:, None]


def random_headings(count: int, config: ViewConfig, generator: torch.Generator) -> Tensor:
    """Rotations about +Y (count, 3, 3): some face the camera within ±45° or so, the others look anywhere."""
    facing = torch.rand(count, generator=generator) < config.facing
    near = 0.4 * torch.randn(count, generator=generator)
    anywhere = 2 * torch.pi * torch.rand(count, generator=generator)
    angle = torch.where(facing, near, anywhere)
    return axis_angle_to_matrix(angle[:, None] * torch.tensor([0.0, 1.0, 0.0]))


def random_views(joints: Tensor, config: ViewConfig, generator: torch.Generator) -> Views:
    """A camera for each body, whose joints (B, 24, 3) m are in the world."""
    count = len(joints)
    size = torch.tensor(_SIZES, dtype=torch.float32)[_choose(count, len(_SIZES), generator)]
    fov = torch.deg2rad(_uniform(count, config.least_fov_deg, config.most_fov_deg, generator))
    focal = 0.5 * size.amax(1) / torch.tan(0.5 * fov)
    most = config.most_tilt_deg
    tilt = torch.deg2rad((config.tilt_deg * torch.randn(count, generator=generator)).clamp(-most, most))
    roll = torch.deg2rad(config.roll_deg * torch.randn(count, generator=generator))
    R = _looking(tilt, roll)
    wanted = _wanted(count, generator)
    crown = joints[:, JOINT["head"]] + _HEAD_M * _up(joints)
    points = torch.cat([joints, crown[:, None]], 1)
    middle = _middle(points, wanted)
    fill = _uniform(count, config.least_fill, config.most_fill, generator)
    shift = config.off_center * torch.randn(count, 2, generator=generator) * size
    distance = torch.full((count,), 3.0)
    for _ in range(4):  # perspective: the share that is taken is not quite inverse to the distance
        views = Views(size, focal, R, middle - _turned_back(R, _ahead(distance, shift, focal)))
        picture = views.project(views.to_camera(points))
        low = torch.where(wanted[..., None], picture, torch.inf).amin(1)
        high = torch.where(wanted[..., None], picture, -torch.inf).amax(1)
        taken = ((high - low) / size).amax(1)
        distance = (distance * taken / fill).clamp(0.35, 12.0)
    return Views(size, focal, R, middle - _turned_back(R, _ahead(distance, shift, focal)))


def _looking(tilt: Tensor, roll: Tensor) -> Tensor:
    """Camera from world (B, 3, 3): level it looks along -Z; ``tilt`` looks down, then ``roll`` about its axis."""
    level = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    down = axis_angle_to_matrix(tilt[:, None] * torch.tensor([1.0, 0.0, 0.0]))
    rolled = axis_angle_to_matrix(roll[:, None] * torch.tensor([0.0, 0.0, 1.0]))
    return rolled @ down @ level


def _ahead(distance: Tensor, shift_px: Tensor, focal: Tensor) -> Tensor:
    """Where the middle of the wanted part is, in camera axes (B, 3) m."""
    return torch.cat([shift_px / focal[:, None], torch.ones(len(distance), 1)], 1) * distance[:, None]


def _turned_back(R_camera_world: Tensor, vectors: Tensor) -> Tensor:
    """Vectors (B, 3) in camera axes -> in the world's."""
    return (vectors[:, None] @ R_camera_world)[:, 0]


def _wanted(count: int, generator: torch.Generator) -> Tensor:
    """(B, 25) which joints, and the crown, have to be in the picture."""
    masks = torch.zeros(len(_FRAMINGS), 25, dtype=torch.bool)
    for row, (_, joints) in enumerate(_FRAMINGS):
        masks[row, [*joints, 24]] = True
    shares = torch.tensor([share for share, _ in _FRAMINGS])
    return masks[torch.multinomial(shares, count, replacement=True, generator=generator)]


def _middle(points: Tensor, wanted: Tensor) -> Tensor:
    """Of the box around the wanted points (B, 3) m."""
    low = torch.where(wanted[..., None], points, torch.inf).amin(1)
    high = torch.where(wanted[..., None], points, -torch.inf).amax(1)
    return 0.5 * (low + high)


def _up(joints: Tensor) -> Tensor:
    """From the neck through the head (B, 3), unit length."""
    up = joints[:, JOINT["head"]] - joints[:, JOINT["neck"]]
    return up / up.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def _choose(count: int, among: int, generator: torch.Generator) -> Tensor:
    return torch.randint(among, (count,), generator=generator)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
