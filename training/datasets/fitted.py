"""Recordings fitted to the open body by ``training.fit_markers``: AMASS's layout on disk, :class:`Motion` in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import load_skeleton
from mocap.errors import MocapError
from training.datasets.c3d import Markers
from training.datasets.motion import NUM_BODY_JOINTS, Motion, drop_nan_frames
from training.datasets.subjects import subject_of

Float = NDArray[np.float64]

SOURCE = "accad_c3d"
_POSES = 156  # AMASS's SMPL-H: 52 joints' axis-angle, of which the last 30 are fingers
# AMASS's world is Z up, ours Y up: x, y, z of theirs are z, x, y of ours.
_R_AMASS_WORLD = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def write_fitted(
    path: Path, markers: Markers, R: Float, root: Float, betas: Float, valid: NDArray[np.bool_], residual: Float
) -> None:
    """Write a recording, all of it or nothing.

    ``poses`` (T, 156), ``trans`` (T, 3), ``betas`` (10,), ``gender``, ``mocap_framerate`` and ``marker_*`` are AMASS's;
    the betas are the open body's, and ``trans`` follows SMPL: the pelvis less its place in the rest pose.

    Args:
        path: the file.
        markers: what was fitted.
        R: (T, 22, 3, 3) local rotations, Y up.
        root: (T, 3) m, the pelvis.
        betas: (10,).
        valid: (T,) frames that saw enough markers.
        residual: (T, M) m.
    """
    R = R.copy()
    R[:, 0] = _R_AMASS_WORLD @ R[:, 0]
    poses = np.zeros((len(R), _POSES))
    poses[:, : 3 * NUM_BODY_JOINTS] = matrix_to_axis_angle(R).reshape(len(R), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(
            file, poses=poses.astype(np.float32), betas=betas, gender="neutral", body="open_body",
            trans=(root @ _R_AMASS_WORLD.T - _rest_pelvis(betas)).astype(np.float32), mocap_framerate=markers.fps,
            marker_data=(markers.points @ _R_AMASS_WORLD.T).astype(np.float32), marker_labels=np.array(markers.labels),
            marker_residual=residual.astype(np.float32), valid=valid,
        )  # fmt: skip
    unfinished.replace(path)


def fitted_files(folder: Path) -> list[Path]:
    """The recordings in an output folder of ``training.fit_markers``."""
    return sorted(path for path in folder.glob("*/*.npz") if path.parent.name != "subjects")


def read_fitted(folder: Path) -> list[Motion]:
    """All fitted recordings; frames that saw too few markers are dropped and counted, and split the motion."""
    files = fitted_files(folder)
    if not files:
        raise MocapError(f"expected fitted recordings (actor/name.npz), found none in {folder}."
                         f" Run: python -m training.fit_markers C3D_FOLDER --out {folder}")  # fmt: skip
    return [motion for path in files for motion in _read(path)]


def _read(path: Path) -> list[Motion]:
    with np.load(path) as data:
        poses, trans, valid = data["poses"].astype(np.float64), data["trans"].astype(np.float64), data["valid"]
        fps, pelvis = float(data["mocap_framerate"]), _rest_pelvis(data["betas"])
    R = axis_angle_to_matrix(poses[:, : 3 * NUM_BODY_JOINTS].reshape(-1, NUM_BODY_JOINTS, 3))
    R[:, 0] = _R_AMASS_WORLD.T @ R[:, 0]
    root = (trans + pelvis) @ _R_AMASS_WORLD
    root[~valid] = np.nan
    subject = subject_of(SOURCE, path.stem)
    return drop_nan_frames(Motion(path.stem, SOURCE, subject, fps, R.astype(np.float32), root.astype(np.float32)))


def _rest_pelvis(betas: Float) -> Float:
    return load_skeleton().rest_joints(np.asarray(betas, np.float64))[0]
