"""INT's and MAED's video labels: joblib files ``{name}_{set}_db.pt``, one row a frame, grouped into clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_axis_angle
from mocap.errors import MocapError
from training.datasets.images.fields import Fields, told
from training.datasets.images.find import data_set
from training.datasets.images.joblib_file import read_joblib
from training.datasets.images.sample import Float32, Table

_POINTS = 49
_FIELDS = ("vid_name", "frame_id", "bbox", "joints2D", "joints3D", "pose", "shape", "valid_i")


def read_clips(path: Path, dataset: str, pictures: Path) -> list[Table]:
    """The clips of a file, frames in the file's order; all of a file without ``vid_name`` (COCO, MPII) as one.

    Fields: img_name; bbox (N, 4) px, centre x and y, width, height, without a margin (INT takes 1.3 and 1.1 times as
    much); vid_name, frame_id, joints2D (N, 49, 3), joints3D (N, 49, 4), pose (N, 72) or (N, 24, 3, 3), shape (N, 10),
    valid_i where it has them.

    Args:
        dataset: A name of find.DATASETS.
        pictures: The folder that relative picture names are in.

    Raises:
        MocapError: no such file, a field that is missing or of another shape, or a file that names code.
    """
    values = read_joblib(path)
    if not isinstance(values, dict):
        raise MocapError(f"{path}: expected a dict of arrays, found {type(values).__name__}")
    fields = Fields(path, values)
    images = [Path(pictures) / name for name in fields.texts("img_name")]
    if not images:
        raise MocapError(f"{path}: expected at least one picture in img_name, found none")
    count = len(images)
    columns = _columns(fields, count)
    rows = _clips(fields.texts("vid_name", count) if "vid_name" in fields else [""] * count)
    clips = [Fields(path, {name: column[clip] for name, column in columns.items()}) for clip in rows]
    return [_table(clip, dataset, [images[row] for row in where]) for clip, where in zip(clips, rows, strict=True)]


def _columns(fields: Fields, count: int) -> dict[str, NDArray[Any]]:
    """The fields that are read, one row a frame."""
    columns = {}
    for name in _FIELDS:
        if name not in fields:
            continue
        try:
            columns[name] = np.asarray(fields.raw(name))
        except ValueError as error:
            raise MocapError(f"{fields.path}: expected one array in {name}, found something else ({error})") from error
        if not columns[name].ndim or len(columns[name]) != count:
            found = told(columns[name].shape)
            raise MocapError(f"{fields.path}: expected {name} with {count} rows, found {found}")
    return columns


def _clips(videos: list[str]) -> list[NDArray[np.int64]]:
    """Rows of each clip, clips by their first row."""
    found: dict[str, list[int]] = {}
    for row, video in enumerate(videos):
        found.setdefault(video, []).append(row)
    return [np.array(rows) for rows in found.values()]


def _table(fields: Fields, dataset: str, images: list[Path]) -> Table:
    count = len(images)
    box = fields.numbers("bbox", count, 4)
    if not (box[:, 2:] > 0).all():
        raise MocapError(f"{fields.path}: expected boxes with width and height above 0 in bbox, found {box.min():g}")
    points_2d = fields.points("joints2D", count, _POINTS, 3) if "joints2D" in fields else None
    points_3d = fields.points("joints3D", count, _POINTS, 4) if "joints3D" in fields else None
    return Table(
        dataset, images, box[:, :2], box[:, 2:].max(1), data_set(dataset).true_3d, ["neutral"] * count,
        joints_2d=None if points_2d is None else "spin49", keypoints_2d=points_2d,
        joints_3d=None if points_3d is None else "spin49", keypoints_3d=points_3d,
        pose=_pose(fields, count) if "pose" in fields else None,
        betas=fields.shapes("shape", count) if "shape" in fields else None,
        videos=fields.texts("vid_name", count) if "vid_name" in fields else None,
        frames=_frames(fields, count), valid=fields.flags("valid_i", count),
    )  # fmt: skip


def _pose(fields: Fields, count: int) -> Float32:
    """Axis-angle (N, 24, 3); some files have rotation matrices."""
    pose = fields.any_numbers("pose")
    if pose.shape == (count, 24, 3, 3):
        return matrix_to_axis_angle(pose.astype(np.float64)).astype(np.float32)
    return fields.numbers("pose", count, 72).reshape(count, 24, 3)


def _frames(fields: Fields, count: int) -> NDArray[np.int64]:
    """Frame numbers out of ``frame_id``: numbers, or names that end in one (frame_000012); else places in the clip."""
    if "frame_id" not in fields:
        return np.arange(count)
    if np.asarray(fields.raw("frame_id")).dtype.kind in "fiu":
        return fields.numbers("frame_id", count).astype(np.int64)
    digits = ["".join(c for c in text.rpartition("_")[2] if c.isdigit()) for text in fields.texts("frame_id", count)]
    return np.array([int(d) if d else place for place, d in enumerate(digits)], np.int64)
