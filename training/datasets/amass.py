"""AMASS's layout: SMPL-H, SMPL-X (MOYO) and SMPL poses with a translation, and this project's own ``.npz`` exports.

The first 22 joints are the same in all three models. AMASS's world is Z up; exported takes say by ``rest_joints`` that
they are this project's, whose world is Y up.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import NUM_BETAS, load_skeleton
from mocap.errors import MocapError
from training.datasets.motion import NUM_BODY_JOINTS, Motion, drop_nan_frames
from training.datasets.subjects import subject_of

Float = NDArray[np.float64]

R_AMASS_WORLD = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # AMASS's z, x, y are our y, z, x
_BODY = 3 * NUM_BODY_JOINTS
_WIDTHS = {72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}
_GENDERS = ("male", "female", "neutral")
_RATES = ("mocap_framerate", "mocap_frame_rate")
# SMPL's rest pelvis in its model's axes, m: within 2 cm for every shape and gender. AMASS's trans leaves it out.
_SMPL_PELVIS = np.array([0.0, -0.23, 0.03])
FITTED_SOURCE = "accad_c3d"  # training.fit_markers writes this layout for ACCAD's recordings


def read_amass(path: Path) -> list[Motion]:
    """One file of AMASS, MOYO, ``training.fit_markers`` or ``mocap export``; NaN frames are dropped and split it.

    Expects ``poses`` or ``fullpose`` (T, 72, 156 or 165) axis-angle, or ``root_orient`` (T, 3) and ``pose_body``
    (T, 63); ``trans`` (T, 3) m; ``mocap_framerate`` or ``mocap_frame_rate``; ``gender``. Anything else is an error.
    """
    path = Path(path)
    data = load_npz(path)
    fps = _frame_rate(path, data)
    _check_gender(path, data)
    poses, trans = _poses(path, data), np.asarray(_field(path, data, "trans"), np.float64)
    if trans.shape != (len(poses), 3):
        raise MocapError(f"{path}: expected trans ({len(poses)}, 3) like the poses, found {trans.shape}")
    R = axis_angle_to_matrix(poses.reshape(-1, NUM_BODY_JOINTS, 3))
    root = trans + _rest_pelvis(data)
    if "rest_joints" not in data:
        R[:, 0] = R_AMASS_WORLD.T @ R[:, 0]
        root = root @ R_AMASS_WORLD
    if "valid" in data:
        root[~np.asarray(data["valid"], bool)] = np.nan
    source, subject = _whose(path, data)
    return drop_nan_frames(Motion(path.stem, source, subject, fps, R.astype(np.float32), root.astype(np.float32)))


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file that can be read without unpickling."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: array for name in file.files if (array := _readable(file, name)) is not None}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise MocapError(f"cannot read {path} as an npz file: {error}") from error


def _readable(file: Any, name: str) -> NDArray[Any] | None:
    """An array, or None for one that holds Python objects: such never carry motion, and are not unpickled."""
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" in str(error):
            return None
        raise


def _field(path: Path, data: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in data:
        raise MocapError(f"{path}: expected AMASS's arrays, {name} is missing; found: {', '.join(data) or 'none'}")
    return data[name]


def _frame_rate(path: Path, data: dict[str, NDArray[Any]]) -> float:
    value = next((data[name] for name in _RATES if name in data), None)
    if value is None:
        raise MocapError(f"{path}: expected a frame rate in {' or '.join(_RATES)}, found neither")
    try:
        fps = float(value)
    except (TypeError, ValueError):
        fps = float("nan")
    if not 1 <= fps <= 1000:
        raise MocapError(f"{path}: expected a frame rate of 1 to 1000 frames a second, found {value!s:.60}")
    return fps


def _check_gender(path: Path, data: dict[str, NDArray[Any]]) -> None:
    """The poses are the same for every gender; a field that names none tells of a file that is something else."""
    value = _field(path, data, "gender").ravel()
    text = value[0].decode("utf-8", "replace") if value.dtype.kind == "S" and len(value) else str(*value[:1])
    if text.strip().lower() not in _GENDERS:
        raise MocapError(f"{path}: expected a gender of {', '.join(_GENDERS)}, found {text[:60]!r}")


def _poses(path: Path, data: dict[str, NDArray[Any]]) -> Float:
    """Axis-angle (T, 66) of the 22 body joints."""
    if "root_orient" in data and "pose_body" in data:
        parts = [data["root_orient"], data["pose_body"]]
        if [part.shape[1:] for part in parts] != [(3,), (63,)] or len(parts[0]) != len(parts[1]):
            found = " and ".join(str(part.shape) for part in parts)
            raise MocapError(f"{path}: expected root_orient (T, 3) and pose_body (T, 63), found {found}")
        poses = np.concatenate(parts, 1)
    else:
        poses = _field(path, data, "fullpose" if "fullpose" in data else "poses")
        if poses.ndim != 2 or poses.shape[1] not in _WIDTHS:
            widths = ", ".join(f"{width} ({model})" for width, model in _WIDTHS.items())
            raise MocapError(f"{path}: expected poses (T, C) with C one of {widths}, found {poses.shape}")
    if not len(poses) or poses.dtype.kind != "f":
        raise MocapError(f"{path}: expected at least one frame of decimal numbers, found {poses.shape} {poses.dtype}")
    return poses[:, :_BODY].astype(np.float64)


def _rest_pelvis(data: dict[str, NDArray[Any]]) -> Float:
    if "rest_joints" in data:
        return np.asarray(data["rest_joints"], np.float64)[0]
    if str(data.get("body")) == "open_body":
        return np.asarray(load_skeleton().rest_joints(np.asarray(data["betas"], np.float64)[:NUM_BETAS])[0], np.float64)
    return _SMPL_PELVIS


def _whose(path: Path, data: dict[str, NDArray[Any]]) -> tuple[str, str]:
    """Source and subject from the folders ``<data set>/<subject>/<clip>.npz``."""
    if str(data.get("body")) == "open_body":
        return FITTED_SOURCE, subject_of(FITTED_SOURCE, path.stem)
    if "_yogi_" in path.stem:  # MOYO: one person
        return "moyo", "moyo/yogi"
    folder = path.resolve().parent
    source = folder.parent.name.lower()
    if source == "cmu":
        return source, subject_of(source, path.stem)
    if source == "accad":
        return source, subject_of(source, folder.name)
    return source, f"{source}/{folder.name}"
