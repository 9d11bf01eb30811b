"""Lag and jitter of ``--smoothing``: writes docs/smoothing.png and the table in docs/smoothing.md.

    python -m training.plot_smoothing [--footage VIDEO]

Simulated people have exact answers: a standing one with noise like the kinematic regressor's on real footage, a 1 Hz
arm swing, a fast arm raise, a sideways and a depth walk. ``--footage`` adds the same measures on a real clip, against
the raw poses.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocap.body.landmarks import landmarks_from_pose
from mocap.body.rotations import axis_angle_to_matrix, geodesic_angle
from mocap.body.skeleton import JOINT
from mocap.config import MotionConfig
from mocap.motion import Motion
from mocap.types import BodyPose, Camera, Person, PoseEstimate, Roi

Float64 = NDArray[np.float64]
SETTINGS = (0.0, 0.25, 0.5, 0.75, 1.0)
FPS = 30.0
CAMERA = Camera(1280, 720, 1000.0)
STANDING = np.array([0.0, -0.2, -3.5])  # (3,) m, the pelvis in the level frame
# Deviation of a standing person's joints in raw kinematic poses (a studio clip, BlazePose full), degrees; of landmarks,
# px; and their correlation from frame to frame at 30 fps.
TRUNK_DEG, ARMS_DEG, LANDMARKS_PX, CORRELATION = 0.6, 1.6, 1.0, 0.7
ARMS = [JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("collar", "shoulder", "elbow", "wrist")]
TRUNK_AND_LEGS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15]
DOCS = Path(__file__).resolve().parents[1] / "docs"
Seen = tuple[float, PoseEstimate, Person]
Sequence = list[Seen]


@dataclass(frozen=True)
class Row:
    """What one setting does."""

    smoothing: float
    jitter_deg: float
    jitter_mm: float
    swing_lag_ms: float
    raise_lag_ms: float
    side_lag_ms: float
    depth_lag_ms: float
    footage: tuple[float, float, float] | None = None  # jitter deg, mm, lag ms


def estimate(t: float, R: Float64, root: Float64, noise_px: Float64 | float = 0.0) -> Seen:
    """One simulated frame: a body (24, 3, 3) with its pelvis at ``root`` (3,) m of the level frame."""
    points = landmarks_from_pose(R, root) * [1.0, -1.0, -1.0]
    px = np.concatenate([CAMERA.project(points) + noise_px, np.zeros((33, 1))], -1)
    person = Person(0, Roi((640.0, 360.0), 700.0, 0.0), 1.0, px, np.zeros((33, 3)), np.ones(33))
    return t, PoseEstimate(0, R, np.zeros(10), np.ones(24)), person


def standing_pose() -> Float64:
    """Arms down: (24, 3, 3)."""
    R = np.tile(np.eye(3), (24, 1, 1))
    R[JOINT["left_shoulder"]] = axis_angle_to_matrix(np.array([0, 0, -1.2]))
    R[JOINT["right_shoulder"]] = axis_angle_to_matrix(np.array([0, 0, 1.2]))
    return R


def correlated(shape: tuple[int, ...], random: np.random.Generator) -> Float64:
    """Noise (frames, ...) of deviation 1 whose neighbours in time are correlated."""
    noise = random.normal(size=shape)
    for k in range(1, len(noise)):
        noise[k] = CORRELATION * noise[k - 1] + np.sqrt(1 - CORRELATION**2) * noise[k]
    return noise


def still_person(seconds: float = 20.0) -> Sequence:
    """Someone who stands still, seen with noise."""
    random = np.random.default_rng(0)
    frames = int(seconds * FPS)
    deviation = np.full(24, np.radians(TRUNK_DEG) / np.sqrt(3))
    deviation[ARMS] = np.radians(ARMS_DEG) / np.sqrt(3)
    turns = axis_angle_to_matrix(correlated((frames, 24, 3), random) * deviation[:, None])
    shifts = correlated((frames, 33, 2), random) * LANDMARKS_PX
    return [estimate(k / FPS, standing_pose() @ turns[k], STANDING, shifts[k]) for k in range(frames)]


def arm_motion(angle: Float64) -> Sequence:
    """The left arm follows ``angle`` (frames,) rad about its forward axis."""
    sequence = []
    for k, a in enumerate(angle):
        R = standing_pose()
        R[JOINT["left_shoulder"]] = axis_angle_to_matrix(np.array([0.0, 0.0, -1.2 + a]))
        sequence.append(estimate(k / FPS, R, STANDING))
    return sequence


def walk(along: Float64, path_m: Float64) -> Sequence:
    """The body glides along the unit vector ``along`` (3,) as ``path_m`` (frames,) says."""
    return [estimate(k / FPS, standing_pose(), STANDING + along * s) for k, s in enumerate(path_m)]


def play(sequence: Sequence, smoothing: float, camera: Camera = CAMERA) -> list[BodyPose]:
    motion = Motion(MotionConfig(smoothing))
    return [motion.update(t, [e], [p], camera)[0][0] for t, e, p in sequence]


def shake(x: Float64, window: int = 15) -> Float64:
    """RMS over time (frames, n) -> (n,) of what departs from the half-second mean around it."""
    kernel = np.ones(window) / window
    slow = np.apply_along_axis(lambda column: np.convolve(column, kernel, "same"), 0, x)
    return np.sqrt(((x - slow)[window:-window] ** 2).mean(0))


def jitter(poses: list[BodyPose], joints: list[int], skip: int = 75) -> tuple[float, float]:
    """Mean over joints of the shake: of rotations in degrees, of joint positions in mm."""
    R = np.array([pose.R_parent_joint[joints] for pose in poses[skip:]], np.float64)
    p = np.array([pose.p_world_joint[joints] for pose in poses[skip:]], np.float64)
    turns = np.concatenate([rotation_offsets(R[:, j]) for j in range(len(joints))], 1)  # (frames, 3 joints) rad
    degrees, metres = (np.sqrt((shake(x).reshape(-1, 3) ** 2).sum(1)).mean() for x in (turns, p.reshape(len(p), -1)))
    return float(np.degrees(degrees)), float(metres * 1e3)


def rotation_offsets(R: Float64) -> Float64:
    """Rotation vectors (frames, 3) rad of (frames, 3, 3) about the first one."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(R[0].T @ R).as_rotvec()


