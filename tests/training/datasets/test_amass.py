"""AMASS's layouts: the same pose in each, Z up to Y up, bad fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.errors import MocapError
from tests.training.datasets.small_motion import random_rotations
from training.datasets.amass import read_amass
from training.datasets.kinematics import joint_positions


def arrays(frames: int = 8) -> dict[str, object]:
    poses = np.zeros((frames, 156))
    poses[:, :66] = matrix_to_axis_angle(random_rotations(frames).astype(np.float64)).reshape(frames, 66)
    trans = np.random.default_rng(1).normal(size=(frames, 3))
    return {"poses": poses, "trans": trans, "mocap_framerate": 120.0, "gender": "male", "betas": np.zeros(16)}


def save(path: Path, fields: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})
    return path


def test_smplh_smplx_and_moyo_fields_give_the_same_motion(tmp_path: Path) -> None:
    fields = arrays()
    poses = np.asarray(fields["poses"])
    full = np.concatenate([poses, np.ones((8, 9))], 1)
    smplx = {
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "mocap_frame_rate": np.array(120),
        "gender": b"neutral",
    }
    kinds = [{}, {"poses": None, "mocap_framerate": None, **smplx}, {"poses": None, "fullpose": full}, {"poses": full}]
    motions = [read_amass(save(tmp_path / f"BML/anna/{i}.npz", {**fields, **kind}))[0] for i, kind in enumerate(kinds)]
    for motion in motions:
        np.testing.assert_allclose(motion.R_parent_joint, motions[0].R_parent_joint, atol=1e-6)
        assert (motion.source, motion.subject, motion.fps) == ("bml", "bml/anna", 120)
    expected = axis_angle_to_matrix(poses[:, 3:66].reshape(8, 21, 3))
    np.testing.assert_allclose(motions[0].R_parent_joint[:, 1:], expected, atol=1e-6)


def test_a_body_that_stands_in_a_world_with_z_up_stands_with_y_up(tmp_path: Path) -> None:
    fields = {**arrays(), "poses": np.zeros((8, 156)), "trans": np.tile([1.0, 2.0, 0.95], (8, 1))}
    upright = Rotation.from_euler("x", 90, degrees=True).as_rotvec()  # SMPL's Y to AMASS's Z
    np.asarray(fields["poses"])[:, :3] = upright
    motion = read_amass(save(tmp_path / "a/b/c.npz", fields))[0]
    joints = joint_positions(motion.R_parent_joint, motion.p_world_root)
    assert (joints[:, 15, 1] - joints[:, 7, 1] > 1.2).all()  # head above ankle
    np.testing.assert_allclose(motion.p_world_root[:, 1], 0.95 + 0.03, atol=1e-6)  # trans and SMPL's rest pelvis
    np.testing.assert_allclose(np.linalg.det(motion.R_parent_joint), 1, atol=1e-5)


def test_distances_and_turns_do_not_change_with_the_world_axes(tmp_path: Path) -> None:
    fields = arrays()
    motion = read_amass(save(tmp_path / "a/b/c.npz", fields))[0]
    steps = np.linalg.norm(np.diff(np.asarray(fields["trans"]), axis=0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(np.diff(motion.p_world_root, axis=0), axis=1), steps, atol=1e-5)
    R = axis_angle_to_matrix(np.asarray(fields["poses"])[:, :3])
    before = np.swapaxes(R[:-1], 1, 2) @ R[1:]
    after = np.swapaxes(motion.R_parent_joint[:-1, 0], 1, 2) @ motion.R_parent_joint[1:, 0]
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_an_exported_take_is_read_back_as_it_was(tmp_path: Path) -> None:
    fields = arrays()
    rest = np.tile([0.0, 0.9, 0.1], (24, 1))
    poses = np.asarray(fields["poses"])[:, :72]
    motion = read_amass(save(tmp_path / "take_person1.npz", {**fields, "poses": poses, "rest_joints": rest}))[0]
    np.testing.assert_allclose(motion.p_world_root, np.asarray(fields["trans"]) + rest[0], atol=1e-6)
    np.testing.assert_allclose(motion.R_parent_joint, random_rotations(8), atol=1e-6)


def test_nan_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    fields = arrays()
    np.asarray(fields["poses"])[2:4, 30] = np.nan
    motions = read_amass(save(tmp_path / "a/b/c.npz", fields))
    assert [m.num_frames for m in motions] == [2, 4]
    assert sum(m.dropped_frames for m in motions) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gender": "robot"}, "expected a gender of male, female, neutral, found 'robot'"),
        ({"gender": None}, "gender is missing"),
        ({"gender": np.array(["male"], object)}, "gender is missing"),
        ({"mocap_framerate": None}, "expected a frame rate in mocap_framerate or mocap_frame_rate"),
        ({"mocap_framerate": 0.0}, "found 0.0"),
        ({"mocap_framerate": np.nan}, "found nan"),
        ({"mocap_framerate": "fast"}, "found fast"),
        ({"mocap_framerate": [30.0, 60.0]}, "expected a frame rate of 1 to 1000"),
        ({"poses": np.zeros((8, 100))}, r"expected poses \(T, C\)"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "at least one frame"),
        ({"trans": np.zeros((7, 3))}, r"expected trans \(8, 3\)"),
        ({"poses": None}, "poses is missing"),
    ],
)
def test_a_wrong_field_is_one_clear_error(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = save(tmp_path / "a/b/c.npz", {**arrays(), **changes})
    with pytest.raises(MocapError, match=said):
        read_amass(path)


def test_a_broken_file_is_an_error_and_nothing_is_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path / "a/b/c.npz", arrays())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MocapError, match="cannot read"):
        read_amass(path)
