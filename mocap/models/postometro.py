"""PostoMETRO: a body's mesh from a picture and from the 2D pose's tokens (Yang et al., "Pose Token Enhanced Mesh
Transformer for Robust 3D Human Mesh Recovery"), FastMETRO with tokens of PCT (``mocap.models.pct``).

Points are (B, n, 3) m, in the axes of the picture (x right, y down) and relative to the body. The camera (B, 3) is weak
perspective, ``s, t_x, t_y``: a point's place in the picture is ``s (x + t_x), s (y + t_y)``, the picture [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models import fastmetro
from mocap.models.checkpoints import MIXER, Rules
from mocap.models.fastmetro import EncoderDecoder
from mocap.models.layers import DenseBlock, sine_positions
from mocap.models.pct import DENSE, AcrossTokens, MixerSizes, mixers

MODULATOR = MixerSizes(4, 512, 512, 64)
LAYERS = {"S": 1, "M": 2, "L": 3}  # of the published sizes, see PostoMetroConfig.layers


@dataclass(frozen=True)
class PostoMetroConfig:
    """The defaults are the paper's, in its largest size and with ResNet-50."""

    image_channels: int = 2048  # of the backbone's feature map
    layers: int = 3  # of the encoder, and of the decoder, of each transformer
    width: int = 512  # entries of a token in the first transformer
    hidden: int = 2048  # of its feed-forward part
    reduced_width: int = 128  # of the second transformer
    reduced_hidden: int = 512
    heads: int = 8  # of either
    dropout: float = 0.1  # of either, in training
    joints: int = 14
    coarse: int = 431  # vertices that the transformers find
    middle: int = 1723  # vertices that are learned from them
    pose_tokens: int = 34  # of PCT
    modulator: MixerSizes = MODULATOR  # as wide as PCT's codes
    # The second transformer gets the pose tokens twice: among those of the picture and beside them. The released code
    # does so, and its weights want it; False is FastMETRO's order, each token once.
    pose_twice: bool = True
    smpl_hidden: int | None = (
        None  # of the head that turns the mesh into SMPL's parameters, released 1024; None: no head
    )


class BodyMesh(NamedTuple):
    """What the network finds."""

    camera: Tensor  # (B, 3) s, t_x, t_y
    joints: Tensor  # (B, 14, 3) m, from their own tokens; those of the mesh are better
    coarse: Tensor  # (B, 431, 3) m
    middle: Tensor  # (B, 1723, 3) m
    vertices: Tensor  # (B, 6890, 3) m
    R: Tensor | None = None  # (B, 24, 3, 3) parent from joint; with an SMPL head, and so the betas
    betas: Tensor | None = None  # (B, 10)


