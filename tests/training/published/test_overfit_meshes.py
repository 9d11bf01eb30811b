"""The systems that find meshes learn eight rendered frames by heart, stage after stage, on the open body with few
vertices.

Minutes each, so only when asked for: ``pytest -m slow``.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mocap.body.model import Body
from mocap.body.smpl_file import SmplArrays
from mocap.models.backbones import make_backbone
from mocap.models.mesh_graph import Connections, connections
from mocap.models.mesh_levels import MeshLevels, mesh_levels
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.pct import MixerSizes, PctConfig
from mocap.models.postometro import PostoMetroConfig
from mocap.models.postometro_network import PctNetwork, PostoMetroNetwork, PostoMetroNetworkConfig
from mocap.models.resnet import ResNetConfig
from mocap.models.vqhps import VQHPSConfig, turned
from mocap.models.vqhps_network import VQHPSNetwork, VQHPSNetworkConfig
from tests.training.published.eight_frames import LIMIT_M, SIDE, descend, eight_frames
from training.projection import orthographic
from training.published.coarse_body import coarse_body
from training.published.postometro import (
    FastMetroLossWeights,
    MeshLabels,
    fastmetro_losses,
    pct_classifier_losses,
    pct_tokenizer_losses,
    unique_edges,
)
from training.published.vqhps import MeshVQVAELossWeights, VQHPSLossWeights, mesh_vqvae_losses, vqhps_losses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MESH = MeshVQVAEConfig(
    channels=(16, 16, 9, 16, 16, 3), kernels=(5, 0, 5, 5, 0, 5), carried=(0, 1, 0, 0, 1, 0), codes=432, decay=0.9
)
BACKBONE = ResNetConfig((1, 1, 1, 1), 8)
# The 14 joints among SMPL's: right ankle, knee, hip; left hip, knee, ankle; right wrist, ...; neck, head; and the rest.
JOINTS = [8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12, 15, 0, 3, 6, 9, 10, 11, 13, 14, 22, 23]
SCALE = 0.9  # of the camera that joints are seen by: metres to half of the picture


def meshes(body: SmplArrays, R: Tensor) -> Tensor:
    """(B, V, 3) m of the mean shape, the pelvis' joint near the origin."""
    zero = torch.zeros(len(R), 3)
    return Body(body).vertices(R, zero, torch.zeros(len(R), 10))


@torch.no_grad()
def mpjpe_m(body: SmplArrays, found: Tensor, true: Tensor) -> float:
    """Of SMPL's joints that are regressed from meshes, the pelvis of both at 0."""
    joints = [torch.from_numpy(body.J_regressor) @ vertices for vertices in (found, true)]
    first, second = (points - points[:, :1] for points in joints)
    error_m = float((first - second).norm(dim=-1).mean())
    print(f"{error_m * 1e3:.2f} mm")
    return error_m


def seen(points: Tensor) -> Tensor:
    """Points (B, n, 3) m by a weak-perspective camera, (B, n, 2) in [-1, 1]."""
    return orthographic(points, torch.tensor([[SCALE, 0.0, 0.0]]).expand(len(points), -1))


def learned_meshes(canonical: Tensor, graph: list[Connections]) -> tuple[MeshVQVAE, Tensor]:
    """Mesh-VQ-VAE, and the tokens of the meshes (8, V, 3). The codes start where the latents are."""
    autoencoder = MeshVQVAE(MESH, graph).train()
    weights = MeshVQVAELossWeights()

    def free() -> Tensor:
        return (autoencoder.decode_latent(autoencoder.latent(canonical)) - canonical).norm(dim=-1).mean()

    descend(autoencoder.parameters(), free, 2500, 5e-3)
    with torch.no_grad():
        autoencoder.quantizer.set_codebook(autoencoder.latent(canonical).flatten(0, 1))  # type: ignore[operator]
    descend(
        autoencoder.parameters(), lambda: mesh_vqvae_losses(weights, autoencoder(canonical), canonical)["total"], 500
    )
    autoencoder.eval()
    with torch.no_grad():
        return autoencoder, autoencoder.encode(canonical)


@torch.no_grad()
def as_found(network: VQHPSNetwork | PostoMetroNetwork, pictures: Tensor) -> Tensor:
    """Vertices, in evaluation mode."""
    vertices: Tensor = network.eval()(pictures).vertices
    return vertices


