"""Meshes that Mesh-VQ-VAE and VQ-HPS learn from, and runs of ``training.train_mesh_vqvae``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mocap.body.model import Body
from mocap.body.smpl_file import GENDERS, SmplArrays, read_smpl
from mocap.errors import MocapError
from mocap.models.mesh_graph import Connections, connections
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.network_file import from_dict
from mocap.models.published import BODY
from training.harness import load_weights
from training.published.coarse_body import coarse_body
from training.published.points import read_regressor


class CanonicalMeshes(nn.Module):
    """Meshes of poses and shapes, not turned, the mean of the vertices at the origin.

    Args:
        bodies: One, or three in the order of ``GENDERS``, with the same triangles.
    """

    def __init__(self, bodies: Sequence[SmplArrays]) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(Body(arrays) for arrays in bodies)
        self.vertices = len(bodies[0].v_template)

    def forward(self, R: Tensor, betas: Tensor, gender: Tensor | None = None) -> Tensor:
        """(B, V, 3) m.

        Args:
            R: (B, 24, 3, 3); entry 0 does not count.
            betas: (B, 10).
            gender: (B,) places in ``GENDERS``; not given, or with one body: that of the first body.
        """
        still = torch.eye(3, device=R.device, dtype=R.dtype).expand(len(R), 1, 3, 3)
        R = torch.cat([still, R[:, 1:]], 1)
        if gender is None or len(self.bodies) == 1:
            gender = torch.zeros(len(R), dtype=torch.int64, device=R.device)
        vertices = R.new_zeros(len(R), self.vertices, 3)
        for number, body in enumerate(self.bodies):
            these = gender == number
            vertices[these] = body.vertices(R[these], R.new_zeros(int(these.sum()), 3), betas[these])  # type: ignore
        return vertices - vertices.mean(1, keepdim=True)


def read_bodies(smpl: str, vertices: int = 0) -> list[SmplArrays]:
    """The open body with so many vertices (0: all); or SMPL's file; or the three of a folder, in ``GENDERS``' order.

    Raises:
        MocapError: a file is missing, or is not SMPL's; SMPL is to have fewer vertices.
    """
    if not smpl:
        return [coarse_body(vertices)]
    if vertices:
        raise MocapError(f"expected --vertices 0 with --smpl, found {vertices}: only the open body can have fewer")
    genders = GENDERS if Path(smpl).is_dir() else GENDERS[:1]
    return [read_smpl(Path(smpl), gender) for gender in genders]


def joint_regressor(body: SmplArrays, h36m: str) -> Tensor:
    """From vertices to joints: the body's own 24, (24, V), or Human3.6M's (17, V) of the file ``h36m``.

    Raises:
        MocapError: the file is missing, or of another body, or has the legs the other way round.
    """
    if not h36m:
        return torch.from_numpy(body.J_regressor)
    regressor = read_regressor("h36m", Path(h36m))
    if regressor.shape[1] != len(body.v_template):
        raise MocapError(
            f"{h36m}: expected joints of {len(body.v_template)} vertices, found some of {regressor.shape[1]}"
        )
    hips = (regressor @ torch.from_numpy(body.v_template))[[1, 4], 0]
    if hips[0] < hips[1]:
        raise MocapError(
            f"{h36m}: expected SPIN's J_regressor_h36m.npy, whose joint 1 is the left hip; found one whose joint 1 is "
            "the right hip, as in J_regressor_h36m_correct.npy"
        )
    return regressor


@dataclass(frozen=True)
class MeshNetwork:
    """What a run of ``training.train_mesh_vqvae`` says of its network."""

    mesh: MeshVQVAEConfig
    counts: tuple[int, ...]  # vertices of the coarser levels
    body: str  # "open" or "smpl": whose betas the meshes are made of

    def connections(self, body: SmplArrays) -> list[Connections]:
        """Of the layers, on this body."""
        return connections(body.faces, body.v_template, self.counts)


class TrainedMesh(NamedTuple):
    """What a run of ``training.train_mesh_vqvae`` has made."""

    network: MeshVQVAE  # in evaluation mode
    connections: list[Connections]
    body: SmplArrays
    kind: str  # "open" or "smpl"


def load_mesh(run: Path) -> TrainedMesh:
    """The best Mesh-VQ-VAE of a run.

    Raises:
        MocapError: there is no such run, or it is another network's.
    """
    about = _about(run / "best.ckpt")
    network: MeshNetwork = from_dict(MeshNetwork, about)
    body = read_smpl(run / BODY)
    found = network.connections(body)
    model = MeshVQVAE(network.mesh, found)
    load_weights(run / "best.ckpt", model, about)
    return TrainedMesh(model.eval(), found, body, network.body)


def _about(checkpoint: Path) -> dict[str, Any]:
    if not checkpoint.is_file():
        raise MocapError(
            f"{checkpoint}: expected a Mesh-VQ-VAE, found none; train it first: python -m training.train_mesh_vqvae"
        )
    about = torch.load(checkpoint, map_location="cpu", weights_only=True)["network"]
    if set(about) != {"mesh", "counts", "body"}:
        raise MocapError(f"{checkpoint}: expected a run of training.train_mesh_vqvae, found one with {sorted(about)}")
    return about
