"""Packed clips: order, convention, subjects, bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mocap.body.rotations import geodesic_angle, matrix_to_quat_xyzw
from mocap.errors import MocapError
from tests.training.datasets.small_motion import random_rotations
from training.datasets.motion import BODY_JOINT_NAMES
from training.datasets.packed import read_packed


def write(path: Path, **changes: object) -> np.ndarray:
    R = random_rotations(10)
    arrays: dict[str, object] = {
        "quat_wxyz": matrix_to_quat_xyzw(R)[..., [3, 0, 1, 2]].astype(np.float16), "trans": np.zeros((10, 3)),
        "clip_names": np.array(["05_01", "07_02"]), "clip_start": [0, 4], "clip_len": [4, 6], "clip_fps": [30.0, 60.0],
        "joint_names": np.array(BODY_JOINT_NAMES),
    }  # fmt: skip
    np.savez(path, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})
    return R


def test_clips_are_cut_where_the_file_says(tmp_path: Path) -> None:
    R = write(tmp_path / "cmu_x_smpl22_60fps.npz")
    first, second = read_packed(tmp_path / "cmu_x_smpl22_60fps.npz")
    assert (first.num_frames, second.num_frames, second.fps) == (4, 6, 60)
    assert (first.source, first.subject, second.subject) == ("cmu_x", "cmu/05", "cmu/07")
    assert np.degrees(geodesic_angle(second.R_parent_joint, R[4:])).max() < 0.2  # half precision
    np.testing.assert_allclose(np.linalg.det(second.R_parent_joint), 1, atol=1e-5)


def test_nan_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    trans = np.zeros((10, 3))
    trans[5] = np.nan
    write(tmp_path / "cmu_smpl22.npz", trans=trans)
    motions = read_packed(tmp_path / "cmu_smpl22.npz")
    assert [m.num_frames for m in motions] == [4, 1, 4]
    assert sum(m.dropped_frames for m in motions) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clip_fps": None}, "missing: clip_fps"),
        ({"clip_fps": [30.0, 0.0]}, "frame rate of 0"),
        ({"joint_names": np.array(BODY_JOINT_NAMES[::-1])}, "SMPL's order"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    write(tmp_path / "cmu_smpl22.npz", **changes)
    with pytest.raises(MocapError, match=said):
        read_packed(tmp_path / "cmu_smpl22.npz")


def test_a_file_that_is_no_npz_or_has_another_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cmu_smpl22.npz").write_bytes(b"not a zip")
    with pytest.raises(MocapError, match="cannot read"):
        read_packed(tmp_path / "cmu_smpl22.npz")
    with pytest.raises(MocapError, match="_smpl22"):
        read_packed(tmp_path / "cmu.npz")
