"""Compare the kinematic regressor with MediaPipe's world landmarks, on the demo clip and on reference recordings.

    python -m training.evaluate_kinematic [--clip mocap/assets/demo.mp4] [--shared ../shared]

Every column sees the same frames. The kinematic regressor gets the landmarks of the first column (MediaPipe without
smoothing), so that the table shows what the solver adds. Its points are those that its *rotations* give: forward
kinematics with its own bone lengths, then BlazePose's points on that body. Views of cameras that lie on their side are
turned upright first, for all columns.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mocap.body.landmarks import LANDMARK, landmarks_from_pose
from mocap.body.skeleton import JOINT_NAMES, global_rotations, load_skeleton
from mocap.models.kinematic import KinematicRegressor
from mocap.types import BodyPose, Camera, Frame, Person, PoseEstimate, Roi
from training.metrics import acceleration, heading_error, pa_mpjpe, rotation_error

Array = NDArray[np.float64]

REFERENCE_POINTS = [0, 11, 12, 13, 14, 15, 16, 23, 24]  # BlazePose's indices of reference.npz's nine joints
BODY_POINTS = [*REFERENCE_POINTS, 25, 26, 27, 28]
LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
LIMB_JOINTS = [j for j, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in LIMBS]  # 12


@dataclass(frozen=True)
class View:
    """A clip of one camera."""

    name: str
    path: Path
    focal_px: float
    quarter_turns: int = 0  # clockwise, to make it upright


@dataclass(frozen=True)
class Seen:
    """What a landmark network saw in a view; NaN in frames without a person."""

    t: Array  # (T,) s
    size: tuple[int, int]  # px
    world: Array  # (T, 33, 3) m
    world_smoothed: Array  # (T, 33, 3) m
    px: Array  # (T, 33, 3)
    visibility: Array  # (T, 33)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    assets = Path(__file__).resolve().parents[1] / "mocap" / "assets"
    parser.add_argument("--clip", type=Path, default=assets / "demo.mp4", help="with its ground truth .npz beside it")
    parser.add_argument("--shared", type=Path, default=None, help="folder with media/desk_a and media/desk_b")
    arguments = parser.parse_args()
    print(f"{'PA-MPJPE, mm':36s}{'frames':>7s}{'raw':>8s}{'smoothed':>10s}{'kinematic':>11s}{'kin/raw':>9s}")
    if arguments.clip.is_file():
        evaluate_demo(arguments.clip)
    else:
        print(f"{arguments.clip} is not here; make it with python -m training.make_demo")
    if arguments.shared is not None:
        evaluate_desks(arguments.shared)


def evaluate_demo(path: Path) -> None:
    """Rows and per-joint rotation errors of the clip with exact ground truth."""
    truth = dict(np.load(path.with_suffix(".npz")))
    seen = watch(View(path.stem, path, float(truth["focal_px"])))
    estimates = solve(seen, float(truth["focal_px"]))
    points = points_of(estimates)
    true = truth["landmarks_world_true"][0]
    for label, index in (("13 points", BODY_POINTS), ("33 landmarks", list(range(33)))):
        columns = (seen.world, seen.world_smoothed, points)
        row(f"{path.stem}, {label}", [1e3 * pa_mpjpe(c[:, index], true[:, index]) for c in columns])
    skeleton = load_skeleton()
    joints = np.stack([skeleton.forward(e.R_parent_joint, np.zeros(3, np.float32), e.betas) for e in estimates if e])
    there = [e is not None for e in estimates]
    error = 1e3 * pa_mpjpe(joints, truth["p_world_joint"][0][there]).mean()
    print(f"{path.stem + ', 24 SMPL joints':36s}{sum(there):7d}{'-':>8s}{'-':>10s}{error:11.1f}{'-':>9s}")
    jitter = [float(acceleration(c[there][:, BODY_POINTS], 1 / float(truth["fps"]))) for c in (*columns, true)]
    print("acceleration of 13 points, m/s²: raw {:.1f}, smoothed {:.1f}, kinematic {:.1f}, true {:.1f}".format(*jitter))
    report_rotations(estimates, truth)


def report_rotations(estimates: list[PoseEstimate | None], truth: dict[str, Array]) -> None:
    """Mean geodesic error per joint: local (parent from joint) and global (world from joint)."""
    there = [e is not None for e in estimates]
    R = np.stack([e.R_parent_joint for e in estimates if e is not None]).astype(np.float64)
    R[:, 0] = truth["R_world_camera"] @ np.diag([1.0, -1.0, -1.0]) @ R[:, 0]
    R_true = truth["R_parent_joint"][0][there].astype(np.float64)
    local, world, heading = rotation_errors(R, R_true)
    print(f"\n{'rotation error, degrees':36s}{'local':>8s}{'global':>8s}")
    for joint, name in enumerate(JOINT_NAMES):
        print(f"{name:36s}{local[:, joint].mean():8.1f}{world[:, joint].mean():8.1f}")
    print(f"{'mean of the 12 limb joints':36s}{local[:, LIMB_JOINTS].mean():8.1f}{world[:, LIMB_JOINTS].mean():8.1f}")
    print(f"{'root heading':36s}{heading.mean():8.1f}\n")


def rotation_errors(R: Array, R_true: Array) -> tuple[Array, Array, Array]:
    """Of poses (T, 24, 3, 3), entry 0 in the world: errors against parent (T, 24) and world (T, 24), and of the root's
    heading (T,); degrees."""
    local, world = rotation_error(R, R_true), rotation_error(global_rotations(R), global_rotations(R_true))
    return local, world, heading_error(R[:, 0], R_true[:, 0])


def evaluate_desks(shared: Path) -> None:
    """Rows of the desk recordings, and of them all."""
    found = []
    for name, errors in desk_errors(shared, watch):
        row(name, errors)
        found.append(errors)
    if found:
        row("all desk views", [np.concatenate(column) for column in zip(*found, strict=True)])


def desk_errors(shared: Path, watch: Callable[[View], Seen]) -> Iterator[tuple[str, list[Array]]]:
    """Name and PA-MPJPE of each desk view: raw, smoothed and kinematic (frames,), mm.

    The references are triangulated nose, shoulders, elbows, wrists and hips; 1-3 cm off themselves.
    """
    for folder in sorted((shared / "media").glob("desk_*")):
        reference = np.load(folder / "reference.npz")["joints"]
        valid = np.isfinite(reference).all(-1)
        for view in desk_views(folder):
            seen = watch(view)
            points = points_of(solve(seen, view.focal_px))
            count = min(len(reference), len(points))
            both = np.isfinite(seen.world + seen.world_smoothed + points).all((1, 2))[:count]
            use = np.flatnonzero(both & (valid[:count].sum(-1) >= 5))
            columns = (seen.world, seen.world_smoothed, points)
            yield view.name, [1e3 * pa_mpjpe(c[use][:, REFERENCE_POINTS], reference[use], valid[use]) for c in columns]


def desk_views(folder: Path) -> list[View]:
    """The calibrated views of one recording."""
    views = []
    for section in re.split(r"(?m)^\[cameras\.", (folder / "camera_array.toml").read_text())[1:]:
        camera = section[: section.index("]")]
        turns = re.search(r"rotation_count = (-?\d+)", section)
        focal = re.search(r"matrix = \[\[([\d.]+)", section)
        if turns and focal:
            name = f"{folder.name}/cam_{camera}" + (" (turned upright)" if int(turns[1]) else "")
            views.append(View(name, folder / f"cam_{camera}.mp4", float(focal[1]), int(turns[1])))
    return views


def row(name: str, errors: list[Array]) -> None:
    raw, smoothed, kinematic = (float(np.nanmean(e)) for e in errors)
    print(f"{name:36s}{len(errors[0]):7d}{raw:8.1f}{smoothed:10.1f}{kinematic:11.1f}{kinematic / raw:9.2f}")


def frames(view: View) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Time in seconds and upright picture (H, W, 3) of each frame."""
    with av.open(str(view.path)) as container:
        for picture in container.decode(video=0):
            rgb = np.rot90(picture.to_ndarray(format="rgb24"), -view.quarter_turns)
            yield float(picture.pts * picture.time_base), np.ascontiguousarray(rgb)


