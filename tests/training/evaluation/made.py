"""A person who moves before a camera, made from numbers, in the format of ``training.synthesize``'s shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mocap.body.landmarks import landmarks_from_pose
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, load_skeleton
from mocap.people.landmarks import FEATURES
from training.evaluation.shards import clip_of
from training.evaluation.track import Answer
from training.evaluation.truth import Clip

FPS, SIZE, FOCAL = 30.0, (1280, 720), 900.0
PITCH = 0.15  # rad, down
_MOVING = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_hip", "right_hip", "spine2", "neck")


def camera() -> tuple[np.ndarray, np.ndarray]:
    """Camera axes from the world (3, 3), and its place (3,) m."""
    c, s = np.cos(PITCH), np.sin(PITCH)
    down = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return down @ np.diag([1.0, -1.0, -1.0]), np.array([0.0, 1.4, 3.2])


def rows(frames: int = 64, seed: int = 0, noise_m: float = 0.0, delay: float = 0.0) -> dict[str, np.ndarray]:
    """A shard's rows of one clip: arms, legs and trunk swing as sums of sines, the root sways.

    Args:
        frames: of the clip, 30 a second.
        seed: of the motion.
        noise_m: deviation of noise on what is seen.
        delay: what is seen is what was so many frames ago.
    """
    R, root, betas = _pose(np.arange(frames) / FPS, seed)
    R_seen, root_seen, _ = _pose((np.arange(frames) - delay) / FPS, seed)
    R_camera_world, p_world_camera = camera()
    joints = load_skeleton().forward(R, root, betas)
    true = (landmarks_from_pose(R_seen, root_seen, betas) - p_world_camera) @ R_camera_world.T
    points = true + noise_m * np.random.default_rng(seed + 1).standard_normal(true.shape)
    px = points[..., :2] / points[..., 2:] * FOCAL + 0.5 * np.array(SIZE)
    hips = points[:, 23:25].mean(1)
    middle = px[:, 23:25].mean(1)
    side = 2.6 * np.linalg.norm(px - middle[:, None], axis=-1).max(1)
    z = (points[..., 2] - hips[:, None, 2]) * FOCAL / hips[:, None, 2]
    return {
        "R": R,
        "betas": betas,
        "p_camera_joint": (joints - p_world_camera) @ R_camera_world.T,
        "size_px": np.tile(np.array(SIZE, float), (frames, 1)),
        "focal_px": np.full(frames, FOCAL),
        "R_camera_world": np.tile(R_camera_world, (frames, 1, 1)),
        "p_world_camera": np.tile(p_world_camera, (frames, 1)),
        "landmarks_px": np.concatenate([px, z[..., None]], -1),
        "landmarks_world": points - hips[:, None],
        "visibility": np.ones((frames, 33)),
        "roi": np.concatenate([middle, side[:, None], np.zeros((frames, 1))], 1),
        "score": np.ones(frames),
        "features": np.random.default_rng(seed + 2).random((frames, *FEATURES)),
    }


def made_clip(frames: int = 64, seed: int = 0, noise_m: float = 0.0, delay: float = 0.0) -> Clip:
    """The same as a clip."""
    return clip_of(f"made_{seed}", rows(frames, seed, noise_m, delay))


def write_shard(folder: Path, clips: int, frames: int, noise_m: float = 0.02) -> Path:
    """A shard of such clips, as ``training.synthesize`` writes it."""
    parts = [rows(frames, seed, noise_m) for seed in range(clips)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"test_0_{clips * frames}_{frames}_00000.npz"
    arrays = {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in parts[0]}
    np.savez(path, row=np.arange(clips * frames), **arrays)
    return path


def true_answer(clip: Clip) -> Answer:
    """What is true, as a system would say it."""
    body = clip.truth.body
    assert body is not None
    return Answer(body.R_parent_joint.copy(), body.betas.copy())


def _pose(t: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (T, 24, 3, 3) entry 0 world from pelvis, pelvis (T, 3) m in the world, betas (T, 10)."""
    random = np.random.default_rng(seed)
    vectors = np.zeros((len(t), 24, 3))
    for name in _MOVING:
        for axis in range(3):
            rate, phase, size = random.uniform(0.3, 1.0), random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.4)
            vectors[:, JOINT[name], axis] = size * np.sin(2 * np.pi * rate * t + phase)
    vectors[:, JOINT["left_shoulder"], 2] -= 1.0
    vectors[:, JOINT["right_shoulder"], 2] += 1.0
    vectors[:, 0, 1] = 0.3 * np.sin(2 * np.pi * 0.4 * t)
    betas = np.tile(0.5 * random.standard_normal(10), (len(t), 1))
    root = np.stack([0.1 * np.sin(2 * t), 0.95 + 0 * t, 0.1 * np.cos(3 * t)], -1)
    return axis_angle_to_matrix(vectors), root, betas
