"""The body in PyTorch: SMPL's mesh and joints, for the licensed SMPL file and for the open body alike.

    body = load_body()                                  # the open body; load_body(Path("SMPL_NEUTRAL.pkl")) for SMPL
    vertices = body.vertices(R_parent_joint, p_root, betas)      # (..., V, 3) m
    joints = body.joints(R_parent_joint, p_root, betas)          # (..., 24, 3) m, without the mesh: fast
    some = body.vertices(R_parent_joint, p_root, betas, at=idx)  # (..., len(idx), 3) m, costs only those vertices

Any leading batch dimensions (they broadcast), gradients everywhere, float32. ``R_parent_joint`` is (..., 24, 3, 3),
entry 0 the pelvis in the frame of ``p_root``; ``p_root`` (..., 3) m is the *pelvis joint* (smplx's ``transl`` plus
the rest pelvis); ``betas`` (..., 10). ``torch_kinematics.with_hands`` makes 24 rotations of a motion's 22.

The open body's betas are those of ``skeleton.py`` and not SMPL's betas.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body import torch_kinematics
from mocap.body.skeleton import PARENTS, Skeleton
from mocap.body.smpl_file import POSE_FEATURES, SmplArrays, read_smpl
from mocap.errors import MocapError

OPEN_BODY = "open_body.npz"


def load_body(path: Path | None = None, gender: str = "neutral") -> Body:
    """The body of SMPL's file (or of the one for ``gender`` in a folder), or the open body without a path.

    Raises:
        MocapError: ``smplx`` is not installed, or the file is not SMPL's (see :func:`smpl_file.read_smpl`).
    """
    return Body(read_smpl(asset_path(OPEN_BODY) if path is None else path, gender))


class Body(nn.Module):
    """A body in SMPL's format over a ``smplx`` layer.

    Attributes:
        smpl: ``smplx.SMPLLayer`` with the body's arrays, for code that wants smplx's own call and outputs. The extra
            joints that smplx reads off SMPL's vertices mean nothing on the open body.
        faces: (F, 3) int64.
        J_template, J_directions: rest joints (24, 3) m, and (24, 3, 10) m per unit of beta.
        pose_features, pose_directions: the (P,) of the 207 entries of R - I that move a vertex, and (P, V, 3) m.
    """

    faces: Tensor
    J_template: Tensor
    J_directions: Tensor
    pose_features: Tensor
    pose_directions: Tensor

    def __init__(self, arrays: SmplArrays) -> None:
        super().__init__()
        self.smpl = _smplx_layer(arrays)
        features = self.smpl.posedirs.any(1).nonzero()[:, 0]  # SMPL uses all 207, the open body few
        self.register_buffer("pose_features", features)
        self.register_buffer("pose_directions", self.smpl.posedirs[features].unflatten(1, (-1, 3)))
        regressor = arrays.J_regressor.astype(np.float64)
        self.register_buffer("faces", torch.from_numpy(arrays.faces))
        self.register_buffer("J_template", torch.from_numpy((regressor @ arrays.v_template).astype(np.float32)))
        directions = np.tensordot(regressor, arrays.shapedirs, 1).astype(np.float32)
        self.register_buffer("J_directions", torch.from_numpy(directions))

    @property
    def num_vertices(self) -> int:
        return len(self.smpl.v_template)

    def skeleton(self) -> Skeleton:
        """The joints alone, in NumPy."""
        return Skeleton(self.J_template.cpu().numpy(), self.J_directions.cpu().numpy())

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Shape (..., 10) -> joints of the T-pose (..., 24, 3) m."""
        return self.J_template + _directions_times(self.J_directions, betas)

    def joints(self, R_parent_joint: Tensor, p_root: Tensor, betas: Tensor) -> Tensor:
        """Rotations (..., 24, 3, 3), pelvis (..., 3) m, shape (..., 10) -> joints (..., 24, 3) m."""
        return torch_kinematics.forward(R_parent_joint, p_root, self.rest_joints(betas))

    def rest_vertices(self, betas: Tensor, at: Tensor | None = None) -> Tensor:
        """Shape (..., 10) -> vertices of the T-pose (..., V, 3) m, or only those ``at`` indices."""
        at_ = slice(None) if at is None else at
        return self.smpl.v_template[at_] + _directions_times(self.smpl.shapedirs[at_], betas)

    def vertices(self, R_parent_joint: Tensor, p_root: Tensor, betas: Tensor, at: Tensor | None = None) -> Tensor:
        """Vertices (..., V, 3) m by linear blend skinning (SMPL's equations 2 to 6), or only those ``at`` indices.

        Args:
            R_parent_joint: (..., 24, 3, 3) parent from joint, entry 0 in the frame of ``p_root``.
            p_root: (..., 3) m, the pelvis joint.
            betas: (..., 10).
            at: (N,) int64 vertex indices.
        """
        R_global = torch_kinematics.global_rotations(R_parent_joint)
        rest = self.rest_joints(betas)
        joints = torch_kinematics.joint_positions(R_global, p_root, rest)
        t = joints - (R_global @ rest[..., None])[..., 0]  # of each joint's motion p -> R p + t
        points = self.rest_vertices(betas, at)
        if len(self.pose_features):
            points = points + self._pose_offsets(R_parent_joint, at)
        weights = self.smpl.lbs_weights if at is None else self.smpl.lbs_weights[at]
        motion = torch.cat([R_global.expand(*t.shape, 3), t[..., None]], -1)
        blended = (weights @ motion.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ points[..., None])[..., 0] + blended[..., 3]

    def _pose_offsets(self, R_parent_joint: Tensor, at: Tensor | None) -> Tensor:
        """Pose blend shapes (..., N, 3) m: linear in the entries of R - I of joints 1 to 23."""
        feature = (R_parent_joint[..., 1:, :, :] - torch.eye(3).to(R_parent_joint)).flatten(-3)
        directions = self.pose_directions if at is None else self.pose_directions[:, at]
        return (feature[..., self.pose_features] @ directions.flatten(1)).unflatten(-1, (-1, 3))


def _directions_times(directions: Tensor, betas: Tensor) -> Tensor:
    """Directions (N, 3, 10), betas (..., 10) -> (..., N, 3)."""
    return (betas @ directions.flatten(0, 1).T).unflatten(-1, (-1, 3))


def _smplx_layer(arrays: SmplArrays) -> Any:
    """``smplx.SMPLLayer`` made of arrays: smplx itself opens no file."""
    try:
        import smplx
    except ImportError as error:
        raise MocapError('expected the package smplx, found none. Run: pip install "mocap[smpl]"') from error
    count = len(arrays.v_template)
    posedirs = arrays.posedirs if arrays.posedirs is not None else np.zeros((count, 3, POSE_FEATURES), np.float32)
    fields = SimpleNamespace(
        v_template=arrays.v_template,
        shapedirs=arrays.shapedirs,
        posedirs=posedirs,
        J_regressor=arrays.J_regressor,
        weights=arrays.weights,
        kintree_table=np.array([PARENTS]),
        f=arrays.faces,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that a model of ten betas has ten betas
        return smplx.SMPLLayer(model_path="", data_struct=fields)
