from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mocap.body.skeleton import load_skeleton
from tests.takes.synthetic import FPS, betas_of, export, make_camera, make_frame, make_person, make_pose, record

# Knows AMASS's layout and SMPL's tree, and nothing of mocap: runs in an interpreter that cannot import it.
PLAIN_READER = """
import sys
import numpy as np
data = np.load(sys.argv[1])
parents = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
poses = data["poses"].astype(float).reshape(-1, 24, 3)
rest = data["rest_joints"].astype(float)
joints = np.zeros((len(poses), 24, 3))
for n, pose in enumerate(poses):
    world = []
    for j, v in enumerate(pose):
        K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
        a = max(np.linalg.norm(v), 1e-12)
        R = np.eye(3) + np.sin(a) / a * K + (1 - np.cos(a)) / a**2 * K @ K  # Rodrigues
        if j == 0:
            world.append(R)
            joints[n, 0] = rest[0] + data["trans"][n]
        else:
            p = parents[j]
            joints[n, j] = joints[n, p] + world[p] @ (rest[j] - rest[p])
            world.append(world[p] @ R)
assert data["gender"] == "neutral" and data["betas"].shape == (10,) and data["trans"].shape == (len(poses), 3)
print(float(data["mocap_framerate"]), np.abs(joints - data["joints"]).max(), "mocap" in sys.modules)
"""


def export_one(tmp_path: Path, present: list[tuple[int, ...]], track_id: int) -> dict[str, np.ndarray]:
    path = record(tmp_path / "walk.take", [make_frame(i, people) for i, people in enumerate(present)])
    export(path, ["npz"], tmp_path / "out")
    with np.load(tmp_path / "out" / f"walk_person{track_id}.npz") as data:
        return dict(data)


def test_a_plain_amass_reader_gets_the_joints(tmp_path: Path) -> None:
    export_one(tmp_path, [(3,)] * 40, 3)
    child = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN_READER, tmp_path / "out" / "walk_person3.npz"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    framerate, error_m, imported = child.stdout.split()
    assert float(framerate) == FPS
    assert float(error_m) < 1e-5
    assert imported == "False"


def test_the_joints_are_those_of_the_recorded_poses(tmp_path: Path) -> None:
    data = export_one(tmp_path, [(3,)] * 40, 3)
    recorded = np.stack([make_pose(3, t).p_world_joint for t in data["t"]])
    np.testing.assert_allclose(data["joints"], recorded, atol=1e-5)
    np.testing.assert_allclose(data["betas"], betas_of(3))
    np.testing.assert_allclose(data["trans"] + data["rest_joints"][0], recorded[:, 0], atol=1e-6)
    np.testing.assert_allclose(data["rest_joints"], load_skeleton().rest_joints(betas_of(3)), atol=1e-6)


def test_gaps_show_in_frame_and_t(tmp_path: Path) -> None:
    present: list[tuple[int, ...]] = [(), (2,), (2, 7), (7,), (), (7,), (2, 7), (2,)]
    data = export_one(tmp_path, present, 7)
    assert data["frame"].tolist() == [2, 3, 5, 6]
    np.testing.assert_allclose(data["t"], data["frame"] / FPS)
    assert data["track_id"] == 7
    assert data["poses"].shape == (4, 72)
    for row, t in enumerate(data["t"]):
        np.testing.assert_array_equal(data["landmarks_px"][row], make_person(7, t).landmarks_px)
        np.testing.assert_array_equal(data["confidence"][row], make_pose(7, t).confidence)


def test_joints_camera_are_the_joints_seen_by_each_frames_camera(tmp_path: Path) -> None:
    data = export_one(tmp_path, [(3,)] * 10, 3)
    for index, (world, seen) in enumerate(zip(data["joints"], data["joints_camera"], strict=True)):
        np.testing.assert_allclose(make_camera(index).to_camera(world), seen, atol=1e-5)


def test_one_shape_the_one_that_it_settled_on(tmp_path: Path) -> None:
    frames = [make_frame(i, (0,)) for i in range(20)]
    for index, frame in enumerate(frames):
        frame.poses[0].betas[:] = 5.0 if index < 10 else betas_of(0)
        frame.poses[0].betas[3] += 100.0 * (index == 15)  # an outlier moves a mean, not a median
    export(record(tmp_path / "a.take", frames), ["npz"])
    np.testing.assert_allclose(np.load(tmp_path / "a_person0.npz")["betas"], betas_of(0), rtol=1e-6)


@pytest.mark.parametrize(("step", "rate"), [(1, 30.0), (2, 15.0)])
def test_framerate_is_that_of_the_rows(tmp_path: Path, step: int, rate: float) -> None:
    """A machine that takes every second picture of a 30 fps camera records 15 rows a second."""
    export(record(tmp_path / "a.take", [make_frame(i, (0,)) for i in range(0, 60, step)]), ["npz"])
    assert np.load(tmp_path / "a_person0.npz")["mocap_framerate"] == pytest.approx(rate)
