"""3DPW and EMDB as their authors publish them: one pickle a sequence, SMPL in the world, cameras from the world.

Both world axes end here: poses and points are turned into the camera's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import NUM_JOINTS
from mocap.errors import MocapError
from mocap.pickles import read_pickle
from training.datasets.images.fields import Fields
from training.datasets.images.find import data_set, missing
from training.datasets.images.sample import NUM_BETAS, Float32, Table, box_around


def read_3dpw(path: Path) -> list[Table]:
    """One table a person of ``sequenceFiles/<split>/<sequence>.pkl``; pictures in ``imageFiles/<sequence>``.

    2D points are OpenPose's (``poses2d``); 3D points are SMPL's joints in metres from the camera; the box is tight
    around those joints' pixels. Frames whose camera is not aligned are ``valid=False``.

    Raises:
        MocapError: no such file, a field that is missing or of another shape, or a pickle that names code.
    """
    fields = _read(path, "3dpw")
    poses = fields.people("poses")
    return [_person(fields, number, len(poses)) for number in range(len(poses))]


def _person(fields: Fields, number: int, people: int) -> Table:
    own = _of_person(fields, number, people)
    count = len(own.numbers("poses", None, 72))
    T = fields.numbers("cam_poses", count, 4, 4)  # camera from world
    K = fields.numbers("cam_intrinsics", 3, 3)
    joints = own.numbers("jointPositions", count, 3 * NUM_JOINTS).reshape(count, NUM_JOINTS, 3)
    p_camera = joints @ T[:, :3, :3].swapaxes(1, 2) + T[:, None, :3, 3]
    center, side = box_around(projected(p_camera, K))
    sequence = str(fields.raw("sequence"))
    folder = Path(fields.path).resolve().parent.parent.parent / "imageFiles" / sequence
    betas = own.any_numbers("betas").ravel()
    if betas.size < NUM_BETAS:
        raise MocapError(f"{fields.path}: expected 10 numbers or more in betas, found {betas.size}")
    return Table(
        "3dpw",
        [folder / f"image_{frame:05d}.jpg" for frame in range(count)],
        center,
        side,
        data_set("3dpw").true_3d,
        [fields.gender_of(own.raw("genders"))] * count,
        joints_2d="openpose18",
        keypoints_2d=_openpose(own, count),
        joints_3d="smpl24",
        keypoints_3d=_seen(p_camera),
        pose=_in_camera(own.numbers("poses", count, 72), T),
        betas=np.tile(betas[:NUM_BETAS], (count, 1)),
        K_camera=np.tile(K, (count, 1, 1)),
        videos=[f"{sequence}_{number}"] * count,
        valid=(side > 0) & (own.numbers("campose_valid", count) > 0),
    )


def _of_person(fields: Fields, number: int, people: int) -> Fields:
    """A person's entries of the fields that are lists of people."""
    own = {}
    for name in ("poses", "betas", "genders", "jointPositions", "poses2d", "campose_valid"):
        entries = fields.people(name)
        if len(entries) != people:
            raise MocapError(f"{fields.path}: expected {people} people in {name} as in poses, found {len(entries)}")
        own[name] = entries[number]
    return Fields(f"{fields.path}, person {number}", own)


def _openpose(own: Fields, count: int) -> Float32:
    """``poses2d`` (F, 3, 18), x, y and confidence in rows -> (F, 18, 3)."""
    points = own.numbers("poses2d", count, 3, 18, finite=False).swapaxes(1, 2).copy()
    points[~np.isfinite(points).all(-1)] = 0
    return points


def read_emdb(path: Path) -> Table:
    """``P<n>/<sequence>/P<n>_<sequence>_data.pkl``; pictures in ``images`` beside it.

    2D points are SMPL's joints, projected; boxes are the data set's own, made square, without a margin. Frames that the
    data set calls bad are ``valid=False``.

    Raises:
        MocapError: no such file, a field that is missing or of another shape, or a pickle that names code.
    """
    fields = _read(path, "emdb")
    smpl, camera, bboxes = fields.group("smpl"), fields.group("camera"), fields.group("bboxes")
    body = smpl.numbers("poses_body", None, 69)
    count = len(body)
    T = camera.numbers("extrinsics", count, 4, 4)  # camera from world
    box = bboxes.numbers("bboxes", count, 4, finite=False)
    size = np.nan_to_num(box[:, 2:] - box[:, :2]).max(1)
    good = fields.numbers("good_frames_mask", count) > 0
    bad = bboxes.any_numbers("invalid_idxs").astype(np.int64).ravel()
    valid = (size > 0) & good & ~np.isin(np.arange(count), bad)
    kp2d = fields.numbers("kp2d", count, NUM_JOINTS, 2, finite=False)
    seen = np.isfinite(kp2d).all(-1, keepdims=True)
    return Table(
        "emdb",
        [path.parent / "images" / f"{frame:05d}.jpg" for frame in range(count)],
        np.nan_to_num((box[:, :2] + box[:, 2:]) / 2),
        size,
        data_set("emdb").true_3d,
        [fields.gender_of(fields.raw("gender"))] * count,
        joints_2d="smpl24",
        keypoints_2d=np.concatenate([np.where(seen, kp2d, 0), seen], 2).astype(np.float32),
        pose=_in_camera(np.concatenate([smpl.numbers("poses_root", count, 3), body], 1), T),
        betas=np.tile(smpl.numbers("betas", NUM_BETAS), (count, 1)),
        K_camera=np.tile(camera.numbers("intrinsics", 3, 3), (count, 1, 1)),
        videos=[str(fields.values.get("name", path.stem))] * count,
        valid=valid,
    )


def _read(path: Path, dataset: str) -> Fields:
    if not path.is_file():
        missing(dataset, path.parent)
    with path.open("rb") as file:
        values: Any = read_pickle(file, path)
    if not isinstance(values, dict):
        raise MocapError(f"{path}: expected a dict with a sequence of {dataset}, found {type(values).__name__}")
    return Fields(path, values)


def _in_camera(pose: Float32, T_camera_world: Float32) -> Float32:
    """SMPL's pose in the world (F, 72) -> axis-angle (F, 24, 3) with the pelvis in camera axes."""
    turned = pose.reshape(-1, NUM_JOINTS, 3).astype(np.float64)
    R = T_camera_world[:, :3, :3] @ axis_angle_to_matrix(turned[:, 0])
    turned[:, 0] = matrix_to_axis_angle(R)
    return turned.astype(np.float32)


def _seen(points: NDArray[np.float32]) -> Float32:
    """Points (F, K, 3) with confidence 1."""
    return np.concatenate([points, np.ones_like(points[..., :1])], -1)


def projected(p_camera: Float32, K: Float32) -> Float32:
    """Points (F, K, 3) m in camera axes -> (F, K, 3) x px, y px, and 1, or 0 for those behind the camera."""
    front = p_camera[..., 2:] > 0
    pixels = (p_camera @ K.T)[..., :2] / np.where(front, p_camera[..., 2:], 1)
    return np.concatenate([np.where(front, pixels, 0), front], -1).astype(np.float32)
