"""Little C3D files, and a moving open body with markers on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mocap.body.joint_limits import joint_limits
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT
from training.datasets.motion import NUM_BODY_JOINTS
from training.marker_model import MarkerModel
from training.marker_shape import Subject

Float = NDArray[np.float64]


def write_c3d(
    path: Path, labels: Sequence[str], points: Float, fps: float = 120.0, unit: str = "mm", up: str = "+Z",
    hidden: NDArray[np.bool_] | None = None,
) -> Path:  # fmt: skip
    """Points (T, M, 3) as they are, in ``unit``; ``hidden`` (T, M) get C3D's residual of -1 for "not seen"."""
    import ezc3d

    file = ezc3d.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"], point["UNITS"]["value"], point["LABELS"]["value"] = [fps or 99.0], [unit], list(labels)
    file.add_parameter("POINT", "Y_SCREEN", [up])
    file["data"]["points"] = np.concatenate([points, np.ones_like(points[..., :1])], -1).transpose(2, 1, 0)
    if hidden is not None:
        file["data"]["meta_points"]["residuals"] = -1.0 * hidden.T[None]
    file.write(str(path))
    if fps == 0:  # which ezc3d does not write
        path.write_bytes(path.read_bytes().replace(struct.pack("<f", 99.0), struct.pack("<f", 0.0)))
    return path


def to_z_up(points: Float) -> Float:
    """Ours (..., 3), Y up in m -> the laboratory's, Z up in mm."""
    return 1000.0 * np.roll(points, 1, axis=-1)


@dataclass(frozen=True)
class Walker:
    """Someone who moves all joints about a standing pose, and their markers."""

    subject: Subject
    R: Float  # (T, 22, 3, 3)
    root: Float  # (T, 3) m
    joints: Float  # (T, 22, 3) m
    points: Float  # (T, M, 3) m

    @staticmethod
    def create(model: MarkerModel, frames: int, seed: int = 0, fps: float = 30.0) -> Walker:
        rng = np.random.default_rng(seed)
        subject = Subject(0.7 * rng.standard_normal(10), _strayed(model, rng))
        seconds = np.arange(frames)[:, None, None] / fps
        swing = 0.25 * rng.standard_normal((1, NUM_BODY_JOINTS, 3))
        swing[:, [JOINT["left_foot"], JOINT["right_foot"]]] *= 0.1
        swing[:, 0] = (0.05, 0.8, 0.05)
        phase = rng.uniform(0, 6, (1, NUM_BODY_JOINTS, 3))
        turn = swing * np.sin(rng.uniform(1, 4, (1, NUM_BODY_JOINTS, 3)) * seconds + phase)
        R = joint_limits().R_neutral[:NUM_BODY_JOINTS] @ axis_angle_to_matrix(turn)
        root = np.array([0.3, 0.95, -0.2]) + np.array([0.6, 0.0, 0.4]) * seconds[:, 0]
        posed = model.rig(subject.betas, subject.offset).forward(torch.from_numpy(R), torch.from_numpy(root))
        return Walker(subject, R, root, posed.joints.numpy(), posed.markers.numpy())


def _strayed(model: MarkerModel, rng: np.random.Generator) -> Float:
    """Offsets of markers up to about a centimetre from their protocol places."""
    return model.protocol_offset() + 0.005 * rng.standard_normal((len(model.place), 3))
