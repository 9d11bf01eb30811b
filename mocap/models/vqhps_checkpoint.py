"""VQ-HPS's released files -> a network for captures: regressor, Mesh-VQ-VAE, its connections, and SMPL's body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mocap.body.smpl_file import SmplArrays
from mocap.errors import MocapError
from mocap.models import mesh_vqvae, vqhps
from mocap.models.checkpoints import read_file, renamed
from mocap.models.hrnet import HRNet, HRNetConfig
from mocap.models.mesh_graph import Connections, read_connections
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.resnet import ResNet, ResNetConfig
from mocap.models.vqhps import VQHPS, CausalHead, MeshRegressor, VQHPSConfig
from mocap.models.weights import load_weights

LAYERS = (*(f"pool{level}" for level in range(7)), *(f"unpool{level}" for level in range(6, -1, -1)))
WANTED = (
    "the regressor's checkpoint, Mesh-VQ-VAE's checkpoint, the folder of its connection matrices (_pool0.npy ...), "
    "J_regressor_h36m.npy, and SMPL's file (--smpl)"
)


@dataclass(frozen=True)
class ReleasedConfig:
    """All of its parts; the defaults are the released ones."""

    regressor: VQHPSConfig = field(
        default_factory=lambda: VQHPSConfig(features=720, causal_head=True, attend_over_batch=True)
    )
    hrnet: HRNetConfig | None = field(default_factory=HRNetConfig)
    resnet: ResNetConfig | None = None  # the backbones without HRNet
    mesh: MeshVQVAEConfig = field(default_factory=MeshVQVAEConfig)
    connections: tuple[str, ...] = LAYERS  # names of the matrices, a layer each
    side: int = 224  # of the picture, px


class Released(nn.Module):
    """VQ-HPS with the connections of its mesh, so that a file of it is whole: crops -> vertices.

    Args:
        rows: Of each layer, see :class:`Connections`.
        joint_regressor: (17, V).
        t_pose: (V, 3) m.
    """

    def __init__(self, config: ReleasedConfig, rows: Sequence[Tensor], joint_regressor: Tensor, t_pose: Tensor) -> None:
        super().__init__()
        self.config = config
        for number, row in enumerate(rows):
            self.register_buffer(f"rows{number}", row)
        found: list[Connections] = []
        for row in rows:
            found.append(Connections(row.numpy(), found[-1].outputs if found else len(t_pose)))
        backbones = [HRNet(config.hrnet) if config.hrnet else ResNet(config.resnet or ResNetConfig()) for _ in range(2)]
        regressor = MeshRegressor(config.regressor, *backbones)
        self.network = VQHPS(regressor, MeshVQVAE(config.mesh, found), joint_regressor, t_pose)

    def forward(self, picture: Tensor) -> Tensor:
        """Crops (B, 3, S, S) -> vertices (B, V, 3) m in camera axes, turned about the mean of the canonical mesh."""
        vertices: Tensor = self.network(picture).vertices
        return vertices

    def alone(self) -> Released:
        """The same for live use: where the head attends over the batch, each sample is a batch of its own."""
        head = self.network.regressor.head
        if isinstance(head, CausalHead) and head.over_batch:
            head.over_batch = False
            self.network.regressor.head = _Alone(head)  # type: ignore[assignment]
        return self


class _Alone(nn.Module):
    def __init__(self, head: CausalHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(0, 1)[:, None])[:, 0]
        return logits.unflatten(0, x.shape[:2])


def build(config: ReleasedConfig, weights: Mapping[str, Tensor]) -> Released:
    """For the weights of :func:`read`'s network, which are yet to be loaded."""
    rows = [weights[f"rows{number}"] for number in range(len(config.connections))]
    joint_regressor = weights["network.joint_regressor"]
    return Released(config, rows, joint_regressor, torch.zeros(joint_regressor.shape[1], 3))


def read(files: Sequence[Path], config: ReleasedConfig | None = None, body: SmplArrays | None = None) -> Released:
    """The network of released files, in any order, in evaluation mode.

    Raises:
        MocapError: a file is missing, or is not that (says what and which sizes).
    """
    config = config or ReleasedConfig()
    folders = [path for path in files if path.is_dir()]
    arrays = [path for path in files if path.suffix == ".npy"]
    checkpoints = {path: _weights(path) for path in files if path not in (*folders, *arrays)}
    meshes = [path for path, weights in checkpoints.items() if any(key.startswith("encoder.model.") for key in weights)]
    others = [path for path in checkpoints if path not in meshes]
    if body is None or not all(len(kind) == 1 for kind in (folders, arrays, meshes, others)):
        found = ", ".join(path.name for path in files) + ("" if body is None else " and SMPL's file")
        raise MocapError(f"expected {WANTED}; found {found}")
    rows = [torch.from_numpy(one.rows) for one in read_connections(folders[0], config.connections)]
    joint_regressor = _regressor(arrays[0], (config.regressor.joints, len(body.v_template)))
    network = Released(config, rows, joint_regressor, torch.from_numpy(body.v_template))
    vqhps.load_released(network.network.regressor, checkpoints[others[0]], str(others[0]))
    load_weights(network.network.mesh, renamed(checkpoints[meshes[0]], mesh_vqvae.RULES), str(meshes[0]))
    return network.eval()


def _weights(path: Path) -> Mapping[str, Any]:
    found = read_file(path)
    model = found.get("model", found)
    if not isinstance(model, Mapping):
        raise MocapError(f"{path}: expected a checkpoint with 'model', found {', '.join(sorted(map(str, found)))}")
    return model


def _regressor(path: Path, shape: tuple[int, int]) -> Tensor:
    try:
        regressor = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MocapError(f"{path}: expected J_regressor_h36m.npy, found another file: {error}") from error
    found = getattr(regressor, "shape", type(regressor).__name__)
    if found != shape:
        raise MocapError(f"{path}: expected J_regressor_h36m.npy of {shape}, found {found}")
    return torch.from_numpy(regressor.astype(np.float32))