def watch(view: View) -> Seen:
    """MediaPipe's legacy pose solution, complexity 1, with and without smoothing."""
    import mediapipe

    poses = [mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=smooth) for smooth in (False, True)]
    times, rows = [], []
    size = (0, 0)
    for t, rgb in frames(view):
        size = (rgb.shape[1], rgb.shape[0])
        times.append(t)
        rows.append([_landmarks(pose.process(rgb), size) for pose in poses])
    for pose in poses:
        pose.close()
    seen = np.array(rows)  # (T, 2, 33, 7)
    return Seen(np.array(times), size, seen[:, 0, :, :3], seen[:, 1, :, :3], seen[:, 0, :, 3:6], seen[:, 0, :, 6])


def watch_blazepose(view: View) -> Seen:
    """Our own tracker, one person; nothing smooths it, so both columns of world landmarks are the same."""
    from mocap.config import PeopleConfig
    from mocap.models.blazepose import load_detector, load_landmarker
    from mocap.people import Tracker

    tracker = Tracker(PeopleConfig(max_people=1), load_detector(), load_landmarker())
    times, rows, size = [], [], (0, 0)
    for index, (t, rgb) in enumerate(frames(view)):
        size = (rgb.shape[1], rgb.shape[0])
        times.append(t)
        found = [
            np.concatenate([p.landmarks_world, p.landmarks_px, p.visibility[:, None]], 1)
            for p in tracker.update(Frame(index, t, rgb))
        ]
        rows.append(found[0] if found else np.full((33, 7), np.nan))
    seen = np.array(rows, np.float64)  # (T, 33, 7)
    return Seen(np.array(times), size, seen[..., :3], seen[..., :3], seen[..., 3:6], seen[..., 6])


