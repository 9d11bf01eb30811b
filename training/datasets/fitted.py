"""Recordings fitted to the open body by ``training.fit_markers``: AMASS's layout on disk, :class:`Motion` in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import load_skeleton
from mocap.errors import MocapError
from training.datasets.c3d import Markers
from training.datasets.motion import NUM_BODY_JOINTS, Motion, drop_nan_frames

Float = NDArray[np.float64]

_POSES = 156  # AMASS's SMPL-H: 52 joints' axis-angle, of which the last 30 are fingers
# AMASS's world is Z up, ours Y up: x, y, z of theirs are z, x, y of ours.
_R_AMASS_WORLD = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class Recording:
    """A recording with the body's poses. World: metres, +Y up."""

    markers: Markers
    source: str  # "accad_c3d"
    subject: str  # "accad/male1"
    betas: Float  # (10,) the open body's
    R: Float  # (T, 22, 3, 3) local rotations
    root: Float  # (T, 3) m, the pelvis
    valid: NDArray[np.bool_]  # (T,) frames to be trusted
    residual: Float  # (T, M) m, NaN where not seen
    exchanged: tuple[str, ...] = ()  # "LWRA-LWRB": labels that were swapped in the file; ``markers`` has them right


def write_fitted(path: Path, recording: Recording) -> None:
    """Write a recording.

    ``poses`` (T, 156), ``trans`` (T, 3), ``betas`` (10,), ``gender``, ``mocap_framerate`` and ``marker_*`` are AMASS's;
    the betas are the open body's, and ``trans`` follows SMPL: the pelvis less its place in the rest pose.
    """
    R, markers = recording.R.copy(), recording.markers
    R[:, 0] = _R_AMASS_WORLD @ R[:, 0]
    poses = np.zeros((len(R), _POSES))
    poses[:, : 3 * NUM_BODY_JOINTS] = matrix_to_axis_angle(R).reshape(len(R), -1)
    save_npz(
        path, poses=poses.astype(np.float32), betas=recording.betas, gender="neutral", body="open_body",
        trans=(recording.root @ _R_AMASS_WORLD.T - _rest_pelvis(recording.betas)).astype(np.float32),
        mocap_framerate=markers.fps, source=recording.source, subject=recording.subject, valid=recording.valid,
        marker_data=(markers.points @ _R_AMASS_WORLD.T).astype(np.float32), marker_labels=np.array(markers.labels),
        marker_residual=recording.residual.astype(np.float32), exchanged=np.array(recording.exchanged, str),
    )  # fmt: skip


def save_npz(path: Path, **arrays: Any) -> None:
    """Write arrays, all of them or nothing; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)
    unfinished.replace(path)


def fitted_files(folder: Path) -> list[Path]:
    """The recordings in an output folder of ``training.fit_markers``."""
    return sorted(path for path in folder.glob("*/*.npz") if path.parent.name != "subjects")


def read_fitted(folder: Path) -> list[Motion]:
    """All fitted recordings; frames that are not valid are dropped and counted, and split the motion."""
    files = fitted_files(folder)
    if not files:
        raise MocapError(f"expected fitted recordings (actor/name.npz), found none in {folder}."
                         f" Run: python -m training.fit_markers C3D_FOLDER --source NAME --out {folder}")  # fmt: skip
    return [motion for path in files for motion in _motions(load_recording(path))]


def load_recording(path: Path) -> Recording:
    """What :func:`write_fitted` wrote; rotations and markers as float32 rounded them."""
    with np.load(path) as data:
        poses, points = data["poses"].astype(np.float64), data["marker_data"].astype(np.float64)
        trans, betas = data["trans"].astype(np.float64), data["betas"]
        labels, source, subject = tuple(data["marker_labels"].tolist()), str(data["source"]), str(data["subject"])
        fps, valid, residual = float(data["mocap_framerate"]), data["valid"], data["marker_residual"]
        exchanged = tuple(data["exchanged"].tolist())
    R = axis_angle_to_matrix(poses[:, : 3 * NUM_BODY_JOINTS].reshape(-1, NUM_BODY_JOINTS, 3))
    R[:, 0] = _R_AMASS_WORLD.T @ R[:, 0]
    markers = Markers(path.stem, path.parent.name, fps, labels, points @ _R_AMASS_WORLD)
    return Recording(
        markers, source, subject, betas, R, (trans + _rest_pelvis(betas)) @ _R_AMASS_WORLD, valid, residual, exchanged
    )


def _motions(recording: Recording) -> list[Motion]:
    R, root = recording.R.astype(np.float32), recording.root.astype(np.float32)
    root[~recording.valid] = np.nan
    markers = recording.markers
    return drop_nan_frames(Motion(markers.name, recording.source, recording.subject, markers.fps, R, root))


def _rest_pelvis(betas: Float) -> Float:
    return load_skeleton().rest_joints(np.asarray(betas, np.float64))[0]