def lag_ms(truth: Float64, out: Float64, longest_s: float = 0.6) -> float:
    """Delay in ms at which ``truth`` (frames,) fits ``out`` best."""
    t = np.arange(len(truth)) / FPS
    delays = np.arange(0.0, longest_s, 0.001)
    inner = slice(int(longest_s * FPS) + 1, None)
    errors = [((np.interp(t - d, t, truth) - out)[inner] ** 2).sum() for d in delays]
    return float(delays[int(np.argmin(errors))] * 1e3)


def half_time_ms(truth: Float64, out: Float64) -> float:
    """Delay in ms between the two signals' passing half of the way, both rising."""
    half, t = 0.5 * (truth[0] + truth[-1]), np.arange(len(truth)) / FPS
    return float((np.interp(half, out, t) - np.interp(half, truth, t)) * 1e3)


def arm_angle(poses: list[BodyPose]) -> Float64:
    R = np.array([pose.R_parent_joint[JOINT["left_shoulder"]] for pose in poses], np.float64)
    return geodesic_angle(axis_angle_to_matrix(np.array([0.0, 0.0, -2.2])), R)


def measure(smoothing: float, footage: Sequence | None, camera: Camera) -> tuple[Row, Float64, Float64]:
    """All figures of one setting, and the two curves of the fast arm raise (raw angle, filtered)."""
    t = np.arange(0, 6, 1 / FPS)
    swing, lift = np.radians(30) * np.sin(2 * np.pi * t), np.radians(90) * np.clip((t - 2) / 0.25, 0, 1)
    raised = arm_angle(play(arm_motion(lift), smoothing)) - 1.0
    path = 0.5 * np.sin(2 * np.pi * 0.4 * t)  # peaks at 1.3 m/s
    sideways, depth = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    x = np.array([pose.p_world_root[0] for pose in play(walk(sideways, path), smoothing)])
    z = np.array([pose.p_world_root[2] for pose in play(walk(depth, path), smoothing)])
    row = Row(smoothing, *jitter(play(still_person(), smoothing), list(range(24))),
              lag_ms(swing, arm_angle(play(arm_motion(swing), smoothing)) - 1.0), half_time_ms(lift, raised),
              lag_ms(path - path[60:].mean(), x - x[60:].mean()), lag_ms(path - path[60:].mean(), z - z[60:].mean()),
              on_footage(footage, smoothing, camera) if footage else None)  # fmt: skip
    return row, lift, raised


