"""Sizes, crops, body and labels of METRO's kind of training: 14 joints, and a mesh at three resolutions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.body.model import Body
from mocap.body.skeleton import JOINT
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.mesh_levels import MeshLevels, mesh_levels, read_levels
from training.datasets.images.joint_sets import JOINT_SETS
from training.published.coarse_body import coarse_body
from training.published.crops import AugmentationConfig
from training.published.points import read_regressor
from training.published.postometro import MeshLabels, unique_edges
from training.published.vqhps import H36M_ORDER

JOINTS14 = [*range(13), 18]  # of SPIN's 24: LSP's without the top of the head, and the head
COCO17 = (19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0)  # of SPIN's 24
_LEFT_LEG_FIRST, _RIGHT_LEG_FIRST = H36M_ORDER[:14], (3, 2, 1, 4, 5, 6, *H36M_ORDER[6:14])


@dataclass(frozen=True)
class MeshSizes:
    """Of the mesh transformer; the defaults are the paper's largest (L; M has two layers, S one)."""

    layers: int = option(3, "of the encoder, and of the decoder, of each transformer", "N", low=1)
    width: int = option(512, "entries of a token in the first transformer", "N", low=1)
    hidden: int = option(2048, "of its feed-forward part", "N", low=1)
    reduced_width: int = option(128, "entries of a token in the second transformer", "N", low=1)
    reduced_hidden: int = option(512, "of its feed-forward part", "N", low=1)
    heads: int = option(8, "of either", "N", low=1)
    dropout: float = option(0.1, "of either", low=0, high=1)
    vertices: int = option(0, "of the open body, spread over it; 0: all; with SMPL its own", "N", low=0)
    middle: int = option(1723, "vertices that are learned from the coarse ones", "N", low=1)
    coarse: int = option(431, "vertices that the transformers find", "N", low=1)
    mixers: int = option(4, "mixer layers of the pose feature modulator", "N", low=1)
    mixer_hidden: int = option(512, "of theirs, within a token", "N", low=1)
    mixer_token_hidden: int = option(64, "of theirs, across the tokens", "N", low=1)
    pose_twice: bool = option(True, "the second transformer gets pose tokens twice, as released; off: once")
    smpl_hidden: int = option(0, "of a head that gives SMPL's parameters, FastMETRO's 1024; 0: none", "N", low=0)


@dataclass(frozen=True)
class MetroAugmentation(AugmentationConfig):
    """METRO's. Normal deviates are clipped at 1, of rotations at 2."""

    shift: float = option(0.0, "standard deviation, sides of the box", low=0)
    scale: float = option(0.25, "standard deviation", low=0)
    rotation: float = option(30.0, "standard deviation, degrees", low=0)
    rotation_rate: float = option(0.4, "share of crops that are turned", low=0, high=1)
    color: float = option(0.4, "largest relative change of a colour", low=0)
    part_rate: float = option(0.0, "none are cut to a part of the body, which takes 44 points", low=0, high=0)


class MetroBody(nn.Module):
    """A body whose mesh is learnt.

    Args:
        regressor: (15, V), the 14 joints and the pelvis that meshes are centred at.
        joint_set: What the samples' points are called.
    """

    regressor: Tensor
    middle: Tensor
    coarse: Tensor
    faces: Tensor
    edges: Tensor

    def __init__(
        self, arrays: SmplArrays, levels: MeshLevels, regressor: NDArray[np.floating], joint_set: str, name: str
    ) -> None:
        super().__init__()
        if levels.sampler.shape[0] != len(arrays.v_template):
            raise MocapError(
                f"expected levels of a mesh with {len(arrays.v_template)} vertices, found {levels.sampler.shape[0]}"
            )
        self.arrays, self.levels, self.joint_set, self.name = arrays, levels, joint_set, name
        self.body = Body(arrays)
        faces = torch.from_numpy(np.asarray(levels.faces, np.int64))
        middle, coarse = (torch.from_numpy(matrix.toarray()).float() for matrix in levels.down)
        tensors = {
            "regressor": torch.from_numpy(np.asarray(regressor, np.float32)),
            "middle": middle,
            "coarse": coarse,
            "faces": faces,
            "edges": unique_edges(faces),
        }
        for key, tensor in tensors.items():
            self.register_buffer(key, tensor, persistent=False)

    @property
    def counts(self) -> tuple[int, int]:
        """Vertices of the middle and of the coarse mesh."""
        return len(self.middle), len(self.coarse)

    def joints(self, vertices: Tensor) -> Tensor:
        """The 14 of meshes (B, V, 3)."""
        return self.regressor[:14] @ vertices

    def smpl_joints(self, vertices: Tensor) -> Tensor:
        """The 24 of SMPL's skeleton, of meshes (B, V, 3)."""
        return self.body.smpl.J_regressor @ vertices

    def vertices(self, R: Tensor, betas: Tensor) -> Tensor:
        """Pose (B, 24, 3, 3) and shape (B, 10) -> mesh (B, V, 3) m with its pelvis at 0."""
        vertices = self.body.vertices(R, torch.zeros_like(betas[:, :3]), betas)
        return vertices - self.regressor[14:] @ vertices

    @torch.no_grad()
    def labels(self, batch: dict[str, Tensor]) -> MeshLabels:
        """Of examples with the 24 points of this body's joint set."""
        joints, picture = batch["keypoints_3d"][:, JOINTS14], batch["keypoints_2d"][:, JOINTS14]
        vertices = self.vertices(batch["R"], batch["betas"])
        middle = self.middle @ vertices
        return MeshLabels(
            joints=joints,
            has_joints=(joints[..., 3] > 0).any(1),
            picture=torch.cat([2 * picture[..., :2], picture[..., 2:]], -1),
            coarse=self.coarse @ middle,
            middle=middle,
            vertices=vertices,
            has_mesh=batch["has_pose"] * batch["has_betas"] > 0,
        )


def open_body(vertices: int, middle: int, coarse: int) -> MetroBody:
    """The open body with so many vertices (0: all) and coarser levels. Its 14 joints are SMPL's, read off the mesh, and
    the last of them is SMPL's head."""
    arrays = coarse_body(vertices)
    names = [name.rpartition(" ")[2] for name in JOINT_SETS["open24"]]
    rows = [JOINT[names[at]] for at in JOINTS14] + [JOINT["pelvis"]]
    levels = mesh_levels(arrays.faces, arrays.v_template, (middle, coarse))
    return MetroBody(arrays, levels, arrays.J_regressor[rows], "open24", "open")


def smpl_body(smpl: str, regressor: str, levels: str) -> MetroBody:
    """SMPL with METRO's levels and Human3.6M's joints.

    Args:
        smpl: SMPL's file.
        regressor: ``J_regressor_h36m.npy`` (SPIN's), or METRO's ``J_regressor_h36m_correct.npy``, whose legs lie the
            other way round; which of the two is seen on the body at rest.
        levels: METRO's ``mesh_downsampling.npz``.

    Raises:
        MocapError: a file is missing, or another.
    """
    arrays = read_smpl(Path(smpl))
    rows = read_regressor("h36m", Path(regressor)).numpy()
    hip = (rows @ arrays.v_template)[1, 0]  # x of the first leg's; SMPL's left is at positive x
    order = _LEFT_LEG_FIRST if hip > 0 else _RIGHT_LEG_FIRST
    return MetroBody(arrays, read_levels(Path(levels)), rows[[*order, 0]], "spin24", "smpl")
