"""Errors of the learned capture on rendered people."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body.torch_figure import Figure
from mocap.models.capture import CaptureNetwork
from training.capture.samples import Knowledge, inputs
from training.capture.shards import Shards
from training.capture.truth import FLIP_YZ
from training.metrics import acceleration_error, mpjpe, pa_mpjpe, rotation_error

PLAIN = Knowledge(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # everything but shape and pitch
_BATCH = 512


@torch.no_grad()
def errors_mm(model: CaptureNetwork, shards: Shards, figure: Figure, clip: bool) -> dict[str, float]:
    """Means over the frames in which somebody is seen: joints (24) in mm and local rotations in degrees; of clips also
    the error of the acceleration, m/s², causal.
    """
    outs, frames = [], shards.clip_frames if clip else 1
    device = next(model.parameters()).device
    given = inputs(shards.truth, shards.seen, PLAIN, frames, torch.Generator().manual_seed(0))
    t = torch.arange(frames) / 30.0
    each = max(1, _BATCH // frames) * frames
    for first in range(0, len(shards), each):
        part = {name: value[first : first + each].to(device) for name, value in given.items()}
        count = len(part["roi"]) // frames
        if clip:
            known = shards.seen.there[first : first + each].unflatten(0, (count, frames))
            causal = torch.ones(count, dtype=torch.bool)
            out = model(part, t.expand(count, -1).to(device), known.to(device), causal.to(device))
        else:
            out = model(part)
        R = out["R"].float().cpu()
        joints, _ = figure(R, out["betas"].float().cpu())
        outs.append((joints, R))
    joints, R = (torch.cat([part[n] for part in outs]) for n in (0, 1))
    true = (shards.truth.p_camera_joint - shards.truth.p_camera_joint[:, :1]) @ FLIP_YZ
    there = shards.seen.there
    found = {
        "mpjpe_mm": 1e3 * float(mpjpe(_np(joints[there]), _np(true[there])).mean()),
        "pa_mpjpe_mm": 1e3 * float(pa_mpjpe(_np(joints[there]), _np(true[there])).mean()),
        "rotation_deg": float(rotation_error(_np(R[there, 1:]), _np(shards.truth.R[there, 1:])).mean()),
        "root_deg": float(rotation_error(_np(R[there, 0]), _np(shards.truth.R[there, 0])).mean()),
    }
    if clip:
        pairs = zip(joints.unflatten(0, (-1, frames)), true.unflatten(0, (-1, frames)), strict=True)
        each_clip = [float(acceleration_error(_np(a), _np(b), 1 / 30)) for a, b in pairs]
        found["acceleration_error"] = sum(each_clip) / len(each_clip)
    return found


def _np(x: Tensor) -> NDArray[np.float64]:
    return np.asarray(x.double().numpy())