class PoseModulator(nn.Module):
    """Makes PCT's tokens fit for the transformer, and tells it how sure PCT is."""

    def __init__(self, config: PostoMetroConfig) -> None:
        super().__init__()
        tokens, width = config.pose_tokens, config.modulator.width
        self.embed = nn.Linear(width, width)
        self.mixers, self.norm = mixers(config.modulator, tokens), nn.LayerNorm(width)
        self.across = AcrossTokens(tokens, tokens)
        self.fuse = DenseBlock(width + 1, config.width)

    def forward(self, tokens: Tensor, score: Tensor) -> Tensor:
        """Embeddings (B, 34, D) and largest logits (B, 34, 1) -> tokens of the transformer (B, 34, width)."""
        out: Tensor = self.fuse(torch.cat([self.modulate(tokens), score], -1))
        return out

    def modulate(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, 34, D) -> same, before the score is added."""
        out: Tensor = self.across(self.norm(self.mixers(self.embed(tokens))))
        return out


class SmplHead(nn.Module):
    """SMPL's parameters from the middle mesh (FastMETRO, from GraphCMR). Its losses do not reach the mesh."""

    def __init__(self, vertices: int, hidden: int) -> None:
        super().__init__()

        def dense(inputs: int) -> list[nn.Module]:
            return [nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden)]

        self.enter = nn.Sequential(*dense(3 * vertices), nn.ReLU())
        self.residual = nn.ModuleList(nn.Sequential(*dense(hidden), nn.ReLU(), *dense(hidden)) for _ in range(2))
        self.out = nn.Linear(hidden, 24 * 9 + 10)

    def forward(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, 3) m -> rotations (B, 24, 3, 3), betas (B, 10)."""
        x = self.enter(vertices.detach().flatten(1))
        for block in self.residual:
            x = F.relu(x + block(x))
        matrices, betas = self.out(x).split([24 * 9, 10], -1)
        return svd_rotations(matrices.unflatten(-1, (24, 3, 3))), betas


class PostoMetro(nn.Module):
    """The network; without pose tokens it is FastMETRO.

    Args:
        backbone: Pictures (B, 3, H, W) -> feature maps (B, C, h, w).
        neighbours: (431, 431) bool, see :func:`mesh_neighbours`: which vertices of the coarse mesh see each other.
        sampler: (6890, 1723), the fixed matrix from middle vertices to all.
    """

    blocked: Tensor  # (14 + 431, 14 + 431) bool, True where a token may not look
    sampler: Tensor

    def __init__(self, config: PostoMetroConfig, backbone: nn.Module, neighbours: Tensor, sampler: Tensor) -> None:
        super().__init__()
        width, reduced, layers = config.width, config.reduced_width, (config.layers, config.layers, config.dropout)
        self.config, self.backbone, self.modulator = config, backbone, PoseModulator(config)
        self.project = nn.Conv2d(config.image_channels, width, 1)
        self.camera_token = nn.Parameter(torch.randn(1, width))
        self.joint_tokens = nn.Parameter(torch.randn(config.joints, width))
        self.vertex_tokens = nn.Parameter(torch.randn(config.coarse, width))
        self.first = EncoderDecoder(width, config.heads, config.hidden, *layers)
        self.second = EncoderDecoder(reduced, config.heads, config.reduced_hidden, *layers)
        self.reduce_camera, self.reduce_image = nn.Linear(width, reduced), nn.Linear(width, reduced)
        self.reduce_pose, self.reduce_points = nn.Linear(width, reduced), nn.Linear(width, reduced)
        self.to_xyz, self.to_camera = nn.Linear(reduced, 3), nn.Linear(reduced, 3)
        self.upsample = AcrossTokens(config.coarse, config.middle)
        self.smpl = None if config.smpl_hidden is None else SmplHead(config.middle, config.smpl_hidden)
        blocked = F.pad(~neighbours.bool(), (config.joints, 0, config.joints, 0))
        self.register_buffer("blocked", blocked, persistent=False)
        self.register_buffer("sampler", sampler, persistent=False)

    def forward(self, image: Tensor, tokens: Tensor | None = None, score: Tensor | None = None) -> BodyMesh:
        """Pictures (B, 3, H, W), ImageNet's mean and deviation taken out, and PCT's tokens of the people there.

        Args:
            tokens: (B, 34, D) embeddings; None: the picture alone.
            score: (B, 34, 1) their largest logits.
        """
        features = self.project(self.backbone(image))
        pose = None if tokens is None or score is None else self.modulator(tokens, score)
        camera, points = self._transform(features, pose)
        joints, coarse = self.to_xyz(points).split([self.config.joints, self.config.coarse], 1)
        middle = self.upsample(coarse)
        smpl = (None, None) if self.smpl is None else self.smpl(middle)
        return BodyMesh(self.to_camera(camera[:, 0]), joints, coarse, middle, self.sampler @ middle, *smpl)

    def _transform(self, features: Tensor, pose: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features (B, D, h, w) and pose tokens (B, 34, D) -> camera (B, 1, d), joints and vertices (B, 445, d)."""
        batch, _, height, width = features.shape
        sizes, cells = (self.config.width, self.config.reduced_width), height * width
        places = [sine_positions(height, width, size, features.device) for size in sizes]
        image, camera = features.flatten(2).transpose(1, 2), self.camera_token.expand(batch, 1, -1)
        points = torch.cat([self.joint_tokens, self.vertex_tokens]).expand(batch, -1, -1)
        context = image if pose is None else torch.cat([image, pose], 1)
        camera, context, points = transform(self.first, camera, context, points, places[0], self.blocked)
        reduced = self.reduce_image(context if self.config.pose_twice else context[:, :cells])
        if pose is not None:
            reduced = torch.cat([reduced, self.reduce_pose(context[:, cells:])], 1)
        camera, points = self.reduce_camera(camera), self.reduce_points(points)
        camera, _, points = transform(self.second, camera, reduced, points, places[1], self.blocked)
        return camera, points


