"""Fitted recordings on disk: AMASS's layout out, motions in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ezc3d")

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import load_skeleton
from mocap.errors import MocapError
from training.datasets.c3d import Markers
from training.datasets.fitted import Recording, fitted_files, load_recording, read_fitted, write_fitted


def recording(frames: int = 12, seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    markers = Markers("walk", "anna", 30.0, ("A", "B"), rng.standard_normal((frames, 2, 3)))
    R = axis_angle_to_matrix(rng.uniform(-1, 1, (frames, 22, 3)))
    return Recording(
        markers, "studio_2", "studio/anna", rng.standard_normal(10), R, rng.standard_normal((frames, 3)),
        np.ones(frames, bool), np.abs(rng.standard_normal((frames, 2))),
    )  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    written = recording()
    write_fitted(tmp_path / "anna" / "walk.npz", written)
    (motion,) = read_fitted(tmp_path)
    assert (motion.name, motion.source, motion.subject, motion.fps) == ("walk", "studio_2", "studio/anna", 30.0)
    assert motion.dropped_frames == 0
    np.testing.assert_allclose(motion.R_parent_joint, written.R, atol=1e-5)
    np.testing.assert_allclose(motion.p_world_root, written.root, atol=1e-5)


def test_the_whole_recording_comes_back(tmp_path: Path) -> None:
    written = recording()
    write_fitted(tmp_path / "anna" / "walk.npz", written)
    read = load_recording(tmp_path / "anna" / "walk.npz")
    assert (read.markers.name, read.markers.actor, read.markers.labels) == ("walk", "anna", ("A", "B"))
    for name in ("R", "root", "betas", "valid", "residual"):
        np.testing.assert_allclose(getattr(read, name), getattr(written, name), atol=1e-5, err_msg=name)
    np.testing.assert_allclose(read.markers.points, written.markers.points, atol=1e-6)


def test_the_layout_is_amass(tmp_path: Path) -> None:
    written = recording()
    write_fitted(tmp_path / "anna" / "walk.npz", written)
    with np.load(tmp_path / "anna" / "walk.npz") as data:
        assert data["poses"].shape == (12, 156)
        assert data["betas"].shape == (10,)
        assert float(data["mocap_framerate"]) == 30.0
        pelvis = data["trans"] + load_skeleton().rest_joints(data["betas"])[0]
        np.testing.assert_allclose(pelvis[:, 2], written.root[:, 1], atol=1e-5)  # AMASS is Z up
        R_root = axis_angle_to_matrix(data["poses"][:, :3].astype(float))
        np.testing.assert_allclose(R_root[:, 2], written.R[:, 0, 1], atol=1e-5)
        np.testing.assert_allclose(data["marker_data"][..., 2], written.markers.points[..., 1], atol=1e-6)
        np.testing.assert_allclose(data["marker_residual"], written.residual, atol=1e-6)


def test_frames_that_are_not_valid_are_dropped_counted_and_split_the_motion(tmp_path: Path) -> None:
    written = recording()
    written.valid[[0, 5, 6]] = False
    write_fitted(tmp_path / "anna" / "walk.npz", written)
    first, second = read_fitted(tmp_path)
    assert (first.num_frames, second.num_frames) == (4, 5)
    assert first.dropped_frames + second.dropped_frames == 3
    np.testing.assert_allclose(second.R_parent_joint, written.R[7:], atol=1e-5)


def test_subject_files_and_unfinished_files_are_no_recordings(tmp_path: Path) -> None:
    write_fitted(tmp_path / "anna" / "walk.npz", recording())
    (tmp_path / "subjects").mkdir()
    np.savez(tmp_path / "subjects" / "anna.npz", betas=np.zeros(10))
    (tmp_path / "anna" / "torn.part").write_bytes(b"")
    assert [path.name for path in fitted_files(tmp_path)] == ["walk.npz"]


def test_an_empty_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"found none in .*training\.fit_markers"):
        read_fitted(tmp_path)
