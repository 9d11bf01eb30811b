"""Labels in ``.npz`` files: the evaluation files of 4D-Humans and TokenHMR, SPIN's and CLIFF's, VQ-HPS's, BEDLAM's.

All have ``imgname``, ``center`` and ``scale``. What ``scale`` means, and under which names the rest lies, differs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError
from mocap.pickles import NpzArrays
from training.datasets.images.fields import Fields, told
from training.datasets.images.find import data_set
from training.datasets.images.joint_sets import JOINT_SETS
from training.datasets.images.sample import Float32, Table

_SCALE_PX = 200.0  # one unit of scale, as people have counted since MPII
_PEOPLE_PX = (10.0, 20_000.0)  # sides of squares around people; outside, scale has another unit than the format's


def read_labels(path: Path, dataset: str, pictures: Path) -> Table:
    """One ``.npz`` of any of these kinds, told apart by its fields.

    Args:
        dataset: A name of find.DATASETS.
        pictures: The folder that the file's picture names are relative to.

    Raises:
        MocapError: no such file, a field that is missing or of another shape, or a file of another kind.
    """
    if not path.is_file():
        raise MocapError(f"{path}: expected a file of labels, found none; docs/published_data.md says what to get")
    fields = Fields(path, NpzArrays(path))
    if "gtkps" in fields:
        return _bedlam(fields, dataset, pictures)
    if "body_pose" in fields or "body_keypoints_2d" in fields:
        return _evaluation(fields, dataset, pictures)
    if any(name in fields for name in ("pose_cam", "pose", "root_orient", "part", "S")):
        return _spin(fields, dataset, pictures)
    raise MocapError(
        f"{path}: expected labels with gtkps (BEDLAM), body_pose (4D-Humans, TokenHMR), or one of pose_cam, pose, "
        f"root_orient, part, S (SPIN, CLIFF, VQ-HPS); found {', '.join(fields.values)[:300] or 'no fields'}"
    )


def _evaluation(fields: Fields, dataset: str, pictures: Path) -> Table:
    """4D-Humans' and TokenHMR's evaluation files: pose (N, 72), 25 OpenPose and 19 further points.

    ``scale`` is the side in pixels; in TokenHMR's EMDB it is the side in 200 px.
    """
    images = _images(fields, pictures)
    count = len(images)
    center, side = fields.boxes(count, _SCALE_PX if dataset == "emdb" else 1.0)
    _check_sides(fields, dataset, side)
    points_2d, joints_2d = _points_2d_of_44(fields, count)
    points_3d = _both(fields, count, "keypoints_3d", 4)
    pose = fields.poses("body_pose", count=count)[0] if "body_pose" in fields else None
    betas = fields.shapes("betas", count) if "betas" in fields else None
    return Table(
        dataset, images, center, side, data_set(dataset).true_3d, fields.genders(count),
        joints_2d=joints_2d, keypoints_2d=points_2d,
        joints_3d=None if points_3d is None else "44", keypoints_3d=points_3d,
        pose=pose, betas=betas, has_pose=fields.flags("has_body_pose", count),
        has_betas=fields.flags("has_betas", count),
    )  # fmt: skip


def _check_sides(fields: Fields, dataset: str, side: Float32) -> None:
    """The two units differ by 200, and only the data set's name tells which it is."""
    if not _PEOPLE_PX[0] <= np.median(side) <= _PEOPLE_PX[1]:
        unit = "200 px" if dataset == "emdb" else "pixels"
        raise MocapError(
            f"{fields.path}: expected scale in {unit} for {dataset}, found boxes of {np.median(side):.4g} px. "
            "4D-Humans' files have pixels and TokenHMR's EMDB has 200 px: check the data set's name."
        )


def _points_2d_of_44(fields: Fields, count: int) -> tuple[Float32 | None, str | None]:
    if "keypoints_2d" in fields:  # TokenHMR's EMDB
        points = fields.points("keypoints_2d", count, None, 3)
        return points, _set_of(fields, "keypoints_2d", points.shape[1], "44", "smpl24")
    both = _both(fields, count, "keypoints_2d", 3)
    return both, None if both is None else "44"


def _both(fields: Fields, count: int, kind: str, width: int) -> Float32 | None:
    """The 25 and the 19 points side by side; those that a file lacks are unknown."""
    sizes = {f"body_{kind}": 25, f"extra_{kind}": 19}
    if not any(name in fields for name in sizes):
        return None
    parts = [
        fields.points(name, count, size, width) if name in fields else np.zeros((count, size, width), np.float32)
        for name, size in sizes.items()
    ]
    return np.concatenate(parts, 1)