def transform(
    transformer: EncoderDecoder, camera: Tensor, context: Tensor, points: Tensor, place: Tensor, blocked: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """FastMETRO's transformer: camera (B, 1, D) and context are encoded, and points (B, T, D) look at the context.

    Args:
        context: (B, S, D) tokens of the picture and, after them, of the pose.
        place: (P, D) or (B, P, D), positions of the first P of these, the picture's; the others have none.
        blocked: (T, T) True where a point may not look at another.

    Returns:
        All three, of the same shapes.
    """
    place = F.pad(place, (0, 0, 1, context.shape[-2] - place.shape[-2]))
    encoded = transformer.encode(torch.cat([camera, context], 1), place)
    camera, context = encoded[:, :1], encoded[:, 1:]
    return camera, context, transformer.decode(points, context, place[..., 1:, :], blocked)


def mesh_neighbours(faces: Tensor, vertices: int) -> Tensor:
    """Which vertices share an edge: triangles (F, 3) int64 -> (vertices, vertices) bool, each its own neighbour."""
    found = torch.eye(vertices, dtype=torch.bool, device=faces.device)
    for corner in range(3):
        a, b = faces[:, corner], faces[:, corner - 1]
        found[a, b] = found[b, a] = True
    return found


def svd_rotations(matrices: Tensor) -> Tensor:
    """Any matrices (..., 3, 3) -> ``U V^T det(U V^T)`` of their singular vectors, FastMETRO's rotations.

    Where U V^T mirrors, all of it is negated: a rotation, but not the nearest one, which turns one column only.
    """
    U, _, Vh = torch.linalg.svd(matrices)
    turned: Tensor = U @ Vh
    return turned * torch.linalg.det(turned)[..., None, None]


# The released names, see mocap.models.checkpoints. PCT lies in the same file, see mocap.models.pct.
RULES: Rules = [
    (r"^pct\.", None),
    (r"^encoder\.", "modulator.mixers."),
    *MIXER,
    *DENSE,
    (r"^encoder_layer_norm\.", "modulator.norm."),
    (r"^start_embed\.", "modulator.embed."),
    (r"^token_mlp\.", "modulator.across."),
    (r"^token_mixer\.", "modulator.fuse."),
    (r"^conv_1x1\.", "project."),
    (r"^cam_token_embed\.weight$", "camera_token"),
    (r"^(joint|vertex)_token_embed\.weight$", r"\1_tokens"),
    (r"^transformer_1\.", "first."),
    (r"^transformer_2\.", "second."),
    (r"^dim_reduce_enc_cam\.", "reduce_camera."),
    (r"^dim_reduce_enc_img\.", "reduce_image."),
    (r"^dim_reduce_enc_pct\.", "reduce_pose."),
    (r"^dim_reduce_dec\.", "reduce_points."),
    (r"^xyz_regressor\.", "to_xyz."),
    (r"^cam_predictor\.", "to_camera."),
    (r"^coarse2intermediate_upsample\.", "upsample."),
    (r"^smpl_parameter_regressor\.regressor\.0\.fc_block\.", "smpl.enter."),
    (r"^smpl_parameter_regressor\.regressor\.1\.fc_block\.", "smpl.residual.0."),
    (r"^smpl_parameter_regressor\.regressor\.2\.fc_block\.", "smpl.residual.1."),
    (r"^smpl_parameter_regressor\.regressor\.3\.", "smpl.out."),
    *fastmetro.RULES,
]
