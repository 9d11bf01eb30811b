"""Made-up but smooth people, for takes whose every number is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import NUM_JOINTS, load_skeleton
from mocap.takes.export import export_take
from mocap.takes.reader import Take
from mocap.takes.recorder import TakeRecorder
from mocap.types import Array, BodyPose, Camera, MocapFrame, Person, Roi

FPS = 30.0
META = {"name": "test", "fps": FPS, "source": "made up"}


def axis_angles(track_id: int, t: float) -> Array:
    """(24, 3) rad: every joint swings about an axis of its own, by up to 100 degrees; the root turns all the way."""
    rng = np.random.default_rng(track_id)
    amplitude, phase, speed = rng.uniform(-1, 1, (NUM_JOINTS, 3)), rng.uniform(0, 6, (NUM_JOINTS, 3)), 0.4
    angles = amplitude * np.sin(2 * np.pi * speed * t + phase)
    angles[0] = (0.1, 2.0 * t, 0.1)
    return angles


def betas_of(track_id: int) -> Array:
    return np.random.default_rng(track_id).normal(0, 0.7, 10).astype(np.float32)


def make_pose(track_id: int, t: float, betas: Array | None = None) -> BodyPose:
    betas = betas_of(track_id) if betas is None else betas
    R = axis_angle_to_matrix(axis_angles(track_id, t)).astype(np.float32)
    p_root = np.array([np.sin(t) + track_id, 0.9 + 0.05 * np.sin(5 * t), 0.5 * t], np.float32)
    joints = load_skeleton().forward(R, p_root, betas)
    rng = np.random.default_rng(int(1000 * t) + track_id)
    confidence = rng.uniform(0, 1, NUM_JOINTS).astype(np.float32)
    return BodyPose(track_id, t, R, p_root, betas, joints, confidence, np.array([0.25, 1.0], np.float32))


def make_person(track_id: int, t: float) -> Person:
    rng = np.random.default_rng(int(1000 * t) + 7 * track_id)
    return Person(
        track_id,
        Roi((rng.uniform(0, 1280), 360.5), 400.25, 0.1),
        0.75,
        rng.uniform(0, 1280, (33, 3)).astype(np.float32),
        rng.normal(0, 0.5, (33, 3)).astype(np.float32),
        rng.uniform(0, 1, 33).astype(np.float32),
    )


def make_camera(index: int) -> Camera:
    """A camera that tilts and rises from frame to frame, as while it is being calibrated."""
    tilt = axis_angle_to_matrix(np.array([0.1 + 0.001 * index, 0, 0]))
    R = (tilt @ np.diag([1.0, -1.0, -1.0])).astype(np.float32)
    return Camera(1280, 720, 900.5, R, np.array([0.0, 1.4 + 0.001 * index, 3.0], np.float32))


def make_frame(index: int, people: Sequence[int] = (), t: float | None = None) -> MocapFrame:
    t = index / FPS if t is None else t
    persons, poses = tuple(make_person(i, t) for i in people), tuple(make_pose(i, t) for i in people)
    return MocapFrame(index, t, make_camera(index), persons, poses, {"people": 12.5, "motion": 0.5}, 31.25)


def record(path: Path, frames: Iterable[MocapFrame], meta: dict[str, object] | None = None) -> Path:
    """A finished take with these frames."""
    with TakeRecorder(path, META if meta is None else meta) as recorder:
        for frame in frames:
            recorder.write(frame)
    return recorder.path


def export(path: Path, formats: Sequence[str], out_dir: Path | None = None, **options: Any) -> list[Path]:
    with Take(path) as take:
        return export_take(take, formats, out_dir, **options)