def on_footage(sequence: Sequence, smoothing: float, camera: Camera) -> tuple[float, float, float]:
    """Jitter (deg, mm) of trunk and legs in a real clip and the lag of its wrists' height behind the raw one, ms."""
    wrists = [JOINT["left_wrist"], JOINT["right_wrist"]]
    poses, raw = play(sequence, smoothing, camera), play(sequence, 0.0, camera)
    height, raw_height = (np.array([p.p_world_joint[wrists, 1].mean() for p in s])[75:] for s in (poses, raw))
    return *jitter(poses, TRUNK_AND_LEGS), lag_ms(raw_height - raw_height.mean(), height - height.mean())


def load_footage(path: str) -> tuple[Sequence, Camera]:
    """Raw kinematic poses of the first person of a video."""
    from mocap.config import PeopleConfig
    from mocap.models.blazepose import load_detector, load_landmarker
    from mocap.models.kinematic import KinematicRegressor
    from mocap.people import Tracker
    from mocap.pipeline import focal_length_px
    from mocap.sources.video import VideoFile

    tracker, regressor = Tracker(PeopleConfig(), load_detector(), load_landmarker()), KinematicRegressor()
    sequence: Sequence = []
    camera = CAMERA
    with VideoFile(path) as source:
        for frame in source:
            camera = Camera(*frame.size, focal_length_px(*frame.size, None))
            persons = tracker.update(frame)
            estimates = regressor(frame, persons, camera)
            sequence += [(frame.t_capture, e, p) for e, p in zip(estimates[:1], persons, strict=False)]
    return sequence, camera


def plot(rows: list[Row], curves: list[Float64], lift: Float64) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4))
    knob = [row.smoothing for row in rows]
    for name, label in (("jitter_deg", "rotations"), ("jitter_mm", "positions")):
        left.plot(knob, [100 * getattr(r, name) / getattr(rows[0], name) for r in rows], "o-", label=label)
    left.set(xlabel="smoothing", ylabel="jitter left, % of raw", title="Standing still", ylim=(0, 105))
    lags = (("swing_lag_ms", "arm swing, 1 Hz"), ("raise_lag_ms", "fast arm raise"),
            ("side_lag_ms", "walk sideways"), ("depth_lag_ms", "walk in depth"))  # fmt: skip
    for name, label in lags:
        middle.plot(knob, [getattr(r, name) for r in rows], "o-", label=label)
    middle.set(xlabel="smoothing", ylabel="lag, ms", title="Moving")
    t = np.arange(len(lift)) / FPS
    right.plot(t, np.degrees(lift), "k--", label="truth")
    for row, curve in zip(rows, curves, strict=True):
        right.plot(t, np.degrees(curve), label=f"{row.smoothing:g}")
    right.set(xlim=(1.9, 3.0), xlabel="s", ylabel="degrees", title="Arm raise, 90° in 0.25 s")
    for axis in (left, middle, right):
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(DOCS / "smoothing.png", dpi=80)


def table(rows: list[Row]) -> str:
    """Markdown."""
    heads = ["smoothing", "jitter °", "jitter mm"]
    heads += [f"{name}, lag ms" for name in ("arm swing 1 Hz", "arm raise", "walk sideways", "walk in depth")]
    if rows[0].footage:
        heads += ["real clip: jitter °", "jitter mm", "lag ms"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for r in rows:
        cells = [f"{r.smoothing:g}", f"{r.jitter_deg:.2f}", f"{r.jitter_mm:.1f}"]
        cells += [f"{round(v)}" for v in (r.swing_lag_ms, r.raise_lag_ms, r.side_lag_ms, r.depth_lag_ms)]
        if r.footage:
            cells += [f"{r.footage[0]:.2f}", f"{r.footage[1]:.1f}", f"{r.footage[2]:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", help="a clip of someone who moves their arms, feet still")
    args = parser.parse_args()
    footage, camera = load_footage(args.footage) if args.footage else (None, CAMERA)
    results = [measure(smoothing, footage, camera) for smoothing in SETTINGS]
    rows = [row for row, _, _ in results]
    plot(rows, [curve for _, _, curve in results], results[0][1])
    page = DOCS / "smoothing.md"
    text = page.read_text(encoding="utf-8")
    block = f"<!-- table -->\n{table(rows)}\n<!-- /table -->"
    page.write_text(re.sub(r"<!-- table -->.*<!-- /table -->", lambda _: block, text, flags=re.S), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
