"""Small configurations of the published systems, and networks of them with random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mocap.body.smpl_file import SmplArrays
from mocap.models.independent_tokens import IndependentTokensConfig
from mocap.models.mesh_graph import connections
from mocap.models.mesh_levels import mesh_levels
from mocap.models.pct import MixerSizes, PctConfig
from mocap.models.postometro import PostoMetroConfig
from mocap.models.postometro_network import PostoMetroNetwork, PostoMetroNetworkConfig
from mocap.models.resnet import ResNetConfig
from mocap.models.systems import SYSTEMS
from mocap.models.vqhps_network import VQHPSNetwork, VQHPSNetworkConfig
from tests.models import test_tokenhmr_checkpoint, test_vqhps
from tests.models.small_tokenhmr import SMALL as TOKENHMR
from training.published.coarse_body import coarse_body

HMR2 = test_tokenhmr_checkpoint.HMR2
INT = IndependentTokensConfig(
    picture=32, backbone=None, width=48, depth=1, heads=4, hidden=24, temporal_depth=1, temporal_heads=4, frames=3
)
VQHPS = VQHPSNetworkConfig(
    regressor=test_vqhps.QUIRK,
    hrnet=None,
    resnet=test_vqhps.BACKBONE,
    mesh=test_vqhps.MESH,
    connections=("pool0", "pool1", "pool2", "unpool2", "unpool1", "unpool0"),
    side=64,
)
_RESNET = ResNetConfig((1, 1, 1, 1), 2)
POSTOMETRO = PostoMetroNetworkConfig(
    metro=PostoMetroConfig(
        image_channels=_RESNET.features, layers=1, width=16, hidden=20, reduced_width=8, reduced_hidden=12, heads=4,
        coarse=20, middle=60, pose_tokens=6, modulator=MixerSizes(1, 8, 9, 8),
    ),
    pct=PctConfig(
        tokens=6, codes=11, code_dim=8, encoder=MixerSizes(1, 12, 10, 7), decoder=MixerSizes(1, 6, 9, 7),
        image_channels=_RESNET.features, cells=4, channels=3, classifier=MixerSizes(1, 5, 13, 7),
    ),
    backbone=_RESNET,
    pct_backbone=_RESNET,
    side=32,
    pct_side=64,
)  # fmt: skip
CONFIGS: dict[str, Any] = {"tokenhmr": TOKENHMR, "hmr2": HMR2, "int": INT, "vqhps": VQHPS, "postometro": POSTOMETRO}


def small_body() -> SmplArrays:
    """The open body with few vertices."""
    return coarse_body(500)


def network(system: str, body: SmplArrays) -> nn.Module:
    """Of random weights, in evaluation mode."""
    torch.manual_seed(0)
    config = CONFIGS[system]
    if system == "vqhps":
        rows = [torch.from_numpy(one.rows) for one in connections(body.faces, body.v_template, (9,))]
        joints = torch.from_numpy(body.J_regressor[: config.regressor.joints])
        return VQHPSNetwork(config, rows, joints, torch.from_numpy(body.v_template)).eval()
    if system == "postometro":
        levels = mesh_levels(body.faces, body.v_template, (config.metro.middle, config.metro.coarse))
        return PostoMetroNetwork(config, levels.neighbours, levels.sampler).eval()
    return SYSTEMS[system].build(config, {}).eval()