def _landmarks(result: object, size: tuple[int, int]) -> Array:
    """(33, 7): world x, y, z in metres, picture x, y, z in pixels, visibility; NaN where nobody is seen."""
    world, picture = getattr(result, "pose_world_landmarks", None), getattr(result, "pose_landmarks", None)
    if world is None or picture is None:
        return np.full((33, 7), np.nan)
    scale = np.array([size[0], size[1], size[0]])
    points = np.array([[p.x, p.y, p.z] for p in world.landmark])
    px = np.array([[p.x, p.y, p.z] for p in picture.landmark]) * scale
    return np.concatenate([points, px, [[p.visibility] for p in world.landmark]], 1)


def solve(seen: Seen, focal_px: float) -> list[PoseEstimate | None]:
    """The kinematic regressor over a view; None where nobody is seen."""
    regressor = KinematicRegressor()
    camera = Camera(*seen.size, focal_px)
    nothing = np.zeros((1, 1, 3), np.uint8)
    estimates: list[PoseEstimate | None] = []
    for index, t in enumerate(seen.t):
        if not np.isfinite(seen.world[index]).all():
            estimates.append(None)
            continue
        estimates += regressor(Frame(index, float(t), nothing), [_person(seen, index)], camera)
    return estimates


def _person(seen: Seen, index: int) -> Person:
    px = seen.px[index].astype(np.float32)
    hips = px[[LANDMARK["left_hip"], LANDMARK["right_hip"]], :2].mean(0)
    shoulders = px[[LANDMARK["left_shoulder"], LANDMARK["right_shoulder"]], :2].mean(0)
    return Person(
        track_id=0,
        roi=Roi((float(hips[0]), float(hips[1])), 2.5 * float(np.linalg.norm(hips - shoulders)), 0.0),
        score=1.0,
        landmarks_px=px,
        landmarks_world=seen.world[index].astype(np.float32),
        visibility=seen.visibility[index].astype(np.float32),
    )


def points_of(estimates: Sequence[PoseEstimate | BodyPose | None]) -> Array:
    """BlazePose's points (T, 33, 3) m that the rotations give, the pelvis at 0; NaN where there is no pose."""
    origin = np.zeros(3, np.float32)
    missing = np.full((33, 3), np.nan)
    return np.stack(
        [missing if e is None else landmarks_from_pose(e.R_parent_joint, origin, e.betas) for e in estimates]
    )


if __name__ == "__main__":
    main()
