from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.skeleton import JOINT_NAMES, PARENTS, load_skeleton
from mocap.takes.bvh import write_bvh
from tests.takes.read_bvh import Bvh, axis_rotation
from tests.takes.synthetic import FPS, axis_angles, betas_of, export, make_frame, record

REST = load_skeleton().rest_joints(betas_of(0))


def joints_of(bvh: Bvh, n: int) -> np.ndarray:
    """(24, 3) in SMPL's order."""
    joints = bvh.joints(n)
    return np.array([joints[name] for name in JOINT_NAMES])


def root_of(bvh: Bvh, n: int) -> np.ndarray:
    z, x, y = bvh.motion[n, 3:6]
    return axis_rotation("Z", z) @ axis_rotation("X", x) @ axis_rotation("Y", y)


def write_simple(path: Path, t: np.ndarray, poses: np.ndarray, fps: float = FPS, **options: object) -> Bvh:
    p = np.stack([t, 0 * t, 0 * t], -1)
    write_bvh(path, poses, p, t, REST, fps, **options)  # type: ignore[arg-type]
    return Bvh(path)


@pytest.mark.parametrize(("unit", "per_metre"), [("m", 1.0), ("cm", 100.0)])
def test_an_independent_reader_gets_the_npz_joints(tmp_path: Path, unit: str, per_metre: float) -> None:
    path = record(tmp_path / "a.take", [make_frame(i, (0,)) for i in range(60)])
    export(path, ["npz", "bvh"], bvh_unit=unit)
    bvh, npz = Bvh(tmp_path / "a_person0.bvh"), np.load(tmp_path / "a_person0.npz")
    assert len(bvh.motion) == 60
    assert bvh.frame_time == pytest.approx(1 / FPS, abs=1e-8)
    error = max(np.abs(joints_of(bvh, n) / per_metre - npz["joints"][n]).max() for n in range(60))
    assert error < 1e-4  # m; the target is 1 mm


def test_hierarchy_is_smpls_with_an_end_for_every_leaf(tmp_path: Path) -> None:
    bvh = write_simple(tmp_path / "a.bvh", np.zeros(1), np.zeros((1, 24, 3)))
    parent_of = {
        name: bvh.names[parent] if parent >= 0 else None for name, parent in zip(bvh.names, bvh.parents, strict=True)
    }
    assert parent_of == {name: JOINT_NAMES[p] if p >= 0 else None for name, p in zip(JOINT_NAMES, PARENTS, strict=True)}
    assert set(bvh.ends) == {"left_foot", "right_foot", "head", "left_hand", "right_hand"}
    assert bvh.ends["head"][1] > 0.1  # up
    assert bvh.ends["left_foot"][2] > 0.03  # forward
    assert bvh.ends["left_hand"][0] > 0.03 > -0.03 > bvh.ends["right_hand"][0]  # outward
    assert bvh.channels[0] == ["Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation"]
    assert all(channels == ["Zrotation", "Xrotation", "Yrotation"] for channels in bvh.channels[1:])
    np.testing.assert_allclose(joints_of(bvh, 0), REST - REST[0], atol=1e-5)


def test_a_gap_is_filled_with_the_motion_between(tmp_path: Path) -> None:
    """A root that turns at a steady rate goes on turning through the gap, and so does its path."""
    t = np.array([0, 1, 2, 12, 13]) / FPS
    poses = np.zeros((5, 24, 3))
    poses[:, 0, 1] = 3 * t
    bvh = write_simple(tmp_path / "a.bvh", t, poses)
    assert len(bvh.motion) == 14
    for n in range(14):
        np.testing.assert_allclose(root_of(bvh, n), Rotation.from_rotvec([0, 3 * n / FPS, 0]).as_matrix(), atol=1e-6)
        np.testing.assert_allclose(bvh.motion[n, :3], [n / FPS, 0, 0], atol=1e-6)


