"""People that ``training.synthesize --picture_px`` rendered, as the readers of published data give theirs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.regressor import view_rotation
from training.datasets.images.sample import Sample
from training.synthesis.crops import ROOM

_FIELDS = ("R", "betas", "p_camera_joint", "size_px", "focal_px", "R_camera_world", "square", "score")


class Points(Protocol):
    """A joint set on the open body, see ``training.published.points``."""

    joint_set: str
    known: Tensor  # (n,) bool, which points the body has

    def __call__(self, R: Tensor, betas: Tensor) -> Tensor:
        """(N, 24, 3, 3), (N, 10) -> (N, n, 3) m, the pelvis at 0."""
        ...


class Rendered:
    """N people in pictures, those that can be seen: ``len(rendered)``, ``rendered[i]``.

    Published networks believe that every crop was taken by a camera that looked straight at it. So rotations and points
    in space are in the axes of that camera, turned about its place from the picture's; live, the loop turns the
    network's pelvis back.

    Args:
        folder: Of shards with pictures.
        points: Of which the samples have theirs.
        maps: Samples have the maps that ``training.make_maps`` wrote into the folder.

    Attributes:
        R: (N, 24, 3, 3), entry 0 as above.
        betas: (N, 10) of the open body.
        p_camera_joint: (N, 24, 3) m in the axes of the picture's camera.
        R_camera_view: (N, 3, 3) to these, from the samples'.
        clips: (C, T) people who are one in T frames, 1/30 s apart, and seen in all; of unrelated frames (N, 1).

    Raises:
        MocapError: there are no shards, they have no pictures, or nobody is in them.
    """

    def __init__(self, folder: Path, points: Points, maps: bool = False) -> None:
        files = sorted(Path(folder).glob("*.npz"))
        if not files:
            raise MocapError(f"expected shards in {folder}, found none. {_MAKE} --output {folder}")
        shards = [_read(file) for file in files]
        rows = {name: np.concatenate([shard[name] for shard in shards]) for name in _FIELDS}
        seen = rows["square"][:, 2] > 0  # some of a clip's frames may have nobody in them
        if not seen.any():
            raise MocapError(f"{folder}: expected people in the pictures, found none. {_MAKE} --output {folder}")
        self._files = list(itertools.compress((row for shard in shards for row in shard["jpeg"]), seen))
        columns = {name: torch.from_numpy(values[seen]) for name, values in rows.items()}
        self.betas, self.p_camera_joint, self._square = columns["betas"], columns["p_camera_joint"], columns["square"]
        middle, focal = 0.5 * columns["size_px"], columns["focal_px"][:, None]
        self.R_camera_view = view_rotation(self._square, torch.cat([focal, middle], 1))
        self.R = columns["R"].clone()
        self.R[:, 0] = self.R_camera_view.mT @ columns["R_camera_world"] @ self.R[:, 0]
        self.joint_set, self._known = points.joint_set, points.known
        self._points = points(self.R, self.betas)
        p_camera = self._points @ self.R_camera_view.mT + self.p_camera_joint[:, :1]
        self._px = p_camera[..., :2] / p_camera[..., 2:].clamp_min(0.01) * focal[:, None] + middle[:, None]
        self._size = len(cv2.imdecode(self._files[0], cv2.IMREAD_GRAYSCALE))  # px, of all of them
        frames = int(files[0].stem.split("_")[-2])
        whole = (seen & (rows["score"] > 0)).reshape(-1, frames).all(1)
        self.clips: NDArray[np.int64] = (np.cumsum(seen) - 1).reshape(-1, frames)[whole]
        self._maps = _read_maps(Path(folder) / MAPS, len(self)) if maps else None

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        """A person, in the file's pixels."""
        size = self._size
        x, y, side = self._square[index].tolist()
        keypoints = (self._px[index] - torch.tensor([x, y]) + side / 2) * (size / side)
        inside = ((keypoints >= 0) & (keypoints <= size)).all(1) & self._known
        return Sample(
            dataset="rendered",
            name=f"{index}",
            image=self._files[index].tobytes(),
            center_px=np.full(2, size / 2, np.float32),
            side_px=size / ROOM,
            true_3d=True,
            body="open",
            joints_2d=self.joint_set,
            keypoints_2d=torch.cat([keypoints, inside[:, None]], 1).numpy(),
            joints_3d=self.joint_set,
            keypoints_3d=torch.cat([self._points[index], self._known[:, None]], 1).numpy(),
            R_parent_joint=self.R[index].numpy(),
            betas=self.betas[index].numpy(),
            map=None if self._maps is None else self._maps[index].astype(np.float32),
        )


MAPS, MAPS_MARGIN = "maps.npy", 1.2  # side of their crops over the box around the joints
_MAKE = "Make them: python -m training.synthesize --picture_px 128"


def _read(file: Path) -> dict[str, NDArray[np.generic]]:
    with np.load(file) as shard:
        if "jpeg" not in shard.files:
            raise MocapError(f"{file}: expected a shard with pictures, found one without. {_MAKE}")
        return {name: shard[name] for name in (*_FIELDS, "jpeg")}


def _read_maps(path: Path, count: int) -> NDArray[np.float16]:
    """(N, C, h, w), left on the disk."""
    make = f"Make them: python -m training.make_maps --folders {path.parent}"
    try:
        maps = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MocapError(f"{path}: expected maps of {count} people, could not read any ({error}). {make}") from error
    if len(maps) != count:
        raise MocapError(f"{path}: expected maps of {count} people, found {len(maps)}. {make}")
    return np.asanyarray(maps)
