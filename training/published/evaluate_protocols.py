"""How each paper measures: which crop, which points, from which origin.

Where a paper is silent it is as in the released code; each class says what that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.vqhps_network import VQHPSNetwork
from training.datasets.images.sample import Sample
from training.metrics import mpjpe
from training.published import crops
from training.published import independent_tokens as int_data
from training.published.evaluate_data import People
from training.published.evaluate_figures import MPJPE, PA_MPJPE, PVE
from training.published.evaluate_protocol import Compared, Found, Protocol, joint_errors, labelled, to_array
from training.published.vqhps import H36M_ORDER, mesh_errors

_LSP14 = list(H36M_ORDER[:14])  # of Human3.6M's 17 joints those of LSP, in LSP's order
_HIPS = [2, 3]  # right and left, of LSP's
_HANDS = [22, 23]  # of SMPL's joints
_SPIN24_TO_LSP14, _SPIN24_PELVIS = [*range(13), 18], 14  # the head of Human3.6M, and the pelvis of MPII
_TOKENHMR_POINTS, _TOKENHMR_PELVIS = [*range(25, 38), 43], 39  # of the 44
_METRO_LABELS = ("3dpw", "h36m")  # 3DOH's joints are those of its SMPL bodies (supplement B)
_OPENPOSE = 25  # of the 44 come first, and are not regressed from the mesh
# INT: which of Human3.6M's joints from the mesh are compared with which of SPIN's 49; None: SPIN's from the mesh too.
_INT_POINTS: dict[str, tuple[list[int] | None, list[int]]] = {
    "3dpw": (_LSP14, [*range(25, 39)]),
    "h36m": ([*_LSP14[:13], 0, 7, 9, 10], [*range(25, 38), 39, 41, 42, 43]),
    "mpi_inf_3dhp": (None, [*range(25, 39), 39, 41, 43]),
}


class TokenHmrProtocol(Protocol):
    """TokenHMR and HMR2.0.

    3DPW: 14 of the 44 points, regressed from the mesh, against the file's; from point 39, as are the vertices, the true
    ones by the file's point. EMDB: 24 joints regressed from both meshes by the neutral body's own regressor, from the
    middle of joints 1 and 2, as are the vertices. The crop is the box expanded to 3 : 4, which the reader did.
    """

    def prepare(self) -> None:
        if self.data == "3dpw":
            self.J = self.regressor("extra_regressor")
        else:
            self.J = to_array(self.bodies("neutral").smpl.J_regressor)

    def compare(self, found: Found, samples: Sequence[Sample]) -> Compared:
        vertices, true_vertices = to_array(found.vertices), self.true_vertices(samples, gendered=True)
        joints = self.J @ vertices
        if self.data == "3dpw":
            chosen = [point - _OPENPOSE for point in _TOKENHMR_POINTS]
            pelvis = joints[:, [_TOKENHMR_PELVIS - _OPENPOSE]]
            points = labelled(samples, "44", [*_TOKENHMR_POINTS, _TOKENHMR_PELVIS])[..., :3]
            true, true_pelvis = points[:, :-1], points[:, -1:]
        else:
            chosen, true = [*range(24)], self.J @ true_vertices
            pelvis, true_pelvis = (p[:, [1, 2]].mean(1, keepdims=True) for p in (joints, true))
        errors = joint_errors(joints[:, chosen] - pelvis, true - true_pelvis)
        return Compared({**errors, PVE: mpjpe(vertices - pelvis, true_vertices - true_pelvis)})


class IndependentTokensProtocol(Protocol):
    """INT: 14 joints on 3DPW, 17 on the others, against the file's; from the middle of the hips.

    Vertices are of the neutral body on both sides and not aligned. Clips are every eighth frame (of 16 out of 128) of a
    pool of frames; a video's last pool goes on backwards, and those frames are not counted again.
    """

    def prepare(self) -> None:
        self.joints, self.points = _INT_POINTS[self.data]
        self.J = self.regressor("h36m_regressor" if self.joints else "spin_regressor")
        config: Any = getattr(self.network, "config", None)
        self.frames = self.options.frames or getattr(config, "frames", None) or 1
        if self.options.pool % self.frames:
            raise MocapError(
                f"--pool: expected a multiple of a clip's {self.frames} frames (--frames), found {self.options.pool}"
            )

    def units(self, people: People, limit: int) -> list[NDArray[np.int64]]:
        pool = self.options.pool
        return list(int_data.clips_of(people.videos()[: limit or None], pool, pool))

    def crop(self, sample: Sample, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        box = np.array([*sample.center_px, sample.side_px, sample.side_px], np.float64)
        square = int_data.crop(rgb, int_data.crop_transform(box, self.side), self.side)
        return ((square - crops.MEAN) / crops.DEVIATION).transpose(2, 0, 1).astype(np.float32)

    def predict(self, pictures: Tensor) -> Found:
        clips = pictures.unflatten(0, (self.frames, -1)).transpose(0, 1)  # (clips, frames, 3, S, S)
        parts = [self.network(some) for some in clips.split(max(1, self.options.batch // self.frames))]
        return self.mesh_of(
            {name: torch.cat([out[name] for out in parts]).transpose(0, 1).flatten(0, 1) for name in ("R", "betas")}
        )

    def compare(self, found: Found, samples: Sequence[Sample]) -> Compared:
        points = labelled(samples, "spin49", self.points, [self.points[hip] for hip in _HIPS])
        known, true = points[..., 3] > 0, points[..., :3]
        vertices = to_array(found.vertices)
        if self.joints:
            joints = (self.J @ vertices)[:, self.joints]
        else:
            assert found.joints is not None  # the network gives rotations
            both = np.concatenate([to_array(found.joints), self.J @ vertices], 1)
            # SPIN counts the nine regressed ones from 45 on.
            order = [int_data.JOINT_ORDER[point] for point in self.points]
            joints = both[:, [joint - 45 + 24 if joint >= 45 else joint for joint in order]]
        joints, true = (p - p[:, _HIPS].mean(1, keepdims=True) for p in (joints, true))
        errors = joint_errors(joints, true, known)
        hidden = ~known[..., None]
        return Compared(
            {**errors, PVE: mpjpe(vertices, self.true_vertices(samples, gendered=False, needed=False))},
            np.where(hidden, np.nan, joints),
            np.where(hidden, np.nan, true),
        )


class VqHpsProtocol(Protocol):
    """VQ-HPS: vertices from their mean, and Human3.6M's 17 joints of the meshes so placed; true hands are at rest."""

    def prepare(self) -> None:
        own = self.network.network.joint_regressor if isinstance(self.network, VQHPSNetwork) else None
        if own is not None and len(own) == len(H36M_ORDER) and not self.options.h36m_regressor:
            self.J = to_array(own)  # imported with it
        else:
            self.J = self.regressor("h36m_regressor", None if own is None else own.shape[1])
        if isinstance(self.network, VQHPSNetwork) and not self.options.over_batch:
            self.network.alone()

    def compare(self, found: Found, samples: Sequence[Sample]) -> Compared:
        true = self.true_vertices([_without_hands(sample) for sample in samples], gendered=True)
        errors = mesh_errors(to_array(found.vertices), true - true.mean(1, keepdims=True), self.J)
        return Compared({PVE: errors["v2v"], MPJPE: errors["mpjpe"], PA_MPJPE: errors["pa_mpjpe"]})


