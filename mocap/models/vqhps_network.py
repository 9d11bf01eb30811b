"""VQ-HPS as a whole: regressor, Mesh-VQ-VAE, the connections of its mesh. What is trained, imported and runs live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mocap.models.backbones import make_backbone
from mocap.models.blazepose_backbone import BlazePoseConfig
from mocap.models.hrnet import HRNetConfig
from mocap.models.mesh_graph import Connections
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.resnet import ResNetConfig
from mocap.models.vqhps import VQHPS, CausalHead, MeshRegressor, Prediction, VQHPSConfig

LAYERS = (*(f"pool{level}" for level in range(7)), *(f"unpool{level}" for level in range(6, -1, -1)))


@dataclass(frozen=True)
class VQHPSNetworkConfig:
    """All of its parts; the defaults are the released ones."""

    regressor: VQHPSConfig = field(
        default_factory=lambda: VQHPSConfig(features=720, causal_head=True, attend_over_batch=True)
    )
    hrnet: HRNetConfig | None = field(default_factory=HRNetConfig)
    resnet: ResNetConfig | None = None  # the backbones without HRNet
    blazepose: BlazePoseConfig | None = None  # the backbones without either
    mesh: MeshVQVAEConfig = field(default_factory=MeshVQVAEConfig)
    connections: tuple[str, ...] = LAYERS  # names of the matrices, a layer each
    side: int = 224  # of the picture, px


class VQHPSNetwork(nn.Module):
    """VQ-HPS with the connections of its mesh, so that its weights are whole.

    Args:
        rows: Of each layer (P, 1 + 2 M) int64, see :class:`Connections`.
        joint_regressor: (17, V).
        t_pose: (V, 3) m.
    """

    def __init__(
        self, config: VQHPSNetworkConfig, rows: Sequence[Tensor], joint_regressor: Tensor, t_pose: Tensor
    ) -> None:
        super().__init__()
        self.config = config
        for number, row in enumerate(rows):
            self.register_buffer(f"rows{number}", row)
        found: list[Connections] = []
        for row in rows:
            found.append(Connections(row.numpy(), found[-1].outputs if found else len(t_pose)))
        kind = config.hrnet or config.resnet or config.blazepose or ResNetConfig()
        backbones = [make_backbone(kind) for _ in range(2)]
        regressor = MeshRegressor(config.regressor, *backbones)
        self.network = VQHPS(regressor, MeshVQVAE(config.mesh, found), joint_regressor, t_pose)

    @property
    def vertices(self) -> int:
        """V, of the meshes."""
        return int(self.network.joint_regressor.shape[1])

    def forward(self, picture: Tensor) -> Prediction:
        """Crops (B, 3, S, S), ImageNet's mean and deviation taken out -> meshes in camera axes, turned about the mean
        of the canonical mesh's vertices."""
        found: Prediction = self.network(picture)
        return found

    def alone(self) -> VQHPSNetwork:
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


def build(config: VQHPSNetworkConfig, weights: Mapping[str, Tensor]) -> VQHPSNetwork:
    """For weights that are yet to be loaded.

    Raises:
        KeyError: the weights are others.
    """
    rows = [weights[f"rows{number}"] for number in range(len(config.connections))]
    joint_regressor = weights["network.joint_regressor"]
    return VQHPSNetwork(config, rows, joint_regressor, torch.zeros(joint_regressor.shape[1], 3))
