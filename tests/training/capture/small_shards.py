"""People of random poses before random cameras, and shards of them in ``training.synthesize``'s layout whose
observations are made up: neither OpenGL nor BlazePose's network is needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body.landmarks import LANDMARK
from mocap.body.torch_figure import Figure
from mocap.body.torch_kinematics import with_hands
from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.people.landmarks import FEATURES
from training.capture.landmark_noise import LandmarkNoise
from training.capture.truth import FLIP_YZ, Seen, Truth
from training.synthesis.people import People
from training.synthesis.views import ViewConfig, Views, random_headings, random_views

HIPS = [LANDMARK["left_hip"], LANDMARK["right_hip"]]


def people(count: int, frames: int = 1, seed: int = 0) -> People:
    """``count`` clips of so many frames, one after the other; each of one person who moves evenly, and one camera."""
    generator = torch.Generator().manual_seed(seed)
    start, speed = (torch.randn(count, 1, 22, 3, generator=generator) for _ in range(2))
    time = torch.arange(frames)[:, None, None] / 30
    R = axis_angle_to_matrix((0.35 * start + 0.5 * speed * time).flatten(0, 1))
    heading = random_headings(count, ViewConfig(), generator).repeat_interleave(frames, 0)
    R = torch.cat([(heading @ R[:, 0])[:, None], R[:, 1:]], 1)
    betas = torch.randn(count, 10, generator=generator).repeat_interleave(frames, 0)
    root = (torch.randn(count, 1, 3, generator=generator) * time[..., 0]).flatten(0, 1)
    joints = Figure()(R, betas)[0] + root[:, None]
    views = random_views(joints.unflatten(0, (count, frames))[:, frames // 2], ViewConfig(), generator)
    parts = (views.size_px, views.focal_px, views.R_camera_world, views.p_world_camera)
    return People(with_hands(R), betas, joints, Views(*(part.repeat_interleave(frames, 0) for part in parts)))


def truth_of(some: People) -> Truth:
    """The same as the networks are taught it."""
    views, R = some.views, some.R_parent_joint[:, :22].clone()
    R[:, 0] = FLIP_YZ @ views.R_camera_world @ R[:, 0]
    root = views.to_camera(some.p_world_joint)[:, 0]
    return Truth.of(Figure(), R, some.betas, root, views.focal_px, views.size_px, views.pitch)


def seen_of(truth: Truth, error: float = 0.0, seed: int = 0) -> Seen:
    """What a landmark network would say that errs by so much of its square, and as many metres, everywhere alike."""
    generator = torch.Generator().manual_seed(seed)

    def off(*shape: int) -> Tensor:
        return error * torch.randn(len(truth), *shape, generator=generator)

    points, roi = truth.p_camera_landmark, truth.square()
    hips = points[:, HIPS].mean(1, keepdim=True)
    side = roi[:, None, 2:3]
    depth = (points - hips)[..., 2:] * truth.focal_px[:, None, None] / hips[..., 2:].clamp_min(0.05)
    px = torch.cat([truth.project(points), depth], -1) + side * off(33, 3)
    roi = roi + off(4) * torch.cat([side[:, 0], side[:, 0], side[:, 0], torch.ones_like(side[:, 0])], 1)
    visibility = 0.2 + 0.7 * torch.rand(len(truth), 33, generator=generator)
    features = torch.rand(len(truth), *FEATURES, generator=generator).half()
    return Seen(px, points - hips + off(33, 3), visibility, roi, features)


def shard(some: People, seen: Seen) -> dict[str, NDArray]:
    """The arrays of a shard; where nobody is there they are empty."""
    there = seen.there
    empty = {
        "landmarks_px": seen.landmarks_px,
        "landmarks_world": seen.landmarks_world,
        "visibility": seen.visibility,
        "roi": seen.roi,
        "score": torch.full((len(seen),), 0.9),
        "features": seen.features,
    }
    arrays = {
        "row": torch.arange(len(seen)),
        "cut": torch.zeros(len(seen), dtype=torch.bool),
        "R": some.R_parent_joint,
        "betas": some.betas,
        "p_camera_joint": some.views.to_camera(some.p_world_joint),
        "size_px": some.views.size_px,
        "focal_px": some.views.focal_px,
        "R_camera_world": some.views.R_camera_world,
        "p_world_camera": some.views.p_world_camera,
        **{name: part * there.view(-1, *[1] * (part.ndim - 1)) for name, part in empty.items()},
    }
    return {name: part.numpy() for name, part in arrays.items()}


def write_shard(
    folder: Path, some: People, seen: Seen, clip_frames: int = 1, split: str = "train", number: int = 0
) -> Path:
    """A shard's file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_0_{len(seen)}_{clip_frames}_{number:05d}.npz"
    np.savez(path, **shard(some, seen))
    return path


def write_small_shards(folder: Path, count: int, frames: int = 1, seed: int = 0, error: float = 0.02) -> None:
    """One shard; of clips the last frame of every other one is lost."""
    some = people(count, frames, seed)
    seen = seen_of(truth_of(some), error, seed)
    if frames > 1:
        seen.visibility[frames - 1 :: 2 * frames] = -1
    write_shard(folder, some, seen, frames)


def noise_without_habits(singles: int, clips: int = 1, frames: int = 4) -> LandmarkNoise:
    """Whose errors are those in its bank alone; the bank is empty."""
    model = LandmarkNoise(singles, clips, frames).eval()
    last = model.network[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    model.clip_there.fill_(True)
    return model
