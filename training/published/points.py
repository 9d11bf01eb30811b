"""The points of published joint sets on a body, for losses: on the open body, or as the released systems have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mocap.body.landmarks import LANDMARK
from mocap.body.model import Body, load_body
from mocap.body.skeleton import JOINT
from mocap.body.torch_figure import Figure
from mocap.errors import MocapError
from mocap.pickles import read_pickle
from training.datasets.images.joint_sets import JOINT_SETS
from training.published.independent_tokens import JOINT_ORDER, spin_joints
from training.published.tokenhmr import keypoints_of

# Points that have no joint of that name, and where they are on the open body: a joint, or one of BlazePose's points.
_JOINTS = {"middle_hip": "pelvis"}
_LANDMARKS = {
    **{name: name for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_heel", "right_heel")},
    "left_big_toe": "left_foot_index",
    "right_big_toe": "right_foot_index",
}
# OpenPose's 25 among smplx's 45 joints.
_OPENPOSE = JOINT_ORDER[:25]
REGRESSORS = {
    "44": (19, "SMPL_to_J19.pkl of 4D-Humans' data (https://github.com/shubham-goel/4D-Humans)"),
    "spin49": (9, "J_regressor_extra.npy of SPIN's data (https://github.com/nkolot/SPIN, fetch_data.sh)"),
    "h36m": (17, "J_regressor_h36m.npy of SPIN's data (https://github.com/nkolot/SPIN, fetch_data.sh)"),
}


class OpenPoints(nn.Module):
    """On the open body, without a mesh.

    Args:
        joint_set: A name of ``JOINT_SETS``.

    Attributes:
        known: (n,) bool, which points of the set the body has; others are at the pelvis.
    """

    known: Tensor
    at: Tensor

    def __init__(self, joint_set: str) -> None:
        super().__init__()
        self.joint_set, self.figure = joint_set, Figure()
        found = [_place(name) for name in JOINT_SETS[joint_set]]
        self.register_buffer("known", torch.tensor([place is not None for place in found]), persistent=False)
        self.register_buffer("at", torch.tensor([place or 0 for place in found]), persistent=False)

    def forward(self, R: Tensor, betas: Tensor) -> Tensor:
        """R (B, 24, 3, 3), betas (B, 10) -> (B, n, 3) m in the axes of the pelvis' parent, the pelvis at 0."""
        return torch.cat(self.figure(R, betas), 1)[:, self.at]

    def joints(self, R: Tensor, betas: Tensor) -> Tensor:
        """SMPL's joints (B, 24, 3) m, the pelvis at 0."""
        found: Tensor = self.figure(R, betas)[0]
        return found


def _place(name: str) -> int | None:
    """Index of a point of a joint set among the figure's 24 joints and 33 landmarks."""
    plain = name.rpartition(" ")[2]
    if plain in _LANDMARKS:
        return len(JOINT) + LANDMARK[_LANDMARKS[plain]]
    return JOINT.get(_JOINTS.get(plain, plain)) if not name.startswith("human36m ") else None


class SmplPoints(nn.Module):
    """On SMPL, as the released code has them.

    Args:
        joint_set: "44" (HMR2.0's and TokenHMR's) or "spin49" (INT's).
        body: SMPL, whose vertices the set's regressor knows.
        regressor: (19 or 9, V), see :data:`REGRESSORS`.
    """

    known: Tensor
    regressor: Tensor

    def __init__(self, joint_set: str, body: Body, regressor: Tensor) -> None:
        super().__init__()
        rows = REGRESSORS[joint_set][0]
        if regressor.shape != (rows, body.num_vertices):
            raise MocapError(
                f"expected a regressor ({rows}, {body.num_vertices}) of the points {joint_set}, found "
                f"{tuple(regressor.shape)}"
            )
        self.joint_set, self.body = joint_set, body
        self.register_buffer("regressor", regressor)
        self.register_buffer("known", torch.ones(len(JOINT_SETS[joint_set]), dtype=torch.bool), persistent=False)

    def forward(self, R: Tensor, betas: Tensor) -> Tensor:
        """R (B, 24, 3, 3), betas (B, 10) -> (B, n, 3) m in the axes of the pelvis' parent, at smplx's origin."""
        pelvis = self.body.rest_joints(betas)[:, 0]
        vertices = self.body.vertices(R, pelvis, betas)
        joints = self.body.smpl.vertex_joint_selector(vertices, self.body.joints(R, pelvis, betas))
        if self.joint_set == "44":
            return keypoints_of(joints, vertices, self.regressor, _OPENPOSE)
        return spin_joints(joints, vertices, self.regressor)

    def joints(self, R: Tensor, betas: Tensor) -> Tensor:
        """SMPL's joints (B, 24, 3) m, the pelvis at 0."""
        return self.body.joints(R, torch.zeros_like(betas[:, :3]), betas)


def load_points(joint_set: str, smpl: str = "", regressor: str = "") -> OpenPoints | SmplPoints:
    """The points of a set on the open body, or on SMPL.

    Args:
        joint_set: A name of ``JOINT_SETS``.
        smpl: SMPL's file; empty: the open body.
        regressor: With SMPL, the file of :data:`REGRESSORS`.

    Raises:
        MocapError: a file is missing, or another.
    """
    if not smpl:
        return OpenPoints(joint_set)
    return SmplPoints(joint_set, load_body(Path(smpl)), read_regressor(joint_set, Path(regressor)))


def read_regressor(joint_set: str, path: Path) -> Tensor:
    """(rows, V) of a ``.npy`` or ``.pkl`` file.

    Raises:
        MocapError: there is none, or it holds something else.
    """
    if joint_set not in REGRESSORS:
        raise MocapError(f"expected a joint set of {', '.join(REGRESSORS)} on SMPL, found {joint_set}")
    rows, what = REGRESSORS[joint_set]
    if not path.is_file():
        raise MocapError(f"{path}: expected {what}, found no file")
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False) if path.suffix == ".npy" else read_pickle(file, path)
    except (OSError, ValueError, EOFError) as error:
        raise MocapError(f"{path}: expected {what}, could not read it ({error})") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.ndim != 2 or len(found) != rows:
        shape = found.shape if isinstance(found, np.ndarray) else type(found).__name__
        raise MocapError(f"{path}: expected {what}, an array ({rows}, V); found {shape}")
    return torch.from_numpy(np.asarray(found, np.float32))
