"""MPI-INF-3DHP as its authors publish it: MATLAB files of points for several cameras. It has no SMPL poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from mocap.errors import MocapError
from training.datasets.images.fields import Fields
from training.datasets.images.find import data_set, missing
from training.datasets.images.sample import Float32, Table, box_around

CHEST_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)  # SPIN's: without those at the ceiling and on the floor
FRAMES = "imageFrames/video_{camera}/frame_{frame:06d}.jpg"  # where SPIN's script puts the videos' frames, from 1
_MM = 1e-3


def read_mpi_inf_train(path: Path, cameras: Sequence[int] = CHEST_CAMERAS, frames: str = FRAMES) -> list[Table]:
    """One table a camera of ``S<n>/Seq<n>/annot.mat``. The data set has videos: take their frames out first.

    3D points are in metres from the camera; the box is tight around the 2D points. Focal lengths come from
    ``camera.calibration`` beside the file, where it is.

    Args:
        frames: The pictures' names beside the file, with ``camera`` and ``frame``, which counts from 1.

    Raises:
        MocapError: no such file, one of MATLAB 7.3, or a field that is missing or of another shape.
    """
    fields = _read(path)
    calibrated = _intrinsics(path.parent / "camera.calibration")
    return [_camera(fields, path, camera, frames, calibrated) for camera in cameras]


def _camera(fields: Fields, path: Path, camera: int, frames: str, calibrated: dict[int, Float32]) -> Table:
    cells = {}
    for name in ("annot2", "annot3"):
        entries = np.asarray(fields.raw(name)).ravel()
        if not 0 <= camera < len(entries):
            raise MocapError(f"{path}: expected camera {camera} in {name}, found {len(entries)} cameras")
        cells[name] = entries[camera]
    own = Fields(f"{path}, camera {camera}", cells)
    points_3d = own.numbers("annot3", None, 28 * 3)
    count = len(points_3d)
    points_2d = own.numbers("annot2", count, 28 * 2).reshape(count, 28, 2)
    K = calibrated.get(camera)
    return _table(
        [path.parent / frames.format(camera=camera, frame=frame + 1) for frame in range(count)],
        points_2d, points_3d.reshape(count, 28, 3) * _MM, "mpi_inf28", "_".join((*path.parts[-3:-1], str(camera))),
        K_camera=None if K is None else np.tile(K, (count, 1, 1)),
    )  # fmt: skip


def read_mpi_inf_test(path: Path, universal: bool = True) -> Table:
    """``mpi_inf_3dhp_test_set/TS<n>/annot_data.mat``, saved again in MATLAB's version 7; pictures in ``imageSequence``.

    Frames that the data set calls invalid are ``valid=False``.

    Args:
        universal: 3D points of a person of a fixed size (``univ_annot3``), which published results are on; False: the
            person's own (``annot3``).

    Raises:
        MocapError: no such file, one of MATLAB 7.3 (as published), or a field that is missing or of another shape.
    """
    fields = _read(path)
    name = "univ_annot3" if universal else "annot3"
    points_3d = fields.numbers(name, 3, 17, 1, None)[:, :, 0]  # MATLAB's order of axes: xyz, point, person, frame
    count = points_3d.shape[-1]
    points_2d = fields.numbers("annot2", 2, 17, 1, count)[:, :, 0]
    return _table(
        [path.parent / "imageSequence" / f"img_{frame + 1:06d}.jpg" for frame in range(count)],
        points_2d.transpose(2, 1, 0), points_3d.transpose(2, 1, 0) * _MM, "mpi_inf17", path.parent.name,
        valid=fields.flags("valid_frame", count),
    )  # fmt: skip


def _table(images: list[Path], points_2d: Float32, points_3d: Float32, joints: str, video: str, **more: Any) -> Table:
    ones = np.ones((*points_2d.shape[:2], 1), np.float32)
    points_2d, points_3d = np.concatenate([points_2d, ones], 2), np.concatenate([points_3d, ones], 2)
    center, side = box_around(points_2d)
    return Table(
        "mpi_inf_3dhp", images, center, side, data_set("mpi_inf_3dhp").true_3d, ["neutral"] * len(images),
        joints_2d=joints, keypoints_2d=points_2d, joints_3d=joints, keypoints_3d=points_3d,
        videos=[video] * len(images), **more,
    )  # fmt: skip


def _read(path: Path) -> Fields:
    if not path.is_file():
        missing("mpi_inf_3dhp", path.parent)
    try:
        return Fields(path, loadmat(path))
    except NotImplementedError as error:  # what SciPy says to HDF5
        raise MocapError(
            f"{path}: expected a MATLAB file up to version 7, found version 7.3 (HDF5), which needs h5py, and that "
            f"is no dependency here. Load it in MATLAB or Octave and save it with: save('-v7', '{path.name}')"
        ) from error
    except Exception as error:  # SciPy has many errors for broken files
        raise MocapError(f"{path}: expected a MATLAB file, could not read it ({error})") from error


def _intrinsics(path: Path) -> dict[int, Float32]:
    """Cameras (3, 3) px by their number: after each ``name`` line comes an ``intrinsic`` line with a 4 x 4 matrix."""
    found: dict[int, Float32] = {}
    if not path.is_file():
        return found
    number = -1
    for line in path.read_text(errors="replace").splitlines():
        word, *values = line.split() or [""]
        if word == "name" and values:
            number = int(values[0]) if values[0].isdigit() else number + 1
        elif word == "intrinsic":
            if len(values) != 16:
                raise MocapError(f"{path}: expected 16 numbers after intrinsic, found {len(values)}")
            K = Fields(path, {"intrinsic": [_number(path, value) for value in values]}).numbers("intrinsic", 16)
            found[number] = K.reshape(4, 4)[:3, :3]
    return found


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise MocapError(f"{path}: expected numbers after intrinsic, found {text[:20]!r}") from error