def test_an_uneven_rate_is_evened_out(tmp_path: Path) -> None:
    t = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.06, 90))
    bvh = write_simple(tmp_path / "a.bvh", t, np.stack([axis_angles(0, x) for x in t]))
    assert len(bvh.motion) == round((t[-1] - t[0]) * FPS) + 1
    for n in range(0, len(bvh.motion), 7):
        true_root = Rotation.from_rotvec(axis_angles(0, min(t[0] + n / FPS, t[-1]))[0]).as_matrix()
        assert np.abs(root_of(bvh, n) - true_root).max() < 0.01


def test_the_file_lasts_from_the_persons_first_frame_to_the_last(tmp_path: Path) -> None:
    """However long the take was before and after; ``t`` of the npz says when that was."""
    seconds = [0.0, 7200.0, 7200.5, 7201.0, 9000.0]
    people = [(0,), (0, 1), (0, 1), (0, 1), ()]
    frames = [make_frame(i, ids, t=t) for i, (ids, t) in enumerate(zip(people, seconds, strict=True))]
    export(record(tmp_path / "a.take", frames), ["npz", "bvh"])
    late, npz = Bvh(tmp_path / "a_person1.bvh"), np.load(tmp_path / "a_person1.npz")
    assert len(late.motion) == FPS + 1
    assert (npz["t"][0], npz["frame"][0]) == (7200.0, 1)
    for row, n in enumerate((0, 15, 30)):
        np.testing.assert_allclose(joints_of(late, n), npz["joints"][row], atol=1e-4)


def test_curves_have_no_jumps_and_the_middle_axis_may_pass_90_degrees(tmp_path: Path) -> None:
    """A hip that folds to 120 degrees about X: Euler angles in their usual range would flip by 180 degrees."""
    t = np.arange(121) / FPS
    poses = np.zeros((121, 24, 3))
    poses[:, 1, 0] = np.radians(np.arange(121))
    poses[:, 0, 1] = np.radians(6 * np.arange(121))  # two whole turns about Y
    bvh = write_simple(tmp_path / "a.bvh", t, poses)
    steps = np.abs(np.diff(bvh.motion[:, 3:], axis=0))
    hip = bvh.names.index("left_hip")
    x_rotation = bvh.motion[:, 3 + 3 * hip + 1]
    assert x_rotation.max() == pytest.approx(120, abs=0.01)
    assert bvh.motion[-1, 5] == pytest.approx(720, abs=0.01)
    assert steps.max() < 6.01  # degrees a frame: those of the root
    for n in range(0, 121, 5):
        z, x, y = bvh.motion[n, 3 + 3 * hip : 6 + 3 * hip]
        R = axis_rotation("Z", z) @ axis_rotation("X", x) @ axis_rotation("Y", y)
        np.testing.assert_allclose(R, Rotation.from_rotvec(poses[n, 1]).as_matrix(), atol=1e-6)


def test_times_that_do_not_grow_are_left_out(tmp_path: Path) -> None:
    t = np.array([0, 1, 1, 0, 2]) / FPS
    poses = np.zeros((5, 24, 3))
    poses[:, 0, 1] = [0, 0.1, 9, 9, 0.2]
    bvh = write_simple(tmp_path / "a.bvh", t, poses)
    np.testing.assert_allclose(np.radians(bvh.motion[:, 5]), [0, 0.1, 0.2], atol=1e-6)


def test_one_frame(tmp_path: Path) -> None:
    export(record(tmp_path / "a.take", [make_frame(i, (0,) if i == 4 else ()) for i in range(9)]), ["npz", "bvh"])
    bvh, npz = Bvh(tmp_path / "a_person0.bvh"), np.load(tmp_path / "a_person0.npz")
    assert npz["frame"].tolist() == [4]
    assert len(bvh.motion) == 1
    np.testing.assert_allclose(joints_of(bvh, 0), npz["joints"][0], atol=1e-4)