def _without_hands(sample: Sample) -> Sample:
    """Labels of other systems have SMPL's last two joints, and VQ-HPS's have not."""
    if sample.R_parent_joint is None:
        return sample
    R = sample.R_parent_joint.copy()
    R[_HANDS] = np.eye(3)
    return replace(sample, R_parent_joint=R)


class PostoMetroProtocol(Protocol):
    """PostoMETRO, by FastMETRO's evaluation, since its own was not released.

    LSP's 14 joints, regressed from the mesh by Human3.6M's regressor, against those of METRO's labels; in other files,
    which have none or others, against those of the true mesh (supplement B). Vertices from Human3.6M's pelvis. METRO's
    true meshes are of the neutral body, those of other files of the person's gender.
    """

    def prepare(self) -> None:
        self.J = self.regressor("h36m_regressor")

    def compare(self, found: Found, samples: Sequence[Sample]) -> Compared:
        metro = self.data in _METRO_LABELS and any(sample.joints_3d == "spin24" for sample in samples)
        true_vertices = self.true_vertices(samples, gendered=not metro, needed=False)
        vertices = to_array(found.vertices)
        joints, of_mesh = self.J @ vertices, self.J @ true_vertices
        if metro:
            points = labelled(samples, "spin24", [*_SPIN24_TO_LSP14, _SPIN24_PELVIS])[..., :3]
            true = points[:, :-1] - points[:, -1:]
        else:
            true = of_mesh[:, _LSP14] - of_mesh[:, :1]
        predicted = joints[:, _LSP14] - joints[:, :1]
        if self.options.hips:
            predicted, true = (p - p[:, _HIPS].mean(1, keepdims=True) for p in (predicted, true))
        errors = joint_errors(predicted, true)
        return Compared({**errors, PVE: mpjpe(vertices - joints[:, :1], true_vertices - of_mesh[:, :1])})


PROTOCOLS: dict[str, type[Protocol]] = {
    "tokenhmr": TokenHmrProtocol,
    "hmr2": TokenHmrProtocol,
    "int": IndependentTokensProtocol,
    "vqhps": VqHpsProtocol,
    "postometro": PostoMetroProtocol,
}
