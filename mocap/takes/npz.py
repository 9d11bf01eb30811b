"""One person of a take in AMASS's layout: what tools that read SMPL motion expect, and the rest of what is known."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import Skeleton
from mocap.takes.reader import PersonMotion, measured_fps

RATE_TOLERANCE = 0.1  # a nominal rate that is further off than this is not the rate of the rows


def settled_betas(betas: NDArray[np.floating]) -> NDArray[np.float32]:
    """One shape (10,) for a take from the shape of every frame (T, 10): the median of the later half, once settled."""
    return np.median(betas[len(betas) // 2 :], axis=0).astype(np.float32)


def row_rate(t: NDArray[np.float64], nominal_fps: float) -> float:
    """Frames a second of rows at times (T,) s: the nominal rate, or the measured one where frames were skipped."""
    measured = measured_fps(t) if len(t) > 1 else nominal_fps
    return nominal_fps if abs(measured / nominal_fps - 1) <= RATE_TOLERANCE else measured


def amass_arrays(motion: PersonMotion, skeleton: Skeleton, fps: float) -> dict[str, NDArray[Any]]:
    """A person's motion in AMASS's layout.

    Args:
        motion: The person, T frames, all finite.
        skeleton: The body that the betas belong to.
        fps: Nominal frame rate of the take.

    Returns:
        ``poses (T, 72)`` axis-angle rad in SMPL's order, entry 0 world from pelvis; ``trans (T, 3)`` m as smplx means
        it: pelvis = ``trans`` + rest pelvis; ``betas (10,)``; ``gender``; ``mocap_framerate``, the rate of the rows;
        ``frame (T,)``; ``t (T,)`` s since the take's first frame; ``joints (T, 24, 3)`` m, world; ``joints_camera
        (T, 24, 3)`` m, camera axes; ``landmarks_px (T, 33, 3)`` x and y px, z in their scale; ``confidence (T, 24)``;
        ``track_id``; ``rest_joints (24, 3)`` m. Rows are the frames where the
        person was there: gaps show in ``frame`` and ``t``. The joints are the forward kinematics of the poses, trans
        and betas in the same file.
    """
    betas = settled_betas(motion.betas)
    rest_joints = skeleton.rest_joints(betas)
    poses = matrix_to_axis_angle(motion.R_parent_joint.astype(np.float64)).astype(np.float32)
    trans = (motion.p_world_root - rest_joints[0]).astype(np.float32)
    joints = skeleton.forward(axis_angle_to_matrix(poses.astype(np.float64)), trans + rest_joints[0], betas)
    joints_camera = (joints - motion.p_world_camera[:, None]) @ motion.R_world_camera  # rows: R transposed times p
    return {
        "poses": poses.reshape(len(motion), -1),
        "trans": trans,
        "betas": betas,
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(row_rate(motion.t, fps)),
        "frame": motion.frame,
        "t": motion.t,
        "joints": joints.astype(np.float32),
        "joints_camera": joints_camera.astype(np.float32),
        "landmarks_px": motion.landmarks_px,
        "confidence": motion.confidence,
        "track_id": np.array(motion.track_id),
        "rest_joints": rest_joints.astype(np.float32),
    }


def write_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as an uncompressed ``.npz``.

    Not by ``np.savez``, which does not close the archive where the disk is full, and so complains again at its end.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
