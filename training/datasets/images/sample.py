"""What every reader of published data gives: one person in one picture, and files of such in columns."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import NUM_JOINTS
from mocap.errors import MocapError
from mocap.sources.images import UNREADABLE, read_image
from training.datasets.images.joint_sets import JOINT_SETS

Float32 = NDArray[np.float32]
NUM_BETAS = 10


@dataclass(frozen=True)
class Sample:
    """One person in one picture. Pixels count from 0 at the top left; camera axes are OpenCV's (x right, y down, z
    forward). What a format does not have is None.
    """

    dataset: str  # a name of find.DATASETS
    name: str  # the picture's path, or its key in a tar or TSV
    image: Path | bytes  # a file, or the file's bytes
    center_px: Float32  # (2,) of the square around the person
    side_px: float  # its side; whether there is a margin, and how much, differs by format: see docs/published_data.md
    true_3d: bool  # pose and 3D points were measured or rendered; False: another system fitted them (pseudo-labels)
    gender: str = "neutral"  # male, female or neutral: whose shapes the betas are of
    body: str = "smpl"  # smpl, smplx or open: whose betas they are. Rotations are SMPL's joints in all
    joints_2d: str | None = None  # a name of JOINT_SETS
    keypoints_2d: Float32 | None = None  # (K, 3) x px, y px, confidence; 0: not known
    joints_3d: str | None = None  # a name of JOINT_SETS
    keypoints_3d: Float32 | None = None  # (K, 4) m in camera axes, confidence; the origin is the format's own
    R_parent_joint: Float32 | None = None  # (24, 3, 3) SMPL's joints; entry 0: camera from pelvis
    betas: Float32 | None = None  # (10,)
    K_camera: Float32 | None = None  # (3, 3) px: focal lengths and principal point, of the picture after its turns
    t_camera: Float32 | None = None  # (3,) m, smplx's ``transl`` in camera axes: the pelvis is at it + the rest pelvis
    quarter_turns: int = 0  # clockwise, that the stored picture needs before boxes and points hold; read_picture turns
    mask: NDArray[np.bool_] | None = None  # (H, W) the person's pixels
    map: Float32 | None = None  # (C, h, w) what a frozen backbone made of the crop, in its stead
    reprojection_error: float | None = None  # of the fit that made the pseudo-labels, in its own unit
    video: str = ""  # pictures of one clip share it
    frame: int = 0  # place in the clip
    valid: bool = True  # False: the data set says not to count this picture in an evaluation

    def __post_init__(self) -> None:
        _check_points(self.name, "2D", self.joints_2d, self.keypoints_2d, 3)
        _check_points(self.name, "3D", self.joints_3d, self.keypoints_3d, 4)


def _check_points(name: str, kind: str, joints: str | None, points: Float32 | None, width: int) -> None:
    if joints is None and points is None:
        return
    expected = (len(JOINT_SETS.get(joints or "", ())), width)
    if points is None or points.shape != expected:
        found = None if points is None else points.shape
        raise MocapError(f"{name}: expected {kind} points {expected} of the set {joints}, found {found}")


@dataclass(frozen=True)
class Table:
    """Samples of one file, in columns of N rows: ``len(table)``, ``table[i]``, ``for sample in table``.

    Fields are those of ``Sample`` with N in front; ``pose`` is axis-angle (N, 24, 3) and becomes matrices in a sample.
    """

    dataset: str
    images: Sequence[Path]
    center_px: Float32
    side_px: Float32
    true_3d: bool
    genders: Sequence[str]
    body: str = "smpl"
    joints_2d: str | None = None
    keypoints_2d: Float32 | None = None
    joints_3d: str | None = None
    keypoints_3d: Float32 | None = None
    pose: Float32 | None = None
    betas: Float32 | None = None
    has_pose: NDArray[np.bool_] | None = None  # (N,) None: all rows have what the columns have
    has_betas: NDArray[np.bool_] | None = None
    K_camera: Float32 | None = None
    t_camera: Float32 | None = None
    quarter_turns: NDArray[np.int64] | None = None
    videos: Sequence[str] | None = None
    frames: NDArray[np.int64] | None = None
    valid: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        pose = _row(self.pose, index, self.has_pose)
        return Sample(
            dataset=self.dataset,
            name=str(self.images[index]),
            image=self.images[index],
            center_px=self.center_px[index],
            side_px=float(self.side_px[index]),
            true_3d=self.true_3d,
            gender=self.genders[index],
            body=self.body,
            joints_2d=self.joints_2d,
            keypoints_2d=_row(self.keypoints_2d, index),
            joints_3d=self.joints_3d,
            keypoints_3d=_row(self.keypoints_3d, index),
            R_parent_joint=None if pose is None else to_matrices(pose),
            betas=_row(self.betas, index, self.has_betas),
            K_camera=_row(self.K_camera, index),
            t_camera=_row(self.t_camera, index),
            quarter_turns=0 if self.quarter_turns is None else int(self.quarter_turns[index]),
            video="" if self.videos is None else self.videos[index],
            frame=index if self.frames is None else int(self.frames[index]),
            valid=True if self.valid is None else bool(self.valid[index]),
        )


def _row(column: Float32 | None, index: int, has: NDArray[np.bool_] | None = None) -> Float32 | None:
    return None if column is None or (has is not None and not has[index]) else column[index]


def to_matrices(pose: Float32) -> Float32:
    """Axis-angle (..., 24, 3) -> rotations (..., 24, 3, 3)."""
    return axis_angle_to_matrix(pose.reshape(*pose.shape[:-2], NUM_JOINTS, 3).astype(np.float64)).astype(np.float32)


def box_around(points: Float32) -> tuple[Float32, Float32]:
    """Tight squares, centres (N, 2) and sides (N,) px, around the seen points of (N, K, 3); side 0 where none is."""
    seen = points[..., 2:] > 0
    low = np.where(seen, points[..., :2], np.inf).min(1)
    high = np.where(seen, points[..., :2], -np.inf).max(1)
    any_seen = seen.any((1, 2))[:, None]
    low, high = np.where(any_seen, low, 0), np.where(any_seen, high, 0)
    return ((low + high) / 2).astype(np.float32), (high - low).max(1).astype(np.float32)


def read_picture(sample: Sample) -> NDArray[np.uint8]:
    """RGB (H, W, 3) uint8, turned so that boxes and points hold.

    Files are turned upright by EXIF, as OpenCV does; bytes out of a tar or TSV are taken as they are, as webdataset
    does.

    Raises:
        MocapError: there is no such picture, or it is broken.
    """
    try:
        if isinstance(sample.image, Path):
            rgb = read_image(sample.image)
        else:
            rgb = np.array(PillowImage.open(io.BytesIO(sample.image)).convert("RGB"), np.uint8)
    except UNREADABLE as error:
        raise MocapError(
            f"{sample.dataset}: expected a picture in {sample.name}, could not read it ({error})"
        ) from error
    return np.ascontiguousarray(np.rot90(rgb, -sample.quarter_turns))
