"""The packed clips ``<source>_smpl22*.npz``: local joint rotations in SMPL's order, many clips to a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import quat_xyzw_to_matrix
from mocap.errors import MocapError
from training.datasets.motion import BODY_JOINT_NAMES, Motion, drop_nan_frames
from training.datasets.subjects import subject_of

_FIELDS = ("quat_wxyz", "trans", "clip_names", "clip_start", "clip_len", "clip_fps", "joint_names")


def read_packed(path: Path) -> list[Motion]:
    """All clips of one packed file.

    Expects ``quat_wxyz (N, 22, 4)`` local rotations (joint 0 global), ``trans (N, 3)`` m, and per clip ``clip_names``,
    ``clip_start``, ``clip_len``, ``clip_fps``. The source is the file's name before ``_smpl22``.
    """
    path = Path(path)
    source, mark, _ = path.stem.partition("_smpl22")
    if not mark:
        raise MocapError(f"{path.name} is not a packed motion file: expected a name like <source>_smpl22.npz")
    data = _load(path)
    R = _rotations(data["quat_wxyz"])
    motions: list[Motion] = []
    for name, start, length, fps in zip(
        data["clip_names"], data["clip_start"], data["clip_len"], data["clip_fps"], strict=True
    ):
        if not fps > 0:
            raise MocapError(f"{path}: clip {name} has a frame rate of {fps}, expected one above 0")
        frames = slice(int(start), int(start + length))
        subject = subject_of(source, str(name))
        motion = Motion(str(name), source, subject, float(fps), R[frames], data["trans"][frames].astype(np.float32))
        motions += drop_nan_frames(motion)
    return motions


def _load(path: Path) -> dict[str, NDArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in _FIELDS if name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise MocapError(f"cannot read {path} as an npz file: {error}") from error
    missing = [name for name in _FIELDS if name not in data]
    if missing:
        raise MocapError(f"{path}: expected the arrays {', '.join(_FIELDS)}; missing: {', '.join(missing)}")
    if tuple(data["joint_names"]) != BODY_JOINT_NAMES:
        raise MocapError(f"{path}: expected SMPL's 22 body joints in SMPL's order, found {list(data['joint_names'])}")
    return data


def _rotations(quat_wxyz: NDArray[np.float16]) -> NDArray[np.float32]:
    """Quaternions rounded to half precision (N, 22, 4) -> rotation matrices (N, 22, 3, 3); NaN where the norm is 0."""
    quat = quat_wxyz.astype(np.float32)[..., [1, 2, 3, 0]]
    with np.errstate(invalid="ignore", divide="ignore"):
        return quat_xyzw_to_matrix(quat / np.linalg.norm(quat, axis=-1, keepdims=True))
