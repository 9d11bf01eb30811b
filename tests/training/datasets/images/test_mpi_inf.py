"""MPI-INF-3DHP's MATLAB files: millimetres, cameras in cells, MATLAB's order of axes, and no HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from mocap.errors import MocapError
from training.datasets.images.mpi_inf import read_mpi_inf_test, read_mpi_inf_train

F = 3
RNG = np.random.default_rng(0)


def cells(width: int, cameras: int = 14) -> np.ndarray:
    found = np.empty((cameras, 1), object)
    for camera in range(cameras):
        found[camera, 0] = RNG.uniform(100, 2000, (F, width))
    return found


def save(path: Path, fields: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, fields)
    return path


def test_the_training_files(tmp_path: Path) -> None:
    fields = {"annot2": cells(56), "annot3": cells(84)}
    path = save(tmp_path / "S1/Seq2/annot.mat", fields)
    lines = ["Skeletool Camera Calibration File V1.0"]
    for camera in range(14):
        K = f"{1500 + camera} 0 1024 0 0 1490 1051 0 0 0 1 0 0 0 0 1"
        lines += [f"name          {camera}", "  sensor      10 10", "  size        2048 2048", "  animated    0"]
        lines += [f"  intrinsic   {K} ", "  extrinsic   1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1 ", "  radial      0"]
    for calibrated in (False, True):
        if calibrated:
            (tmp_path / "S1/Seq2/camera.calibration").write_text("\n".join(lines))
        tables = read_mpi_inf_train(path)
        assert [t[0].video for t in tables] == [f"S1_Seq2_{c}" for c in (0, 1, 2, 4, 5, 6, 7, 8)]
        table, one = tables[3], tables[3][1]  # camera 4, frame 1
        assert len(table) == F
        assert one.image == tmp_path / "S1/Seq2/imageFrames/video_4/frame_000002.jpg"
        assert (one.joints_2d, one.joints_3d, one.R_parent_joint) == ("mpi_inf28", "mpi_inf28", None)
        points = fields["annot2"][4, 0][1].reshape(28, 2)
        assert one.keypoints_2d is not None
        assert one.keypoints_3d is not None
        np.testing.assert_allclose(one.keypoints_2d[:, :2], points, rtol=1e-6)
        np.testing.assert_allclose(one.keypoints_3d[:, :3], fields["annot3"][4, 0][1].reshape(28, 3) / 1000, rtol=1e-5)
        np.testing.assert_allclose(one.center_px, (points.min(0) + points.max(0)) / 2, rtol=1e-5)
        if calibrated:
            np.testing.assert_array_equal(one.K_camera, [[1504, 0, 1024], [0, 1490, 1051], [0, 0, 1]])
        else:
            assert one.K_camera is None
    (table,) = read_mpi_inf_train(path, cameras=[9], frames="video_{camera}/{frame:06d}.jpg")
    assert table[0].image == tmp_path / "S1/Seq2/video_9/000001.jpg"


def test_the_test_files(tmp_path: Path) -> None:
    fields = {
        "annot2": RNG.uniform(0, 2000, (2, 17, 1, F)), "annot3": RNG.normal(size=(3, 17, 1, F)),
        "univ_annot3": RNG.normal(size=(3, 17, 1, F)), "valid_frame": np.array([[1, 0, 1]]),
    }  # fmt: skip
    path = save(tmp_path / "mpi_inf_3dhp_test_set/TS3/annot_data.mat", fields)
    for universal, name in ((True, "univ_annot3"), (False, "annot3")):
        table = read_mpi_inf_test(path, universal)
        assert [s.valid for s in table] == [True, False, True]
        for frame, one in enumerate(table):
            assert one.keypoints_2d is not None
            assert one.keypoints_3d is not None
            np.testing.assert_allclose(one.keypoints_2d[:, :2], fields["annot2"][:, :, 0, frame].T, rtol=1e-6)
            np.testing.assert_allclose(one.keypoints_3d[:, :3], fields[name][:, :, 0, frame].T / 1000, rtol=1e-5)
            assert one.image == path.parent / f"imageSequence/img_{frame + 1:06d}.jpg"
            assert (one.joints_2d, one.video) == ("mpi_inf17", "TS3")


def test_matlab_7_3_says_how_to_go_on(tmp_path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    (tmp_path / "annot_data.mat").write_bytes(header + bytes(400) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MocapError, match=r"7\.3 \(HDF5\), which needs h5py.*save\('-v7', 'annot_data\.mat'\)"):
        read_mpi_inf_test(tmp_path / "annot_data.mat")


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"expected MPI-INF-3DHP .*Its licence: https://vcai"):
        read_mpi_inf_train(tmp_path / "annot.mat")
    (tmp_path / "annot.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(MocapError, match="expected a MATLAB file, could not read it"):
        read_mpi_inf_train(tmp_path / "annot.mat")
    good = {"annot2": cells(56), "annot3": cells(84)}
    for change, message in [
        ({"annot3": cells(51)}, r"camera 0: expected annot3 of shape \(any, 84\), found \(3, 51\)"),
        ({"annot2": cells(56, 3)}, "expected camera 4 in annot2, found 3 cameras"),
        ({"annot2": np.zeros(0)}, "expected camera 0 in annot2, found 0 cameras"),
    ]:
        with pytest.raises(MocapError, match=message):
            read_mpi_inf_train(save(tmp_path / "b.mat", {**good, **change}))
    with pytest.raises(MocapError, match="expected a field annot2"):
        read_mpi_inf_train(save(tmp_path / "c.mat", {"annot3": cells(84)}))
    with pytest.raises(MocapError, match="expected univ_annot3 of shape"):
        read_mpi_inf_test(save(tmp_path / "d.mat", {"univ_annot3": np.zeros((17, 3))}))
    (tmp_path / "camera.calibration").write_text("name 0\n  intrinsic 1 2 3\n")
    with pytest.raises(MocapError, match="expected 16 numbers after intrinsic, found 3"):
        read_mpi_inf_train(save(tmp_path / "e.mat", good))
    (tmp_path / "camera.calibration").write_text("name 0\n  intrinsic " + "x " * 16)
    with pytest.raises(MocapError, match="expected numbers after intrinsic, found 'x'"):
        read_mpi_inf_train(tmp_path / "e.mat")
