"""Root path and feet on the demo clip against its exact ground truth, through the whole chain.

python -m training.evaluate_root [--clip demo] [--regressor tokens] [--smoothing 0.5] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

import mocap
from mocap.body.skeleton import global_rotations, load_skeleton
from mocap.config import CaptureConfig, RegressorName
from mocap.motion.contact import ANKLES, sole_offsets
from mocap.pipeline import Pipeline
from mocap.sources.video import VideoFile
from mocap.types import BodyPose, Camera

Float64 = NDArray[np.float64]
ASSETS = Path(mocap.__file__).parent / "assets"
PROVISIONAL_S = 2.0  # the floor is promised after two seconds of standing


@dataclass(frozen=True)
class Run:
    """What the motion stage made of a clip, one entry a frame in which the person was seen."""

    index: NDArray[np.int64]  # (T,) frames of the clip
    t: Float64  # (T,) s
    poses: list[BodyPose]
    pitch_deg: Float64  # (T,)


def play(name: str, config: CaptureConfig) -> Run:
    """The whole chain over a shipped clip, as live."""
    pipeline, found = Pipeline(config), []
    with VideoFile(ASSETS / f"{name}.mp4") as source:
        for frame in source:
            for _, result in pipeline(frame, 0.0):
                if result.poses:
                    found.append((result.frame_index, result.t_capture, result.poses[0], pitch_deg(result.camera)))
    indices, times, solved, pitch = zip(*found, strict=True)
    return Run(np.array(indices), np.array(times), list(solved), np.array(pitch))


def pitch_deg(camera: Camera) -> float:
    """How far a camera looks up."""
    return -float(np.degrees(np.arctan2(-camera.R_world_camera[1, 2], -camera.R_world_camera[2, 2])))


def sole_heights(poses: list[BodyPose]) -> Float64:
    """Lowest point of both soles over the floor (T, 2) m."""
    heights = []
    for pose in poses:
        R_ankle = global_rotations(np.asarray(pose.R_parent_joint, np.float64))[list(ANKLES)]
        points = (R_ankle[:, None] @ sole_offsets(load_skeleton().rest_joints(pose.betas))[..., None])[..., 0]
        heights.append((points[..., 1] + pose.p_world_joint[list(ANKLES), 1][:, None]).min(1))
    return np.array(heights)


def align_rigidly(points: Float64, onto: Float64) -> Float64:
    """Points (T, 3) after the rotation and translation that bring them closest to ``onto`` (T, 3)."""
    a, b = points - points.mean(0), onto - onto.mean(0)
    U, _, Vt = np.linalg.svd(a.T @ b)
    R = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt
    return a @ R + onto.mean(0)


def figures(run: Run, truth: dict[str, Float64]) -> dict[str, float]:
    """The two figures of the promise, and what explains them. cm, degrees."""
    path = np.array([pose.p_world_root for pose in run.poses], np.float64)
    true_path = truth["p_world_root"][0][run.index].astype(float)
    off = align_rigidly(path, true_path) - true_path
    known = run.t >= PROVISIONAL_S
    stands = (truth["contact"][0][run.index] > 0.5) & known[:, None]
    heights = np.abs(sole_heights(run.poses)[stands]) * 100
    toes = np.array([pose.p_world_joint[[10, 11], 1] for pose in run.poses])
    toes_off = np.abs(toes - truth["p_world_joint"][0][run.index][:, [10, 11], 1])[stands] * 100
    contact = np.array([pose.contact for pose in run.poses]) > 0.5
    true_camera = replace(Camera(1, 1, 1.0), R_world_camera=truth["R_world_camera"])
    return {
        "root path rms": float(np.sqrt((off**2).sum(1).mean()) * 100),
        "root x rms": float(np.sqrt((off[:, 0] ** 2).mean()) * 100),
        "root y rms": float(np.sqrt((off[:, 1] ** 2).mean()) * 100),
        "root z rms": float(np.sqrt((off[:, 2] ** 2).mean()) * 100),
        "standing soles p95": float(np.percentile(heights, 95)),
        "standing soles max": float(heights.max()),
        "standing toe joints p95": float(np.percentile(toes_off, 95)),
        "contact agreement": float((contact == (truth["contact"][0][run.index] > 0.5))[known].mean()),
        "pitch": float(run.pitch_deg[-1]),
        "true pitch": pitch_deg(true_camera),
    }


def plot(run: Run, truth: dict[str, Float64], file: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    path = np.array([pose.p_world_root for pose in run.poses], np.float64)
    true_path = truth["p_world_root"][0][run.index]
    figure, axes = plt.subplots(6, 1, figsize=(12, 16), sharex=True)
    for i, name in enumerate(("x, m", "y, m", "z, m")):
        axes[i].plot(run.t, true_path[:, i], "k", label="truth")
        axes[i].plot(run.t, path[:, i] + (0 if i == 1 else (true_path - path)[:, i].mean()), "r", label="mocap")
        axes[i].set_ylabel(name)
    axes[0].legend()
    axes[3].plot(run.t, sole_heights(run.poses))
    axes[3].set_ylabel("soles, m")
    axes[4].plot(run.t, [pose.contact for pose in run.poses])
    axes[4].plot(run.t, truth["contact"][0][run.index] * 0.9, "k:")
    axes[4].set_ylabel("contact")
    axes[5].plot(run.t, run.pitch_deg)
    axes[5].set(ylabel="pitch, degrees", xlabel="s")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=70)


def load_truth(name: str) -> dict[str, Float64]:
    return dict(np.load(ASSETS / f"{name}.npz"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="demo", help="a clip in mocap/assets, without .mp4")
    parser.add_argument("--regressor", choices=get_args(RegressorName), default=CaptureConfig.regressor)
    parser.add_argument("--smoothing", type=float, default=CaptureConfig.smoothing)
    parser.add_argument("--plot", help="a PNG of the path, the soles and the pitch over time")
    args = parser.parse_args()
    run = play(args.clip, CaptureConfig(regressor=args.regressor, smoothing=args.smoothing))
    truth = load_truth(args.clip)
    for name, value in figures(run, truth).items():
        print(f"{name:26s} {value:7.2f}")
    if args.plot:
        plot(run, truth, args.plot)


if __name__ == "__main__":
    main()