def _spin(fields: Fields, dataset: str, pictures: Path) -> Table:
    """SPIN's, CLIFF's and VQ-HPS's files.

    ``scale`` is the side in 200 px. VQ-HPS's 3DPW and EMDB have the inverse; only they have ``root_orient``.
    """
    images = _images(fields, pictures)
    count = len(images)
    center, side = fields.boxes(count, _SCALE_PX, inverse="root_orient" in fields)
    names = next((n for n in (["pose_cam"], ["pose"], ["root_orient", "pose_body"]) if n[0] in fields), None)
    pose, body = fields.poses(*names, count=count) if names else (None, "smpl")
    shape = next((name for name in ("shape", "betas") if name in fields), None)
    points_2d, joints_2d = _points_2d_of_spin(fields, count)
    points_3d, joints_3d = None, None
    if "S" in fields:
        points_3d = _with_confidence(fields, "S", count)
        joints_3d = _set_of(fields, "S", points_3d.shape[1], "spin24", "spin49")
    has = fields.flags("has_smpl", count)
    return Table(
        dataset, images, center, side, data_set(dataset).true_3d, fields.genders(count), body,
        joints_2d, points_2d, joints_3d, points_3d,
        pose, fields.shapes(shape, count) if shape else None, has_pose=has, has_betas=has,
    )  # fmt: skip


def _points_2d_of_spin(fields: Fields, count: int) -> tuple[Float32 | None, str | None]:
    if "j2d" in fields:  # VQ-HPS: SMPL's joints; the third number is 1 in its EMDB and the depth in its 3DPW
        points = fields.points("j2d", count, None, 3)
        points[..., 2] = points[..., 2] > 0
        return points, _set_of(fields, "j2d", points.shape[1], "smpl24")
    if "part" not in fields:
        return None, None
    part = fields.points("part", count, 24, 3)
    if "openpose" not in fields:
        return part, "spin24"
    return np.concatenate([fields.points("openpose", count, 25, 3), part], 1), "spin49"


def _with_confidence(fields: Fields, name: str, count: int) -> Float32:
    """Points (N, K, 4); in files without confidences all are seen."""
    array = fields.numbers(name, count, None, None, finite=False)
    if array.shape[2] == 3:
        array = np.concatenate([array, np.ones_like(array[..., :1])], 2)
    if array.shape[2] != 4:
        raise MocapError(f"{fields.path}: expected {name} of shape ({count}, any, 3 or 4), found {told(array.shape)}")
    array[~np.isfinite(array).all(-1)] = 0
    return array


def _bedlam(fields: Fields, dataset: str, pictures: Path) -> Table:
    """BEDLAM's labels, and AGORA's in the same fields: ``scale`` is the side in 200 px."""
    images = _images(fields, pictures)
    count = len(images)
    center, side = fields.boxes(count)
    pose, body = fields.poses("pose_cam", count=count)
    K = fields.numbers("cam_int", count, 3, 3) if "cam_int" in fields else None
    joints, points = projected_joints(fields.numbers("gtkps", count, None, None, finite=False), body, fields)
    t = fields.numbers("trans_cam", count, 3) if "trans_cam" in fields else None
    if t is not None and "cam_ext" in fields:  # the rotation of cam_ext is in the pose already
        t = t + fields.numbers("cam_ext", count, 4, 4)[:, :3, 3]
    return Table(
        dataset, images, center, side, data_set(dataset).true_3d, fields.genders(count), body, joints, points,
        pose=pose, betas=fields.shapes("shape", count), K_camera=K, t_camera=t,
        quarter_turns=turns(K) if K is not None and dataset == "bedlam" else None,
    )  # fmt: skip


def projected_joints(points: Float32, body: str, fields: Fields) -> tuple[str, Float32]:
    """BEDLAM's ``gtkps`` (N, K, 2 or more): the body model's joints come first; they are exact, so all are seen."""
    joints = "smplx22" if body == "smplx" else "smpl24"
    size = len(JOINT_SETS[joints])
    if points.shape[1] < size or points.shape[2] < 2:
        found = told(points.shape)
        raise MocapError(f"{fields.path}: expected gtkps of at least {size} points with x and y, found {found}")
    seen = np.isfinite(points[:, :size, :2]).all(-1, keepdims=True)
    return joints, np.concatenate([np.where(seen, points[:, :size, :2], 0), seen], -1).astype(np.float32)


def turns(K: Float32) -> NDArray[np.int64]:
    """Clockwise quarter turns (N,) that BEDLAM's pictures need, by their cameras (N, 3, 3).

    Inferred: Unreal wrote the close-up scenes lying on their side, 1280 x 720, and their labels are for 720 x 1280, so
    that the principal point is lower than it is right. Names do not tell: BEDLAM's code does not turn one of the scenes
    whose files are called closeup.
    """
    return (K[:, 0, 2] < K[:, 1, 2]).astype(np.int64)


def _images(fields: Fields, pictures: Path) -> list[Path]:
    names = fields.texts("imgname")
    if not names:
        raise MocapError(f"{fields.path}: expected at least one picture in imgname, found none")
    return [Path(pictures) / name for name in names]


def _set_of(fields: Fields, name: str, size: int, *sets: str) -> str:
    for joints in sets:
        if len(JOINT_SETS[joints]) == size:
            return joints
    sizes = " or ".join(str(len(JOINT_SETS[joints])) for joints in sets)
    raise MocapError(f"{fields.path}: expected {sizes} points in {name}, found {size}")