def test_vqhps() -> None:
    torch.manual_seed(0)
    pictures, R, _ = eight_frames()
    body = coarse_body(400)
    true = meshes(body, R)
    upright = meshes(body, torch.cat([torch.eye(3).expand(len(R), 1, 3, 3), R[:, 1:]], 1))
    canonical = upright - upright.mean(1, keepdim=True)
    graph = connections(body.faces, body.v_template, (54,))
    autoencoder, tokens = learned_meshes(canonical, graph)
    assert mpjpe_m(body, autoencoder.decode(tokens), canonical) <= LIMIT_M

    regressor = VQHPSConfig(
        features=BACKBONE.features, width=64, heads=4, hidden=128, codes=MESH.codes, joints=24, rotation_hidden=128,
        dropout=0.0, rotation_dropout=0.0,
    )  # fmt: skip
    layers = tuple(map(str, range(len(graph))))
    config = VQHPSNetworkConfig(
        regressor=regressor, hrnet=None, resnet=BACKBONE, mesh=MESH, connections=layers, side=SIDE
    )
    joints = torch.from_numpy(body.J_regressor)
    rows = [torch.from_numpy(one.rows) for one in graph]
    network = VQHPSNetwork(config, rows, joints, torch.from_numpy(body.v_template))
    network.network.mesh.load_state_dict(autoencoder.state_dict())
    picture = seen(joints @ turned(canonical, R[:, 0]))

    def loss() -> Tensor:
        return vqhps_losses(VQHPSLossWeights(), network(pictures), tokens, R[:, 0], joints, picture)["total"]

    network.train()
    network.network.mesh.eval()
    descend(network.parameters(), loss, 600)
    assert mpjpe_m(body, as_found(network, pictures), true) <= LIMIT_M


def learned_pct(config: PctConfig, pictures: Tensor, pose: Tensor) -> PctNetwork:
    """Tokenizer, then classifier; poses (8, 17, 3)."""
    pct = PctNetwork(config, make_backbone(BACKBONE))
    tokenizer = pct.head.tokenizer
    pct.train()
    descend(tokenizer.parameters(), lambda: pct_tokenizer_losses(tokenizer(pose), pose)["total"], 800)
    tokenizer.requires_grad_(False)
    pct.eval()
    tokens = tokenizer.encode(pose)

    def loss() -> Tensor:
        pct.train()
        tokenizer.eval()
        found = pct(pictures)
        return pct_classifier_losses(found.logits, tokenizer.decode(found.embeddings), tokens, pose)["total"]

    descend(pct.parameters(), loss, 300)
    pct.eval()
    with torch.no_grad():
        off = (tokenizer.decode(pct(pictures).embeddings) - pose[..., :2]).norm(dim=-1).mean() * SIDE / 2
    print(f"2D pose {float(off):.2f} px")
    assert off < 3
    return pct


def labels_of(body: SmplArrays, levels: MeshLevels, vertices: Tensor) -> tuple[MeshLabels, Tensor]:
    """Labels of meshes, and the regressor (14, V) of their joints."""
    to_middle, to_coarse = (torch.from_numpy(matrix.toarray()) for matrix in levels.down)
    regressor = torch.from_numpy(body.J_regressor[JOINTS])
    joints, middle = regressor @ vertices, to_middle @ vertices
    one, has = torch.ones(len(vertices), len(JOINTS), 1), torch.ones(len(vertices), dtype=torch.bool)
    picture = torch.cat([seen(joints), one], -1)
    return MeshLabels(torch.cat([joints, one], -1), has, picture, to_coarse @ middle, middle, vertices, has), regressor


def test_postometro() -> None:
    torch.manual_seed(0)
    pictures, R, joints = eight_frames()
    body = coarse_body(500)
    vertices = meshes(body, R)
    pct = PctConfig(
        tokens=12, codes=64, code_dim=32, encoder=MixerSizes(2, 32, 32, 16), decoder=MixerSizes(1, 16, 32, 16),
        guide_ratio=0.0, image_channels=BACKBONE.features, cells=4, channels=32, classifier=MixerSizes(2, 16, 64, 16),
    )  # fmt: skip
    metro = PostoMetroConfig(
        image_channels=BACKBONE.features, layers=1, width=128, hidden=256, reduced_width=64, reduced_hidden=128,
        heads=4, dropout=0.0, joints=24, coarse=100, middle=480, pose_tokens=12, modulator=MixerSizes(2, 32, 32, 16),
    )  # fmt: skip
    levels = mesh_levels(body.faces, body.v_template, (metro.middle, metro.coarse))
    config = PostoMetroNetworkConfig(metro, pct, BACKBONE, BACKBONE, SIDE, SIDE)
    network = PostoMetroNetwork(config, levels.neighbours, levels.sampler)
    points = seen(joints[:, :17])  # as if the crop were 2 px wide: few steps are enough to get there
    learned = learned_pct(pct, pictures, torch.cat([points, torch.ones(len(points), 17, 1)], -1))
    assert network.pct is not None
    network.pct.load_state_dict(learned.state_dict())
    labels, regressor = labels_of(body, levels, vertices)
    faces = torch.from_numpy(levels.faces)
    edges, weights = unique_edges(faces), FastMetroLossWeights(vertices=2000.0)

    def loss() -> Tensor:
        found = network(pictures)
        return fastmetro_losses(weights, found, regressor @ found.vertices, labels, faces, edges)["total"]

    network.train()
    descend(network.parameters(), loss, 2500, 2e-3)
    assert mpjpe_m(body, as_found(network, pictures), vertices) <= LIMIT_M
