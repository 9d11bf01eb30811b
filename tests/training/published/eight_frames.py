"""Eight rendered frames of the demo clip, to be learned by heart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body.torch_figure import Figure
from mocap.models.image_regressor import frame_from_square
from mocap.models.live_networks import Upright
from mocap.people.picture import Picture
from mocap.sources.video import VideoFile

SIDE, LIMIT_M = 64, 5e-3
_FRAMES = range(5, 280, 35)


class Frames(NamedTuple):
    """In camera axes."""

    pictures: Tensor  # (8, 3, 64, 64) normalised
    R: Tensor  # (8, 24, 3, 3) parent from joint, entry 0 camera from pelvis
    joints: Tensor  # (8, 24, 3) m from the pelvis, of the mean shape


@functools.cache
def eight_frames() -> Frames:
    with np.load(asset_path("demo.npz")) as truth:
        R, px, camera = truth["R_parent_joint"][0], truth["landmarks_px"][0], truth["R_world_camera"]
    pictures = []
    with VideoFile(asset_path("demo.mp4")) as video:
        for index in range(_FRAMES[-1] + 1):
            frame = video.read()
            if frame is not None and index in _FRAMES:
                low, high = px[index].min(0), px[index].max(0)
                square = (*((low + high) / 2), 1.2 * (high - low).max())
                pictures.append(Picture(frame.rgb).squares(frame_from_square(square, SIDE)[None], SIDE, 0.0, True))
    chosen = torch.from_numpy(R[list(_FRAMES)].astype(np.float32))
    chosen[:, 0] = torch.from_numpy(camera.T.astype(np.float32)) @ chosen[:, 0]
    joints, _ = Figure()(chosen, torch.zeros(len(chosen), 10))
    return Frames(Upright(nn.Identity()).picture(torch.from_numpy(np.concatenate(pictures))), chosen, joints)


def descend(parameters: Iterable[nn.Parameter], loss: Callable[[], Tensor], steps: int, rate: float = 1e-3) -> None:
    """AdamW along a cosine, of what can be trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, rate / 100)
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
