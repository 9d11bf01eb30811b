"""Any file or folder, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.errors import MocapError
from tests.training.datasets.small_motion import random_motion, random_rotations, rest_joints, write_figure
from tests.training.datasets.test_amass import arrays, save
from tests.training.datasets.test_packed import write as write_packed
from training.datasets.read import read_motion
from training.datasets.skeleton_map import load_maps
from training.datasets.statistics import clip_table, joint_statistics, joint_table


def test_a_folder_gives_all_its_motion_of_every_kind(tmp_path: Path) -> None:
    save(tmp_path / "BML/anna/walk_poses.npz", arrays())
    save(tmp_path / "BML/anna/shape.npz", {"betas": np.zeros(16)})
    save(tmp_path / "BML/anna/neutral_stagei.npz", {"betas": np.zeros(16)})
    write_packed(tmp_path / "cmu_smpl22.npz")
    mixamo = next(m for m in load_maps() if m.name == "mixamo")
    (tmp_path / "anna").mkdir()
    write_figure(tmp_path / "anna/kick.bvh", mixamo, random_rotations(5, degrees=20), rest_joints())
    (tmp_path / "notes.txt").write_text("not motion")
    motions = read_motion(tmp_path)
    assert {(m.source, m.name) for m in motions} == {
        ("bml", "walk_poses"), ("cmu", "05_01"), ("cmu", "07_02"), ("anna_bvh", "kick"),
    }  # fmt: skip
    assert len(read_motion(tmp_path / "anna/kick.bvh")) == 1


def test_an_empty_folder_a_missing_path_and_another_kind_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="expected motion files, found none"):
        read_motion(tmp_path)
    with pytest.raises(MocapError, match="no such file"):
        read_motion(tmp_path / "nowhere")
    (tmp_path / "walk.c3d").write_bytes(b"")
    with pytest.raises(MocapError, match=r"training\.fit_markers"):
        read_motion(tmp_path / "walk.c3d")
    (tmp_path / "walk.fbx").write_bytes(b"")
    with pytest.raises(MocapError, match=r"found a \.fbx"):
        read_motion(tmp_path / "walk.fbx")


def test_ranges_and_speeds_of_a_joint_that_turns_evenly() -> None:
    R = np.tile(np.eye(3, dtype=np.float32), (61, 22, 1, 1))
    R[:, 4] = Rotation.from_euler("x", np.linspace(0, 120, 61)[:, None], degrees=True).as_matrix()
    motion = replace(random_motion(61, fps=30), R_parent_joint=R)
    stats = joint_statistics([motion, motion])
    assert stats.speed[4] == pytest.approx(60, rel=1e-3)  # 120 degrees in 2 s
    assert stats.angle[4, 0] == pytest.approx(60, rel=1e-3)
    assert stats.high[4, 0] == pytest.approx(0.99 * 120, rel=0.01)
    assert stats.speed[5] == pytest.approx(0, abs=0.5)


def test_the_tables_count_clips_people_and_dropped_frames() -> None:
    motions = [random_motion(30, seed=i, subject=f"deepmimic/{i}") for i in range(3)]
    table = clip_table([*motions[:2], replace(motions[2], dropped_frames=7)])
    total = table.splitlines()[-1].split()
    assert total[:4] == ["all", "3", "3", "90"]
    assert total[5] == "7"
    assert "ood" in table.splitlines()[1]
    assert "left_knee" in joint_table(motions)
